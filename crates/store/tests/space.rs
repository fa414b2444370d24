//! The embedded engine gives space back, keeps what lives, and copies itself.

mod common;

use std::{path::Path, time::Duration};

use common::{
    blob_batch, files, open, options, pattern, put, put_blob, read_blob, reference, rows, stage,
};
use restante_store::{Batch, Budget, EmbeddedOptions, MaintenanceReport, Store};

fn small_segments() -> EmbeddedOptions {
    let mut options = options();
    options.segment_bytes = 128 << 10;
    options.floor_bytes = 1;
    options
}

async fn delete(store: &Store, key: &[u8]) {
    let mut batch = Batch::new(0);
    batch.release.push(reference(store, key).await);
    batch.delete.push(key.to_vec());
    store.commit(batch).await.unwrap();
}

/// Maintains until nothing is left to do; the floor needs a commit now and then.
async fn maintain(store: &Store) -> MaintenanceReport {
    let mut total = MaintenanceReport::default();
    for round in 0..12u8 {
        put(store, b"\x01tick", &[round]).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let report = store.maintain(Budget::default()).await.unwrap();
        total.blobs_copied += report.blobs_copied;
        total.segments_dropped += report.segments_dropped;
        total.files_dropped += report.files_dropped;
        total.bytes_freed += report.bytes_freed;
        total.snapshot_parts += report.snapshot_parts;
    }
    total
}

fn segments(dir: &Path) -> usize {
    files(&dir.join("log")).len()
}

#[tokio::test]
async fn dead_segments_are_dropped_and_live_blobs_move() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small_segments()).await.unwrap();
    for i in 0..100u8 {
        put_blob(&store, &[2, i], &pattern(10_000 + usize::from(i))).await;
    }
    let kept = |i: &u8| i % 10 == 3;
    let mut old_references = Vec::new();
    for i in (0..100).filter(kept) {
        old_references.push((i, reference(&store, &[2, i]).await));
    }
    for i in (0..100u8).filter(|i| !kept(i)) {
        delete(&store, &[2, i]).await;
    }
    let before = segments(dir.path());
    let report = maintain(&store).await;
    assert!(report.blobs_copied >= 9, "{report:?}");
    assert!(
        report.segments_dropped >= 8 && report.bytes_freed > 800_000,
        "{report:?}"
    );
    assert!(segments(dir.path()) + 8 <= before);

    let mut moved = 0;
    for (i, old) in &old_references {
        let want = pattern(10_000 + usize::from(*i));
        // A reader that still has the old reference finds the blob through its row.
        let got = store.read_blob(&[2, *i], old, 0..old.len()).await.unwrap();
        assert!(got[..] == want[..]);
        assert!(read_blob(&store, &[2, *i]).await.unwrap()[..] == want[..]);
        moved += usize::from(reference(&store, &[2, *i]).await != *old);
    }
    assert!(moved >= 9);

    let want = rows(&store).await;
    store.close().await;
    for without_index in [false, true] {
        if without_index {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let store = Store::open(dir.path(), small_segments()).await.unwrap();
        assert!(rows(&store).await == want, "without index: {without_index}");
        for (i, old) in &old_references {
            let got = store.read_blob(&[2, *i], old, 0..5).await.unwrap();
            assert_eq!(got[..], pattern(5)[..]);
        }
        let report = store.verify().await.unwrap();
        assert_eq!(
            (report.blobs, report.problem_count),
            (10, 0),
            "{:?}",
            report.problems
        );
        store.close().await;
    }
}

#[tokio::test]
async fn an_older_snapshot_serves_when_the_newest_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = small_segments();
    options.snapshot_bytes = 1;
    let store = Store::open(dir.path(), options.clone()).await.unwrap();
    for i in 0..60u8 {
        put_blob(&store, &[2, i], &pattern(10_000)).await;
        delete(&store, &[2, i]).await;
        put(&store, &[1, i], &pattern(100)).await;
    }
    let report = maintain(&store).await;
    assert!(report.segments_dropped > 0, "the whole log is still there");
    let want = rows(&store).await;
    store.close().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let parts: Vec<_> = files(&dir.path().join("snapshot"));
    let manifests = parts
        .iter()
        .filter(|path| path.to_string_lossy().contains("manifest"));
    assert_eq!(manifests.count(), 2);
    // Parts ascend with their age: the last is the newest snapshot's alone.
    let newest = parts
        .iter()
        .rfind(|path| path.to_string_lossy().contains("part"))
        .unwrap();
    std::fs::write(newest, b"damaged").unwrap();
    let store = Store::open(dir.path(), options).await.unwrap();
    assert!(rows(&store).await == want);
}

