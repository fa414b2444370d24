//! The invariants of design §7 that concern commits, on both engines, with many writers.

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{Engine, World, append, name, text};
use restante_mailbox::*;

/// Runs a test on the memory engine and on the embedded one.
macro_rules! on_both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn memory() {
                super::$name(super::World::new(super::Engine::Memory).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn embedded() {
                super::$name(super::World::new(super::Engine::Embedded).await).await;
            }
        }
    )*};
}

on_both! {
    many_writers_to_one_mailbox
    crossing_moves
    snapshots_are_read_while_writers_write
    a_writer_that_gives_up
    everything_is_there_after_a_restart
    a_large_copy
    checkpoints_change_nothing
    what_is_in_memory_is_written_down_before_the_end
    keywords_and_unchanged_since
    a_deleted_mailbox
    quota_is_the_sum_of_the_tails
}

fn uids(uids: impl IntoIterator<Item = u32>) -> UidSet {
    uids.into_iter().filter_map(Uid::new).collect()
}

fn seen(uids: UidSet, action: FlagAction) -> StoreFlags {
    StoreFlags {
        uids,
        action,
        flags: FlagNames {
            system: Flags::SEEN,
            keywords: Vec::new(),
        },
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    }
}

async fn many_writers_to_one_mailbox(world: World) {
    let inbox = world.inbox().await;
    let mut tasks = Vec::new();
    for writer in 0..32 {
        let inbox = inbox.clone();
        tasks.push(tokio::spawn(async move {
            let mut given = Vec::new();
            for n in 0..10 {
                let appended = append(&inbox, &text(writer * 100 + n)).await.unwrap();
                given.push(appended.uids[0]);
                if n % 3 == 0 {
                    let set = uids([appended.uids[0].get()]);
                    let stored = inbox.store(&seen(set, FlagAction::Add)).await.unwrap();
                    assert_eq!(stored.changed.len(), 1);
                }
            }
            given
        }));
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        let given = task.await.unwrap();
        assert!(given.is_sorted());
        all.extend(given);
    }
    assert_eq!(all.len(), 320);
    assert_eq!(all.last().unwrap().get(), 320);
    let snapshot = inbox.snapshot().await.unwrap();
    assert_eq!(
        (snapshot.exists(), snapshot.tail().unseen),
        (320, 320 - 32 * 4)
    );
    world.check().await;
}

