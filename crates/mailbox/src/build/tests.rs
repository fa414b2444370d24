use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{record::Record, snapshot::Wanted, types::UidValidity};

fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not 0")
}

fn set(text: &str) -> UidSet {
    let number = |text: &str| uid(text.parse().expect("a number"));
    UidSet::from_unsorted(
        text.split(',')
            .filter(|range| !range.is_empty())
            .map(|range| {
                let (first, last) = range.split_once(':').unwrap_or((range, range));
                (number(first), number(last))
            }),
    )
}

fn names(system: Flags, keywords: &[&str]) -> FlagNames {
    FlagNames {
        system,
        keywords: keywords.iter().map(|name| (*name).into()).collect(),
    }
}

fn row(flags: FlagNames) -> AppendRow {
    let (email, internal_date) = (EmailId(5), DateTime::utc(9));
    AppendRow {
        uid: None,
        email,
        size: 100,
        internal_date,
        save_date_s: 10,
        flags,
    }
}

fn loaded(snapshot: Snapshot) -> Loaded {
    Arc::new(snapshot).loaded(Wanted::All).expect("in memory")
}

fn then(from: &Loaded, effects: Vec<Effect>) -> Loaded {
    let record = Record::new(from.tail(), 0, 0, effects).expect("room");
    loaded(from.apply(&record).expect("follows"))
}

fn empty() -> Loaded {
    loaded(Snapshot::new(UidValidity::new(1).expect("not 0")))
}

/// Messages with UIDs 1 to `count`, without flags.
fn mailbox(count: usize) -> Loaded {
    let from = empty();
    let rows = std::iter::repeat_n(row(FlagNames::default()), count);
    let built = append(&from, rows).expect("builds");
    then(&from, built.effects)
}

fn command(uids: &str, action: FlagAction, flags: FlagNames) -> StoreFlags {
    StoreFlags {
        uids: set(uids),
        action,
        flags,
        unchanged_since: None,
        visible: None,
        changeable: Flags::ALL,
    }
}

fn seen(uids: &str) -> StoreFlags {
    command(uids, FlagAction::Add, names(Flags::SEEN, &[]))
}

fn effect_uids(effects: &[Effect]) -> String {
    let uids = effects.iter().find_map(|effect| match effect {
        Effect::SetFlags { uids, .. } | Effect::Expunge { uids } => Some(uids.to_string()),
        _ => None,
    });
    uids.unwrap_or_default()
}

#[test]
fn store_everything_is_one_range_over_what_is_seen_and_what_is_gone() {
    let from = mailbox(100);
    let gone = expunge(&from, &ExpungeWhat::Uids(set("20:29,50")), None);
    let from = then(&from, gone.effects);
    let some = store_flags(&from, &seen("1:9,40:42")).expect("builds");
    let from = then(&from, some.effects);
    let built = store_flags(&from, &seen("1:4294967295")).expect("builds");
    assert_eq!(effect_uids(&built.effects), "10:100");
    assert_eq!(built.changed, set("10:19,30:39,43:49,51:100"));
    assert_eq!(built.missing, set("20:29,50,101:4294967295"));
}

#[test]
fn ranges_are_not_joined_over_messages_that_were_not_meant() {
    let from = mailbox(10);
    let built = store_flags(&from, &seen("2,4:5,9")).expect("builds");
    assert_eq!(effect_uids(&built.effects), "2,4:5,9");
    let hidden = StoreFlags {
        visible: Some(set("1:3,6:10")),
        ..seen("1:10")
    };
    let built = store_flags(&from, &hidden).expect("builds");
    assert_eq!(effect_uids(&built.effects), "1:3,6:10");
    assert_eq!(built.missing, set("4:5"));
}

#[test]
fn a_flag_for_a_hundred_thousand_is_a_small_record() {
    let from = mailbox(100_000);
    let built = store_flags(&from, &seen("1:100000")).expect("builds");
    let record = Record::new(from.tail(), 0, 0, built.effects).expect("room");
    assert!(record.bytes().len() < 1024, "{}", record.bytes().len());
    let after = loaded(from.apply(&record).expect("follows"));
    assert!(after.rows(..).all(|row| row.flags == Flags::SEEN));
}

#[test]
fn a_store_without_effect_has_no_record() {
    let from = mailbox(3);
    let from = then(
        &from,
        store_flags(&from, &seen("1:3")).expect("builds").effects,
    );
    let built = store_flags(&from, &seen("1:3")).expect("builds");
    assert_eq!((built.effects.len(), built.changed.is_empty()), (0, true));
    let nobody = command("7:9", FlagAction::Add, names(Flags::NONE, &["new"]));
    assert_eq!(store_flags(&from, &nobody).expect("builds").effects, []);
    let unknown = command("1:3", FlagAction::Remove, names(Flags::NONE, &["unknown"]));
    assert_eq!(store_flags(&from, &unknown).expect("builds").effects, []);
}

