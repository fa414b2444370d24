//! The difference of two snapshots: what tells sessions what happened.

use std::{collections::HashSet, sync::Arc};

use super::{
    Snapshot,
    chunk::{Chunk, Page},
    part::PartKey,
};
use crate::{flags::Flags, types::Uid, uid_set::UidSet};

/// What happened between two snapshots of a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In the newer one only.
    pub appended: UidSet,
    /// In both, with another modseq in the newer one.
    pub changed: UidSet,
    /// In the older one only.
    pub vanished: UidSet,
}

impl Diff {
    /// Whether nothing happened to any message.
    pub fn is_empty(&self) -> bool {
        self.appended.is_empty() && self.changed.is_empty() && self.vanished.is_empty()
    }
}

/// Rows that are needed are not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rows that are needed are not loaded")]
pub struct NotLoaded;

impl Snapshot {
    /// What happened from `older` to this. Compares modseqs, not flags; what both share is passed over.
    /// Where one was folded from the other in memory, all that differs is loaded; otherwise let first
    /// `older`, then this, [`ensure`](Snapshot::ensure) what is [`Wanted::Unlike`](super::Wanted::Unlike)
    /// the other.
    ///
    /// # Errors
    /// [`NotLoaded`].
    pub fn diff(&self, older: &Snapshot) -> Result<Diff, NotLoaded> {
        let diff = self.own_diff(older)?;
        match self.seen.is_some() && older.seen.is_some() {
            true => self.diff_as_shown(older, diff),
            false => Ok(diff),
        }
    }

    /// The same for one user who has a `\Seen` of their own: others' is nothing that happened, their own is.
    fn diff_as_shown(&self, older: &Snapshot, mut diff: Diff) -> Result<Diff, NotLoaded> {
        // A slot may have got another name.
        if !diff.changed.is_empty() && self.keywords == older.keywords {
            let mut changed = UidSet::new();
            for uid in diff.changed.iter() {
                let flags = |of: &Snapshot| -> Result<Option<Flags>, NotLoaded> {
                    let flags = of.try_own_flags(uid)?;
                    Ok(flags.map(|flags| flags.without(Flags::SEEN)))
                };
                if flags(self)? != flags(older)? {
                    changed.insert(uid);
                }
            }
            diff.changed = changed;
        }
        let unlike = self.seen_unlike(older);
        if !unlike.is_empty() {
            let shown = self.try_existing(&unlike)?.difference(&diff.appended);
            diff.changed = diff.changed.union(&shown);
        }
        Ok(diff)
    }

    /// The UIDs that the user to whom both are shown has, or can have, seen in one of them only.
    pub(super) fn seen_unlike(&self, other: &Snapshot) -> UidSet {
        match (&self.seen, &other.seen) {
            (Some(a), Some(b)) => a.unlike(b),
            _ => UidSet::new(),
        }
    }

    fn own_diff(&self, older: &Snapshot) -> Result<Diff, NotLoaded> {
        let mut diff = Diff::default();
        let (mut old, mut new) = (Cursor::new(older), Cursor::new(self));
        loop {
            match (old.unit(), new.unit()) {
                (None, None) => return Ok(diff),
                (Some(_), None) => old.pass_into(&mut diff.vanished)?,
                (None, Some(_)) => new.pass_into(&mut diff.appended)?,
                (Some(a), Some(b)) => {
                    if a.last() < b.first()? {
                        old.pass_into(&mut diff.vanished)?;
                    } else if b.last() < a.first()? {
                        new.pass_into(&mut diff.appended)?;
                    } else {
                        overlap(&mut diff, (&mut old, a), (&mut new, b))?;
                    }
                }
            }
        }
    }

    /// The names of pages and parts that this has and `other` has not. Once a root is trimmed, nobody
    /// needs those that no other root has. Both need [`Wanted::Pages`](super::Wanted).
    ///
    /// # Errors
    /// [`NotLoaded`].
    pub fn keys_unlike(&self, other: &Snapshot) -> Result<Vec<PartKey>, NotLoaded> {
        let keys = |of: &Snapshot| -> Result<HashSet<PartKey>, NotLoaded> {
            let mut keys = HashSet::new();
            for page in &of.pages {
                keys.insert(page.key());
                keys.extend(page.part_keys()?);
            }
            Ok(keys)
        };
        let others = keys(other)?;
        let mut unlike: Vec<_> = keys(self)?.difference(&others).copied().collect();
        unlike.sort_unstable();
        Ok(unlike)
    }

    /// The names of its pages, and of the chunks of those that `other` has not, as far as they are
    /// loaded.
    pub(super) fn known_keys(&self, other: &Snapshot) -> HashSet<PartKey> {
        let others: HashSet<_> = other.pages.iter().map(|page| page.key()).collect();
        let mut keys = HashSet::new();
        for page in &self.pages {
            keys.insert(page.key());
            if !others.contains(&page.key()) {
                keys.extend(page.part_keys().into_iter().flatten());
            }
        }
        keys
    }
}

impl Page {
    fn part_keys(&self) -> Result<impl Iterator<Item = PartKey> + '_, NotLoaded> {
        let chunks = self.chunks.get()?.list.iter();
        Ok(chunks.flat_map(|chunk| chunk.reference().keys()))
    }
}

