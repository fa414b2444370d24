//! What the memory engine does wrong is what its options say, and the same again from the same seed.

mod common;

use common::{pattern, put, read_blob, rows, stage};
use restante_store::{Batch, CommitError, MemoryOptions, Put, Store, StoreError};

fn counter(
    store: &Store,
    turn: u32,
    before: Option<u8>,
    after: u8,
) -> restante_store::CommitFuture {
    let mut batch = Batch::new(turn);
    let key = vec![b'c', turn as u8];
    match before {
        None => batch.require_absent.push(key.clone()),
        Some(before) => batch.require_equal.push((key.clone(), vec![before].into())),
    }
    batch.put(key, vec![after]);
    store.submit(batch)
}

/// A workload's outcomes, in short.
async fn outcomes(options: MemoryOptions) -> (Vec<String>, usize) {
    let store = Store::memory(options);
    let mut out = Vec::new();
    for round in 0..200u32 {
        let waiting: Vec<_> = (0..4)
            .map(|turn| {
                let mut batch = Batch::new(turn);
                batch.put(round.to_be_bytes(), vec![turn as u8]);
                store.submit(batch)
            })
            .collect();
        for outcome in waiting {
            out.push(match outcome.await {
                Ok(number) => format!("ok {}", number.0),
                Err(error) => format!("{error:?}"),
            });
        }
        out.push(format!("{:?}", store.get(&round.to_be_bytes()).await));
    }
    let count = |what: &str| out.iter().filter(|line| line.contains(what)).count();
    assert_eq!(out.len(), 1000);
    let kinds = ["ok", "Full", "after the", "before the", "later"];
    let seen = kinds.iter().filter(|kind| count(kind) > 0).count();
    (out, seen)
}

#[tokio::test]
async fn the_same_seed_gives_the_same() {
    let (first, kinds) = outcomes(MemoryOptions::faulty(7)).await;
    assert_eq!(kinds, 5, "every fault comes up");
    assert_eq!(first, outcomes(MemoryOptions::faulty(7)).await.0);
    assert_ne!(first, outcomes(MemoryOptions::faulty(8)).await.0);
}

#[tokio::test]
async fn faults_are_what_they_say() {
    let one = |set: fn(&mut MemoryOptions)| {
        let mut options = MemoryOptions::default();
        set(&mut options);
        Store::memory(options)
    };

    let store = one(|options| options.full_permille = 1000);
    let full = counter(&store, 1, None, 1).await;
    assert!(matches!(full, Err(CommitError::Full { .. })));
    assert_eq!(store.get(&[b'c', 1]).await.unwrap(), None);

    let store = one(|options| options.unknown_applied_permille = 1000);
    let unknown = counter(&store, 1, None, 1).await;
    assert!(matches!(unknown, Err(CommitError::Unknown { .. })));
    assert!(store.get(&[b'c', 1]).await.unwrap().is_some());

    let store = one(|options| options.unknown_lost_permille = 1000);
    let unknown = counter(&store, 1, None, 1).await;
    assert!(matches!(unknown, Err(CommitError::Unknown { .. })));
    assert_eq!(store.get(&[b'c', 1]).await.unwrap(), None);

    let store = one(|options| options.unknown_late_permille = 1000);
    let unknown = counter(&store, 1, None, 1).await;
    assert!(matches!(unknown, Err(CommitError::Unknown { .. })));
    assert_eq!(store.get(&[b'c', 1]).await.unwrap(), None);
    for turn in 2..8 {
        let _ = counter(&store, turn, None, 1).await;
    }
    assert!(store.get(&[b'c', 1]).await.unwrap().is_some(), "it came");

    let store = one(|options| options.read_failed_permille = 1000);
    counter(&store, 1, None, 1).await.unwrap();
    let read = store.get(&[b'c', 1]).await;
    assert!(matches!(read, Err(StoreError::Read { .. })));
}

