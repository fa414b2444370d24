//! Measures appends on the embedded engine: `cargo run --release --example append_bench [seconds]`.
//!
//! Prints messages per second for several writers, into one mailbox and into one for each, and one by one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use restante_mailbox::{
    Append, DateTime, FlagNames, Mail, MailOptions, Mailbox, MailboxName, Result,
};
use restante_store::{EmbeddedOptions, Store};

fn message(bytes: usize, number: u64) -> Vec<u8> {
    let mut text = format!(
        "Return-Path: <sender@example.org>\r\n\
         Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.net with ESMTPS \
         id {number:016x}\r\n\tfor <user@example.net>; Mon, 23 Nov 2026 17:00:00 +0000\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s1;\r\n\
         \th=from:to:subject:date; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AAAAAAAAAAAA\r\n\
         From: A Sender <sender@example.org>\r\nTo: The User <user@example.net>\r\n\
         Subject: Message number {number}\r\nDate: Mon, 23 Nov 2026 17:00:00 +0000\r\n\
         Message-ID: <{number:x}.bench@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n\
         --=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello, this is the text.\r\n\
         --=_b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p>\r\n"
    )
    .into_bytes();
    while text.len() < bytes {
        text.extend_from_slice(
            b"Some line of text that fills the message up to its size, and so on.\r\n",
        );
    }
    text.extend_from_slice(b"--=_b--\r\n");
    text
}

async fn append(mailbox: &Arc<Mailbox>, text: &[u8]) -> Result<()> {
    let email = mailbox.account().new_email_from(text).await?;
    let message = Append {
        email,
        flags: FlagNames::default(),
        internal_date: DateTime::utc(1_790_000_000),
    };
    mailbox.append(vec![message]).await?;
    Ok(())
}

async fn run(mailboxes: &[Arc<Mailbox>], bytes: usize, time: Duration) -> Result<f64> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for mailbox in mailboxes {
        let mailbox = mailbox.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0u64;
            while start.elapsed() < time {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                append(&mailbox, &message(bytes, number)).await?;
                count += 1;
            }
            Ok::<_, restante_mailbox::MailError>(count)
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await.expect("a task ended")?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(3.0));
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), EmbeddedOptions::default()).await?;
    let mail = Mail::open(store.clone(), MailOptions::default()).await?;
    let mut own = Vec::new();
    for n in 0..32 {
        let user = mail.user_add(&format!("user{n}"), None).await?;
        let account = mail.account(user.account).await?;
        own.push(account.mailbox(&MailboxName::inbox()).await?);
    }
    let one = vec![own[0].clone(); 32];
    let background = {
        let mail = mail.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if let Err(error) = mail.checkpoint_step(1000).await {
                    eprintln!("checkpoint: {error}");
                }
            }
        })
    };
    for bytes in [1_000, 10_000] {
        let rate = run(&own[..1], bytes, time).await?;
        println!("{bytes} B, 1 writer: {rate:.0}/s");
        let rate = run(&own, bytes, time).await?;
        println!("{bytes} B, 32 writers, 32 accounts: {rate:.0}/s");
        let rate = run(&one, bytes, time).await?;
        println!("{bytes} B, 32 writers, one mailbox nobody has open: {rate:.0}/s");
        let snapshot = own[0].snapshot().await?;
        let rate = run(&one, bytes, time).await?;
        println!("{bytes} B, 32 writers, one open mailbox: {rate:.0}/s");
        drop(snapshot);
    }
    background.abort();
    let account = own[0].account();
    let snapshot = own[0].snapshot().await?;
    let loaded = own[0]
        .ensure(&snapshot, restante_mailbox::Wanted::All)
        .await?;
    let emails: Vec<_> = loaded.rows(..).map(|row| row.email).take(10_000).collect();
    for _ in 0..3 {
        let start = Instant::now();
        let rows = account.emails(&emails).await?;
        assert!(rows.iter().all(Option::is_some));
        println!("rows of {} emails: {:?}", rows.len(), start.elapsed());
    }
    println!("{:?}", store.stats());
    mail.store().close().await;
    Ok(())
}
