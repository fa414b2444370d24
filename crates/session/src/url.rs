//! IMAP URLs that name a message or a part of it, relative to this server and user (RFC 5092 §7; RFC 4469
//! §3).

use restante_mailbox::Uid;
use restante_proto::decode::{DecodeOptions, decode};
use restante_proto::types::{CommandBody, Fetch, MailboxName};

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageUrl {
    /// The mailbox; `None` is the selected one.
    pub(crate) mailbox: Option<MailboxName>,
    /// UIDVALIDITY, if it is given.
    pub(crate) uid_validity: Option<u32>,
    /// The message.
    pub(crate) uid: Uid,
    /// What of it, as a FETCH would ask for it.
    pub(crate) fetch: Fetch,
}

/// Longer than any that a client makes.
const URL_BYTES_MAX: usize = 8 << 10;

impl MessageUrl {
    /// Reads a relative URL: `/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.MIME/;PARTIAL=0.1024`, or
    /// `;UID=20` in the selected mailbox. `None` if it is none.
    pub(crate) fn parse(url: &[u8]) -> Option<MessageUrl> {
        if url.len() > URL_BYTES_MAX {
            return None;
        }
        let url = std::str::from_utf8(url).ok()?;
        let at = find(url, ";UID=")?;
        let (mailbox, rest) = url.split_at(at);
        let mailbox = mailbox.strip_suffix('/').unwrap_or(mailbox);
        let (mailbox, uid_validity) = match find(mailbox, ";UIDVALIDITY=") {
            Some(at) => {
                let (mailbox, number) = mailbox.split_at(at);
                let number = number.get(";UIDVALIDITY=".len()..)?.parse().ok()?;
                (mailbox, Some(number))
            }
            None => (mailbox, None),
        };
        let mailbox = match mailbox {
            "" => None,
            // An absolute path; with two slashes another server is meant.
            path => Some(MailboxName::new(decoded(
                path.strip_prefix('/')
                    .filter(|name| !name.starts_with('/'))?,
            )?)),
        };
        let mut parts = rest.split("/;");
        let uid = parts.next()?.get(";UID=".len()..)?;
        let uid = uid.strip_suffix('/').unwrap_or(uid);
        let uid = Uid::new(uid.parse().ok()?)?;
        let (mut section, mut partial) = (String::new(), None);
        for part in parts {
            let (name, value) = part.split_once('=')?;
            let value = value.strip_suffix('/').unwrap_or(value);
            match name {
                name if name.eq_ignore_ascii_case("SECTION") => section = decoded(value)?,
                name if name.eq_ignore_ascii_case("PARTIAL") => partial = Some(range(value)?),
                _ => return None,
            }
        }
        Some(MessageUrl {
            mailbox,
            uid_validity,
            uid,
            fetch: fetch(&section, partial)?,
        })
    }
}

/// The FETCH that asks for a section. Its grammar is that of the command, so the command's decoder reads it.
fn fetch(section: &str, partial: Option<(u64, u32)>) -> Option<Fetch> {
    if section.contains(['\r', '\n', '{', ']', '\0']) {
        return None;
    }
    let partial = match partial {
        Some((from, length)) => format!("<{from}.{length}>"),
        None => String::new(),
    };
    let command = format!("x UID FETCH 1 BODY.PEEK[{section}]{partial}");
    match decode(command.as_bytes(), &DecodeOptions::default())
        .ok()?
        .body
    {
        CommandBody::Fetch(fetch) => Some(fetch),
        _ => None,
    }
}

/// `offset[.length]` (RFC 5092 §11 `partial-range`).
fn range(text: &str) -> Option<(u64, u32)> {
    Some(match text.split_once('.') {
        Some((from, length)) => (from.parse().ok()?, length.parse().ok()?),
        None => (text.parse().ok()?, u32::MAX),
    })
}

/// Where `what` begins, in any case.
fn find(text: &str, what: &str) -> Option<usize> {
    let bytes = text.as_bytes().windows(what.len());
    let mut found = bytes.enumerate();
    found
        .find(|(_, window)| window.eq_ignore_ascii_case(what.as_bytes()))
        .map(|(at, _)| at)
}

/// The text without percent signs (RFC 3986 §2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        let hex = std::str::from_utf8(hex)
            .ok()
            .filter(|hex| !hex.contains('+'))?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Option<(Option<String>, Option<u32>, u32)> {
        let url = MessageUrl::parse(url.as_bytes())?;
        let mailbox = url.mailbox.map(|name| name.as_str().to_owned());
        Some((mailbox, url.uid_validity, url.uid.get()))
    }

    #[test]
    fn the_forms_that_clients_send() {
        let drafts = Some("Drafts".to_owned());
        assert_eq!(
            parse("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER"),
            Some((drafts.clone(), Some(385_759_045), 20))
        );
        assert_eq!(
            parse("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME"),
            Some((drafts.clone(), Some(385_759_045), 20))
        );
        assert_eq!(
            parse("/Drafts;UIDVALIDITY=385759045/;UID=30"),
            Some((drafts.clone(), Some(385_759_045), 30))
        );
        assert_eq!(parse("/Drafts/;uid=3002"), Some((drafts, None, 3002)));
        assert_eq!(parse(";UID=7/;SECTION=1.2;/;PARTIAL=0.1024"), None);
        assert_eq!(
            parse("/;UID=7/;SECTION=1.2/;PARTIAL=0.1024"),
            Some((None, None, 7))
        );
        assert_eq!(
            parse("/Entw%C3%BCrfe/2026/;UID=1"),
            Some((Some("Entwürfe/2026".to_owned()), None, 1))
        );
        let fields = MessageUrl::parse(b"/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20(Subject%20To)");
        assert_eq!(
            fields.expect("a URL").fetch,
            fetch("HEADER.FIELDS (Subject To)", None).expect("a FETCH")
        );
    }

    #[test]
    fn what_is_no_such_url() {
        for bad in [
            "",
            "/",
            "INBOX",
            "/INBOX",
            "/INBOX/;UID=",
            "/INBOX/;UID=0",
            "/INBOX/;UID=x",
            "/INBOX/;UID=1/;SECTION=]",
            "/INBOX/;UID=1/;SECTION=%0d%0a",
            "/INBOX/;UID=1/;SECTION=1.0",
            "/INBOX/;UID=1/;PARTIAL=x",
            "/INBOX/;UID=1/;WHAT=1",
            "//host/INBOX/;UID=1",
            "imap://joe@example.com/INBOX/;UID=1",
            "/INBOX;UIDVALIDITY=x/;UID=1",
            "/%zz/;UID=1",
            "/%+1/;UID=1",
            "/%C3/;UID=1",
            "/INBOX/;UID=1/;SECTION={3}",
            "/INBOX/;UID=4294967296",
        ] {
            assert_eq!(MessageUrl::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_url_panics(url in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = MessageUrl::parse(&url);
            let mut begun = b"/INBOX/;UID=1/;SECTION=".to_vec();
            begun.extend_from_slice(&url);
            let _ = MessageUrl::parse(&begun);
        }
    }
}