#[tokio::test]
async fn conditions_that_hold_never_conflict() {
    // One writer of each turn, each batch built on the one before: nobody is ever in the way.
    for seed in 0..50 {
        let store = Store::memory(MemoryOptions::slow(seed));
        let waiting: Vec<_> = (0..60u8)
            .map(|n| {
                let (turn, step) = (u32::from(n % 3), n / 3);
                counter(&store, turn, step.checked_sub(1), step)
            })
            .collect();
        for outcome in waiting {
            outcome.await.unwrap();
        }
        assert_eq!(store.stats().batches, 60);
        assert!(store.stats().groups < 60, "commits that wait make groups");
    }
}

#[tokio::test]
async fn independent_batches_change_places() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let store = Store::memory(MemoryOptions::slow(seed));
        let waiting: Vec<_> = (0..3).map(|turn| counter(&store, turn, None, 1)).collect();
        let mut order = Vec::new();
        for outcome in waiting {
            order.push(outcome.await.unwrap().0);
        }
        orders.insert(order);
    }
    assert!(orders.len() >= 4, "{orders:?}");
}

#[tokio::test]
async fn a_crash_keeps_what_was_answered_and_a_prefix_of_the_rest() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..200 {
        let mut options = MemoryOptions::slow(seed);
        options.crash_at = Some(1 + seed % 7);
        let store = Store::memory(options);
        put_some(&store).await;
        let waiting: Vec<_> = (0..10u8)
            .map(|n| counter(&store, 1, n.checked_sub(1), n))
            .collect();
        let mut answered = None;
        for (n, outcome) in waiting.into_iter().enumerate() {
            match outcome.await {
                Ok(_) => answered = Some(n as u8),
                Err(CommitError::Unknown { .. } | CommitError::Refused { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let after = store.crash(MemoryOptions::default()).unwrap();
        assert!(matches!(
            store.get(b"x").await,
            Err(StoreError::Refused { .. })
        ));
        assert!(matches!(
            counter(&store, 1, None, 1).await,
            Err(CommitError::Refused { .. })
        ));
        store.failed().await;
        let found = after.get(&[b'c', 1]).await.unwrap().map(|value| value[0]);
        assert!(found >= answered, "seed {seed}: {found:?} < {answered:?}");
        match found > answered {
            true => kept += 1,
            false => lost += 1,
        }
        // All of it or nothing: the blob came with its row.
        if after.get(b"blob").await.unwrap().is_some() {
            assert_eq!(read_blob(&after, b"blob").await.unwrap(), pattern(1000));
        }
        // It goes on.
        counter(&after, 9, None, 1).await.unwrap();
    }
    assert!(lost > 20 && kept > 20, "{lost} lost, {kept} kept");
}

async fn put_some(store: &Store) {
    let staged = stage(store, b"blob", &pattern(1000)).await;
    let mut batch = Batch::new(5);
    let index = batch.attach(staged);
    batch.put.push(Put::with_blob(
        b"blob",
        vec![7; 30],
        index,
        common::REFERENCE_AT,
    ));
    let _ = store.commit(batch).await;
}

#[tokio::test]
async fn a_lying_sync_is_noticed() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut options = MemoryOptions::default();
        options.seed = seed;
        options.sync_lies = true;
        let store = Store::memory(options);
        for n in 0..10u8 {
            put(&store, &[n], b"x").await;
        }
        let after = store.crash(MemoryOptions::default()).unwrap();
        let left = rows(&after).await.len();
        assert_eq!(
            rows(&after)
                .await
                .last()
                .map(|(key, _)| key[0] as usize + 1),
            left.checked_sub(1).map(|n| n + 1)
        );
        lost += usize::from(left < 10);
    }
    assert!(lost > 20, "{lost}");
}

#[tokio::test]
async fn closing_finishes_what_was_submitted() {
    for seed in 0..20 {
        let store = Store::memory(MemoryOptions::slow(seed));
        let waiting: Vec<_> = (0..8).map(|turn| counter(&store, turn, None, 1)).collect();
        store.close().await;
        for outcome in waiting {
            outcome.await.unwrap();
        }
        assert!(matches!(
            counter(&store, 1, Some(1), 2).await,
            Err(CommitError::Closed)
        ));
    }
}
