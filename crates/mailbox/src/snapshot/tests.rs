//! Snapshots against a vector of rows. Chunks and pages are small here, so that these mailboxes have
//! many.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    record::{Effect, Record},
    tail::RootRef,
    types::{DateTime, EmailId},
    uid_set::UidSet,
};

fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not 0")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

/// A store of parts in memory that counts what is read.
#[derive(Default)]
struct Shelf {
    values: HashMap<PartKey, Bytes>,
    read: Mutex<Vec<PartKey>>,
}

impl Shelf {
    fn put(&mut self, puts: &[(PartKey, Bytes)]) {
        for (key, value) in puts {
            let before = self.values.insert(*key, value.clone());
            assert!(
                before.is_none_or(|before| before == value),
                "{key:?} changed its meaning"
            );
        }
    }
}

impl Parts for Shelf {
    type Error = Infallible;

    async fn parts(&self, keys: &[PartKey]) -> Result<Vec<Option<Bytes>>, Infallible> {
        self.read.lock().expect("no panic").extend(keys);
        Ok(keys
            .iter()
            .map(|key| self.values.get(key).cloned())
            .collect())
    }
}

fn load(snapshot: &Arc<Snapshot>, shelf: &Shelf, wanted: Wanted<'_>) -> Loaded {
    block_on(snapshot.ensure(shelf, wanted)).expect("loads")
}

/// The mailbox as a vector.
#[derive(Clone)]
struct Model {
    modseq: ModSeq,
    uid_next: u32,
    rows: Vec<Row>,
}

impl Model {
    fn apply(&mut self, record: &Record) {
        self.modseq = record.modseq();
        for effect in record.effects() {
            match effect {
                Effect::Append(rows) => {
                    self.rows
                        .extend(rows.iter().map(|row| row.row(self.modseq)));
                    self.uid_next = self.rows.last().map_or(1, |row| row.uid.get()) + 1;
                }
                Effect::SetFlags { uids, clear, set } => {
                    for row in self.rows.iter_mut().filter(|row| uids.contains(row.uid)) {
                        let flags = row.flags.without(*clear) | *set;
                        if flags != row.flags {
                            (row.flags, row.modseq) = (flags, self.modseq);
                        }
                    }
                }
                Effect::Expunge { uids } => self.rows.retain(|row| !uids.contains(row.uid)),
                Effect::Jump { uids, touch, .. } => {
                    self.uid_next += uids;
                    let rows = self.rows.iter_mut().filter(|_| *touch);
                    rows.for_each(|row| row.modseq = self.modseq);
                }
                _ => {}
            }
        }
    }

    fn diff(&self, older: &Self) -> Diff {
        let at = |model: &Self| -> HashMap<Uid, ModSeq> {
            model.rows.iter().map(|row| (row.uid, row.modseq)).collect()
        };
        let (old, new) = (at(older), at(self));
        let changed = |uid: &Uid| old.get(uid).is_some_and(|modseq| *modseq != new[uid]);
        Diff {
            appended: new
                .keys()
                .filter(|uid| !old.contains_key(uid))
                .copied()
                .collect(),
            changed: new.keys().filter(|uid| changed(uid)).copied().collect(),
            vanished: old
                .keys()
                .filter(|uid| !new.contains_key(uid))
                .copied()
                .collect(),
        }
    }
}

/// What a test does to a mailbox, with numbers that get their meaning from its state.
#[derive(Clone, Debug)]
enum Op {
    Append {
        count: u32,
        gap: u32,
        seed: u64,
    },
    SetFlags {
        uids: Vec<(u32, u32)>,
        clear: Flags,
        set: Flags,
    },
    Expunge {
        uids: Vec<(u32, u32)>,
    },
    Jump {
        uids: u32,
        modseqs: u64,
        touch: bool,
    },
    /// As chunks that stand in the store before.
    AppendChunks {
        count: u32,
        seed: u64,
    },
}

