//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3), with CONDSTORE (RFC 7162 §3.1.8) and QRESYNC
//! (RFC 7162 §3.2.5).

use std::sync::Arc;

use restante_mailbox::{Flags, ModSeq, Rights, TailState, Uid, UidSet, Wanted};
use restante_proto::types::{
    Code, ListAttribute, ListEntry, QResync, Select, SeqSet, UidSet as WireUidSet, UntaggedData,
};

use super::url_auth;
use crate::convert;
use crate::cx::Cx;
use crate::flags::FlagWriter;
use crate::place::Place;
use crate::referral;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Selected, State};
use crate::sync;
use crate::table::uid_required;
use crate::view::View;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Select) -> Outcome {
    if args.qresync.is_some() && !cx.enabled.qresync() {
        return Err(client_bug("ENABLE QRESYNC comes first"));
    }
    if cx.enabled.uid_only()
        && args
            .qresync
            .as_ref()
            .is_some_and(|q| q.known_match.is_some())
    {
        return Err(uid_required());
    }
    if state.deselect().is_some() {
        // RFC 7162 §3.2.11: also for clients that enabled nothing.
        cx.untagged_ok(Code::Closed, "Previous mailbox is closed");
    }
    referral::check_mailbox(cx, state, &args.mailbox)?;
    let login = state.login()?.clone();
    let name = convert::mailbox_name(&args.mailbox)?;
    let place = Place::of(&cx.env, &login, &name).await?;
    let (mailbox, rights) = place.mailbox(Rights::READ).await?;
    let mut changes = mailbox.watch();
    changes.mark_unchanged();
    let snapshot = mailbox.snapshot().await?;
    if snapshot.tail().state == TailState::Deleted {
        return Err(restante_mailbox::MailError::NoSuchMailbox.into());
    }
    if args.condstore || args.qresync.is_some() {
        cx.enabled.enable_condstore();
    }
    let recent = mailbox.recent(snapshot.uid_next(), !args.read_only);
    let view = View::new(Arc::clone(&mailbox), snapshot, recent);
    let mut selected = Selected {
        url_key_resets: mailbox.url_key_resets(login.account.id()),
        mailbox,
        examined: args.read_only,
        permanent_told: Flags::NONE,
        read_only_told: false,
        rights,
        name: name.clone(),
        changes,
        fetched_to: view.snapshot().uid_next(),
        view,
        decoded: None,
        updates: None,
    };

    tell_size(cx, &mut selected).await?;
    url_auth::tell_mechanisms(cx, &login, &selected.mailbox).await?;
    if cx.enabled.select_lists() {
        let tree = place.account.tree().await?;
        let own = place.is_own().then(|| tree.get(&name)).flatten();
        let mut attributes: Vec<ListAttribute> = own
            .into_iter()
            .flat_map(|entry| entry.special_use.names())
            .filter_map(ListAttribute::new)
            .collect();
        attributes.insert(
            0,
            match place.has_visible_children(&tree) {
                true => ListAttribute::HasChildren,
                false => ListAttribute::HasNoChildren,
            },
        );
        if login.account.tree().await?.subscribed.contains(&name) {
            attributes.push(ListAttribute::Subscribed);
        }
        let mailbox = convert::wire_name(&name);
        cx.data(&UntaggedData::List(ListEntry {
            attributes,
            separator: Some('/'),
            extended: convert::old_name(&args.mailbox, &mailbox),
            mailbox,
        }));
    }
    if let Some(qresync) = &args.qresync {
        resynchronize(cx, &selected, qresync).await?;
    }
    let read_only = selected.shared_read_only();
    selected.read_only_told = read_only;
    *state = State::Selected(login, Box::new(selected));
    Ok(match (read_only, args.read_only) {
        (_, true) => Reply::ok("EXAMINE completed").code(Code::ReadOnly),
        (true, false) => Reply::ok("SELECT completed").code(Code::ReadOnly),
        (false, false) => Reply::ok("SELECT completed").code(Code::ReadWrite),
    })
}

/// The untagged responses that every SELECT has.
async fn tell_size(cx: &mut Cx, selected: &mut Selected) -> Result<(), Failure> {
    // FLAGS and PERMANENTFLAGS, also where there are no keywords.
    sync::tell_flags_defined(cx, selected);
    let snapshot = selected.view.snapshot().clone();
    cx.line(format_args!("* {} EXISTS", snapshot.exists()));
    if cx.enabled.recent() {
        let recent = sync::count_recent(selected).await?;
        cx.line(format_args!("* {recent} RECENT"));
        // RFC 3501 §7.1; a code that IMAP4rev2 took out.
        let may_be_unseen = selected.mailbox.has_own_seen() || snapshot.tail().unseen > 0;
        if may_be_unseen && !cx.enabled.uid_only() {
            let rows = selected.view.load(Wanted::FirstUnseen).await?;
            if let Some(uid) = rows.loaded().first_unseen() {
                let number = rows.number(uid);
                let text = cx.language.text("First unseen");
                cx.line(format_args!("* OK [UNSEEN {number}] {text}"));
            }
        }
    }
    let text = cx.language.text("UIDs are valid");
    cx.line(format_args!(
        "* OK [UIDVALIDITY {}] {text}",
        snapshot.uid_validity()
    ));
    let text = cx.language.text("Predicted next UID");
    cx.line(format_args!(
        "* OK [UIDNEXT {}] {text}",
        snapshot.uid_next()
    ));
    // Told to every client: some decide by it whether to use CONDSTORE at all.
    let text = cx.language.text("Highest");
    cx.line(format_args!(
        "* OK [HIGHESTMODSEQ {}] {text}",
        snapshot.modseq()
    ));
    let id = convert::mailbox_id(selected.mailbox.account().id(), selected.mailbox.id());
    let text = cx.language.text("Mailbox id");
    cx.line(format_args!("* OK [MAILBOXID ({})] {text}", id.as_str()));
    Ok(())
}

