//! The embedded engine on files that are torn, damaged, old or gone: the same state, or damage that
//! is named; never something else.

mod common;

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use common::{copy_dir, files, open, options, pattern, put, put_blob, read_blob, reference, rows};
use restante_store::{
    Batch, DiskCall, DiskFault, DiskFaults, OpenError, ReadAhead, Store, StoreError,
};

type Rows = Vec<(Bytes, Bytes)>;

/// A store with rows and blobs in several groups, and what is in it. Not closed if `crash`.
async fn small_store(dir: &Path, crash: bool) -> Rows {
    let store = open(dir).await;
    for i in 0..6u8 {
        put(&store, &[1, i], &[i; 300]).await;
        put_blob(&store, &[2, i], &pattern(1000 * usize::from(i))).await;
    }
    let mut batch = Batch::new(0);
    batch.delete.push(vec![1, 0]);
    batch.put(vec![1, 9], &b"last"[..]);
    store.commit(batch).await.unwrap();
    let rows = rows(&store).await;
    if !crash {
        store.close().await;
    }
    rows
}

fn only_segment(dir: &Path) -> PathBuf {
    let mut segments = files(&dir.join("log"));
    assert_eq!(segments.len(), 1);
    segments.remove(0)
}

/// Offsets at which the groups of a segment begin.
fn groups(segment: &Path) -> Vec<usize> {
    let bytes = std::fs::read(segment).unwrap();
    let is_group = |at: &usize| bytes[*at..].starts_with(b"RestGrp1");
    (0..bytes.len()).step_by(4096).filter(is_group).collect()
}

