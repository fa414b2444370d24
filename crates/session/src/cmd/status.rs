//! STATUS (RFC 9051 §6.3.11).

use std::sync::Arc;

use restante_mailbox::{Account, FlagFilter, Flags, MailError, MailboxId, Rights, Tail, Wanted};
use restante_proto::types::{self as wire, ModSeq, StatusItem, StatusValue};

use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::{Place, SeenOf};
use crate::reply::{Failure, Outcome, Reply};
use crate::state::State;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    mailbox: wire::MailboxName,
    items: Vec<StatusItem>,
) -> Outcome {
    let login = state.login()?;
    let name = convert::mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await?;
    let (mailbox, _) = place.mailbox(Rights::READ).await?;
    let tail = mailbox.tail().await?;
    if items.contains(&StatusItem::HighestModSeq) {
        // RFC 7162 §3.1
        let selected = state.selected().ok().map(|(_, selected)| selected);
        cx.condstore_aware(selected);
    }
    let account = mailbox.account().clone();
    let id = mailbox.id();
    let values = values(cx, state, (&account, id), &tail, &items).await?;
    cx.writer().status(&convert::wire_name(&name), &values);
    Ok(Reply::ok("STATUS completed"))
}

/// How many messages a user has not seen who has a `\Seen` of their own in a mailbox, and the tail at that time.
async fn own_seen(
    env: &Env,
    state: &State,
    (account, id): (&Arc<Account>, MailboxId),
) -> Result<Option<(Tail, u32)>, Failure> {
    let login = state.login()?;
    if account.id() == login.account.id() || env.sharing.seen != SeenOf::User {
        return Ok(None);
    }
    let mailbox = match account.open(id).await {
        // Deleted meanwhile: what it was is told.
        Err(MailError::NoSuchMailbox) => return Ok(None),
        mailbox => env.sharing.open_for(login, mailbox?),
    };
    let snapshot = mailbox.snapshot().await?;
    let loaded = mailbox.ensure(&snapshot, Wanted::Unseen).await?;
    Ok(Some((snapshot.tail().clone(), loaded.unseen())))
}

/// What the STATUS response of a mailbox tells.
pub(crate) async fn values(
    cx: &mut Cx,
    state: &mut State,
    (account, id): (&Arc<Account>, MailboxId),
    tail: &Tail,
    items: &[StatusItem],
) -> Result<Vec<StatusValue>, Failure> {
    // The client's own mailbox: no HIGHESTMODSEQ past an expunge that it has not been told.
    let shown = match state.selected() {
        Ok((_, selected)) if selected.is(account.id(), id) => Some(selected.view.highest_mod_seq()),
        _ => None,
    };
    let own_seen = match items.contains(&StatusItem::Unseen) && tail.messages > 0 {
        true => own_seen(&cx.env, state, (account, id)).await?,
        false => None,
    };
    let (tail, unseen) = match &own_seen {
        Some((tail, unseen)) => (tail, *unseen),
        None => (tail, tail.unseen),
    };
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let value = match item {
            StatusItem::Messages => Some(StatusValue::Messages(tail.messages)),
            StatusItem::Recent if cx.enabled.recent() => {
                let recent = account.open(id).await?.recent(tail.uid_next, false).len();
                let recent = u32::try_from(recent).unwrap_or(u32::MAX).min(tail.messages);
                Some(StatusValue::Recent(recent))
            }

            StatusItem::Recent => None,
            StatusItem::UidNext => convert::wire_uid(tail.uid_next).map(StatusValue::UidNext),
            StatusItem::UidValidity => {
                convert::wire_uid_validity(tail.uid_validity).map(StatusValue::UidValidity)
            }
            StatusItem::Unseen => Some(StatusValue::Unseen(unseen)),
            StatusItem::Deleted => Some(StatusValue::Deleted(tail.deleted)),
            StatusItem::DeletedStorage if tail.deleted == 0 => Some(StatusValue::DeletedStorage(0)),
            StatusItem::DeletedStorage => {
                // RFC 9208 §4.1.4
                let mailbox = account.open(id).await?;
                let snapshot = mailbox.snapshot().await?;
                let deleted = FlagFilter::with(Flags::DELETED);
                let loaded = mailbox.ensure(&snapshot, Wanted::Flagged(deleted)).await?;
                let bytes = loaded.rows_with(deleted).map(|row| row.size).sum();
                Some(StatusValue::DeletedStorage(bytes))
            }
            StatusItem::Size => Some(StatusValue::Size(tail.size)),
            StatusItem::HighestModSeq => {
                let newest = ModSeq(tail.modseq.0);
                Some(StatusValue::HighestModSeq(
                    shown.map_or(newest, |shown| shown.min(newest)),
                ))
            }
            StatusItem::AppendLimit => Some(StatusValue::AppendLimit(Some(
                cx.env.limits.append_bytes_max,
            ))),
            StatusItem::MailboxId => convert::mailbox_id(account.id(), id)
                .object_id()
                .map(StatusValue::MailboxId),
        };
        values.extend(value);
    }
    Ok(values)
}
