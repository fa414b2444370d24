//! The embedded engine on a disk that works: what was acknowledged is there after a restart.

mod common;

use std::ops::Bound;

use common::{open, options, pattern, put_blob, stage};
use restante_store::{
    Batch, BlobRef, CommitError, Direction, OpenError, Store, StoreError, prefix_range,
};

#[tokio::test]
async fn rows_and_blobs_survive_a_restart() {
    for close in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let lengths = [0, 1, 65_535, 65_536, 65_537, 300_000, 1 << 20, 3_000_001];
        let store = open(dir.path()).await;
        for (i, length) in lengths.iter().enumerate() {
            put_blob(&store, &[b'b', i as u8], &pattern(*length)).await;
        }
        let mut batch = Batch::new(2);
        batch
            .put(b"gone".to_vec(), &b"x"[..])
            .put(b"kept".to_vec(), &b"y"[..]);
        store.commit(batch).await.unwrap();
        let mut batch = Batch::new(2);
        batch.delete.push(b"gone".to_vec());
        let last = store.commit(batch).await.unwrap();
        assert_eq!(last.0, lengths.len() as u64 + 2);
        if close {
            store.close().await;
            assert!(matches!(store.get(b"kept").await, Err(StoreError::Closed)));
            assert!(matches!(
                store.commit(Batch::new(1)).await,
                Err(CommitError::Closed)
            ));
        }
        drop(store);

        for _ in 0..2 {
            let store = open(dir.path()).await;
            assert_eq!(store.stats().last_commit, last.0);
            assert_eq!(store.get(b"gone").await.unwrap(), None);
            assert_eq!(
                store.get(b"kept").await.unwrap().as_deref(),
                Some(&b"y"[..])
            );
            for (i, length) in lengths.iter().enumerate() {
                check_blob(&store, &[b'b', i as u8], *length).await;
            }
        }
    }
}

async fn check_blob(store: &Store, key: &[u8], length: usize) {
    let row = store.get(key).await.unwrap().unwrap();
    assert_eq!((&row[..3], &row[27..]), (&[7; 3][..], &[7; 3][..]));
    let blob = BlobRef::from_bytes(&row[3..]).unwrap();
    assert_eq!(blob.len(), length as u64);
    let want = pattern(length);
    for range in [0..length, 0..length / 2, length / 3..length, length..length] {
        let asked = range.start as u64..range.end as u64;
        let got = store.read_blob(key, &blob, asked).await.unwrap();
        assert!(got[..] == want[range.clone()], "blob {length} {range:?}");
    }
    let beyond = store.read_blob(key, &blob, 0..length as u64 + 1).await;
    assert!(matches!(beyond, Err(StoreError::Range)));
    let other = store.read_blob(b"kept", &blob, 0..0).await;
    assert!(matches!(other, Err(StoreError::NoSuchBlob)), "{other:?}");
}

#[tokio::test]
async fn scans_do_not_show_the_engines_own_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.floor_bytes = 1;
    let store = Store::open(dir.path(), options).await.unwrap();
    for key in [&b"a"[..], b"b", b"\xff\xff\xff\xfe"] {
        let mut batch = Batch::new(0);
        batch.put(key, key.to_vec());
        store.commit(batch).await.unwrap();
    }
    let all = (Bound::Unbounded, Bound::Unbounded);
    let rows = store
        .scan(all.clone(), Direction::Descending, 10)
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].0[..], b"\xff\xff\xff\xfe"[..]);
    assert_eq!(
        store.scan(all, Direction::Ascending, 2).await.unwrap()[1].0[..],
        b"b"[..]
    );
    assert_eq!(
        store
            .scan(prefix_range(b"a"), Direction::Ascending, 9)
            .await
            .unwrap()
            .len(),
        1
    );
    let inverted = (
        Bound::Included(b"b".to_vec()),
        Bound::Excluded(b"a".to_vec()),
    );
    assert!(
        store
            .scan(inverted, Direction::Ascending, 9)
            .await
            .unwrap()
            .is_empty()
    );

    let mut batch = Batch::new(0);
    batch.put(b"\xff\xff\xff\xffm".to_vec(), vec![]);
    assert!(matches!(
        store.commit(batch).await,
        Err(CommitError::Invalid { .. })
    ));
}

#[tokio::test]
async fn conditions_see_what_was_submitted_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let outcomes: Vec<_> = (0..10u8)
        .map(|i| {
            let mut batch = Batch::new(1);
            if i == 0 {
                batch.require_absent.push(b"tail".to_vec());
            } else {
                batch
                    .require_equal
                    .push((b"tail".to_vec(), vec![i - 1].into()));
            }
            batch.put(b"tail".to_vec(), vec![i]);
            store.submit(batch)
        })
        .collect();
    for outcome in outcomes {
        outcome.await.unwrap();
    }
    let mut late = Batch::new(1);
    late.require_equal.push((b"tail".to_vec(), vec![3].into()));
    match store.commit(late).await {
        Err(CommitError::Conflict { key, current }) => {
            assert_eq!(
                (&key[..], current.as_deref()),
                (&b"tail"[..], Some(&[9][..]))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_process_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert!(matches!(
        Store::open(dir.path(), options()).await,
        Err(OpenError::InUse { .. })
    ));
    store.close().await;
    open(dir.path()).await;
}

#[tokio::test]
async fn an_aborted_large_blob_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let count = || std::fs::read_dir(dir.path().join("blobs")).unwrap().count();
    let mut writer = store.stage(b"owner".to_vec());
    writer.write(&pattern(2 << 20)).await.unwrap();
    assert_eq!(count(), 1);
    drop(writer);
    assert_eq!(count(), 0);

    let staged = stage(&store, b"owner", &pattern(2 << 20)).await;
    assert!(staged.bytes().is_none());
    assert_eq!(
        staged.read(65_000..65_010).await.unwrap()[..],
        pattern(2 << 20)[65_000..65_010]
    );
    drop(staged);
    assert_eq!(count(), 0);

    put_blob(&store, b"owner", &pattern(2 << 20)).await;
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn the_index_directory_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for i in 0..200u8 {
        let mut batch = Batch::new(1);
        batch.put(vec![b'k', i], vec![i; 5000]);
        store.commit(batch).await.unwrap();
    }
    put_blob(&store, b"blob", b"hello").await;
    store.close().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = open(dir.path()).await;
    for i in 0..200u8 {
        assert_eq!(store.get(&[b'k', i]).await.unwrap().unwrap()[..], [i; 5000]);
    }
    assert!(store.get(b"blob").await.unwrap().is_some());
}
