//! Who reads another's mailbox has a `\Seen` of their own there: it is kept, and is nothing to anybody else.

mod common;

use std::collections::BTreeMap;

use common::{Engine, World, append, name, text};
use restante_mailbox::*;

fn uids(uids: impl IntoIterator<Item = u32>) -> UidSet {
    uids.into_iter().filter_map(Uid::new).collect()
}

fn store(set: UidSet, action: FlagAction, flags: Flags) -> StoreFlags {
    StoreFlags {
        uids: set,
        action,
        flags: FlagNames {
            system: flags,
            keywords: Vec::new(),
        },
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    }
}

/// UID, flags and modseq of all messages as a user sees them.
async fn rows(mailbox: &UserMailbox) -> BTreeMap<u32, (Flags, u64)> {
    let snapshot = mailbox.snapshot().await.unwrap();
    let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
    let row = |row: Row| (row.uid.get(), (row.flags, row.modseq.0));
    loaded.rows(..).map(row).collect()
}

/// Everything that can be asked about `\Seen` gives the same answer as the rows.
async fn is_consistent(mailbox: &UserMailbox) {
    let rows = rows(mailbox).await;
    let snapshot = mailbox.snapshot().await.unwrap();
    let is_seen = |flags: Flags| flags.contains(Flags::SEEN);
    let with = |wanted: bool| {
        let rows = rows.iter().filter(move |(_, row)| is_seen(row.0) == wanted);
        uids(rows.map(|(uid, _)| *uid))
    };
    for (filter, wanted) in [
        (FlagFilter::with(Flags::SEEN), with(true)),
        (FlagFilter::without(Flags::SEEN), with(false)),
    ] {
        let loaded = mailbox.ensure(&snapshot, Wanted::Flagged(filter)).await;
        let loaded = loaded.unwrap();
        assert_eq!(loaded.uids_with(filter), wanted);
        let found = loaded.uids_where(filter, |flags| filter.passes(flags));
        assert_eq!(found, wanted);
        let found: UidSet = loaded.rows_with(filter).map(|row| row.uid).collect();
        assert_eq!(found, wanted);
        assert_eq!(u64::from(loaded.count_with(filter)), wanted.len());
    }
    let loaded = mailbox.ensure(&snapshot, Wanted::Unseen).await.unwrap();
    assert_eq!(u64::from(loaded.unseen()), with(false).len());
    let loaded = mailbox.ensure(&snapshot, Wanted::FirstUnseen).await;
    assert_eq!(loaded.unwrap().first_unseen(), with(false).first());
    for since in (0..=snapshot.modseq().0).rev().take(8) {
        let wanted = Wanted::ChangedSince(ModSeq(since));
        let loaded = mailbox.ensure(&snapshot, wanted).await.unwrap();
        let changed = loaded.changed_since(ModSeq(since));
        let changed: Vec<u32> = changed.map(|row| row.uid.get()).collect();
        let newer = rows.iter().filter(|(_, row)| row.1 > since);
        assert_eq!(changed, newer.map(|(uid, _)| *uid).collect::<Vec<_>>());
    }
}

struct Readers {
    owner: UserMailbox,
    bob: UserMailbox,
    eve: UserMailbox,
}

async fn readers(world: &World, mailbox: &str) -> Readers {
    let account = world.account().await;
    let mailbox = account.mailbox(&name(mailbox)).await.unwrap();
    let user = |user: &'static str| {
        let mail = world.mail.clone();
        async move { mail.user(user).await.unwrap().unwrap().account }
    };
    Readers {
        owner: UserMailbox::new(mailbox.clone()),
        bob: UserMailbox::for_reader(mailbox.clone(), user("bob").await),
        eve: UserMailbox::for_reader(mailbox, user("eve").await),
    }
}

async fn transfer(from: &UserMailbox, set: UidSet, to: &UserMailbox, how: Transfer, kept: Flags) {
    from.transfer(&set, to, how, kept).await.unwrap();
}

