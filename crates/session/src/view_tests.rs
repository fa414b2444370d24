//! The view against a naive model: a client that keeps a list and does what it is told.

use std::sync::Arc;

use proptest::prelude::*;
use restante_mailbox::{
    Append, DateTime, ExpungeWhat, FlagAction, FlagNames, Flags, Mail, MailOptions, Mailbox,
    MailboxName, StoreFlags, Uid, UidSet,
};
use restante_proto::types::{self as wire, SeqNum, SetEnd, SetRange};
use restante_store::{MemoryOptions, Store};

use crate::view::{Expunges, View};

/// What happens to a mailbox and to a session that has it open.
#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    /// Others set flags on messages at these places (of those that exist).
    Flag(Vec<prop::sample::Index>),
    Expunge(Vec<prop::sample::Index>),
    Sync(Expunges),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let places = prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    let step = prop_oneof![
        2 => (1u8..4).prop_map(Step::Append),
        2 => places.clone().prop_map(Step::Flag),
        3 => places.prop_map(Step::Expunge),
        3 => Just(Step::Sync(Expunges::Wait)),
        1 => Just(Step::Sync(Expunges::Numbers)),
        1 => Just(Step::Sync(Expunges::Uids)),
    ];
    prop::collection::vec(step, 1..24)
}

async fn mailbox() -> Arc<Mailbox> {
    let store = Store::memory(MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default())
        .await
        .expect("a store in memory opens");
    let user = mail
        .user_add("alice", None)
        .await
        .expect("a user can be added");
    let account = mail
        .account(user.account)
        .await
        .expect("the account is there");
    account
        .mailbox(&MailboxName::inbox())
        .await
        .expect("INBOX is there")
}

async fn append(mailbox: &Arc<Mailbox>, count: u8) {
    for _ in 0..count {
        let email = mailbox
            .account()
            .new_email_from(b"Subject: x\r\n\r\ny")
            .await;
        let message = Append {
            email: email.expect("a message"),
            flags: FlagNames::default(),
            internal_date: DateTime::utc(0),
        };
        mailbox
            .append(vec![message])
            .await
            .expect("it can be appended");
    }
}

async fn all(mailbox: &Arc<Mailbox>) -> Vec<Uid> {
    let snapshot = mailbox.snapshot().await.expect("a snapshot");
    let loaded = mailbox
        .ensure(&snapshot, restante_mailbox::Wanted::All)
        .await
        .expect("rows");
    loaded.rows(..).map(|row| row.uid).collect()
}

fn pick(from: &[Uid], places: &[prop::sample::Index]) -> UidSet {
    match from {
        [] => UidSet::new(),
        from => places
            .iter()
            .map(|place| from[place.index(from.len())])
            .collect(),
    }
}

/// What a client knows that counts its messages as it is told.
#[derive(Debug, Default)]
struct Client(Vec<Uid>);

impl Client {
    async fn sync(&mut self, mailbox: &Arc<Mailbox>, view: &mut View, expunges: Expunges) {
        let newest = mailbox.snapshot().await.expect("a snapshot");
        let before = self.0.clone();
        let changes = view.advance(&newest, expunges).await.expect("it goes on");
        let mut gone = UidSet::new();
        for number in &changes.expunged_numbers {
            gone.insert(self.0.remove(*number as usize - 1));
        }
        match expunges {
            Expunges::Wait => assert!(changes.expunged.is_empty()),
            Expunges::Numbers => assert_eq!(gone, changes.expunged),
            Expunges::Uids | Expunges::UidsAndNumbers => {
                self.0.retain(|uid| !changes.expunged.contains(*uid))
            }
        }
        assert!(
            changes.expunged.iter().all(|uid| before.contains(&uid)),
            "only what it knew"
        );
        if let Some(exists) = changes.exists {
            assert!(
                exists as usize > self.0.len(),
                "EXISTS never shrinks a mailbox"
            );
            let known = self.0.last().copied();
            let rows = view
                .load(restante_mailbox::Wanted::All)
                .await
                .expect("rows");
            let everything = UidSet::all();
            let new = rows.iter(&everything).map(|(_, row)| row.uid);
            self.0
                .extend(new.filter(|uid| known.is_none_or(|known| *uid > known)));
            assert_eq!(self.0.len(), exists as usize);
        }
        assert!(changes.changed.iter().all(|uid| self.0.contains(&uid)));
    }

    /// The view and the client agree on every number.
    async fn check(&self, view: &View) {
        assert_eq!(view.exists() as usize, self.0.len());
        let last = view.last_uid().await.expect("the last UID");
        assert_eq!(last, self.0.last().copied());
        let everything = UidSet::all();
        let rows = view
            .load(restante_mailbox::Wanted::All)
            .await
            .expect("rows");
        let shown: Vec<_> = rows
            .iter(&everything)
            .map(|(number, row)| (number, row.uid))
            .collect();
        let counted: Vec<_> = (1u32..).zip(self.0.iter().copied()).collect();
        assert_eq!(shown, counted);
        for (number, uid) in counted {
            assert_eq!(
                rows.row(uid).map(|(number, row)| (number, row.uid)),
                Some((number, uid))
            );
            assert_eq!(view.uid_of(number).await.expect("a UID"), Some(uid));
        }
        assert_eq!(view.uid_of(view.exists() + 1).await.expect("no UID"), None);
        assert_eq!(view.uid_of(0).await.expect("no UID"), None);
    }

