//! The header fields that we read, found once for each part.

use memchr::memchr;

use crate::header::is_blank_line;

/// A field that ENVELOPE, BODYSTRUCTURE or the sort keys are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Date,
    Subject,
    From,
    Sender,
    ReplyTo,
    To,
    Cc,
    Bcc,
    InReplyTo,
    MessageId,
    References,
    ContentType,
    ContentTransferEncoding,
    ContentId,
    ContentDescription,
    ContentMd5,
    ContentDisposition,
    ContentLanguage,
    ContentLocation,
}

/// Where the value of such a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: Name,
    start: u32,
    end: u32,
}

impl Known {
    /// The value in the text in which it was found, still folded.
    pub(crate) fn value<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or(b"")
    }
}

/// The known fields of one header, in order.
#[derive(Clone, Copy)]
pub(crate) struct KnownFields<'a> {
    pub(crate) known: &'a [Known],
    pub(crate) text: &'a [u8],
}

impl<'a> KnownFields<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = (Name, &'a [u8])> {
        self.known
            .iter()
            .map(move |known| (known.name, known.value(self.text)))
    }
}

/// Finds the known fields of the header that begins at `start` in `text` and goes to its end.
pub(crate) fn find(text: &[u8], start: usize, out: &mut Vec<Known>) {
    let mut at = start;
    while at < text.len() && !is_blank_line(&text[at..]) {
        let found = name(&text[at..]);
        let value_start = at + found.map_or(0, |(_, length)| length);
        loop {
            at = memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length + 1);
            if !matches!(text.get(at), Some(b' ' | b'\t')) {
                break;
            }
        }
        if let Some((name, _)) = found {
            // Header text is kept up to a 32-bit limit.
            out.push(Known {
                name,
                start: value_start as u32,
                end: at as u32,
            });
        }
    }
}

/// The known name at the beginning of this line, and its length with the colon.
fn name(line: &[u8]) -> Option<(Name, usize)> {
    let names: &[(&str, Name)] = match line.first()? | 0x20 {
        b'b' => &[("bcc", Name::Bcc)],
        b'c' if line.len() > 8 && line[..8].eq_ignore_ascii_case(b"content-") => {
            let (name, length) = first_match(
                &line[8..],
                &[
                    ("type", Name::ContentType),
                    ("transfer-encoding", Name::ContentTransferEncoding),
                    ("id", Name::ContentId),
                    ("description", Name::ContentDescription),
                    ("md5", Name::ContentMd5),
                    ("disposition", Name::ContentDisposition),
                    ("language", Name::ContentLanguage),
                    ("location", Name::ContentLocation),
                ],
            )?;
            return Some((name, length + 8));
        }
        b'c' => &[("cc", Name::Cc)],
        b'd' => &[("date", Name::Date)],
        b'f' => &[("from", Name::From)],
        b'i' => &[("in-reply-to", Name::InReplyTo)],
        b'm' => &[("message-id", Name::MessageId)],
        b'r' => &[
            ("references", Name::References),
            ("reply-to", Name::ReplyTo),
        ],
        b's' => &[("subject", Name::Subject), ("sender", Name::Sender)],
        b't' => &[("to", Name::To)],
        _ => return None,
    };
    first_match(line, names)
}

fn first_match(line: &[u8], names: &[(&str, Name)]) -> Option<(Name, usize)> {
    names.iter().find_map(|&(name, known)| {
        let (head, tail) = line.split_at_checked(name.len())?;
        if !head.eq_ignore_ascii_case(name.as_bytes()) {
            return None;
        }
        // `obs-optional = field-name *WSP ":"` (RFC 5322 §4.5.8)
        let space = tail.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
        (tail[space] == b':').then_some((known, name.len() + space + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::fields;

    #[test]
    fn finds_what_the_general_reader_finds() {
        let headers: [&[u8]; 5] = [
            b"Cc: two-lists@example.org\r\ncc:abcd-e\r\nContent- \r\n\r\n",
            b"Subject: a\r\n b\r\nTO :c\nto\t : d\r\nTo x: no\r\n\r\nCc: body\r\n",
            b"CONTENT-type: a\r\nContent-ID:\r\ncontent-md5 x\r\nContent: x\r\ncc:\n\tx",
            b" folded\r\nReceived: x\r\nReply-To: y\r\nReferences: z\r\nSender:s\r\n:\r\nDate",
            b"Bcc: a\r\nMessage-ID: b\r\nIn-Reply-To: c\r\nContent-",
        ];
        for header in headers {
            let mut known = Vec::new();
            find(header, 0, &mut known);
            let general: Vec<&[u8]> = fields(header)
                .filter(|field| name(&[field.name, b":"].concat()).is_some())
                .map(|field| field.value)
                .collect();
            let values: Vec<&[u8]> = known.iter().map(|known| known.value(header)).collect();
            assert_eq!(values, general, "{}", header.escape_ascii());
        }
    }
}
