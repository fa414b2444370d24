//! The sync point: what changed since the client was last told becomes untagged lines.
//!
//! The difference of two snapshots is the only thing that tells a session anything. Order: FLAGS if
//! there are new keywords, EXPUNGE or VANISHED where the table allows it, EXISTS and RECENT, then
//! FETCH for changed flags, then what that changes in results that are kept up to date.

use std::sync::Arc;

use restante_mailbox::{Flags, Snapshot, TailState, UidSet};
use restante_proto::types::{Code, MessageSet};

use crate::cmd::{updates, url_auth};
use crate::cx::Cx;
use crate::flags::{self, FlagWriter};
use crate::reply::{Failure, Reply};
use crate::state::{Selected, State};
use crate::view::{Changes, Expunges};

/// Which changed flags are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    /// All of them: others made the changes.
    Flags,
    /// The answer to a UID command: with the UID whatever is enabled (RFC 9051 §6.4.9).
    FlagsAndUid,
    /// The client's own changes, where it wants no flags (`.SILENT`): the modseq only, and that only
    /// if it is CONDSTORE-aware (RFC 7162 §3.1.3).
    ModSeqOnly,
    /// None: the command's own answer tells them.
    Nothing,
}

/// Tells the client everything that happened in its mailbox; expunges only if `expunge`.
pub(crate) async fn sync(cx: &mut Cx, state: &mut State, expunge: bool) -> Result<(), Failure> {
    let State::Selected(login, selected) = state else {
        return Ok(());
    };
    selected.changes.borrow_and_update();
    url_auth::tell_reset(cx, login, selected);
    let newest = selected.mailbox.snapshot().await?;
    let waiting = selected.view.ghost_count() > 0;
    if let Some(tell) = wanted(cx) {
        advance(cx, selected, &newest, expunge, tell).await?;
    }
    if selected.updates.is_some() {
        Box::pin(updates::tell_changed(cx, selected)).await?;
    }
    if cx.enabled.qresync() {
        // What the client computes from MODSEQs in FETCH must not pass over expunges that it has not
        // been told: it uses this value instead (RFC 7162 §3.2, §6).
        let waits = selected.view.ghost_count() > 0;
        if waits || waiting {
            let highest = selected.view.highest_mod_seq();
            cx.untagged_ok(Code::HighestModSeq(highest), "Highest");
        }
    }
    // Until then reads go on from the snapshot, and changes are refused.
    if expunge && newest.tail().state == TailState::Deleted {
        return deselect_deleted(cx, state);
    }
    if selected.view.ghost_count() > cx.env.limits.ghosts_max {
        let text = "Too many messages were expunged while you could not be told";
        return Err(Failure::Bye(Reply::bye(text).code(Code::ExpungeIssued)));
    }
    Ok(())
}

/// What the client wants to be told of its mailbox; `None`: nothing, what it was shown stands still.
fn wanted(cx: &Cx) -> Option<Tell> {
    let notify = cx.notify.as_deref();
    match notify.and_then(|notify| Some((notify, notify.selected()?))) {
        None => Some(Tell::Flags),
        Some((notify, wants)) if !wants.messages && !notify.is_expunging() => None,
        // RFC 5465 §5.1: with the UID, whatever is enabled.
        Some((_, wants)) if wants.flags => Some(Tell::FlagsAndUid),
        Some(_) => Some(Tell::Nothing),
    }
}

/// Before a UID command: goes on to what is there now if UIDs are named that this session has not been told of. Another
/// session of the same client may have been (RFC 9051 §6.4.9 passes over what does not exist, but these do). Expunges
/// wait.
pub(crate) async fn look(
    cx: &mut Cx,
    selected: &mut Selected,
    set: &MessageSet,
) -> Result<(), Failure> {
    let MessageSet::Uid(uids) = set else {
        return Ok(());
    };
    match wanted(cx) {
        Some(tell) if selected.view.names_unseen(uids) => {
            let newest = selected.mailbox.snapshot().await?;
            advance(cx, selected, &newest, false, tell).await
        }
        _ => Ok(()),
    }
}

