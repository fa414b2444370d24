//! Crashes and faults at every commit: several tasks change two mailboxes and the tree on a store that
//! fails from a seed and crashes at its n-th group; then the store is opened again, `check()` finds
//! nothing, and everything that was acknowledged is there, everything refused is not, and what nobody
//! knows happened whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use restante_mailbox::*;
use restante_store::{MemoryOptions, Store};

const USER: &str = "ann";
const TASKS: u64 = 3;
const STEPS: u64 = 12;
const BOXES: [&str; 2] = ["a", "b"];

struct Chances(u64);

impl Chances {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

/// What one task was told. Nobody else touches its messages and its mailbox.
#[derive(Debug)]
struct Told {
    task: u64,
    /// Which mailbox and UID: which message, and whether it is flagged.
    rows: BTreeMap<(usize, Uid), (String, bool)>,
    /// Messages that the task lost sight of: how often they may be there in all.
    unsure: BTreeMap<String, RangeInclusive<usize>>,
    /// What its mailbox may be called.
    names: BTreeSet<String>,
    messages: u64,
    acknowledged: usize,
    unknown: usize,
}

impl Told {
    fn new(task: u64) -> Self {
        Self {
            task,
            rows: BTreeMap::new(),
            unsure: BTreeMap::new(),
            names: BTreeSet::from([format!("t{task}")]),
            messages: 0,
            acknowledged: 0,
            unknown: 0,
        }
    }

