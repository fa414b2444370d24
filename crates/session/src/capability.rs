//! The capability list, built in one place from one table.
//!
//! A word is added here with the code behind it, never before.

use std::num::NonZeroU32;

use restante_auth::sasl::Channel;

use crate::env::{Env, Offers};

/// What the list depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The listener's settings.
    pub(crate) env: &'a Env,
    /// The words that are hidden from this client.
    pub(crate) hidden_from_client: &'a [String],
    /// The words that are hidden from who has logged in.
    pub(crate) hidden_from_user: &'a [String],
    /// A password sent now is safe, or allowed all the same.
    pub(crate) password_allowed: bool,
    /// TLS can be started.
    pub(crate) can_starttls: bool,
    /// Somebody has logged in.
    pub(crate) authenticated: bool,
    /// It is nobody in particular.
    pub(crate) anonymous: bool,
    /// Who sets the quotas of all.
    pub(crate) sets_quotas: bool,
    /// What can be checked.
    pub(crate) offers: Offers,
    /// What a login can be bound to.
    pub(crate) channel: &'a Channel,
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

/// What others could use again if they read it, and a login that they could take over, need TLS.
fn passwords(facts: &Facts<'_>) -> bool {
    password(facts) && facts.offers.passwords
}

fn scram_sha1(facts: &Facts<'_>) -> bool {
    password(facts) && facts.offers.scram_sha1
}

fn scram_sha256(facts: &Facts<'_>) -> bool {
    password(facts) && facts.offers.scram_sha256
}

fn scram_sha1_plus(facts: &Facts<'_>) -> bool {
    scram_sha1(facts) && facts.channel.can_bind()
}

fn scram_sha256_plus(facts: &Facts<'_>) -> bool {
    scram_sha256(facts) && facts.channel.can_bind()
}

fn tokens(facts: &Facts<'_>) -> bool {
    password(facts) && facts.offers.tokens
}

fn certificate(facts: &Facts<'_>) -> bool {
    !facts.authenticated && facts.offers.certificates && facts.channel.certificate.is_some()
}

fn anonymous(facts: &Facts<'_>) -> bool {
    !facts.authenticated && facts.offers.anonymous
}

fn sharing(facts: &Facts<'_>) -> bool {
    facts.env.sharing.is_on()
}

/// What IMAP4rev2 has of what is told by words of its own, too (RFC 9051 appendix E, 2 and 3).
const IN_REV2: &[&str] = &[
    "BINARY",
    "ENABLE",
    "ESEARCH",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LITERAL+",
    "MOVE",
    "NAMESPACE",
    "SASL-IR",
    "SEARCHRES",
    "STATUS=SIZE",
    "UIDPLUS",
    "UNSELECT",
];

/// Whether all of IMAP4rev2 is there, if these words are hidden: there is no half of it.
pub(crate) fn is_rev2_whole(hides: impl Fn(&str) -> bool) -> bool {
    !IN_REV2.iter().any(|word| hides(word))
}

fn rev2(facts: &Facts<'_>) -> bool {
    is_rev2_whole(|word| hidden(facts, word))
}

/// At most one of `UTF8=ACCEPT` and `UTF8=ONLY` is told (RFC 9755 §7).
fn utf8_accept(facts: &Facts<'_>) -> bool {
    !utf8_only(facts) || hidden(facts, "UTF8=ONLY")
}

fn utf8_only(facts: &Facts<'_>) -> bool {
    facts.env.utf8_only
}

/// Whose login suffices there as well; with the same object ids (RFC 9698 §3).
fn jmap_access(facts: &Facts<'_>) -> bool {
    let known = facts.env.jmap_url.is_some() && !hidden(facts, "OBJECTID");
    known && facts.authenticated && !facts.anonymous
}

fn login_referrals(facts: &Facts<'_>) -> bool {
    !facts.authenticated && !facts.env.referrals.is_empty()
}

fn mailbox_referrals(facts: &Facts<'_>) -> bool {
    !facts.env.mailbox_referrals.is_empty()
}

/// Shown to those who can use it.
fn quota_set(facts: &Facts<'_>) -> bool {
    facts.sets_quotas && !hidden(facts, "QUOTA")
}

fn message_limit(facts: &Facts<'_>) -> bool {
    facts.env.limits.messages_max.is_some()
}

/// Instead of `MESSAGELIMIT`, not beside it (RFC 9738 §3).
fn save_limit(facts: &Facts<'_>) -> bool {
    let limits = &facts.env.limits;
    let beside = limits.messages_max.is_some() && !hidden(facts, "MESSAGELIMIT");
    limits.saved_messages_max.is_some() && !beside
}

fn no_password(facts: &Facts<'_>) -> bool {
    !facts.authenticated && !passwords(facts)
}

/// A server that has a higher level does not show a lower one (RFC 5255 §4.3).
fn only_level_1(facts: &Facts<'_>) -> bool {
    hidden(facts, "I18NLEVEL=2")
}

