//! How long SEARCH, SORT and THREAD take, through a whole session, without sockets.
//!
//! `cargo run --release -p restante-testkit --example search_speed -- 100000 [DIRECTORY]`: so many
//! messages, in memory or in a store on disk that is made in an empty directory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use restante_auth::sasl::Credentials;
use restante_mailbox::{
    AccountId, Append, DateTime, FlagNames, Flags, Mail, MailOptions, MailboxName,
};
use restante_session::{Authenticator, Env, Identity, Peer, PlainIo, Verdict, serve};
use restante_store::{EmbeddedOptions, MemoryOptions, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Lets everybody in.
struct Anybody(AccountId);

impl Authenticator for Anybody {
    fn check<'a>(&'a self, _: &'a Credentials, _: &'a Peer) -> Verdict<'a> {
        let identity = Identity {
            name: "alice".to_owned(),
            account: self.0,
        };
        Box::pin(async move { Ok(identity) })
    }
}

fn message(number: u32) -> String {
    let from = number % 997;
    let parent = number / 3;
    let references = match number % 4 {
        0 => String::new(),
        _ => format!(
            "References: <{}@example.org> <{parent}@example.org>\r\n",
            parent / 3
        ),
    };
    let mark = if number.is_multiple_of(4) { "" } else { "Re: " };
    format!(
        "Return-Path: <bounce@example.net>\r\n\
         Received: from mail.example.net (mail.example.net [192.0.2.1]) by mx.example.org\r\n\
         \twith ESMTPS id 4f2Kz{number}; Wed, 1 Jul 2026 12:00:00 +0000\r\n\
         From: Sender Number {from} <sender{from}@example.net>\r\n\
         To: Alice Example <alice@example.org>, Bob <bob{from}@example.org>\r\n\
         Subject: {mark}About the subject number {parent}\r\n\
         Date: Wed, {day} Jul 2026 12:{minute:02}:00 +0000\r\n\
         Message-ID: <{number}@example.org>\r\n{references}\
         X-Mailer: Example 1.{number}\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\
         The number is {number}.\r\n",
        "All the words of a message that somebody could have written to somebody else.\r\n"
            .repeat(20),
        day = number % 31 + 1,
        minute = number % 60,
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(100_000);
    let store = match arguments.next() {
        Some(path) => Store::open(Path::new(&path), EmbeddedOptions::default())
            .await
            .expect("a store"),
        None => Store::memory(MemoryOptions::default()),
    };
    let mail = Mail::open(store, MailOptions::default())
        .await
        .expect("opens");
    let user = mail.user_add("alice", None).await.expect("a user");
    let account = mail.account(user.account).await.expect("an account");
    let start = Instant::now();
    let inbox = MailboxName::new("INBOX").expect("a name");
    let mailbox = account.mailbox(&inbox).await.expect("INBOX");
    let mut number = 0;
    while number < count {
        let mut batch = Vec::new();
        while batch.len() < 500 && number < count {
            number += 1;
            let email = account
                .new_email_from(message(number).as_bytes())
                .await
                .expect("staged");
            let mut flags = FlagNames::default();
            if !number.is_multiple_of(10) {
                flags.system = Flags::SEEN;
            }
            if number.is_multiple_of(2) {
                flags.system = flags.system | Flags::ANSWERED;
            }
            let internal_date = DateTime::utc(1_700_000_000 + i64::from(number) * 60);
            batch.push(Append {
                email,
                flags,
                internal_date,
            });
        }
        mailbox.append(batch).await.expect("appended");
    }
    println!("{count} messages in {:.1} s", start.elapsed().as_secs_f64());
    let mut client = connect(&mail, user.account).await;
    let commands = [
        "SEARCH ALL",
        "SEARCH RETURN (COUNT) UNSEEN",
        "SEARCH UNSEEN",
        "SEARCH ANSWERED",
        "UID SEARCH RETURN (ALL) ANSWERED UNSEEN",
        "SEARCH RETURN (COUNT) OR ANSWERED FLAGGED",
        "SEARCH RETURN (COUNT) SINCE 1-Dec-2023",
        "SEARCH RETURN (COUNT) LARGER 1900",
        "SEARCH RETURN (COUNT) MODSEQ 50",
        "SEARCH RETURN (COUNT) SENTSINCE 15-Jul-2026",
        "SEARCH RETURN (COUNT) FROM sender17@",
        "SEARCH RETURN (COUNT) SUBJECT \"number 4711\"",
        "SEARCH RETURN (COUNT) OR FROM nobody OR TO nobody SUBJECT nobody",
        "SEARCH RETURN (COUNT) HEADER Message-ID <4711@example.org>",
        "SEARCH RETURN (COUNT) HEADER X-Mailer 1.4711",
        "SEARCH RETURN (COUNT) BODY \"number is 4711.\"",
        "SEARCH RETURN (COUNT) BODY zebra",
        "SEARCH RETURN (COUNT) TEXT zebra",
        "SEARCH RETURN (COUNT) BODY zébra",
        "FETCH 1:10000 (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID \
         Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
        "FETCH 1:10000 (BODY.PEEK[])",
        "UID SORT (ARRIVAL) UTF-8 ALL",
        "UID SORT (REVERSE DATE) UTF-8 ALL",
        "UID SORT (SUBJECT DATE) UTF-8 ALL",
        "UID SORT (DISPLAYFROM) UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
        "UID THREAD REFS UTF-8 ALL",
    ];
    for command in commands {
        let first_cpu = processor_time();
        let mut bytes = run(&mut client, command).await;
        let first_cpu = processor_time() - first_cpu;
        // Often enough for a clock that ticks every few milliseconds.
        let (begin, begin_cpu) = (Instant::now(), processor_time());
        let (mut times, mut best) = (0, Duration::MAX);
        while times < 3 || (times < 100 && begin.elapsed() < Duration::from_millis(300)) {
            let start = Instant::now();
            bytes = bytes.max(run(&mut client, command).await);
            best = best.min(start.elapsed());
            times += 1;
        }
        let cpu = (processor_time() - begin_cpu) / times;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{:9.3} ms; processor time {:9.3} ms, the first time {:9.3} ms; {bytes:9} bytes  {command}",
            ms(best),
            ms(cpu),
            ms(first_cpu),
        );
    }
}

