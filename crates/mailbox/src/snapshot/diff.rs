//! The difference of two snapshots: what tells sessions what happened.

use super::Snapshot;
use crate::uid_set::UidSet;

/// What happened between two snapshots of a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In the newer one only.
    pub appended: UidSet,
    /// In both, with a larger modseq in the newer one.
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
    /// What happened from `older` to this. Compares modseqs, not flags; parts that both share are
    /// passed over. Where one was folded from the other in memory, all that differs is loaded;
    /// otherwise see [`Wanted::Unlike`](super::Wanted::Unlike).
    ///
    /// # Errors
    /// [`NotLoaded`].
    pub fn diff(&self, older: &Snapshot) -> Result<Diff, NotLoaded> {
        let mut diff = Diff::default();
        let mut old = older.rows.iter().peekable();
        for row in self.rows.iter() {
            while let Some(gone) = old.next_if(|old| old.uid < row.uid) {
                diff.vanished.insert(gone.uid);
            }
            match old.next_if(|old| old.uid == row.uid) {
                None => diff.appended.insert(row.uid),
                Some(old) if old.modseq != row.modseq => diff.changed.insert(row.uid),
                Some(_) => {}
            }
        }
        diff.vanished.extend(old.map(|row| row.uid));
        Ok(diff)
    }
}
