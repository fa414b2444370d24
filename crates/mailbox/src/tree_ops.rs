//! Changes of an account's mailbox tree: CREATE, DELETE, RENAME, subscriptions, annotations.

use std::sync::Arc;

use crate::{
    account::{Account, MetadataEntry},
    error::{Limit, MailError, Result},
    keys,
    name::MailboxName,
    tail::TailState,
    tree::{SpecialUse, Tree, TreeEffect},
    types::{MailboxId, UidValidity},
};

/// Tries against writers of the mailbox itself.
const TRIES: usize = 32;

/// Whether the quota has room for the mailboxes that are created.
fn admit_mailboxes(tree: &Tree, created: &[TreeEffect], most: Option<u64>) -> Result<()> {
    let mailboxes = (tree.mailboxes.len() + created.len()) as u64;
    match most.is_some_and(|most| mailboxes > most) {
        true => Err(MailError::OverQuota),
        false => Ok(()),
    }
}

/// Names of subscriptions, in bytes: all of them are in one value of the store.
const SUBSCRIPTION_BYTES_MAX: usize = 2 << 20;

impl Account {
    /// Creates a mailbox, and the parents that it misses as real mailboxes (RFC 9051 §6.3.4).
    ///
    /// # Errors
    /// [`MailError::AlreadyExists`], [`MailError::SpecialUseTaken`], [`MailError::OverQuota`],
    /// [`MailError::Limit`].
    pub async fn create(
        self: &Arc<Self>,
        name: &MailboxName,
        special_use: SpecialUse,
    ) -> Result<MailboxId> {
        let most = self.usage.quota().limits.mailboxes;
        self.create_within(name, special_use, None, most).await
    }

    /// As [`Account::create`], with the UIDVALIDITY that the mailbox had elsewhere, for an import, which is
    /// not held to the quota.
    ///
    /// # Errors
    /// As [`Account::create`].
    pub async fn create_with(
        self: &Arc<Self>,
        name: &MailboxName,
        special_use: SpecialUse,
        uid_validity: Option<UidValidity>,
    ) -> Result<MailboxId> {
        self.create_within(name, special_use, uid_validity, None)
            .await
    }

    /// Creates a mailbox if the account has no more than `most` then.
    async fn create_within(
        self: &Arc<Self>,
        name: &MailboxName,
        special_use: SpecialUse,
        uid_validity: Option<UidValidity>,
        most: Option<u64>,
    ) -> Result<MailboxId> {
        let name = name.clone();
        self.change_tree(move |tree, change| {
            if !special_use.is_empty() && tree.with_special_use(special_use).is_some() {
                return Err(MailError::SpecialUseTaken);
            }
            let effects = tree.create(&name, |new| match *new == name {
                true => change.new_mailbox(special_use, uid_validity),
                false => change.new_mailbox(SpecialUse::NONE, None),
            })?;
            admit_mailboxes(tree, &effects, most)?;
            change.effects = effects;
            // The last one is the mailbox itself, after its parents.
            let created = change.effects.iter().rev().find_map(|effect| match effect {
                TreeEffect::Create { entry, .. } => Some(entry.id),
                _ => None,
            });
            match created {
                Some(id) => Ok(id),
                None => Err(MailError::misuse("a mailbox was created without an effect")),
            }
        })
        .await
    }

    /// Deletes a mailbox with its messages (RFC 9051 §6.3.5); its children stay. The messages are kept
    /// for the retention time.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`], [`MailError::CannotDeleteInbox`].
    pub async fn delete(self: &Arc<Self>, name: &MailboxName) -> Result<()> {
        if name.is_inbox() {
            return Err(MailError::CannotDeleteInbox);
        }
        for _ in 0..TRIES {
            let mailbox = self.mailbox(name).await?;
            mailbox.refresh().await?;
            let (deleted, id, name) = (mailbox.clone(), mailbox.id(), name.clone());
            let outcome = self
                .change_tree(move |tree, change| {
                    if tree.get(&name).is_none_or(|entry| entry.id != id) {
                        return Err(MailError::NoSuchMailbox);
                    }
                    let pending = deleted.lock().pending().cloned();
                    let pending = pending.ok_or(MailError::Conflict)?;
                    let mut tail = pending.tail;
                    tail.state = TailState::Deleted;
                    // The retention time begins now.
                    tail.wall_ms = change.now_ms.max(tail.wall_ms);
                    let key = keys::tail(change.account(), id);
                    change.batch.require_equal.push((key.clone(), pending.row));
                    change.batch.put(key, tail.encode());
                    change.effects.push(TreeEffect::Delete { id });
                    Ok(())
                })
                .await;
            mailbox.refresh_anew().await?;
            match outcome {
                // A writer of the mailbox was first.
                Err(MailError::Conflict) => tokio::task::yield_now().await,
                outcome => return outcome,
            }
        }
        Err(MailError::Busy)
    }

