//! What is kept, what comes back, and what goes.

mod common;

use std::time::Duration;

use common::{Engine, World, append, name, text};
use restante_mailbox::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn uids(uids: impl IntoIterator<Item = u32>) -> UidSet {
    uids.into_iter().filter_map(Uid::new).collect()
}

async fn expunge(mailbox: &std::sync::Arc<Mailbox>, which: impl IntoIterator<Item = u32>) {
    let what = ExpungeWhat::Uids(uids(which));
    mailbox.expunge(&what, None).await.unwrap();
}

#[tokio::test]
async fn expunged_messages_come_back() {
    let world = World::new(Engine::Memory).await;
    let inbox = world.inbox().await;
    for n in 1..=6 {
        append(&inbox, &text(n)).await.unwrap();
    }
    let flags = StoreFlags {
        uids: uids([3]),
        action: FlagAction::Add,
        flags: FlagNames {
            system: Flags::DELETED | Flags::FLAGGED,
            keywords: vec!["$Work".into()],
        },
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    };
    inbox.store(&flags).await.unwrap();
    let deleted = inbox.expunge(&ExpungeWhat::Deleted(None), None).await;
    assert_eq!(deleted.unwrap().uids, uids([3]));
    inbox.checkpoint().await.unwrap();
    expunge(&inbox, [5]).await;
    let kept = inbox.expunged().await.unwrap();
    assert_eq!(kept.iter().map(|m| m.uid.get()).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(kept[0].expunged_ms, 1_790_000_000_000);
    let restored = inbox.restore(&uids([3, 4])).await.unwrap();
    assert_eq!(restored.source, [Uid::new(3).unwrap()]);
    assert_eq!(restored.destination, [Uid::new(7).unwrap()]);
    let loaded = inbox
        .ensure(&restored.change.after, Wanted::All)
        .await
        .unwrap();
    let row = loaded.row(restored.destination[0]).unwrap();
    let work = loaded.keywords().flag("$work").unwrap();
    assert_eq!(row.flags, Flags::FLAGGED | work);
    assert_eq!(row.email, kept[0].email);
    assert!(inbox.restore(&uids([99])).await.unwrap().source.is_empty());
    world.check().await;
}

/// Runs until nothing older than the retention time and two graces can be left.
async fn days(world: &World, days: u32) -> RetentionReport {
    let mut sum = RetentionReport::default();
    for _ in 0..days {
        world.clock.advance(DAY + Duration::from_secs(1));
        let report = world.mail.retention().await.unwrap();
        sum.emails += report.emails;
        sum.records += report.records;
        sum.mailboxes += report.mailboxes;
        sum.marked += report.marked;
        world.check().await;
    }
    sum
}

async fn what_is_dead_goes(engine: Engine) {
    let world = World::new(engine).await;
    let account = world.account().await;
    let inbox = world.inbox().await;
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    account.create(&name("c"), SpecialUse::NONE).await.unwrap();
    let b = account.mailbox(&name("b")).await.unwrap();
    let c = account.mailbox(&name("c")).await.unwrap();
    for n in 1..=9 {
        append(&inbox, &text(n)).await.unwrap();
    }
    append(&c, &text(20)).await.unwrap();
    inbox.copy(&uids([9]), &c).await.unwrap();
    // Moved and copied ones live on, though they were expunged here.
    inbox.move_to(&uids([1, 2]), &b).await.unwrap();
    inbox.copy(&uids([3]), &b).await.unwrap();
    let before = inbox.snapshot().await.unwrap();
    expunge(&inbox, [3, 4, 5]).await;
    account.delete(&name("c")).await.unwrap();
    drop((b, c));

    let early = days(&world, 13).await;
    assert_eq!((early.emails, early.mailboxes), (0, 0));
    assert_eq!(inbox.expunged().await.unwrap().len(), 5);
    let late = days(&world, 5).await;
    // 4 and 5 of INBOX, 20 of c. 9 is still in INBOX.
    assert_eq!((late.emails, late.mailboxes, late.marked), (3, 1, 3));
    assert!(late.records > 0);
    assert!(inbox.expunged().await.unwrap().is_empty());
    let tail = inbox.tail().await.unwrap();
    assert!(tail.vanished_floor > before.modseq());
    // What a client knew long ago is answered by absence.
    let now = inbox.snapshot().await.unwrap();
    let vanished = inbox.vanished_since(&now, ModSeq(3), &uids(1..=20)).await;
    assert_eq!(vanished.unwrap(), uids(1..=5));
    let loaded = inbox.ensure(&now, Wanted::All).await.unwrap();
    for row in loaded.rows(..) {
        account.email(row.email).await.unwrap();
    }
    drop((account, inbox));
    let world = world.crash().await;
    let inbox = world.inbox().await;
    let read = inbox.snapshot().await.unwrap();
    assert_eq!(read.tail(), now.tail());
    append(&inbox, &text(30)).await.unwrap();
    world.check().await;
}

#[tokio::test]
async fn what_is_dead_goes_memory() {
    what_is_dead_goes(Engine::Memory).await;
}

#[tokio::test]
async fn what_is_dead_goes_embedded() {
    what_is_dead_goes(Engine::Embedded).await;
}

/// Another process reads while this one trims: it never finds a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_mailbox_is_loaded_while_it_is_trimmed() {
    let world = World::new(Engine::Memory).await;
    let inbox = world.inbox().await;
    let (store, id) = (world.mail.store().clone(), inbox.account().id());
    let reader = tokio::spawn(async move {
        let mut last = 0;
        while last < 120 {
            let mail = Mail::open(store.clone(), MailOptions::default())
                .await
                .unwrap();
            let account = mail.account(id).await.unwrap();
            let inbox = account.mailbox(&MailboxName::inbox()).await.unwrap();
            let snapshot = inbox.snapshot().await.unwrap();
            // Eight days may have gone by since: longer than a snapshot may be held.
            if let Ok(loaded) = inbox.ensure(&snapshot, Wanted::All).await {
                assert_eq!(loaded.rows(..).count() as u32, snapshot.exists());
            }
            last = snapshot.uid_next().get() - 1;
        }
    });
    for n in 1..=120 {
        append(&inbox, &text(n)).await.unwrap();
        if n % 4 == 0 {
            expunge(&inbox, [n as u32 - 2]).await;
            inbox.checkpoint().await.unwrap();
        }
        if n % 6 == 0 {
            world.clock.advance(8 * DAY);
            world.mail.retention().await.unwrap();
        }
    }
    reader.await.unwrap();
    world.check().await;
}

