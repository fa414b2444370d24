//! IMAP URLs that name a message or a part of it: relative to this server and user (RFC 5092 §7; RFC 4469
//! §3), or authorized for others (RFC 4467).

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use restante_mailbox::Uid;
use restante_proto::decode::{DecodeOptions, decode};
use restante_proto::types::{CommandBody, Date, Fetch, MailboxName, Month};

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
        let url = without_dot_segments(std::str::from_utf8(url).ok()?);
        let at = find(&url, ";UID=")?;
        let (mailbox, rest) = url.split_at(at);
        let mailbox = mailbox.strip_suffix('/').unwrap_or(mailbox);
        let (mailbox, uid_validity) = match find(mailbox, ";UIDVALIDITY=") {
            Some(at) => {
                let (mailbox, validity) = mailbox.split_at(at);
                let validity = number(validity.get(";UIDVALIDITY=".len()..)?)?;
                (mailbox, Some(validity))
            }
            None => (mailbox, None),
        };
        // Within a name they come with a percent sign: here they begin a query, a fragment, a parameter.
        if mailbox.contains(['?', '#', ';']) {
            return None;
        }
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
        let uid = Uid::new(number(uid)?)?;
        let (mut section, mut partial) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=')?;
            let value = value.strip_suffix('/').unwrap_or(value);
            // RFC 5092 §11: each once, the section first.
            let first = partial.is_none();
            if name.eq_ignore_ascii_case("SECTION") && first && section.is_none() {
                section = Some(decoded(value)?);
            } else if name.eq_ignore_ascii_case("PARTIAL") && first {
                partial = Some(range(value)?);
            } else {
                return None;
            }
        }
        Some(MessageUrl {
            mailbox,
            uid_validity,
            uid,
            fetch: fetch(&section.unwrap_or_default(), partial)?,
        })
    }
}

/// Who may use an authorized URL (RFC 4467 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever has it.
    Anonymous,
    /// Who has logged in as somebody.
    AuthUser,
    /// One user.
    User(String),
    /// Mail submission, for one user.
    Submit(String),
}

/// A URL that authorizes, or is to (RFC 4467 §9 `authimapurlfull`, `authimapurlrump`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthUrl<'u> {
    /// Whose mailbox it is, and whose key.
    pub(crate) owner: String,
    /// The server, without its port.
    host: &'u str,
    /// What it names.
    pub(crate) message: MessageUrl,
    /// The last second in which it is valid, since 1970.
    pub(crate) expires_s: Option<i64>,
    pub(crate) access: Access,
    /// The URL up to and with the access: what the token is made of, octet for octet.
    pub(crate) rump: &'u [u8],
    /// Mechanism and token, if it has them.
    pub(crate) authorization: Option<(&'u str, &'u str)>,
}

/// What a URL lacks that was to be one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UrlFault {
    Malformed,
    NoOwner,
    NoAccess,
    NoMessage,
}

