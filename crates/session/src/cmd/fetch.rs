//! FETCH and UID FETCH (RFC 9051 §6.4.5; RFC 7162 §3.1.4, §3.2.6).
//!
//! What only the mailbox's rows are needed for goes row by row without an allocation. The rest goes in
//! batches: the rows of a batch of emails are read at once, octets of messages as a stream, one
//! message after the other. Messages that were expunged while this client could not be told are still
//! there to be read.

mod binary;
mod message;
mod octets;
mod plan;

use std::num::NonZeroU32;
use std::sync::Arc;

use restante_mailbox::{
    Account, EmailId, EmailRow, FlagAction, FlagNames, Flags, MailError, ModSeq, ReadAhead, Rights,
    Row, StoreFlags, Uid, UidSet, Wanted,
};
use restante_proto::encode::FetchItems;
use restante_proto::types::{self as wire, Code, Fetch};

pub(crate) use self::binary::Mark;
use self::message::Fetcher;
pub(super) use self::octets::{SectionOctets, push_text};
use self::plan::{Item, Plan, RowItem};
use crate::columns::{self, Derived};
use crate::convert;
use crate::cx::Cx;
use crate::flags::FlagWriter;
use crate::message_limit;
use crate::partial::{positions, size};
use crate::reply::{self, Failure, Outcome, Reply, client_bug};
use crate::state::{Selected, State};
use crate::sync::{self, Tell};

/// Messages whose email rows are read at once.
const BATCH: usize = 512;
/// The same where octets follow: a slow reader holds the rows for a while.
const BATCH_OCTETS: usize = 64;
/// From so many messages on it is worth the while to keep where they lie.
const PLACES_MIN: usize = 16;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Fetch) -> Outcome {
    let limit = cx.message_limit();
    run_within(cx, state, args, limit).await
}

/// At most `limit` messages: those with the highest UIDs, the highest first (RFC 9738 §3.1).
pub(super) async fn run_within(
    cx: &mut Cx,
    state: &mut State,
    args: Fetch,
    limit: Option<NonZeroU32>,
) -> Outcome {
    let (_, selected) = state.selected()?;
    if args.modifiers.vanished && !cx.enabled.qresync() {
        // RFC 7162 §3.2.6
        return Err(client_bug("ENABLE QRESYNC comes first"));
    }
    let account = selected.mailbox.account().clone();
    let plan = Plan::new(&args, cx.enabled.uid_only());
    if plan.condstore {
        cx.condstore_aware(Some(selected));
    }
    sync::look(cx, selected, &args.set).await?;
    let mut uids = selected.view.resolve(&args.set).await?;
    if let Some(range) = args.modifiers.partial {
        if let Some(limit) = limit.filter(|limit| size(range) > limit.get()) {
            return Err(message_limit::exceeded(limit));
        }
        // RFC 9394 §3.4: the page comes first, what has changed in it afterwards.
        let rows = selected.view.rows(&uids).await?;
        let there: UidSet = rows.iter(&uids).map(|(_, row)| row.uid).collect();
        uids = there.slice(positions(range, there.len()));
    }
    if let Some(since) = args.modifiers.changed_since {
        let since = ModSeq(since.get());
        if args.modifiers.vanished {
            let asked = match &args.set {
                // Of all that was named: a page has only messages that are there.
                wire::MessageSet::Uid(set) => &selected.view.resolve_vanished(set),
                wire::MessageSet::Seq(_) => &uids,
            };
            tell_vanished(cx, selected, since, asked).await?;
        }
        uids = changed_since(selected, since, &uids).await?;
    }
    let mut downwards = false;
    if let Some(limit) = limit
        && let Some(cut) = message_limit::highest(selected, Some(&uids), limit).await?
    {
        cx.limit_to(limit, &cut);
        (uids, downwards) = (cut, true);
    }
    if !plan.needs_emails {
        rows(cx, selected, &account, &plan, (&uids, downwards)).await?;
        return Ok(Reply::ok("FETCH completed"));
    }
    match emails(cx, selected, &account, &plan, (uids, downwards)).await? {
        None => Ok(Reply::ok("FETCH completed")),
        Some(problem) => Err(problem.reply().into()),
    }
}