    /// Renames a mailbox and its children (RFC 9051 §6.3.6); ids and UIDVALIDITY stay. INBOX is left
    /// empty: its messages move to the new mailbox. Parents that the new name misses are created.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`], [`MailError::AlreadyExists`], [`MailError::RenameBelowItself`],
    /// [`MailError::OverQuota`], [`MailError::Limit`].
    pub async fn rename(self: &Arc<Self>, from: &MailboxName, to: &MailboxName) -> Result<()> {
        if from.is_inbox() {
            let id = self.create(to, SpecialUse::NONE).await?;
            let (inbox, to) = (self.mailbox(from).await?, self.open(id).await?);
            // They stay with INBOX as well (RFC 5464 §4.1).
            let tree = self.tree().await?;
            let annotations = tree.metadata.range((Some(inbox.id()), "".into())..);
            let annotations = annotations.take_while(|((of, _), _)| *of == Some(inbox.id()));
            let annotations =
                annotations.map(|((_, entry), value)| (entry.clone(), Some(value.clone())));
            let annotations: Vec<MetadataEntry> = annotations.collect();
            self.set_metadata(Some(id), annotations).await?;
            inbox.move_to(&crate::UidSet::all(), &to).await?;
            return Ok(());
        }
        let (from, to) = (from.clone(), to.clone());
        let most = self.usage.quota().limits.mailboxes;
        self.change_tree(move |tree, change| {
            if to.is_below(&from) {
                return Err(MailError::RenameBelowItself);
            }
            // A name that exists through its children only can be renamed too.
            if tree.get(&from).is_none() && !tree.has_children(&from) {
                return Err(MailError::NoSuchMailbox);
            }
            if tree.get(&to).is_some() {
                return Err(MailError::AlreadyExists);
            }
            let mut effects = Vec::new();
            if let Some(parent) = to.parent().filter(|parent| tree.get(parent).is_none()) {
                // The renamed mailbox may be a parent of the new name only by `RenameBelowItself`.
                effects = tree.create(&parent, |_| change.new_mailbox(SpecialUse::NONE, None))?;
                admit_mailboxes(tree, &effects, most)?;
            }
            let renamed = tree.get(&from).map(|entry| (&from, entry));
            for (name, entry) in renamed.into_iter().chain(tree.children(&from)) {
                let name = name.renamed(&from, &to)?;
                if tree.get(&name).is_some() {
                    return Err(MailError::AlreadyExists);
                }
                effects.push(TreeEffect::Rename { id: entry.id, name });
            }
            change.effects = effects;
            Ok(())
        })
        .await
    }

