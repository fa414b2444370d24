//! `\Seen` of one user in another's mailbox: which messages this user has seen, and since when.
//!
//! It lies in a row of its own beside the mailbox's log. Each change of it is a transaction of the mailbox
//! ([`Effect::Private`](crate::Effect::Private)): there its modseq comes from, and the same batch replaces
//! the row. Nobody else's snapshot changes by it.

use bytes::Bytes;

use crate::{
    codec::{Decoded, Reader, put_varint, seal, unseal},
    flags::Flags,
    snapshot::Snapshot,
    tail::read_modseq,
    types::{ModSeq, Uid},
    uid_set::UidSet,
};

/// What one user has seen of another's mailbox.
///
/// UIDs that do not exist may be in it: UIDs are never given twice. So it may cover gaps, and mostly takes
/// few ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last change.
    modseq: ModSeq,
    /// What has `\Seen`.
    seen: UidSet,
    /// What had it once, and since a change that is settled has it no more.
    cleared: UidSet,
    /// What is in `seen` or `cleared`, but not in `runs`, was changed then, or before. Zero: there is none.
    settled: ModSeq,
    /// The newest changes by UID; they do not overlap.
    runs: Vec<Run>,
}

/// Neighbouring UIDs that were changed last at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Uid,
    last: Uid,
    modseq: ModSeq,
}

/// Changes that are known one by one; older ones are settled. Who asks what changed since one of those is
/// told of more than has changed.
const RUNS_MAX: usize = 64;
/// A change with more ranges is taken as it is.
const STRETCHED_MAX: usize = 16;
const VERSION: u8 = 1;
const WHAT: &str = "what a user has seen";

impl Seen {
    /// The last change.
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// The UIDs that are seen; some of them may not exist.
    pub fn uids(&self) -> &UidSet {
        &self.seen
    }

    /// After `flags & !clear | set` for `uids` in the transaction `modseq`. Only `\Seen` counts.
    pub(crate) fn with(&self, uids: &UidSet, clear: Flags, set: Flags, modseq: ModSeq) -> Self {
        let mut next = self.clone();
        next.modseq = modseq;
        let changed = if set.contains(Flags::SEEN) {
            let changed = uids.difference(&self.seen);
            next.seen = self.seen.union(&changed);
            changed
        } else if clear.contains(Flags::SEEN) {
            let changed = uids.intersect(&self.seen);
            next.seen = self.seen.difference(&changed);
            changed
        } else {
            return next;
        };
        next.cleared = self.cleared.difference(&changed);
        next.runs.clear();
        for run in &self.runs {
            if !changed.intersects_range(run.first, run.last) {
                next.runs.push(*run);
                continue;
            }
            let left = UidSet::from_range(run.first, run.last).difference(&changed);
            next.runs.extend(runs_of(&left, run.modseq));
        }
        next.runs.extend(runs_of(&changed, modseq));
        next.runs.sort_unstable_by_key(|run| run.first);
        next.settle();
        next
    }

    /// Settles the oldest changes until few enough are left.
    fn settle(&mut self) {
        while self.runs.len() > RUNS_MAX
            && let Some(oldest) = self.runs.iter().map(|run| run.modseq).min()
        {
            let settled = self.runs.iter().filter(|run| run.modseq == oldest);
            let settled = UidSet::from_unsorted(settled.map(|run| (run.first, run.last)));
            self.cleared = self.cleared.union(&settled.difference(&self.seen));
            self.settled = self.settled.max(oldest);
            self.runs.retain(|run| run.modseq != oldest);
        }
    }

    /// The flags and the modseq of a message as this user sees them.
    pub(crate) fn shown(&self, uid: Uid, flags: Flags, modseq: ModSeq) -> (Flags, ModSeq) {
        let is_seen = self.seen.contains(uid);
        let flags = match is_seen {
            true => flags | Flags::SEEN,
            false => flags.without(Flags::SEEN),
        };
        let at = self.runs.partition_point(|run| run.last < uid);
        let own = match self.runs.get(at).filter(|run| run.first <= uid) {
            Some(run) => run.modseq,
            None if is_seen || self.cleared.contains(uid) => self.settled,
            None => ModSeq::ZERO,
        };
        (flags, modseq.max(own))
    }

