//! Responses.

use std::num::NonZeroU32;

use super::code::Code;
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
    UrlFetch(Vec<(Vec<u8>, Option<Vec<u8>>)>),
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
    /// ADDTO (RFC 5267 §4.3.2): positions and numbers
    pub add_to: Vec<(u32, IdSet)>,
    /// REMOVEFROM (RFC 5267 §4.3.3)
    pub remove_from: Vec<(u32, IdSet)>,
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
