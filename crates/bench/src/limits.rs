//! What the machine itself can do, beside which the figures of a server stand.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_millis(1000);

/// Measures and prints.
pub(crate) fn print(dir: &Path, json: bool) -> io::Result<()> {
    let (trips, bytes) = loopback()?;
    let limits = [
        (
            "append_4k_and_fdatasync",
            "a second, one writer",
            syncs(dir)?,
        ),
        ("loopback_round_trips", "a second, one connection", trips),
        ("loopback_bulk", "MB/s", bytes / 1e6),
        ("memcpy", "MB/s", memcpy() / 1e6),
    ];
    for (name, unit, value) in limits {
        if json {
            println!("{{\"limit\":\"{name}\",\"unit\":\"{unit}\",\"value\":{value:.0}}}");
        } else {
            println!("{name:<26} {value:>12.0} {unit}");
        }
    }
    Ok(())
}

/// How often a second 4 KiB can be written to the end of a file and synced. As a log does, the
/// space is there before.
fn syncs(dir: &Path) -> io::Result<f64> {
    let path = dir.join(format!("restante-bench-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    let measured = (|| {
        file.write_all(&vec![0; 64 << 20])?;
        file.sync_all()?;
        io::Seek::rewind(&mut file)?;
        rate(|| {
            file.write_all(&[7; 4096])?;
            file.sync_data()
        })
    })();
    std::fs::remove_file(&path)?;
    measured
}

/// How often a second, for so long.
fn rate(mut work: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < TIME {
        work()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

/// Round trips of 64 octets a second, and octets a second.
fn loopback() -> io::Result<(f64, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        // The first octet says whether it is echoed.
        while let Ok(read @ 1..) = far.read(&mut buffer) {
            if buffer[0] == 1 && far.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    });
    let mut buffer = [1; 64];
    let trips = rate(|| {
        near.write_all(&buffer)?;
        near.read_exact(&mut buffer)
    })?;
    let block = vec![0; 256 << 10];
    let blocks = rate(|| near.write_all(&block))?;
    drop(near);
    let _ = echo.join();
    Ok((trips, blocks * block.len() as f64))
}

/// Octets a second, of blocks that no cache holds.
fn memcpy() -> f64 {
    let (from, mut to) = (vec![1u8; 64 << 20], vec![0u8; 64 << 20]);
    let copies = rate(|| {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        Ok(())
    });
    copies.unwrap_or(0.0) * from.len() as f64
}
