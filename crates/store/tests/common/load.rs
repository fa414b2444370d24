//! A process that writes to a store and says what was acknowledged, for tests that end it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use restante_store::{Batch, EmbeddedOptions, Put, Store};

use super::{REFERENCE_AT, pattern, read_blob};

const DIR_VARIABLE: &str = "RESTANTE_STORE_CRASH_DIR";
const WRITERS: u32 = 8;

fn key(writer: u32, table: u8, id: u64) -> Vec<u8> {
    [&writer.to_be_bytes()[..], &[table], &id.to_be_bytes()].concat()
}

/// What the test named `child` of a test binary does: nothing, unless it was started by [`Load`].
/// Writes a line for each acknowledged batch, until it is killed.
pub(crate) fn child() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE).map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = EmbeddedOptions::default();
        options.segment_bytes = 4 << 20;
        options.floor_bytes = 1 << 20;
        let store = Store::open(&dir, options).await.unwrap();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(store.clone(), writer)))
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write(store: Store, writer: u32) {
    let tail = store.get(&key(writer, 0, 0)).await.unwrap();
    let mut id = tail.map_or(0, |tail| u64::from_be_bytes(tail[..].try_into().unwrap()));
    loop {
        let mut batch = Batch::new(writer);
        if id > 0 {
            let tail = id.to_be_bytes().to_vec();
            batch.require_equal.push((key(writer, 0, 0), tail.into()));
        }
        id += 1;
        // Every hundredth goes to a file of its own.
        let length = if id % 100 == 0 {
            1_100_000
        } else {
            2000 + (id as usize % 7) * 1000
        };
        let mut blob = store.stage(key(writer, 2, id));
        blob.write(&pattern(length)).await.unwrap();
        let index = batch.attach(blob.finish().await.unwrap());
        batch.put.push(Put::with_blob(
            key(writer, 2, id),
            vec![7; 30],
            index,
            REFERENCE_AT,
        ));
        batch.put(key(writer, 0, 0), id.to_be_bytes().to_vec());
        batch.put(key(writer, 1, id), length.to_be_bytes().to_vec());
        store.commit(batch).await.unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\nacknowledged {writer} {id}\n").as_bytes())
            .unwrap();
        out.flush().unwrap();
    }
}

/// The process, running.
pub(crate) struct Load {
    child: Child,
    reader: JoinHandle<BTreeMap<u32, u64>>,
    first: Receiver<()>,
}

impl Load {
    pub(crate) fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(DIR_VARIABLE, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (something, first) = sync_channel(1);
        let reader = std::thread::spawn(move || {
            let mut acknowledged = BTreeMap::new();
            for line in lines.map_while(Result::ok) {
                let words: Vec<&str> = line.split(' ').collect();
                let ["acknowledged", writer, id] = words[..] else {
                    continue;
                };
                let (Ok(writer), Ok(id)) = (writer.parse(), id.parse::<u64>()) else {
                    continue;
                };
                let last = acknowledged.entry(writer).or_insert(0);
                *last = id.max(*last);
                let _ = something.try_send(());
            }
            acknowledged
        });
        Self {
            child,
            reader,
            first,
        }
    }

    /// Lets it run this long, and until something was acknowledged.
    pub(crate) fn run_for(&self, time: Duration) {
        let start = Instant::now();
        let first = self.first.recv_timeout(Duration::from_secs(60));
        first.expect("nothing was acknowledged");
        std::thread::sleep(time.saturating_sub(start.elapsed()));
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Kills it; returns the last acknowledged batch of each writer.
    pub(crate) fn kill(mut self) -> BTreeMap<u32, u64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap()
    }
}

/// Checks that what was acknowledged is there, and that every batch is whole.
pub(crate) async fn check(store: &Store, least: &BTreeMap<u32, u64>) {
    for (writer, acknowledged) in least {
        let tail = store.get(&key(*writer, 0, 0)).await.unwrap().unwrap();
        let last = u64::from_be_bytes(tail[..].try_into().unwrap());
        assert!(
            last >= *acknowledged,
            "writer {writer} lost a batch: {last} of {acknowledged}"
        );
        for id in 1..=last {
            let length = store.get(&key(*writer, 1, id)).await.unwrap().unwrap();
            let length = usize::from_be_bytes(length[..].try_into().unwrap());
            // The newest of every writer, and a sample of the others.
            if id + 20 > last || id % 50 == 0 {
                let blob = read_blob(store, &key(*writer, 2, id)).await.unwrap();
                assert!(
                    blob[..] == pattern(length)[..],
                    "writer {writer}, blob {id}"
                );
            }
        }
        assert_eq!(store.get(&key(*writer, 1, last + 1)).await.unwrap(), None);
        assert_eq!(store.get(&key(*writer, 2, last + 1)).await.unwrap(), None);
    }
}