async fn world(engine: Engine, messages: u64) -> World {
    let world = World::new(engine).await;
    world.mail.user_add("bob", None).await.unwrap();
    world.mail.user_add("eve", None).await.unwrap();
    let inbox = world.inbox().await;
    for n in 1..=messages {
        append(&inbox, &text(n)).await.unwrap();
    }
    world
}

fn seen(rows: &BTreeMap<u32, (Flags, u64)>) -> Vec<u32> {
    let seen = rows.iter().filter(|(_, row)| row.0.contains(Flags::SEEN));
    seen.map(|(uid, _)| *uid).collect()
}

async fn each_has_their_own(engine: Engine) {
    let world = world(engine, 8).await;
    let Readers { owner, bob, eve } = readers(&world, "INBOX").await;
    let before = rows(&owner).await;
    let (mut owner_woke, mut bob_woke, mut eve_woke) = (owner.watch(), bob.watch(), eve.watch());
    owner_woke.mark_unchanged();
    bob_woke.mark_unchanged();
    eve_woke.mark_unchanged();

    let command = store(uids([2, 3, 7]), FlagAction::Add, Flags::SEEN);
    let stored = bob.store(&command).await.unwrap();
    assert_eq!(stored.changed, uids([2, 3, 7]));
    let diff = stored.change.after.diff(&stored.change.base).unwrap();
    assert_eq!(diff.changed, uids([2, 3, 7]));
    assert_eq!(seen(&rows(&bob).await), [2, 3, 7]);
    assert_eq!(rows(&owner).await, before);
    assert_eq!(seen(&rows(&eve).await), [0; 0]);
    let woken = [&owner_woke, &bob_woke, &eve_woke].map(|woke| woke.has_changed().unwrap());
    assert_eq!(woken, [false, true, false]);
    // It is so already.
    let again = bob.store(&command).await.unwrap();
    assert!(again.changed.is_empty());
    assert_eq!(again.change.after.modseq(), stored.change.after.modseq());

    // The owner's is nothing to the others; what else is changed is.
    let shown = bob.snapshot().await.unwrap();
    let command = store(uids([1, 2]), FlagAction::Add, Flags::SEEN);
    owner.store(&command).await.unwrap();
    let command = store(uids([2, 4]), FlagAction::Add, Flags::FLAGGED);
    owner.store(&command).await.unwrap();
    assert_eq!(seen(&rows(&owner).await), [1, 2]);
    assert_eq!(seen(&rows(&bob).await), [2, 3, 7]);
    let now = bob.snapshot().await.unwrap();
    assert_eq!(now.diff(&shown).unwrap().changed, uids([2, 4]));

    // Both at once, and a condition on what this user sees.
    let mut command = store(uids(1..=8), FlagAction::Replace, Flags::SEEN | Flags::DRAFT);
    command.unchanged_since = Some(stored.change.after.modseq());
    let stored = bob.store(&command).await.unwrap();
    // UID 1 is refused too: its row was changed, though not for bob.
    assert_eq!(stored.failed_unchanged_since, uids([1, 2, 4]));
    assert_eq!(seen(&rows(&bob).await), [2, 3, 5, 6, 7, 8]);
    assert_eq!(rows(&owner).await[&8].0, Flags::DRAFT);
    assert_eq!(rows(&eve).await[&8].0, Flags::DRAFT);
    let command = store(uids(1..=8), FlagAction::Remove, Flags::SEEN);
    owner.store(&command).await.unwrap();
    eve.store(&store(uids([5]), FlagAction::Add, Flags::SEEN))
        .await
        .unwrap();
    for mailbox in [&owner, &bob, &eve] {
        is_consistent(mailbox).await;
    }
    world.check().await;

    // It survives the process, and a checkpoint.
    let (bobs, eves) = (rows(&bob).await, rows(&eve).await);
    drop((owner, bob, eve, shown, now, stored, again));
    drop((owner_woke, bob_woke, eve_woke));
    let world = world.crash().await;
    world.clock.advance(std::time::Duration::from_secs(1));
    let Readers { bob, eve, .. } = readers(&world, "INBOX").await;
    assert_eq!(rows(&bob).await, bobs);
    assert_eq!(rows(&eve).await, eves);
    for n in 0..100 {
        append(&bob, &text(100 + n)).await.unwrap();
    }
    is_consistent(&bob).await;
    world.check().await;
}