    /// Nobody knows what became of a change to a message: it is `change` fewer or more of it, or none.
    fn lose_sight(&mut self, id: &str, change: RangeInclusive<isize>) {
        let there = self.rows.values().filter(|(other, _)| other == id).count();
        self.rows.retain(|_, (other, _)| other != id);
        let [least, most] =
            [change.start(), change.end()].map(|by| there.saturating_add_signed(*by));
        self.unsure.insert(id.to_owned(), least..=most);
        self.unknown += 1;
    }
}

/// Whether the store is gone: the task ends.
fn is_down(error: &MailError) -> bool {
    match error {
        MailError::Unavailable { reason } => reason.contains("crashed"),
        MailError::Unknown { .. }
        | MailError::Full { .. }
        | MailError::Busy
        | MailError::Conflict => false,
        other => panic!("{other}"),
    }
}

async fn work(account: Arc<Account>, mut chances: Chances, told: &mut Told) -> Result<()> {
    let mut boxes = Vec::new();
    for which in BOXES {
        boxes.push(account.mailbox(&name(which)).await?);
    }
    for step in 0..STEPS {
        let rows: Vec<_> = told
            .rows
            .iter()
            .map(|(at, row)| (*at, row.clone()))
            .collect();
        let row =
            (!rows.is_empty()).then(|| rows[chances.below(rows.len() as u64) as usize].clone());
        let outcome = match (chances.below(9), row) {
            (8, _) => rename(&account, told, step).await,
            (0..=2, _) | (_, None) => {
                let at = chances.below(2) as usize;
                append(&account, &boxes[at], at, told).await
            }
            (what, Some(((at, uid), (id, flagged)))) => {
                let set: UidSet = [uid].into_iter().collect();
                let to = chances.below(2) as usize;
                match what {
                    3 | 4 => store(&boxes[at], (at, uid), &set, told, &id, !flagged).await,
                    5 => copy(&boxes, (at, uid), to, &set, told, &id).await,
                    6 => {
                        let moved = boxes[at].move_to(&set, &boxes[to]).await;
                        moved
                            .map(|moved| {
                                told.rows.remove(&(at, uid));
                                assert_eq!(moved.source, [uid]);
                                told.rows
                                    .insert((to, moved.destination[0]), (id.clone(), flagged));
                            })
                            .inspect_err(|error| told.unless_known(error, &id, 0..=0))
                    }
                    _ => {
                        let gone = boxes[at].expunge(&ExpungeWhat::Uids(set), None).await;
                        gone.map(|gone| {
                            assert_eq!(gone.uids.len(), 1);
                            told.rows.remove(&(at, uid));
                        })
                        .inspect_err(|error| told.unless_known(error, &id, -1..=0))
                    }
                }
            }
        };
        match outcome {
            Ok(()) => told.acknowledged += 1,
            Err(error) if is_down(&error) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

impl Told {
    fn unless_known(&mut self, error: &MailError, id: &str, change: RangeInclusive<isize>) {
        if matches!(error, MailError::Unknown { .. }) {
            self.lose_sight(id, change);
        }
    }
}

async fn append(
    account: &Arc<Account>,
    mailbox: &Arc<Mailbox>,
    at: usize,
    told: &mut Told,
) -> Result<()> {
    told.messages += 1;
    let id = format!("{}-{}", told.task, told.messages);
    let text = format!(
        "Message-ID: <{id}@x>\r\nSubject: {id}\r\n\r\n{}\r\n",
        id.repeat(30)
    );
    let message = Append {
        email: account.new_email_from(text.as_bytes()).await?,
        flags: FlagNames::default(),
        internal_date: DateTime::utc(1_700_000_000),
    };
    let appended = mailbox.append(vec![message]).await;
    let appended = appended.inspect_err(|error| told.unless_known(error, &id, 0..=1))?;
    told.rows.insert((at, appended.uids[0]), (id, false));
    Ok(())
}

async fn store(
    mailbox: &Arc<Mailbox>,
    at: (usize, Uid),
    set: &UidSet,
    told: &mut Told,
    id: &str,
    flagged: bool,
) -> Result<()> {
    let command = StoreFlags {
        uids: set.clone(),
        action: match flagged {
            true => FlagAction::Add,
            false => FlagAction::Remove,
        },
        flags: FlagNames {
            system: Flags::FLAGGED,
            keywords: vec![],
        },
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    };
    let stored = mailbox.store(&command).await;
    let stored = stored.inspect_err(|error| told.unless_known(error, id, 0..=0))?;
    assert!(stored.missing.is_empty());
    told.rows.insert(at, (id.to_owned(), flagged));
    Ok(())
}

async fn copy(
    boxes: &[Arc<Mailbox>],
    (at, uid): (usize, Uid),
    to: usize,
    set: &UidSet,
    told: &mut Told,
    id: &str,
) -> Result<()> {
    let copied = boxes[at].copy(set, &boxes[to]).await;
    let copied = copied.inspect_err(|error| told.unless_known(error, id, 0..=1))?;
    let flagged = told.rows[&(at, uid)].1;
    told.rows
        .insert((to, copied.destination[0]), (id.to_owned(), flagged));
    Ok(())
}

async fn rename(account: &Arc<Account>, told: &mut Told, step: u64) -> Result<()> {
    if told.names.len() > 1 {
        return Ok(());
    }
    let from = told.names.first().unwrap().clone();
    let to = format!("t{}/{step}", told.task + 100);
    let renamed = account.rename(&name(&from), &name(&to)).await;
    match &renamed {
        Ok(()) => told.names = BTreeSet::from([to]),
        Err(MailError::Unknown { .. }) => {
            told.unknown += 1;
            told.names.insert(to);
        }
        Err(_) => {}
    }
    renamed
}

/// The faults of a run.
fn faults(seed: u64, crash_at: Option<u64>) -> MemoryOptions {
    let mut options = MemoryOptions::slow(seed);
    if !seed.is_multiple_of(3) {
        options.full_permille = 30;
        options.unknown_applied_permille = 60;
        options.unknown_lost_permille = 60;
    }
    if seed % 3 > 1 {
        options.read_failed_permille = 15;
    }
    options.crash_at = crash_at;
    options
}

#[derive(Default, Debug)]
struct Seen {
    runs: usize,
    acknowledged: usize,
    unknown: usize,
}

/// One life of a store, and what is left of it. Returns whether it crashed before the work was done.
async fn run(seed: u64, mut options: MemoryOptions, seen: &mut Seen) -> bool {
    let quiet = Store::memory(MemoryOptions::default());
    {
        let mail = Mail::open(quiet.clone(), MailOptions::default())
            .await
            .unwrap();
        mail.user_add(USER, None).await.unwrap();
        let account = mail.account_of(USER).await.unwrap();
        for which in BOXES
            .map(str::to_owned)
            .into_iter()
            .chain((0..TASKS).map(|t| format!("t{t}")))
        {
            account
                .create(&name(&which), SpecialUse::NONE)
                .await
                .unwrap();
        }
    }
    // The store goes on with its faults.
    options.seed = seed;
    let store = quiet.crash(options).unwrap();
    let mail = Mail::open(store.clone(), MailOptions::default())
        .await
        .unwrap();
    let mut all = Vec::new();
    let account = loop {
        match mail.account_of(USER).await {
            Ok(account) => break account,
            Err(error) => assert!(!is_down(&error), "crashed before anything was written"),
        }
    };
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (account, chances) = (account.clone(), Chances(seed * 1000 + task));
            tokio::spawn(async move {
                let mut told = Told::new(task);
                let outcome = work(account, chances, &mut told).await;
                (told, outcome)
            })
        })
        .collect();
    let mut crashed = false;
    for task in tasks {
        let (told, outcome) = task.await.unwrap();
        crashed |= outcome.is_err_and(|error| is_down(&error));
        all.push(told);
    }
    drop((account, mail));
    let store = store.crash(MemoryOptions::default()).unwrap();
    verify(store, &all).await;
    seen.runs += 1;
    seen.acknowledged += all.iter().map(|told| told.acknowledged).sum::<usize>();
    seen.unknown += all.iter().map(|told| told.unknown).sum::<usize>();
    crashed
}

async fn verify(store: Store, all: &[Told]) {
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    let report = mail.check(CheckScope::All, true).await.unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    let account = mail.account_of(USER).await.unwrap();
    let mut unsure: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (at, which) in BOXES.into_iter().enumerate() {
        let mailbox = account.mailbox(&name(which)).await.unwrap();
        let snapshot = mailbox.snapshot().await.unwrap();
        let loaded = mailbox.ensure(&snapshot, Wanted::All).await.unwrap();
        for row in loaded.rows_in(&UidSet::all()) {
            let email = account.email(row.email).await.unwrap();
            let bytes = account.read(&email, 0..email.size()).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let id = text.split("Subject: ").nth(1).unwrap();
            let id = id.split("\r\n").next().unwrap().to_owned();
            let task = all
                .iter()
                .find(|told| id.starts_with(&format!("{}-", told.task)));
            match task.unwrap().unsure.get_key_value(&id) {
                Some((id, _)) => *unsure.entry(id).or_default() += 1,
                None => {
                    let flagged = row.flags.contains(Flags::FLAGGED);
                    found.insert((at, row.uid), (id, flagged));
                }
            }
        }
    }
    let want: BTreeMap<_, _> = all.iter().flat_map(|told| told.rows.clone()).collect();
    assert_eq!(found, want);
    let tree = account.tree().await.unwrap();
    for told in all {
        for (id, times) in &told.unsure {
            let there = unsure.get(id.as_str()).copied().unwrap_or(0);
            assert!(
                times.contains(&there),
                "{id} is there {there} times, not {times:?}"
            );
        }
        let names = told.names.iter().filter(|n| tree.get(&name(n)).is_some());
        assert_eq!(names.count(), 1, "{:?}", told.names);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_commit() {
    let mut seen = Seen::default();
    for seed in 0..9 {
        let mut crash_at = 1;
        while run(seed, faults(seed, Some(crash_at)), &mut seen).await {
            crash_at += 1;
        }
        assert!(crash_at > 5, "{crash_at} groups");
    }
    println!("{seen:?}");
    assert!(seen.acknowledged > 1000 && seen.unknown > 100, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_without_a_crash() {
    let mut seen = Seen::default();
    for seed in 100..160 {
        run(seed, faults(seed, None), &mut seen).await;
    }
    println!("{seen:?}");
    assert!(seen.acknowledged > 500, "{seen:?}");
}

/// A store that acknowledges what it loses would be noticed.
#[tokio::test(start_paused = true)]
async fn a_store_that_lies_is_noticed() {
    let mut noticed = 0;
    for seed in 0..10 {
        let run = tokio::spawn(async move {
            let mut options = MemoryOptions::slow(seed);
            options.sync_lies = true;
            run(seed, options, &mut Seen::default()).await
        });
        noticed += usize::from(run.await.is_err());
    }
    assert!(noticed > 5, "{noticed}");
}