impl<'u> AuthUrl<'u> {
    /// Reads a URL such as
    /// `imap://joe@example.com/INBOX/;UID=20/;SECTION=1.2;EXPIRE=2026-12-31T23:59:59Z;URLAUTH=authuser:INTERNAL:…`.
    pub(crate) fn parse(url: &'u [u8]) -> Result<AuthUrl<'u>, UrlFault> {
        const SCHEME: &str = "imap://";
        let text = std::str::from_utf8(url).map_err(|_| UrlFault::Malformed)?;
        let plain = url.len() <= URL_BYTES_MAX && url.iter().all(u8::is_ascii_graphic);
        let scheme = text.get(..SCHEME.len()).unwrap_or_default();
        if !plain || !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(UrlFault::Malformed);
        }
        let rest = &text[SCHEME.len()..];
        let at = rest.find('/').ok_or(UrlFault::NoMessage)?;
        let (server, path) = rest.split_at(at);
        let (user, host) = server.rsplit_once('@').ok_or(UrlFault::NoOwner)?;
        // How to log in does not matter here.
        let user = user.split_once(';').map_or(user, |(user, _)| user);
        let owner = decoded(user).filter(|user| !user.is_empty());
        let owner = owner.ok_or(UrlFault::NoOwner)?;
        if host.is_empty() || user.contains(':') {
            return Err(UrlFault::Malformed);
        }
        let at = rfind(path, ";URLAUTH=").ok_or(UrlFault::NoAccess)?;
        let (head, auth) = path.split_at(at);
        let auth = &auth[";URLAUTH=".len()..];
        let (access, authorization) = match auth.split_once(':') {
            Some((access, rest)) => {
                let pair = rest.split_once(':').ok_or(UrlFault::Malformed)?;
                (access, Some(pair))
            }
            None => (auth, None),
        };
        let rump = &url[..url.len() - (auth.len() - access.len())];
        let access = self::access(access).ok_or(UrlFault::NoAccess)?;
        let (head, expires_s) = match rfind(head, ";EXPIRE=") {
            Some(at) => {
                let (head, expire) = head.split_at(at);
                let expire = seconds(&expire[";EXPIRE=".len()..]);
                (head, Some(expire.ok_or(UrlFault::Malformed)?))
            }
            None => (head, None),
        };
        let message = MessageUrl::parse(head.as_bytes());
        let message = message.filter(|message| message.mailbox.is_some());
        Ok(AuthUrl {
            owner,
            host: host.split_once(':').map_or(host, |(host, _)| host),
            message: message.ok_or(UrlFault::NoMessage)?,
            expires_s,
            access,
            rump,
            authorization,
        })
    }

    /// Whom the owner may be: a user of that name or, where the names of users have domains,
    /// `joe@example.com` for `imap://joe@example.com/…`.
    pub(crate) fn owners(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let full = (!self.owner.contains('@')).then(|| format!("{}@{}", self.owner, self.host));
        std::iter::once(Cow::Borrowed(self.owner.as_str())).chain(full.map(Cow::Owned))
    }
}

/// `("submit+" enc-user) / ("user+" enc-user) / "authuser" / "anonymous"`
fn access(text: &str) -> Option<Access> {
    if text.eq_ignore_ascii_case("anonymous") {
        return Some(Access::Anonymous);
    }
    if text.eq_ignore_ascii_case("authuser") {
        return Some(Access::AuthUser);
    }
    let (kind, user) = text.split_once('+')?;
    let user = decoded(user).filter(|user| !user.is_empty())?;
    match () {
        () if kind.eq_ignore_ascii_case("user") => Some(Access::User(user)),
        () if kind.eq_ignore_ascii_case("submit") => Some(Access::Submit(user)),
        () => None,
    }
}

/// A date-time (RFC 3339 §5.6) as seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let number = |range: Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten()
    };
    let signs = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    let separated = |(at, sign): &(usize, &str)| text.get(*at..at + 1) == Some(*sign);
    let t = text.get(10..11)?;
    if !signs.iter().all(separated) || !t.eq_ignore_ascii_case("T") {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let month = Month::new(month.try_into().ok()?)?;
    let date = Date::new(year.try_into().ok()?, month, day.try_into().ok()?).ok()?;
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        rest = fraction.get(digits..).filter(|_| digits > 0)?;
    }
    let zone_min = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digits = [*h1, *h2, *m1, *m2];
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let [h1, h2, m1, m2] = digits.map(|digit| i64::from(digit - b'0'));
            let minutes = (h1 * 10 + h2) * 60 + m1 * 10 + m2;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(date.days_since_epoch() * 86_400 + of_day - zone_min * 60)
}

/// Where `what` begins last, in any case.
fn rfind(text: &str, what: &str) -> Option<usize> {
    let windows = text.as_bytes().windows(what.len()).enumerate();
    windows
        .rev()
        .find(|(_, window)| window.eq_ignore_ascii_case(what.as_bytes()))
        .map(|(at, _)| at)
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
        Some((from, length)) => (number(from)?, number(length)?),
        None => (number(text)?, u32::MAX),
    })
}