#[test]
fn replace_leaves_only_what_is_named() {
    let from = mailbox(2);
    let add = command(
        "1:2",
        FlagAction::Add,
        names(Flags::SEEN | Flags::DRAFT, &["$A", "$b"]),
    );
    let from = then(&from, store_flags(&from, &add).expect("builds").effects);
    let replace = command(
        "1",
        FlagAction::Replace,
        names(Flags::FLAGGED, &["$B", "$c"]),
    );
    let from = then(&from, store_flags(&from, &replace).expect("builds").effects);
    let flags = from.row(uid(1)).expect("there").flags;
    assert!(from.keywords().names_of(flags).eq(["$b", "$c"]));
    assert_eq!(flags & Flags::SYSTEM, Flags::FLAGGED);
    let other = from.row(uid(2)).expect("there").flags;
    assert!(from.keywords().names_of(other).eq(["$A", "$b"]));
}

#[test]
fn unchanged_since_refuses_what_was_changed() {
    // RFC 7162 §3.1.3, examples 5 and 8.
    let from = mailbox(9);
    let since = from.modseq();
    let from = then(
        &from,
        store_flags(&from, &seen("7,9")).expect("builds").effects,
    );
    let deleted = command("7,5,9", FlagAction::Add, names(Flags::DELETED, &[]));
    let built = StoreFlags {
        unchanged_since: Some(since),
        ..deleted.clone()
    };
    let built = store_flags(&from, &built).expect("builds");
    assert_eq!((built.changed, built.refused), (set("5"), set("7,9")));
    assert_eq!(effect_uids(&built.effects), "5");
    let zero = StoreFlags {
        unchanged_since: Some(ModSeq::ZERO),
        ..deleted
    };
    assert_eq!(
        store_flags(&from, &zero).expect("builds").refused,
        set("5,7,9")
    );
}

#[test]
fn unchanged_since_looks_at_the_named_flags_if_it_can() {
    // RFC 7162 §3.1.12: another client set \Deleted on 1, and $Processed on 2.
    let known = mailbox(3);
    let since = known.modseq();
    let deleted = command("1", FlagAction::Add, names(Flags::DELETED, &[]));
    let from = then(
        &known,
        store_flags(&known, &deleted).expect("builds").effects,
    );
    let processed = |uids| command(uids, FlagAction::Add, names(Flags::NONE, &["$Processed"]));
    let from = then(
        &from,
        store_flags(&from, &processed("2")).expect("builds").effects,
    );
    let store = StoreFlags {
        unchanged_since: Some(since),
        ..processed("1:3")
    };
    let built = store_flags_known(&from, &store, Some(&known)).expect("builds");
    assert_eq!((built.changed, built.refused), (set("1,3"), set("2")));
    let built = store_flags(&from, &store).expect("builds");
    assert_eq!((built.changed, built.refused), (set("3"), set("1:2")));
    // FLAGS without + or - means all of them.
    let replace = StoreFlags {
        action: FlagAction::Replace,
        ..store.clone()
    };
    let built = store_flags_known(&from, &replace, Some(&known)).expect("builds");
    assert_eq!(built.refused, set("1:2"));
    // What the client names is older than what this session was told.
    let newer = StoreFlags {
        unchanged_since: Some(ModSeq(1)),
        ..store.clone()
    };
    let built = store_flags_known(&from, &newer, Some(&known)).expect("builds");
    assert_eq!(built.refused, set("1:3"));
    // It is newer than that: what happened between is not known.
    let newer = StoreFlags {
        unchanged_since: Some(ModSeq(since.0 + 1)),
        ..store
    };
    let from = then(
        &from,
        store_flags(
            &from,
            &StoreFlags {
                action: FlagAction::Remove,
                ..deleted
            },
        )
        .expect("builds")
        .effects,
    );
    let built = store_flags_known(&from, &newer, Some(&known)).expect("builds");
    assert_eq!(built.refused, set("1:2"));
}

#[test]
fn unchanged_since_zero_asks_for_keywords() {
    // RFC 7162 §3.1.3, examples 7 and 8: system flags always exist.
    let from = mailbox(3);
    let keyword = |uids| command(uids, FlagAction::Add, names(Flags::NONE, &["$MDNSent"]));
    let from = then(
        &from,
        store_flags(&from, &keyword("2")).expect("builds").effects,
    );
    let zero = |command| StoreFlags {
        unchanged_since: Some(ModSeq::ZERO),
        ..command
    };
    let built = store_flags(&from, &zero(keyword("1:3"))).expect("builds");
    assert_eq!((built.changed, built.refused), (set("1,3"), set("2")));
    let both = command("1:3", FlagAction::Add, names(Flags::SEEN, &["$MDNSent"]));
    let built = store_flags(&from, &zero(both)).expect("builds");
    assert_eq!(built.refused, set("1:3"));
    let all = StoreFlags {
        action: FlagAction::Replace,
        ..keyword("1:3")
    };
    let built = store_flags(&from, &zero(all)).expect("builds");
    assert_eq!(built.refused, set("1:3"));
}

