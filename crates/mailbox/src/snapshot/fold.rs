//! The fold: a snapshot and the record after it give the next snapshot.

use std::sync::Arc;

use super::{Loaded, Snapshot};
use crate::{
    flags::Flags,
    record::{Effect, NewRow, Record},
    tail::Tail,
    types::{ModSeq, Row, Uid},
};

/// Why a record cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Records between the snapshot and this one are missing, or it is of another log.
    #[error("the log has a gap between modseq {at} and {record}")]
    Gap {
        /// The snapshot's.
        at: ModSeq,
        /// The record's.
        record: ModSeq,
    },
    /// A message would get a UID below UIDNEXT.
    #[error("UID {uid} was given before")]
    UidReused {
        /// The UID.
        uid: Uid,
    },
    /// The UIDs or the sum of sizes cannot be counted any further.
    #[error("a counter of the mailbox is at its end")]
    Overflow,
    /// A keyword cannot be defined or freed so.
    #[error("keyword slot {0} cannot be changed so")]
    Keyword(u8),
    /// A jump stands after another effect.
    #[error("a jump is not the first effect of its record")]
    Jump,
    /// Rows that the record changes are not in memory: see [`Record::needs`].
    #[error("rows that the record needs are not loaded")]
    NotLoaded,
    /// The rows of a chunk do not agree with its summary.
    #[error("a chunk and its summary differ")]
    Summary,
}

impl Tail {
    /// The tail after `record`, for a record that brings messages and nothing else: a delivery to a
    /// mailbox that nobody has open reads nothing but the tail. None if it has other effects.
    ///
    /// # Errors
    /// [`FoldError`].
    pub fn after_append(&self, record: &Record) -> Option<Result<Self, FoldError>> {
        let only = record
            .effects()
            .iter()
            .all(|effect| matches!(effect, Effect::Append(_)));
        only.then(|| {
            let mut tail = self.clone();
            tail.follow(record)?;
            record.appended().try_for_each(|row| tail.add(row))?;
            Ok(tail)
        })
    }

    fn follow(&mut self, record: &Record) -> Result<(), FoldError> {
        let follows = self.modseq.checked_add(record.step()) == Some(record.modseq());
        if !follows || record.parent() != self.chain {
            return Err(FoldError::Gap {
                at: self.modseq,
                record: record.modseq(),
            });
        }
        self.modseq = record.modseq();
        self.chain = record.chain();
        self.wall_ms = record.wall_ms();
        Ok(())
    }

    fn add(&mut self, row: &NewRow) -> Result<(), FoldError> {
        if row.uid < self.uid_next {
            return Err(FoldError::UidReused { uid: row.uid });
        }
        self.uid_next = row.uid.checked_add(1).ok_or(FoldError::Overflow)?;
        self.size = self.size.checked_add(row.size).ok_or(FoldError::Overflow)?;
        self.messages += 1;
        self.unseen += u32::from(!row.flags.contains(Flags::SEEN));
        self.deleted += u32::from(row.flags.contains(Flags::DELETED));
        Ok(())
    }
}

impl Loaded {
    /// The snapshot after `record`. What [`Record::needs`] must have been wanted.
    ///
    /// # Errors
    /// [`FoldError`]: the record cannot be the next one.
    pub fn apply(&self, record: &Record) -> Result<Snapshot, FoldError> {
        let mut next = Snapshot::clone(&self.0);
        next.tail.follow(record)?;
        let rows = Arc::make_mut(&mut next.rows);
        for (index, effect) in record.effects().iter().enumerate() {
            match effect {
                Effect::Append(new) => {
                    for row in new {
                        next.tail.add(row)?;
                        rows.push(row.row(record.modseq()));
                    }
                }
                Effect::AppendChunks(_) => return Err(FoldError::NotLoaded),
                Effect::SetFlags { uids, clear, set } => {
                    for row in rows.iter_mut().filter(|row| uids.contains(row.uid)) {
                        let flags = row.flags.without(*clear) | *set;
                        if flags != row.flags {
                            row.flags = flags;
                            row.modseq = record.modseq();
                        }
                    }
                }
                Effect::Expunge { uids } => rows.retain(|row| !uids.contains(row.uid)),
                Effect::DefineKeyword { slot, name } => {
                    let keywords = Arc::make_mut(&mut next.keywords);
                    if !keywords.define(*slot, name) {
                        return Err(FoldError::Keyword(slot.get()));
                    }
                }
                Effect::FreeKeyword { slot } => {
                    let used = rows.iter().any(|row| row.flags.intersects(slot.flag()));
                    if used || !Arc::make_mut(&mut next.keywords).free(*slot) {
                        return Err(FoldError::Keyword(slot.get()));
                    }
                }
                Effect::Annotate { entry, value } => {
                    let annotations = Arc::make_mut(&mut next.annotations);
                    match value {
                        Some(value) => annotations.insert(entry.clone(), value.clone()),
                        None => annotations.remove(entry),
                    };
                }
                Effect::Jump { uids, touch, .. } => {
                    if index != 0 {
                        return Err(FoldError::Jump);
                    }
                    let uid_next = next.tail.uid_next.checked_add(*uids);
                    next.tail.uid_next = uid_next.ok_or(FoldError::Overflow)?;
                    next.tail.vanished_floor = record.modseq();
                    if *touch {
                        rows.iter_mut().for_each(|row| row.modseq = record.modseq());
                    }
                }
                Effect::Private { .. } => {}
            }
        }
        count(&mut next.tail, rows);
        Ok(next)
    }
}

fn count(tail: &mut Tail, rows: &[Row]) {
    tail.messages = rows.len() as u32;
    tail.unseen = rows
        .iter()
        .filter(|row| !row.flags.contains(Flags::SEEN))
        .count() as u32;
    tail.deleted = rows
        .iter()
        .filter(|row| row.flags.contains(Flags::DELETED))
        .count() as u32;
    tail.size = rows.iter().map(|row| row.size).sum();
}
