//! Accounts and mailboxes as logs: records, snapshots, hub, delivery, retention, check.

pub mod build;
mod codec;
mod flags;
mod keywords;
mod record;
mod snapshot;
mod tail;
mod types;
mod uid_set;

pub use codec::DecodeError;
pub use flags::{Flags, Slot};
pub use keywords::Keywords;
pub use record::{Effect, NewRow, NoModSeq, Record};
pub use snapshot::{
    Annotations, Checkpoint, ChunkRef, Diff, FlagFilter, FoldError, Import, ImportError, LoadError,
    Loaded, NotLoaded, PartKey, PartKind, Parts, Rows, Snapshot, Wanted, chunks_of,
};
pub use tail::{RootRef, Tail, TailState};
pub use types::{AccountId, DateTime, EmailId, MailboxId, ModSeq, Row, ThreadId, Uid, UidValidity};
pub use uid_set::UidSet;
