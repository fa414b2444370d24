//! The contract of a store, asked of every engine.
//!
//! Each rule is a function that is given a world: a store, and what it takes to open it again.

mod common;

use std::{ops::Bound, time::Duration};

use bytes::Bytes;
use common::{
    REFERENCE_AT, blob_batch, options, pattern, put, put_blob, read_blob, reference, rows, stage,
};
use restante_store::{
    Batch, CommitError, Direction, KeyRange, MemoryOptions, Put, ReadAhead, Store, StoreError,
    prefix_range,
};

struct World {
    store: Store,
    dir: Option<tempfile::TempDir>,
}

impl World {
    fn memory(options: MemoryOptions) -> Self {
        Self {
            store: Store::memory(options),
            dir: None,
        }
    }

    async fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(dir.path(), options()).await.unwrap(),
            dir: Some(dir),
        }
    }

    /// Ends the engine and opens it again: whatever was acknowledged is there.
    async fn reopen(&mut self) {
        let Some(dir) = &self.dir else {
            self.store = self.store.crash(MemoryOptions::slow(99)).unwrap();
            return;
        };
        // The lock of the directory is free when the engine's threads are gone.
        self.store = Store::memory(MemoryOptions::default());
        for _ in 0..6000 {
            match Store::open(dir.path(), options()).await {
                Ok(store) => {
                    self.store = store;
                    return;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        self.store = Store::open(dir.path(), options()).await.unwrap();
    }
}

macro_rules! conformance {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(super::World::memory(super::MemoryOptions::default())).await;
            })*
        }
        mod slow_memory {
            $(#[tokio::test]
            async fn $rule() {
                for seed in 0..8 {
                    super::$rule(super::World::memory(super::MemoryOptions::slow(seed))).await;
                }
            })*
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule(super::World::embedded().await).await;
            })*
        }
    };
}

conformance!(
    conditions_decide,
    the_first_failed_condition_is_named,
    a_batch_happens_whole_or_not_at_all,
    deletes_come_before_puts,
    the_order_of_submission_counts,
    commit_numbers_ascend,
    wrong_batches_are_refused,
    many_keys_are_read_in_the_order_asked,
    scans_keep_to_bounds_limits_and_directions,
    blobs_come_back_by_range_and_owner,
    a_blob_that_is_replaced_or_released_is_not_shown_to_others,
    a_staged_blob_without_a_commit_leaves_nothing,
    a_staged_blob_may_be_committed_after_a_conflict,
    a_batch_may_have_many_blobs,
    blobs_that_lie_together_may_be_read_ahead,
    values_may_be_large,
    what_was_acknowledged_is_there_after_a_restart,
    concurrent_submitters_lose_nothing,
    a_future_dropped_does_not_take_its_batch_back,
    a_closed_store_says_so,
);

fn equal(batch: &mut Batch, key: &[u8], value: &[u8]) {
    let value = Bytes::copy_from_slice(value);
    batch.require_equal.push((key.to_vec(), value));
}

async fn conditions_decide(world: World) {
    let store = &world.store;
    let absent = || {
        let mut batch = Batch::new(1);
        batch.require_absent.push(b"k".to_vec());
        batch.put(b"k", &b"1"[..]);
        batch
    };
    let change = |before: &[u8], after: &'static [u8]| {
        let mut batch = Batch::new(1);
        equal(&mut batch, b"k", before);
        batch.put(b"k", after);
        batch
    };
    conflict(store, change(b"", b"x"), b"k", None).await;
    store.commit(absent()).await.unwrap();
    conflict(store, absent(), b"k", Some(b"1")).await;
    conflict(store, change(b"2", b"x"), b"k", Some(b"1")).await;
    store.commit(change(b"1", b"")).await.unwrap();
    // An empty value is a value.
    conflict(store, absent(), b"k", Some(b"")).await;
    store.commit(change(b"", b"3")).await.unwrap();
    // The same value is no conflict, whoever wrote it.
    put(store, b"k", b"3").await;
    store.commit(change(b"3", b"4")).await.unwrap();
    let mut batch = Batch::new(1);
    equal(&mut batch, b"k", b"4");
    batch.delete.push(b"k".to_vec());
    store.commit(batch).await.unwrap();
    conflict(store, change(b"4", b"5"), b"k", None).await;
    store.commit(absent()).await.unwrap();
    assert!(store.stats().conflicts >= 5);
}

