//! Prints how many durable batches a second the embedded engine commits, beside the rate of bare
//! `fdatasync`: `cargo run --release -p restante-store --example store_bench [DIR]`.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use restante_store::{Batch, EmbeddedOptions, Put, Store};

const TIME: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir: PathBuf = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(dir)?;
    println!(
        "bare fdatasync of 4 KiB appends: {:.0}/s",
        bare(dir.path())?
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for (writers, blob_bytes) in [
        (1, 0),
        (1, 10 << 10),
        (32, 0),
        (32, 10 << 10),
        (128, 10 << 10),
    ] {
        runtime.block_on(run(
            &dir.path().join(format!("{writers}-{blob_bytes}")),
            writers,
            blob_bytes,
        ))?;
    }
    Ok(())
}

/// Appends and syncs for a second, into space that is allocated before.
fn bare(dir: &Path) -> std::io::Result<f64> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(dir.join("bare"))?;
    let mut count = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[1; 4096], count * 4096)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn run(
    dir: &Path,
    writers: u32,
    blob_bytes: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let opened = Instant::now();
    let store = Store::open(dir, EmbeddedOptions::default()).await?;
    let opened = opened.elapsed();
    let (start, cpu) = (Instant::now(), cpu_ticks());
    let tasks: Vec<_> = (0..writers)
        .map(|account| tokio::spawn(write(store.clone(), account, blob_bytes)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await?);
    }
    let seconds = start.elapsed().as_secs_f64();
    // A tick is 10 ms: what the kernel shows to programs.
    let cpu_us = (cpu_ticks() - cpu) as f64 * 10_000.0 / latencies.len() as f64;
    latencies.sort_unstable();
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize];
    let stats = store.stats();
    println!(
        "{writers:3} writers, blobs of {blob_bytes:5}: {:6.0} batches/s, {:5.0} groups/s, p50 {:?}, p99 {:?}, \
         CPU {cpu_us:.0} µs/batch, throttled {}, RSS {} MB, opened in {opened:?}",
        latencies.len() as f64 / seconds,
        stats.groups as f64 / seconds,
        at(0.5),
        at(0.99),
        stats.throttled,
        rss_mb(),
    );
    store.close().await;
    Ok(())
}

/// What one delivery commits: a conditional tail, a log record, the email row, two small rows.
async fn write(store: Store, account: u32, blob_bytes: usize) -> Vec<Duration> {
    let key =
        |table: u8, id: u64| [&account.to_be_bytes()[..], &[table], &id.to_be_bytes()].concat();
    let message = vec![b'm'; blob_bytes];
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut id = 0u64;
    while start.elapsed() < TIME {
        let began = Instant::now();
        let mut batch = Batch::new(account);
        if id > 0 {
            batch
                .require_equal
                .push((key(0, 0), id.to_be_bytes().repeat(12).into()));
        }
        id += 1;
        batch.require_absent.push(key(2, id));
        batch.put(key(0, 0), id.to_be_bytes().repeat(12));
        batch
            .put(key(1, id), vec![1; 200])
            .put(key(3, id), vec![3; 60])
            .put(key(4, id), vec![4; 400]);
        if blob_bytes > 0 {
            let mut writer = store.stage(key(2, id));
            let staged = match writer.write(&message).await {
                Ok(()) => writer.finish().await,
                Err(error) => Err(error),
            };
            let blob = batch.attach(staged.expect("staged"));
            batch
                .put
                .push(Put::with_blob(key(2, id), vec![2; 2048], blob, 8));
        } else {
            batch.put(key(2, id), vec![2; 2048]);
        }
        store.commit(batch).await.expect("committed");
        latencies.push(began.elapsed());
    }
    latencies
}

fn rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

/// User and system time of this process.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum()
}
