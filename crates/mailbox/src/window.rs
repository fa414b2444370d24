//! What is kept of a mailbox's past: from its oldest record or checkpoint to its tail.

use std::{ops::Bound, sync::Arc};

use restante_store::Direction;

use crate::{
    Flags,
    build::{self, AppendRow, FlagNames},
    error::{MailError, Result},
    keys::{self, Table},
    keywords::Keywords,
    mailbox::Mailbox,
    ops::Change,
    record::{Effect, Record},
    snapshot::{LoadError, Snapshot, Wanted},
    stored::Stored,
    tail::{RootRef, Tail},
    types::{DateTime, EmailId, ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// Records that are folded at once.
const RECORDS: usize = 256;

/// A message that was expunged and is still kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpungedMessage {
    /// Its UID, which no message will have again.
    pub uid: Uid,
    /// The email.
    pub email: EmailId,
    /// Its size, in bytes.
    pub size: u64,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// Its flags when it was expunged.
    pub flags: FlagNames,
    /// The transaction that expunged it.
    pub modseq: ModSeq,
    /// When that was, milliseconds since 1970.
    pub expunged_ms: i64,
}

/// What [`Mailbox::restore`] did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The UIDs that the messages had, ascending.
    pub source: Vec<Uid>,
    /// The UIDs that they have now, in the same order.
    pub destination: Vec<Uid>,
    /// The mailbox before and after.
    pub change: Change,
}

/// A checkpoint that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptRoot {
    pub(crate) root: RootRef,
    /// When it was written, milliseconds since 1970.
    pub(crate) created_ms: i64,
}