/// Why some of what was asked for is missing in the answer; the rest is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    /// Expunged, and gone for good.
    Expunged,
    /// A part's encoding is none that we know (RFC 3516 §4.3).
    UnknownEncoding,
    /// What was read is not what was written.
    Damaged,
}

impl Problem {
    fn reply(self) -> Reply {
        match self {
            Problem::Expunged => {
                Reply::no("Some of the messages have been expunged").code(Code::ExpungeIssued)
            }
            Problem::UnknownEncoding => {
                Reply::no("A part has an unknown encoding").code(Code::UnknownCte)
            }
            Problem::Damaged => {
                Reply::no("Some of the messages are damaged").code(Code::Corruption)
            }
        }
    }
}

/// VANISHED (EARLIER), before any FETCH (RFC 7162 §3.2.6). What this client counts still is told when
/// expunges may be told.
async fn tell_vanished(
    cx: &mut Cx,
    selected: &Selected,
    since: ModSeq,
    uids: &UidSet,
) -> Result<(), Failure> {
    let snapshot = selected.view.snapshot();
    let vanished = selected
        .mailbox
        .vanished_since(snapshot, since, &uids.difference(&selected.view.ghosts()))
        .await?;
    if !vanished.is_empty() {
        cx.line(format_args!("* VANISHED (EARLIER) {vanished}"));
    }
    Ok(())
}

/// Those of `uids` that changed after `since`. What was expunged changed by that, and is told so.
async fn changed_since(
    selected: &Selected,
    since: ModSeq,
    uids: &UidSet,
) -> Result<UidSet, Failure> {
    let rows = selected.view.load(Wanted::ChangedSince(since)).await?;
    let changed = rows.loaded().changed_since(since).map(|row| row.uid);
    Ok(changed.collect::<UidSet>().intersect(uids))
}

/// The answer where the mailbox's rows say everything.
async fn rows(
    cx: &mut Cx,
    selected: &Selected,
    account: &Account,
    plan: &Plan,
    (uids, downwards): (&UidSet, bool),
) -> Result<(), Failure> {
    let rows = selected.view.rows(uids).await?;
    let mut upwards = rows.iter(uids);
    let mut reversed = Vec::new();
    if downwards {
        reversed.extend(upwards.by_ref());
    }
    let all = upwards.chain(reversed.into_iter().rev());
    let keywords = selected.view.snapshot().keywords().clone();
    let mut writer = RowWriter::new(FlagWriter::new(&keywords), cx, selected, account);
    for (index, (number, row)) in all.enumerate() {
        let Some(mut items) = begin_items(cx, number, row.uid) else {
            continue;
        };
        let out = cx.conn.out();
        for item in &plan.items {
            if let Item::Row(item) = item {
                writer.write(out, &mut items, *item, &row);
            }
        }
        items.end(out);
        if index % 128 == 127 {
            cx.conn.flush_if_large().await?;
        }
    }
    Ok(())
}

/// Begins a FETCH response, or UIDFETCH where there are no numbers (RFC 9586 §3.3).
fn begin_items(cx: &mut Cx, number: u32, uid: Uid) -> Option<FetchItems> {
    let uid_only = cx.enabled.uid_only();
    let out = cx.conn.out();
    Some(match uid_only {
        true => FetchItems::begin_uid(out, wire::Uid::new(uid.get())?),
        false => FetchItems::begin(out, wire::SeqNum::new(number)?),
    })
}

/// Writes what the mailbox knows of a message.
struct RowWriter<'a> {
    flags: FlagWriter<'a>,
    /// `\Recent` exists for this client.
    recent: Option<UidSet>,
    account: restante_mailbox::AccountId,
}

