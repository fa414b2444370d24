//! Message-IDs, normalised so that the same one is the same (RFC 5256 §3, THREAD REFERENCES).

use memchr::{memchr, memchr2};

/// A Message-ID in few octets: a 64-bit hash of its normalised form.
///
/// The hash is part of stored formats and never changes. It is no secret and no proof: who can
/// send a message can as well put any Message-ID into its References.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageIdHash(pub u64);

impl MessageIdHash {
    /// The hash of a normalised Message-ID, as [`message_ids`] gives them.
    pub fn of(normalised: &[u8]) -> MessageIdHash {
        // FNV-1a, and a finalizer so that all bits depend on all octets.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for &byte in normalised {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        MessageIdHash(hash ^ hash >> 33)
    }
}

/// The Message-IDs in a Message-ID, In-Reply-To or References value, in order, without angle
/// brackets, quoting and white space.
pub fn message_ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[memchr(b'<', rest)? + 1..];
            let end = memchr2(b'<', b'>', rest)?;
            if rest[end] == b'>' {
                let normalised = normalise(&rest[..end]);
                rest = &rest[end + 1..];
                if !normalised.is_empty() {
                    return Some(normalised);
                }
            }
        }
    })
}

/// The one Message-ID of a Message-ID field; also one without angle brackets.
pub(crate) fn message_id(value: &[u8]) -> Option<Vec<u8>> {
    message_ids(value).next().or_else(|| {
        let bare = value.trim_ascii();
        let is_id = memchr(b'@', bare).is_some()
            && !bare
                .iter()
                .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>'));
        is_id.then(|| normalise(bare))
    })
}

fn normalise(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut is_quoted_pair = false;
    let mut in_quotes = false;
    for &byte in text {
        match byte {
            _ if is_quoted_pair => {
                out.push(byte);
                is_quoted_pair = false;
            }
            b'\\' if in_quotes => is_quoted_pair = true,
            b'"' => in_quotes = !in_quotes,
            b'\r' | b'\n' => {}
            b' ' | b'\t' if !in_quotes => {}
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(value: &str) -> Vec<String> {
        message_ids(value.as_bytes())
            .map(|id| String::from_utf8_lossy(&id).into_owned())
            .collect()
    }

    #[test]
    fn quoting_makes_no_difference() {
        // RFC 5256 §3
        assert_eq!(
            ids("<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>"),
            ids("<01KF8JCEOCBS0045PS@xxx.yyy.com>")
        );
        assert_eq!(ids("<\"a\\\"b c\"@d>"), ["a\"b c@d"]);
    }

    #[test]
    fn finds_what_is_there() {
        assert_eq!(ids("<a@b>\r\n <c@d>,<e@f>"), ["a@b", "c@d", "e@f"]);
        assert_eq!(ids("Your message <a@b> of Monday"), ["a@b"]);
        assert_eq!(ids("<a@b <c@d> <> <e"), ["c@d"]);
        assert_eq!(ids("none"), [""; 0]);
        assert_eq!(message_id(b" a@b \r\n").as_deref(), Some(&b"a@b"[..]));
        assert_eq!(message_id(b"a b@c"), None);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(MessageIdHash::of(b""), MessageIdHash(0xefd01f60ba992926));
        assert_eq!(MessageIdHash::of(b"a@b"), MessageIdHash(0xdf5b124b9bbdc055));
    }
}