async fn check_blobs(store: &Store, rows: &Rows) {
    for (key, _) in rows.iter().filter(|(key, _)| key[0] == 2) {
        let want = pattern(1000 * usize::from(key[1]));
        match read_blob(store, key).await {
            Ok(bytes) => assert!(bytes[..] == want[..], "blob {key:?}"),
            Err(error) => panic!("blob {key:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_torn_last_group_is_cut_whatever_is_left_of_it() {
    let original = tempfile::tempdir().unwrap();
    let want = small_store(original.path(), true).await;
    let segment = only_segment(original.path());
    let starts = groups(&segment);
    let (before, last) = (starts[starts.len() - 2], starts[starts.len() - 1]);
    assert!(before < last);
    let bytes = std::fs::read(&segment).unwrap();
    let length = bytes[last..].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    std::fs::remove_dir_all(original.path().join("index")).unwrap();

    // What is kept of the last group: a prefix, or everything but some bytes in the middle.
    let mut kept: Vec<Vec<bool>> = Vec::new();
    for cut in (0..length)
        .step_by(23)
        .chain([1, 127, 128, 129, length - 1])
    {
        kept.push((0..length).map(|at| at < cut).collect());
    }
    for hole in [0, 64, 120, 130, 200, length - 4] {
        kept.push(
            (0..length)
                .map(|at| !(hole..hole + 4).contains(&at))
                .collect(),
        );
    }
    for kept in kept {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let file = OpenOptions::new()
            .write(true)
            .open(only_segment(dir.path()))
            .unwrap();
        let tail: Vec<u8> = (0..length)
            .map(|at| if kept[at] { bytes[last + at] } else { 0 })
            .collect();
        file.write_all_at(&tail, last as u64).unwrap();

        let store = open(dir.path()).await;
        let torn = tail != bytes[last..last + length];
        assert_eq!(store.stats().last_commit, if torn { 12 } else { 13 });
        let found = rows(&store).await;
        if torn {
            assert_eq!(
                found.first().unwrap().0[..],
                [1, 0],
                "the batch happened in part"
            );
            assert!(!found.iter().any(|(key, _)| key[..] == [1, 9]));
        } else {
            assert_eq!(found, want);
        }
        check_blobs(&store, &found).await;
        let aside = files(&dir.path().join("lost"));
        assert_eq!(
            aside.len(),
            usize::from(torn && tail.iter().any(|byte| *byte != 0))
        );
        // Life goes on, in a segment of its own, also over a restart.
        put(&store, b"\x01more", b"1").await;
        drop(store);
        let store = open(dir.path()).await;
        assert_eq!(rows(&store).await.len(), found.len() + 1);
    }
}

/// A generator for choices; the same every time.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

#[tokio::test]
async fn a_last_group_of_which_any_sectors_are_missing_happened_whole_or_not_at_all() {
    let original = tempfile::tempdir().unwrap();
    let store = open(original.path()).await;
    put(&store, b"\x01before", b"1").await;
    put_blob(&store, b"\x02last", &pattern(20_000)).await;
    drop(store);
    let segment = only_segment(original.path());
    let last = groups(&segment)[1];
    let bytes = std::fs::read(&segment).unwrap();
    let mut choices = Choices(1);
    for round in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let file = OpenOptions::new()
            .write(true)
            .open(only_segment(dir.path()))
            .unwrap();
        let mut torn = false;
        for sector in (last..last + 20_480).step_by(512) {
            // From few to nearly all.
            if choices.next() % 40 < round {
                file.write_all_at(&[0; 512], sector as u64).unwrap();
                torn |= bytes[sector..sector + 512] != [0; 512];
            }
        }
        let store = open(dir.path()).await;
        let there = store.get(b"\x02last").await.unwrap().is_some();
        assert_eq!(there, !torn, "round {round}");
        if there {
            assert!(read_blob(&store, b"\x02last").await.unwrap()[..] == pattern(20_000)[..]);
        }
        assert!(store.get(b"\x01before").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_recovery_that_is_interrupted_anywhere_is_done_by_the_next() {
    let original = tempfile::tempdir().unwrap();
    let want = small_store(original.path(), true).await;
    // A torn group behind the last whole one.
    let segment = only_segment(original.path());
    let end = groups(&segment).last().unwrap() + 4096;
    let file = OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(b"RestGrp1 torn", end as u64).unwrap();
    for call in [DiskCall::Write, DiskCall::Sync, DiskCall::Truncate] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let mut interrupted = 0;
        for after in 0.. {
            let mut options = options();
            let faults = DiskFaults::default();
            faults.inject(call, after, 1, DiskFault::Eio);
            options.faults = Some(faults);
            match Store::open(dir.path(), options).await {
                Ok(_) => break,
                Err(_) => interrupted += 1,
            }
            let store = open(dir.path()).await;
            assert!(rows(&store).await == want, "{call:?} after {after}");
            drop(store);
            std::fs::remove_dir_all(dir.path()).unwrap();
            copy_dir(original.path(), dir.path());
        }
        assert!(interrupted > 0, "{call:?} is never made");
    }
}

/// Flips a byte and opens: damage that is named, or the same rows; blobs right, or named damage.
async fn flip(original: &Path, want: &Rows, at: u64, without_index: bool) -> &'static str {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(original, dir.path());
    let segment = OpenOptions::new()
        .read(true)
        .write(true)
        .open(only_segment(dir.path()))
        .unwrap();
    let mut byte = [0];
    segment.read_exact_at(&mut byte, at).unwrap();
    segment.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
    if without_index {
        std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    }
    let store = match Store::open(dir.path(), options()).await {
        Err(OpenError::Damaged(damage)) => {
            assert!(damage.segment == 1 && !damage.reason.is_empty());
            return "damage at open";
        }
        Err(error) => panic!("flip at {at}: {error}"),
        Ok(store) => store,
    };
    assert!(
        rows(&store).await == *want,
        "flip at {at}, without index: {without_index}"
    );
    let mut outcome = "same";
    for (key, _) in want.iter().filter(|(key, _)| key[0] == 2) {
        match read_blob(&store, key).await {
            Ok(bytes) => assert!(bytes[..] == pattern(1000 * usize::from(key[1]))[..]),
            Err(StoreError::Damaged { owner, .. }) => {
                assert_eq!(owner.as_deref(), Some(&key[..]));
                outcome = "damaged blob";
            }
            Err(error) => panic!("flip at {at}: {error}"),
        }
    }
    // What reading everything says agrees with what reading each says.
    let report = store.verify().await.unwrap();
    let blamed = report
        .problems
        .iter()
        .any(|problem| problem.owner.is_some());
    assert_eq!(
        blamed,
        outcome == "damaged blob",
        "flip at {at}: {:?}",
        report.problems
    );
    outcome
}

#[tokio::test]
async fn a_flipped_byte_gives_the_same_state_or_named_damage() {
    let original = tempfile::tempdir().unwrap();
    let want = small_store(original.path(), false).await;
    let segment = only_segment(original.path());
    let length = std::fs::metadata(&segment).unwrap().len();
    let mut seen = std::collections::BTreeSet::new();
    // Every part of a header, and a sample of everything.
    let start = groups(&segment)[3] as u64;
    let header = (0..128).step_by(9).map(|at| start + at);
    let sample = (0..length).step_by((length / 40) as usize | 1);
    for at in header.chain(sample).chain([length - 4096, length - 4000]) {
        for without_index in [false, true] {
            seen.insert(flip(original.path(), &want, at, without_index).await);
        }
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["damage at open", "damaged blob", "same"]
    );
}

#[tokio::test]
async fn torn_journals_of_the_index_do_not_matter() {
    let original = tempfile::tempdir().unwrap();
    let want = small_store(original.path(), true).await;
    for case in 0..6usize {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let index = files(&dir.path().join("index"));
        let journals: Vec<_> = index
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "jnl"))
            .collect();
        assert!(!journals.is_empty());
        for journal in journals {
            let file = OpenOptions::new().write(true).open(journal).unwrap();
            match case {
                0 => file.set_len(0).unwrap(),
                1 => file.set_len(777).unwrap(),
                2 => file.write_all_at(&[0; 64], 300).unwrap(),
                3 => file.write_all_at(&[0xff; 4096], 0).unwrap(),
                4 => file.write_all_at(&pattern(20_000), 100).unwrap(),
                _ => std::fs::write(journal, [0xff; 100]).unwrap(),
            }
        }
        let store = open(dir.path()).await;
        assert!(rows(&store).await == want, "case {case}");
        drop(store);
        let store = open(dir.path()).await;
        assert!(rows(&store).await == want, "case {case}, again");
    }
}

#[tokio::test]
async fn a_damaged_index_is_rebuilt() {
    let original = tempfile::tempdir().unwrap();
    let want = small_store(original.path(), false).await;
    let tables = original.path().join("index/keyspaces/1/tables");
    let table = files(&tables)
        .remove(0)
        .strip_prefix(original.path())
        .unwrap()
        .to_path_buf();
    let version = Path::new("index/keyspaces/1/current").to_path_buf();
    let marker = Path::new("index/version").to_path_buf();
    for (case, path) in [(0, &table), (1, &table), (2, &version), (3, &marker)] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let path = dir.path().join(path);
        match case {
            0 => std::fs::remove_file(path).unwrap(),
            1 => {
                let length = std::fs::metadata(&path).unwrap().len() as usize;
                std::fs::write(path, vec![0x5a; length]).unwrap();
            }
            _ => std::fs::write(path, b"nonsense").unwrap(),
        }
        let store = open(dir.path()).await;
        assert!(rows(&store).await == want, "case {case}");
    }
}