/// One place of both: neither ends before the other begins.
fn overlap<'a>(
    diff: &mut Diff,
    (old, a): (&mut Cursor<'a>, Unit<'a>),
    (new, b): (&mut Cursor<'a>, Unit<'a>),
) -> Result<(), NotLoaded> {
    match (a, b) {
        (Unit::Page(a), Unit::Page(b)) if Arc::ptr_eq(a, b) || a.key() == b.key() => {
            old.pass();
            new.pass();
        }
        (Unit::Page(_), _) => old.descend()?,
        (_, Unit::Page(_)) => new.descend()?,
        (Unit::Rows(a, 0), Unit::Rows(b, 0)) if Arc::ptr_eq(a, b) || a.is_same_fixed(b) => {
            if !a.is_same(b) {
                changed(a, b, &mut diff.changed)?;
            }
            old.pass();
            new.pass();
        }
        (Unit::Rows(a, i), Unit::Rows(b, j)) => {
            let (i, j) = merge(diff, (a, i), (b, j))?;
            old.go_to(i);
            new.go_to(j);
        }
    }
    Ok(())
}

/// The rows of a chunk whose modseqs differ.
fn changed(old: &Chunk, new: &Chunk, changed: &mut UidSet) -> Result<(), NotLoaded> {
    let (before, after) = (old.mutable.get()?, new.mutable.get()?);
    let mut differs = vec![false; new.rows()];
    after.each_modseq(0..new.rows(), |at, modseq| {
        differs[at] = modseq != before.modseq(at)
    });
    let fixed = new.fixed.get().or_else(|_| old.fixed.get())?;
    fixed.each_uid(0..new.rows(), |at, uid| {
        if differs[at] {
            changed.insert(uid);
        }
    });
    Ok(())
}

/// Both chunks row by row, to the end of one of them; gives the places reached.
fn merge(
    diff: &mut Diff,
    (old, mut i): (&Chunk, usize),
    (new, mut j): (&Chunk, usize),
) -> Result<(usize, usize), NotLoaded> {
    let (a, b) = (old.fixed.get()?, new.fixed.get()?);
    let (before, after) = (old.mutable.get()?, new.mutable.get()?);
    while i < old.rows() && j < new.rows() {
        let (left, right) = (a.uid(i), b.uid(j));
        if left < right {
            diff.vanished.insert(left);
        } else if right < left {
            diff.appended.insert(right);
        } else if before.modseq(i) != after.modseq(j) {
            diff.changed.insert(left);
        }
        i += usize::from(left <= right);
        j += usize::from(right <= left);
    }
    Ok((i, j))
}

/// What comes next: a whole page, or the rows of a chunk from one place on.
#[derive(Clone, Copy)]
enum Unit<'a> {
    Page(&'a Arc<Page>),
    Rows(&'a Arc<Chunk>, usize),
}

impl Unit<'_> {
    fn first(&self) -> Result<Uid, NotLoaded> {
        match self {
            Self::Page(page) => Ok(page.summary.first),
            Self::Rows(chunk, 0) => Ok(chunk.summary.first),
            Self::Rows(chunk, from) => Ok(chunk.fixed.get()?.uid(*from)),
        }
    }

    fn last(&self) -> Uid {
        match self {
            Self::Page(page) => page.summary.last,
            Self::Rows(chunk, _) => chunk.summary.last,
        }
    }
}

/// A place in a snapshot.
struct Cursor<'a> {
    pages: &'a [Arc<Page>],
    /// What is left of the page in which it stands.
    chunks: &'a [Arc<Chunk>],
    /// The row of the first of these.
    row: usize,
}

impl<'a> Cursor<'a> {
    fn new(of: &'a Snapshot) -> Self {
        Self {
            pages: &of.pages,
            chunks: &[],
            row: 0,
        }
    }

    fn unit(&self) -> Option<Unit<'a>> {
        match self.chunks.first() {
            Some(chunk) => Some(Unit::Rows(chunk, self.row)),
            None => self.pages.first().map(Unit::Page),
        }
    }

    /// Into the chunks of the next page.
    fn descend(&mut self) -> Result<(), NotLoaded> {
        if let Some((page, pages)) = self.pages.split_first() {
            self.chunks = &page.chunks.get()?.list;
            self.pages = pages;
        }
        Ok(())
    }

    /// Past the next unit.
    fn pass(&mut self) {
        self.row = 0;
        if let Some((_, chunks)) = self.chunks.split_first() {
            self.chunks = chunks;
        } else if let Some((_, pages)) = self.pages.split_first() {
            self.pages = pages;
        }
    }

    fn go_to(&mut self, row: usize) {
        match self.chunks.first() {
            Some(chunk) if row < chunk.rows() => self.row = row,
            _ => self.pass(),
        }
    }

    /// Past the next unit; its UIDs go into `uids`.
    fn pass_into(&mut self, uids: &mut UidSet) -> Result<(), NotLoaded> {
        match self.unit() {
            Some(Unit::Page(_)) => return self.descend(),
            Some(Unit::Rows(chunk, from)) => {
                let fixed = chunk.fixed.get()?;
                if fixed.is_dense() {
                    uids.insert_range(fixed.uid(from), chunk.summary.last);
                } else {
                    fixed.each_uid(from..chunk.rows(), |_, uid| uids.insert(uid));
                }
            }
            None => {}
        }
        self.pass();
        Ok(())
    }
}
