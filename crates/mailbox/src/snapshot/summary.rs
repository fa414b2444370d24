//! What is known of a chunk or a page without reading it.

use super::access::FlagFilter;
use crate::{
    codec::{Decoded, Reader, put_u128, put_varint},
    flags::Flags,
    tail::read_modseq,
    types::{ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// Sums over some rows, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) rows: u32,
    pub(crate) unseen: u32,
    pub(crate) deleted: u32,
    pub(crate) first: Uid,
    pub(crate) last: Uid,
    /// Bytes.
    pub(crate) size: u64,
    /// The largest.
    pub(crate) modseq: ModSeq,
    /// Flags that at least one row has.
    pub(crate) any: Flags,
    /// Flags that every row has.
    pub(crate) all: Flags,
}

impl Summary {
    pub(super) const fn of_row(row: &Row) -> Self {
        Self {
            rows: 1,
            unseen: !row.flags.contains(Flags::SEEN) as u32,
            deleted: row.flags.contains(Flags::DELETED) as u32,
            first: row.uid,
            last: row.uid,
            size: row.size,
            modseq: row.modseq,
            any: row.flags,
            all: row.flags,
        }
    }

    pub(super) fn of_rows(rows: &[Row]) -> Option<Self> {
        rows.iter().map(Self::of_row).reduce(Self::joined)
    }

    /// Of both; `other` follows.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            unseen: self.unseen.saturating_add(other.unseen),
            deleted: self.deleted.saturating_add(other.deleted),
            first: self.first,
            last: other.last,
            size: self.size.saturating_add(other.size),
            modseq: self.modseq.max(other.modseq),
            any: self.any | other.any,
            all: self.all & other.all,
        }
    }

    /// Whether a row can pass.
    pub(super) const fn can_pass(&self, filter: FlagFilter) -> bool {
        self.any.contains(filter.all) && !self.all.intersects(filter.none)
    }

    /// Whether every row passes.
    pub(super) const fn all_pass(&self, filter: FlagFilter) -> bool {
        self.all.contains(filter.all) && !self.any.intersects(filter.none)
    }

    /// Whether `flags & !clear | set` can change a row.
    pub(super) const fn can_change(&self, clear: Flags, set: Flags) -> bool {
        !self.all.contains(set) || self.any.intersects(clear.without(set))
    }

    pub(super) fn touches(&self, uids: &UidSet) -> bool {
        uids.intersects_range(self.first, self.last)
    }

    /// Whether every row is in `uids` for sure.
    pub(super) fn is_within(&self, uids: &UidSet) -> bool {
        uids.contains_range(self.first, self.last)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.rows));
        put_varint(out, u64::from(self.unseen));
        put_varint(out, u64::from(self.deleted));
        put_varint(out, u64::from(self.first.get()));
        put_varint(out, u64::from(self.last.get() - self.first.get()));
        put_varint(out, self.size);
        put_varint(out, self.modseq.0);
        put_u128(out, self.all.0);
        put_u128(out, self.any.without(self.all).0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        let (rows, unseen) = (reader.varint_u32()?, reader.varint_u32()?);
        let deleted = reader.varint_u32()?;
        let first = Uid::new(reader.varint_u32()?).ok_or(reader.damaged())?;
        let width = reader.varint_u32()?;
        let last = first.checked_add(width).ok_or(reader.damaged())?;
        let size = reader.varint()?;
        let modseq = read_modseq(reader)?;
        let all = Flags(reader.u128()?);
        let any = Flags(reader.u128()?) | all;
        let too_many = rows == 0 || unseen > rows || deleted > rows || rows - 1 > width;
        if too_many {
            return Err(reader.damaged());
        }
        Ok(Self {
            rows,
            unseen,
            deleted,
            first,
            last,
            size,
            modseq,
            any,
            all,
        })
    }
}
