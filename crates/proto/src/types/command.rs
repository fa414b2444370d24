//! Commands.

use super::extensions::{GetMetadata, IdParameters, MetadataEntry, SetAcl, SetQuota};
use super::fetch::FetchAttribute;
use super::flag::Flag;
use super::list::{List, ListPattern, SpecialUse};
use super::mailbox_name::MailboxName;
use super::notify::Notify;
use super::numbers::{ModSeq, UidValidity};
use super::search::{Esearch, PartialRange, Search, Sort, Thread};
use super::sets::{SeqSet, UidSet};
use super::status::StatusItem;
use super::strings::{Atom, Secret, Tag};
use std::num::NonZeroU32;

/// A decoded command.
///
/// APPEND and REPLACE are not here: their messages are streamed, see
/// [`AppendHead`](super::AppendHead).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The tag, to be repeated in the tagged response.
    pub tag: Tag,
    /// What to do.
    pub body: CommandBody,
    /// Whether a quoted string had bytes above 127. The grammar allows that after ENABLE
    /// UTF8=ACCEPT or IMAP4rev2 only (RFC 9051 §4.3); they are valid UTF-8.
    pub utf8_quoted: bool,
}

/// What a command asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum CommandBody {
    // RFC 9051 §6.1: any state
    Capability,
    Noop,
    Logout,
    /// RFC 2971
    Id(IdParameters),
    // RFC 9051 §6.2: not authenticated state
    StartTls,
    Authenticate(Authenticate),
    Login {
        user: Vec<u8>,
        password: Secret<Vec<u8>>,
    },
    // RFC 9051 §6.3: authenticated state
    Enable(Vec<Atom>),
    Select(Select),
    Create {
        mailbox: MailboxName,
        special_use: Vec<SpecialUse>,
    },
    Delete(MailboxName),
    Rename {
        from: MailboxName,
        to: MailboxName,
    },
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
    List(List),
    /// RFC 3501 §6.3.9
    Lsub {
        reference: String,
        pattern: ListPattern,
    },
    /// LIST as Gmail had it before RFC 6154: an alias with special uses.
    Xlist {
        reference: String,
        pattern: ListPattern,
    },
    /// RFC 2193 §5.1: LIST with the mailboxes that are on other servers
    Rlist {
        reference: String,
        pattern: ListPattern,
    },
    /// RFC 2193 §5.2: LSUB with them
    Rlsub {
        reference: String,
        pattern: ListPattern,
    },
    Namespace,
    Status {
        mailbox: MailboxName,
        items: Vec<StatusItem>,
    },
    /// After it, the framer must be told to expect a line (`DONE`).
    Idle,
    // RFC 9051 §6.4: selected state
    Close,
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with its set
    Expunge(Option<UidSet>),
    /// RFC 3501 §6.4.1
    Check,
    Search(Search),
    Fetch(Fetch),
    Store(Store),
    Copy {
        set: MessageSet,
        mailbox: MailboxName,
    },
    /// RFC 6851
    Move {
        set: MessageSet,
        mailbox: MailboxName,
    },
    // Extensions
    /// RFC 4978: COMPRESS DEFLATE
    CompressDeflate,
    /// RFC 5256
    Sort(Sort),
    /// RFC 5256
    Thread(Thread),
    /// RFC 7377
    Esearch(Esearch),
    /// RFC 5465
    Notify(Notify),
    /// RFC 5267 §4.3: the tags of the searches
    CancelUpdate(Vec<Vec<u8>>),
    /// RFC 9208 §4.1.1
    GetQuota(Vec<u8>),
    /// RFC 9208 §4.1.2
    GetQuotaRoot(MailboxName),
    /// RFC 9208 §4.1.3
    SetQuota(SetQuota),
    /// RFC 4314 §3.1
    SetAcl(SetAcl),
    /// RFC 4314 §3.2
    DeleteAcl {
        mailbox: MailboxName,
        identifier: Vec<u8>,
    },
    /// RFC 4314 §3.3
    GetAcl(MailboxName),
    /// RFC 4314 §3.4
    ListRights {
        mailbox: MailboxName,
        identifier: Vec<u8>,
    },
    /// RFC 4314 §3.5
    MyRights(MailboxName),
    /// RFC 5464 §4.2
    GetMetadata(GetMetadata),
    /// RFC 5464 §4.3
    SetMetadata {
        mailbox: MailboxName,
        entries: Vec<MetadataEntry>,
    },
    /// RFC 10022 §3.1: batch size, and which batches
    UidBatches {
        size: NonZeroU32,
        batches: Option<(NonZeroU32, NonZeroU32)>,
    },
    /// RFC 8437
    Unauthenticate,
    /// RFC 5255 §3.1: language ranges in order of preference; none asks for the list
    Language(Vec<Vec<u8>>),
    /// RFC 5255 §4.7: comparators in order of preference; none asks for the active one
    Comparator(Vec<Vec<u8>>),
    /// RFC 4467 §6: pairs of URL and mechanism
    GenUrlAuth(Vec<(Vec<u8>, Atom)>),
    /// RFC 4467 §6
    ResetKey {
        mailbox: Option<MailboxName>,
        mechanisms: Vec<Atom>,
    },
    /// RFC 4467 §6
    UrlFetch(Vec<UrlFetch>),
    /// RFC 9698 §4
    GetJmapAccess,
}

