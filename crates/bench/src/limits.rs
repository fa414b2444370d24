//! What the machine itself can do, beside which the figures of a server stand.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::tls;

const TIME: Duration = Duration::from_millis(1000);

/// How many connections, and how many writers, where one alone waits most of the time.
const MANY: usize = 16;

/// Measures and prints.
pub(crate) fn print(dir: &Path, json: bool) -> io::Result<()> {
    let (trips, bytes) = loopback()?;
    let limits = [
        (
            "append_4k_and_fdatasync",
            "a second, one writer",
            syncs(dir, 1)?,
        ),
        (
            "append_4k_and_fdatasync_16",
            "a second, 16 writers, a file each",
            syncs(dir, MANY)?,
        ),
        ("loopback_round_trips", "a second, one connection", trips),
        (
            "loopback_round_trips_16",
            "a second, 16 connections, one thread on each side",
            many_trips()?,
        ),
        ("loopback_bulk", "MB/s", bytes / 1e6),
        ("loopback_bulk_tls", "MB/s, rustls", tls_bulk()? / 1e6),
        ("memcpy", "MB/s", memcpy() / 1e6),
        (
            "rustls_handshakes",
            "a second of processor time of the server's end (TLS 1.3, ECDSA P-256, in memory)",
            tls::handshakes(TIME)?,
        ),
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

/// As [`sync_one`], of so many writers together, each with a file of its own.
fn syncs(dir: &Path, writers: usize) -> io::Result<f64> {
    let octets = (64 << 20) / writers;
    let barrier = Barrier::new(writers);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|n| {
                let barrier = &barrier;
                scope.spawn(move || sync_one(dir, n, octets, barrier))
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| {
                writer
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a writer panicked")))
            })
            .sum()
    })
}

/// How often a second 4 KiB can be written to the end of a file and synced. As a log does, the
/// space is there before.
fn sync_one(dir: &Path, number: usize, octets: usize, barrier: &Barrier) -> io::Result<f64> {
    let path = dir.join(format!("restante-bench-{}-{number}", std::process::id()));
    let file = File::create_new(&path).and_then(|mut file| {
        file.write_all(&vec![0; octets])?;
        file.sync_all()?;
        io::Seek::rewind(&mut file)?;
        Ok(file)
    });
    // Also after an error: the others wait for it.
    barrier.wait();
    let measured = file.and_then(|mut file| {
        rate(|| {
            file.write_all(&[7; 4096])?;
            file.sync_data()
        })
    });
    let _ = std::fs::remove_file(&path);
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
    let (mut near, mut far) = pair()?;
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

/// Two ends of a connection.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// Round trips of 64 octets a second on many connections.
fn many_trips() -> io::Result<f64> {
    let pairs: io::Result<Vec<_>> = (0..MANY).map(|_| pair()).collect();
    let (near, far): (Vec<_>, Vec<_>) = pairs?.into_iter().unzip();
    let echo = std::thread::spawn(move || while let Ok(1..) = bounce(&far) {});
    for mut stream in &near {
        stream.write_all(&[1; 64])?;
    }
    let begin = Instant::now();
    let mut trips = 0;
    while begin.elapsed() < TIME {
        trips += bounce(&near)?;
    }
    let rate = trips as f64 / begin.elapsed().as_secs_f64();
    drop(near);
    let _ = echo.join();
    Ok(rate)
}

/// Sends back what came on any of the connections, and says on how many; 0 if one was closed.
fn bounce(streams: &[TcpStream]) -> io::Result<usize> {
    let mut waiting: Vec<_> = streams
        .iter()
        .map(|stream| PollFd::new(stream, PollFlags::IN))
        .collect();
    poll(&mut waiting, None)?;
    let mut bounced = 0;
    for (mut stream, fd) in streams.iter().zip(&waiting) {
        if fd.revents().is_empty() {
            continue;
        }
        let mut buffer = [0; 64];
        if stream.read(&mut buffer)? == 0 {
            return Ok(0);
        }
        stream.write_all(&buffer)?;
        bounced += 1;
    }
    Ok(bounced)
}

/// Octets a second that one side sends and the other gets by TLS.
fn tls_bulk() -> io::Result<f64> {
    let (near, far) = pair()?;
    let server = ServerConnection::new(tls::server_config()?).map_err(io::Error::other)?;
    let client = ClientConnection::new(Arc::clone(tls::config()?), tls::any_name()?);
    let mut near = StreamOwned::new(client.map_err(io::Error::other)?, near);
    let mut far = StreamOwned::new(server, far);
    let sink = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(1..) = far.read(&mut buffer) {}
    });
    let block = vec![0; 256 << 10];
    // The handshake does not count.
    near.write_all(&block)?;
    let blocks = rate(|| near.write_all(&block))?;
    drop(near);
    let _ = sink.join();
    Ok(blocks * block.len() as f64)
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
