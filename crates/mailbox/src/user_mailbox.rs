//! A mailbox for somebody: the owner, or another user, who may have a `\Seen` of their own there.

use std::{ops::Deref, sync::Arc};

use tokio::sync::watch;

use crate::{
    build::{ExpungeWhat, FlagAction, StoreFlags},
    error::Result,
    flags::Flags,
    mailbox::Mailbox,
    ops::{Append, Appended, Expunged, Stored},
    snapshot::{Snapshot, Wanted},
    transfer::{Copied, Other, Replaced, Transfer},
    types::{AccountId, ModSeq, Uid},
    uid_set::UidSet,
};

/// A mailbox for one user. What is not said here is as for everybody.
///
/// With a `\Seen` of their own a user who is not the owner sees it in snapshots in the place of the
/// mailbox's, and changes it by whatever changes flags. The owner, and everybody else, is told nothing of it.
#[derive(Clone, Debug)]
pub struct UserMailbox {
    mailbox: Arc<Mailbox>,
    reader: Option<AccountId>,
}

impl UserMailbox {
    /// The mailbox with the `\Seen` that it has itself: for its owner, or for all who share it.
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            reader: None,
        }
    }

    /// The mailbox for a user who has a `\Seen` of their own, unless it is among their own.
    pub fn for_reader(mailbox: Arc<Mailbox>, user: AccountId) -> Self {
        let reader = (mailbox.account().id() != user).then_some(user);
        Self { mailbox, reader }
    }

    /// Whether the user has a `\Seen` of their own here.
    pub fn has_own_seen(&self) -> bool {
        self.reader.is_some()
    }

    /// As [`Mailbox::snapshot`], as the user sees it.
    ///
    /// # Errors
    /// As [`Mailbox::snapshot`].
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        match self.reader {
            None => self.mailbox.snapshot().await,
            Some(user) => self.mailbox.snapshot_for(user).await,
        }
    }

    /// As [`Mailbox::watch`]. What only others can see does not wake this user.
    pub fn watch(&self) -> watch::Receiver<ModSeq> {
        match self.reader {
            None => self.mailbox.watch(),
            Some(user) => self.mailbox.watch_for(user),
        }
    }

    /// As [`Mailbox::append`]: an appended message with `\Seen` is seen by the user.
    ///
    /// # Errors
    /// As [`Mailbox::append`].
    pub async fn append(&self, messages: Vec<Append>) -> Result<Appended> {
        self.mailbox.append_with(messages, &[], self.reader).await
    }

    /// As [`Mailbox::store`]; what it says of `\Seen` is said of the user's own.
    ///
    /// # Errors
    /// As [`Mailbox::store`].
    pub async fn store(&self, command: &StoreFlags) -> Result<Stored> {
        self.mailbox.store_by(command, None, self.reader).await
    }

    /// As [`UserMailbox::store`]; UNCHANGEDSINCE looks only at the flags that are named, where it can be told
    /// from what the client was shown whether these were changed (RFC 7162 §3.1.12).
    ///
    /// # Errors
    /// As [`Mailbox::store`].
    pub async fn store_known(&self, command: &StoreFlags, shown: &Arc<Snapshot>) -> Result<Stored> {
        if command.unchanged_since.is_none() || command.action == FlagAction::Replace {
            return self.store(command).await;
        }
        let wanted = Wanted::Uids(&command.uids);
        let known = self.mailbox.ensure(shown, wanted).await?;
        let known = Some(&known);
        self.mailbox.store_by(command, known, self.reader).await
    }

    /// As [`Mailbox::expunge`].
    ///
    /// # Errors
    /// As [`Mailbox::expunge`].
    pub async fn expunge(&self, what: &ExpungeWhat, visible: Option<&UidSet>) -> Result<Expunged> {
        self.mailbox.expunge_by(what, visible, self.reader).await
    }

    /// As [`Mailbox::replace`], in a mailbox of the same account.
    ///
    /// # Errors
    /// As [`Mailbox::replace`].
    pub async fn replace(&self, uid: Uid, to: &Self, message: Append) -> Result<Replaced> {
        let (from, to) = (&self.mailbox, &to.mailbox);
        from.replace_by(uid, to, message, self.reader).await
    }

    /// Copies or moves messages to another mailbox of the account, or to this one, with those of their flags
    /// that are `kept`: who has not the right to set the others cannot set them so (RFC 4314 §4). The flags are
    /// those that the user sees, and what the user has seen here, the user has seen there.
    ///
    /// # Errors
    /// As [`Mailbox::copy`].
    pub async fn transfer(
        &self,
        uids: &UidSet,
        to: &Self,
        how: Transfer,
        kept: Flags,
    ) -> Result<Copied> {
        let reader = self.reader;
        let other = Some(Other { kept, reader });
        self.mailbox.transfer(uids, &to.mailbox, how, other).await
    }
}

impl Deref for UserMailbox {
    type Target = Arc<Mailbox>;

    fn deref(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}
