//! What can go wrong, named by what it means for the caller.

use std::sync::Arc;

use restante_store::{CommitError, StageError, StoreError};

use crate::{
    build::BuildError,
    codec::DecodeError,
    name::NameError,
    record::NoModSeq,
    snapshot::{FoldError, LoadError},
};

/// Results of this crate.
pub type Result<T, E = MailError> = std::result::Result<T, E>;

/// Why mail could not be read or changed. Unless a variant says otherwise, nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// No user of this name, or no account of this number.
    #[error("no such user")]
    NoSuchUser,
    /// A user of this name exists.
    #[error("the user exists already")]
    UserExists,
    /// The mailbox does not exist (any more).
    #[error("no such mailbox")]
    NoSuchMailbox,
    /// A mailbox of this name exists.
    #[error("the mailbox exists already")]
    AlreadyExists,
    /// INBOX cannot be deleted (RFC 9051 §6.3.5).
    #[error("INBOX cannot be deleted")]
    CannotDeleteInbox,
    /// A mailbox cannot be renamed to a name below itself, nor INBOX below itself in one go.
    #[error("a mailbox cannot be renamed to a name below itself")]
    RenameBelowItself,
    /// A special use is taken by another mailbox (RFC 6154 §3).
    #[error("another mailbox has this special use")]
    SpecialUseTaken,
    /// Not the name of a mailbox.
    #[error("not a mailbox name")]
    Name(#[from] NameError),
    /// A message of the set is not there any more (RFC 5530 `EXPUNGEISSUED`).
    #[error("the message has been expunged")]
    Expunged,
    /// The change would exceed the account's quota.
    #[error("over quota")]
    OverQuota,
    /// A limit would be exceeded.
    #[error("limit reached: {0}")]
    Limit(Limit),
    /// Too many writers at once: try again.
    #[error("too many changes at once")]
    Busy,
    /// What was to be changed is not as it was expected to be.
    #[error("changed meanwhile")]
    Conflict,
    /// The disk is full.
    #[error(
        "no space: {reason}. Until you make room where the data directory is, mail is refused; it can be \
         read and deleted"
    )]
    Full {
        /// For the log.
        reason: Arc<str>,
    },
    /// The store does not serve (now): nothing was changed.
    #[error("store unavailable: {reason}")]
    Unavailable {
        /// For the log.
        reason: Arc<str>,
    },
    /// It may have happened or not; the store could not tell.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// For the log.
        reason: Arc<str>,
    },
    /// What was read is not what was written.
    #[error("damaged: {what}")]
    Damaged {
        /// What, and where.
        what: Arc<str>,
    },
    /// The caller asked for what can never be: a bug of ours.
    #[error("misuse: {what}")]
    Misuse {
        /// What was asked.
        what: Arc<str>,
    },
}

/// Which limit a change would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// UIDs of the mailbox are used up (they end at 2³²−1).
    #[error("the mailbox has no UIDs left")]
    Uids,
    /// Keyword slots of the mailbox are used up.
    #[error("the mailbox has no room for another keyword")]
    Keywords,
    /// Mailboxes of the account.
    #[error("the account has too many mailboxes")]
    Mailboxes,
    /// Subscribed names of the account.
    #[error("the account has too many subscriptions")]
    Subscriptions,
    /// Bytes of one message.
    #[error("the message is too large")]
    MessageBytes,
    /// Messages in one command.
    #[error("too many messages in one change")]
    Messages,
    /// Annotations, in number or in bytes.
    #[error("too many annotations, or too large a one")]
    Annotations,
    /// Users of the server, or bytes of a name or of a password.
    #[error("the user's name or password is too long")]
    User,
    /// Identifiers with rights to a mailbox, or to all of an account.
    #[error("too many have rights to this mailbox or to others of this user")]
    Acl,
    /// App passwords of one user, or bytes of a label.
    #[error("too many app passwords, or too long a label")]
    AppPasswords,
}

impl MailError {
    pub(crate) fn damaged(what: impl Into<Arc<str>>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn misuse(what: impl Into<Arc<str>>) -> Self {
        Self::Misuse { what: what.into() }
    }
}

impl From<StoreError> for MailError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged { what, .. } => Self::Damaged { what },
            StoreError::NoSuchBlob => Self::Expunged,
            StoreError::Range => Self::misuse("range outside of a message"),
            StoreError::Refused { reason } => Self::Unavailable { reason },
            other => Self::Unavailable {
                reason: with_source(&other).into(),
            },
        }
    }
}

impl From<StageError> for MailError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Full => Self::Full {
                reason: "no space for the message".into(),
            },
            StageError::Refused { reason } => Self::Unavailable { reason },
            other => Self::Unavailable {
                reason: with_source(&other).into(),
            },
        }
    }
}

impl From<CommitError> for MailError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Conflict,
            CommitError::Unknown { reason } => Self::Unknown { reason },
            CommitError::Full { reason } => Self::Full { reason },
            CommitError::Refused { reason } => Self::Unavailable { reason },
            CommitError::Invalid { reason } => Self::Misuse { what: reason },
            other => Self::Unavailable {
                reason: with_source(&other).into(),
            },
        }
    }
}

impl From<DecodeError> for MailError {
    fn from(error: DecodeError) -> Self {
        Self::damaged(error.to_string())
    }
}

impl From<LoadError<StoreError>> for MailError {
    fn from(error: LoadError<StoreError>) -> Self {
        match error {
            LoadError::Store(error) => error.into(),
            other => Self::damaged(with_source(&other)),
        }
    }
}

impl From<FoldError> for MailError {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::UidLimit => Self::Limit(Limit::Uids),
            other => Self::damaged(other.to_string()),
        }
    }
}

impl From<BuildError> for MailError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::KeywordLimit => Self::Limit(Limit::Keywords),
            BuildError::UidLimit => Self::Limit(Limit::Uids),
            BuildError::NotAKeyword(name) => Self::misuse(format!("not a keyword: {name:?}")),
        }
    }
}

impl From<NoModSeq> for MailError {
    fn from(_: NoModSeq) -> Self {
        Self::Limit(Limit::Uids)
    }
}

/// An error and its causes in one line, for the log.
fn with_source(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