    /// Sets or takes away annotations of the account, or of a mailbox (RFC 5464). A mailbox's modseq
    /// moves with them (RFC 7162 §3.2), also where the values are what they were: a caller that tries
    /// again after a failure between the two steps must not leave it behind.
    ///
    /// # Errors
    /// [`MailError::Limit`].
    pub async fn set_metadata(
        self: &Arc<Self>,
        mailbox: Option<MailboxId>,
        entries: Vec<MetadataEntry>,
    ) -> Result<()> {
        /// Ten for each of two thousand mailboxes (RFC 5464 §4.1).
        const ENTRIES_MAX: usize = 20_000;
        const VALUE_BYTES_MAX: usize = 64 << 10;
        /// With their names: all of them are in memory with the tree, and in one value of the store.
        const BYTES_MAX: usize = 4 << 20;
        let names: Vec<Arc<str>> = entries.iter().map(|(entry, _)| entry.clone()).collect();
        self.change_tree(move |tree, change| {
            let mut count = tree.metadata.len();
            let annotations = tree.metadata.iter();
            let mut sum: usize = annotations
                .map(|((_, entry), value)| entry.len() + value.len())
                .sum();
            for (entry, value) in &entries {
                let before = tree.metadata.get(&(mailbox, entry.clone()));
                if before == value.as_ref() {
                    continue;
                }
                let bytes = value.as_ref().map_or(0, |value| value.len());
                let with_name = |value: &usize| entry.len() + value;
                count = count + usize::from(value.is_some()) - usize::from(before.is_some());
                sum = sum + value.as_ref().map_or(0, |value| with_name(&value.len()))
                    - before.map_or(0, |before| with_name(&before.len()));
                let is_full = count > ENTRIES_MAX || sum > BYTES_MAX;
                if (value.is_some() && is_full) || bytes > VALUE_BYTES_MAX || entry.len() > 1024 {
                    return Err(MailError::Limit(Limit::Annotations));
                }
                change.effects.push(TreeEffect::Metadata {
                    mailbox,
                    entry: entry.clone(),
                    value: value.clone(),
                });
            }
            Ok(())
        })
        .await?;
        if let Some(id) = mailbox {
            self.open(id).await?.annotated(&names).await?;
        }
        Ok(())
    }

    /// Gives a mailbox these special uses and no others, and takes them from the mailboxes that had them:
    /// those are returned, with what they are left with (RFC 6154 §4).
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`].
    pub async fn set_special_use(
        self: &Arc<Self>,
        id: MailboxId,
        special_use: SpecialUse,
    ) -> Result<Vec<(MailboxName, SpecialUse)>> {
        let lost = self
            .change_tree(move |tree, change| {
                let (_, entry) = tree.by_id(id).ok_or(MailError::NoSuchMailbox)?;
                let mut lost = Vec::new();
                for (name, other) in &tree.mailboxes {
                    if other.id != id && other.special_use.intersects(special_use) {
                        let left = other.special_use.without(special_use);
                        lost.push((other.id, name.clone(), left));
                    }
                }
                let taken = lost.iter().map(|(id, _, left)| (*id, *left));
                let given = (entry.special_use != special_use).then_some((id, special_use));
                change.effects = taken
                    .chain(given)
                    .map(|(id, special_use)| TreeEffect::SpecialUse { id, special_use })
                    .collect();
                Ok(lost)
            })
            .await?;
        let annotation = [Arc::from("/private/specialuse")];
        for changed in lost.iter().map(|(id, ..)| *id).chain([id]) {
            self.open(changed).await?.annotated(&annotation).await?;
        }
        Ok(lost
            .into_iter()
            .map(|(_, name, left)| (name, left))
            .collect())
    }

    /// Subscribes to a name, whether or not it is a mailbox (RFC 9051 §6.3.7).
    ///
    /// # Errors
    /// [`MailError::Limit`].
    pub async fn subscribe(self: &Arc<Self>, name: &MailboxName) -> Result<()> {
        let name = name.clone();
        self.change_tree(move |tree, change| {
            if tree.subscribed.contains(&name) {
                return Ok(());
            }
            let bytes: usize = tree.subscribed.iter().map(|name| name.as_str().len()).sum();
            if tree.subscribed.len() >= Tree::SUBSCRIPTIONS_MAX || bytes > SUBSCRIPTION_BYTES_MAX {
                return Err(MailError::Limit(Limit::Subscriptions));
            }
            let name = name.clone();
            change.effects.push(TreeEffect::Subscribe { name });
            Ok(())
        })
        .await
    }

    /// Takes a subscription away; none is no error.
    ///
    /// # Errors
    /// [`MailError::Unavailable`] and the like.
    pub async fn unsubscribe(self: &Arc<Self>, name: &MailboxName) -> Result<()> {
        let name = name.clone();
        self.change_tree(move |tree, change| {
            if tree.subscribed.contains(&name) {
                let name = name.clone();
                change.effects.push(TreeEffect::Unsubscribe { name });
            }
            Ok(())
        })
        .await
    }
}
