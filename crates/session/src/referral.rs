//! Users whose mail is on another server (RFC 2221 LOGIN-REFERRALS), and mailboxes that are
//! (RFC 2193 MAILBOX-REFERRALS).

use std::fmt::Write as _;

use restante_mailbox::MailboxName;
use restante_proto::types::{self as wire, Code, CommandBody};

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Failure, Reply};
use crate::state::State;

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
}

/// A mailbox, and all below it, that is on other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxReferral {
    /// Its name here and there. A mailbox of this name that is here is out of reach.
    pub mailbox: MailboxName,
    /// The servers that have it, the best first, as [`Referral::server`].
    pub servers: Vec<String>,
    /// Whose: as [`Referral::users`]; none: everybody's.
    pub users: Vec<String>,
}

impl MailboxReferral {
    fn is_for(&self, user: &str) -> bool {
        self.users.is_empty() || is_among(&self.users, user)
    }

    fn covers(&self, name: &MailboxName) -> bool {
        *name == self.mailbox || name.is_below(&self.mailbox)
    }

    fn urls(&self, user: &str, name: &MailboxName) -> Vec<String> {
        let url = |server: &String| url(server, user) + &encoded(name.as_str(), b"/");
        self.servers.iter().map(url).collect()
    }
}

/// Whether a user (in any case) is one of these names or `*@DOMAIN`s.
fn is_among(users: &[String], user: &str) -> bool {
    let user = user.to_lowercase();
    users.iter().any(|pattern| {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('*') {
            Some(domain) => user.ends_with(domain),
            None => user == pattern,
        }
    })
}

/// The URL of a user's server. Any mechanism will do but ANONYMOUS (RFC 2221 §3, RFC 2193 §3).
fn url(server: &str, user: &str) -> String {
    let (scheme, host) = server.split_once("://").unwrap_or(("imap", server));
    let host = host.strip_suffix('/').unwrap_or(host);
    format!("{scheme}://{};AUTH=*@{host}/", encoded(user, b""))
}

/// As it stands in a URL; `plain` are octets that may stay as they are, too.
fn encoded(text: &str, plain: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            byte if plain.contains(&byte) => encoded.push(byte.into()),
            // A String takes everything.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Where the mail of a user is, if it is elsewhere.
pub(crate) fn url_of(referrals: &[Referral], user: &str) -> Option<String> {
    let mut referrals = referrals.iter();
    let referral = referrals.find(|referral| is_among(&referral.users, user))?;
    Some(url(&referral.server, user))
}

/// The mailboxes of a user that are elsewhere.
pub(crate) fn mailboxes<'a>(
    all: &'a [MailboxReferral],
    user: &'a str,
) -> impl Iterator<Item = &'a MailboxName> + Clone {
    let all = all.iter().filter(move |referral| referral.is_for(user));
    all.map(|referral| &referral.mailbox)
}

/// Refuses a command about a mailbox that is on another server, and says where (RFC 2193 §4). Subscriptions
/// to such mailboxes are kept here. SELECT and EXAMINE ask [`check_mailbox`] themselves: they leave the selected mailbox
/// first.
pub(crate) fn check(cx: &Cx, state: &State, body: &CommandBody) -> Result<(), Failure> {
    use CommandBody as C;
    if cx.env.mailbox_referrals.is_empty() {
        return Ok(());
    }
    match body {
        C::Rename { from, to } => check_rename(cx, state, from, to),
        C::SetAcl(args) => check_mailbox(cx, state, &args.mailbox),
        C::GetMetadata(args) => check_mailbox(cx, state, &args.mailbox),
        C::Create { mailbox, .. }
        | C::Delete(mailbox)
        | C::Status { mailbox, .. }
        | C::Copy { mailbox, .. }
        | C::Move { mailbox, .. }
        | C::GetQuotaRoot(mailbox)
        | C::GetAcl(mailbox)
        | C::DeleteAcl { mailbox, .. }
        | C::ListRights { mailbox, .. }
        | C::MyRights(mailbox)
        | C::SetMetadata { mailbox, .. } => check_mailbox(cx, state, mailbox),
        _ => Ok(()),
    }
}

/// The same for the mailbox of an APPEND or a REPLACE.
pub(crate) fn check_mailbox(
    cx: &Cx,
    state: &State,
    mailbox: &wire::MailboxName,
) -> Result<(), Failure> {
    match urls(cx, state, mailbox)? {
        None => Ok(()),
        Some(urls) => Err(elsewhere(cx, &urls)),
    }
}

/// The old name and the new one, in pairs (RFC 2193 §4.3).
fn check_rename(
    cx: &Cx,
    state: &State,
    from: &wire::MailboxName,
    to: &wire::MailboxName,
) -> Result<(), Failure> {
    match (urls(cx, state, from)?, urls(cx, state, to)?) {
        (None, None) => Ok(()),
        (Some(from), Some(to)) => {
            let pairs = from.into_iter().zip(to);
            let urls: Vec<String> = pairs.flat_map(|(from, to)| [from, to]).collect();
            Err(elsewhere(cx, &urls))
        }
        // By which name clients reach this server is not known here.
        _ => Err(
            Reply::no("A mailbox cannot be renamed from one server to another")
                .code(Code::Cannot)
                .into(),
        ),
    }
}

fn elsewhere(cx: &Cx, urls: &[String]) -> Failure {
    let reply = Reply::no("The mailbox is on another server");
    match cx.hides("MAILBOX-REFERRALS") {
        true => reply.into(),
        false => reply
            .code(Code::Referral(urls.join(" ").into_bytes()))
            .into(),
    }
}

/// Where a mailbox is, if it is elsewhere.
fn urls(
    cx: &Cx,
    state: &State,
    mailbox: &wire::MailboxName,
) -> Result<Option<Vec<String>>, Failure> {
    let all = &cx.env.mailbox_referrals;
    // What is no name is said by the command itself.
    let (false, Ok(name)) = (all.is_empty(), convert::mailbox_name(mailbox)) else {
        return Ok(None);
    };
    let user = &state.login()?.name;
    let mut all = all.iter().filter(|referral| referral.is_for(user));
    let found = all.find(|referral| referral.covers(&name));
    Ok(found.map(|referral| referral.urls(user, &name)))
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
