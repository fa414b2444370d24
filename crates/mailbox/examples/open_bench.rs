//! Measures how a huge mailbox is opened: `cargo run --release --example open_bench [messages]`.
//!
//! Fills a mailbox with rows (no messages), closes the store, opens it again, and prints the time and the
//! bytes read until SELECT can be answered, and then for all rows.

use std::time::Instant;

use restante_mailbox::{
    AccountId, DateTime, EmailId, Fill, Flags, Mail, MailOptions, MailboxName, ModSeq, Result, Row,
    SpecialUse, Uid, UidValidity, Wanted,
};
use restante_store::{EmbeddedOptions, Store};

fn rows(messages: u32) -> impl Iterator<Item = Row> + Send {
    (1..=messages).map(|n| {
        let time_s = 1_500_000_000 + i64::from(n) * 97;
        Row {
            uid: Uid::new(n).expect("not 0"),
            email: EmailId(((time_s as u64 * 1000) << 22) | u64::from(n % 7)),
            size: 2_000 + u64::from(n.wrapping_mul(2_654_435_761) >> 15),
            internal_date: DateTime {
                unix_s: time_s,
                zone_min: 60,
            },
            save_date_s: time_s + 3,
            flags: match n % 50 {
                0 => Flags::NONE,
                1 => Flags::SEEN | Flags::FLAGGED,
                _ => Flags::SEEN,
            },
            modseq: ModSeq(u64::from(n) + 1),
        }
    })
}

async fn open(dir: &std::path::Path) -> Result<std::sync::Arc<Mail>, Box<dyn std::error::Error>> {
    let store = Store::open(dir, EmbeddedOptions::default()).await?;
    Ok(Mail::open(store, MailOptions::default()).await?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let messages = messages.unwrap_or(1_000_000);
    let dir = tempfile::tempdir()?;
    let name = MailboxName::new("huge")?;
    {
        let mail = open(dir.path()).await?;
        let user = mail.user_add("ann", None).await?;
        let account = mail.account(user.account).await?;
        let fill = Fill {
            uid_validity: UidValidity::new(1_500_000_000).ok_or("not 0")?,
            uid_next: Uid::MIN,
            modseq: ModSeq::FIRST,
            keywords: Vec::new(),
        };
        let start = Instant::now();
        account
            .fill(&name, SpecialUse::NONE, fill, rows(messages))
            .await?;
        println!("filled {messages} messages in {:?}", start.elapsed());
        mail.store().close().await;
    }
    let mail = open(dir.path()).await?;
    let account = mail.account(AccountId(1)).await?;
    for round in ["cold", "again"] {
        let before = mail.reads();
        let start = Instant::now();
        let mailbox = account.mailbox(&name).await?;
        let snapshot = mailbox.snapshot().await?;
        assert_eq!(snapshot.exists(), messages);
        let time = start.elapsed();
        println!(
            "{round} open: {time:?}, {} bytes read",
            mail.reads() - before
        );
        let loaded = mailbox.ensure(&snapshot, Wanted::FirstUnseen).await?;
        assert!(loaded.first_unseen().is_some());
        let time = start.elapsed();
        println!(
            "{round} SELECT with UNSEEN: {time:?}, {} bytes read",
            mail.reads() - before
        );
    }
    let mailbox = account.mailbox(&name).await?;
    let snapshot = mailbox.snapshot().await?;
    let (before, start) = (mail.reads(), Instant::now());
    let loaded = mailbox.ensure(&snapshot, Wanted::All).await?;
    let sum: u64 = loaded.rows(..).map(|row| row.size).sum();
    println!(
        "all rows: {:?}, {} bytes read, {} bytes in memory, sizes {sum}",
        start.elapsed(),
        mail.reads() - before,
        snapshot.heap_bytes(),
    );
    mail.store().close().await;
    Ok(())
}
