//! Accounts, mailboxes and messages on the memory engine.

use std::sync::Arc;

use restante_mailbox::*;
use restante_store::{MemoryOptions, Store};

async fn account() -> (Arc<Mail>, Arc<Account>) {
    let store = Store::memory(MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    let user = mail.user_add("Ann@Example.org ", None).await.unwrap();
    let account = mail.account(user.account).await.unwrap();
    (mail, account)
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

async fn append(mailbox: &Arc<Mailbox>, text: &str) -> Appended {
    let email = mailbox.account().new_email_from(text.as_bytes()).await;
    let message = Append {
        email: email.unwrap(),
        flags: FlagNames::default(),
        internal_date: DateTime::utc(1_700_000_000),
    };
    mailbox.append(vec![message]).await.unwrap()
}

#[tokio::test]
async fn a_message_comes_back() {
    let (mail, account) = account().await;
    assert_eq!(
        mail.user("ANN@example.org").await.unwrap().unwrap().account,
        account.id()
    );
    let inbox = account.mailbox(&name("inbox")).await.unwrap();
    let text = "Message-ID: <a@x>\r\nSubject: hi\r\n\r\nhello\r\n";
    let appended = append(&inbox, text).await;
    assert_eq!(appended.uids, [Uid::MIN]);
    assert!(appended.change.is_none());
    let snapshot = inbox.snapshot().await.unwrap();
    assert_eq!(snapshot.exists(), 1);
    let loaded = inbox.ensure(&snapshot, Wanted::All).await.unwrap();
    let row = loaded.row(Uid::MIN).unwrap();
    let email = account.email(row.email).await.unwrap();
    assert_eq!(email.size(), text.len() as u64);
    let bytes = account.read(&email, 0..email.size()).await.unwrap();
    assert_eq!(bytes, text.as_bytes());
    // An answer joins the thread.
    let appended = append(&inbox, "References: <a@x>\r\n\r\n").await;
    let change = appended.change.unwrap();
    assert_eq!(change.after.diff(&change.base).unwrap().appended.len(), 1);
    let loaded = inbox.ensure(&change.after, Wanted::All).await.unwrap();
    let answer = loaded.row(appended.uids[0]).unwrap().email;
    let answer = account.email(answer).await.unwrap();
    assert_eq!(answer.thread(), email.thread());
}

#[tokio::test]
async fn the_tree() {
    let (_mail, account) = account().await;
    let events = &mut account.watch();
    account
        .create(&name("a/b/c"), SpecialUse::NONE)
        .await
        .unwrap();
    let tree = account.tree().await.unwrap();
    let names: Vec<_> = tree.mailboxes.keys().map(MailboxName::as_str).collect();
    assert_eq!(names, ["INBOX", "a", "a/b", "a/b/c"]);
    assert!(matches!(events.try_recv(), Ok(AccountEvent::Tree(_))));
    account.rename(&name("a/b"), &name("x/y")).await.unwrap();
    account.delete(&name("x/y")).await.unwrap();
    assert!(matches!(
        account.delete(&name("inbox")).await,
        Err(MailError::CannotDeleteInbox)
    ));
    let tree = account.tree().await.unwrap();
    let names: Vec<_> = tree.mailboxes.keys().map(MailboxName::as_str).collect();
    assert_eq!(names, ["INBOX", "a", "x", "x/y/c"]);
}

#[tokio::test]
async fn flags_copies_and_moves() {
    let (_mail, account) = account().await;
    let inbox = account.mailbox(&name("INBOX")).await.unwrap();
    for n in 0..5 {
        append(&inbox, &format!("Subject: {n}\r\n\r\n{n}\r\n")).await;
    }
    account
        .create(&name("b"), SpecialUse::ARCHIVE)
        .await
        .unwrap();
    let other = account.mailbox(&name("b")).await.unwrap();
    let store = StoreFlags {
        uids: UidSet::all(),
        action: FlagAction::Add,
        flags: FlagNames {
            system: Flags::SEEN,
            keywords: vec!["$Work".into()],
        },
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    };
    let stored = inbox.store(&store).await.unwrap();
    assert_eq!(stored.changed.len(), 5);
    let again = inbox.store(&store).await.unwrap();
    assert!(again.changed.is_empty());
    assert_eq!(again.change.after.modseq(), stored.change.after.modseq());
    let two: UidSet = [Uid::new(2).unwrap(), Uid::new(4).unwrap()]
        .into_iter()
        .collect();
    let copied = inbox.copy(&two, &other).await.unwrap();
    assert_eq!(copied.destination.len(), 2);
    let moved = inbox.move_to(&two, &other).await.unwrap();
    assert_eq!(moved.source_change.after.exists(), 3);
    assert_eq!(moved.destination_change.after.exists(), 4);
    assert_eq!(other.tail().await.unwrap().unseen, 0);
    let gone = other
        .expunge(&ExpungeWhat::Uids(UidSet::all()), None)
        .await
        .unwrap();
    assert_eq!(gone.uids.len(), 4);
    assert_eq!(account.quota().await.messages, 3);
    account.rename(&name("inbox"), &name("old")).await.unwrap();
    assert_eq!(inbox.tail().await.unwrap().messages, 0);
}