impl CommandBody {
    /// The name of the command, for logs and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::Id(_) => "ID",
            Self::StartTls => "STARTTLS",
            Self::Authenticate(_) => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Select(select) if select.read_only => "EXAMINE",
            Self::Select(_) => "SELECT",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub { .. } => "LSUB",
            Self::Xlist { .. } => "XLIST",
            Self::Rlist { .. } => "RLIST",
            Self::Rlsub { .. } => "RLSUB",
            Self::Namespace => "NAMESPACE",
            Self::Status { .. } => "STATUS",
            Self::Idle => "IDLE",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge(None) => "EXPUNGE",
            Self::Expunge(Some(_)) => "UID EXPUNGE",
            Self::Check => "CHECK",
            Self::Search(search) if search.uid => "UID SEARCH",
            Self::Search(_) => "SEARCH",
            Self::Fetch(fetch) => fetch.set.name("FETCH", "UID FETCH"),
            Self::Store(store) => store.set.name("STORE", "UID STORE"),
            Self::Copy { set, .. } => set.name("COPY", "UID COPY"),
            Self::Move { set, .. } => set.name("MOVE", "UID MOVE"),
            Self::CompressDeflate => "COMPRESS",
            Self::Sort(sort) if sort.uid => "UID SORT",
            Self::Sort(_) => "SORT",
            Self::Thread(thread) if thread.uid => "UID THREAD",
            Self::Thread(_) => "THREAD",
            Self::Esearch(_) => "ESEARCH",
            Self::Notify(_) => "NOTIFY",
            Self::CancelUpdate(_) => "CANCELUPDATE",
            Self::GetQuota(_) => "GETQUOTA",
            Self::GetQuotaRoot(_) => "GETQUOTAROOT",
            Self::SetQuota(_) => "SETQUOTA",
            Self::SetAcl(_) => "SETACL",
            Self::DeleteAcl { .. } => "DELETEACL",
            Self::GetAcl(_) => "GETACL",
            Self::ListRights { .. } => "LISTRIGHTS",
            Self::MyRights(_) => "MYRIGHTS",
            Self::GetMetadata(_) => "GETMETADATA",
            Self::SetMetadata { .. } => "SETMETADATA",
            Self::UidBatches { .. } => "UIDBATCHES",
            Self::Unauthenticate => "UNAUTHENTICATE",
            Self::Language(_) => "LANGUAGE",
            Self::Comparator(_) => "COMPARATOR",
            Self::GenUrlAuth(_) => "GENURLAUTH",
            Self::ResetKey { .. } => "RESETKEY",
            Self::UrlFetch(_) => "URLFETCH",
            Self::GetJmapAccess => "GETJMAPACCESS",
        }
    }
}

