//! How long FETCH and STORE take in a large mailbox, in process and without a disk: the session's own
//! share. `cargo run --release -p restante-testkit --example fetch_speed [messages]`

use std::time::Instant;

use restante_testkit::world::{World, WorldOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

struct Client(DuplexStream, Vec<u8>);

impl Client {
    /// Sends a command and reads up to its tagged answer; gives the bytes of the answer.
    async fn command(&mut self, text: &str) -> usize {
        let line = format!("x {text}\r\n");
        self.0.write_all(line.as_bytes()).await.expect("sent");
        let mut bytes = 0;
        self.1.clear();
        loop {
            let kept = self.1.len().min(2000);
            self.1.drain(..self.1.len() - kept);
            bytes += self.0.read_buf(&mut self.1).await.expect("an answer");
            // The tagged answer is short and comes last.
            let tail = &self.1[self.1.len().saturating_sub(2000)..];
            let tagged = tail.windows(3).any(|at| at == b"\nx ") || self.1.starts_with(b"x ");
            if tagged && tail.ends_with(b"\r\n") {
                return bytes;
            }
        }
    }

    async fn measure(&mut self, text: &str) {
        let mut best = f64::MAX;
        let mut bytes = 0;
        for _ in 0..15 {
            let start = Instant::now();
            bytes = self.command(text).await;
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{:9.2} ms {:10} bytes  {text}", best * 1e3, bytes);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let messages = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", messages).await.expect("messages");
    let mut client = Client(world.connect(true), Vec::with_capacity(1 << 20));
    client.command("LOGIN alice secret").await;
    client.command("SELECT INBOX").await;
    let part = messages.min(10_000);
    for text in [
        "FETCH 1:* (FLAGS)".to_owned(),
        "UID FETCH 1:* (FLAGS)".to_owned(),
        "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)".to_owned(),
        format!("FETCH 1:{part} (ENVELOPE BODYSTRUCTURE)"),
        format!("FETCH 1:{part} BODY.PEEK[HEADER.FIELDS (From Subject Date)]"),
        format!("FETCH 1:{part} BODY.PEEK[HEADER]"),
        format!("FETCH 1:{part} BODY.PEEK[]"),
        "STORE 1:* +FLAGS.SILENT (\\Flagged)".to_owned(),
        "STORE 1:* +FLAGS (\\Flagged)".to_owned(),
    ] {
        client.measure(&text).await;
    }
}
