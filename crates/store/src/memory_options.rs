//! What the memory engine does wrong, and when.

use std::time::Duration;

/// Settings of the memory engine. The default is an engine without faults whose commits are done when
/// they are handed over.
///
/// Whatever goes wrong is drawn from the seed: two engines with the same settings that are asked the same
/// in the same order answer the same. (So a test on tokio's single-threaded runtime can be repeated.)
/// Chances are given in a thousandth of the commits or reads; they exclude each other and are tried
/// in the order in which they stand here.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// Where the engine's chances come from.
    pub seed: u64,
    /// A commit, and a read, waits for at most this many turns of the scheduler. 0: not at all. Commits
    /// that wait together make groups, as with the embedded engine.
    pub yields_max: u32,
    /// A commit waits for at most this long, beside the turns. Needs tokio's timer.
    pub delay_max: Duration,
    /// Batches of different turns in one group change places; those of one turn keep their order.
    pub reorder: bool,
    /// Reads that fail with [`crate::StoreError::Read`].
    pub read_failed_permille: u32,
    /// Commits that are not applied and answered [`crate::CommitError::Full`].
    pub full_permille: u32,
    /// Commits that are applied (if their conditions hold) and answered
    /// [`crate::CommitError::Unknown`].
    pub unknown_applied_permille: u32,
    /// Commits that are never applied and answered [`crate::CommitError::Unknown`].
    pub unknown_lost_permille: u32,
    /// Commits that are answered [`crate::CommitError::Unknown`] and applied a few groups later, if
    /// their conditions hold then: the message to a distant store was still on its way.
    pub unknown_late_permille: u32,
    /// The engine crashes while it writes its n-th group (the first is 1): the group happens or not,
    /// everyone who waits is answered `Unknown`, and then everything is refused.
    /// [`crate::Store::crash`] gives the store after it.
    pub crash_at: Option<u64>,
    /// Answers before it is durable, as a disk that lies does: a crash loses acknowledged commits. To
    /// test that a test would notice.
    pub sync_lies: bool,
}

impl MemoryOptions {
    /// An engine without faults that is slow: commits wait, make groups and change places.
    pub fn slow(seed: u64) -> Self {
        Self {
            seed,
            yields_max: 6,
            reorder: true,
            ..Self::default()
        }
    }

    /// A slow engine with some of every fault but crashes and lies.
    pub fn faulty(seed: u64) -> Self {
        Self {
            read_failed_permille: 5,
            full_permille: 20,
            unknown_applied_permille: 40,
            unknown_lost_permille: 40,
            unknown_late_permille: 20,
            ..Self::slow(seed)
        }
    }
}

/// A small generator of chances (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chances(u64);

impl Chances {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5bd1_e995_9d1b_54a5)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// The first of the chances (in a thousandth) that comes true.
    pub(crate) fn first(&mut self, permilles: &[u32]) -> Option<usize> {
        let mut drawn = self.below(1000);
        for (index, permille) in permilles.iter().enumerate() {
            match drawn.checked_sub(u64::from(*permille)) {
                Some(rest) => drawn = rest,
                None => return Some(index),
            }
        }
        None
    }
}