/// AUTHENTICATE (RFC 9051 §6.2.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authenticate {
    /// The SASL mechanism.
    pub mechanism: Atom,
    /// The initial response (RFC 4959), decoded from base64; `=` is an empty one.
    pub initial_response: Option<Secret<Vec<u8>>>,
}

/// SELECT or EXAMINE (RFC 9051 §6.3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// EXAMINE
    pub read_only: bool,
    /// CONDSTORE (RFC 7162 §3.1.8)
    pub condstore: bool,
    /// QRESYNC (RFC 7162 §3.2.5)
    pub qresync: Option<QResync>,
}

/// The arguments of QRESYNC (RFC 7162 §3.2.5). No set holds `*` or `$`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QResync {
    /// The last known UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The last known HIGHESTMODSEQ.
    pub mod_seq: ModSeq,
    /// The UIDs that the client knows.
    pub known_uids: Option<UidSet>,
    /// Sequence numbers, and the UIDs that the client knows by them.
    pub known_match: Option<(SeqSet, UidSet)>,
}

/// The messages a command is about: by sequence number, or by UID if it is a UID command.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum MessageSet {
    Seq(SeqSet),
    Uid(UidSet),
}

impl MessageSet {
    fn name(&self, seq: &'static str, uid: &'static str) -> &'static str {
        match self {
            Self::Seq(_) => seq,
            Self::Uid(_) => uid,
        }
    }

    /// Whether the command is a UID command.
    pub fn is_uid(&self) -> bool {
        matches!(self, Self::Uid(_))
    }
}

/// FETCH and UID FETCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// The messages.
    pub set: MessageSet,
    /// What to tell of them; at least one.
    pub attributes: Vec<FetchAttribute>,
    /// Modifiers.
    pub modifiers: FetchModifiers,
}

/// FETCH modifiers (RFC 7162 §3.1.4.1, §3.2.6, RFC 9394 §3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FetchModifiers {
    /// CHANGEDSINCE
    pub changed_since: Option<ModSeq>,
    /// VANISHED; the decoder has checked that it is a UID FETCH with CHANGEDSINCE.
    pub vanished: bool,
    /// PARTIAL; the decoder has checked that it is a UID FETCH.
    pub partial: Option<PartialRange>,
}

/// STORE and UID STORE (RFC 9051 §6.4.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// The messages.
    pub set: MessageSet,
    /// UNCHANGEDSINCE (RFC 7162 §3.1.3)
    pub unchanged_since: Option<ModSeq>,
    /// What to do with the flags.
    pub action: StoreAction,
    /// .SILENT
    pub silent: bool,
    /// The flags; may be empty.
    pub flags: Vec<Flag>,
}

/// What STORE does with flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreAction {
    /// FLAGS
    Replace,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// What a URLFETCH wants of a URL (RFC 4467 §7; RFC 5524 §3.1). With neither of both it is the simple
/// form: octets alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UrlFetch {
    /// The URL.
    pub url: Vec<u8>,
    /// BODYPARTSTRUCTURE
    pub structure: bool,
    /// BODY or BINARY
    pub data: Option<UrlData>,
}

impl UrlFetch {
    /// The simple form.
    pub fn simple(url: impl Into<Vec<u8>>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// Whether it is not the simple form.
    pub fn is_extended(&self) -> bool {
        self.structure || self.data.is_some()
    }
}

/// In what form the octets of a part come (RFC 5524 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UrlData {
    /// BODY: as the message has them.
    Body,
    /// BINARY: decoded.
    Binary,
}
