//! STORE and UID STORE (RFC 9051 §6.4.6; RFC 7162 §3.1.3).

use restante_mailbox::{FlagAction, FlagNames, ModSeq, Rights, StoreFlags, UidSet};
use restante_proto::types::{Code, MessageSet, Store, StoreAction};

use crate::convert;
use crate::cx::Cx;
use crate::message_limit;
use crate::place::no_permission;
use crate::reply::{Failure, Outcome, Reply};
use crate::state::{Selected, State};
use crate::sync::{self, Tell};

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Store) -> Outcome {
    let any_of = Rights::SEEN | Rights::WRITE | Rights::DELETE_MESSAGES;
    let (_, writable) = state.writable(any_of)?;
    let selected = writable.0;
    let changeable = selected.rights.flags();
    let mut flags = convert::flag_names(&args.flags)?;
    let named = !flags.system.is_empty() || !flags.keywords.is_empty();
    flags.keep(changeable);
    if named && flags == FlagNames::default() {
        // RFC 4314 §4: only if none of them may be changed.
        return Err(no_permission());
    }
    if args.unchanged_since.is_some() {
        cx.condstore_aware(Some(selected));
    }
    sync::look(cx, selected, &args.set).await?;
    let asked = selected.view.resolve(&args.set).await?;
    // UID commands pass over what is gone (RFC 9051 §6.4.9).
    let by_number = (!args.set.is_uid()).then(|| asked.clone());
    let asked = limited(cx, selected, asked).await?;
    let command = StoreFlags {
        // An expunge that this client has not been told: its row is there to read, not to change.
        uids: asked.difference(&selected.view.ghosts()),
        action: match args.action {
            StoreAction::Replace => FlagAction::Replace,
            StoreAction::Add => FlagAction::Add,
            StoreAction::Remove => FlagAction::Remove,
        },
        flags,
        unchanged_since: args.unchanged_since.map(|modseq| ModSeq(modseq.get())),
        visible: Some(selected.view.all_uids()),
        changeable,
    };
    let shown = selected.view.snapshot().clone();
    let stored = selected.mailbox.store_known(&command, &shown).await?;
    sync::advance(cx, selected, &stored.change.base, false, Tell::Flags).await?;
    let refused = &stored.failed_unchanged_since;
    // What the client names may be older than this session: then it was not told just now.
    tell_refused(cx, selected, refused, shown.modseq()).await?;
    if args.silent && command.unchanged_since.is_none() {
        let after = &stored.change.after;
        sync::advance(cx, selected, after, false, Tell::ModSeqOnly).await?;
    } else {
        sync::advance(cx, selected, &stored.change.after, false, Tell::Nothing).await?;
        // The answer is the flags of every message named, changed or not (RFC 9051 §6.4.6).
        let told = asked
            .difference(&selected.view.ghosts())
            .difference(refused);
        let tell = match (args.silent, args.set.is_uid()) {
            // Of a conditional STORE this is not silent, whether anything had to be changed or not (RFC 7162 §3.1.3).
            (true, _) => Tell::ModSeqOnly,
            (false, true) => Tell::FlagsAndUid,
            (false, false) => Tell::Flags,
        };
        sync::tell_flags(cx, selected, &told, tell).await?;
    }
    let ghosts = selected.view.ghosts();
    let gone = by_number.is_some_and(|asked| !asked.intersect(&ghosts).is_empty());
    if !refused.is_empty() {
        let reply = match gone {
            true => Reply::no("Conditional STORE failed, some messages have been expunged"),
            false => Reply::ok("Conditional STORE failed"),
        };
        return Ok(reply.code(modified(selected, &args.set, refused).await?));
    }
    if gone && args.silent {
        // RFC 2180 §4.2.1: no flags of what is gone are missing in the answer.
        return Ok(Reply::ok("STORE completed").code(Code::ExpungeIssued));
    }
    if gone {
        return Err(expunge_issued());
    }
    Ok(Reply::ok("STORE completed"))
}

/// The flags of messages that UNCHANGEDSINCE refused, so that the client need not ask for them (RFC 7162 §3.1.3,
/// examples 6 and 10); those that were changed after `told` it has been told.
async fn tell_refused(
    cx: &mut Cx,
    selected: &Selected,
    refused: &UidSet,
    told: ModSeq,
) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let untold: UidSet = {
        let rows = selected.view.rows(refused).await?;
        let rows = rows.iter(refused).map(|(_, row)| row);
        rows.filter(|row| row.modseq <= told)
            .map(|row| row.uid)
            .collect()
    };
    sync::tell_flags(cx, selected, &untold, Tell::Flags).await
}

/// As many of the messages as one command may change: those with the highest UIDs.
async fn limited(cx: &mut Cx, selected: &Selected, asked: UidSet) -> Result<UidSet, Failure> {
    let Some(limit) = cx.message_limit() else {
        return Ok(asked);
    };
    match message_limit::highest(selected, Some(&asked), limit).await? {
        Some(highest) => {
            cx.limit_to(limit, &highest);
            Ok(highest)
        }
        None => Ok(asked),
    }
}

/// Some of the messages that were named by number have been expunged (RFC 5530, RFC 2180 §4.2). Test
/// clients tell this answer to STORE from others by its text.
pub(crate) fn expunge_issued() -> Failure {
    Reply::no("Some of the messages have been deleted")
        .code(Code::ExpungeIssued)
        .into()
}

/// MODIFIED: the messages that UNCHANGEDSINCE kept from being changed, as numbers of the command's
/// kind (RFC 7162 §3.1.3).
async fn modified(
    selected: &Selected,
    set: &MessageSet,
    refused: &UidSet,
) -> Result<Code, Failure> {
    if set.is_uid() {
        return Ok(Code::Modified(convert::id_set(
            refused.iter().map(|uid| uid.get()),
        )));
    }
    let rows = selected.view.rows(refused).await?;
    Ok(Code::Modified(convert::id_set(
        rows.iter(refused).map(|(number, _)| number),
    )))
}