/// The mailbox was deleted by another session. A client of IMAP4rev2 is told that it has none
/// selected any more (RFC 9051 §3.4, §7.1 CLOSED); others are disconnected (RFC 2180 §3.3).
fn deselect_deleted(cx: &mut Cx, state: &mut State) -> Result<(), Failure> {
    if !cx.enabled.rev2() {
        let bye = Reply::bye("The mailbox was deleted").code(Code::NonExistent);
        return Err(Failure::Bye(bye));
    }
    cx.status(
        None,
        &Reply::ok("The mailbox was deleted").code(Code::Closed),
    );
    state.deselect();
    Ok(())
}

/// Goes on to a snapshot and tells what happened up to it.
///
/// A command that made a change itself calls it twice: up to the snapshot that its transaction was
/// built on with [`Tell::Flags`] (others' changes), then up to its own result as it wants.
pub(crate) async fn advance(
    cx: &mut Cx,
    selected: &mut Selected,
    to: &Arc<Snapshot>,
    expunge: bool,
    tell: Tell,
) -> Result<(), Failure> {
    let expunges = match (expunge, cx.enabled.vanished()) {
        (false, _) => Expunges::Wait,
        (true, false) => Expunges::Numbers,
        (true, true) if selected.updates.is_some() => Expunges::UidsAndNumbers,
        (true, true) => Expunges::Uids,
    };
    if to.modseq() < selected.view.snapshot().modseq() {
        // Somebody told us of a newer one already.
        return Ok(());
    }
    let changes = selected.view.advance(to, expunges).await?;
    tell_keywords(cx, selected);
    if let Some(updates) = &mut selected.updates {
        updates.touch(&changes);
        if !changes.expunged.is_empty() {
            Box::pin(updates::tell_gone(cx, selected, &changes)).await?;
        }
    }
    tell_expunges(cx, &changes).await?;
    if let Some(exists) = changes.exists {
        cx.line(format_args!("* {exists} EXISTS"));
        if cx.enabled.recent() {
            tell_recent(cx, selected).await?;
        }
    }
    match changes.changed.is_empty() {
        true => Ok(()),
        // Boxed: every command has this at its end, and few have flags to tell.
        false => Box::pin(tell_flags(cx, selected, &changes.changed, tell)).await,
    }
}

/// FLAGS and PERMANENTFLAGS again if there are new keywords, before any FETCH names them, other rights
/// (RFC 4314 §5.1.1), or no room for more keywords (RFC 9051 §7.1).
pub(crate) fn tell_keywords(cx: &mut Cx, selected: &mut Selected) {
    let keywords = selected.view.snapshot().keywords().flags();
    let other_rights = selected.permanent_told != selected.permanent_flags();
    let other_room = selected.view.room_told != has_room(selected);
    if other_rights || other_room || !selected.view.keywords_told.contains(keywords) {
        tell_flags_defined(cx, selected);
    }
    let read_only = selected.shared_read_only();
    if selected.read_only_told != read_only {
        selected.read_only_told = read_only;
        // RFC 9051 §7.1
        match read_only {
            true => cx.untagged_ok(Code::ReadOnly, "Read-only"),
            false => cx.untagged_ok(Code::ReadWrite, "Read-write"),
        }
    }
}

/// Whether the mailbox has room for one more keyword, or one that no message has, whose place it can take.
fn has_room(selected: &Selected) -> bool {
    let snapshot = selected.view.snapshot();
    snapshot.keywords().first_free().is_some() || !snapshot.flags_in_use().contains(Flags::KEYWORDS)
}

/// FLAGS and PERMANENTFLAGS.
pub(crate) fn tell_flags_defined(cx: &mut Cx, selected: &mut Selected) {
    let keywords = selected.view.snapshot().keywords().clone();
    selected.view.keywords_told = keywords.flags();
    let room = has_room(selected);
    selected.view.room_told = room;
    let defined = flags::defined(&keywords, Flags::ALL);
    cx.line(format_args!("* FLAGS ({defined})"));
    // RFC 9051 §6.3.3; RFC 4314 §5.1
    let may = selected.permanent_flags();
    selected.permanent_told = may;
    if may.is_empty() {
        let text = cx.language.text("Read-only");
        cx.line(format_args!("* OK [PERMANENTFLAGS ()] {text}"));
        return;
    }
    let defined = match may {
        Flags::ALL => defined,
        some => flags::defined(&keywords, some),
    };
    let new = match room && may.contains(Flags::KEYWORDS) {
        true => " \\*",
        false => "",
    };
    let text = cx.language.text("Limited");
    cx.line(format_args!(
        "* OK [PERMANENTFLAGS ({defined}{new})] {text}"
    ));
}