/// A number is digits, without a sign.
fn number<N: FromStr>(digits: &str) -> Option<N> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// The path without `.` and `..` (RFC 3986 §5.2.4): `/Work/../INBOX/;UID=1` is `/INBOX/;UID=1`.
fn without_dot_segments(path: &str) -> Cow<'_, str> {
    let Some(rooted) = path.strip_prefix('/') else {
        return Cow::Borrowed(path);
    };
    let mut kept = Vec::new();
    let mut segments = rooted.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

/// Whether a URL asks for a part of what it names by its octets (RFC 5092 §11 `ipartial`).
pub(crate) fn is_partial(url: &[u8]) -> bool {
    const PARTIAL: &[u8] = b"/;PARTIAL=";
    let mut windows = url.windows(PARTIAL.len());
    windows.any(|window| window.eq_ignore_ascii_case(PARTIAL))
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
        let inbox = Some("INBOX".to_owned());
        for path in [
            "/./INBOX",
            "/a/b/../../INBOX",
            "/../INBOX",
            "/a/;UID=3/../../INBOX",
        ] {
            let url = format!("{path}/;UID=1");
            assert_eq!(parse(&url), Some((inbox.clone(), None, 1)), "{path}");
        }
        let dotted = Some("a/../b..".to_owned());
        assert_eq!(parse("/a/%2E%2E/b../;UID=1"), Some((dotted, None, 1)));
        let dots = Some("..".to_owned());
        assert_eq!(
            parse("/..;UIDVALIDITY=3/;UID=20"),
            Some((dots, Some(3), 20))
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
            "/INBOX/;UID=+1",
            "/INBOX;UIDVALIDITY=+1/;UID=1",
            "/INBOX/;UID=1/;PARTIAL=+1",
            "/INBOX/;UID=1/;PARTIAL=0.0",
            "/INBOX/;UID=1/;PARTIAL=0.4/;SECTION=1",
            "/INBOX/;UID=1/;SECTION=1/;SECTION=2",
            "/INBOX/;UID=1/;PARTIAL=0.4/;PARTIAL=0.5",
            "/INBOX?ALL/;UID=1",
            "/INBOX#a/;UID=1",
            "/INBOX;a/;UID=1",
            "/foo/;UID=20/..",
            "../INBOX/;UID=1",
        ] {
            assert_eq!(MessageUrl::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    fn auth(url: &str) -> Result<AuthUrl<'_>, UrlFault> {
        AuthUrl::parse(url.as_bytes())
    }

    #[test]
    fn urls_that_authorize() {
        // RFC 4467 §7, RFC 5550 §8.4.
        let url = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:91354a473744909de610943775f92038";
        let parsed = auth(url).expect("a URL");
        assert_eq!(parsed.owner, "joe");
        assert_eq!(parsed.access, Access::Submit("fred".to_owned()));
        assert_eq!(
            parsed.authorization,
            Some(("internal", "91354a473744909de610943775f92038"))
        );
        assert!(url.as_bytes().starts_with(parsed.rump) && parsed.rump.ends_with(b"+fred"));
        assert_eq!(parsed.expires_s, None);
        let url = "IMAP://bob%2Ear;AUTH=*@example.org:143/Sent;UIDVALIDITY=387899045/;uid=45/;expire=2005-10-28T23:59:59Z;urlauth=USER+bob.ar";
        let parsed = auth(url).expect("a URL");
        assert_eq!(
            (parsed.owner.as_str(), parsed.expires_s),
            ("bob.ar", Some(1_130_543_999))
        );
        assert_eq!(
            parsed.owners().collect::<Vec<_>>(),
            ["bob.ar", "bob.ar@example.org"]
        );
        assert_eq!(parsed.message.uid_validity, Some(387_899_045));
        assert_eq!((parsed.rump, parsed.authorization), (url.as_bytes(), None));
        assert_eq!(parsed.access, Access::User("bob.ar".to_owned()));
    }

    #[test]
    fn urls_that_do_not() {
        let cases = [
            ("/INBOX/;uid=20;urlauth=anonymous", UrlFault::Malformed),
            (
                "http://joe@example.com/INBOX/;uid=20;urlauth=anonymous",
                UrlFault::Malformed,
            ),
            (
                "imap://joe@/INBOX/;uid=20;urlauth=anonymous",
                UrlFault::Malformed,
            ),
            (
                "imap://joe:secret@h/INBOX/;uid=20;urlauth=anonymous",
                UrlFault::Malformed,
            ),
            (
                "imap://joe@h/INBOX/;uid=20;urlauth=anonymous:internal",
                UrlFault::Malformed,
            ),
            (
                "imap://joe@h/INBOX/;uid=20;expire=soon;urlauth=anonymous",
                UrlFault::Malformed,
            ),
            (
                "imap://joe@h/INBOX/;uid= 20;urlauth=anonymous",
                UrlFault::Malformed,
            ),
            (
                "imap://h/INBOX/;uid=20;urlauth=anonymous",
                UrlFault::NoOwner,
            ),
            (
                "imap://@h/INBOX/;uid=20;urlauth=anonymous",
                UrlFault::NoOwner,
            ),
            (
                "imap://;AUTH=*@h/INBOX/;uid=20;urlauth=anonymous",
                UrlFault::NoOwner,
            ),
            ("imap://joe@h/INBOX/;uid=20", UrlFault::NoAccess),
            ("imap://joe@h/INBOX/;uid=20;urlauth=", UrlFault::NoAccess),
            (
                "imap://joe@h/INBOX/;uid=20;urlauth=user+",
                UrlFault::NoAccess,
            ),
            (
                "imap://joe@h/INBOX/;uid=20;urlauth=root+joe",
                UrlFault::NoAccess,
            ),
            ("imap://joe@h", UrlFault::NoMessage),
            ("imap://joe@h/;urlauth=anonymous", UrlFault::NoMessage),
            ("imap://joe@h/INBOX;urlauth=anonymous", UrlFault::NoMessage),
            (
                "imap://joe@h/INBOX?SUBJECT%20x;urlauth=anonymous",
                UrlFault::NoMessage,
            ),
            (
                "imap://joe@h/;uid=20;urlauth=anonymous",
                UrlFault::NoMessage,
            ),
        ];
        for (url, fault) in cases {
            assert_eq!(auth(url), Err(fault), "{url}");
        }
    }

    #[test]
    fn dates_of_expiry() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("1985-04-12T23:20:50.52Z"), Some(482_196_050));
        assert_eq!(seconds("1996-12-19T16:39:57-08:00"), Some(851_042_397));
        for bad in [
            "",
            "1996-12-19",
            "1996-12-19T16:39:57",
            "1996-13-19T16:39:57Z",
            "1996-12-19T24:39:57Z",
            "1996-12-19T16:39:57.Z",
            "1996-12-19T16:39:57+8:00",
            "+996-12-19T16:39:57Z",
            "1996-12-19 16:39:57Z",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_authorized_url_panics(url in "imap://[a-z;@:%]{0,9}/?[A-Z;=/]{0,9}(;EXPIRE=[0-9TZ:-]{0,22})?;URLAUTH=[a-z+:%]{0,20}\\PC{0,3}") {
            let _ = AuthUrl::parse(url.as_bytes());
        }

        #[test]
        fn no_url_panics(url in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = MessageUrl::parse(&url);
            let mut begun = b"/INBOX/;UID=1/;SECTION=".to_vec();
            begun.extend_from_slice(&url);
            let _ = MessageUrl::parse(&begun);
        }
    }
}
