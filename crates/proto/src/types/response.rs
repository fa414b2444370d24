//! Responses.

use std::num::NonZeroU32;

use super::body::BodyStructure;
use super::code::Code;
use super::command::UrlData;
use super::extensions::{AclEntry, IdParameters, MetadataEntry, QuotaLimit};
use super::fetch::FetchItem;
use super::flag::Flag;
use super::list::ListEntry;
use super::mailbox_name::MailboxName;
use super::numbers::{ModSeq, SeqNum, Uid, UidValidity};
use super::search::PartialRange;
use super::sets::{IdSet, UidSet};
use super::status::StatusValue;
use super::strings::Tag;

/// One response of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// `+ …`: text, or base64 of an authentication exchange, as sent.
    Continuation(Vec<u8>),
    /// OK, NO, BAD, PREAUTH, BYE.
    Status(StatusResponse),
    /// Data.
    Data(UntaggedData),
}

/// A status response (RFC 9051 §7.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusResponse {
    /// The tag; `None` is `*`.
    pub tag: Option<Tag>,
    /// What it says.
    pub condition: Condition,
    /// The response code.
    pub code: Option<Code>,
    /// Text for people.
    pub text: String,
}

/// The condition of a status response. PREAUTH and BYE are never tagged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Condition {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// Untagged data (RFC 9051 §7.2 to §7.5, and the extensions).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum UntaggedData {
    Capability(Vec<String>),
    Enabled(Vec<String>),
    Id(IdParameters),
    Flags(Vec<Flag>),
    Exists(u32),
    Recent(u32),
    Expunge(SeqNum),
    /// RFC 7162 §3.2.10
    Vanished {
        earlier: bool,
        uids: UidSet,
    },
    Fetch {
        seq: SeqNum,
        items: Vec<FetchItem>,
    },
    /// RFC 9586 §3.3
    UidFetch {
        uid: Uid,
        items: Vec<FetchItem>,
    },
    List(ListEntry),
    Lsub(ListEntry),
    /// LIST by another name, in answer to XLIST
    Xlist(ListEntry),
    Status {
        mailbox: MailboxName,
        values: Vec<StatusValue>,
    },
    Namespace(Namespaces),
    Search {
        ids: Vec<NonZeroU32>,
        mod_seq: Option<ModSeq>,
    },
    Esearch(Esearch),
    /// RFC 5256; MODSEQ by RFC 7162 §3.1.6
    Sort {
        ids: Vec<NonZeroU32>,
        mod_seq: Option<ModSeq>,
    },
    /// RFC 5256 §4
    Thread(Vec<ThreadNode>),
    /// RFC 4314 §3.6
    Acl {
        mailbox: MailboxName,
        entries: Vec<AclEntry>,
    },
    /// RFC 4314 §3.7
    ListRights {
        mailbox: MailboxName,
        identifier: Vec<u8>,
        required: Vec<u8>,
        optional: Vec<Vec<u8>>,
    },
    /// RFC 4314 §3.8
    MyRights {
        mailbox: MailboxName,
        rights: Vec<u8>,
    },
    /// RFC 9208 §4.2.1
    Quota {
        root: Vec<u8>,
        limits: Vec<QuotaLimit>,
    },
    /// RFC 9208 §4.2.2
    QuotaRoot {
        mailbox: MailboxName,
        roots: Vec<Vec<u8>>,
    },
    /// RFC 5464 §4.4.1
    Metadata {
        mailbox: MailboxName,
        entries: Vec<MetadataEntry>,
    },
    /// RFC 5464 §4.4.2: entries that changed
    MetadataChanged {
        mailbox: MailboxName,
        entries: Vec<Vec<u8>>,
    },
    /// RFC 5255 §3.3
    Language(Vec<Vec<u8>>),
    /// RFC 5255 §4.8: the active comparator, and those that matched
    Comparator {
        active: Vec<u8>,
        matching: Vec<Vec<u8>>,
    },
    /// RFC 4467 §7
    GenUrlAuth(Vec<Vec<u8>>),
    /// RFC 4467 §7
    UrlFetch(Vec<FetchedUrl>),
    /// RFC 10022 §3.1
    UidBatches {
        tag: Tag,
        ranges: Vec<(Uid, Uid)>,
    },
    /// RFC 9698 §4
    JmapAccess(Vec<u8>),
    /// Something that this library does not know: the line without `* ` and its end, literals
    /// included.
    Other(Vec<u8>),
}

/// ESEARCH (RFC 9051 §7.3.4, RFC 4731, RFC 5267, RFC 9394, RFC 6203, RFC 7377).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Esearch {
    /// Which command it answers, and of which mailbox it tells.
    pub correlator: EsearchCorrelator,
    /// Whether the numbers are UIDs.
    pub uid: bool,
    /// MIN
    pub min: Option<NonZeroU32>,
    /// MAX
    pub max: Option<NonZeroU32>,
    /// ALL
    pub all: Option<IdSet>,
    /// COUNT
    pub count: Option<u32>,
    /// MODSEQ (RFC 7162 §3.1.6)
    pub mod_seq: Option<ModSeq>,
    /// PARTIAL
    pub partial: Option<PartialResult>,
    /// RELEVANCY: 1 to 100 for each result
    pub relevancy: Option<Vec<u8>>,
    /// ADDTO and REMOVEFROM (RFC 5267 §4.3.2), in the order in which they are to be done.
    pub changes: Vec<ResultChange>,
}

/// A change of a result that is kept up to date (RFC 5267 §4.3.3, §4.3.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultChange {
    /// ADDTO; else REMOVEFROM.
    pub add: bool,
    /// Where in the result, from 1; 0: in the order of the mailbox, or wherever they are.
    pub position: u32,
    /// The messages, in the order of the result.
    pub ids: IdSet,
}