/// COPY of an expunged message: the others are copied, it is said to be missing.
#[tokio::test]
async fn an_expunged_message_cannot_be_copied() {
    let world = World::new(Engine::Memory).await;
    let inbox = world.inbox().await;
    for n in 1..=3 {
        append(&inbox, &text(n)).await.unwrap();
    }
    expunge(&inbox, [2]).await;
    let copied = inbox.copy(&uids(1..=3), &inbox).await.unwrap();
    assert_eq!(copied.missing, uids([2]));
    assert_eq!(copied.source.len(), 2);
    let moved = inbox.move_to(&uids([2]), &inbox).await.unwrap();
    assert!(moved.source.is_empty());
    assert_eq!(moved.missing, uids([2]));
    world.check().await;
}

#[tokio::test]
async fn with_no_retention_the_grace_is_kept() {
    let world = World::with(Engine::Memory, |options| options.retention = Duration::ZERO).await;
    let inbox = world.inbox().await;
    append(&inbox, &text(1)).await.unwrap();
    expunge(&inbox, [1]).await;
    inbox.checkpoint().await.unwrap();
    let report = world.mail.retention().await.unwrap();
    assert_eq!((report.marked, report.emails, report.records), (0, 0, 0));
    // Base after one grace, marked then, dead after another.
    assert_eq!(days(&world, 1).await.emails, 0);
    assert_eq!(days(&world, 1).await.emails, 1);
}

#[tokio::test]
async fn a_removed_user_goes_after_the_retention_time() {
    let world = World::new(Engine::Memory).await;
    let inbox = world.inbox().await;
    append(&inbox, &text(1)).await.unwrap();
    let id = inbox.account().id();
    drop(inbox);
    world.mail.user_remove(common::USER).await.unwrap();
    assert!(world.mail.user(common::USER).await.unwrap().is_none());
    world.clock.advance(DAY);
    assert_eq!(world.mail.retention().await.unwrap().accounts, 0);
    world.clock.advance(14 * DAY);
    assert_eq!(world.mail.retention().await.unwrap().accounts, 1);
    let again = world.mail.user_add(common::USER, None).await.unwrap();
    assert_ne!(again.account, id);
}

