//! Checkpoints: from time to time a mailbox's snapshot is written, so that its log need not be read from
//! the beginning.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use restante_store::Batch;

use crate::{
    commit::{self, Tries},
    error::Result,
    keys,
    mail::Mail,
    mailbox::Mailbox,
    stored,
    tail::TailState,
    types::{AccountId, MailboxId, ModSeq},
};

/// Parts that go in one batch, in bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Fewer records are read as fast as a checkpoint.
const RECORDS_MIN: u64 = 16;

impl Mailbox {
    /// Writes a checkpoint. False: there is nothing new since the last one.
    ///
    /// # Errors
    /// [`crate::MailError::NoSuchMailbox`], [`crate::MailError::Full`],
    /// [`crate::MailError::Unavailable`].
    pub async fn checkpoint(self: &Arc<Self>) -> Result<bool> {
        let tail = self.tail().await?;
        if tail.state == TailState::Deleted || tail.root.is_some_and(|r| r.modseq == tail.modseq) {
            return Ok(false);
        }
        let was_loaded = self.is_loaded();
        let snapshot = self.snapshot().await?;
        let checkpoint = snapshot
            .checkpoint()
            .map_err(|error| crate::MailError::misuse(error.to_string()))?;
        let (account, core) = (self.account().id(), &self.account().core);
        let mut parts = checkpoint.puts().iter().peekable();
        while parts.peek().is_some() {
            let mut batch = Batch::new(account.0);
            let mut bytes = 0;
            while bytes < BATCH_BYTES
                && let Some((part, value)) = parts.next()
            {
                bytes += value.len();
                batch.put(keys::part(account, self.id(), *part), value.clone());
            }
            // Written again after an unknown outcome, they are the same.
            core.store.commit(batch).await?;
        }
        let mut tries = Tries::<()>::new();
        loop {
            self.refresh().await?;
            let in_flight = {
                let mut state = self.lock();
                let Some(pending) = state.pending().cloned() else {
                    continue;
                };
                let mut tail = pending.tail.clone();
                let newer = tail.root.filter(|r| r.modseq >= checkpoint.root().modseq);
                if tail.state == TailState::Deleted || newer.is_some() {
                    return Ok(false);
                }
                tail.root = Some(checkpoint.root());
                let view = pending.with_tail(tail);
                let mut batch = Batch::new(account.0);
                let key = keys::tail(account, self.id());
                batch.require_equal.push((key.clone(), pending.row));
                batch.put(key, view.row.clone());
                let root = keys::root(account, self.id(), checkpoint.root().modseq);
                let created_ms = core.now_ms();
                batch.put(
                    root,
                    stored::encode_root(created_ms, checkpoint.root_bytes()),
                );
                commit::submit(
                    core,
                    Vec::new(),
                    batch,
                    vec![(self, &mut *state, view, None)],
                )
            };
            match in_flight.outcome().await {
                Ok(()) => break,
                Err(restante_store::CommitError::Conflict { .. }) => {}
                // The next one finds out.
                Err(error) => return Err(error.into()),
            }
            tries.again(core.nonce()).await?;
        }
        checkpoint.committed();
        if !was_loaded {
            // Nobody but this asked for more than the tail.
            drop(snapshot);
            self.unload();
        }
        Ok(true)
    }
}

impl Mail {
    /// Writes the checkpoints that are due, at most so many. Gives how many were written.
    ///
    /// # Errors
    /// [`crate::MailError::Full`], [`crate::MailError::Unavailable`].
    pub async fn checkpoint_step(&self, most: usize) -> Result<usize> {
        let mut written = 0;
        for _ in 0..most {
            let Some((account, mailbox)) = self.core.take_due() else {
                break;
            };
            match self.checkpoint_one(account, mailbox).await {
                Ok(done) => written += usize::from(done),
                Err(crate::MailError::NoSuchMailbox | crate::MailError::NoSuchUser) => {}
                Err(error) => {
                    self.core.add_due(account, mailbox);
                    return Err(error);
                }
            }
        }
        Ok(written)
    }

    /// Writes checkpoints of the mailboxes in memory, those used last first, for so long at most: whoever
    /// opens them after a restart need not read what happened since the last one. Gives how many were
    /// written.
    ///
    /// # Errors
    /// [`crate::MailError::Full`], [`crate::MailError::Unavailable`].
    pub async fn checkpoint_warm(&self, at_most: Duration) -> Result<usize> {
        let begin = Instant::now();
        let mut written = 0;
        for mailbox in self.warm.mailboxes() {
            if begin.elapsed() >= at_most {
                break;
            }
            let tail = mailbox.tail().await?;
            let root = tail.root.map_or(ModSeq::ZERO, |root| root.modseq);
            let records = tail.modseq.0.saturating_sub(root.0);
            if mailbox.is_loaded() && records >= RECORDS_MIN {
                match mailbox.checkpoint().await {
                    Ok(done) => written += usize::from(done),
                    Err(crate::MailError::NoSuchMailbox) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(written)
    }

    async fn checkpoint_one(&self, account: AccountId, mailbox: MailboxId) -> Result<bool> {
        let account = self.account(account).await?;
        account.open(mailbox).await?.checkpoint().await
    }
}
