//! Paths of MAIL and RCPT (RFC 5321 §4.1.2), and the names they may stand for.

/// The longest address, in bytes. RFC 5321 §4.5.3.1.3 asks for 256; mail from forwarders with
/// rewritten senders is longer.
const ADDRESS_BYTES_MAX: usize = 1024;

/// An address: local part without quoting, and domain, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) local: String,
    pub(super) domain: Option<String>,
    /// As it was sent, without the angle brackets and any source route.
    pub(super) text: String,
}

impl Address {
    /// Whether it needs SMTPUTF8 (RFC 6531).
    pub(super) fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The local part before `+`, and what follows it, which may be nothing (RFC 5233 §4).
    pub(super) fn split_detail(&self) -> (&str, Option<&str>) {
        match self.local.split_once('+') {
            Some((user, detail)) if !user.is_empty() => (user, Some(detail)),
            _ => (&self.local, None),
        }
    }
}

/// Reads `<path>` at the beginning of `text`; the null path `<>` is `None`. Returns what follows.
pub(super) fn path(text: &str) -> Result<(Option<Address>, &str), &'static str> {
    let Some(inner) = text.strip_prefix('<') else {
        // Some senders leave out the brackets.
        let end = text.find(' ').unwrap_or(text.len());
        return Ok((Some(mailbox(&text[..end])?), &text[end..]));
    };
    let end = closing_bracket(inner).ok_or("address without >")?;
    let (path, rest) = (&inner[..end], &inner[end + 1..]);
    if path.is_empty() {
        return Ok((None, rest));
    }
    // A source route is accepted and ignored (RFC 5321 Appendix C).
    let mailbox_text = match path.strip_prefix('@') {
        Some(route) => route.split_once(':').ok_or("source route without :")?.1,
        None => path,
    };
    Ok((Some(mailbox(mailbox_text)?), rest))
}

/// The first `>` outside of a quoted string.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

fn mailbox(text: &str) -> Result<Address, &'static str> {
    if text.len() > ADDRESS_BYTES_MAX {
        return Err("address too long");
    }
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("control character in address");
    }
    let (local, domain) = if text.starts_with('"') {
        let (local, rest) = quoted(text)?;
        match rest.strip_prefix('@') {
            Some(domain) => (local, Some(domain)),
            None if rest.is_empty() => (local, None),
            None => return Err("text after quoted local part"),
        }
    } else {
        match text.rsplit_once('@') {
            Some((local, domain)) => (local.to_owned(), Some(domain)),
            None => (text.to_owned(), None),
        }
    };
    let bad_domain = |d: &str| d.is_empty() || d.contains([' ', '<', '>', '"', '@']);
    if local.is_empty() {
        return Err("empty local part");
    }
    if !text.starts_with('"') && local.contains([' ', '<', '>', '"', '@']) {
        return Err("malformed local part");
    }
    if domain.is_some_and(bad_domain) {
        return Err("malformed domain");
    }
    let domain = domain.map(|d| d.trim_end_matches('.').to_lowercase());
    Ok(Address {
        local,
        domain,
        text: text.to_owned(),
    })
}

/// A quoted string (RFC 5321 §4.1.2) at the beginning of `text`, unquoted, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[index + 1..])),
            '\\' => out.push(chars.next().ok_or("unfinished quoted string")?.1),
            other => out.push(other),
        }
    }
    Err("unfinished quoted string")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<String>), &'static str> {
        let (address, rest) = path(text)?;
        assert_eq!(rest, "", "{text}");
        let address = address.ok_or("null path")?;
        Ok((address.local, address.domain))
    }

    #[test]
    fn known_paths() {
        let domain = |d: &str| Some(d.to_owned());
        for (text, local, expected) in [
            ("<ada@example.org>", "ada", domain("example.org")),
            ("<Ada@Example.ORG.>", "Ada", domain("example.org")),
            ("<ada>", "ada", None),
            ("ada@example.org", "ada", domain("example.org")),
            (
                "<@a.example,@b.example:ada@example.org>",
                "ada",
                domain("example.org"),
            ),
            (
                "<\"a b\\\"c@d>\"@example.org>",
                "a b\"c@d>",
                domain("example.org"),
            ),
            (
                "<ada+lists@example.org>",
                "ada+lists",
                domain("example.org"),
            ),
            ("<дарья@пример.рф>", "дарья", domain("пример.рф")),
            ("<ada@[192.0.2.1]>", "ada", domain("[192.0.2.1]")),
        ] {
            assert_eq!(read(text), Ok((local.to_owned(), expected)), "{text}");
        }
        assert_eq!(path("<> SIZE=3"), Ok((None, " SIZE=3")));
        assert_eq!(path("<a@b> SIZE=3").unwrap().1, " SIZE=3");
    }

    #[test]
    fn malformed_paths() {
        for bad in [
            "<",
            "<a@b",
            "<@a>",
            "<a b@c>",
            "<a@>",
            "<@b:>",
            "",
            "<\"a@b>",
            "<\"a\"b@c>",
            "<a@b@c>",
            "<a\u{1}@b>",
            "<a@b c>",
        ] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(path(&format!("<{}@b>", "a".repeat(2000))).is_err());
    }

    #[test]
    fn detail_is_what_follows_the_plus() {
        let detail = |text: &str| {
            let address = path(text).unwrap().0.unwrap();
            let (user, detail) = address.split_detail();
            (user.to_owned(), detail.map(str::to_owned))
        };
        assert_eq!(detail("<a+b@c>"), ("a".to_owned(), Some("b".to_owned())));
        assert_eq!(
            detail("<a+b+c@d>"),
            ("a".to_owned(), Some("b+c".to_owned()))
        );
        assert_eq!(detail("<a+@d>"), ("a".to_owned(), Some(String::new())));
        assert_eq!(detail("<+a@d>"), ("+a".to_owned(), None));
    }
}