/// Tells what happened since the client was here (RFC 7162 §3.2.5): VANISHED (EARLIER) first, then
/// FETCH with UID, FLAGS and MODSEQ.
async fn resynchronize(cx: &mut Cx, selected: &Selected, args: &QResync) -> Result<(), Failure> {
    let view = &selected.view;
    let snapshot = view.snapshot().clone();
    if args.uid_validity.get() != snapshot.uid_validity().get() {
        return Ok(());
    }
    let since = ModSeq(args.mod_seq.0);
    let known = match &args.known_uids {
        Some(known) => view.resolve_uids(known).await?,
        None => view.all_uids(),
    };
    if since < snapshot.modseq() {
        let vanished = selected
            .mailbox
            .vanished_since(&snapshot, since, &known)
            .await?;
        let vanished = match (&args.known_match, vanished.is_empty()) {
            (Some((numbers, uids)), false) => {
                let matched = last_match(view, numbers, uids).await?;
                after(&vanished, matched)
            }
            _ => vanished,
        };
        if !vanished.is_empty() {
            cx.line(format_args!("* VANISHED (EARLIER) {vanished}"));
        }
    }
    let changed: UidSet = {
        let rows = view.load(Wanted::ChangedSince(since)).await?;
        rows.loaded()
            .changed_since(since)
            .map(|row| row.uid)
            .collect()
    };
    let changed = changed.intersect(&known);
    let rows = view.rows(&changed).await?;
    let mut writer = FlagWriter::new(snapshot.keywords());
    for (index, (number, row)) in rows.iter(&changed).enumerate() {
        let recent = cx.enabled.recent() && view.recent().contains(row.uid);
        match cx.enabled.uid_only() {
            true => cx.write(format_args!("* {} UIDFETCH (FLAGS ", row.uid)),
            false => cx.write(format_args!("* {number} FETCH (UID {} FLAGS ", row.uid)),
        }
        writer.write(cx.conn.out(), row.flags, recent);
        cx.line(format_args!(" MODSEQ ({}))", row.modseq));
        if index % 256 == 255 {
            cx.conn.flush_if_large().await?;
        }
    }
    Ok(())
}

/// The largest UID of the client's sample that stands where the client thinks: it knows of every
/// expunge up to there (RFC 7162 §3.2.5.2).
///
/// In what one client knows of one mailbox the pairs that match come first: if nothing before a
/// message was expunged, nothing before an earlier one was. So the last one is found by halves.
async fn last_match(
    view: &View,
    numbers: &SeqSet,
    uids: &WireUidSet,
) -> Result<Option<Uid>, Failure> {
    let numbers: Vec<(u32, u32)> = numbers
        .ranges
        .iter()
        .filter_map(|r| r.numbers())
        .map(|(a, b)| (a.get(), b.get()))
        .collect();
    let uids: Vec<(u32, u32)> = uids
        .ranges
        .iter()
        .filter_map(|r| r.numbers())
        .map(|(a, b)| (a.get(), b.get()))
        .collect();
    let count = pairs(&numbers).min(pairs(&uids));
    let (mut matching, mut end) = (0, count);
    let mut last = None;
    while matching < end {
        let middle = matching + (end - matching) / 2;
        let (Some(number), Some(uid)) = (nth(&numbers, middle), nth(&uids, middle)) else {
            break;
        };
        match view.uid_of(number).await? {
            Some(found) if found.get() == uid => {
                last = Some(found);
                matching = middle + 1;
            }
            _ => end = middle,
        }
    }
    Ok(last)
}

fn pairs(ranges: &[(u32, u32)]) -> u64 {
    ranges
        .iter()
        .map(|(first, last)| u64::from(last - first) + 1)
        .sum()
}

/// The number at a position of a list of ranges. Linear in ranges, which the decoder bounds.
fn nth(ranges: &[(u32, u32)], mut position: u64) -> Option<u32> {
    for (first, last) in ranges {
        let length = u64::from(last - first) + 1;
        if position < length {
            return u32::try_from(u64::from(*first) + position).ok();
        }
        position -= length;
    }
    None
}

/// The UIDs after `uid`.
fn after(uids: &UidSet, uid: Option<Uid>) -> UidSet {
    match uid {
        Some(uid) => uids.difference(&UidSet::from_range(Uid::MIN, uid)),
        None => uids.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_positions_of_ranges() {
        let ranges = [(1, 3), (7, 7), (10, u32::MAX)];
        assert_eq!(pairs(&ranges), 4 + u64::from(u32::MAX) - 9);
        let first: Vec<_> = (0..6)
            .filter_map(|position| nth(&ranges, position))
            .collect();
        assert_eq!(first, [1, 2, 3, 7, 10, 11]);
        assert_eq!(nth(&ranges, pairs(&ranges)), None);
    }
}