#[tokio::test]
async fn each_has_their_own_in_memory() {
    each_has_their_own(Engine::Memory).await;
}

#[tokio::test]
async fn each_has_their_own_on_disk() {
    each_has_their_own(Engine::Embedded).await;
}

#[tokio::test]
async fn copies_have_what_their_user_sees() {
    let world = world(Engine::Memory, 4).await;
    let account = world.account().await;
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    let from = readers(&world, "INBOX").await;
    let to = readers(&world, "b").await;
    let set = store(uids([1, 2]), FlagAction::Add, Flags::SEEN | Flags::FLAGGED);
    from.bob.store(&set).await.unwrap();
    let set = store(uids([3]), FlagAction::Add, Flags::SEEN);
    from.owner.store(&set).await.unwrap();

    let all = Flags::ALL;
    transfer(&from.bob, uids(1..=3), &to.bob, Transfer::Copy, all).await;
    assert_eq!(seen(&rows(&to.bob).await), [1, 2]);
    assert_eq!(seen(&rows(&to.owner).await), [0; 0]);
    assert_eq!(seen(&rows(&to.eve).await), [0; 0]);
    assert_eq!(rows(&to.owner).await[&1].0, Flags::FLAGGED);
    // Within the mailbox; without the right to say what is seen.
    transfer(&from.bob, uids([2, 3]), &from.bob, Transfer::Copy, all).await;
    assert_eq!(seen(&rows(&from.bob).await), [1, 2, 5]);
    let kept = Flags::FLAGGED;
    transfer(&from.bob, uids([2]), &to.bob, Transfer::Move, kept).await;
    assert_eq!(seen(&rows(&to.bob).await), [1, 2]);
    // The owner's own.
    transfer(&from.owner, uids([3]), &to.owner, Transfer::Move, all).await;
    assert_eq!(seen(&rows(&to.owner).await), [5]);
    assert_eq!(seen(&rows(&to.bob).await), [1, 2]);

    // A new message is seen by who brings it so; nobody has to have read anything of the mailbox.
    let message = async || Append {
        email: account.new_email_from(b"Subject: x\r\n\r\n").await.unwrap(),
        flags: FlagNames {
            system: Flags::SEEN,
            keywords: vec!["$Work".into()],
        },
        internal_date: DateTime::utc(1_700_000_000),
    };
    let appended = to.eve.append(vec![message().await, message().await]).await;
    assert_eq!(
        appended.unwrap().uids,
        [6, 7].map(|uid| Uid::new(uid).unwrap())
    );
    assert_eq!(seen(&rows(&to.eve).await), [6, 7]);
    assert_eq!(seen(&rows(&to.owner).await), [5]);
    let uid = Uid::new(6).unwrap();
    to.eve.replace(uid, &to.eve, message().await).await.unwrap();
    assert_eq!(seen(&rows(&to.eve).await), [7, 8]);
    let uid = Uid::new(7).unwrap();
    to.eve
        .replace(uid, &from.eve, message().await)
        .await
        .unwrap();
    assert_eq!(seen(&rows(&to.eve).await), [8]);
    assert_eq!(seen(&rows(&from.eve).await), [7]);
    assert_eq!(seen(&rows(&from.owner).await), [0; 0]);
    for mailbox in [
        &from.owner,
        &from.bob,
        &from.eve,
        &to.owner,
        &to.bob,
        &to.eve,
    ] {
        is_consistent(mailbox).await;
    }
    world.check().await;
}

