//! Users whose mail is on another server (RFC 2221 LOGIN-REFERRALS).

use std::fmt::Write as _;

/// Where the mail of some users is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referral {
    /// Whose: names, and `*@DOMAIN`, in any case.
    pub users: Vec<String>,
    /// The other server, as an IMAP URL: `imap://imap2.example.org/`.
    pub server: String,
}

impl Referral {
    /// Whether a string is the URL of a server, without a user: `imap://HOST`, with a port or not.
    pub fn is_server(url: &str) -> bool {
        let rest = ["imap://", "imaps://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        let Some(host) = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest)) else {
            return false;
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(plain)
    }

    fn is_for(&self, user: &str) -> bool {
        let user = user.to_lowercase();
        self.users.iter().any(|pattern| {
            let pattern = pattern.to_lowercase();
            match pattern.strip_prefix('*') {
                Some(domain) => user.ends_with(domain),
                None => user == pattern,
            }
        })
    }

    /// The URL of a user's server. Any mechanism will do but ANONYMOUS (RFC 2221 §3).
    fn url(&self, user: &str) -> String {
        let (scheme, host) = self
            .server
            .split_once("://")
            .unwrap_or(("imap", &self.server));
        let host = host.strip_suffix('/').unwrap_or(host);
        let mut encoded = String::new();
        for byte in user.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    encoded.push(byte.into());
                }
                // A String takes everything.
                _ => drop(write!(encoded, "%{byte:02X}")),
            }
        }
        format!("{scheme}://{encoded};AUTH=*@{host}/")
    }
}

/// Where the mail of a user is, if it is elsewhere.
pub(crate) fn url_of(referrals: &[Referral], user: &str) -> Option<String> {
    let referral = referrals.iter().find(|referral| referral.is_for(user))?;
    Some(referral.url(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_sent_where_their_mail_is() {
        let referral = |users: &[&str], server: &str| Referral {
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            server: server.to_owned(),
        };
        let all = [
            referral(&["Mike"], "imap://SERVER2/"),
            referral(&["*@example.org"], "imap://imap.example.org:1143"),
        ];
        let url = |user| url_of(&all, user);
        assert_eq!(url("mike").as_deref(), Some("imap://mike;AUTH=*@SERVER2/"));
        assert_eq!(
            url("a;b@Example.org").as_deref(),
            Some("imap://a%3Bb%40Example.org;AUTH=*@imap.example.org:1143/")
        );
        assert_eq!(url("mike@example.com"), None);
    }

    #[test]
    fn only_servers_are_servers() {
        for good in ["imap://a", "imap://a.b:143/", "imaps://[::1]:993/"] {
            assert!(Referral::is_server(good), "{good}");
        }
        for bad in [
            "a",
            "imap://",
            "imap:///",
            "imap://u@h/",
            "imap://h/box",
            "http://h/",
        ] {
            assert!(!Referral::is_server(bad), "{bad}");
        }
    }
}
