//! Prints what snapshots cost: time, memory, stored bytes. Run with `--release`.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use restante_mailbox::{
    Annotations, DateTime, Effect, EmailId, FlagFilter, Flags, Import, Loaded, ModSeq, NewRow,
    PartKey, PartKind, Parts, Record, Row, Snapshot, Uid, UidSet, UidValidity, Wanted,
    build::{FlagAction, FlagNames, StoreFlags, store_flags},
};

fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not 0")
}

/// A small generator, so that every run sees the same mailbox.
struct Random(u64);

impl Random {
    fn below(&mut self, max: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % max
    }
}

/// Mail as it comes: every few minutes one, mostly small, mostly read, some answered or flagged; some
/// was expunged, so that UIDs have holes; flags were changed at many times.
fn mailbox(count: u32) -> impl Iterator<Item = Row> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut ms, mut number, mut modseq) = (1_500_000_000_000_u64, 0, 1);
    (0..count).map(move |_| {
        ms += 1000 + random.below(1_200_000);
        number += if random.below(8) == 0 {
            2 + random.below(9) as u32
        } else {
            1
        };
        modseq += 1 + random.below(3);
        let size = match random.below(10) {
            0 => 20_000 + random.below(5_000_000),
            1..=4 => 8_000 + random.below(60_000),
            _ => 1_500 + random.below(9_000),
        };
        let mut flags = if random.below(10) < 9 {
            Flags::SEEN
        } else {
            Flags::NONE
        };
        for (part, flag) in [
            (8, Flags::ANSWERED),
            (30, Flags::FLAGGED),
            (20, Flags(1 << 5)),
        ] {
            if random.below(part) == 0 {
                flags = flags | flag;
            }
        }
        let saved_s = ms / 1000;
        Row {
            uid: uid(number),
            email: EmailId((ms << 22) | random.below(4)),
            size,
            internal_date: DateTime {
                unix_s: (saved_s - random.below(20)) as i64,
                zone_min: if random.below(3) == 0 { 120 } else { 0 },
            },
            save_date_s: saved_s as i64,
            flags,
            modseq: ModSeq(modseq + random.below(2) * random.below(50_000)),
        }
    })
}

#[derive(Default)]
struct Shelf {
    values: HashMap<PartKey, Bytes>,
    read_bytes: AtomicU64,
}

impl Parts for Shelf {
    type Error = Infallible;

