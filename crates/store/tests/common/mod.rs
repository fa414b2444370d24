//! What the tests of the embedded engine share.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub(crate) mod load;

use std::{ops::Bound, path::Path, time::Duration};

use bytes::Bytes;
use restante_store::{Batch, BlobRef, Direction, EmbeddedOptions, Put, Staged, Store, StoreError};

pub(crate) fn options() -> EmbeddedOptions {
    let mut options = EmbeddedOptions::default();
    options.segment_bytes = 1 << 20;
    options.reserve_bytes = 0;
    options.grace = Duration::ZERO;
    options.cache_bytes = 4 << 20;
    options
}

pub(crate) async fn open(dir: &Path) -> Store {
    Store::open(dir, options()).await.unwrap()
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

pub(crate) async fn stage(store: &Store, owner: &[u8], bytes: &[u8]) -> Staged {
    let mut writer = store.stage(owner);
    for part in bytes.chunks(100_000) {
        writer.write(part).await.unwrap();
    }
    writer.finish().await.unwrap()
}

/// Where in the rows of [`put_blob`] the reference is.
pub(crate) const REFERENCE_AT: usize = 3;

/// A batch with a row that owns a blob.
pub(crate) async fn blob_batch(store: &Store, key: &[u8], bytes: &[u8]) -> Batch {
    let staged = stage(store, key, bytes).await;
    let mut batch = Batch::new(u32::from_be_bytes([0, 0, 0, key[0]]));
    let blob = batch.attach(staged);
    batch
        .put
        .push(Put::with_blob(key, vec![7; 30], blob, REFERENCE_AT));
    batch
}

pub(crate) async fn put_blob(store: &Store, key: &[u8], bytes: &[u8]) {
    store
        .commit(blob_batch(store, key, bytes).await)
        .await
        .unwrap();
}

pub(crate) async fn put(store: &Store, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new(0);
    batch.put(key, value.to_vec());
    store.commit(batch).await.unwrap();
}

pub(crate) async fn reference(store: &Store, key: &[u8]) -> BlobRef {
    let row = store.get(key).await.unwrap().unwrap();
    BlobRef::from_bytes(&row[REFERENCE_AT..]).unwrap()
}

pub(crate) async fn read_blob(store: &Store, key: &[u8]) -> Result<Bytes, StoreError> {
    let blob = reference(store, key).await;
    store.read_blob(key, &blob, 0..blob.len()).await
}

/// Every row, without the bytes that blob references take up.
pub(crate) async fn rows(store: &Store) -> Vec<(Bytes, Bytes)> {
    let all = (Bound::Unbounded, Bound::Unbounded);
    store
        .scan(all, Direction::Ascending, usize::MAX)
        .await
        .unwrap()
}

/// Copies a directory with everything in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A directory's files, sorted by name.
pub(crate) fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