#[test]
fn expunge_takes_what_is_deleted() {
    let from = mailbox(10);
    let deleted = command("2:4,9", FlagAction::Add, names(Flags::DELETED, &[]));
    let from = then(&from, store_flags(&from, &deleted).expect("builds").effects);
    let take = |what, visible: Option<&UidSet>| expunge(&from, &what, visible).uids;
    assert_eq!(take(ExpungeWhat::Deleted(None), None), set("2:4,9"));
    assert_eq!(
        take(ExpungeWhat::Deleted(Some(set("3:8"))), None),
        set("3:4")
    );
    assert_eq!(take(ExpungeWhat::Uids(set("1,3,11")), None), set("1,3"));
    assert_eq!(
        take(ExpungeWhat::Deleted(None), Some(&set("1:3"))),
        set("2:3")
    );
    assert_eq!(
        expunge(&from, &ExpungeWhat::Uids(set("44")), None).effects,
        []
    );
}

#[test]
fn copy_takes_keywords_by_name() {
    let from = mailbox(4);
    let add = command("2:3", FlagAction::Add, names(Flags::SEEN, &["one", "two"]));
    let from = then(&from, store_flags(&from, &add).expect("builds").effects);
    let to = empty();
    let first = append(&to, [row(names(Flags::NONE, &["TWO"]))]).expect("builds");
    let to = then(&to, first.effects);
    let built = copy(&from, &set("3:9"), &to, 777, Flags::ALL).expect("builds");
    assert_eq!(
        (built.source, built.destination),
        (vec![uid(3), uid(4)], vec![uid(2), uid(3)])
    );
    assert_eq!(built.missing, set("5:9"));
    let to = then(&to, built.effects);
    let copied = to.row(uid(2)).expect("there");
    assert!(to.keywords().names_of(copied.flags).eq(["TWO", "one"]));
    assert_eq!((copied.save_date_s, copied.email), (777, EmailId(5)));
    assert_eq!(copied.internal_date, DateTime::utc(9));
}

#[test]
fn move_within_a_mailbox_is_one_record() {
    let from = mailbox(5);
    let mut built = move_to(&from, &set("2:3"), &from, 1, Flags::ALL).expect("builds");
    built.effects.append(&mut built.source_effects);
    let after = then(&from, built.effects);
    assert_eq!(after.uids(), set("1,4:7"));
    assert_eq!(after.tail().messages, 5);
    let nothing = move_to(&from, &set("9"), &from, 1, Flags::ALL).expect("builds");
    assert_eq!(
        (nothing.effects.len(), nothing.source_effects.len()),
        (0, 0)
    );
}

#[test]
fn unused_keywords_make_room_for_new_ones() {
    let from = mailbox(2);
    let all: Vec<_> = (0..Slot::COUNT).map(|n| format!("k{n}")).collect();
    let all: Vec<_> = all.iter().map(|name| name.as_str()).collect();
    let add = command("1", FlagAction::Add, names(Flags::NONE, &all));
    let from = then(&from, store_flags(&from, &add).expect("builds").effects);
    let one_more = command("2", FlagAction::Add, names(Flags::NONE, &["new"]));
    assert_eq!(store_flags(&from, &one_more), Err(BuildError::KeywordLimit));
    let clear = command("1", FlagAction::Remove, names(Flags::NONE, &["K7"]));
    let from = then(&from, store_flags(&from, &clear).expect("builds").effects);
    let from = then(
        &from,
        store_flags(&from, &one_more).expect("builds").effects,
    );
    assert_eq!(from.keywords().slot("k7"), None);
    assert_eq!(from.keywords().slot("NEW").map(Slot::get), Some(7));
    let two_more = command("2", FlagAction::Add, names(Flags::NONE, &["new", "newer"]));
    assert_eq!(store_flags(&from, &two_more), Err(BuildError::KeywordLimit));
}

#[test]
fn what_is_not_a_keyword_is_refused() {
    let bad = append(&empty(), [row(names(Flags::NONE, &["a b"]))]);
    assert_eq!(bad, Err(BuildError::NotAKeyword("a b".into())));
}

