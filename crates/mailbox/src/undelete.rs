//! Mailboxes that were deleted and are still kept.

use std::{collections::HashMap, sync::Arc};

use restante_store::Direction;

use crate::{
    account::Account,
    build::{self, AppendRow, FlagNames},
    email::EmailRow,
    error::{MailError, Result},
    flags::Flags,
    keys::{self, Table},
    mailbox::Mailbox,
    name::MailboxName,
    snapshot::Wanted,
    stored::Stored,
    tail::{Tail, TailState},
    tree::{SpecialUse, Tree, TreeEffect, TreeRecord},
    types::{MailboxId, ModSeq, UidValidity},
};

/// A mailbox that was deleted, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedMailbox {
    /// Its number.
    pub id: MailboxId,
    /// The name it had.
    pub name: MailboxName,
    /// The UIDVALIDITY it had.
    pub uid_validity: UidValidity,
    /// How many messages were in it.
    pub messages: u32,
    /// Their bytes.
    pub size: u64,
    /// When it was deleted, milliseconds since 1970.
    pub deleted_ms: i64,
}

impl Account {
    /// The mailboxes that were deleted and are still kept, in the order of their deletion.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn deleted_mailboxes(self: &Arc<Self>) -> Result<Vec<DeletedMailbox>> {
        let mut names = self.names_of_deleted().await?;
        let store = &self.core.store;
        let range = keys::table(self.id(), Table::MailboxTail);
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        let mut deleted = Vec::new();
        for (key, row) in rows {
            let tail = Tail::decode(&row)?;
            let id = keys::last_u32(&key).map(MailboxId);
            let (TailState::Deleted, Some(id)) = (tail.state, id) else {
                continue;
            };
            if let Some(name) = names.remove(&id) {
                deleted.push(DeletedMailbox {
                    id,
                    name,
                    uid_validity: tail.uid_validity,
                    messages: tail.messages,
                    size: tail.size,
                    deleted_ms: tail.wall_ms,
                });
            }
        }
        deleted.sort_by_key(|mailbox| (mailbox.deleted_ms, mailbox.id));
        Ok(deleted)
    }

    /// The decoded subject of a message, for people; empty if it has none.
    ///
    /// # Errors
    /// As [`Account::read`].
    pub async fn subject(self: &Arc<Self>, email: &EmailRow) -> Result<String> {
        const HEADER_BYTES: u64 = 64 << 10;
        let header = self.read(email, 0..email.header_bytes().min(HEADER_BYTES));
        let header = header.await?;
        let subject = restante_message::field(&header, b"Subject");
        Ok(subject
            .map(|field| restante_message::decode_header(field.value))
            .unwrap_or_default())
    }

    /// The last names of deleted mailboxes, as far as the account log reaches back.
    async fn names_of_deleted(&self) -> Result<HashMap<MailboxId, MailboxName>> {
        let damaged = || MailError::damaged(format!("the log of account {}", self.id().0));
        let store = &self.core.store;
        let log = keys::table(self.id(), Table::AccountLog);
        let records = store.scan(log, Direction::Ascending, usize::MAX).await?;
        let first = records.first().and_then(|(key, _)| keys::last_u64(key));
        let mut tree = Tree::default();
        if first.is_some_and(|first| first > 1) {
            // What was before was trimmed: a checkpoint stands for it.
            let roots = keys::table(self.id(), Table::AccountRoot);
            let roots = store.scan(roots, Direction::Ascending, 1).await?;
            if let Some((_, root)) = roots.first() {
                tree = Tree::decode(root).map_err(|_| damaged())?;
            }
        }
        let mut names = HashMap::new();
        for (key, row) in &records {
            let modseq = keys::last_u64(key).map(ModSeq).ok_or_else(damaged)?;
            if modseq <= tree.modseq {
                continue;
            }
            let record = TreeRecord::decode(row).map_err(|_| damaged())?;
            for effect in &record.effects {
                if let TreeEffect::Delete { id } = effect
                    && let Some((name, _)) = tree.by_id(*id)
                {
                    names.insert(*id, name.clone());
                }
            }
            // A gap: what follows cannot be told.
            if tree.apply(modseq, &record.effects).is_none() {
                break;
            }
        }
        Ok(names)
    }

    /// Brings a deleted mailbox back under a name that is free: its messages with their flags, dates and
    /// UIDs, under a new UIDVALIDITY.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`] if it is not kept (any more), [`MailError::AlreadyExists`],
    /// [`MailError::OverQuota`]; as [`Mailbox::append`].
    pub async fn restore_mailbox(
        self: &Arc<Self>,
        id: MailboxId,
        name: &MailboxName,
    ) -> Result<Arc<Mailbox>> {
        let stored = Stored {
            store: &self.core.store,
            account: self.id(),
            id,
            reads: &self.core.reads,
        };
        let tail = stored.tail().await?;
        let tail = tail.filter(|tail| tail.state == TailState::Deleted);
        let tail = tail.ok_or(MailError::NoSuchMailbox)?;
        let oldest = stored.oldest(&tail).await?;
        let oldest = oldest.ok_or(MailError::NoSuchMailbox)?;
        let last = stored.fold(oldest, tail.modseq, |_, _, _| {}).await?;
        let last = last.ok_or(MailError::NoSuchMailbox)?;
        let loaded = stored.ensure(&last, Wanted::All).await?;
        let _room = self.reserve(tail.size, tail.messages.into())?;
        let keywords = last.keywords();
        let purged = self.purged().await?;
        let rows: Vec<AppendRow> = loaded
            .rows(..)
            .filter(|row| !purged.contains(&row.email))
            .map(|row| AppendRow {
                uid: Some(row.uid),
                email: row.email,
                size: row.size,
                internal_date: row.internal_date,
                save_date_s: row.save_date_s,
                flags: FlagNames {
                    system: row.flags & Flags::SYSTEM,
                    keywords: keywords.names_of(row.flags).map(Box::from).collect(),
                },
            })
            .collect();
        let id = self.create(name, SpecialUse::NONE).await?;
        let mailbox = self.open(id).await?;
        if rows.is_empty() {
            return Ok(mailbox);
        }
        mailbox
            .change(Wanted::End, |loaded| {
                let built = build::append(loaded, rows.iter().cloned())?;
                Ok((built.effects, |_| ()))
            })
            .await?;
        Ok(mailbox)
    }

    /// As [`Account::restore_mailbox`], for the one deleted last that had this name.
    ///
    /// # Errors
    /// As [`Account::restore_mailbox`].
    pub async fn restore_mailbox_named(
        self: &Arc<Self>,
        was: &MailboxName,
        name: &MailboxName,
    ) -> Result<Arc<Mailbox>> {
        let deleted = self.deleted_mailboxes().await?;
        let found = deleted.iter().rev().find(|mailbox| mailbox.name == *was);
        let found = found.ok_or(MailError::NoSuchMailbox)?;
        self.restore_mailbox(found.id, name).await
    }
}
