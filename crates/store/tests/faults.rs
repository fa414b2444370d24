//! The embedded engine on a disk that is full or fails: nothing that was acknowledged is lost, and
//! nothing is acknowledged that is not durable.

mod common;

use std::{process::Command, time::Duration};

use common::{blob_batch, open, options, pattern, put, put_blob, read_blob, rows};
use restante_store::{
    Batch, Budget, CommitError, DiskCall, DiskFault, DiskFaults, EmbeddedOptions, StageError, Store,
};

fn with_faults() -> (EmbeddedOptions, DiskFaults) {
    let faults = DiskFaults::default();
    let mut options = options();
    options.faults = Some(faults.clone());
    (options, faults)
}

fn one(key: &[u8]) -> Batch {
    let mut batch = Batch::new(0);
    batch.put(key, pattern(9000));
    batch
}

#[tokio::test]
async fn a_full_disk_is_a_definite_failure_and_service_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let (options, faults) = with_faults();
    let store = Store::open(dir.path(), options).await.unwrap();
    put_blob(&store, b"\x02a", b"before").await;
    // In the middle of a group, before anything of it, and when the next segment is allocated.
    for (call, fault) in [
        (DiskCall::Write, DiskFault::Enospc(5000)),
        (DiskCall::Write, DiskFault::Enospc(0)),
        (DiskCall::Allocate, DiskFault::Enospc(0)),
    ] {
        faults.inject(call, 0, 2, fault);
        for _ in 0..2 {
            if call == DiskCall::Allocate {
                // So that the next group needs a new segment.
                faults.clear();
                store.verify().await.unwrap();
                faults.inject(call, 0, 1, fault);
            }
            let result = store.commit(one(b"full")).await;
            assert!(
                matches!(result, Err(CommitError::Full { .. })),
                "{call:?}: {result:?}"
            );
            assert_eq!(store.get(b"full").await.unwrap(), None);
        }
        faults.clear();
        put(&store, b"after", b"there is space again").await;
    }
    put(&store, b"last", b"").await;
    let want = rows(&store).await;
    drop(store);
    let store = open(dir.path()).await;
    assert!(rows(&store).await == want);
    assert_eq!(
        read_blob(&store, b"\x02a").await.unwrap()[..],
        b"before"[..]
    );
}

#[tokio::test]
async fn after_a_failed_sync_everything_is_refused_until_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (options, faults) = with_faults();
    let store = Store::open(dir.path(), options).await.unwrap();
    put(&store, b"before", b"1").await;
    faults.inject(DiskCall::Sync, 0, 1, DiskFault::Eio);
    let waiting = store.submit(one(b"unknown"));
    let result = waiting.await;
    assert!(
        matches!(result, Err(CommitError::Unknown { .. })),
        "{result:?}"
    );
    let reason = store.failed().await;
    assert!(reason.contains("sync"), "{reason}");
    let result = store.commit(one(b"later")).await;
    assert!(
        matches!(result, Err(CommitError::Refused { .. })),
        "{result:?}"
    );
    assert_eq!(
        store.get(b"before").await.unwrap().as_deref(),
        Some(&b"1"[..])
    );
    assert_eq!(
        store.get(b"unknown").await.unwrap(),
        None,
        "shown before it is known"
    );
    drop(store);

    // The page cache is warm: the group is found, and recovery makes sure of it before it serves.
    let store = open(dir.path()).await;
    assert!(store.get(b"unknown").await.unwrap().is_some());
    assert!(store.get(b"later").await.unwrap().is_none());
    assert_eq!(
        store.get(b"before").await.unwrap().as_deref(),
        Some(&b"1"[..])
    );
    put(&store, b"later", b"2").await;
}

