//! What SEARCH reads of an ENVELOPE that is kept as it is sent (RFC 9051 §7.5.2).

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};
use restante_message::decode_header_value;

/// A field of an ENVELOPE that has a search key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EnvelopeField {
    Subject = 1,
    From = 2,
    To = 5,
    Cc = 6,
    Bcc = 7,
    MessageId = 9,
}

/// Puts the text of a field into `out` as a person reads it: encoded words decoded, addresses as
/// `Name <mailbox@host>` with commas between them. False, and nothing is put, if the field is NIL.
pub fn envelope_text(envelope: &[u8], field: EnvelopeField, out: &mut String) -> bool {
    let Some(mut scanner) = Scanner::at_field(envelope, field) else {
        return false;
    };
    match field {
        EnvelopeField::Subject => match scanner.string() {
            Some(text) => push_decoded(&text, out),
            None => return false,
        },
        EnvelopeField::MessageId => match scanner.string() {
            Some(text) => out.push_str(&String::from_utf8_lossy(&text)),
            None => return false,
        },
        _ => return scanner.addresses(out),
    }
    true
}

/// Appends decoded header text.
fn push_decoded(text: &[u8], out: &mut String) {
    match std::str::from_utf8(text) {
        // Nothing to decode, as mostly.
        Ok(plain) if memmem::find(text, b"=?").is_none() && !plain.contains('\t') => {
            out.push_str(plain);
        }
        _ => out.push_str(&decode_header_value(text)),
    }
}

/// Reads strings, NIL and lists. It was written by this server; anything else reads as NIL.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn at_field(envelope: &'a [u8], field: EnvelopeField) -> Option<Scanner<'a>> {
        let mut scanner = Scanner {
            rest: envelope.strip_prefix(b"(")?,
        };
        for _ in 0..field as usize {
            scanner.skip()?;
            scanner.eat(b' ').then_some(())?;
        }
        Some(scanner)
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Passes over one item; lists of any depth.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.rest.first()? {
                b'(' => {
                    depth += 1;
                    self.rest = &self.rest[1..];
                }
                b')' => {
                    depth = depth.checked_sub(1)?;
                    self.rest = &self.rest[1..];
                }
                b' ' if depth > 0 => self.rest = &self.rest[1..],
                b'"' | b'{' => {
                    self.raw_string()?;
                }
                b'N' => self.rest = self.rest.strip_prefix(b"NIL")?,
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A string, and whether it has quoted pairs.
    fn raw_string(&mut self) -> Option<(&'a [u8], bool)> {
        if self.eat(b'"') {
            let (mut at, mut pairs) = (0, false);
            loop {
                at += memchr2(b'"', b'\\', &self.rest[at..])?;
                if self.rest[at] == b'"' {
                    break;
                }
                pairs = true;
                at += 2;
                if at > self.rest.len() {
                    return None;
                }
            }
            let text = &self.rest[..at];
            self.rest = &self.rest[at + 1..];
            return Some((text, pairs));
        }
        let digits = self.rest.strip_prefix(b"{")?;
        let end = memchr(b'}', digits)?;
        let length: usize = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
        let bytes = digits[end..].strip_prefix(b"}\r\n")?;
        let (text, rest) = bytes.split_at_checked(length)?;
        self.rest = rest;
        Some((text, false))
    }

    /// A string; `None` for NIL.
    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        if let Some(rest) = self.rest.strip_prefix(b"NIL") {
            self.rest = rest;
            return None;
        }
        let (text, pairs) = self.raw_string()?;
        if !pairs {
            return Some(Cow::Borrowed(text));
        }
        let mut plain = Vec::with_capacity(text.len());
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            plain.push(match byte {
                b'\\' => *bytes.next()?,
                other => *other,
            });
        }
        Some(Cow::Owned(plain))
    }

    /// `"(" 1*address ")" / nil`
    fn addresses(&mut self, out: &mut String) -> bool {
        if !self.eat(b'(') {
            return false;
        }
        let start = out.len();
        while self.eat(b'(') {
            let name = self.string();
            self.eat(b' ');
            let _route = self.string();
            self.eat(b' ');
            let mailbox = self.string();
            self.eat(b' ');
            let host = self.string();
            if !self.eat(b')') {
                break;
            }
            if out.len() > start {
                out.push_str(", ");
            }
            match (mailbox, host) {
                (Some(mailbox), Some(host)) => {
                    if let Some(name) = name {
                        push_decoded(&name, out);
                        out.push(' ');
                    }
                    out.push('<');
                    push_decoded(&mailbox, out);
                    if !host.is_empty() {
                        out.push('@');
                        push_decoded(&host, out);
                    }
                    out.push('>');
                }
                // A group begins with its name.
                (Some(group), None) => {
                    push_decoded(&group, out);
                    out.push(':');
                }
                (None, _) => out.push(';'),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use restante_message::{Strings, parse};

    use super::*;

    fn text(header: &str, field: EnvelopeField) -> Option<String> {
        let mut envelope = Vec::new();
        parse(header.as_bytes()).envelope(Strings::Literal, &mut envelope);
        let mut out = String::new();
        envelope_text(&envelope, field, &mut out).then_some(out)
    }

    #[test]
    fn fields_read_as_people_do() {
        let header = "Date: x\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= \"you\" \\ ok\r\n\
            From: \"Smith, John\" <js@example.org>\r\nTo: a@b, Fred <c@d>\r\n\
            Cc: Team: e@f, g@h;\r\nBcc: =?iso-8859-1?Q?J=F6rg?= <j@k>\r\nMessage-ID: <1@x>\r\n\r\n";
        let cases = [
            (EnvelopeField::Subject, "Grüße \"you\" \\ ok"),
            (EnvelopeField::From, "Smith, John <js@example.org>"),
            (EnvelopeField::To, "<a@b>, Fred <c@d>"),
            (EnvelopeField::Cc, "Team:, <e@f>, <g@h>, ;"),
            (EnvelopeField::Bcc, "Jörg <j@k>"),
            (EnvelopeField::MessageId, "<1@x>"),
        ];
        for (field, expected) in cases {
            assert_eq!(text(header, field).as_deref(), Some(expected), "{field:?}");
        }
    }

    #[test]
    fn absent_fields_are_nil() {
        for field in [
            EnvelopeField::Subject,
            EnvelopeField::From,
            EnvelopeField::To,
            EnvelopeField::Cc,
            EnvelopeField::Bcc,
            EnvelopeField::MessageId,
        ] {
            assert_eq!(text("X: y\r\n\r\n", field), None, "{field:?}");
        }
        assert_eq!(
            text("Subject:\r\n\r\n", EnvelopeField::Subject).as_deref(),
            Some("")
        );
    }

    #[test]
    fn octets_that_are_not_ascii_come_as_literals() {
        assert_eq!(
            text(
                "Subject: grün\r\nFrom: ö <ö@ü>\r\n\r\n",
                EnvelopeField::From
            )
            .as_deref(),
            Some("ö <ö@ü>")
        );
    }

    #[test]
    fn damage_is_nil() {
        for damaged in [
            "",
            "(",
            "(\"",
            "(NIL \"a\\",
            "({9}\r\nx",
            "(NIL {99999999999999999999}\r\n",
            "(NI",
        ] {
            let mut out = String::new();
            assert!(
                !envelope_text(damaged.as_bytes(), EnvelopeField::Subject, &mut out),
                "{damaged}"
            );
            let _ = envelope_text(damaged.as_bytes(), EnvelopeField::Bcc, &mut out);
        }
    }
}
