//! The vocabulary of IMAP: what a decoded command says and what a response tells.
//!
//! Everything is owned; nothing here knows bytes on the wire (see [`crate::decode`] and
//! [`crate::encode`]) or mailboxes.

mod append;
mod body;
mod code;
mod command;
mod date;
mod extensions;
mod fetch;
mod flag;
mod list;
mod mailbox_name;
pub mod mutf7;
mod notify;
mod numbers;
mod response;
mod search;
mod sets;
mod status;
mod strings;

pub use append::{AppendData, AppendHead, CatenatePart, LiteralHead, ReplaceTarget};
pub use body::{
    Address, BodyBasic, BodyExtension, BodyStructure, Disposition, Envelope, ExtensionData,
    MultipartBody, Parameters, SinglePartBody, SinglePartKind,
};
pub use code::{Code, CopyUid, MetadataCode, UrlMechanism};
pub use command::{
    Authenticate, Command, CommandBody, Fetch, FetchModifiers, MessageSet, QResync, Select, Store,
    StoreAction, UrlData, UrlFetch,
};
pub use date::{Date, DateError, DateTime, Month};
pub use extensions::{
    AclEntry, GetMetadata, IdParameters, MetadataDepth, MetadataEntry, QuotaLimit, QuotaResource,
    RightsChange, SetAcl, SetQuota,
};
pub use fetch::{FetchAttribute, FetchItem, Partial, Section, SectionPart, SectionText};
pub use flag::{Flag, Keyword, PermanentFlag};
pub use list::{
    ChildInfo, List, ListAttribute, ListEntry, ListExtended, ListPattern, ListReturn, ListSelect,
    SpecialUse,
};
pub use mailbox_name::{MailboxName, MailboxNameError};
pub use notify::{
    Event as NotifyEvent, EventGroup, EventName, MailboxFilter, MessageNew, Notify, NotifyEvents,
};
pub use numbers::{ModSeq, Number, SeqNum, Uid, UidValidity};
pub use response::{
    Condition, Esearch, EsearchCorrelator, FetchedUrl, NamespaceEntry, Namespaces, PartialResult,
    Response, ResultChange, StatusResponse, ThreadNode, UntaggedData, UrlContent,
};
pub use search::{
    EntryType, Esearch as EsearchCommand, ModSeqEntry, PartialRange, Search, SearchKey,
    SearchReturn, SearchScope, Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm,
};
pub use sets::{IdSet, NumberSet, SeqSet, SetEnd, SetRange, UidSet};
pub use status::{StatusItem, StatusValue};
pub use strings::{Atom, ObjectId, Secret, Tag, is_astring_char, is_atom_char, is_tag_char};
