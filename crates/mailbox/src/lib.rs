//! Accounts and mailboxes as logs: records, snapshots, hub, delivery, retention, check.

mod account;
pub mod build;
mod check;
mod checkpoint;
mod clock;
mod codec;
mod commit;
mod directory;
mod email;
mod error;
mod flags;
mod import;
mod keys;
mod keywords;
mod mail;
mod mailbox;
mod name;
mod ops;
mod options;
mod quota;
mod record;
mod retained;
mod retention;
mod scram;
mod snapshot;
mod stored;
mod tail;
mod thread;
mod tree;
mod tree_ops;
mod types;
mod uid_set;
mod undelete;
mod vanished;
mod warm;
mod window;

pub use account::{Account, AccountEvent, MetadataEntry};
pub use build::{ExpungeWhat, FlagAction, FlagNames, StoreFlags};
pub use check::{CheckReport, CheckScope, Problem};
pub use clock::{Clock, ManualClock, SystemClock};
pub use codec::DecodeError;
pub use directory::{NewUser, User, canonical_user_name};
pub use email::{EmailDraft, EmailRow, NewEmail, clamp};
pub use error::{Limit, MailError, Result};
pub use flags::{Flags, Slot};
pub use import::Fill;
pub use keywords::Keywords;
pub use mail::Mail;
pub use mailbox::Mailbox;
pub use name::{MailboxName, NameError};
pub use ops::{Append, Appended, Change, Copied, Expunged, Replaced, Stored};
pub use options::MailOptions;
pub use quota::{Quota, Reservation};
pub use record::{Effect, NewRow, NoModSeq, Record};
pub use retention::RetentionReport;
pub use scram::ScramRow;
pub use snapshot::{
    Annotations, Checkpoint, ChunkRef, Diff, FlagFilter, FoldError, Import, ImportError, LoadError,
    Loaded, NotLoaded, PartKey, PartKind, Parts, Rows, Snapshot, Wanted, chunks_of,
};
pub use tail::{RootRef, Tail, TailState};
pub use tree::{Entry, MetadataName, SpecialUse, Tree};
pub use types::{AccountId, DateTime, EmailId, MailboxId, ModSeq, Row, ThreadId, Uid, UidValidity};
pub use uid_set::UidSet;
pub use undelete::DeletedMailbox;
pub use window::{ExpungedMessage, Restored};