fn any_flags() -> impl Strategy<Value = Flags> {
    prop_oneof![
        Just(Flags::NONE),
        Just(Flags::SEEN),
        Just(Flags::DELETED),
        (0..64_u128).prop_map(Flags),
        (0..128_u32).prop_map(|bit| Flags(1 << bit)),
        Just(Flags::ALL),
    ]
}

fn any_uids() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let range = prop_oneof![
        4 => (1..400_u32, 0..4_u32),
        2 => (1..400_u32, 0..60_u32),
        1 => Just((1, u32::MAX - 1)),
    ];
    prop::collection::vec(range, 1..12)
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..60_u32, 0..3_u32, any::<u64>())
            .prop_map(|(count, gap, seed)| Op::Append { count, gap, seed }),
        1 => (1..2_u32, 0..2_u32, any::<u64>())
            .prop_map(|(count, gap, seed)| Op::Append { count, gap, seed }),
        4 => (any_uids(), any_flags(), any_flags())
            .prop_map(|(uids, clear, set)| Op::SetFlags { uids, clear, set }),
        3 => any_uids().prop_map(|uids| Op::Expunge { uids }),
        1 => (0..9_u32, 1..9_u64, any::<bool>())
            .prop_map(|(uids, modseqs, touch)| Op::Jump { uids, modseqs, touch }),
        1 => (1..60_u32, any::<u64>())
            .prop_map(|(count, seed)| Op::AppendChunks { count, seed }),
    ]
}

fn set(ranges: &[(u32, u32)]) -> UidSet {
    let range = |&(first, more): &(u32, u32)| (uid(first), uid(first.saturating_add(more)));
    UidSet::from_unsorted(ranges.iter().map(range))
}