#[tokio::test]
async fn what_is_read_one_by_one_and_expunged_stays_small() {
    let world = world(Engine::Memory, 60).await;
    let Readers { owner, bob, .. } = readers(&world, "INBOX").await;
    for n in 1..=60 {
        let set = store(uids([n]), FlagAction::Add, Flags::SEEN);
        bob.store(&set).await.unwrap();
        if n % 3 == 0 {
            let gone = ExpungeWhat::Uids(uids([n - 2, n]));
            owner.expunge(&gone, None).await.unwrap();
        }
        if n % 10 == 0 {
            is_consistent(&bob).await;
        }
    }
    let snapshot = bob.snapshot().await.unwrap();
    let loaded = bob.ensure(&snapshot, Wanted::Unseen).await.unwrap();
    assert_eq!(loaded.unseen(), 0);
    let set = store(UidSet::all(), FlagAction::Remove, Flags::SEEN);
    assert_eq!(bob.store(&set).await.unwrap().changed.len(), 20);
    is_consistent(&bob).await;
    world.check().await;
}

/// Two sessions of one user, and the owner, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_act_at_the_same_time_lose_nothing() {
    let world = world(Engine::Memory, 40).await;
    let Readers { owner, bob, eve } = readers(&world, "INBOX").await;
    let mut tasks = Vec::new();
    for (mailbox, from) in [(&bob, 1), (&bob, 2), (&eve, 3), (&owner, 4)] {
        let mailbox = mailbox.clone();
        tasks.push(tokio::spawn(async move {
            for n in (from..=40).step_by(4) {
                let set = store(uids([n]), FlagAction::Add, Flags::SEEN);
                mailbox.store(&set).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let every = |from: u32| (from..=40).step_by(4);
    let mut bobs: Vec<u32> = every(1).chain(every(2)).collect();
    bobs.sort_unstable();
    assert_eq!(seen(&rows(&bob).await), bobs);
    assert_eq!(seen(&rows(&eve).await), every(3).collect::<Vec<_>>());
    assert_eq!(seen(&rows(&owner).await), every(4).collect::<Vec<_>>());
    world.check().await;
}

#[tokio::test]
async fn who_is_gone_leaves_nothing() {
    let world = world(Engine::Memory, 3).await;
    let Readers { bob, eve, .. } = readers(&world, "INBOX").await;
    let set = store(uids([1, 2]), FlagAction::Add, Flags::SEEN);
    bob.store(&set).await.unwrap();
    eve.store(&set).await.unwrap();
    drop((bob, eve));
    world.mail.user_remove("bob").await.unwrap();
    world.mail.user_add("bob", None).await.unwrap();
    world.mail.retention().await.unwrap();
    world.check().await;
    let world = world.crash().await;
    world.clock.advance(std::time::Duration::from_secs(1));
    let Readers { bob, eve, .. } = readers(&world, "INBOX").await;
    assert_eq!(seen(&rows(&bob).await), [0; 0]);
    assert_eq!(seen(&rows(&eve).await), [1, 2]);
    // With a mailbox goes what was seen of it; one with its name is another.
    let account = world.account().await;
    account.create(&name("b"), SpecialUse::NONE).await.unwrap();
    let readers_of_b = readers(&world, "b").await;
    append(&readers_of_b.owner, &text(9)).await.unwrap();
    let set = store(uids([1]), FlagAction::Add, Flags::SEEN);
    readers_of_b.eve.store(&set).await.unwrap();
    drop(readers_of_b);
    account.rename(&name("b"), &name("c")).await.unwrap();
    assert_eq!(seen(&rows(&readers(&world, "c").await.eve).await), [1]);
    account.delete(&name("c")).await.unwrap();
    account.create(&name("c"), SpecialUse::NONE).await.unwrap();
    let again = readers(&world, "c").await;
    append(&again.owner, &text(10)).await.unwrap();
    assert_eq!(seen(&rows(&again.eve).await), [0; 0]);
    world.check().await;
}