    /// A set of numbers names what the client thinks.
    async fn check_set(&self, view: &View, first: u32, last: Option<u32>) {
        let end = |n| SeqNum::new(n).map_or(SetEnd::Star, SetEnd::Number);
        let range = SetRange {
            first: end(first),
            last: last.map_or(SetEnd::Star, end),
        };
        let set = wire::SeqSet {
            ranges: vec![range],
            saved: false,
        };
        let exists = u32::try_from(self.0.len()).expect("few messages");
        let (a, b) = (first, last.unwrap_or(exists));
        let (a, b) = (a.min(b), a.max(b));
        match view.resolve_numbers(&set).await {
            Ok(uids) => {
                let named: Vec<_> = self
                    .0
                    .iter()
                    .copied()
                    .filter(|uid| uids.contains(*uid))
                    .collect();
                let wanted: Vec<_> = (a.max(1)..=b.min(exists))
                    .filter_map(|number| self.0.get(number as usize - 1).copied())
                    .collect();
                assert_eq!(named, wanted, "{a}:{b} of {exists}");
            }
            Err(_) => assert!(a > exists || exists == 0, "{a}:{b} of {exists}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn numbers_change_only_by_what_was_told(
        steps in steps(),
        sets in prop::collection::vec((1u32..12, prop::option::of(1u32..12)), 4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mailbox = mailbox().await;
            append(&mailbox, 3).await;
            let snapshot = mailbox.snapshot().await.expect("a snapshot");
            let mut view = View::new(mailbox.clone(), snapshot, UidSet::new());
            let mut client = Client(all(&mailbox).await);
            client.check(&view).await;
            for step in steps {
                match step {
                    Step::Append(count) => append(&mailbox, count).await,
                    Step::Flag(places) => {
                        let store = StoreFlags {
                            uids: pick(&all(&mailbox).await, &places),
                            action: FlagAction::Add,
                            flags: FlagNames { system: Flags::FLAGGED, keywords: Vec::new() },
                            unchanged_since: None,
                            visible: None,
                            changeable: Flags::ALL,
                        };
                        mailbox.store(&store).await.expect("flags can be set");
                    }
                    Step::Expunge(places) => {
                        let uids = pick(&all(&mailbox).await, &places);
                        let what = ExpungeWhat::Uids(uids);
                        mailbox.expunge(&what, None).await.expect("they can be expunged");
                    }
                    Step::Sync(expunges) => {
                        let told = view.highest_mod_seq();
                        client.sync(&mailbox, &mut view, expunges).await;
                        prop_assert!(view.highest_mod_seq() >= told, "HIGHESTMODSEQ never falls");
                        if expunges != Expunges::Wait {
                            prop_assert_eq!(&client.0, &all(&mailbox).await);
                            prop_assert_eq!(view.ghost_count(), 0);
                        }
                    }
                }
                client.check(&view).await;
                for (first, last) in &sets {
                    client.check_set(&view, *first, *last).await;
                }
            }
            client.sync(&mailbox, &mut view, Expunges::Numbers).await;
            client.check(&view).await;
            prop_assert_eq!(&client.0, &all(&mailbox).await);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn uid_sets_stay_within_the_view() {
    let mailbox = mailbox().await;
    append(&mailbox, 3).await;
    let snapshot = mailbox.snapshot().await.expect("a snapshot");
    let view = View::new(mailbox.clone(), snapshot, UidSet::new());
    append(&mailbox, 2).await;
    let resolve = async |first: u32, last: Option<u32>| {
        let end = |n: u32| wire::Uid::new(n).map_or(SetEnd::Star, SetEnd::Number);
        let range = SetRange {
            first: end(first),
            last: last.map_or(SetEnd::Star, end),
        };
        let set = wire::UidSet {
            ranges: vec![range],
            saved: false,
        };
        view.resolve_uids(&set)
            .await
            .expect("it names something")
            .to_string()
    };
    assert_eq!(resolve(1, None).await, "1:3");
    assert_eq!(resolve(2, Some(100)).await, "2:3");
    // RFC 9051 §6.4.9: `559:*` has the last message, though its UID is smaller.
    assert_eq!(resolve(559, None).await, "3");
    assert_eq!(resolve(4, Some(5)).await, "");
}

#[tokio::test]
async fn highest_mod_seq_waits_for_the_oldest_ghost() {
    let mailbox = mailbox().await;
    append(&mailbox, 3).await;
    let snapshot = mailbox.snapshot().await.expect("a snapshot");
    let mut view = View::new(mailbox.clone(), snapshot, UidSet::new());
    let before = view.highest_mod_seq();
    let first = ExpungeWhat::Uids(UidSet::from_range(Uid::MIN, Uid::MIN));
    mailbox.expunge(&first, None).await.expect("it is expunged");
    let newest = mailbox.snapshot().await.expect("a snapshot");
    view.advance(&newest, Expunges::Wait)
        .await
        .expect("it goes on");
    append(&mailbox, 1).await;
    let newest = mailbox.snapshot().await.expect("a snapshot");
    view.advance(&newest, Expunges::Wait)
        .await
        .expect("it goes on");
    assert_eq!((view.exists(), view.highest_mod_seq()), (4, before));
    view.save(UidSet::from_range(Uid::MIN, Uid::MAX));
    let changes = view
        .advance(&newest, Expunges::Uids)
        .await
        .expect("it goes on");
    assert_eq!(changes.expunged.to_string(), "1");
    assert_eq!(view.highest_mod_seq().0, newest.modseq().0);
    assert!(
        !view.saved().contains(Uid::MIN),
        "$ loses what was told to be gone"
    );
}
