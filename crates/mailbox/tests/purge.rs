//! What is purged is gone at once, everywhere, and everything else stays as it is.

mod common;

use std::{collections::BTreeSet, path::Path};

use common::{Engine, World, append, name, text};
use restante_mailbox::*;

const SECRET: &str = "the words of the court order";

fn secret() -> String {
    format!(
        "From: Ann <ann@example.org>\r\nMessage-ID: <secret@example.org>\r\nSubject: {SECRET}\r\n\r\n\
         {SECRET}\r\n"
    )
}

fn uids(uids: impl IntoIterator<Item = u32>) -> UidSet {
    uids.into_iter().filter_map(Uid::new).collect()
}

/// Whether a file of the store has these bytes.
fn is_on_disk(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_on_disk(&path, bytes);
        }
        let found = std::fs::read(path).unwrap();
        found.windows(bytes.len()).any(|window| window == bytes)
    })
}

async fn purged_is_gone(engine: Engine) {
    let world = World::new(engine).await;
    let account = world.account().await;
    let inbox = world.inbox().await;
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    account.create(&name("c"), SpecialUse::NONE).await.unwrap();
    let b = account.mailbox(&name("b")).await.unwrap();
    let c = account.mailbox(&name("c")).await.unwrap();
    for n in 1..=3 {
        append(&inbox, &text(n)).await.unwrap();
    }
    // UID 4 in INBOX, copied to b twice, expunged in c, and in a mailbox that is deleted.
    append(&inbox, &secret()).await.unwrap();
    inbox.copy(&uids([4]), &b).await.unwrap();
    inbox.copy(&uids([2, 4]), &b).await.unwrap();
    inbox.copy(&uids([4]), &c).await.unwrap();
    c.expunge(&ExpungeWhat::Uids(uids([1])), None)
        .await
        .unwrap();
    account.create(&name("d"), SpecialUse::NONE).await.unwrap();
    let d = account.mailbox(&name("d")).await.unwrap();
    inbox.copy(&uids([1, 4]), &d).await.unwrap();
    account.delete(&name("d")).await.unwrap();

    let found = account.emails_with_message_id("secret@example.org").await;
    let found = found.unwrap();
    assert_eq!(
        account
            .emails_with_message_id("<secret@example.org>")
            .await
            .unwrap(),
        found
    );
    assert!(
        account
            .emails_with_message_id("x@example.org")
            .await
            .unwrap()
            .is_empty()
    );
    let [email] = found[..] else {
        panic!("{found:?}");
    };
    let row = account.email(email).await.unwrap();
    let emails = BTreeSet::from([email]);
    let shown = account.shown_in(&emails).await.unwrap();
    let places: Vec<_> = shown[&email]
        .iter()
        .map(|(name, uid)| (name.as_str(), uid.get()))
        .collect();
    assert_eq!(places, [("INBOX", 4), ("b", 1), ("b", 3)]);

    let report = world
        .mail
        .purge(&account, &emails, "order 12/26")
        .await
        .unwrap();
    assert_eq!((report.emails, report.messages), (1, 3));
    assert_eq!(report.email_bytes, secret().len() as u64);
    assert!(matches!(
        account.email(email).await,
        Err(MailError::Expunged)
    ));
    // Who had its row already cannot read it, either.
    assert!(matches!(
        account.read(&row, 0..5).await,
        Err(MailError::Expunged)
    ));
    let tombstones = account.tombstones().await.unwrap();
    assert_eq!(tombstones.len(), 1);
    assert_eq!(tombstones[0].reason, "order 12/26");
    assert!(tombstones[0].is_erased);
    assert_eq!(inbox.tail().await.unwrap().messages, 3);
    assert_eq!(b.tail().await.unwrap().messages, 1);
    // It does not come back, and what was deleted with it does.
    assert!(c.restore(&uids([1])).await.unwrap().source.is_empty());
    let d = account
        .restore_mailbox_named(&name("d"), &name("d"))
        .await
        .unwrap();
    assert_eq!(d.tail().await.unwrap().messages, 1);
    world.check().await;
    // Again is nothing.
    let again = world.mail.purge(&account, &emails, "again").await.unwrap();
    assert_eq!((again.emails, again.messages), (0, 0));
    assert_eq!(account.tombstones().await.unwrap(), tombstones);
    let long = "x".repeat(PURGE_REASON_BYTES_MAX + 1);
    assert!(world.mail.purge(&account, &emails, &long).await.is_err());

    for n in 1..=3 {
        let loaded = inbox.snapshot().await.unwrap();
        let loaded = inbox.ensure(&loaded, Wanted::All).await.unwrap();
        let row = loaded.row(Uid::new(n).unwrap()).unwrap();
        let email = account.email(row.email).await.unwrap();
        let bytes = account.read(&email, 0..email.size()).await.unwrap();
        assert_eq!(bytes, text(u64::from(n)));
    }
    if let Some(dir) = world.dir() {
        let dir = dir.to_owned();
        world.mail.store().close().await;
        assert!(is_on_disk(&dir, b"Text of 2"));
        assert!(!is_on_disk(&dir, SECRET.as_bytes()));
    }
}

#[tokio::test]
async fn purged_is_gone_memory() {
    purged_is_gone(Engine::Memory).await;
}

#[tokio::test]
async fn purged_is_gone_embedded() {
    purged_is_gone(Engine::Embedded).await;
}

#[tokio::test]
async fn a_purge_that_was_cut_short_is_finished() {
    let world = World::new(Engine::Embedded).await;
    let account = world.account().await;
    let inbox = world.inbox().await;
    append(&inbox, &text(1)).await.unwrap();
    append(&inbox, &secret()).await.unwrap();
    let email = account
        .emails_with_message_id("secret@example.org")
        .await
        .unwrap()[0];
    let emails = BTreeSet::from([email]);
    // It ends as soon as the email is deleted.
    {
        let purge = world.mail.purge(&account, &emails, "");
        let deleted = async {
            while account.tombstones().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = deleted => {}
            _ = purge => {}
        }
    }
    world.check().await;
    drop((account, inbox));
    let world = world.crash().await;
    world.mail.retention().await.unwrap();
    let account = world.account().await;
    assert!(account.tombstones().await.unwrap()[0].is_erased);
    assert_eq!(world.inbox().await.tail().await.unwrap().messages, 1);
    world.check().await;
    let dir = world.dir().unwrap().to_owned();
    drop(account);
    world.mail.store().close().await;
    assert!(!is_on_disk(&dir, SECRET.as_bytes()));
}