async fn crossing_moves(world: World) {
    let account = world.account().await;
    let inbox = world.inbox().await;
    account
        .create(&name("other"), SpecialUse::NONE)
        .await
        .unwrap();
    let other = account.mailbox(&name("other")).await.unwrap();
    for n in 0..20 {
        append(&inbox, &text(n)).await.unwrap();
    }
    let mut tasks = Vec::new();
    for (from, to) in [(&inbox, &other), (&other, &inbox)] {
        for _ in 0..4 {
            let (from, to) = (from.clone(), to.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..10 {
                    let snapshot = from.snapshot().await.unwrap();
                    let loaded = from.ensure(&snapshot, Wanted::All).await.unwrap();
                    let some: UidSet = loaded.rows(..).map(|row| row.uid).take(5).collect();
                    match from.move_to(&some, &to).await {
                        Ok(moved) => assert_eq!(moved.source.len(), moved.destination.len()),
                        Err(MailError::Busy) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut emails = Vec::new();
    for mailbox in [&inbox, &other] {
        let snapshot = mailbox.snapshot().await.unwrap();
        let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
        emails.extend(loaded.rows(..).map(|row| row.email));
    }
    emails.sort_unstable();
    emails.dedup();
    assert_eq!(emails.len(), 20);
    assert_eq!(account.quota().await.messages, 20);
    world.check().await;
}

async fn snapshots_are_read_while_writers_write(world: World) {
    let inbox = world.inbox().await;
    let writer = tokio::spawn({
        let inbox = inbox.clone();
        async move {
            for n in 0..150 {
                append(&inbox, &text(n)).await.unwrap();
            }
        }
    });
    let mut last = None;
    while !writer.is_finished() {
        let snapshot = inbox.snapshot().await.unwrap();
        let loaded = inbox.ensure(&snapshot, Wanted::All).await.unwrap();
        assert_eq!(loaded.rows(..).count() as u32, snapshot.exists());
        if let Some(last) = last.replace(snapshot.clone()) {
            let diff = snapshot.diff(&last).unwrap();
            assert!(diff.vanished.is_empty() && diff.changed.is_empty());
        }
        world.mail.checkpoint_step(10).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    writer.await.unwrap();
    assert_eq!(inbox.snapshot().await.unwrap().exists(), 150);
    world.check().await;
}

async fn what_is_in_memory_is_written_down_before_the_end(world: World) {
    let inbox = world.inbox().await;
    for n in 0..20 {
        append(&inbox, &text(n)).await.unwrap();
    }
    let before = inbox.snapshot().await.unwrap();
    assert!(before.tail().root.is_none());
    let no_time = world.mail.checkpoint_warm(Duration::ZERO).await;
    assert_eq!(no_time.unwrap(), 0);
    let minute = Duration::from_secs(60);
    assert_eq!(world.mail.checkpoint_warm(minute).await.unwrap(), 1);
    let root = inbox.snapshot().await.unwrap().tail().root;
    assert_eq!(root.map(|root| root.modseq), Some(before.modseq()));
    // What has changed by little since is left to the log.
    append(&inbox, &text(20)).await.unwrap();
    assert_eq!(world.mail.checkpoint_warm(minute).await.unwrap(), 0);
    drop(inbox);
    let world = world.crash().await;
    let inbox = world.inbox().await;
    let after = inbox.snapshot().await.unwrap();
    assert_eq!((after.exists(), after.tail().root), (21, root));
    world.check().await;
}

async fn a_writer_that_gives_up(world: World) {
    let inbox = world.inbox().await;
    let mut changed = inbox.watch();
    for n in 0..30 {
        let task = tokio::spawn({
            let inbox = inbox.clone();
            async move { append(&inbox, &text(n)).await.map(|_| ()) }
        });
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
    }
    // Whatever was handed over becomes visible without another writer.
    append(&inbox, &text(99)).await.unwrap();
    let snapshot = inbox.snapshot().await.unwrap();
    assert!(*changed.borrow_and_update() >= snapshot.modseq());
    world.check().await;
}

async fn everything_is_there_after_a_restart(world: World) {
    let inbox = world.inbox().await;
    let mut kept = Vec::new();
    for n in 0..40 {
        let appended = append(&inbox, &text(n)).await.unwrap();
        kept.push((appended.uids[0], text(n)));
    }
    let some = ExpungeWhat::Uids(uids(5..=9));
    let gone = inbox.expunge(&some, None).await.unwrap();
    assert_eq!(gone.uids.len(), 5);
    inbox
        .store(&seen(uids(10..=20), FlagAction::Add))
        .await
        .unwrap();
    let before = inbox.snapshot().await.unwrap();
    drop(inbox);
    let world = world.crash().await;
    let inbox = world.inbox().await;
    let after = inbox.snapshot().await.unwrap();
    assert_eq!(after.tail(), before.tail());
    let loaded = inbox.ensure(&after, Wanted::All).await.unwrap();
    for (uid, text) in kept {
        let row = loaded.row(uid);
        assert_eq!(row.is_none(), (5..=9).contains(&uid.get()));
        if let Some(row) = row {
            assert_eq!(row.flags == Flags::SEEN, (10..=20).contains(&uid.get()));
            let account = world.account().await;
            let email = account.email(row.email).await.unwrap();
            let bytes = account.read(&email, 0..email.size()).await.unwrap();
            assert_eq!(bytes, text.as_bytes());
        }
    }
    world.check().await;
}

async fn a_large_copy(world: World) {
    let account = world.account().await;
    let inbox = world.inbox().await;
    for n in 0..4 {
        append(&inbox, &text(n)).await.unwrap();
    }
    // Doubled into itself until its record is larger than one may be.
    for _ in 0..12 {
        let copied = inbox.copy(&UidSet::all(), &inbox).await.unwrap();
        assert_eq!(copied.source.len(), copied.destination.len());
    }
    assert_eq!(inbox.tail().await.unwrap().messages, 4 << 12);
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    let other = account.mailbox(&name("b")).await.unwrap();
    // A STORE that follows at once needs rows that come with the copy.
    let flags = seen(UidSet::all(), FlagAction::Add);
    let all = UidSet::all();
    let (copied, _) = tokio::join!(inbox.copy(&all, &other), other.store(&flags));
    assert_eq!(copied.unwrap().destination.len(), 4 << 12);
    other.store(&flags).await.unwrap();
    assert_eq!(other.tail().await.unwrap().unseen, 0);
    world.check().await;
    drop((account, inbox, other));
    let world = world.crash().await;
    assert_eq!(
        world.inbox().await.snapshot().await.unwrap().exists(),
        4 << 12
    );
    world.check().await;
}

async fn checkpoints_change_nothing(world: World) {
    let inbox = world.inbox().await;
    for n in 0..50 {
        append(&inbox, &text(n)).await.unwrap();
        match n % 10 {
            3 => drop(inbox.checkpoint().await.unwrap()),
            5 => drop(
                inbox
                    .expunge(&ExpungeWhat::Uids(uids([n as u32 - 3])), None)
                    .await
                    .unwrap(),
            ),
            _ => {}
        }
    }
    let before = inbox.snapshot().await.unwrap();
    assert!(inbox.checkpoint().await.unwrap());
    assert!(!inbox.checkpoint().await.unwrap());
    let after = inbox.snapshot().await.unwrap();
    assert!(after.diff(&before).unwrap().is_empty());
    world.check().await;
    drop(inbox);
    let world = world.crash().await;
    let inbox = world.inbox().await;
    let read = inbox.snapshot().await.unwrap();
    assert_eq!(read.tail(), after.tail());
    world.check().await;
}

async fn keywords_and_unchanged_since(world: World) {
    let inbox = world.inbox().await;
    for n in 0..3 {
        append(&inbox, &text(n)).await.unwrap();
    }
    let before = inbox.snapshot().await.unwrap().modseq();
    inbox
        .store(&seen(uids([2]), FlagAction::Add))
        .await
        .unwrap();
    let mut command = seen(uids(1..=4), FlagAction::Add);
    command.flags.keywords.push("$Forwarded".into());
    command.unchanged_since = Some(before);
    let stored = inbox.store(&command).await.unwrap();
    assert_eq!(stored.changed, uids([1, 3]));
    assert_eq!(stored.failed_unchanged_since, uids([2]));
    assert_eq!(stored.missing, uids([4]));
    let keywords = stored.change.after.keywords().clone();
    assert!(keywords.slot("$forwarded").is_some());
    world.check().await;
}

async fn a_deleted_mailbox(world: World) {
    let account = world.account().await;
    account
        .create(&name("gone"), SpecialUse::NONE)
        .await
        .unwrap();
    let mailbox = account.mailbox(&name("gone")).await.unwrap();
    append(&mailbox, &text(1)).await.unwrap();
    let mut changed = mailbox.watch();
    changed.borrow_and_update();
    account.delete(&name("gone")).await.unwrap();
    assert!(changed.has_changed().unwrap());
    // Reads go on, writes do not.
    let snapshot = mailbox.snapshot().await.unwrap();
    assert_eq!(
        (snapshot.exists(), snapshot.tail().state),
        (1, TailState::Deleted)
    );
    let outcome = append(&mailbox, &text(2)).await;
    assert!(
        matches!(outcome, Err(MailError::NoSuchMailbox)),
        "{outcome:?}"
    );
    let outcome = mailbox.store(&seen(UidSet::all(), FlagAction::Add)).await;
    assert!(
        matches!(outcome, Err(MailError::NoSuchMailbox)),
        "{outcome:?}"
    );
    assert!(matches!(
        account.open(mailbox.id()).await,
        Ok(_) | Err(MailError::NoSuchMailbox)
    ));
    let old = mailbox.tail().await.unwrap().uid_validity;
    account
        .create(&name("gone"), SpecialUse::NONE)
        .await
        .unwrap();
    let new = account.mailbox(&name("gone")).await.unwrap();
    assert_ne!(new.id(), mailbox.id());
    assert!(new.tail().await.unwrap().uid_validity > old);
    assert_eq!(account.quota().await.messages, 0);
    world.check().await;
}

async fn quota_is_the_sum_of_the_tails(world: World) {
    let account = world.account().await;
    let inbox = world.inbox().await;
    let text = text(1);
    for _ in 0..3 {
        append(&inbox, &text).await.unwrap();
    }
    let bytes = text.len() as u64;
    world
        .mail
        .user_set_quota(common::USER, |quota| quota.bytes = Some(5 * bytes))
        .await
        .unwrap();
    assert_eq!(account.quota().await.used_bytes, 3 * bytes);
    let copied = inbox.copy(&UidSet::all(), &inbox).await;
    assert!(matches!(copied, Err(MailError::OverQuota)), "{copied:?}");
    assert!(matches!(
        account.reserve(3 * bytes, 1),
        Err(MailError::OverQuota)
    ));
    inbox
        .expunge(&ExpungeWhat::Uids(uids([1])), None)
        .await
        .unwrap();
    let quota = account.quota().await;
    assert_eq!(
        (quota.used_bytes, quota.messages, quota.reserved_bytes),
        (2 * bytes, 2, 0)
    );
    drop((account, inbox));
    let world = world.crash().await;
    assert_eq!(world.account().await.quota().await, quota);
    world.check().await;
}
