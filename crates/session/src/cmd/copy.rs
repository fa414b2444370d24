//! COPY and MOVE with their UID forms (RFC 9051 §6.4.7, §6.4.8).

use std::sync::Arc;

use restante_mailbox::{
    Append, Copied, ExpungeWhat, FlagNames, Flags, ModSeq, Rights, Row, Transfer, Uid, UidSet,
    UidValidity, UserMailbox,
};
use restante_proto::types::{self as wire, Code, CopyUid, MailboxName, MessageSet};

use super::fetch::SectionOctets;
use super::store::expunge_issued;
use crate::convert;
use crate::cx::Cx;
use crate::message_limit;
use crate::place::{Place, no_permission};
use crate::reply::{Failure, Outcome, Reply, try_create};
use crate::state::{Selected, State};
use crate::sync::{self, Tell};

/// COPY: all or nothing.
pub(crate) async fn copy(
    cx: &mut Cx,
    state: &mut State,
    set: MessageSet,
    mailbox: MailboxName,
) -> Outcome {
    let (login, selected) = state.selected()?;
    let uids = resolve(cx, selected, &set).await?;
    if let Some(limit) = cx.save_limit()
        && let Some(highest) = message_limit::highest(selected, Some(&uids), limit).await?
    {
        // All or nothing (RFC 9738 §3.1).
        return Err(message_limit::limited(limit, &highest).refusal());
    }
    let name = convert::mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await.map_err(try_create)?;
    let found = place.mailbox(Rights::INSERT).await;
    let (to, rights) = found.map_err(try_create)?;
    let kept = rights.flags();
    if !set.is_uid() && !uids.intersect(&selected.view.ghosts()).is_empty() {
        return Err(expunge_issued());
    }
    let code = if !Arc::ptr_eq(to.account(), selected.mailbox.account()) {
        // What others have expunged is there to be read still, not to be copied.
        let here = uids.difference(&selected.view.ghosts());
        copy_across(cx, selected, &here, &to, kept).await?
    } else {
        let (uids, how) = match set.is_uid() {
            true => (uids, Transfer::Copy),
            false => {
                // What is expunged at this very moment is not left out in silence (RFC 2180 §4.4.2).
                let rows = selected.view.rows(&uids).await?;
                let shown = rows.iter(&uids).map(|(_, row)| row.uid).collect();
                (shown, Transfer::CopyAll)
            }
        };
        let copied = selected.mailbox.transfer(&uids, &to, how, kept).await;
        copy_uid(&copied.map_err(try_create)?)
    };
    let reply = Reply::ok("COPY completed");
    Ok(match code.filter(|_| may_be_told(rights)) {
        Some(code) => reply.code(code),
        None => reply,
    })
}

/// Whether COPYUID may say what is in the target: only to who may read it (RFC 4315 §3).
fn may_be_told(rights: Rights) -> bool {
    rights.contains(Rights::READ)
}

/// MOVE: the untagged COPYUID comes first (RFC 6851 §4.3), the expunges from the sync point.
pub(crate) async fn move_to(
    cx: &mut Cx,
    state: &mut State,
    set: MessageSet,
    mailbox: MailboxName,
) -> Outcome {
    // RFC 6851 §3.3: it needs what COPY, STORE and EXPUNGE need.
    let (login, writable) = state.writable(Rights::EXPUNGE)?;
    let selected = writable.0;
    if !selected
        .rights
        .contains(Rights::EXPUNGE | Rights::DELETE_MESSAGES)
    {
        return Err(no_permission());
    }
    let uids = resolve(cx, selected, &set).await?;
    let name = convert::mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await.map_err(try_create)?;
    let found = place.mailbox(Rights::INSERT).await;
    let (to, rights) = found.map_err(try_create)?;
    let gone = uids.intersect(&selected.view.ghosts());
    let mut uids = uids;
    if let Some(limit) = cx.message_limit()
        && let Some(highest) = message_limit::highest(selected, Some(&uids), limit).await?
    {
        cx.limit_to(limit, &highest);
        uids = highest;
    }
    let here = uids.difference(&gone);
    let kept = rights.flags();
    let (code, highest) = if !Arc::ptr_eq(to.account(), selected.mailbox.account()) {
        move_across(cx, selected, &here, &to, kept).await?
    } else {
        let moved = selected.mailbox.transfer(&here, &to, Transfer::Move, kept);
        let moved = moved.await.map_err(try_create)?;
        (copy_uid(&moved), moved.source_change.after.modseq())
    };
    let any = code.is_some();
    if let Some(code) = code.filter(|_| may_be_told(rights)) {
        cx.untagged_ok(code, "Moved");
    }
    if !set.is_uid() && !gone.is_empty() {
        return Err(expunge_issued());
    }
    let reply = Reply::ok("MOVE completed");
    if cx.enabled.qresync() && any {
        // RFC 7162 §3.2.7 says it for EXPUNGE, RFC 6851 §4.4 that MOVE is the same here.
        return Ok(reply.code(Code::HighestModSeq(wire::ModSeq(highest.0))));
    }
    Ok(reply)
}

/// Messages that go to another user in one commit.
const STEP_MESSAGES: usize = 1000;
/// The bytes that those of them may have that wait in memory for that commit.
const STEP_BYTES: u64 = 64 << 20;
/// Larger ones are written to disk at once.
const SMALL_BYTES: u64 = 1 << 20;