#[tokio::test]
async fn a_recovery_that_cannot_make_sure_does_not_serve() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    put(&store, b"a", b"1").await;
    drop(store);
    for call in [DiskCall::Truncate, DiskCall::Write, DiskCall::Sync] {
        let (options, faults) = with_faults();
        faults.inject(call, 0, 1, DiskFault::Eio);
        assert!(Store::open(dir.path(), options).await.is_err(), "{call:?}");
    }
    assert!(open(dir.path()).await.get(b"a").await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_that_can_be_cut_back_is_definite_one_that_cannot_is_not() {
    for (cut_fails, definite) in [(false, true), (true, false)] {
        let dir = tempfile::tempdir().unwrap();
        let (options, faults) = with_faults();
        let store = Store::open(dir.path(), options).await.unwrap();
        put(&store, b"before", b"1").await;
        faults.inject(DiskCall::Write, 0, 1, DiskFault::Eio);
        if cut_fails {
            faults.inject(DiskCall::Truncate, 0, 1, DiskFault::Eio);
        }
        let result = store.commit(one(b"x")).await;
        match result {
            Err(CommitError::Refused { .. }) => assert!(definite),
            Err(CommitError::Unknown { .. }) => assert!(!definite),
            other => panic!("{other:?}"),
        }
        store.failed().await;
        drop(store);
        assert_eq!(open(dir.path()).await.get(b"x").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_large_blob_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (options, faults) = with_faults();
    let store = Store::open(dir.path(), options).await.unwrap();
    for (call, fault) in [
        (DiskCall::Write, DiskFault::Enospc(1000)),
        (DiskCall::Write, DiskFault::Eio),
        (DiskCall::Sync, DiskFault::Eio),
    ] {
        faults.inject(call, 0, 1, fault);
        let mut writer = store.stage(b"\x02big".to_vec());
        let result = match writer.write(&pattern(2 << 20)).await {
            Ok(()) => writer.finish().await.map(|_| ()),
            Err(error) => {
                drop(writer);
                Err(error)
            }
        };
        match (result, fault) {
            (Err(StageError::Full), DiskFault::Enospc(_)) => {}
            (Err(StageError::Write(_)), DiskFault::Eio) => {}
            (other, _) => panic!("{call:?} {fault:?}: {other:?}"),
        }
        assert!(common::files(&dir.path().join("blobs")).is_empty());
        faults.clear();
    }
    put_blob(&store, b"\x02big", &pattern(2 << 20)).await;
    assert!(read_blob(&store, b"\x02big").await.unwrap()[..] == pattern(2 << 20)[..]);
}

#[tokio::test]
async fn the_reserve_is_kept_for_batches_without_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    let stat = std::process::Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(stat.stdout).unwrap();
    let free: u64 = text.lines().nth(1).unwrap().trim().parse().unwrap();
    // More than is free, but a quarter of it is not.
    options.reserve_bytes = free.saturating_mul(2);
    let store = Store::open(dir.path(), options).await.unwrap();
    let batch = blob_batch(&store, b"\x02blob", b"message").await;
    assert!(matches!(
        store.commit(batch).await,
        Err(CommitError::Full { .. })
    ));
    put(&store, b"expunge", b"still works").await;
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=24m", "none"])
            .arg(dir.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_for_real() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: cannot mount a small file system here");
        return;
    };
    let dir = disk.0.path().join("store");
    let mut options = options();
    options.reserve_bytes = 8 << 20;
    options.floor_bytes = 1;
    let store = Store::open(&dir, options.clone()).await.unwrap();
    let mut delivered = 0u8;
    let full = loop {
        let batch = blob_batch(&store, &[2, delivered], &pattern(200_000)).await;
        match store.commit(batch).await {
            Ok(_) => delivered += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, CommitError::Full { .. }), "{full:?}");
    assert!(delivered > 20);
    // There is room for expunges, and they make room for deliveries.
    for i in 0..delivered {
        let mut batch = Batch::new(0);
        batch.release.push(common::reference(&store, &[2, i]).await);
        batch.delete.push(vec![2, i]);
        if i % 4 != 0 {
            store.commit(batch).await.unwrap();
        }
    }
    store.close().await;
    let store = Store::open(&dir, options).await.unwrap();
    let mut freed = 0;
    for _ in 0..20 {
        put(&store, b"\x01tick", b"").await;
        freed += store.maintain(Budget::default()).await.unwrap().bytes_freed;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        freed > 2 << 20,
        "only {freed} bytes were freed: {:?}",
        store.stats()
    );
    let batch = blob_batch(&store, &[2, 0xff], &pattern(200_000)).await;
    store.commit(batch).await.unwrap();
    for i in (0..delivered).step_by(4) {
        assert!(read_blob(&store, &[2, i]).await.unwrap()[..] == pattern(200_000)[..]);
    }
    store.close().await;
}
