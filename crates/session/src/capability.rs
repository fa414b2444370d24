//! The capability list, built in one place from one table.
//!
//! A word is added here with the code behind it, never before.

use crate::env::Env;

/// What the list depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The listener's settings.
    pub(crate) env: &'a Env,
    /// A password sent now is safe, or allowed all the same.
    pub(crate) password_allowed: bool,
    /// TLS can be started.
    pub(crate) can_starttls: bool,
    /// Somebody has logged in.
    pub(crate) authenticated: bool,
}

type Condition = fn(&Facts<'_>) -> bool;

fn always(_: &Facts<'_>) -> bool {
    true
}

fn before_login(facts: &Facts<'_>) -> bool {
    !facts.authenticated
}

fn starttls(facts: &Facts<'_>) -> bool {
    !facts.authenticated && facts.can_starttls
}

fn password(facts: &Facts<'_>) -> bool {
    !facts.authenticated && facts.password_allowed
}

fn no_password(facts: &Facts<'_>) -> bool {
    !facts.authenticated && !facts.password_allowed
}

/// The words in the order in which they are sent, and when. `=` at the end stands for a number.
///
/// The list before the login is the full one as well: some clients never ask again.
const WORDS: &[(&str, Condition)] = &[
    ("IMAP4rev1", always),
    ("IMAP4rev2", always),
    ("SASL-IR", before_login),
    ("STARTTLS", starttls),
    ("LOGINDISABLED", no_password),
    ("AUTH=PLAIN", password),
    ("AUTH=LOGIN", password),
    ("LITERAL+", always),
    ("ID", always),
    ("ENABLE", always),
    ("NAMESPACE", always),
    ("IDLE", always),
    ("UNSELECT", always),
    ("CHILDREN", always),
    ("SPECIAL-USE", always),
    ("CREATE-SPECIAL-USE", always),
    ("LIST-EXTENDED", always),
    ("LIST-STATUS", always),
    ("STATUS=SIZE", always),
    ("UIDPLUS", always),
    ("MOVE", always),
    ("MULTIAPPEND", always),
    ("CONDSTORE", always),
    ("QRESYNC", always),
    ("UTF8=ACCEPT", always),
    ("APPENDLIMIT=", always),
];

/// What ENABLE accepts (RFC 5161 §3.1: only extensions that need it).
pub(crate) const ENABLEABLE: &[&str] = &["IMAP4rev2", "CONDSTORE", "QRESYNC", "UTF8=ACCEPT"];

/// The words that hold now.
pub(crate) fn words(facts: &Facts<'_>) -> Vec<String> {
    WORDS
        .iter()
        .filter(|(word, holds)| holds(facts) && !hidden(facts.env, word))
        .map(|(word, _)| match *word {
            "APPENDLIMIT=" => format!("{word}{}", facts.env.limits.append_bytes_max),
            word => word.to_owned(),
        })
        .collect()
}

/// Whether the operator has switched a word off.
pub(crate) fn hidden(env: &Env, word: &str) -> bool {
    env.hidden_capabilities.iter().any(|hidden| {
        hidden
            .trim_end_matches('=')
            .eq_ignore_ascii_case(word.trim_end_matches('='))
    })
}