#[tokio::test]
async fn damage_that_the_index_shows_only_when_read_is_healed_by_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for i in 0..200u8 {
        put(&store, &[1, i], &pattern(900)).await;
    }
    let want = rows(&store).await;
    store.close().await;
    let table = files(&dir.path().join("index/keyspaces/1/tables")).remove(0);
    let file = OpenOptions::new().write(true).open(table).unwrap();
    file.write_all_at(&[0x5a; 64], 1000).unwrap();
    let store = open(dir.path()).await;
    assert!(matches!(
        store.get(&[1, 0]).await,
        Err(StoreError::Read { .. })
    ));
    store.failed().await;
    drop(store);
    let store = open(dir.path()).await;
    assert!(rows(&store).await == want);
}

#[tokio::test]
async fn an_old_index_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    small_store(dir.path(), false).await;
    copy_dir(&dir.path().join("index"), old.path());
    let store = open(dir.path()).await;
    for i in 0..20u8 {
        put(&store, &[1, i], b"new").await;
    }
    let want = rows(&store).await;
    store.close().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy_dir(old.path(), &dir.path().join("index"));
    let store = open(dir.path()).await;
    assert!(rows(&store).await == want);
}

#[tokio::test]
async fn an_index_ahead_of_the_log_is_refused_until_the_loss_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let before = small_store(dir.path(), false).await;
    copy_dir(&dir.path().join("log"), old.path());
    let store = open(dir.path()).await;
    for account in [5u8, 7] {
        let mut batch = Batch::new(account.into());
        batch.put(vec![0, 0, 0, account, 1], &b"lost"[..]);
        store.commit(batch).await.unwrap();
    }
    let last = store.stats().last_commit;
    store.close().await;
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    copy_dir(old.path(), &dir.path().join("log"));

    match Store::open(dir.path(), options()).await {
        Err(OpenError::IndexAhead { log, index }) => assert_eq!((log, index), (last - 2, last)),
        other => panic!("{other:?}"),
    }
    let report = Store::recover(dir.path(), options()).await.unwrap();
    assert_eq!(report.lost, [(last - 1, last)]);
    assert_eq!(report.accounts, Some(vec![5, 7]));
    assert_eq!(report.next_commit, last + 1);

    for _ in 0..2 {
        let store = open(dir.path()).await;
        assert!(rows(&store).await == before);
        check_blobs(&store, &before).await;
        drop(store);
    }
    let store = open(dir.path()).await;
    let mut batch = Batch::new(1);
    batch.put(b"\x01new".to_vec(), &b""[..]);
    assert_eq!(store.commit(batch).await.unwrap().0, last + 1);
    store.close().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = open(dir.path()).await;
    assert_eq!(rows(&store).await.len(), before.len() + 1);
    store.close().await;
    // The list is there until somebody says that the accounts know.
    let again = Store::recover(dir.path(), options()).await.unwrap();
    assert!(again.was_whole && again.accounts == Some(vec![5, 7]));
    Store::loss_told(dir.path()).unwrap();
    let again = Store::recover(dir.path(), options()).await.unwrap();
    assert!(again.was_whole && again.accounts == Some(vec![]));
}

