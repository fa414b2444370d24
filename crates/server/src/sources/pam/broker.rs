//! The processes that start a worker for each check: they have what the server was started with.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use restante_auth::Secret;

use super::worker::outcome_of;
use super::{MESSAGE_BYTES_MAX, Outcome, Reply, Request, packet};
use crate::system;

/// Workers at the same time, whatever the server asks for.
const WORKERS_MAX: usize = 256;
/// How often it is looked whether a worker has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Between two brokers, so that one that cannot live does not take a processor.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts a broker, and another when one ends badly (the system takes the memory of the largest; somebody kills
/// it). All have the server's socket as standard input.
///
/// # Errors
/// A broker cannot be started.
pub fn keep() -> Result<(), String> {
    system::keep_to_itself();
    loop {
        let broker = Command::new("/proc/self/exe").arg("pam-broker").status();
        match broker {
            // The server has ended.
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => eprintln!("the helper for PAM has ended ({status}): another is started"),
            Err(error) => return Err(format!("the helper for PAM: {error}")),
        }
        thread::sleep(PAUSE);
    }
}

/// Serves the requests that come in on standard input, which is a socket, until it is closed.
///
/// # Errors
/// Standard input is no socket.
pub fn run() -> Result<(), String> {
    system::keep_to_itself();
    serve().map_err(|error| format!("the helper for PAM: {error}"))
}

fn serve() -> io::Result<()> {
    let socket = Arc::new(UnixDatagram::from(
        io::stdin().as_fd().try_clone_to_owned()?,
    ));
    // The server's end does not wait; this one does.
    socket.set_nonblocking(false)?;
    let running = Arc::new(AtomicUsize::new(0));
    let mut message = Secret::new(vec![0; MESSAGE_BYTES_MAX]);
    loop {
        let length = socket.recv(message.expose_mut())?;
        // The server has closed its end.
        if length == 0 {
            return Ok(());
        }
        let Ok(request) = serde_json::from_slice::<Request>(&message.expose()[..length]) else {
            eprintln!("the helper for PAM was sent what is no request");
            continue;
        };
        let (replies, running) = (Arc::clone(&socket), Arc::clone(&running));
        if running.fetch_add(1, Ordering::Relaxed) >= WORKERS_MAX {
            running.fetch_sub(1, Ordering::Relaxed);
            reply(
                &replies,
                request.id,
                Outcome::Failed("too many checks".to_owned()),
            )?;
            continue;
        }
        thread::Builder::new().spawn(move || {
            let outcome = check(&request);
            running.fetch_sub(1, Ordering::Relaxed);
            // Without the server there is nobody to tell.
            let _ = reply(&replies, request.id, outcome);
        })?;
    }
}

fn reply(replies: &UnixDatagram, id: u64, outcome: Outcome) -> io::Result<()> {
    replies.send(&packet(&Reply { id, outcome })?).map(drop)
}

fn check(request: &Request) -> Outcome {
    let failed = |error: io::Error| Outcome::Failed(format!("a worker cannot be used: {error}"));
    let worker = Command::new("/proc/self/exe")
        .arg("pam-check")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut worker = match worker {
        Ok(worker) => worker,
        Err(error) => return failed(error),
    };
    let outcome = ask(&mut worker, request);
    // If it has not ended by itself.
    let _ = worker.kill();
    let _ = worker.wait();
    outcome.unwrap_or_else(failed)
}

fn ask(worker: &mut Child, request: &Request) -> io::Result<Outcome> {
    let end = Instant::now() + Duration::from_millis(request.timeout_ms);
    if let Some(mut stdin) = worker.stdin.take() {
        // Less than a pipe holds: it does not wait for the worker to read.
        let message = Secret::new(packet(request)?);
        stdin.write_all(message.expose())?;
    }
    loop {
        if let Some(status) = worker.try_wait()? {
            return Ok(outcome_of(status.code()));
        }
        if Instant::now() >= end {
            let reason = format!("PAM has not answered within {} ms", request.timeout_ms);
            return Ok(Outcome::Failed(reason));
        }
        thread::sleep(LOOK);
    }
}