impl Stored<'_> {
    /// The checkpoints that are kept, oldest first.
    pub(crate) async fn roots(&self) -> Result<Vec<KeptRoot>> {
        let (mut start, end) = keys::mailbox_table(self.account, Table::MailboxRoot, self.id);
        let mut roots = Vec::new();
        loop {
            // One by one: each may be large.
            let range = (start, end.clone());
            let rows = self.store.scan(range, Direction::Ascending, 16).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(roots);
            };
            start = Bound::Excluded(last.to_vec());
            for (key, row) in &rows {
                let modseq = keys::last_u64(key).map(ModSeq);
                let created = row.split_first_chunk();
                let (Some(modseq), Some((created, _))) = (modseq, created) else {
                    return Err(MailError::damaged("the key of a checkpoint"));
                };
                roots.push(KeptRoot {
                    root: RootRef { modseq },
                    created_ms: i64::from_le_bytes(*created),
                });
            }
        }
    }

    /// The oldest snapshot that can be had. `None` if what is kept changes meanwhile, or has a gap.
    pub(crate) async fn oldest(&self, tail: &Tail) -> Result<Option<Arc<Snapshot>>> {
        let first = self.records(ModSeq::ZERO, tail.modseq, 1).await?;
        let Some(first) = first.first() else {
            return match tail.root {
                Some(root) => Ok(self.root(root).await?.map(|(_, snapshot)| snapshot)),
                None => Ok(Some(Arc::new(Snapshot::new(tail.uid_validity)))),
            };
        };
        if first.parent() == 0 && tail.root.is_none_or(|root| root.modseq >= first.modseq()) {
            return Ok(Some(Arc::new(Snapshot::new(tail.uid_validity))));
        }
        for kept in self.roots().await? {
            let Some((_, snapshot)) = self.root(kept.root).await? else {
                return Ok(None);
            };
            // Where trimming was cut short, the first records are those before the checkpoint.
            if snapshot.tail().chain == first.parent() || snapshot.modseq() >= first.modseq() {
                return Ok(Some(snapshot));
            }
        }
        Ok(None)
    }

    /// Folds the records from a snapshot up to `last`, and shows each message that one expunges, as it was
    /// before. `None` if there is a gap.
    pub(crate) async fn fold(
        &self,
        mut snapshot: Arc<Snapshot>,
        last: ModSeq,
        mut expunged: impl FnMut(&Record, Row, &Keywords),
    ) -> Result<Option<Arc<Snapshot>>> {
        while snapshot.modseq() < last {
            let records = self.records(snapshot.modseq(), last, RECORDS).await?;
            if records.is_empty() {
                return Ok(None);
            }
            for record in records {
                if record.parent() != snapshot.tail().chain {
                    return Ok(None);
                }
                for effect in record.effects() {
                    if let Effect::Expunge { uids } = effect {
                        let before = match snapshot.ensure(self, Wanted::Uids(uids)).await {
                            Err(LoadError::Trimmed(_)) => return Ok(None),
                            before => before?,
                        };
                        for row in before.rows_in(uids) {
                            expunged(&record, row, before.keywords());
                        }
                    }
                }
                match self
                    .follow(&snapshot, std::slice::from_ref(&record))
                    .await?
                {
                    Some(next) => snapshot = next,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(snapshot))
    }
}

impl Mailbox {
    /// The messages that were expunged and are still kept, in the order of their expunges.
    ///
    /// # Errors
    /// As [`Mailbox::snapshot`].
    pub async fn expunged(self: &Arc<Self>) -> Result<Vec<ExpungedMessage>> {
        for _ in 0..8 {
            let tail = self.tail().await?;
            let stored = self.stored();
            let Some(oldest) = stored.oldest(&tail).await? else {
                continue;
            };
            let mut found = Vec::new();
            let note = |record: &Record, row: Row, keywords: &Keywords| {
                let keywords = keywords.names_of(row.flags).map(Box::from).collect();
                found.push(ExpungedMessage {
                    uid: row.uid,
                    email: row.email,
                    size: row.size,
                    internal_date: row.internal_date,
                    flags: FlagNames {
                        system: row.flags & Flags::SYSTEM,
                        keywords,
                    },
                    modseq: record.modseq(),
                    expunged_ms: record.wall_ms(),
                });
            };
            if stored.fold(oldest, tail.modseq, note).await?.is_some() {
                return Ok(found);
            }
        }
        Err(MailError::Busy)
    }

    /// Brings expunged messages back: as new messages with new UIDs, with their dates and flags, but
    /// without `\Deleted`. UIDs that are not among [`Mailbox::expunged`] are passed over.
    ///
    /// # Errors
    /// [`MailError::OverQuota`]; as [`Mailbox::append`].
    pub async fn restore(self: &Arc<Self>, uids: &UidSet) -> Result<Restored> {
        let mut messages = self.expunged().await?;
        let purged = self.account().purged().await?;
        messages.retain(|message| uids.contains(message.uid) && !purged.contains(&message.email));
        messages.sort_unstable_by_key(|message| message.uid);
        let account = self.account();
        let bytes = messages.iter().map(|message| message.size).sum();
        let _room = account.reserve(bytes, messages.len() as u64)?;
        let save_date_s = account.core.now_ms().div_euclid(1000);
        let source: Vec<_> = messages.iter().map(|message| message.uid).collect();
        self.change(Wanted::End, |loaded| {
            let rows = messages.iter().map(|message| AppendRow {
                uid: None,
                email: message.email,
                size: message.size,
                internal_date: message.internal_date,
                save_date_s,
                flags: FlagNames {
                    system: message.flags.system.without(Flags::DELETED),
                    keywords: message.flags.keywords.clone(),
                },
            });
            let built = match messages.is_empty() {
                true => build::BuiltAppend::default(),
                false => build::append(loaded, rows)?,
            };
            let (source, destination) = (source.clone(), built.uids);
            let answer = |change| Restored {
                source,
                destination,
                change,
            };
            Ok((built.effects, answer))
        })
        .await
    }

    /// Moves UIDNEXT and modseq ahead, so that nothing that a client has seen and the store has lost can
    /// be mistaken for something new (after a restore, or a failover that may have lost commits). With
    /// `touch`, every message gets the new modseq, so that clients fetch all flags again. UIDVALIDITY
    /// stays.
    ///
    /// # Errors
    /// [`MailError::Limit`]; as [`Mailbox::append`].
    pub async fn jump(self: &Arc<Self>, uids: u32, modseqs: u64, touch: bool) -> Result<Change> {
        if modseqs == 0 {
            return Err(MailError::misuse("a jump of no distance"));
        }
        let none = UidSet::new();
        let wanted = match touch {
            true => Wanted::All,
            false => Wanted::Uids(&none),
        };
        self.change(wanted, |_| {
            let jump = Effect::Jump {
                uids,
                modseqs,
                touch,
            };
            Ok((vec![jump], |change| change))
        })
        .await
    }
}

impl crate::account::Account {
    /// A [`Mailbox::jump`] in every mailbox, far enough for what a day could have brought.
    ///
    /// # Errors
    /// As [`Mailbox::jump`].
    pub async fn jump_all(self: &Arc<Self>) -> Result<()> {
        const UIDS: u32 = 100_000;
        const MODSEQS: u64 = 10_000_000;
        for (id, _) in self.tails().await? {
            match self.open(id).await?.jump(UIDS, MODSEQS, true).await {
                Ok(_) | Err(MailError::NoSuchMailbox) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