/// The words in the order in which they are sent, and when. `=` at the end stands for a number.
///
/// The list before the login is the full one as well: some clients never ask again.
const WORDS: &[(&str, Condition)] = &[
    ("IMAP4rev1", always),
    ("IMAP4rev2", rev2),
    ("SASL-IR", before_login),
    ("LOGIN-REFERRALS", login_referrals),
    ("MAILBOX-REFERRALS", mailbox_referrals),
    ("STARTTLS", starttls),
    ("LOGINDISABLED", no_password),
    ("AUTH=SCRAM-SHA-256-PLUS", scram_sha256_plus),
    ("AUTH=SCRAM-SHA-1-PLUS", scram_sha1_plus),
    ("AUTH=SCRAM-SHA-256", scram_sha256),
    ("AUTH=SCRAM-SHA-1", scram_sha1),
    ("AUTH=PLAIN", passwords),
    ("AUTH=LOGIN", passwords),
    ("AUTH=EXTERNAL", certificate),
    ("AUTH=OAUTHBEARER", tokens),
    ("AUTH=XOAUTH2", tokens),
    ("AUTH=ANONYMOUS", anonymous),
    ("LITERAL+", always),
    ("ID", always),
    ("ENABLE", always),
    ("NAMESPACE", always),
    ("LANGUAGE", always),
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
    ("URLAUTH", always),
    ("URLAUTH=BINARY", always),
    ("URL-PARTIAL", always),
    ("CONDSTORE", always),
    ("QRESYNC", always),
    ("UIDONLY", always),
    ("ESEARCH", always),
    ("SEARCHRES", always),
    ("SEARCH=FUZZY", always),
    ("WITHIN", always),
    ("PARTIAL", always),
    ("UIDBATCHES", always),
    ("MULTISEARCH", always),
    ("INPROGRESS", always),
    ("SORT", always),
    ("SORT=DISPLAY", always),
    ("ESORT", always),
    ("CONTEXT=SEARCH", always),
    ("CONTEXT=SORT", always),
    ("THREAD=ORDEREDSUBJECT", always),
    ("THREAD=REFERENCES", always),
    ("THREAD=REFS", always),
    ("BINARY", always),
    ("OBJECTID", always),
    ("SAVEDATE", always),
    ("PREVIEW", always),
    ("METADATA", always),
    ("METADATA-SERVER", always),
    ("FILTERS", always),
    ("I18NLEVEL=1", only_level_1),
    ("I18NLEVEL=2", always),
    ("LIST-METADATA", always),
    ("ACL", sharing),
    ("RIGHTS=texk", sharing),
    ("LIST-MYRIGHTS", sharing),
    ("QUOTA", always),
    ("QUOTASET", quota_set),
    ("QUOTA=RES-STORAGE", always),
    ("QUOTA=RES-MESSAGE", always),
    ("QUOTA=RES-MAILBOX", always),
    ("UTF8=ACCEPT", utf8_accept),
    ("UTF8=ONLY", utf8_only),
    ("COMPRESS=DEFLATE", always),
    ("NOTIFY", always),
    ("UNAUTHENTICATE", after_login),
    ("JMAPACCESS", jmap_access),
    ("APPENDLIMIT=", always),
    ("MESSAGELIMIT=", message_limit),
    ("SAVELIMIT=", save_limit),
];

/// What ENABLE accepts (RFC 5161 §3.1: only extensions that need it).
pub(crate) const ENABLEABLE: &[&str] = &[
    "IMAP4rev2",
    "CONDSTORE",
    "QRESYNC",
    "UIDONLY",
    "UTF8=ACCEPT",
    "METADATA",
    "METADATA-SERVER",
];

/// The words that hold now.
pub(crate) fn words(facts: &Facts<'_>) -> Vec<String> {
    WORDS
        .iter()
        .filter(|(word, holds)| holds(facts) && !hidden(facts, word))
        .map(|(word, _)| match *word {
            "APPENDLIMIT=" => format!("{word}{}", facts.env.limits.append_bytes_max),
            "MESSAGELIMIT=" => numbered(word, facts.env.limits.messages_max),
            "SAVELIMIT=" => numbered(word, facts.env.limits.saved_messages_max),
            word => word.to_owned(),
        })
        .collect()
}

fn numbered(word: &str, number: Option<NonZeroU32>) -> String {
    format!("{word}{}", number.map_or(0, NonZeroU32::get))
}

/// Whether a SASL mechanism can be used now.
pub(crate) fn has_mechanism(facts: &Facts<'_>, name: &str) -> bool {
    let named = |word: &str| {
        word.strip_prefix("AUTH=")
            .is_some_and(|known| known == name)
    };
    WORDS
        .iter()
        .any(|(word, holds)| named(word) && holds(facts))
}

/// The word of a SASL mechanism that this server knows, its name in any case.
pub(crate) fn mechanism_word(name: &str) -> Option<&'static str> {
    let named = |word: &str| {
        word.strip_prefix("AUTH=")
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
    };
    WORDS.iter().map(|(word, _)| *word).find(|word| named(word))
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
fn hidden(facts: &Facts<'_>, word: &str) -> bool {
    is_among(&facts.env.hidden_capabilities, word)
        || is_among(facts.hidden_from_client, word)
        || is_among(facts.hidden_from_user, word)
}

/// Whether a word is among others, in any case.
pub(crate) fn is_among(words: &[String], word: &str) -> bool {
    words.iter().any(|hidden| {
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

    #[test]
    fn every_mechanism_has_its_word() {
        for name in restante_auth::sasl::MECHANISMS {
            assert!(super::mechanism_word(name).is_some(), "{name}");
        }
    }
}
