//! What an administrator is answered.

use restante_mailbox::User;
use serde::{Deserialize, Serialize};

use crate::acl::AclLine;
use crate::app_passwords::AppPasswordLine;
use crate::purge::{PurgeLine, TombstoneLine};
use crate::record::LoginLine;
use crate::throttle::ThrottleLine;
use crate::transfer::{MailboxLine, MessageLine};
use crate::undelete::{DeletedLine, ExpungedLine};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// It is done.
    Done {},
    /// It was not done, and why.
    Error {
        /// For the person who asked.
        text: String,
    },
    /// The server runs.
    Status {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
        /// Open connections of all kinds.
        connections: usize,
    },
    /// The configuration was read again.
    Reloaded {
        /// What came of it, for the person who asked.
        text: String,
    },
    /// Users were added.
    Added {
        /// How many.
        added: usize,
        /// Names that existed already.
        existing: Vec<String>,
    },
    /// A page of users; empty after the last.
    Users {
        /// In the order of their names.
        users: Vec<UserLine>,
    },
    /// One user.
    User {
        /// Who.
        user: UserLine,
        /// Bytes of all messages.
        used: u64,
        /// Number of all messages.
        messages: u64,
        /// Number of mailboxes.
        mailboxes: u64,
        /// What the quota comes to in bytes, the default included.
        limit: Option<u64>,
        /// The most messages, the default included.
        messages_max: Option<u64>,
        /// The most mailboxes, the default included.
        mailboxes_max: Option<u64>,
        /// Capabilities that are hidden from the user.
        hidden: Vec<String>,
    },
    /// The data was checked.
    Checked {
        /// Accounts.
        accounts: u64,
        /// Mailboxes.
        mailboxes: u64,
        /// Messages in them.
        messages: u64,
        /// Bytes of messages that were read and compared with their checksums.
        bytes_read: u64,
        /// What is wrong; nothing if all is well. The first thousand, if there are more.
        problems: Vec<String>,
    },
    /// A copy was made.
    Copied {
        /// Everything up to this commit is in it.
        commit: u64,
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Mailboxes.
    Mailboxes {
        /// In the order of their names.
        mailboxes: Vec<MailboxLine>,
    },
    /// A page of messages; empty after the last.
    Messages {
        /// In the order of their UIDs.
        messages: Vec<MessageLine>,
    },
    /// Bytes follow.
    Bytes {
        /// How many; 0 at the end of the message.
        size: u64,
    },
    /// Deleted mailboxes, in the order of their deletion.
    Deleted {
        /// Which.
        mailboxes: Vec<DeletedLine>,
    },
    /// Expunged messages, in the order of their expunges.
    Expunged {
        /// Which.
        messages: Vec<ExpungedLine>,
    },
    /// Something was brought back.
    Restored {
        /// How many messages.
        messages: u64,
    },
    /// Messages that a purge would delete.
    ToPurge {
        /// Which.
        messages: Vec<PurgeLine>,
    },
    /// Messages were purged.
    Purged {
        /// How many.
        emails: u64,
        /// How often mailboxes showed them.
        messages: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// What was purged, in the order of its arrival.
    Tombstones {
        /// What stands for it.
        tombstones: Vec<TombstoneLine>,
    },
    /// An app password was made: the only time that it is told.
    AppPassword {
        /// Its number.
        id: u64,
        /// The password.
        password: String,
    },
    /// App passwords, in the order in which they were made.
    AppPasswords {
        /// Which.
        passwords: Vec<AppPasswordLine>,
    },
    /// The last logins of a user, the oldest first.
    Logins {
        /// Which.
        logins: Vec<LoginLine>,
    },
    /// What others may do with a user's mailboxes.
    Acl {
        /// By mailbox and identifier.
        entries: Vec<AclLine>,
    },
    /// Failed logins that are counted, those first that wait longest.
    Throttled {
        /// What is counted.
        counts: Vec<ThrottleLine>,
    },
    /// Failed logins were forgotten.
    Cleared {
        /// How many counts.
        counts: usize,
    },
    /// Messages were appended.
    Appended {
        /// Their UIDs.
        uids: Vec<u32>,
    },
}

impl Reply {
    /// How many bytes follow the reply.
    pub(crate) fn payload_bytes(&self) -> u64 {
        match self {
            Reply::Bytes { size } => *size,
            _ => 0,
        }
    }
}

/// A user as shown: no password, no hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// The name in its canonical form.
    pub name: String,
    /// The account's number.
    pub account: u32,
    /// The user's own quota in bytes.
    pub quota: Option<u64>,
    /// The user's own limit of messages.
    #[serde(default)]
    pub quota_messages: Option<u64>,
    /// The user's own limit of mailboxes.
    #[serde(default)]
    pub quota_mailboxes: Option<u64>,
    /// Locked out.
    pub disabled: bool,
    /// Whether there is a password.
    pub password: bool,
}

impl From<User> for UserLine {
    fn from(user: User) -> UserLine {
        UserLine {
            name: user.name,
            account: user.account.0,
            quota: user.quota.bytes,
            quota_messages: user.quota.messages,
            quota_mailboxes: user.quota.mailboxes,
            disabled: user.disabled,
            password: user.password.is_some(),
        }
    }
}