#[tokio::test]
async fn large_blobs_without_an_owner_are_removed_after_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let mut patient = options();
    patient.grace = Duration::from_secs(3600);
    let store = Store::open(dir.path(), patient).await.unwrap();
    put_blob(&store, b"\x02kept", &pattern(2 << 20)).await;
    put_blob(&store, b"\x02gone", &pattern(2 << 20)).await;
    delete(&store, b"\x02gone").await;
    store.maintain(Budget::default()).await.unwrap();
    let count = |name: &str| files(&dir.path().join(name)).len();
    assert_eq!(
        (count("blobs"), count("lost")),
        (1, 1),
        "within the grace it is only set aside"
    );
    // A process that dies leaves staged blobs, finished and not.
    let staged = stage(&store, b"\x02orphan", &pattern(2 << 20)).await;
    std::mem::forget(staged);
    std::fs::write(dir.path().join("blobs/0000000000000007.blob"), b"torn").unwrap();
    store.close().await;

    let store = open(dir.path()).await;
    let uploading = stage(&store, b"\x02new", &pattern(2 << 20)).await;
    let report = store.maintain(Budget::default()).await.unwrap();
    assert_eq!(report.files_dropped, 3);
    assert_eq!(
        (count("blobs"), count("lost")),
        (2, 0),
        "an upload in progress is left alone"
    );
    assert!(read_blob(&store, b"\x02kept").await.unwrap()[..] == pattern(2 << 20)[..]);
    assert_eq!(uploading.read(0..5).await.unwrap()[..], pattern(5)[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_writing_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let target = target.path().join("backup");
    let store = Store::open(dir.path(), small_segments()).await.unwrap();
    put_blob(&store, b"\x02large", &pattern(2 << 20)).await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            let mut commits = Vec::new();
            for i in 0..400u16 {
                let key = [&[2][..], &i.to_be_bytes()].concat();
                let batch = blob_batch(&store, &key, &pattern(3000)).await;
                commits.push((store.commit(batch).await.unwrap().0, key));
            }
            commits
        }
    });
    while store.stats().last_commit < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.maintain(Budget::default()).await.unwrap();
    let report = store.backup(&target).await.unwrap();
    let commits = writer.await.unwrap();
    store.close().await;

    let copy = open(&target).await;
    assert_eq!(copy.stats().last_commit, report.commit);
    assert!(report.commit >= 100);
    for (commit, key) in &commits {
        let there = copy.get(key).await.unwrap().is_some();
        assert_eq!(
            there,
            *commit <= report.commit,
            "commit {commit} of {report:?}"
        );
        if there {
            assert!(read_blob(&copy, key).await.unwrap()[..] == pattern(3000)[..]);
        }
    }
    assert!(read_blob(&copy, b"\x02large").await.unwrap()[..] == pattern(2 << 20)[..]);
    assert_eq!(copy.verify().await.unwrap().problem_count, 0);
    // It is a store of its own: what is written to it is not in the other.
    put(&copy, b"\x01only here", b"").await;
    copy.close().await;
    let store = open(dir.path()).await;
    assert_eq!(store.get(b"\x01only here").await.unwrap(), None);
    assert_eq!(store.verify().await.unwrap().problem_count, 0);
}

/// Whether any file under a directory has these bytes.
fn is_on_disk(dir: &Path, bytes: &[u8]) -> bool {
    files(dir).into_iter().any(|path| {
        if path.is_dir() {
            return is_on_disk(&path, bytes);
        }
        let found = std::fs::read(path).unwrap();
        found.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// A row with a subject, that owns a message.
async fn put_message(store: &Store, key: &[u8], subject: &[u8], body: &[u8]) {
    let staged = stage(store, key, body).await;
    let mut batch = Batch::new(2);
    let blob = batch.attach(staged);
    let row = [&[7; 30], subject].concat();
    batch
        .put
        .push(restante_store::Put::with_blob(key, row, blob, 3));
    store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn what_is_erased_is_nowhere_on_the_disk() {
    const SUBJECT: &[u8] = b"subject of the court order";
    const BODY: &[u8] = b"body of the court order";
    let dir = tempfile::tempdir().unwrap();
    let mut options = small_segments();
    options.floor_interval = Duration::from_secs(3600);
    options.floor_bytes = 1 << 30;
    options.grace = Duration::from_secs(3600);
    options.snapshot_bytes = 1;
    let store = Store::open(dir.path(), options.clone()).await.unwrap();
    let small = [BODY, &pattern(5_000)].concat();
    let large = [&pattern(1 << 20), BODY].concat();
    let mut erased = std::collections::BTreeSet::new();
    for i in 0..60u8 {
        match i {
            20 | 59 => put_message(&store, &[2, i], SUBJECT, &small).await,
            40 => put_message(&store, &[2, i], SUBJECT, &large).await,
            _ => put_blob(&store, &[2, i], &pattern(10_000 + usize::from(i))).await,
        }
        if i == 50 {
            // It is in a snapshot, too.
            store.maintain(Budget::default()).await.unwrap();
        }
    }
    for i in [20, 40, 59] {
        erased.insert(vec![2, i]);
        assert!(
            store.erase(erased.clone()).await.is_err(),
            "what exists is not erased"
        );
        delete(&store, &[2, i]).await;
    }
    assert!(is_on_disk(dir.path(), SUBJECT) && is_on_disk(dir.path(), BODY));
    let report = store.erase(erased.clone()).await.unwrap();
    assert!(
        report.segments_dropped >= 2 && report.files_dropped == 1,
        "{report:?}"
    );
    for place in ["log", "blobs", "snapshot", "lost"] {
        assert!(!is_on_disk(&dir.path().join(place), SUBJECT), "{place}");
        assert!(!is_on_disk(&dir.path().join(place), BODY), "{place}");
    }
    let again = store.erase(erased).await.unwrap();
    assert_eq!(again.segments_dropped, 0, "{again:?}");
    store.close().await;
    assert!(!is_on_disk(dir.path(), SUBJECT) && !is_on_disk(dir.path(), BODY));

    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = Store::open(dir.path(), options).await.unwrap();
    let verified = store.verify().await.unwrap();
    assert!(verified.problems.is_empty(), "{verified:?}");
    for i in (0..60u8).filter(|i| ![20, 40, 59].contains(i)) {
        let want = pattern(10_000 + usize::from(i));
        assert!(read_blob(&store, &[2, i]).await.unwrap()[..] == want[..]);
    }
    store.close().await;
}