    async fn parts(&self, keys: &[PartKey]) -> Result<Vec<Option<Bytes>>, Infallible> {
        let values: Vec<_> = keys
            .iter()
            .map(|key| self.values.get(key).cloned())
            .collect();
        let bytes = values.iter().flatten().map(Bytes::len).sum::<usize>();
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(values)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn time<T>(what: &str, times: u32, mut run: impl FnMut() -> T) -> T {
    let mut best = f64::MAX;
    let mut result = None;
    for _ in 0..times {
        let start = Instant::now();
        result = Some(black_box(run()));
        best = best.min(start.elapsed().as_secs_f64() * 1000.0);
    }
    println!("{what:<62}{best:>10.3} ms");
    result.expect("at least once")
}

fn imported(count: u32) -> (Shelf, Bytes, Snapshot) {
    let mut shelf = Shelf::default();
    let mut import = Import::new(UidValidity::new(1).expect("not 0"), 7);
    for row in mailbox(count) {
        import.push(row).expect("ascends");
        shelf.values.extend(import.drain());
    }
    let (snapshot, puts) = import.finish(Uid::MIN, ModSeq::FIRST, Annotations::new());
    shelf.values.extend(puts);
    let checkpoint = snapshot.checkpoint().expect("all there");
    shelf.values.extend(checkpoint.puts().iter().cloned());
    let root_bytes = checkpoint.root_bytes().clone();
    let snapshot = Snapshot::from_root(checkpoint.root(), &root_bytes).expect("a root");
    (shelf, root_bytes, snapshot)
}

fn all(snapshot: &Arc<Snapshot>, shelf: &Shelf) -> Loaded {
    block_on(snapshot.ensure(shelf, Wanted::All)).expect("loads")
}

fn apply(loaded: &Snapshot, effects: Vec<Effect>) -> (Record, Arc<Snapshot>) {
    let record = Record::new(loaded.tail(), 0, 1, effects).expect("room");
    let next = loaded.apply(&record).expect("follows");
    (record, Arc::new(next))
}

fn main() {
    println!("-- a mailbox of 1,000,000, imported");
    let (shelf, root, snapshot) = imported(1_000_000);
    let bytes = |kind| {
        let of_kind = shelf.values.iter().filter(|(key, _)| key.kind == kind);
        of_kind.map(|(_, value)| value.len()).sum::<usize>() as f64
    };
    let (fixed, mutable) = (bytes(PartKind::Fixed) / 1e6, bytes(PartKind::Mutable) / 1e6);
    println!(
        "stored: {:.1} B a row ({fixed:.1} fixed, {mutable:.1} mutable)",
        fixed + mutable
    );
    println!("root {} B, pages {} B", root.len(), bytes(PartKind::Page));
    let modseq = snapshot.modseq();
    let cold = time("open from the root, first unseen", 5, || {
        shelf.read_bytes.store(0, Ordering::Relaxed);
        let snapshot = Snapshot::from_root(restante_mailbox::RootRef { modseq }, &root);
        let snapshot = Arc::new(snapshot.expect("a root"));
        let loaded = block_on(snapshot.ensure(&shelf, Wanted::FirstUnseen)).expect("loads");
        loaded.first_unseen()
    });
    println!(
        "  read for it: {} B, {cold:?}",
        shelf.read_bytes.load(Ordering::Relaxed)
    );
    let snapshot = Arc::new(snapshot);
    let start = Instant::now();
    let loaded = all(&snapshot, &shelf);
    println!(
        "{:<62}{:>10.3} ms",
        "load all of it",
        start.elapsed().as_secs_f64() * 1000.0
    );
    println!("memory: {:.1} B a row", loaded.heap_bytes() as f64 / 1e6);
    time("uids_with(unseen)", 5, || {
        loaded.uids_with(FlagFilter::without(Flags::SEEN))
    });
    time("count_with(unseen)", 5, || {
        loaded.count_with(FlagFilter::without(Flags::SEEN))
    });
    time("uids_with(a keyword that none has)", 5, || {
        loaded.uids_with(FlagFilter::with(Flags(1 << 90)))
    });
    time("rows(..): sum of sizes", 5, || {
        loaded.rows(..).map(|row| row.size).sum::<u64>()
    });
    time("100,000 x rank(uid)", 5, || {
        (1..100_001)
            .filter_map(|n| loaded.rank(uid(n * 9)))
            .map(u64::from)
            .sum::<u64>()
    });
    let (record, next) = apply(
        &loaded,
        vec![Effect::Expunge {
            uids: UidSet::from(uid(77_778)),
        }],
    );
    time("fold: expunge one", 20, || {
        loaded.apply(&record).expect("follows")
    });
    time("diff: one expunged", 20, || {
        next.diff(&loaded).expect("loaded")
    });

    println!("-- a mailbox of 100,000");
    let (shelf, _, snapshot) = imported(100_000);
    let loaded = all(&Arc::new(snapshot), &shelf);
    time("rows(..)", 20, || {
        loaded.rows(..).fold(0, |sum, row| sum + row.modseq.0)
    });
    let command = StoreFlags {
        uids: UidSet::all(),
        action: FlagAction::Add,
        flags: FlagNames {
            system: Flags::SEEN,
            keywords: Vec::new(),
        },
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    };
    let built = time("build: STORE 1:* +FLAGS (\\Seen)", 20, || {
        store_flags(&loaded, &command).expect("builds")
    });
    let (record, next) = apply(&loaded, built.effects);
    println!(
        "  record: {} B, {} rows change",
        record.bytes().len(),
        built.changed.len()
    );
    time("fold", 20, || loaded.apply(&record).expect("follows"));
    time("diff", 20, || next.diff(&loaded).expect("loaded"));
    let checkpoint = time("checkpoint", 5, || next.checkpoint().expect("all there"));
    let bytes = checkpoint
        .puts()
        .iter()
        .map(|(_, value)| value.len())
        .sum::<usize>();
    println!("  writes {} values, {bytes} B", checkpoint.puts().len());
    let one = vec![Effect::SetFlags {
        uids: UidSet::from(uid(50_004)),
        clear: Flags::NONE,
        set: Flags(1 << 90),
    }];
    let (record, next) = apply(&loaded, one);
    time("fold: a flag of one", 20, || {
        loaded.apply(&record).expect("follows")
    });
    time("diff: a flag of one", 20, || {
        next.diff(&loaded).expect("loaded")
    });

    println!("-- appends");
    let rows: Vec<_> = mailbox(1_000_000).map(|row| NewRow::from(&row)).collect();
    let empty = Snapshot::new(UidValidity::new(1).expect("not 0"));
    let record = time("encode a record of 1,000,000", 1, || {
        Record::new(empty.tail(), 0, 0, vec![Effect::Append(rows.clone())]).expect("room")
    });
    println!("  {:.1} B a row", record.bytes().len() as f64 / 1e6);
    time("decode it", 1, || {
        Record::decode(record.modseq(), record.bytes().clone()).expect("a record")
    });
    time("fold it", 1, || empty.apply(&record).expect("follows"));
    let mut snapshot = empty;
    let records = time(
        "100,000 records of one: build, encode, tail only",
        1,
        || {
            let mut tail = snapshot.tail().clone();
            let record = |row: &NewRow| {
                let record =
                    Record::new(&tail, 0, 0, vec![Effect::Append(vec![*row])]).expect("room");
                tail = tail
                    .after_append(&record)
                    .expect("an append")
                    .expect("follows");
                record
            };
            rows[..100_000].iter().map(record).collect::<Vec<_>>()
        },
    );
    println!("  {} B a record", records[9].bytes().len());
    time("100,000 records of one: fold", 1, || {
        for record in &records {
            snapshot = snapshot.apply(record).expect("follows");
        }
    });
    println!("memory: {:.1} B a row", snapshot.heap_bytes() as f64 / 1e5);
}