impl<'a> RowWriter<'a> {
    fn new(
        flags: FlagWriter<'a>,
        cx: &Cx,
        selected: &Selected,
        account: &Account,
    ) -> RowWriter<'a> {
        let recent = selected.view.recent();
        RowWriter {
            flags,
            recent: (cx.enabled.recent() && !recent.is_empty()).then(|| recent.clone()),
            account: account.id(),
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, items: &mut FetchItems, item: RowItem, row: &Row) {
        match item {
            RowItem::Flags => {
                let recent = self.recent.as_ref();
                let recent = recent.is_some_and(|recent| recent.contains(row.uid));
                items.ready(out, "FLAGS", b"");
                self.flags.write(out, row.flags, recent);
            }
            RowItem::Uid => {
                if let Some(uid) = convert::wire_uid(row.uid) {
                    items.uid(out, uid);
                }
            }
            RowItem::InternalDate => {
                items.internal_date(out, convert::wire_date_time(row.internal_date));
            }
            RowItem::Size => items.rfc822_size(out, row.size),
            RowItem::ModSeq => items.mod_seq(out, wire::ModSeq(row.modseq.0)),
            RowItem::EmailId => {
                let id = convert::email_id(self.account, row.email);
                items.object_id(out, "EMAILID", id.as_str());
            }
            RowItem::SaveDate => {
                let date = restante_mailbox::DateTime::utc(row.save_date_s);
                items.save_date(out, Some(convert::wire_date_time(date)));
            }
        }
    }
}

/// A message that is to be told, and whether this FETCH made it `\Seen`.
struct Told {
    number: u32,
    row: Row,
    newly_seen: bool,
}

/// The answer where the rows of emails are needed, or octets.
async fn emails(
    cx: &mut Cx,
    selected: &mut Selected,
    account: &Arc<Account>,
    plan: &Plan,
    (mut rest, downwards): (UidSet, bool),
) -> Result<Option<Problem>, Failure> {
    let batch = match plan.needs_octets {
        true => BATCH_OCTETS,
        false => BATCH,
    };
    let mut problem = None;
    loop {
        let highest;
        let part = match downwards {
            false => &rest,
            true => {
                highest = rest.slice(rest.len().saturating_sub(batch as u64)..rest.len());
                &highest
            }
        };
        let mut told: Vec<Told> = {
            let rows = selected.view.rows(part).await?;
            let rows = rows.iter(part).take(batch);
            rows.map(|(number, row)| Told {
                number,
                row,
                newly_seen: false,
            })
            .collect()
        };
        let Some(last) = told.last().map(|told| told.row.uid) else {
            return Ok(problem);
        };
        rest = match downwards {
            false => rest.difference(&UidSet::from_range(Uid::MIN, last)),
            true => rest.difference(part),
        };
        if downwards {
            told.reverse();
        }
        // RFC 4314 §4: who may not set it reads on without it.
        if plan.sets_seen && !selected.examined && selected.rights.contains(Rights::SEEN) {
            set_seen(cx, selected, &mut told).await?;
        }
        let places = match !plan.needs_rows && told.len() >= PLACES_MIN {
            true => places(selected, &told).await?,
            false => None,
        };
        let found = match places {
            Some(places) => places,
            None => email_rows(account, &told, &mut problem).await?,
        };
        let keywords = selected.view.snapshot().keywords().clone();
        let ahead = match plan.needs_octets {
            true => ReadAhead::of(found.iter().flatten().map(|email| email.blob())),
            false => ReadAhead::default(),
        };
        let mut fetcher = Fetcher {
            writer: RowWriter::new(FlagWriter::new(&keywords), cx, selected, account),
            account,
            plan,
            problem,
            mark: selected.decoded.take(),
            ahead,
            text: Vec::new(),
        };
        for (told, email) in told.iter().zip(found) {
            match email {
                Some(email) => fetcher.message(cx, told, &email).await?,
                None => problem_is(&mut fetcher.problem, Problem::Expunged),
            }
            cx.conn.flush_if_large().await?;
        }
        problem = fetcher.problem;
        selected.decoded = fetcher.mark;
        if rest.is_empty() {
            return Ok(problem);
        }
    }
}

