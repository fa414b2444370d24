//! What an administrator can ask for.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::acl::AclChange;
use crate::purge::Which;
use crate::transfer::MessageLine;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// How the server is.
    Status {},
    /// Reads the configuration again.
    Reload {},
    /// Adds users, some hundreds at a time.
    UsersAdd {
        /// Who.
        users: Vec<UserToAdd>,
        /// Leave out those who exist, instead of refusing all.
        skip_existing: bool,
    },
    /// Lists users in the order of their names.
    Users {
        /// Begin after this name.
        after: Option<String>,
        /// How many at most.
        limit: usize,
    },
    /// Shows one user, with what is in the account.
    User {
        /// Who.
        name: String,
    },
    /// Sets the hash of a password.
    UserPassword {
        /// Who.
        name: String,
        /// As `restante_auth::schemes` reads it.
        hash: String,
        /// The keys of SCRAM of the same password (RFC 5803), if they were made.
        #[serde(default)]
        scram: Vec<String>,
    },
    /// Sets limits of a quota; those not named stay.
    UserQuota {
        /// Who.
        name: String,
        /// The limits.
        limits: Vec<QuotaLimit>,
    },
    /// Hides these capabilities and no others from a user.
    UserHide {
        /// Who.
        name: String,
        /// The words.
        words: Vec<String>,
    },
    /// Locks a user out, or lets one in again.
    UserDisabled {
        /// Who.
        name: String,
        /// Whether the user is locked out.
        disabled: bool,
    },
    /// Removes a user; the mail is deleted after the retention time.
    UserRemove {
        /// Who.
        name: String,
    },
    /// Checks that the data is whole.
    Check {
        /// Only this user's.
        user: Option<String>,
        /// Read every message, too.
        deep: bool,
    },
    /// Lists a user's mailboxes that were deleted and are still kept.
    Deleted {
        /// Whose.
        user: String,
    },
    /// Lists a mailbox's messages that were expunged and are still kept.
    Expunged {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
    },
    /// Brings expunged messages back.
    Undelete {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// Those with UIDs in these ranges.
        uids: Option<Vec<(u32, u32)>>,
        /// Those expunged since then, milliseconds since 1970.
        since_ms: Option<i64>,
    },
    /// Brings a deleted mailbox back.
    UndeleteMailbox {
        /// Whose.
        user: String,
        /// The name it had.
        was: String,
        /// The name it shall have.
        name: String,
    },
    /// Deletes messages at once, for good; or only lists them.
    Purge {
        /// Whose.
        user: String,
        /// Which.
        which: Which,
        /// Why; without it they are only listed.
        reason: Option<String>,
    },
    /// Lists what was purged.
    Tombstones {
        /// Whose.
        user: String,
    },
    /// Makes a password for one device of a user.
    AppPasswordAdd {
        /// Whose.
        name: String,
        /// What it is for.
        label: String,
    },
    /// Lists a user's app passwords, without the passwords.
    AppPasswords {
        /// Whose.
        name: String,
    },
    /// Revokes an app password.
    AppPasswordRevoke {
        /// Whose.
        name: String,
        /// Which.
        id: u64,
    },
    /// Lists the last logins of a user, the failed ones too.
    Logins {
        /// Whose.
        name: String,
    },
    /// Lists what others may do with a user's mailboxes, after a change if there is one.
    Acl {
        /// Whose mailboxes.
        user: String,
        /// What to change first.
        change: Option<AclChange>,
    },
    /// Lists who waits because of failed logins.
    Throttled {},
    /// Forgets failed logins: all, or those of a user, from an address, or both.
    ThrottleClear {
        /// Of whom.
        user: Option<String>,
        /// From where.
        address: Option<IpAddr>,
    },
    /// Makes a copy of the store while it is in use.
    Backup {
        /// A directory that does not exist yet, or is empty; from the root.
        to: PathBuf,
    },
    /// Lists a user's mailboxes.
    Mailboxes {
        /// Whose.
        user: String,
    },
    /// Opens a mailbox for import, making it if need be.
    MailboxOpen {
        /// Whose.
        user: String,
        /// Its name, UTF-8 with `/` between levels.
        mailbox: String,
        /// The UIDVALIDITY it shall have if it is new.
        uid_validity: Option<u32>,
        /// What its UIDNEXT shall be at least, if its UIDVALIDITY is the given one.
        uid_next: Option<u32>,
        /// Whether the user shall be subscribed to it.
        subscribe: bool,
    },
    /// Lists messages with UIDs above `after`.
    Messages {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// UIDs above this one.
        after: u32,
        /// How many at most.
        limit: usize,
    },
    /// Reads a piece of a message; its bytes follow the reply.
    Read {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// Which message.
        uid: u32,
        /// From which byte on.
        offset: u64,
    },
    /// Appends messages; their bytes follow the request, in the order of the list.
    Append {
        /// Whose.
        user: String,
        /// The mailbox's name.
        mailbox: String,
        /// The messages.
        messages: Vec<MessageLine>,
    },
}

impl Request {
    /// How many bytes follow the request.
    pub(crate) fn payload_bytes(&self) -> u64 {
        match self {
            Request::Append { messages, .. } => messages
                .iter()
                .fold(0, |sum, message| sum.saturating_add(message.size)),
            _ => 0,
        }
    }
}

/// A user to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserToAdd {
    /// The name, in any case.
    pub name: String,
    /// The password's hash (`restante_auth::schemes`); without one nobody signs in with the directory's.
    #[serde(default)]
    pub hash: Option<String>,
    /// The keys of SCRAM of the same password (RFC 5803), if they were made.
    #[serde(default)]
    pub scram: Vec<String>,
    /// In bytes.
    #[serde(default)]
    pub quota: Option<u64>,
}

/// A limit of a user's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLimit {
    /// What is limited.
    pub resource: QuotaResource,
    /// How much there may be; none: the server's default.
    pub limit: Option<u64>,
}

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaResource {
    /// Bytes of all messages.
    Bytes,
    /// Messages.
    Messages,
    /// Mailboxes.
    Mailboxes,
}