#[tokio::test]
async fn damage_in_the_middle_is_named_and_can_be_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for account in 1..=9u8 {
        let mut batch = Batch::new(account.into());
        batch.put(vec![0, 0, 0, account, 1], pattern(500));
        store.commit(batch).await.unwrap();
    }
    store.close().await;
    let segment = only_segment(dir.path());
    let start = groups(&segment)[3] as u64;
    let file = OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[0; 4096], start).unwrap();

    match Store::open(dir.path(), options()).await {
        Err(OpenError::Damaged(damage)) => {
            assert_eq!((damage.segment, damage.offset), (1, start));
            assert_eq!((damage.last_good, damage.next_good), (3, Some(5)));
        }
        other => panic!("{other:?}"),
    }
    let report = Store::recover(dir.path(), options()).await.unwrap();
    assert_eq!(report.lost, [(4, 4)]);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(
        report.accounts,
        Some(vec![4]),
        "the old index knows what the log lost"
    );
    let store = open(dir.path()).await;
    let found: Vec<u8> = rows(&store).await.iter().map(|(key, _)| key[3]).collect();
    assert_eq!(found, [1, 2, 3, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_missing_segment_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..3u8 {
        let store = open(dir.path()).await;
        put(&store, &[1, i], b"x").await;
        store.close().await;
    }
    let segments = files(&dir.path().join("log"));
    assert_eq!(segments.len(), 3);
    std::fs::remove_file(&segments[1]).unwrap();
    match Store::open(dir.path(), options()).await {
        Err(OpenError::Damaged(damage)) => assert_eq!(damage.segment, 2),
        other => panic!("{other:?}"),
    }
    let report = Store::recover(dir.path(), options()).await.unwrap();
    assert_eq!(report.lost, [(2, 2)]);
    assert_eq!(rows(&open(dir.path()).await).await.len(), 2);
}

#[tokio::test]
async fn a_missing_large_blob_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    put_blob(&store, b"\x02large", &pattern(2 << 20)).await;
    std::fs::remove_file(&files(&dir.path().join("blobs"))[0]).unwrap();
    match read_blob(&store, b"\x02large").await {
        Err(StoreError::Damaged { owner, .. }) => assert_eq!(owner.unwrap(), b"\x02large"),
        other => panic!("{other:?}"),
    }
    let report = store.verify().await.unwrap();
    assert_eq!(report.problem_count, 1);
    assert_eq!(report.problems[0].owner.as_deref(), Some(&b"\x02large"[..]));
}

#[tokio::test]
async fn damage_to_one_blob_does_not_hide_those_read_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let keys: Vec<[u8; 2]> = (1..=9).map(|n| [2, n]).collect();
    let mut blobs = Vec::new();
    for key in &keys {
        put_blob(&store, key, &pattern(1000 * usize::from(key[1]))).await;
        blobs.push(reference(&store, key).await);
    }
    let segment = only_segment(dir.path());
    let bytes = std::fs::read(&segment).unwrap();
    let at = |n: usize| {
        let want = pattern(1000 * n);
        bytes.windows(want.len()).position(|w| w == want).unwrap() as u64
    };
    let file = OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[!bytes[at(4) as usize + 500]], at(4) + 500)
        .unwrap();
    let mut ahead = ReadAhead::of(&blobs);
    for (key, blob) in keys.iter().zip(&blobs) {
        let read = store.read_blob_ahead(key, blob, 0..blob.len(), &mut ahead);
        match read.await {
            Ok(bytes) => assert!(key[1] != 4 && bytes == pattern(1000 * usize::from(key[1]))),
            Err(StoreError::Damaged { owner, .. }) => assert_eq!(owner.unwrap(), [2, 4]),
            other => panic!("{key:?}: {other:?}"),
        }
    }
}