/// Notes a problem; the worst one is told.
fn problem_is(problem: &mut Option<Problem>, new: Problem) {
    *problem = (*problem).max(Some(new));
}

/// Sets `\Seen` where it is not, in one transaction for the batch (RFC 9051 §6.4.5). Reading goes on
/// where the flag cannot be set.
async fn set_seen(cx: &mut Cx, selected: &mut Selected, told: &mut [Told]) -> Result<(), Failure> {
    let ghosts = selected.view.ghosts();
    let unseen: UidSet = told
        .iter()
        .map(|told| &told.row)
        .filter(|row| !row.flags.contains(Flags::SEEN) && !ghosts.contains(row.uid))
        .map(|row| row.uid)
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    let command = StoreFlags {
        uids: unseen,
        action: FlagAction::Add,
        flags: FlagNames {
            system: Flags::SEEN,
            keywords: Vec::new(),
        },
        unchanged_since: None,
        visible: Some(selected.view.all_uids()),
        changeable: Flags::SEEN,
    };
    let stored = match selected.mailbox.store(&command).await {
        Ok(stored) => stored,
        Err(error) => {
            if reply::is_ours(&error) {
                tracing::error!(peer = %cx.peer, %error, "\\Seen could not be set by FETCH");
            }
            return Ok(());
        }
    };
    sync::advance(cx, selected, &stored.change.base, false, Tell::Flags).await?;
    // The answers to this command tell it.
    sync::advance(cx, selected, &stored.change.after, false, Tell::Nothing).await?;
    let rows = selected.view.rows(&command.uids).await?;
    for told in told {
        if command.uids.contains(told.row.uid)
            && let Some((_, row)) = rows.row(told.row.uid)
        {
            told.newly_seen = stored.changed.contains(row.uid);
            told.row = row;
        }
    }
    Ok(())
}

/// Where the messages of a batch lie, in its order, in rows that have nothing else. None if they have to be looked at
/// one by one.
async fn places(
    selected: &Selected,
    told: &[Told],
) -> Result<Option<Vec<Option<Arc<EmailRow>>>>, Failure> {
    let messages: Vec<_> = told
        .iter()
        .map(|told| (told.row.uid, told.row.email))
        .collect();
    // The highest first (RFC 9738 §3.1): columns go the other way.
    if !messages.is_sorted() {
        return Ok(None);
    }
    let places = match columns::read(&selected.mailbox, &[Derived::Place], &messages).await {
        Err(MailError::Damaged { .. }) => return Ok(None),
        places => places?,
    };
    let mut rows = Vec::with_capacity(told.len());
    for values in &places {
        values.each(
            |at| messages[at].0,
            |at, place| {
                let row = place.and_then(|place| EmailRow::of_place(messages[at].1, place));
                rows.push(row.map(Arc::new));
            },
        );
    }
    Ok(Some(rows))
}

/// The email rows of a batch, in its order. One that is damaged does not hide the others.
async fn email_rows(
    account: &Arc<Account>,
    told: &[Told],
    problem: &mut Option<Problem>,
) -> Result<Vec<Option<Arc<EmailRow>>>, Failure> {
    let ids: Vec<EmailId> = told.iter().map(|told| told.row.email).collect();
    match account.emails(&ids).await {
        Err(MailError::Damaged { .. }) => {}
        found => return Ok(found?),
    }
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(match account.email(id).await {
            Ok(row) => Some(row),
            Err(MailError::Expunged) => None,
            Err(MailError::Damaged { what }) => {
                tracing::error!(account = account.id().0, %what, "an email is damaged");
                problem_is(problem, Problem::Damaged);
                None
            }
            Err(error) => return Err(error.into()),
        });
    }
    Ok(found)
}