async fn conflict(store: &Store, batch: Batch, at: &[u8], there: Option<&[u8]>) {
    match store.commit(batch).await {
        Err(CommitError::Conflict { key, current }) => {
            assert_eq!((&key[..], current.as_deref()), (at, there));
        }
        other => panic!("{other:?}"),
    }
}

async fn the_first_failed_condition_is_named(world: World) {
    let store = &world.store;
    for key in [b"a", b"b"] {
        put(store, key, b"1").await;
    }
    let mut batch = Batch::new(1);
    equal(&mut batch, b"a", b"1");
    equal(&mut batch, b"b", b"0");
    equal(&mut batch, b"c", b"0");
    conflict(store, batch, b"b", Some(b"1")).await;
}

async fn a_batch_happens_whole_or_not_at_all(mut world: World) {
    put(&world.store, b"guard", b"1").await;
    put(&world.store, b"old", b"1").await;
    let batch = async |store: &Store, guard: &[u8]| {
        let mut batch = blob_batch(store, b"blob", b"bytes").await;
        equal(&mut batch, b"guard", guard);
        batch.delete.push(b"old".to_vec());
        for n in 0..100u8 {
            batch.put([b'n', n], vec![n]);
        }
        store.commit(batch).await
    };
    let refused = batch(&world.store, b"0").await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    for again in [false, true] {
        assert_eq!(rows(&world.store).await.len(), 2);
        if !again {
            world.reopen().await;
        }
    }
    batch(&world.store, b"1").await.unwrap();
    world.reopen().await;
    assert_eq!(rows(&world.store).await.len(), 102);
    assert_eq!(world.store.get(b"old").await.unwrap(), None);
    assert_eq!(
        read_blob(&world.store, b"blob").await.unwrap(),
        &b"bytes"[..]
    );
}

async fn deletes_come_before_puts(world: World) {
    let store = &world.store;
    put(store, b"k", b"1").await;
    let mut batch = Batch::new(1);
    batch.put(b"k", &b"2"[..]);
    batch.delete.push(b"k".to_vec());
    batch.delete.push(b"not there".to_vec());
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(b"k").await.unwrap().as_deref(), Some(&b"2"[..]));
}

async fn the_order_of_submission_counts(mut world: World) {
    // A chain is handed over at once, each link on the one before; then a rival that is built on the
    // beginning, and one that follows it.
    let store = &world.store;
    put(store, b"tail", &[0]).await;
    let link = |from: u8, to: u8| {
        let mut batch = Batch::new(1);
        equal(&mut batch, b"tail", &[from]);
        batch.put(b"tail", vec![to]);
        batch.put([b'l', to], vec![from]);
        store.submit(batch)
    };
    let chain: Vec<_> = (0..50).map(|n| link(n, n + 1)).collect();
    let (rival, follower) = (link(0, 100), link(100, 101));
    let last = link(50, 51);
    for outcome in chain {
        outcome.await.unwrap();
    }
    for lost in [rival, follower] {
        match lost.await {
            Err(CommitError::Conflict { key, current }) => {
                assert_eq!(
                    (&key[..], current.as_deref()),
                    (&b"tail"[..], Some(&[50][..]))
                );
            }
            other => panic!("{other:?}"),
        }
    }
    last.await.unwrap();
    world.reopen().await;
    let tail = world.store.get(b"tail").await.unwrap().unwrap();
    assert_eq!(tail[..], [51]);
    assert_eq!(rows(&world.store).await.len(), 52);
}

async fn commit_numbers_ascend(mut world: World) {
    let mut last = 0;
    for n in 0..20u8 {
        let mut batch = Batch::new(n.into());
        batch.put(b"k", vec![n]);
        let number = world.store.commit(batch).await.unwrap();
        assert!(number.0 > last);
        last = number.0;
        if n % 7 == 0 {
            assert_eq!(world.store.stats().last_commit, last);
            world.reopen().await;
            assert!(world.store.stats().last_commit >= last);
        }
    }
}

