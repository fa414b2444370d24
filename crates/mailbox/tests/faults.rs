//! Commits that fail, come late, or whose outcome nobody knows (design §7: an acknowledged change is
//! there, once; what was refused is not).

mod common;

use std::{collections::BTreeMap, sync::Arc};

use common::{append, name};
use restante_mailbox::*;
use restante_store::{MemoryOptions, Store};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    There,
    Refused,
    Unknown,
}

fn fate<T: std::fmt::Debug>(outcome: &Result<T>) -> Fate {
    match outcome {
        Ok(_) => Fate::There,
        Err(MailError::Unknown { .. }) => Fate::Unknown,
        Err(MailError::Full { .. } | MailError::Busy | MailError::Unavailable { .. }) => {
            Fate::Refused
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn text(number: u64) -> String {
    format!(
        "Subject: {number}\r\n\r\n{}",
        "x".repeat(1000 + number as usize)
    )
}

/// How often each message is in the mailboxes, by its size.
async fn counts(account: &Arc<Account>, mailboxes: &[&Arc<Mailbox>]) -> BTreeMap<u64, u32> {
    let mut counts = BTreeMap::new();
    for mailbox in mailboxes {
        let mailbox = account.open(mailbox.id()).await.unwrap();
        let snapshot = mailbox.snapshot().await.unwrap();
        let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
        let uids: Vec<_> = loaded.rows(..).map(|row| row.uid).collect();
        assert!(uids.is_sorted_by(|a, b| a < b));
        for row in loaded.rows(..) {
            *counts.entry(row.size).or_default() += 1;
        }
    }
    counts
}

async fn account_on(options: MemoryOptions) -> (Store, Arc<Mail>, AccountId) {
    let quiet = Store::memory(MemoryOptions::default());
    let mail = Mail::open(quiet.clone(), MailOptions::default())
        .await
        .unwrap();
    let user = mail.user_add("ann", None).await.unwrap();
    let account = mail.account(user.account).await.unwrap();
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    drop((mail, account));
    let store = quiet.crash(options).unwrap();
    let mut settings = MailOptions::default();
    settings.checkpoint_records = 20;
    let mail = Mail::open(store.clone(), settings).await.unwrap();
    (store, mail, user.account)
}

/// The store after everything that is on its way has come, and mail on it without faults.
async fn after(store: Store) -> Arc<Mail> {
    let store = store.crash(MemoryOptions::default()).unwrap();
    Mail::open(store, MailOptions::default()).await.unwrap()
}

async fn check(mail: &Mail) {
    let report = mail.check(CheckScope::All, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

async fn appends_and_moves(seed: u64) {
    let (store, mail, id) = account_on(MemoryOptions::faulty(seed)).await;
    let account = loop {
        if let Ok(account) = mail.account(id).await {
            break account;
        }
    };
    let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
    let other = account.mailbox(&name("b")).await.unwrap();
    let mut tasks = Vec::new();
    for writer in 0..8u64 {
        let (inbox, other) = (inbox.clone(), other.clone());
        tasks.push(tokio::spawn(async move {
            let mut fates = Vec::new();
            for n in 0..6 {
                let text = text(writer * 10 + n);
                let outcome = append(&inbox, &text).await;
                fates.push((text.len() as u64, fate(&outcome)));
                let (from, to) = match n % 2 == 0 {
                    true => (&inbox, &other),
                    false => (&other, &inbox),
                };
                let Ok(snapshot) = from.snapshot().await else {
                    continue;
                };
                let Ok(loaded) = from.ensure(&snapshot, Wanted::All).await else {
                    continue;
                };
                let some: UidSet = loaded.rows(..).map(|row| row.uid).take(3).collect();
                fate(&from.move_to(&some, to).await);
            }
            fates
        }));
    }
    let mut fates = Vec::new();
    for task in tasks {
        fates.extend(task.await.unwrap());
    }
    let (inbox_id, other_id) = (inbox.id(), other.id());
    drop((inbox, other, account, mail));
    let mail = after(store).await;
    let account = mail.account(id).await.unwrap();
    let inbox = account.open(inbox_id).await.unwrap();
    let other = account.open(other_id).await.unwrap();
    let counts = counts(&account, &[&inbox, &other]).await;
    for (size, fate) in fates {
        let count = counts.get(&size).copied().unwrap_or(0);
        match fate {
            Fate::There => assert_eq!(count, 1, "seed {seed}: acknowledged, size {size}"),
            Fate::Refused => assert_eq!(count, 0, "seed {seed}: refused, size {size}"),
            Fate::Unknown => assert!(count <= 1, "seed {seed}: unknown, size {size}"),
        }
    }
    check(&mail).await;
}

#[tokio::test]
async fn every_message_is_there_once() {
    for seed in 0..40 {
        appends_and_moves(seed).await;
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_found_out() {
    // Each commit is applied, and none is answered.
    let mut options = MemoryOptions::default();
    options.unknown_applied_permille = 1000;
    let (_store, mail, id) = account_on(options).await;
    let account = mail.account(id).await.unwrap();
    let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
    for n in 0..10 {
        let appended = append(&inbox, &text(n)).await.unwrap();
        assert_eq!(appended.uids[0].get() as u64, n + 1);
    }
    account.create(&name("c"), SpecialUse::NONE).await.unwrap();
    account.delete(&name("c")).await.unwrap();
    let other = account.mailbox(&name("b")).await.unwrap();
    let moved = inbox.move_to(&UidSet::all(), &other).await.unwrap();
    assert_eq!(moved.source.len(), 10);
    assert_eq!(other.snapshot().await.unwrap().exists(), 10);
    assert_eq!(account.quota().await.messages, 10);
    check(&mail).await;
}

#[tokio::test]
async fn what_never_happened_is_said_to_be_unknown() {
    let mut options = MemoryOptions::default();
    options.unknown_lost_permille = 1000;
    let (store, mail, id) = account_on(options).await;
    let account = mail.account(id).await.unwrap();
    let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
    let outcome = append(&inbox, &text(1)).await;
    assert!(
        matches!(outcome, Err(MailError::Unknown { .. })),
        "{outcome:?}"
    );
    let created = account.create(&name("c"), SpecialUse::NONE).await;
    assert!(
        matches!(created, Err(MailError::Unknown { .. })),
        "{created:?}"
    );
    drop((inbox, account, mail));
    let mail = after(store).await;
    check(&mail).await;
}

#[tokio::test]
async fn acknowledged_changes_survive_a_crash() {
    for seed in 0..40 {
        let mut options = MemoryOptions::slow(seed);
        options.crash_at = Some(3 + seed % 20);
        let (store, mail, id) = account_on(options).await;
        let account = mail.account(id).await.unwrap();
        let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
        let mut tasks = Vec::new();
        for writer in 0..6u64 {
            let inbox = inbox.clone();
            tasks.push(tokio::spawn(async move {
                let mut kept = Vec::new();
                for n in 0..8 {
                    let text = text(writer * 10 + n);
                    match append(&inbox, &text).await {
                        Ok(_) => kept.push(text.len() as u64),
                        Err(_) => break,
                    }
                }
                kept
            }));
        }
        let mut kept = Vec::new();
        for task in tasks {
            kept.extend(task.await.unwrap());
        }
        let inbox_id = inbox.id();
        drop((inbox, account, mail));
        let mail = after(store).await;
        let account = mail.account(id).await.unwrap();
        let inbox = account.open(inbox_id).await.unwrap();
        let counts = counts(&account, &[&inbox]).await;
        for size in kept {
            assert_eq!(counts.get(&size), Some(&1), "seed {seed}");
        }
        check(&mail).await;
    }
}

/// Each reader's `\Seen` is there that was acknowledged, and only theirs.
#[tokio::test]
async fn what_readers_have_seen_survives_a_crash() {
    for seed in 0..40 {
        let mut options = MemoryOptions::slow(seed);
        options.crash_at = Some(1 + seed % 20);
        let quiet = Store::memory(MemoryOptions::default());
        let mail = Mail::open(quiet.clone(), MailOptions::default())
            .await
            .unwrap();
        let owner = mail.user_add("ann", None).await.unwrap().account;
        let mut readers = Vec::new();
        for user in ["bob", "eve", "joe"] {
            readers.push(mail.user_add(user, None).await.unwrap().account);
        }
        let account = mail.account(owner).await.unwrap();
        let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
        let mut all = Vec::new();
        for n in 0..12 {
            all.extend(append(&inbox, &text(n)).await.unwrap().uids);
        }
        drop((inbox, account, mail));
        let store = quiet.crash(options).unwrap();
        let mut settings = MailOptions::default();
        settings.checkpoint_records = 7;
        let mail = Mail::open(store.clone(), settings).await.unwrap();
        let account = mail.account(owner).await.unwrap();
        let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
        let mut tasks = Vec::new();
        for (nth, user) in readers.iter().copied().enumerate() {
            let mailbox = UserMailbox::for_reader(inbox.clone(), user);
            // Each sees every third message.
            let own: Vec<Uid> = all.iter().copied().skip(nth).step_by(3).collect();
            tasks.push(tokio::spawn(async move {
                let mut kept = Vec::new();
                for uid in own {
                    let seen = StoreFlags {
                        uids: [uid].into_iter().collect(),
                        action: FlagAction::Add,
                        flags: FlagNames {
                            system: Flags::SEEN,
                            keywords: Vec::new(),
                        },
                        unchanged_since: None,
                        visible: None,
                        changeable: Flags::ALL,
                    };
                    match mailbox.store(&seen).await {
                        Ok(_) => kept.push(uid),
                        Err(error) => {
                            fate::<()>(&Err(error));
                            break;
                        }
                    }
                }
                kept
            }));
        }
        let mut kept = Vec::new();
        for task in tasks {
            kept.push(task.await.unwrap());
        }
        drop((inbox, account, mail));
        let mail = after(store).await;
        let account = mail.account(owner).await.unwrap();
        let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
        for (nth, (user, kept)) in readers.into_iter().zip(kept).enumerate() {
            let mailbox = UserMailbox::for_reader(inbox.clone(), user);
            let snapshot = mailbox.snapshot().await.unwrap();
            let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
            let seen = loaded.uids_with(FlagFilter::with(Flags::SEEN));
            assert!(kept.iter().all(|uid| seen.contains(*uid)), "seed {seed}");
            let own: UidSet = all.iter().copied().skip(nth).step_by(3).collect();
            assert!(seen.difference(&own).is_empty(), "seed {seed}");
            // Of what was not acknowledged the last one may be there.
            assert!(seen.len() <= kept.len() as u64 + 1, "seed {seed}");
        }
        let snapshot = inbox.snapshot().await.unwrap();
        let loaded = inbox.ensure(&snapshot, Wanted::All).await.unwrap();
        assert!(loaded.uids_with(FlagFilter::with(Flags::SEEN)).is_empty());
        check(&mail).await;
    }
}

/// A commit of unknown outcome that comes later must not be done a second time by the next try: the tail is read
/// before the nonce is looked for, and the next try is built on that tail. Appends are held by their EMAILIDs, too; a
/// COPY by this rule alone.
async fn copies_once(seed: u64) {
    let mut options = MemoryOptions::slow(seed);
    options.unknown_late_permille = 250;
    let (store, mail, id) = account_on(MemoryOptions::default()).await;
    let account = mail.account(id).await.unwrap();
    let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
    for number in 0..6 {
        append(&inbox, &text(number)).await.unwrap();
    }
    drop((account, inbox, mail));
    let store = store.crash(options).unwrap();
    let mail = loop {
        // What a start writes may come late, too.
        if let Ok(mail) = Mail::open(store.clone(), MailOptions::default()).await {
            break mail;
        }
    };
    let account = mail.account(id).await.unwrap();
    let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
    let other = account.mailbox(&name("b")).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..6u32 {
        let (inbox, other) = (inbox.clone(), other.clone());
        tasks.push(tokio::spawn(async move {
            let uid: UidSet = Uid::new(number + 1).into_iter().collect();
            fate(&inbox.copy(&uid, &other).await)
        }));
    }
    let mut fates = Vec::new();
    for task in tasks {
        fates.push(task.await.unwrap());
    }
    let other_id = other.id();
    drop((inbox, other, account, mail));
    let mail = after(store).await;
    let account = mail.account(id).await.unwrap();
    let other = account.open(other_id).await.unwrap();
    let there = counts(&account, &[&other]).await;
    for (number, fate) in (0..).zip(fates) {
        let size = text(number).len() as u64;
        let count = there.get(&size).copied().unwrap_or(0);
        let is_right = match fate {
            Fate::There => count == 1,
            Fate::Refused => count == 0,
            Fate::Unknown => count <= 1,
        };
        assert!(is_right, "seed {seed}: {fate:?}, but {count} of {number}");
    }
    check(&mail).await;
}

#[tokio::test]
async fn a_copy_that_comes_late_is_not_done_twice() {
    for seed in 0..150 {
        copies_once(seed).await;
    }
}