    /// Whether a message from `first` to `last` can have been changed after `since`.
    pub(crate) fn can_change_since(&self, first: Uid, last: Uid, since: ModSeq) -> bool {
        if self.modseq <= since {
            return false;
        }
        let settled = self.settled > since
            && (self.seen.intersects_range(first, last)
                || self.cleared.intersects_range(first, last));
        let in_run = |run: &Run| run.modseq > since && run.first <= last && first <= run.last;
        settled || self.runs.iter().any(in_run)
    }

    /// What can be another in `other`, an earlier or later state of the same.
    pub(crate) fn unlike(&self, other: &Self) -> UidSet {
        if self.modseq == other.modseq {
            return UidSet::new();
        }
        let (older, newer) = match self.modseq < other.modseq {
            true => (self, other),
            false => (other, self),
        };
        let runs = newer.runs.iter().filter(|run| run.modseq > older.modseq);
        let runs = UidSet::from_unsorted(runs.map(|run| (run.first, run.last)));
        let gone = older.seen.difference(&newer.seen);
        let come = newer.seen.difference(&older.seen);
        runs.union(&gone).union(&come)
    }

    /// A set that is to become seen in a mailbox, and the gaps around it: so that what is seen takes few
    /// ranges, also where messages come and go.
    pub(crate) fn stretched(&self, at: &Snapshot, uids: &UidSet) -> UidSet {
        let mut stretched = uids.clone();
        if uids.range_count() > STRETCHED_MAX {
            return stretched;
        }
        for range in uids.ranges() {
            let (first, last) = (*range.start(), *range.end());
            let before = first.get().checked_sub(1).and_then(Uid::new);
            let before = before.and_then(|last| self.seen.ranges_within(Uid::MIN, last).last());
            let from = before.map_or(Some(Uid::MIN), |(_, last)| last.checked_add(1));
            if let Some(from) = from.filter(|from| *from < first && at.is_gap(*from, first)) {
                stretched.insert_range(from, first);
            }
            let Some(next) = last.checked_add(1) else {
                continue;
            };
            let after = self.seen.ranges_within(next, Uid::MAX).next();
            if let Some((to, _)) = after.filter(|(to, _)| at.is_gap(next, *to)) {
                stretched.insert_range(last, to);
            }
        }
        // What was expunged before all that there is.
        if let Some(last) = at.first_uid().and_then(|uid| Uid::new(uid.get() - 1)) {
            stretched.insert_range(Uid::MIN, last);
        }
        stretched
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.modseq.0);
        self.seen.encode(&mut out);
        self.cleared.encode(&mut out);
        put_varint(&mut out, self.settled.0);
        put_varint(&mut out, self.runs.len() as u64);
        let mut end = 0;
        for run in &self.runs {
            put_varint(&mut out, u64::from(run.first.get() - end));
            put_varint(&mut out, u64::from(run.last.get() - run.first.get()));
            put_varint(&mut out, self.modseq.0.saturating_sub(run.modseq.0));
            end = run.last.get();
        }
        seal(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(WHAT, unseal(WHAT, bytes)?);
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let modseq = read_modseq(&mut reader)?;
        let seen = UidSet::decode(&mut reader)?;
        let cleared = UidSet::decode(&mut reader)?;
        let settled = read_modseq(&mut reader)?;
        let mut runs = Vec::new();
        let mut end = 0_u32;
        let count = reader.count()?;
        if count > RUNS_MAX {
            return Err(reader.damaged());
        }
        for _ in 0..count {
            let gap = reader.varint_u32()?;
            let width = reader.varint_u32()?;
            let first = end.checked_add(gap).filter(|_| gap > 0).and_then(Uid::new);
            let first = first.ok_or(reader.damaged())?;
            let last = first.checked_add(width).ok_or(reader.damaged())?;
            let age = reader.varint()?;
            let modseq = modseq.0.checked_sub(age).ok_or(reader.damaged())?;
            runs.push(Run {
                first,
                last,
                modseq: ModSeq(modseq),
            });
            end = last.get();
        }
        reader.end()?;
        if settled > modseq {
            return Err(reader.damaged());
        }
        Ok(Self {
            modseq,
            seen,
            cleared,
            settled,
            runs,
        })
    }

    /// Memory that it takes, in bytes, roughly.
    pub(crate) fn heap_bytes(&self) -> usize {
        let ranges = self.seen.range_count() + self.cleared.range_count();
        size_of::<Self>() + ranges * 8 + self.runs.len() * size_of::<Run>()
    }
}