async fn wrong_batches_are_refused(world: World) {
    let store = &world.store;
    let refused = async |batch: Batch, what: &str| {
        let outcome = store.commit(batch).await;
        assert!(
            matches!(outcome, Err(CommitError::Invalid { .. })),
            "{what}: {outcome:?}"
        );
    };
    let with = |change: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::new(1);
        batch.put(b"good", &b"x"[..]);
        change(&mut batch);
        batch
    };
    refused(with(&|b| _ = b.put(b"", &b"x"[..])), "empty key").await;
    refused(with(&|b| _ = b.put(vec![1; 4097], &b"x"[..])), "long key").await;
    refused(with(&|b| b.delete.push(vec![])), "empty key deleted").await;
    refused(
        with(&|b| _ = b.put(b"k", vec![0; (8 << 20) + 1])),
        "long value",
    )
    .await;
    let staged = stage(store, b"owner", b"bytes").await;
    refused(
        with(&|b| _ = b.attach(staged.clone())),
        "a blob without a row",
    )
    .await;
    let row = |key: &'static [u8], index, offset| Put::with_blob(key, vec![0; 30], index, offset);
    let blob = |put: Put| {
        with(&|b: &mut Batch| {
            b.attach(staged.clone());
            b.put.push(put.clone());
        })
    };
    refused(blob(row(b"other", 0, 0)), "another's blob").await;
    refused(blob(row(b"owner", 1, 0)), "no such blob").await;
    refused(blob(row(b"owner", 0, 7)), "no room").await;
    refused(blob(row(b"owner", 0, usize::MAX)), "offset overflows").await;
    assert!(rows(store).await.is_empty());
    store.commit(blob(row(b"owner", 0, 6))).await.unwrap();
    // Nothing to do is a commit all the same.
    store.commit(Batch::new(1)).await.unwrap();
}

async fn many_keys_are_read_in_the_order_asked(world: World) {
    let store = &world.store;
    let mut batch = Batch::new(1);
    for n in (0..=254u8).step_by(2) {
        batch.put([n], vec![n]);
    }
    store.commit(batch).await.unwrap();
    let asked: Vec<Vec<Vec<u8>>> = vec![
        vec![],
        (0..=255u8).map(|n| vec![n]).collect(),
        (0..=255u8).rev().map(|n| vec![n]).collect(),
        vec![vec![4], vec![4], vec![3], vec![200], vec![4], vec![4, 0]],
    ];
    for keys in asked {
        let found = store.get_many(&keys).await.unwrap();
        assert_eq!(found.len(), keys.len());
        for (key, found) in keys.iter().zip(found) {
            let is_there = key.len() == 1 && key[0] % 2 == 0;
            assert_eq!(found.as_deref(), is_there.then_some(&key[..]));
        }
    }
}

async fn scans_keep_to_bounds_limits_and_directions(world: World) {
    use Bound::{Excluded, Included, Unbounded};
    let store = &world.store;
    let keys: Vec<Vec<u8>> = [&b"a"[..], b"a\0", b"ab", b"b", b"b\xff", b"b\xff\xff", b"c"]
        .map(<[u8]>::to_vec)
        .to_vec();
    let mut batch = Batch::new(1);
    for key in &keys {
        batch.put(key.clone(), key.clone());
    }
    store.commit(batch).await.unwrap();
    let ends: Vec<Vec<u8>> = [&b"\0"[..], b"a", b"aa", b"b", b"b\xff", b"c", b"d"]
        .map(<[u8]>::to_vec)
        .to_vec();
    let bounds = || {
        let ends = ends
            .iter()
            .flat_map(|end| [Included(end.clone()), Excluded(end.clone())]);
        std::iter::once(Unbounded).chain(ends)
    };
    let mut ranges: Vec<KeyRange> = [&b""[..], b"a", b"b\xff", b"\xff"]
        .map(prefix_range)
        .to_vec();
    for start in bounds() {
        ranges.extend(bounds().map(|end| (start.clone(), end)));
    }
    for range in ranges {
        // What lies in a range, the plain way.
        let inside = |key: &Vec<u8>| {
            let after = match &range.0 {
                Included(start) => key >= start,
                Excluded(start) => key > start,
                Unbounded => true,
            };
            let before = match &range.1 {
                Included(end) => key <= end,
                Excluded(end) => key < end,
                Unbounded => true,
            };
            after && before
        };
        let ascending: Vec<_> = keys.iter().filter(|key| inside(key)).cloned().collect();
        let descending: Vec<_> = ascending.iter().rev().cloned().collect();
        for (direction, want) in [
            (Direction::Ascending, ascending),
            (Direction::Descending, descending),
        ] {
            for limit in [0, 1, 2, usize::MAX] {
                let found = store.scan(range.clone(), direction, limit).await.unwrap();
                let want: Vec<_> = want.iter().take(limit).collect();
                assert_eq!(found.len(), want.len(), "{range:?} {direction:?} {limit}");
                for ((key, value), want) in found.iter().zip(want) {
                    assert_eq!(
                        (&key[..], &value[..]),
                        (&want[..], &want[..]),
                        "{range:?} {direction:?}"
                    );
                }
            }
        }
    }
}

