//! What an idle session costs: memory of the process for each of many sessions that are logged in,
//! have INBOX open and wait in IDLE, without sockets (`--plain`: between commands; `--compress`: with
//! COMPRESS, after 100 KiB of compressed FETCH and a window full of input; `--mailboxes`: in an account of 2,000
//! mailboxes; `--notify`: in such an account, with NOTIFY of all of them).
//!
//! `cargo run --release -p restante-testkit --example idle_memory -- 10000`

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};
use restante_session::{Io, Peer, serve};
use restante_testkit::world::{World, WorldOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client that sends its commands and then says nothing more; what it is sent is thrown away.
struct Silent {
    input: &'static [u8],
    /// Sent after `input`.
    compressed: &'static [u8],
    written: tokio::sync::mpsc::UnboundedSender<usize>,
}

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.input.is_empty() {
            if this.compressed.is_empty() {
                return Poll::Pending;
            }
            let end = this.compressed.len().min(buffer.remaining());
            buffer.put_slice(&this.compressed[..end]);
            this.compressed = &this.compressed[end..];
            return Poll::Ready(Ok(()));
        }
        // Small bites, as a client that waits for its answers.
        let end = this
            .input
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        buffer.put_slice(&this.input[..end]);
        this.input = &this.input[end..];
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The receiver counts; after the end of the example nobody does.
        let exists = bytes
            .windows(8)
            .filter(|window| *window == b" EXISTS\r")
            .count();
        let _ = self.written.send(exists);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Io for Silent {
    fn is_secure(&self) -> bool {
        true
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// More than a window of commands, then IDLE.
fn compressed_commands() -> Vec<u8> {
    let mut commands = b"c SELECT INBOX\r\n".to_vec();
    for n in 0..400 {
        commands.extend_from_slice(format!("d{n} NOOP {}\r\n", "x".repeat(100)).as_bytes());
    }
    for n in 0..10 {
        let fetch = format!("e{n} FETCH 1:* (UID FLAGS ENVELOPE)\r\n");
        commands.extend_from_slice(fetch.as_bytes());
    }
    commands.extend_from_slice(b"f IDLE\r\n");
    let mut packed = Vec::with_capacity(commands.len());
    Compress::new(Compression::default(), false)
        .compress_vec(&commands, &mut packed, FlushCompress::Sync)
        .expect("it packs");
    packed
}

fn main() {
    let count: usize = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(10_000);
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let (plain, notify) = (asked("--plain"), asked("--notify"));
    let input: &[u8] = match (plain, notify) {
        (true, _) => b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc NOOP\r\n",
        (_, true) => {
            b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc NOTIFY SET (SELECTED (MessageNew MessageExpunge \
              FlagChange)) (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\r\n\
              d IDLE\r\n"
        }
        _ => b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc IDLE\r\n",
    };
    let compress = asked("--compress");
    let (input, compressed): (&[u8], &[u8]) = match compress {
        true => (
            b"a LOGIN alice secret\r\nb COMPRESS DEFLATE\r\n",
            compressed_commands().leak(),
        ),
        false => (input, b""),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = World::new(WorldOptions::default()).await;
        world.mailbox("INBOX", 100).await.expect("messages");
        if notify || asked("--mailboxes") {
            for number in 0..2000 {
                let name = format!("m{number}");
                world.mailbox(&name, 0).await.expect("a mailbox");
            }
        }
        let (written, mut told) = tokio::sync::mpsc::unbounded_channel();
        let start = async |count: usize| {
            for _ in 0..count {
                let io = Box::new(Silent {
                    input,
                    compressed,
                    written: written.clone(),
                });
                tokio::spawn(serve(io, world.env().clone(), Peer::default()));
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        start(500).await;
        while told.try_recv().is_ok() {}
        let before = resident_bytes();
        start(count).await;
        while told.try_recv().is_ok() {}
        let after = resident_bytes();
        let each = after.saturating_sub(before) / count as u64;
        println!("{count} idle sessions: {each} bytes each");

        let clock = Instant::now();
        let message = b"Subject: x\r\n\r\ny\r\n";
        world.message("INBOX", &[], None, message).await.expect("it is delivered");
        let delivered = clock.elapsed();
        let mut announced = 0;
        let mut first = None;
        while announced < count + 500 {
            let Ok(Some(exists)) =
                tokio::time::timeout(Duration::from_secs(2), told.recv()).await
            else {
                break;
            };
            if exists > 0 {
                first.get_or_insert_with(|| clock.elapsed());
            }
            announced += exists;
        }
        if let Some(first) = first {
            println!(
                "a delivery ({delivered:?}) was told to the first after {:?}, to all {announced} after {:?}",
                first.saturating_sub(delivered),
                clock.elapsed().saturating_sub(delivered)
            );
        }
    });
}