async fn tell_expunges(cx: &mut Cx, changes: &Changes) -> Result<(), Failure> {
    if changes.expunged.is_empty() {
        return Ok(());
    }
    if cx.enabled.vanished() {
        cx.line(format_args!("* VANISHED {}", changes.expunged));
        return Ok(());
    }
    for (index, number) in changes.expunged_numbers.iter().enumerate() {
        cx.line(format_args!("* {number} EXPUNGE"));
        if index % 256 == 255 {
            cx.conn.flush_if_large().await?;
        }
    }
    Ok(())
}

/// RECENT (RFC 3501 §7.3.2): new messages are recent in the first session that is told of them.
async fn tell_recent(cx: &mut Cx, selected: &mut Selected) -> Result<(), Failure> {
    let uid_next = selected.view.snapshot().uid_next();
    let recent = selected.mailbox.recent(uid_next, !selected.read_only());
    selected.view.add_recent(&recent);
    let count = count_recent(selected).await?;
    cx.line(format_args!("* {count} RECENT"));
    Ok(())
}

/// How many messages of the view are `\Recent` in this session.
pub(crate) async fn count_recent(selected: &Selected) -> Result<u32, Failure> {
    let view = &selected.view;
    let mut count = 0;
    for range in view.recent().ranges() {
        // Only the ends are looked at.
        let (first, last) = (*range.start(), *range.end());
        let ends = UidSet::from_unsorted([(first, first), (last, last)]);
        let rows = view.rows(&ends).await?;
        count += rows.number(last) - rows.number(first) + u32::from(rows.row(last).is_some());
    }
    Ok(count)
}

/// FETCH with the flags of messages.
pub(crate) async fn tell_flags(
    cx: &mut Cx,
    selected: &Selected,
    changed: &UidSet,
    tell: Tell,
) -> Result<(), Failure> {
    let condstore = cx.enabled.condstore();
    let nothing = tell == Tell::Nothing || (tell == Tell::ModSeqOnly && !condstore);
    if changed.is_empty() || nothing {
        return Ok(());
    }
    // UIDFETCH begins with it (RFC 9586 §3.3).
    let uid_only = cx.enabled.uid_only();
    // RFC 9051 §6.4.9: a UID command tells UIDs, also where it tells what others did.
    let with_uid = cx.enabled.fetch_tells_uid() || cx.uid_command || tell == Tell::FlagsAndUid;
    let uid = !uid_only && with_uid;
    let rows = selected.view.rows(changed).await?;
    let keywords = selected.view.snapshot().keywords().clone();
    let mut writer = FlagWriter::new(&keywords);
    let mut numbers = itoa::Buffer::new();
    for (index, (number, row)) in rows.iter(changed).enumerate() {
        let out = cx.conn.out();
        out.extend_from_slice(b"* ");
        if uid_only {
            out.extend_from_slice(numbers.format(row.uid.get()).as_bytes());
            out.extend_from_slice(b" UIDFETCH (");
        } else {
            out.extend_from_slice(numbers.format(number).as_bytes());
            out.extend_from_slice(b" FETCH (");
        }
        if uid {
            out.extend_from_slice(b"UID ");
            out.extend_from_slice(numbers.format(row.uid.get()).as_bytes());
            out.push(b' ');
        }
        if matches!(tell, Tell::Flags | Tell::FlagsAndUid) {
            out.extend_from_slice(b"FLAGS ");
            let recent = cx.enabled.recent() && selected.view.recent().contains(row.uid);
            writer.write(out, row.flags, recent);
            out.push(b' ');
        }
        if condstore {
            out.extend_from_slice(b"MODSEQ (");
            out.extend_from_slice(numbers.format(row.modseq.0).as_bytes());
            out.push(b')');
        } else {
            out.pop();
        }
        out.extend_from_slice(b")\r\n");
        if index % 256 == 255 {
            cx.conn.flush_if_large().await?;
        }
    }
    Ok(())
}