async fn blobs_come_back_by_range_and_owner(mut world: World) {
    let lengths = [
        0,
        1,
        65_535,
        65_536,
        65_537,
        200_000,
        (1 << 20) - 1,
        1 << 20,
        2_000_000,
    ];
    for (n, length) in lengths.iter().enumerate() {
        put_blob(&world.store, &[b'b', n as u8], &pattern(*length)).await;
    }
    put(&world.store, b"other", &[0; 30]).await;
    for _ in 0..2 {
        let store = &world.store;
        for (n, length) in lengths.iter().enumerate() {
            let (key, want) = ([b'b', n as u8], pattern(*length));
            let blob = reference(store, &key).await;
            assert_eq!(blob.len(), *length as u64);
            let middle = length / 2;
            for range in [
                0..*length,
                0..0,
                *length..*length,
                middle..*length,
                middle..middle + usize::from(*length > 1),
            ] {
                let asked = range.start as u64..range.end as u64;
                let got = store.read_blob(&key, &blob, asked).await.unwrap();
                assert!(got == want[range.clone()], "{length} {range:?}");
            }
            let length = *length as u64;
            #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
            for range in [
                0..length + 1,
                length + 1..length + 1,
                0..u64::MAX,
                u64::MAX..u64::MAX,
                1..0,
            ] {
                let beyond = store.read_blob(&key, &blob, range.clone()).await;
                assert!(
                    matches!(beyond, Err(StoreError::Range)),
                    "{length} {range:?} {beyond:?}"
                );
            }
            for owner in [&b"other"[..], b"nobody", &[b'b', (n as u8 + 1) % 9]] {
                let others = store.read_blob(owner, &blob, 0..length.min(1)).await;
                assert!(
                    others.is_err(),
                    "{length}: {owner:?} may read another's blob"
                );
            }
        }
        world.reopen().await;
    }
}

async fn a_blob_that_is_replaced_or_released_is_not_shown_to_others(world: World) {
    let store = &world.store;
    put_blob(store, b"owner", b"first").await;
    let first = reference(store, b"owner").await;
    let mut batch = blob_batch(store, b"owner", b"second").await;
    batch.release.push(first);
    store.commit(batch).await.unwrap();
    assert_eq!(read_blob(store, b"owner").await.unwrap(), &b"second"[..]);
    let second = reference(store, b"owner").await;
    let mut batch = Batch::new(1);
    batch.delete.push(b"owner".to_vec());
    batch.release.push(second);
    store.commit(batch).await.unwrap();
    // The bytes may be there a while; nobody but a reader who began before may see them, and never
    // other bytes in their place.
    put_blob(store, b"next", b"others").await;
    for (blob, bytes) in [(first, &b"first"[..]), (second, b"second")] {
        match store.read_blob(b"owner", &blob, 0..blob.len()).await {
            Ok(read) => assert_eq!(read, bytes),
            Err(error) => assert!(matches!(error, StoreError::NoSuchBlob), "{error:?}"),
        }
        // An old reference may lead through the row to the row's own blob, never to another's.
        match store.read_blob(b"next", &blob, 0..1).await {
            Ok(read) => assert_eq!(read, &b"o"[..]),
            Err(error) => assert!(matches!(error, StoreError::NoSuchBlob), "{error:?}"),
        }
    }
}