/// Copies messages to a mailbox of another account, where each is a new one: all of them or none. Many go
/// there by several commits; if one of these fails, what the ones before it copied is expunged again
/// (RFC 9051 §6.4.7). Only a crash between two of them leaves a part, of which no OK was told.
async fn copy_across(
    cx: &mut Cx,
    selected: &Selected,
    uids: &UidSet,
    to: &UserMailbox,
    kept: Flags,
) -> Result<Option<Code>, Failure> {
    let rows: Vec<Row> = {
        let rows = selected.view.rows(uids).await?;
        rows.iter(uids).map(|(_, row)| row).collect()
    };
    let mut there = Vec::with_capacity(rows.len());
    let copied = copy_in_steps(cx, selected, &rows, to, kept, &mut there).await;
    let uid_validity = match copied {
        Ok(Some(uid_validity)) => uid_validity,
        Ok(None) => return Ok(None),
        Err(failure) => {
            if !there.is_empty() {
                let what = ExpungeWhat::Uids(there.into_iter().collect());
                // It failed already; what cannot be taken back either stays there twice.
                let _ = to.expunge(&what, None).await;
            }
            return Err(failure);
        }
    };
    let code = |uid_validity| {
        Code::CopyUid(CopyUid {
            uid_validity,
            source: convert::wire_uids(rows.iter().map(|row| row.uid)),
            destination: convert::wire_uids(there.iter().copied()),
        })
    };
    Ok(convert::wire_uid_validity(uid_validity).map(code))
}

/// The same, by one commit for each step. The UIDs of what was copied are in `there` even if it fails.
/// `None`: there was nothing to copy.
async fn copy_in_steps(
    cx: &mut Cx,
    selected: &Selected,
    rows: &[Row],
    to: &UserMailbox,
    kept: Flags,
    there: &mut Vec<Uid>,
) -> Result<Option<UidValidity>, Failure> {
    let from = selected.mailbox.account();
    let goal = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let keywords = selected.view.snapshot().keywords().clone();
    let mut uid_validity = None;
    // The quota must admit all of them before the first one goes.
    let mut rooms = Vec::new();
    for step in steps(rows) {
        let bytes = step.iter().map(|row| row.size).sum();
        rooms.push(to.account().reserve(bytes, step.len() as u64)?);
    }
    let mut done = 0;
    for (step, _room) in steps(rows).zip(rooms) {
        let mut appends = Vec::with_capacity(step.len());
        for row in step {
            cx.in_progress(done, goal).await?;
            done += 1;
            let email = from.email(row.email).await?;
            let mut draft = to.account().new_email();
            let mut rest = 0..email.size();
            while !rest.is_empty() {
                let piece = SectionOctets::step(&rest);
                draft
                    .write(&from.read(&email, piece.clone()).await?)
                    .await?;
                rest.start = piece.end;
            }
            let flags = row.flags & kept;
            appends.push(Append {
                email: draft.finish().await?,
                flags: FlagNames {
                    system: flags & Flags::SYSTEM,
                    keywords: keywords.names_of(flags).map(Into::into).collect(),
                },
                internal_date: row.internal_date,
            });
        }
        let appended = to.append(appends).await.map_err(try_create)?;
        there.extend(&appended.uids);
        uid_validity = Some(appended.uid_validity);
    }
    Ok(uid_validity)
}

/// What goes by one commit each.
fn steps(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&Row| {
            if row.size < SMALL_BYTES {
                bytes += row.size;
            }
            bytes <= STEP_BYTES
        };
        let many = rest.iter().take(STEP_MESSAGES).take_while(fits).count();
        let (step, left) = rest.split_at(many);
        rest = left;
        (!step.is_empty()).then_some(step)
    })
}

/// The copies are there before the messages go: after a failure between the two they are in both mailboxes,
/// never in neither.
async fn move_across(
    cx: &mut Cx,
    selected: &Selected,
    uids: &UidSet,
    to: &UserMailbox,
    kept: Flags,
) -> Result<(Option<Code>, ModSeq), Failure> {
    let rows = selected.view.rows(uids).await?;
    let there: UidSet = rows.iter(uids).map(|(_, row)| row.uid).collect();
    drop(rows);
    let code = copy_across(cx, selected, &there, to, kept).await?;
    let what = ExpungeWhat::Uids(there);
    let expunged = selected.mailbox.expunge(&what, None).await?;
    Ok((code, expunged.change.after.modseq()))
}

/// The messages that are named. Others' changes are told first, so that what is gone is known.
async fn resolve(
    cx: &mut Cx,
    selected: &mut Selected,
    set: &MessageSet,
) -> Result<UidSet, Failure> {
    sync::look(cx, selected, set).await?;
    let uids = selected.view.resolve(set).await?;
    let newest = selected.mailbox.snapshot().await?;
    sync::advance(cx, selected, &newest, false, Tell::Flags).await?;
    Ok(uids)
}

/// COPYUID, unless no message was copied (RFC 4315 §3).
fn copy_uid(copied: &Copied) -> Option<Code> {
    if copied.source.is_empty() {
        return None;
    }
    Some(Code::CopyUid(CopyUid {
        uid_validity: convert::wire_uid_validity(copied.uid_validity)?,
        source: convert::wire_uids(copied.source.iter().copied()),
        destination: convert::wire_uids(copied.destination.iter().copied()),
    }))
}