#[test]
fn uids_end() {
    let jump = Effect::Jump {
        uids: u32::MAX - 2,
        modseqs: 1,
        touch: false,
    };
    let to = then(&empty(), vec![jump]);
    assert_eq!(to.uid_next().get(), u32::MAX - 1);
    let rows = |count| std::iter::repeat_n(row(FlagNames::default()), count);
    let built = append(&to, rows(1)).expect("one more");
    assert_eq!(append(&to, rows(2)), Err(BuildError::UidLimit));
    let full = then(&to, built.effects);
    assert_eq!(full.uid_next(), Uid::MAX);
    assert_eq!(append(&full, rows(1)), Err(BuildError::UidLimit));
    assert_eq!(
        append_unopened(full.tail(), rows(1)),
        Some(Err(BuildError::UidLimit))
    );
}

#[test]
fn an_append_to_a_tail_alone_is_the_same() {
    let to = mailbox(3);
    let rows = || {
        [
            row(names(Flags::SEEN, &[])),
            row(names(Flags::DELETED, &[])),
        ]
    };
    let built = append_unopened(to.tail(), rows()).expect("no keywords");
    assert_eq!(built, append(&to, rows()));
    assert_eq!(
        append_unopened(to.tail(), [row(names(Flags::NONE, &["x"]))]),
        None
    );
}

#[test]
fn rows_can_go_into_chunks() {
    let to = mailbox(3);
    let rows = std::iter::repeat_n(row(FlagNames::default()), 50);
    let built = append(&to, rows).expect("builds");
    let plain = then(&to, built.effects.clone());
    let (effects, puts) = into_chunks(to.tail(), built.effects, 8);
    assert_eq!(puts.len() % 2, 0);
    let record = Record::new(to.tail(), 0, 8, effects).expect("room");
    let chunked = to.apply(&record).expect("follows");
    assert_eq!(chunked.exists(), plain.exists());
    assert_eq!(chunked.uid_next(), plain.uid_next());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What a STORE says that it changes is what its record changes, and nothing else is.
    #[test]
    fn a_store_does_what_it_says(
        first in prop::collection::vec((1..80_u32, 0..9_u32), 0..9),
        gone in prop::collection::vec((1..80_u32, 0..3_u32), 0..9),
        uids in prop::collection::vec((1..90_u32, 0..20_u32), 1..9),
        visible in prop::option::of(prop::collection::vec((1..90_u32, 0..50_u32), 1..5)),
        action in prop::sample::select(&[FlagAction::Add, FlagAction::Remove, FlagAction::Replace][..]),
        bits in 0..32_u128,
        conditional: bool,
    ) {
        let set = |ranges: &[(u32, u32)]| {
            UidSet::from_unsorted(ranges.iter().map(|(first, more)| (uid(*first), uid(first + more))))
        };
        let from = mailbox(80);
        let from = then(&from, expunge(&from, &ExpungeWhat::Uids(set(&gone)), None).effects);
        let since = from.modseq();
        let store = StoreFlags { uids: set(&first), ..seen("1") };
        let built = store_flags(&from, &store).expect("builds");
        let from = if built.effects.is_empty() { from } else { then(&from, built.effects) };

        let visible = visible.as_deref().map(set);
        let flags = names(Flags(bits), &[]);
        let unchanged_since = conditional.then_some(since);
        let store = StoreFlags { uids: set(&uids), action, flags, unchanged_since, visible, changeable: Flags::ALL };
        let built = store_flags(&from, &store).expect("builds");
        let after = match built.effects.is_empty() {
            true => from.clone(),
            false => then(&from, built.effects.clone()),
        };
        for row in from.rows(..) {
            let shown = store.visible.as_ref().is_none_or(|visible| visible.contains(row.uid));
            let meant = shown && store.uids.contains(row.uid);
            let refused = meant && unchanged_since.is_some_and(|since| row.modseq > since);
            let wanted = match action {
                FlagAction::Add => row.flags | Flags(bits),
                FlagAction::Remove => row.flags.without(Flags(bits)),
                FlagAction::Replace => Flags(bits),
            };
            let changes = meant && !refused && wanted != row.flags;
            let now = after.row(row.uid).expect("still there");
            prop_assert_eq!(built.refused.contains(row.uid), refused);
            prop_assert_eq!(built.changed.contains(row.uid), changes);
            prop_assert_eq!(now.flags, if changes { wanted } else { row.flags });
            prop_assert_eq!(now.modseq, if changes { after.modseq() } else { row.modseq });
        }
        prop_assert_eq!(after.modseq() > from.modseq(), !built.changed.is_empty());
        prop_assert!(built.missing.intersect(&from.uids().intersect(
            store.visible.as_ref().unwrap_or(&UidSet::all()))).is_empty());
    }
}