async fn a_staged_blob_without_a_commit_leaves_nothing(mut world: World) {
    let store = &world.store;
    for length in [10, 2 << 20] {
        let mut writer = store.stage(b"owner".to_vec());
        writer.write(&pattern(length)).await.unwrap();
        assert_eq!(writer.len(), length as u64);
        drop(writer);
        let staged = stage(store, b"owner", &pattern(length)).await;
        assert_eq!(staged.reference(), None);
        assert_eq!(staged.read(3..9).await.unwrap(), pattern(9)[3..]);
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        for range in [0..length as u64 + 1, 2..1] {
            assert!(matches!(staged.read(range).await, Err(StoreError::Range)));
        }
    }
    assert_eq!(store.stats().blob_bytes_live, 0);
    world.reopen().await;
    assert!(rows(&world.store).await.is_empty());
    assert_eq!(world.store.stats().blob_bytes_live, 0);
}

async fn a_staged_blob_may_be_committed_after_a_conflict(world: World) {
    let store = &world.store;
    for (key, length) in [(b"a", 10), (b"b", 2 << 20)] {
        let mut batch = blob_batch(store, key, &pattern(length)).await;
        let mut first = batch.clone();
        equal(&mut first, b"not there", b"");
        let refused = store.commit(first).await;
        assert!(matches!(refused, Err(CommitError::Conflict { .. })));
        batch.require_absent.push(key.to_vec());
        store.commit(batch).await.unwrap();
        assert_eq!(read_blob(store, key).await.unwrap(), pattern(length));
    }
}

async fn a_batch_may_have_many_blobs(mut world: World) {
    let mut batch = Batch::new(1);
    for n in 0..300u16 {
        let key = n.to_be_bytes();
        let staged = stage(&world.store, &key, &pattern(n.into())).await;
        let index = batch.attach(staged);
        batch
            .put
            .push(Put::with_blob(key, vec![7; 27], index, REFERENCE_AT));
    }
    world.store.commit(batch).await.unwrap();
    world.reopen().await;
    for n in 0..300u16 {
        let read = read_blob(&world.store, &n.to_be_bytes()).await.unwrap();
        assert_eq!(read, pattern(n.into()));
    }
}

async fn blobs_that_lie_together_may_be_read_ahead(mut world: World) {
    let lengths = (0..120usize).map(|n| match n % 40 {
        7 => 70_000,
        31 => 40_000,
        _ => n * 37 % 5000,
    });
    let keys: Vec<([u8; 2], usize)> = lengths
        .enumerate()
        .map(|(n, length)| ([b'b', n as u8], length))
        .collect();
    for some in keys.chunks(11) {
        let mut batch = Batch::new(1);
        for (key, length) in some {
            let staged = stage(&world.store, key, &pattern(*length)).await;
            let index = batch.attach(staged);
            batch
                .put
                .push(Put::with_blob(*key, vec![7; 27], index, REFERENCE_AT));
        }
        world.store.commit(batch).await.unwrap();
    }
    for _ in 0..2 {
        let store = &world.store;
        let mut blobs = Vec::new();
        for (key, _) in &keys {
            blobs.push(reference(store, key).await);
        }
        let mut ahead = ReadAhead::of(&blobs);
        for ((key, length), blob) in keys.iter().zip(&blobs) {
            // Some are passed over, some read twice.
            for _ in 0..key[1] % 3 {
                let middle = length / 2;
                for range in [0..*length, 0..middle, middle..*length] {
                    let asked = range.start as u64..range.end as u64;
                    let got = store.read_blob_ahead(key, blob, asked, &mut ahead).await;
                    assert!(got.unwrap() == pattern(*length)[range.clone()], "{key:?}");
                }
                #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
                for range in [0..*length as u64 + 1, 1..0] {
                    let beyond = store.read_blob_ahead(key, blob, range, &mut ahead).await;
                    assert!(matches!(beyond, Err(StoreError::Range)), "{beyond:?}");
                }
                let others = store.read_blob_ahead(b"nobody", blob, 0..0, &mut ahead);
                assert!(others.await.is_err(), "{key:?} is another's");
            }
        }
        world.reopen().await;
    }
}

async fn values_may_be_large(mut world: World) {
    let value = pattern(8 << 20);
    let mut batch = Batch::new(1);
    let long = vec![9; 4096];
    batch.put(b"large", value.clone());
    batch.put(long.clone(), &b"x"[..]);
    world.store.commit(batch).await.unwrap();
    let mut batch = Batch::new(1);
    equal(&mut batch, b"large", &value);
    batch.put(b"next", &b"y"[..]);
    world.store.commit(batch).await.unwrap();
    world.reopen().await;
    let found = world.store.get(b"large").await.unwrap().unwrap();
    assert!(found == value);
    assert!(world.store.get(&long).await.unwrap().is_some());
}