fn new_rows(uid_next: u32, count: u32, gap: u32, seed: u64) -> Vec<NewRow> {
    let row = |n: u32| {
        let random = (seed ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        NewRow {
            uid: uid(uid_next + n * (gap + 1)),
            email: EmailId(random ^ 77),
            size: if random.is_multiple_of(97) {
                random
            } else {
                random % 5000
            },
            internal_date: DateTime {
                unix_s: 1_700_000_000 + (random % 1000) as i64,
                zone_min: [0, 60, -720, i16::MIN][(random % 4) as usize],
            },
            save_date_s: 1_700_000_000 + i64::from(n),
            flags: Flags(u128::from(random % 32)),
        }
    };
    (0..count).map(row).collect()
}

fn check(loaded: &Loaded, model: &Model) {
    let tail = loaded.tail();
    let rows: Vec<Row> = loaded.rows(..).collect();
    assert_eq!(rows, model.rows);
    assert_eq!(
        (tail.modseq, tail.uid_next.get()),
        (model.modseq, model.uid_next)
    );
    let count = |passes: fn(&&Row) -> bool| model.rows.iter().filter(passes).count() as u32;
    let counts = (tail.messages, tail.unseen, tail.deleted);
    let unseen = count(|row| !row.flags.contains(Flags::SEEN));
    assert_eq!(
        counts,
        (
            rows.len() as u32,
            unseen,
            count(|row| row.flags.contains(Flags::DELETED))
        )
    );
    let size = model
        .rows
        .iter()
        .fold(0_u64, |sum, row| sum.saturating_add(row.size));
    assert_eq!(tail.size, size);
    assert_eq!(loaded.uids(), rows.iter().map(|row| row.uid).collect());
    let flags: Flags = rows.iter().map(|row| row.flags).collect();
    assert_eq!(loaded.flags_in_use(), flags);

    for (rank, row) in rows.iter().enumerate() {
        let rank = rank as u32;
        assert_eq!(loaded.rank(row.uid), Some(rank));
        assert_eq!(loaded.uid_at(rank), Some(row.uid));
        assert_eq!(loaded.row(row.uid), Some(*row));
    }
    assert_eq!(loaded.uid_at(rows.len() as u32), None);
    for number in (1..model.uid_next + 3).step_by(3) {
        let uid = uid(number);
        let below = rows.partition_point(|row| row.uid < uid);
        assert_eq!(loaded.lower_bound(uid), below as u32);
        let exists = rows.get(below).is_some_and(|row| row.uid == uid);
        assert_eq!(loaded.contains(uid), exists);
        if number % 7 == 0 {
            assert!(loaded.rows(uid..).eq(rows[below..].iter().copied()));
            assert!(loaded.rows(..uid).eq(rows[..below].iter().copied()));
            let end = (below + 21).min(rows.len());
            let some = loaded.rows_at(below as u32..below as u32 + 21);
            assert_eq!(some.len(), end - below);
            assert!(some.eq(rows[below..end].iter().copied()));
        }
    }
    let filters = [
        FlagFilter::with(Flags::DELETED),
        FlagFilter::without(Flags::SEEN),
        FlagFilter {
            all: Flags::SEEN,
            none: Flags::FLAGGED,
        },
        FlagFilter::with(Flags(1 << 70)),
        FlagFilter::default(),
    ];
    for filter in filters {
        let passing = || rows.iter().copied().filter(|row| filter.passes(row.flags));
        assert!(loaded.rows_with(filter).eq(passing()));
        assert_eq!(
            loaded.uids_with(filter),
            passing().map(|row| row.uid).collect()
        );
        assert_eq!(loaded.count_with(filter), passing().count() as u32);
        let either = |flags: Flags| filter.passes(flags) || flags.contains(Flags::FLAGGED);
        let passing = rows.iter().filter(|row| either(row.flags));
        assert_eq!(
            loaded.uids_where(FlagFilter::default(), either),
            passing.map(|row| row.uid).collect()
        );
        let seen = FlagFilter::with(Flags::SEEN);
        let passing = rows
            .iter()
            .filter(|row| seen.passes(row.flags) && either(row.flags));
        assert_eq!(
            loaded
                .uids_where(seen, either)
                .intersect(&loaded.uids_with(seen)),
            passing.map(|row| row.uid).collect()
        );
    }
    type Value = fn(&Row) -> i64;
    let numbers: [(Number, Value); 4] = [
        (Number::Size, |row| row.size as i64),
        (Number::SaveDate, |row| row.save_date_s),
        (Number::InternalDate, |row| row.internal_date.unix_s),
        (Number::LocalDate, |row| {
            let zone = i64::from(row.internal_date.zone_min) * 60;
            row.internal_date.unix_s.saturating_add(zone)
        }),
    ];
    for (number, value) in numbers {
        let at = |place: usize| rows.get(place).map_or(7, value);
        let (one, two) = (at(rows.len() / 3), at(rows.len() / 2));
        for range in [one..=two, two..=one, i64::MIN..=one, one..=i64::MAX] {
            let uids = loaded.uids_between(FlagFilter::default(), number, &range);
            let between = rows.iter().filter(|row| range.contains(&value(row)));
            assert_eq!(
                uids,
                between.map(|row| row.uid).collect(),
                "{number:?} {range:?}"
            );
            let filter = FlagFilter::without(Flags::SEEN);
            let uids = loaded.uids_between(filter, number, &range);
            let passing = loaded.uids_with(filter).intersect(&uids);
            let between = rows
                .iter()
                .filter(|row| range.contains(&value(row)) && filter.passes(row.flags));
            assert_eq!(passing, between.map(|row| row.uid).collect());
        }
    }
    for modseq in [0, model.modseq.0 / 2, model.modseq.0].map(ModSeq) {
        let changed = rows.iter().copied().filter(|row| row.modseq > modseq);
        assert!(loaded.changed_since(modseq).eq(changed));
    }
    let unseen = rows.iter().find(|row| !row.flags.contains(Flags::SEEN));
    assert_eq!(loaded.first_unseen(), unseen.map(|row| row.uid));
}

fn check_uids(loaded: &Loaded, model: &Model, uids: &UidSet) {
    let wanted = || model.rows.iter().filter(|row| uids.contains(row.uid));
    assert!(loaded.rows_in(uids).eq(wanted().copied()));
    assert_eq!(loaded.existing(uids), wanted().map(|row| row.uid).collect());
    for (rank, row) in loaded.ranked_in(uids) {
        assert_eq!(model.rows[rank as usize], row);
    }
}

/// A mailbox through random records, with checkpoints and reloads.
struct Run {
    shelf: Shelf,
    root: Option<(RootRef, Bytes)>,
    since_root: Vec<Record>,
    snapshot: Arc<Snapshot>,
    model: Model,
    past: Vec<(Arc<Snapshot>, Model)>,
}

impl Run {
    fn new() -> Self {
        let snapshot = Snapshot::new(UidValidity::new(7).expect("not 0"));
        Self {
            shelf: Shelf::default(),
            root: None,
            since_root: Vec::new(),
            snapshot: Arc::new(snapshot),
            model: Model {
                modseq: ModSeq::FIRST,
                uid_next: 1,
                rows: Vec::new(),
            },
            past: Vec::new(),
        }
    }

    /// One record of all of `ops`.
    fn record(&mut self, ops: &[Op]) {
        let mut uid_next = self.model.uid_next;
        let (mut effects, mut as_rows) = (Vec::new(), Vec::new());
        let modseq = match ops.first() {
            Some(Op::Jump { modseqs, .. }) => self.model.modseq.0 + modseqs,
            _ => self.model.modseq.0 + 1,
        };
        for (index, op) in ops.iter().enumerate() {
            match op {
                Op::Append { count, gap, seed } => {
                    let rows = new_rows(uid_next, *count, *gap, *seed);
                    uid_next = rows.last().expect("some").uid.get() + 1;
                    effects.push(Effect::Append(rows));
                }
                Op::AppendChunks { count, seed } => {
                    let rows = new_rows(uid_next, *count, 0, *seed);
                    uid_next += count;
                    let (chunks, puts) = chunks_of(&rows, ModSeq(modseq), *seed);
                    self.shelf.put(&puts);
                    effects.push(Effect::AppendChunks(chunks));
                    as_rows.push((effects.len() - 1, Effect::Append(rows)));
                }
                Op::SetFlags {
                    uids,
                    clear,
                    set: add,
                } => {
                    let uids = set(uids);
                    effects.push(Effect::SetFlags {
                        uids,
                        clear: *clear,
                        set: *add,
                    });
                }
                Op::Expunge { uids } => effects.push(Effect::Expunge { uids: set(uids) }),
                Op::Jump {
                    uids,
                    modseqs,
                    touch,
                } if index == 0 => {
                    uid_next += uids;
                    let (uids, modseqs, touch) = (*uids, *modseqs, *touch);
                    effects.push(Effect::Jump {
                        uids,
                        modseqs,
                        touch,
                    });
                }
                Op::Jump { .. } => {}
            }
        }
        // Chunks that the same record brings are only loaded after it.
        if !as_rows.is_empty() {
            effects.retain(|effect| {
                !matches!(effect, Effect::SetFlags { .. } | Effect::Expunge { .. })
            });
            let mut rows = as_rows.into_iter().map(|(_, rows)| rows);
            let model_effects = effects.iter().map(|effect| match effect {
                Effect::AppendChunks(_) => rows.next().expect("one for each"),
                other => other.clone(),
            });
            let model_effects = model_effects.collect();
            let record = Record::new(self.snapshot.tail(), 0, 3, model_effects).expect("room");
            self.model.apply(&record);
            let record = Record::new(self.snapshot.tail(), 0, 4, effects).expect("room");
            return self.fold(record);
        }
        let record = Record::new(self.snapshot.tail(), 0, 5, effects).expect("room");
        self.model.apply(&record);
        self.fold(record);
    }

    fn fold(&mut self, record: Record) {
        let decoded = Record::decode(record.modseq(), record.bytes().clone());
        assert_eq!(decoded.as_ref(), Ok(&record));
        let loaded = load(&self.snapshot, &self.shelf, Wanted::Record(&record));
        let next = loaded.apply(&record).expect("follows");
        if let Some(tail) = self.snapshot.tail().after_append(&record) {
            assert_eq!(tail.as_ref(), Ok(next.tail()));
        }
        self.snapshot = Arc::new(next);
        self.since_root.push(record);
    }

    fn checkpoint(&mut self) {
        let checkpoint = self.snapshot.checkpoint().expect("all there");
        self.shelf.put(checkpoint.puts());
        let root = checkpoint.root();
        self.root = Some((root, checkpoint.root_bytes().clone()));
        checkpoint.committed();
        let tail = Tail {
            root: Some(root),
            ..self.snapshot.tail().clone()
        };
        self.snapshot = Arc::new(self.snapshot.with_tail(&tail).expect("the same place"));
        self.since_root.clear();
        assert_eq!(self.snapshot.checkpoint().expect("all there").puts(), []);
    }

    /// As another process would see it: the newest root, and the records after it.
    fn reloaded(&self) -> Arc<Snapshot> {
        let mut snapshot = Arc::new(match &self.root {
            Some((root, bytes)) => Snapshot::from_root(*root, bytes).expect("a root"),
            None => Snapshot::new(self.snapshot.uid_validity()),
        });
        for record in &self.since_root {
            let loaded = load(&snapshot, &self.shelf, Wanted::Record(record));
            snapshot = Arc::new(loaded.apply(record).expect("follows"));
        }
        assert_eq!(snapshot.tail(), self.snapshot.tail());
        snapshot
    }

    fn check(&self) {
        check(&load(&self.snapshot, &self.shelf, Wanted::All), &self.model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn like_a_vector(
        steps in prop::collection::vec((prop::collection::vec(any_op(), 1..4), 0..8_u8), 1..14),
        uids in any_uids(),
    ) {
        let mut run = Run::new();
        let uids = set(&uids);
        for (ops, then) in steps {
            run.past.push((Arc::clone(&run.snapshot), run.model.clone()));
            run.record(&ops);
            if then % 4 == 1 {
                run.checkpoint();
            }
            // A new process, or the mailbox was closed: what was loaded is forgotten.
            if then >= 4 {
                run.snapshot = run.reloaded();
            }
            run.check();
        }
        // fold(log) = root + fold(rest), whichever way it is loaded.
        check_uids(&load(&run.reloaded(), &run.shelf, Wanted::Uids(&uids)), &run.model, &uids);
        let loaded = load(&run.reloaded(), &run.shelf, Wanted::FirstUnseen);
        let unseen = run.model.rows.iter().find(|row| !row.flags.contains(Flags::SEEN));
        prop_assert_eq!(loaded.first_unseen(), unseen.map(|row| row.uid));
        let filter = FlagFilter::with(Flags::DELETED);
        let loaded = load(&run.reloaded(), &run.shelf, Wanted::Flagged(filter));
        let passing = run.model.rows.iter().filter(|row| filter.passes(row.flags));
        prop_assert!(loaded.rows_with(filter).eq(passing.copied()));
        // Differences from everything before, in memory and loaded anew.
        for (past, model) in &run.past {
            let want = run.model.diff(model);
            for new in [Arc::clone(&run.snapshot), run.reloaded()] {
                load(past, &run.shelf, Wanted::Unlike(&new));
                load(&new, &run.shelf, Wanted::Unlike(past));
                prop_assert_eq!(new.diff(past), Ok(want.clone()));
            }
        }
    }
}

proptest! {
    /// What many appends make at once is what they make one by one, down to the names of the parts: what one
    /// process writes down under a name is what another means by it.
    #[test]
    fn appends_at_once(
        before in 0..40_u32,
        loaded: bool,
        counts in prop::collection::vec((1..40_u32, 0..3_u32), 1..12),
    ) {
        let mut run = Run::new();
        let append = |count, gap| Op::Append { count, gap, seed: u64::from(count) };
        if before > 0 {
            run.record(&[append(before, 0)]);
            run.record(&[Op::SetFlags { uids: vec![(1, 9)], clear: Flags::NONE, set: Flags::SEEN }]);
            run.checkpoint();
        }
        if !loaded {
            run.snapshot = run.reloaded();
        }
        let start = run.snapshot.clone();
        run.since_root.clear();
        for (count, gap) in counts {
            let ops: Vec<_> = (0..=gap).map(|gap| append(count, gap)).collect();
            run.record(&ops);
        }
        if let Some(first) = run.since_root.first() {
            load(&start, &run.shelf, Wanted::Record(first));
        }
        let at_once = Arc::new(start.apply_appends(&run.since_root).expect("follows"));
        prop_assert_eq!(at_once.tail(), run.snapshot.tail());
        let names = |snapshot: &Snapshot| {
            let pages = snapshot.pages.iter();
            pages.map(|page| {
                let chunks = page.chunks.get().map(|chunks| {
                    chunks.list.iter().map(|chunk| chunk.reference()).collect::<Vec<_>>()
                });
                (page.summary, page.chunks.made, chunks.ok())
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(names(&at_once), names(&run.snapshot));
        check(&load(&at_once, &run.shelf, Wanted::All), &run.model);
    }
}

/// A mailbox of `count` rows in one record, checkpointed.
fn filled(count: u32) -> Run {
    let mut run = Run::new();
    run.record(&[Op::Append {
        count,
        gap: 0,
        seed: 9,
    }]);
    run.checkpoint();
    run
}

#[test]
fn a_flag_change_writes_one_mutable_part_and_its_page() {
    let mut run = filled(1000);
    run.record(&[Op::SetFlags {
        uids: vec![(500, 0)],
        clear: Flags::NONE,
        set: Flags(1 << 99),
    }]);
    let checkpoint = run.snapshot.checkpoint().expect("all there");
    let kinds: Vec<_> = checkpoint.puts().iter().map(|(key, _)| key.kind).collect();
    assert_eq!(kinds, [PartKind::Mutable, PartKind::Page]);
}

#[test]
fn the_root_alone_is_read_until_rows_are_wanted() {
    let run = filled(1000);
    let snapshot = run.reloaded();
    assert_eq!(snapshot.exists(), 1000);
    assert_eq!(run.shelf.read.lock().expect("no panic").len(), 0);
    let loaded = load(&snapshot, &run.shelf, Wanted::Ranks(500, 501));
    assert_eq!(loaded.uid_at(500), Some(uid(501)));
    assert_eq!(
        run.shelf.read.lock().expect("no panic").len(),
        3,
        "a page and two parts"
    );
    assert!(snapshot.loaded(Wanted::Ranks(500, 501)).is_some());
    assert!(snapshot.loaded(Wanted::All).is_none());
}

#[test]
fn what_is_stored_can_be_forgotten() {
    let mut run = filled(1000);
    let before = run.snapshot.heap_bytes();
    run.record(&[Op::SetFlags {
        uids: vec![(500, 0)],
        clear: Flags::NONE,
        set: Flags(1 << 99),
    }]);
    let shed = run.snapshot.shed();
    assert!(
        shed.heap_bytes() < before / 4,
        "{} of {before}",
        shed.heap_bytes()
    );
    assert_eq!(shed.diff(&run.snapshot), Ok(Diff::default()));
    run.snapshot = Arc::new(shed);
    run.check();
    run.record(&[Op::Expunge {
        uids: vec![(1, 20)],
    }]);
    run.check();
    run.checkpoint();
    check(&load(&run.reloaded(), &run.shelf, Wanted::All), &run.model);
}

#[test]
fn an_append_loads_nothing() {
    let run = filled(1000);
    let effects = vec![Effect::Append(new_rows(1001, 3, 0, 1))];
    let record = Record::new(run.snapshot.tail(), 0, 0, effects).expect("room");
    let next = run.reloaded().apply(&record).expect("follows");
    assert_eq!(next.exists(), 1003);
    assert_eq!(run.shelf.read.lock().expect("no panic").len(), 0);
}

#[test]
fn expunging_whole_chunks_loads_no_rows() {
    let run = filled(1000);
    let uids = UidSet::from_range(uid(1), uid(640));
    let record = Record::new(run.snapshot.tail(), 0, 0, vec![Effect::Expunge { uids }]);
    let next = run
        .reloaded()
        .apply(&record.expect("room"))
        .expect("follows");
    assert_eq!(next.exists(), 360);
}

#[test]
fn sparse_chunks_and_pages_are_merged() {
    let mut run = filled(1000);
    let uids: Vec<_> = (1..=1000).filter(|n| n % 50 != 0).map(|n| (n, 0)).collect();
    run.record(&[Op::Expunge { uids }]);
    run.check();
    assert_eq!(run.snapshot.exists(), 20);
    let chunks = run
        .snapshot
        .pages
        .iter()
        .map(|page| page.chunks.get().expect("loaded").list.len());
    assert!(chunks.sum::<usize>() <= 5, "at least a quarter full");
}

#[test]
fn a_gap_is_refused() {
    let run = filled(10);
    let tail = run.snapshot.tail();
    let effects = || vec![Effect::Append(new_rows(11, 1, 0, 1))];
    let later = Tail {
        modseq: tail.modseq.next().expect("room"),
        ..tail.clone()
    };
    let other = Tail {
        chain: tail.chain ^ 1,
        ..tail.clone()
    };
    for wrong in [later, other] {
        let record = Record::new(&wrong, 0, 0, effects()).expect("room");
        let refused = run.snapshot.apply(&record).map(|_| ());
        assert_eq!(
            refused,
            Err(FoldError::Gap {
                at: tail.modseq,
                record: record.modseq()
            })
        );
    }
    let reused = vec![Effect::Append(new_rows(10, 1, 0, 1))];
    let record = Record::new(tail, 0, 0, reused).expect("room");
    let refused = run.snapshot.apply(&record).map(|_| ());
    assert_eq!(refused, Err(FoldError::UidReused { uid: uid(10) }));
}

#[test]
fn a_missing_part_is_trimmed_and_a_changed_one_is_damaged() {
    let mut run = filled(100);
    let keys: Vec<_> = run.shelf.values.keys().copied().collect();
    for key in keys {
        let value = run.shelf.values.remove(&key).expect("there");
        let error = block_on(run.reloaded().ensure(&run.shelf, Wanted::All)).map(|_| ());
        assert!(matches!(error, Err(LoadError::Trimmed(missing)) if missing == key));
        for at in 0..value.len() {
            let mut bad = value.to_vec();
            bad[at] ^= 1;
            run.shelf.values.insert(key, bad.into());
            let snapshot = run.reloaded();
            let error = block_on(snapshot.ensure(&run.shelf, Wanted::All)).map(|_| ());
            assert!(matches!(error, Err(LoadError::Damaged(bad, _)) if bad == key));
        }
        run.shelf.values.insert(key, value);
    }
    let (root, bytes) = run.root.expect("a root");
    for at in 0..bytes.len() {
        let mut bad = bytes.to_vec();
        bad[at] ^= 0x80;
        assert!(Snapshot::from_root(root, &bad).is_err());
        assert!(Snapshot::from_root(root, &bytes[..at]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Damage that has the right checksum: refused, or readable rows.
    #[test]
    fn forged_parts_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut run = filled(100);
        let mut keys: Vec<_> = run.shelf.values.keys().copied().collect();
        keys.sort_unstable();
        let key = keys[which.index(keys.len())];
        let (root, root_bytes) = run.root.clone().expect("a root");
        let forged = |bytes: &Bytes| {
            let mut bytes = crate::codec::unseal("test", bytes).expect("whole").to_vec();
            for (at, with) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
            crate::codec::seal(bytes)
        };
        let bad_root = Snapshot::from_root(root, &forged(&root_bytes));
        let bad = forged(&run.shelf.values[&key]);
        run.shelf.values.insert(key, bad);
        let good_root = Snapshot::from_root(root, &root_bytes);
        for snapshot in [bad_root, good_root].into_iter().flatten().map(Arc::new) {
            if let Ok(loaded) = block_on(snapshot.ensure(&run.shelf, Wanted::All)) {
                let rows: Vec<_> = loaded.rows(..).collect();
                prop_assert_eq!(rows.len(), snapshot.exists() as usize);
                for row in rows {
                    prop_assert_eq!(loaded.row(row.uid), Some(row));
                }
                let uids = UidSet::from_range(uid(10), uid(90));
                let effects = vec![
                    Effect::SetFlags { uids: uids.clone(), clear: Flags::SEEN, set: Flags::DRAFT },
                    Effect::Expunge { uids },
                ];
                if let Ok(record) = Record::new(loaded.tail(), 0, 0, effects) {
                    let _ = loaded.apply(&record);
                }
            }
        }
    }
}

#[test]
fn keywords_are_freed_only_where_no_row_has_them() {
    let mut run = filled(10);
    let slot = crate::flags::Slot::new(90).expect("a slot");
    let record =
        |run: &Run, effects| Record::new(run.snapshot.tail(), 0, 0, effects).expect("room");
    let define = Effect::DefineKeyword {
        slot,
        name: "$Junk".into(),
    };
    let uids = UidSet::from(uid(3));
    let set = Effect::SetFlags {
        uids: uids.clone(),
        clear: Flags::NONE,
        set: slot.flag(),
    };
    run.snapshot = Arc::new(
        run.snapshot
            .apply(&record(&run, vec![define, set]))
            .expect("follows"),
    );
    let free = || vec![Effect::FreeKeyword { slot }];
    let refused = run.snapshot.apply(&record(&run, free())).map(|_| ());
    assert_eq!(refused, Err(FoldError::Keyword(slot)));
    let clear = vec![Effect::SetFlags {
        uids,
        clear: slot.flag(),
        set: Flags::NONE,
    }];
    run.snapshot = Arc::new(run.snapshot.apply(&record(&run, clear)).expect("follows"));
    run.snapshot = Arc::new(run.snapshot.apply(&record(&run, free())).expect("follows"));
    assert!(run.snapshot.keywords().is_empty());
}

#[test]
fn what_a_root_does_not_share_can_go() {
    let mut run = filled(1000);
    let old = run.reloaded();
    run.record(&[Op::SetFlags {
        uids: vec![(5, 0)],
        clear: Flags::NONE,
        set: Flags(1 << 99),
    }]);
    run.checkpoint();
    let new = run.reloaded();
    load(&old, &run.shelf, Wanted::Pages);
    load(&new, &run.shelf, Wanted::Pages);
    let gone = old.keys_unlike(&new).expect("loaded");
    let kinds: Vec<_> = gone.iter().map(|key| key.kind).collect();
    assert_eq!(kinds, [PartKind::Page, PartKind::Mutable]);
    gone.iter()
        .for_each(|key| assert!(run.shelf.values.remove(key).is_some()));
    check(&load(&run.reloaded(), &run.shelf, Wanted::All), &run.model);
}

#[test]
fn an_import_keeps_everything() {
    let mut import = Import::new(UidValidity::new(99).expect("not 0"), 5);
    let rows: Vec<Row> = new_rows(10, 333, 1, 3)
        .into_iter()
        .enumerate()
        .map(|(n, row)| row.row(ModSeq(1 + n as u64 * 7 % 50)))
        .collect();
    let mut shelf = Shelf::default();
    for row in &rows {
        import.push(*row).expect("ascends");
        shelf.put(&import.drain());
    }
    assert_eq!(import.push(rows[0]), Err(ImportError::Uid(rows[0].uid)));
    let (snapshot, puts) = import.finish(uid(5000), ModSeq(77), Annotations::new());
    shelf.put(&puts);
    let checkpoint = snapshot.checkpoint().expect("pages are there");
    assert!(
        checkpoint
            .puts()
            .iter()
            .all(|(key, _)| key.kind == PartKind::Page)
    );
    shelf.put(checkpoint.puts());
    let model = Model {
        modseq: ModSeq(77),
        uid_next: 5000,
        rows,
    };
    let snapshot = Snapshot::from_root(checkpoint.root(), checkpoint.root_bytes()).expect("a root");
    let snapshot = Arc::new(snapshot);
    assert_eq!(snapshot.tail().vanished_floor, ModSeq(77));
    check(&load(&snapshot, &shelf, Wanted::All), &model);
}