#[tokio::test]
async fn a_jump_after_a_restore() {
    let world = World::new(Engine::Memory).await;
    let account = world.account().await;
    let inbox = world.inbox().await;
    for n in 1..=3 {
        append(&inbox, &text(n)).await.unwrap();
    }
    let before = inbox.snapshot().await.unwrap();
    account.jump_all().await.unwrap();
    let after = inbox.snapshot().await.unwrap();
    assert_eq!(after.uid_validity(), before.uid_validity());
    assert!(after.uid_next().get() >= before.uid_next().get() + 100_000);
    let loaded = inbox.ensure(&after, Wanted::All).await.unwrap();
    assert!(loaded.rows(..).all(|row| row.modseq == after.modseq()));
    let appended = append(&inbox, &text(4)).await.unwrap();
    assert_eq!(appended.uids[0], after.uid_next());
    world.check().await;
}

/// A mailbox that was deleted comes back with its messages, flags and UIDs, under another UIDVALIDITY.
#[tokio::test]
async fn a_deleted_mailbox_comes_back() {
    let store = restante_store::Store::memory(restante_store::MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    let user = mail.user_add("ann", None).await.unwrap();
    let account = mail.account(user.account).await.unwrap();
    let name = |name: &str| MailboxName::new(name).unwrap();
    let id = account
        .create(&name("Old"), SpecialUse::NONE)
        .await
        .unwrap();
    let old = account.open(id).await.unwrap();
    for number in 0..5 {
        let text = format!("Subject: =?utf-8?q?n=C2=B0?= {number}\r\n\r\nhello\r\n");
        let message = Append {
            email: account.new_email_from(text.as_bytes()).await.unwrap(),
            flags: FlagNames {
                system: Flags::SEEN,
                keywords: vec!["$Label1".into()],
            },
            internal_date: DateTime::utc(1_700_000_000 + number),
        };
        old.append(vec![message]).await.unwrap();
    }
    let gone = ExpungeWhat::Uids([Uid::new(2).unwrap()].into_iter().collect());
    old.expunge(&gone, None).await.unwrap();
    let validity = old.tail().await.unwrap().uid_validity;
    assert!(account.deleted_mailboxes().await.unwrap().is_empty());
    // Renamed first: it is the last name that counts.
    account.rename(&name("Old"), &name("Older")).await.unwrap();
    account.delete(&name("Older")).await.unwrap();
    let deleted = account.deleted_mailboxes().await.unwrap();
    assert_eq!(deleted.len(), 1);
    assert_eq!(
        (deleted[0].name.as_str(), deleted[0].messages),
        ("Older", 4)
    );
    let taken = account
        .restore_mailbox_named(&name("Older"), &name("INBOX"))
        .await;
    assert!(matches!(taken, Err(MailError::AlreadyExists)));
    let back = account
        .restore_mailbox_named(&name("Older"), &name("Back"))
        .await
        .unwrap();
    let snapshot = back.snapshot().await.unwrap();
    assert_ne!(snapshot.uid_validity(), validity);
    let loaded = back.ensure(&snapshot, Wanted::All).await.unwrap();
    let uids: Vec<u32> = loaded.rows(..).map(|row| row.uid.get()).collect();
    assert_eq!(uids, [1, 3, 4, 5]);
    assert!(loaded.rows(..).all(|row| row.flags.contains(Flags::SEEN)));
    assert_eq!(
        snapshot.keywords().iter().next().map(|(_, name)| name),
        Some("$Label1")
    );
    let last = loaded.row(Uid::new(5).unwrap()).unwrap();
    assert_eq!(last.internal_date, DateTime::utc(1_700_000_004));
    let email = account.email(last.email).await.unwrap();
    assert_eq!(account.subject(&email).await.unwrap(), "n° 4");
    let report = mail.check(CheckScope::All, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// What is kept of expunged messages has a cap: the oldest go first, before their time, after the grace and two
/// marks. What was moved lives on and does not count.
async fn the_oldest_go_above_the_cap(engine: Engine) {
    let size = text(1).len() as u64;
    let set = |options: &mut MailOptions| options.retained_bytes_max = Some(3 * size);
    let world = World::with(engine, set).await;
    let account = world.account().await;
    let inbox = world.inbox().await;
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    let b = account.mailbox(&name("b")).await.unwrap();
    append(&b, &text(9)).await.unwrap();
    drop(b);
    for n in 1..=7 {
        append(&inbox, &text(n)).await.unwrap();
    }
    inbox.move_to(&uids([7]), &inbox).await.unwrap();
    account.delete(&name("b")).await.unwrap();
    let report = days(&world, 1).await;
    assert_eq!((report.emails, report.marked), (0, 0));
    let mut emails = 0;
    for n in 1..=5 {
        expunge(&inbox, [n]).await;
        // Nothing goes before the grace is over.
        world.clock.advance(DAY / 2);
        let report = world.mail.retention().await.unwrap();
        assert!(n < 3 || report.above_cap_bytes == size, "{n}: {report:?}");
        emails += report.emails + days(&world, 1).await.emails;
    }
    emails += days(&world, 3).await.emails;
    let kept = inbox.expunged().await.unwrap();
    let kept: Vec<_> = kept.iter().map(|m| m.uid.get()).collect();
    assert_eq!(kept, [3, 4, 5]);
    // The message of the deleted mailbox, 1 and 2.
    assert_eq!(emails, 3);
    let now = inbox.snapshot().await.unwrap();
    assert_eq!(now.exists(), 2);
    let loaded = inbox.ensure(&now, Wanted::All).await.unwrap();
    for row in loaded.rows(..) {
        account.email(row.email).await.unwrap();
    }
    // They come back as ever, and what came back counts no more.
    assert_eq!(inbox.restore(&uids([3])).await.unwrap().source.len(), 1);
    assert_eq!(days(&world, 2).await.emails, 0);
    drop((account, inbox));
    let world = world.crash().await;
    world.check().await;
}

#[tokio::test]
async fn the_oldest_go_above_the_cap_memory() {
    the_oldest_go_above_the_cap(Engine::Memory).await;
}

#[tokio::test]
async fn the_oldest_go_above_the_cap_embedded() {
    the_oldest_go_above_the_cap(Engine::Embedded).await;
}

/// Keys of URLs: each mailbox has its own, kept by whoever was first, and gone with the mailbox.
#[tokio::test]
async fn keys_of_urls_live_as_long_as_their_mailbox() {
    let world = World::new(Engine::Embedded).await;
    let account = world.account().await;
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    let user = account.id();
    let inbox = world.inbox().await;
    let b = account.mailbox(&name("b")).await.unwrap();
    let of = |mailbox: &Mailbox| (user, mailbox.id());
    let (of_inbox, of_b) = (of(&inbox), of(&b));
    let mail = &world.mail;
    let key = |octet| UrlKey([octet; 32]);
    assert!(!mail.has_url_key(user, &inbox).await.unwrap());
    assert_eq!(mail.url_key(user, of_inbox).await.unwrap(), None);
    assert_eq!(mail.url_key_or(user, &inbox, key(1)).await.unwrap(), key(1));
    assert_eq!(mail.url_key_or(user, &inbox, key(2)).await.unwrap(), key(1));
    assert!(mail.has_url_key(user, &inbox).await.unwrap());
    assert_eq!(inbox.url_key_resets(user), 0);
    assert_eq!(mail.url_key_reset(user, &b, key(3)).await.unwrap(), 1);
    assert_eq!(mail.url_key_reset(user, &inbox, key(4)).await.unwrap(), 1);
    assert_eq!(inbox.url_key_resets(user), 1);
    world.check().await;
    drop((account, inbox, b));
    let world = world.crash().await;
    let mail = &world.mail;
    assert_eq!(mail.url_key(user, of_inbox).await.unwrap(), Some(key(4)));
    let account = world.account().await;
    account.delete(&name("b")).await.unwrap();
    days(&world, 18).await;
    assert_eq!(mail.url_key(user, of_b).await.unwrap(), None);
    assert_eq!(mail.url_key(user, of_inbox).await.unwrap(), Some(key(4)));
    let inbox = world.inbox().await;
    assert!(mail.has_url_key(user, &inbox).await.unwrap());
    mail.url_keys_remove(user).await.unwrap();
    assert!(!mail.has_url_key(user, &inbox).await.unwrap());
    assert_eq!(mail.url_key(user, of_inbox).await.unwrap(), None);
    assert!(!format!("{:?}", key(4)).contains('4'));
}