async fn what_was_acknowledged_is_there_after_a_restart(mut world: World) {
    let mut want = std::collections::BTreeMap::new();
    for round in 0..4u8 {
        let mut waiting = Vec::new();
        for n in 0..40u8 {
            let mut batch = Batch::new(u32::from(n % 5));
            // Keys come, change and go.
            let key = vec![n % 13, n / 20];
            if n % 4 == round {
                batch.delete.push(key.clone());
                want.remove(&key);
            } else {
                batch.put(key.clone(), vec![round, n]);
                want.insert(key, vec![round, n]);
            }
            waiting.push(world.store.commit(batch).await);
        }
        for outcome in waiting {
            outcome.unwrap();
        }
        world.reopen().await;
        let found: Vec<_> = rows(&world.store).await;
        let want: Vec<_> = want.iter().collect();
        assert_eq!(found.len(), want.len());
        for ((key, value), (want_key, want_value)) in found.iter().zip(want) {
            assert_eq!((&key[..], &value[..]), (&want_key[..], &want_value[..]));
        }
    }
}

async fn concurrent_submitters_lose_nothing(mut world: World) {
    // Writers of one counter, and of one each: each adds one so often, by compare-and-set.
    const WRITERS: u32 = 8;
    const STEPS: u32 = 20;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = world.store.clone();
            tokio::spawn(async move {
                for step in 0..STEPS {
                    loop {
                        let before = store.get(b"all").await.unwrap();
                        let mut batch = Batch::new(1);
                        let count = before
                            .as_ref()
                            .map_or(0, |b| u32::from_be_bytes(b[..].try_into().unwrap()));
                        match before {
                            Some(before) => batch.require_equal.push((b"all".to_vec(), before)),
                            None => batch.require_absent.push(b"all".to_vec()),
                        }
                        batch.put(b"all", (count + 1).to_be_bytes().to_vec());
                        let mine = [&b"w"[..], &writer.to_be_bytes(), &step.to_be_bytes()].concat();
                        batch.require_absent.push(mine.clone());
                        batch.put(mine, vec![]);
                        match store.commit(batch).await {
                            Ok(_) => break,
                            Err(CommitError::Conflict { key, .. }) => assert_eq!(key, b"all"),
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    world.reopen().await;
    let all = world.store.get(b"all").await.unwrap().unwrap();
    assert_eq!(all[..], (WRITERS * STEPS).to_be_bytes());
    assert_eq!(rows(&world.store).await.len() as u32, 1 + WRITERS * STEPS);
}

async fn a_future_dropped_does_not_take_its_batch_back(mut world: World) {
    let store = &world.store;
    for n in 0..20u8 {
        let mut batch = Batch::new(1);
        match n {
            0 => batch.require_absent.push(b"tail".to_vec()),
            n => equal(&mut batch, b"tail", &[n - 1]),
        }
        batch.put(b"tail", vec![n]);
        let mut outcome = Box::pin(store.submit(batch));
        if n % 2 == 0 {
            // Dropped while it waits.
            let _ = futures_poll(&mut outcome).await;
        }
        drop(outcome);
    }
    let mut batch = Batch::new(1);
    equal(&mut batch, b"tail", &[19]);
    batch.put(b"tail", vec![20]);
    store.commit(batch).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store.get(b"tail").await.unwrap().unwrap()[..], [20]);
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn a_closed_store_says_so(world: World) {
    let store = &world.store;
    put(store, b"k", b"1").await;
    let clone = store.clone();
    store.close().await;
    assert!(matches!(clone.get(b"k").await, Err(StoreError::Closed)));
    let keys = [b"k".to_vec()];
    assert!(matches!(
        clone.get_many(&keys).await,
        Err(StoreError::Closed)
    ));
    let all = clone.scan(prefix_range(b""), Direction::Ascending, 1).await;
    assert!(matches!(all, Err(StoreError::Closed)));
    let refused = clone.commit(Batch::new(1)).await;
    assert!(matches!(refused, Err(CommitError::Closed)));
    store.close().await;
}
