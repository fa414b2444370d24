//! A mailbox as it lies in the store: its log folded, whatever this process has in memory.

use std::{
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use restante_store::{Direction, Store, StoreError};

use crate::{
    error::{MailError, Result},
    keys,
    record::{Effect, Record},
    seen::Seen,
    snapshot::{LoadError, Loaded, PartKey, Parts, Snapshot, Wanted},
    tail::{RootRef, Tail},
    types::{AccountId, MailboxId, ModSeq},
};

/// Where a mailbox lies in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) store: &'a Store,
    pub(crate) account: AccountId,
    pub(crate) id: MailboxId,
    /// Counts the bytes that are read.
    pub(crate) reads: &'a AtomicU64,
}

/// Records that are read at once.
const RECORDS: usize = 1024;
/// Messages that are folded at once: so many fill a chunk or two, and their rows take little memory.
const ROWS: usize = 1024;

/// The value at a root's key: when it was written (milliseconds since 1970), then what the snapshot made.
pub(crate) fn encode_root(created_ms: i64, root: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + root.len());
    out.extend_from_slice(&created_ms.to_le_bytes());
    out.extend_from_slice(root);
    out
}

/// How many of these records, from the first on, follow one another and do nothing but append; not many more
/// than [`ROWS`] messages.
fn appends(records: &[Record]) -> usize {
    let only_appends = |record: &&Record| {
        let mut effects = record.effects().iter();
        effects.all(|effect| matches!(effect, Effect::Append(_)))
    };
    let (mut before, mut rows): (Option<&Record>, usize) = (None, 0);
    records
        .iter()
        .take_while(only_appends)
        .take_while(|&record| {
            let is_next = before.is_none_or(|last| last.chain() == record.parent());
            let has_room = rows < ROWS;
            (before, rows) = (Some(record), rows + record.appended().count());
            is_next && has_room
        })
        .count()
}

impl Stored<'_> {
    /// What a user has seen who is not the owner.
    pub(crate) async fn seen(&self, user: AccountId) -> Result<Seen> {
        let key = keys::seen(self.account, self.id, user);
        let row = self.store.get(&key).await?;
        self.count(&row);
        let seen = row.map(|row| Seen::decode(&row)).transpose();
        Ok(seen
            .map_err(|_| self.damaged(&format!("what account {} has seen", user.0)))?
            .unwrap_or_default())
    }

    fn count<'b>(&self, rows: impl IntoIterator<Item = &'b Bytes>) {
        let bytes: usize = rows.into_iter().map(Bytes::len).sum();
        self.reads.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn damaged(&self, what: &str) -> MailError {
        MailError::damaged(format!(
            "{what} of mailbox {} of account {}",
            self.id.0, self.account.0
        ))
    }

    /// The tail.
    pub(crate) async fn tail(&self) -> Result<Option<Tail>> {
        let row = self.store.get(&keys::tail(self.account, self.id)).await?;
        let tail = row.map(|row| Tail::decode(&row)).transpose();
        tail.map_err(|_| self.damaged("the tail"))
    }

    /// A checkpoint and when it was written; `None` if it is not there (any more).
    pub(crate) async fn root(&self, root: RootRef) -> Result<Option<(i64, Arc<Snapshot>)>> {
        let key = keys::root(self.account, self.id, root.modseq);
        let Some(row) = self.store.get(&key).await? else {
            return Ok(None);
        };
        self.count([&row]);
        let damaged = || self.damaged("a checkpoint");
        let (created_ms, bytes) = row.split_first_chunk().ok_or_else(damaged)?;
        let snapshot = Snapshot::from_root(root, bytes).map_err(|_| damaged())?;
        Ok(Some((i64::from_le_bytes(*created_ms), Arc::new(snapshot))))
    }

    /// Up to so many records after `after`, up to `last`.
    pub(crate) async fn records(
        &self,
        after: ModSeq,
        last: ModSeq,
        limit: usize,
    ) -> Result<Vec<Record>> {
        if after >= last {
            return Ok(Vec::new());
        }
        let range = (
            Bound::Excluded(keys::log(self.account, self.id, after)),
            Bound::Included(keys::log(self.account, self.id, last)),
        );
        let rows = self.store.scan(range, Direction::Ascending, limit).await?;
        self.count(rows.iter().map(|(_, row)| row));
        rows.into_iter()
            .map(|(key, row)| {
                let modseq = keys::last_u64(&key).map(ModSeq).unwrap_or_default();
                Record::decode(modseq, row).map_err(|_| self.damaged("a record"))
            })
            .collect()
    }

    /// The snapshot at `tail`, from `from` if that is given, else from the checkpoint that the tail names.
    /// `None` if something was not there: trimmed meanwhile, or damage.
    pub(crate) async fn read(
        &self,
        from: Option<Arc<Snapshot>>,
        tail: &Tail,
    ) -> Result<Option<Arc<Snapshot>>> {
        let mut snapshot = match (from, tail.root) {
            (Some(snapshot), _) => snapshot,
            (None, None) => Arc::new(Snapshot::new(tail.uid_validity)),
            (None, Some(root)) => match self.root(root).await? {
                Some((_, snapshot)) => snapshot,
                None => return Ok(None),
            },
        };
        while snapshot.modseq() < tail.modseq {
            let records = self
                .records(snapshot.modseq(), tail.modseq, RECORDS)
                .await?;
            if records.is_empty() {
                return Ok(None);
            }
            let mut records = &records[..];
            while let Some(record) = records.first() {
                if record.parent() != snapshot.tail().chain {
                    return Ok(None);
                }
                // Deliveries are most of a log: what they bring is folded at once.
                let (now, later) = records.split_at(appends(records).max(1));
                match self.follow(&snapshot, now).await? {
                    Some(next) => snapshot = next,
                    None => return Ok(None),
                }
                records = later;
            }
        }
        if snapshot.tail().chain != tail.chain && snapshot.modseq() == tail.modseq {
            return Err(self.damaged("the log's chain differs from the tail's: the log"));
        }
        Ok(Some(snapshot))
    }

    /// The snapshot after a record, or after some that only append; `None` if what it needs was trimmed
    /// meanwhile.
    pub(crate) async fn follow(
        &self,
        snapshot: &Arc<Snapshot>,
        records: &[Record],
    ) -> Result<Option<Arc<Snapshot>>> {
        let Some(first) = records.first() else {
            return Ok(Some(Arc::clone(snapshot)));
        };
        match snapshot.ensure(self, Wanted::Record(first)).await {
            Ok(_) => Ok(Some(Arc::new(match records {
                [record] => snapshot.apply(record)?,
                records => snapshot.apply_appends(records)?,
            }))),
            Err(LoadError::Trimmed(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings rows of a snapshot into memory.
    pub(crate) async fn ensure(
        &self,
        snapshot: &Arc<Snapshot>,
        wanted: Wanted<'_>,
    ) -> Result<Loaded> {
        match snapshot.loaded(wanted) {
            Some(loaded) => Ok(loaded),
            None => Ok(snapshot.ensure(self, wanted).await?),
        }
    }
}

impl Parts for Stored<'_> {
    type Error = StoreError;

    async fn parts(&self, parts: &[PartKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let keys: Vec<_> = parts
            .iter()
            .map(|part| keys::part(self.account, self.id, *part))
            .collect();
        let found = self.store.get_many(&keys).await?;
        self.count(found.iter().flatten());
        Ok(found)
    }
}