fn runs_of(uids: &UidSet, modseq: ModSeq) -> impl Iterator<Item = Run> + '_ {
    uids.ranges().map(move |range| Run {
        first: *range.start(),
        last: *range.end(),
        modseq,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).expect("not 0")
    }

    /// The UIDs, whether they become seen, and how many transactions of others come before.
    fn change() -> impl Strategy<Value = (UidSet, bool, u64)> {
        let range = (1..300_u32, 0..8_u32).prop_map(|(a, more)| (uid(a), uid(a + more)));
        let uids = prop::collection::vec(range, 1..4).prop_map(UidSet::from_unsorted);
        (uids, any::<bool>(), 1..4_u64)
    }

    fn apply(seen: &Seen, uids: &UidSet, set: bool, modseq: ModSeq) -> Seen {
        match set {
            true => seen.with(uids, Flags::NONE, Flags::SEEN, modseq),
            false => seen.with(uids, Flags::SEEN, Flags::NONE, modseq),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Against a map that forgets nothing: flags are exact; a modseq is never before the true one, never
        /// falls, and is exact as long as few changes came after.
        #[test]
        fn like_a_map(changes in prop::collection::vec(change(), 1..120)) {
            let mut seen = Seen::default();
            let mut model = BTreeMap::<u32, (bool, u64)>::new();
            let mut states = vec![seen.clone()];
            let mut modseq = 1;
            for (uids, set, step) in &changes {
                modseq += step;
                let before = seen.clone();
                seen = apply(&seen, uids, *set, ModSeq(modseq));
                for uid in uids.iter() {
                    let entry = model.entry(uid.get()).or_default();
                    if entry.0 != *set {
                        *entry = (*set, modseq);
                    }
                }
                for number in 1..320 {
                    let (flags, at) = seen.shown(uid(number), Flags::SEEN | Flags::DRAFT, ModSeq(1));
                    let (is_seen, changed) = model.get(&number).copied().unwrap_or_default();
                    prop_assert_eq!(flags.contains(Flags::SEEN), is_seen);
                    prop_assert!(flags.contains(Flags::DRAFT));
                    prop_assert!(at.0 >= changed && at.0 <= modseq);
                    let (_, was) = before.shown(uid(number), Flags::NONE, ModSeq(1));
                    prop_assert!(at >= was);
                    if changed > seen.settled.0 {
                        prop_assert_eq!(at.0, changed);
                    }
                }
                prop_assert!(seen.runs.len() <= RUNS_MAX);
                prop_assert_eq!(Seen::decode(&seen.encode()), Ok(seen.clone()));
                states.push(seen.clone());
            }
            for old in &states {
                let unlike = seen.unlike(old);
                prop_assert_eq!(&unlike, &old.unlike(&seen));
                for number in 1..320 {
                    let uid = uid(number);
                    let now = seen.shown(uid, Flags::NONE, ModSeq::ZERO);
                    let was = old.shown(uid, Flags::NONE, ModSeq::ZERO);
                    prop_assert!(now.0 == was.0 || unlike.contains(uid));
                    let can = seen.can_change_since(uid, uid, old.modseq);
                    prop_assert_eq!(can, now.1 > old.modseq, "{} {:?}", number, seen);
                }
            }
        }

        #[test]
        fn damage_never_panics(at in 0..400_usize, with: u8, noise: Vec<u8>) {
            let mut seen = Seen::default();
            for number in 1..80 {
                seen = apply(&seen, &UidSet::from(uid(number * 3)), number % 5 != 0, ModSeq(u64::from(number)));
            }
            let mut bytes = seen.encode().to_vec();
            let length = bytes.len();
            bytes[at % length] ^= with;
            prop_assert!(with == 0 || Seen::decode(&bytes).is_err());
            let _ = Seen::decode(&seal([&[VERSION][..], &noise].concat()));
        }
    }

    #[test]
    fn reading_one_after_the_other_stays_small() {
        let mut seen = Seen::default();
        for number in 1..=10_000 {
            seen = apply(
                &seen,
                &UidSet::from(uid(number)),
                true,
                ModSeq(u64::from(number)),
            );
        }
        let bytes = seen.encode().len();
        assert!(bytes < 400, "{bytes}");
        assert_eq!(seen.seen.range_count(), 1);
    }
}