/// What all threads together have used of the processors so far; Linux counts it in nanoseconds.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task");
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let all = tasks.into_iter().flatten().filter_map(of_task).sum();
    Duration::from_nanos(all)
}

/// A session with INBOX selected.
async fn connect(mail: &Arc<Mail>, account: AccountId) -> DuplexStream {
    let (_down, shutdown) = tokio::sync::watch::channel(false);
    let env = Arc::new(Env {
        allow_plaintext_login: true,
        ..Env::new(mail.clone(), Arc::new(Anybody(account)), shutdown)
    });
    // The sender is to live as long as the process.
    std::mem::forget(_down);
    let (mut client, server) = tokio::io::duplex(1 << 20);
    tokio::spawn(serve(
        Box::new(PlainIo::new(server, true)),
        env,
        Peer::default(),
    ));
    let mut greeting = [0; 4096];
    let _ = client.read(&mut greeting).await.expect("a greeting");
    run(&mut client, "LOGIN alice secret").await;
    run(&mut client, "SELECT INBOX").await;
    client
}

/// Runs a command to its end; how many bytes it was answered with.
async fn run(client: &mut DuplexStream, command: &str) -> usize {
    client
        .write_all(format!("t {command}\r\n").as_bytes())
        .await
        .expect("sent");
    let mut buffer = vec![0; 1 << 20];
    let (mut bytes, mut tail) = (0, Vec::new());
    loop {
        let read = client.read(&mut buffer).await.expect("an answer");
        assert!(read > 0, "closed");
        bytes += read;
        tail.extend_from_slice(&buffer[..read]);
        let line = tail[..tail.len().saturating_sub(2)]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        tail.drain(..line);
        if tail.starts_with(b"t ") && tail.ends_with(b"\r\n") {
            let line = String::from_utf8_lossy(&tail);
            assert!(line.starts_with("t OK"), "{command}: {line}");
            return bytes;
        }
    }
}
