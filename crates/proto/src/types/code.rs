//! Response codes (RFC 9051 §7.1, RFC 5530 and the extensions).

use std::num::NonZeroU32;

use super::flag::PermanentFlag;
use super::notify::EventName;
use super::numbers::{ModSeq, SeqNum, Uid, UidValidity};
use super::sets::{IdSet, UidSet};
use super::strings::{Atom, ObjectId, Tag};

/// A response code.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Code {
    // RFC 9051 §7.1, most of them from RFC 5530
    Alert,
    AlreadyExists,
    AppendUid {
        uid_validity: UidValidity,
        uids: UidSet,
    },
    AuthenticationFailed,
    AuthorizationFailed,
    /// The charsets that the server supports; may be empty.
    BadCharset(Vec<String>),
    Cannot,
    Capability(Vec<String>),
    ClientBug,
    Closed,
    ContactAdmin,
    CopyUid(CopyUid),
    Corruption,
    Expired,
    ExpungeIssued,
    HasChildren,
    InUse,
    Limit,
    NonExistent,
    NoPerm,
    NotSaved,
    OverQuota,
    Parse,
    PermanentFlags(Vec<PermanentFlag>),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TryCreate,
    UidNext(Uid),
    UidNotSticky,
    UidValidity(UidValidity),
    Unavailable,
    UnknownCte,
    /// RFC 3501 §7.1
    Unseen(SeqNum),
    // RFC 7162
    HighestModSeq(ModSeq),
    NoModSeq,
    /// The numbers are UIDs or sequence numbers as the command's were.
    Modified(IdSet),
    // RFC 6154
    UseAttr,
    // RFC 8474
    MailboxId(ObjectId),
    // RFC 4469
    BadUrl(Vec<u8>),
    TooBig,
    // RFC 4978
    CompressionActive,
    // RFC 5255
    BadComparator,
    // RFC 5267
    NoUpdate(Vec<u8>),
    // RFC 5464
    Metadata(MetadataCode),
    // RFC 5465
    NotificationOverflow,
    /// The events that the server supports.
    BadEvent(Vec<EventName>),
    // RFC 5466
    UndefinedFilter(Vec<u8>),
    // RFC 4467
    UrlMech(Vec<UrlMechanism>),
    // RFC 9585
    InProgress(Option<(Option<Tag>, Option<u32>, Option<u32>)>),
    // RFC 9586
    UidRequired,
    // RFC 9738
    MessageLimit {
        limit: NonZeroU32,
        lowest: Option<Uid>,
    },
    // RFC 10022
    TooFew,
    TooMany,
    // RFC 2221
    Referral(Vec<u8>),
    /// A code that this library does not know, with what follows it.
    Other(Atom, Option<Vec<u8>>),
}

/// COPYUID (RFC 9051 §7.1): both sets in the same order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyUid {
    /// The UIDVALIDITY of the destination.
    pub uid_validity: UidValidity,
    /// The UIDs of the messages that were copied.
    pub source: UidSet,
    /// The UIDs that they got.
    pub destination: UidSet,
}

/// METADATA (RFC 5464 §4.2.1, §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MetadataCode {
    /// Values were left out; the longest has that many bytes.
    LongEntries(u64),
    /// A value may have that many bytes at most.
    MaxSize(u64),
    /// There are too many annotations.
    TooMany,
    /// The server has no private annotations.
    NoPrivate,
}

/// A mechanism in URLMECH (RFC 4467 §7) and its data.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct UrlMechanism {
    pub mechanism: Atom,
    pub data: Option<Vec<u8>>,
}
