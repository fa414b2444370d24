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

fn after_login(facts: &Facts<'_>) -> bool {
    facts.authenticated
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
    ("CATENATE", always),
    ("REPLACE", always),
    ("CONDSTORE", always),
    ("QRESYNC", always),
    ("ESEARCH", always),
    ("SEARCHRES", always),
    ("WITHIN", always),
    ("PARTIAL", always),
    ("UIDBATCHES", always),
    ("INPROGRESS", always),
    ("SORT", always),
    ("SORT=DISPLAY", always),
    ("ESORT", always),
    ("THREAD=ORDEREDSUBJECT", always),
    ("THREAD=REFERENCES", always),
    ("THREAD=REFS", always),
    ("BINARY", always),
    ("OBJECTID", always),
    ("SAVEDATE", always),
    ("PREVIEW", always),
    ("METADATA", always),
    ("METADATA-SERVER", always),
    ("LIST-METADATA", always),
    ("QUOTA", always),
    ("QUOTA=RES-STORAGE", always),
    ("UTF8=ACCEPT", always),
    ("COMPRESS=DEFLATE", always),
    ("NOTIFY", always),
    ("UNAUTHENTICATE", after_login),
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

/// Whether a word is one that this server can advertise, in any case.
pub fn is_capability(word: &str) -> bool {
    let same = |known: &str| {
        known
            .trim_end_matches('=')
            .eq_ignore_ascii_case(word.trim_end_matches('='))
    };
    WORDS.iter().any(|(known, _)| same(known))
}

/// Whether the operator has switched a word off.
pub(crate) fn hidden(env: &Env, word: &str) -> bool {
    env.hidden_capabilities.iter().any(|hidden| {
        hidden
            .trim_end_matches('=')
            .eq_ignore_ascii_case(word.trim_end_matches('='))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::WORDS;

    /// What is advertised has its row in docs/rfc/support.tsv, with its RFC and its transcripts; and
    /// what has such a row is advertised.
    #[test]
    fn every_word_has_its_row() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let table = std::fs::read_to_string(root.join("docs/rfc/support.tsv")).expect("the table");
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("capability\trfc\tstatus\twhere"));
        let mut supported = BTreeSet::new();
        for line in lines {
            let columns: Vec<&str> = line.split('\t').collect();
            let [word, rfc, status, place] = columns[..] else {
                panic!("not four columns: {line}");
            };
            if status.starts_with("no") {
                continue;
            }
            assert!(
                rfc.starts_with("RFC ") || rfc.starts_with("draft-"),
                "{line}"
            );
            assert!(status.starts_with("yes"), "{line}");
            let transcripts = root.join(place).read_dir();
            let transcripts = transcripts.unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(transcripts.count() > 0, "no transcripts: {line}");
            assert!(supported.insert(word.to_owned()), "twice: {line}");
        }
        let advertised: BTreeSet<String> = WORDS
            .iter()
            .map(|(word, _)| word.trim_end_matches('=').to_owned())
            .collect();
        assert_eq!(advertised, supported);
    }
}