/// What URLFETCH gave for a URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedUrl {
    /// The URL.
    pub url: Vec<u8>,
    /// What it names.
    pub content: UrlContent,
}

/// What a URL names (RFC 4467 §8; RFC 5524 §3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UrlContent {
    /// The octets; `None` also where the URL gives nothing in the other form.
    Plain(Option<Vec<u8>>),
    /// What was asked for.
    Items {
        /// BODYPARTSTRUCTURE
        structure: Option<Box<BodyStructure>>,
        /// BODY or BINARY; `None`: it cannot be decoded.
        data: Option<(UrlData, Option<Vec<u8>>)>,
    },
}

impl ResultChange {
    /// Does this change to a result. False, and nothing done, if it would have more than `max` numbers
    /// then.
    pub fn apply(&self, result: &mut Vec<NonZeroU32>, max: usize) -> bool {
        let ranges = || self.ids.ranges.iter().filter_map(|range| range.numbers());
        let count = ranges().fold(0u64, |sum, (first, last)| {
            sum + u64::from(last.get() - first.get()) + 1
        });
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        // A server that is wrong about positions must not do harm.
        let at = (self.position as usize).saturating_sub(1).min(result.len());
        if !self.add && self.position == 0 {
            let gone = self.ids.normalized(NonZeroU32::MIN);
            result.retain(|id| {
                let before = gone.partition_point(|(first, _)| first <= id);
                before == 0 || gone[before - 1].1 < *id
            });
            return true;
        }
        if !self.add {
            result.drain(at..at.saturating_add(count).min(result.len()));
            return true;
        }
        if result.len().saturating_add(count) > max {
            return false;
        }
        let new = ranges()
            .flat_map(|(first, last)| (first.get()..=last.get()).filter_map(NonZeroU32::new));
        match self.position {
            0 => {
                result.extend(new);
                result.sort_unstable();
                result.dedup();
            }
            _ => drop(result.splice(at..at, new)),
        }
        true
    }
}

/// search-correlator (RFC 7377 §4).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EsearchCorrelator {
    /// TAG
    pub tag: Option<Tag>,
    /// MAILBOX
    pub mailbox: Option<MailboxName>,
    /// UIDVALIDITY
    pub uid_validity: Option<UidValidity>,
}

/// PARTIAL of an ESEARCH (RFC 9394 §3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartialResult {
    /// The range that was asked for.
    pub range: PartialRange,
    /// The results; `None` is NIL: there are none in that range.
    pub ids: Option<IdSet>,
}

/// NAMESPACE (RFC 9051 §7.3.5, RFC 2342); an empty list is NIL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Namespaces {
    pub personal: Vec<NamespaceEntry>,
    pub other_users: Vec<NamespaceEntry>,
    pub shared: Vec<NamespaceEntry>,
}

/// A namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceEntry {
    /// The prefix, in UTF-8.
    pub prefix: String,
    /// The hierarchy separator; `None` is NIL.
    pub separator: Option<char>,
    /// Extensions: names and values.
    pub extensions: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// A message in a THREAD response and those below it (RFC 5256 §4). `None` stands for a message
/// that is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadNode {
    /// The UID or sequence number.
    pub id: Option<NonZeroU32>,
    /// The answers to it.
    pub children: Vec<ThreadNode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(add: bool, position: u32, ids: &[u32]) -> ResultChange {
        let ids = ids.iter().filter_map(|id| NonZeroU32::new(*id));
        ResultChange {
            add,
            position,
            ids: IdSet::from_numbers(ids),
        }
    }

    fn after(result: &[u32], changes: &[ResultChange]) -> Vec<u32> {
        let mut list: Vec<NonZeroU32> = result
            .iter()
            .filter_map(|id| NonZeroU32::new(*id))
            .collect();
        for change in changes {
            assert!(change.apply(&mut list, 100));
        }
        list.iter().map(|id| id.get()).collect()
    }

    /// The three forms of RFC 5267 §4.3.3, and what §4.3.4 says of removing.
    #[test]
    fn results_change_as_they_are_told_to() {
        let three = [
            vec![
                change(true, 1, &[2733]),
                change(true, 1, &[2732]),
                change(true, 1, &[2731]),
            ],
            vec![change(true, 1, &[2733]), change(true, 1, &[2731, 2732])],
            vec![change(true, 1, &[2731, 2732, 2733])],
        ];
        for changes in three {
            let result = after(&[2734, 2735], &changes);
            assert_eq!(result, [2731, 2732, 2733, 2734, 2735]);
        }
        assert_eq!(
            after(&[1, 7], &[change(true, 0, &[3, 9, 4])]),
            [1, 3, 4, 7, 9]
        );
        assert_eq!(
            after(&[1, 3, 4, 7], &[change(false, 0, &[3, 4, 9])]),
            [1, 7]
        );
        assert_eq!(after(&[9, 2, 5, 1], &[change(false, 2, &[2, 5])]), [9, 1]);
        assert_eq!(after(&[9, 2], &[change(true, 2, &[7, 3])]), [9, 7, 3, 2]);
        assert_eq!(
            after(&[9], &[change(true, 50, &[3]), change(false, 50, &[3])]),
            [9, 3]
        );
    }

    #[test]
    fn a_result_has_a_limit() {
        let mut list = Vec::new();
        let all = IdSet::from_ranges([(NonZeroU32::MIN, NonZeroU32::MAX)]);
        let huge = ResultChange {
            add: true,
            position: 0,
            ids: all,
        };
        assert!(!huge.apply(&mut list, 1000) && list.is_empty());
    }
}
