//! SEARCH, SORT, THREAD and ESEARCH: what is asked.

use std::num::NonZeroU32;

use super::date::Date;
use super::fetch::FetchAttribute;
use super::flag::Keyword;
use super::notify::MailboxFilter;
use super::numbers::{ModSeq, Uid};
use super::sets::{SeqSet, UidSet};
use super::strings::{Atom, ObjectId};

/// A search key (RFC 9051 §6.4.4). Strings are bytes in the command's charset.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SearchKey {
    All,
    Answered,
    Deleted,
    Draft,
    Flagged,
    Seen,
    Unanswered,
    Undeleted,
    Undraft,
    Unflagged,
    Unseen,
    /// RFC 3501 §6.4.4
    New,
    /// RFC 3501 §6.4.4
    Old,
    /// RFC 3501 §6.4.4
    Recent,
    Keyword(Keyword),
    Unkeyword(Keyword),
    Bcc(Vec<u8>),
    Cc(Vec<u8>),
    From(Vec<u8>),
    To(Vec<u8>),
    Subject(Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
    Header {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    Before(Date),
    On(Date),
    Since(Date),
    SentBefore(Date),
    SentOn(Date),
    SentSince(Date),
    /// Bytes.
    Larger(u64),
    /// Bytes.
    Smaller(u64),
    Sequence(SeqSet),
    Uid(UidSet),
    Not(Box<SearchKey>),
    /// Any of two or more; OR whose second key is an OR is one list.
    Or(Vec<SearchKey>),
    /// All of these: a list in parentheses, or the keys of the command. `()` never occurs.
    And(Vec<SearchKey>),
    /// RFC 5032: seconds.
    Older(NonZeroU32),
    /// RFC 5032: seconds.
    Younger(NonZeroU32),
    /// RFC 9738 §3.2: a larger UID than this.
    UidAfter(Uid),
    /// RFC 9738 §3.2: a smaller UID than this.
    UidBefore(Uid),
    /// RFC 7162 §3.1.5
    ModSeq {
        entry: Option<ModSeqEntry>,
        mod_seq: ModSeq,
    },
    /// RFC 8474 §6
    EmailId(ObjectId),
    /// RFC 8474 §6
    ThreadId(ObjectId),
    /// RFC 8514 §4.3
    SavedBefore(Date),
    SavedOn(Date),
    SavedSince(Date),
    SaveDateSupported,
    /// RFC 6203 §4
    Fuzzy(Box<SearchKey>),
    /// RFC 5466 §3.1
    Filter(Vec<u8>),
}

/// The entry in a MODSEQ search key (RFC 7162 §3.1.5): servers may ignore it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModSeqEntry {
    /// For example `/flags/\draft`.
    pub name: Vec<u8>,
    /// Whose metadata.
    pub kind: EntryType,
}

/// entry-type-req (RFC 7162 §7)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum EntryType {
    Private,
    Shared,
    All,
}

/// What a search returns (RFC 9051 §6.4.4, RFC 5182, RFC 5267, RFC 9394, RFC 6203).
/// `RETURN ()` is decoded as ALL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SearchReturn {
    /// MIN
    pub min: bool,
    /// MAX
    pub max: bool,
    /// ALL
    pub all: bool,
    /// COUNT
    pub count: bool,
    /// SAVE
    pub save: bool,
    /// PARTIAL; never together with ALL.
    pub partial: Option<PartialRange>,
    /// UPDATE (RFC 5267 §4.3), with the attributes of RFC 5465 §8.
    pub update: Option<Vec<FetchAttribute>>,
    /// CONTEXT (RFC 5267 §4.2)
    pub context: bool,
    /// RELEVANCY (RFC 6203 §4)
    pub relevancy: bool,
}

/// A range of results by position (RFC 9394 §3.1), from 1; the ends are in the order written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PartialRange {
    /// `1:500`: counted from the first.
    First(NonZeroU32, NonZeroU32),
    /// `-1:-100`: counted from the last.
    Last(NonZeroU32, NonZeroU32),
}

/// SEARCH and UID SEARCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// UID SEARCH: results are UIDs.
    pub uid: bool,
    /// RETURN; `None` if there was none.
    pub returns: Option<SearchReturn>,
    /// CHARSET
    pub charset: Option<String>,
    /// What to look for.
    pub key: SearchKey,
}

/// SORT and UID SORT (RFC 5256, RFC 5267).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sort {
    /// UID SORT: results are UIDs.
    pub uid: bool,
    /// RETURN (ESORT); `None` if there was none.
    pub returns: Option<SearchReturn>,
    /// The order; at least one criterion.
    pub criteria: Vec<SortCriterion>,
    /// The charset.
    pub charset: String,
    /// What to look for.
    pub key: SearchKey,
}

/// A sort key and its direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SortCriterion {
    /// REVERSE
    pub reverse: bool,
    /// The key.
    pub key: SortKey,
}

/// A sort key (RFC 5256 §3, RFC 5957, RFC 6203 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum SortKey {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    DisplayFrom,
    DisplayTo,
    Relevancy,
}

/// THREAD and UID THREAD (RFC 5256).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// UID THREAD: results are UIDs.
    pub uid: bool,
    /// How to thread.
    pub algorithm: ThreadAlgorithm,
    /// The charset.
    pub charset: String,
    /// What to look for.
    pub key: SearchKey,
}

/// A threading algorithm.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
    Refs,
    Other(Atom),
}

/// ESEARCH: a search in several mailboxes (RFC 7377).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Esearch {
    /// Where to look; `None` is the selected mailbox.
    pub scope: Option<SearchScope>,
    /// RETURN; `None` if there was none.
    pub returns: Option<SearchReturn>,
    /// CHARSET
    pub charset: Option<String>,
    /// What to look for.
    pub key: SearchKey,
}

/// `IN (…)` (RFC 7377 §2.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchScope {
    /// The mailboxes; at least one filter.
    pub mailboxes: Vec<MailboxFilter>,
}
