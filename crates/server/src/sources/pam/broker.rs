//! The process that starts a worker for each check. It has what the server was started with.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use restante_auth::Secret;

use super::worker::outcome_of;
use super::{MESSAGE_BYTES_MAX, Outcome, Reply, Request, frame};
use crate::system;

/// Workers at the same time, whatever the server asks for.
const WORKERS_MAX: usize = 256;
/// How often it is looked whether a worker has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Serves the requests that come in on standard input, which is a socket, until it is closed.
///
/// # Errors
/// Standard input is no socket, or what comes in is no request.
pub fn run() -> Result<(), String> {
    system::keep_to_itself();
    serve().map_err(|error| format!("the helper for PAM: {error}"))
}

fn serve() -> io::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let replies = Arc::new(Mutex::new(stream.try_clone()?));
    let running = Arc::new(AtomicUsize::new(0));
    let mut requests = &stream;
    loop {
        let mut length = [0; 4];
        match requests.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; length];
        requests.read_exact(&mut message)?;
        let message = Secret::new(message);
        let request: Request = serde_json::from_slice(message.expose())?;
        let (replies, running) = (Arc::clone(&replies), Arc::clone(&running));
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
    let _ = stream.shutdown(Shutdown::Both);
    Ok(())
}

fn reply(replies: &Mutex<UnixStream>, id: u64, outcome: Outcome) -> io::Result<()> {
    let message = frame(&Reply { id, outcome })?;
    let mut stream = replies.lock().unwrap_or_else(PoisonError::into_inner);
    stream.write_all(&message)
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
        let message = Secret::new(frame(request)?);
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
