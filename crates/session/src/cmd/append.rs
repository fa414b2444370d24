//! APPEND (RFC 9051 §6.3.12), with several messages (RFC 3502) and messages put together of parts (RFC
//! 4469), and REPLACE (RFC 8508).
//!
//! Each message is streamed into the store while it comes; the client is asked for it only when it can
//! be taken. All messages of one command become one record, or none does.

use std::sync::Arc;

use restante_mailbox::{
    Account, Append, DateTime, EmailDraft, Flags, NewEmail, Reservation, Rights, Uid, UidSet,
    UidValidity, UserMailbox,
};
use restante_proto::types::{
    self as wire, AppendData, AppendHead, CatenatePart, Code, LiteralHead, ReplaceTarget, SetEnd,
};

use super::fetch::SectionOctets;
use super::store::expunge_issued;
use super::url_auth::{self, Part};
use crate::convert;
use crate::cx::Cx;
use crate::message_limit;
use crate::place::{self, Place};
use crate::reply::{Failure, Outcome, Reply, client_bug, try_create};
use crate::state::{Login, State};
use crate::switch;
use crate::sync::{self, Tell};
use crate::table::uid_required;
use crate::url::MessageUrl;
use crate::wire::Input;

/// More parts than any client puts together.
const PARTS_MAX: usize = 1000;

/// Runs the command from the head of its first message.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, head: AppendHead) -> Outcome {
    switch::append(cx, &head)?;
    let by_number = matches!(head.replace, Some(ReplaceTarget::Seq(_)));
    if cx.enabled.uid_only() && by_number {
        return Err(uid_required());
    }
    let replaced = match head.replace {
        Some(target) => Some(replaced(cx, state, target).await?),
        None => None,
    };
    let name = convert::mailbox_name(&head.mailbox)?;
    let login = state.login()?.clone();
    let place = Place::of(&cx.env, &login, &name)
        .await
        .map_err(try_create)?;
    let found = place.mailbox(Rights::INSERT).await;
    let (mailbox, rights) = found.map_err(try_create)?;
    let account = mailbox.account();
    if replaced
        .as_ref()
        .is_some_and(|replaced| !Arc::ptr_eq(replaced.mailbox.account(), account))
    {
        let text = "A message can be replaced only among the mailboxes of one user";
        return Ok(Reply::no(text).code(Code::Cannot));
    }
    let selected = state.selected().ok();
    let taking = Taking {
        login: &login,
        account,
        settable: rights.flags(),
        selected: selected.map(|(_, selected)| selected.mailbox.clone()),
        // What goes makes room for what comes (RFC 8508 §3.4).
        freed: replaced.as_ref().map(|replaced| replaced.size),
    };
    // The room is held until the messages count.
    let given = head.mailbox.clone();
    let (mut appends, _room) = taking.messages(cx, head).await?;
    if let Some(replaced) = replaced {
        let message = appends.pop().ok_or_else(|| client_bug("No message"))?;
        return replace(cx, &replaced, (&mailbox, rights), message).await;
    }
    let appended = mailbox.append(appends).await.map_err(try_create)?;
    convert::tell_name(cx, Vec::new(), &given, &name);
    let reply = Reply::ok("APPEND completed");
    let there = (appended.uid_validity, appended.uids.as_slice());
    Ok(match append_uid(rights, there) {
        Some(code) => reply.code(code),
        None => reply,
    })
}

/// APPENDUID, for who may read the mailbox: to others it says nothing (RFC 4315 §3).
fn append_uid(rights: Rights, (uid_validity, uids): (UidValidity, &[Uid])) -> Option<Code> {
    let uid_validity = convert::wire_uid_validity(uid_validity)?;
    rights.contains(Rights::READ).then(|| Code::AppendUid {
        uid_validity,
        uids: convert::wire_uids(uids.iter().copied()),
    })
}

/// The message that REPLACE takes away.
struct Replaced {
    mailbox: UserMailbox,
    uid: Uid,
    /// Bytes.
    size: u64,
}

/// Finds it, before anything is sent.
async fn replaced(
    cx: &mut Cx,
    state: &mut State,
    target: ReplaceTarget,
) -> Result<Replaced, Failure> {
    place::look_again(&cx.env, state).await?;
    let (_, writable) = state.writable(Rights::EXPUNGE)?;
    let selected = writable.0;
    if !selected
        .rights
        .contains(Rights::EXPUNGE | Rights::DELETE_MESSAGES)
    {
        return Err(place::no_permission());
    }
    let view = &selected.view;
    let uid = match target {
        ReplaceTarget::Seq(SetEnd::Number(number)) => {
            let uid = view.uid_of(number.get()).await?;
            Some(uid.ok_or_else(|| client_bug("There is no message of this number"))?)
        }
        ReplaceTarget::Uid(SetEnd::Number(uid)) => Uid::new(uid.get()),
        ReplaceTarget::Seq(SetEnd::Star) | ReplaceTarget::Uid(SetEnd::Star) => {
            view.last_uid().await?
        }
    };
    // Others' changes are told first, so that what is gone is known.
    let newest = selected.mailbox.snapshot().await?;
    sync::advance(cx, selected, &newest, false, Tell::Flags).await?;
    let view = &selected.view;
    let uids: UidSet = uid.into_iter().collect();
    if !uids.intersect(&view.ghosts()).is_empty() {
        return Err(expunge_issued());
    }
    let rows = view.rows(&uids).await?;
    let row = uid.and_then(|uid| rows.row(uid));
    let Some((_, row)) = row else {
        return Err(Reply::no("There is no message of this UID")
            .code(Code::NonExistent)
            .into());
    };
    Ok(Replaced {
        mailbox: selected.mailbox.clone(),
        uid: row.uid,
        size: row.size,
    })
}

/// The new message comes and the old one goes. APPENDUID is told before the EXPUNGE (RFC 8508 §4.3).
async fn replace(
    cx: &mut Cx,
    replaced: &Replaced,
    (to, rights): (&UserMailbox, Rights),
    message: Append,
) -> Outcome {
    let done = replaced.mailbox.replace(replaced.uid, to, message).await;
    let done = done.map_err(try_create)?;
    if let Some(code) = append_uid(rights, (done.uid_validity, &[done.uid])) {
        cx.untagged_ok(code, "Replacement message ready");
    }
    let reply = Reply::ok("REPLACE completed");
    if cx.enabled.qresync() {
        // RFC 8508 §4.5: as after UID EXPUNGE.
        let highest = wire::ModSeq(done.change.after.modseq().0);
        return Ok(reply.code(Code::HighestModSeq(highest)));
    }
    Ok(reply)
}

/// What is needed to take the messages of a command.
struct Taking<'a> {
    login: &'a Login,
    /// Whose mailbox the messages come into.
    account: &'a Arc<Account>,
    /// The flags that this user may set there; others are left out (RFC 4314 §4).
    settable: Flags,
    /// The selected mailbox, which URLs may be relative to.
    selected: Option<UserMailbox>,
    /// Bytes of the message that goes.
    freed: Option<u64>,
}

impl Taking<'_> {
    /// Takes the messages of the command to its end.
    async fn messages(
        &self,
        cx: &mut Cx,
        first: AppendHead,
    ) -> Result<(Vec<Append>, Vec<Reservation>), Failure> {
        let mut appends = Vec::new();
        let mut rooms = Vec::new();
        let mut bytes = 0u64;
        let mut head = first;
        loop {
            if appends.len() >= cx.env.limits.append_messages_max as usize {
                return Err(Reply::no("Too many messages in one APPEND")
                    .code(Code::Limit)
                    .into());
            }
            if let Some(limit) = cx
                .save_limit()
                .filter(|limit| appends.len() >= limit.get() as usize)
            {
                return Err(message_limit::exceeded(limit));
            }
            switch::append(cx, &head)?;
            let mut flags = convert::flag_names(&head.flags)?;
            flags.keep(self.settable);
            let internal_date = match head.internal_date {
                Some(date) => convert::date_time(date),
                None => DateTime::utc(self.account.now_ms().div_euclid(1000)),
            };
            let (email, room) = match head.data {
                AppendData::Literal(literal) => self.message(cx, literal, bytes).await?,
                AppendData::Catenate => self.catenated(cx, bytes).await?,
            };
            bytes += email.size();
            rooms.push(room);
            appends.push(Append {
                email,
                flags,
                internal_date,
            });
            match cx.conn.next().await? {
                Input::Append(next) => head = *next,
                Input::AppendEnd => return Ok((appends, rooms)),
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Takes one message that comes as a whole; `before` are the bytes of those before it.
    async fn message(
        &self,
        cx: &mut Cx,
        literal: LiteralHead,
        before: u64,
    ) -> Result<(NewEmail, Reservation), Failure> {
        fits(cx, before, literal.size)?;
        let account = self.account;
        let bytes = literal.size.saturating_sub(self.freed.unwrap_or(0));
        let room = account.reserve(bytes, self.messages_more())?;
        if literal.size == 0 {
            // A client gives up a command so (RFC 3502 §6.3.11).
            return Err(empty());
        }
        let mut draft = account.new_email();
        take(cx, literal, &mut draft).await?;
        Ok((draft.finish().await?, room))
    }

    /// Puts one message together of texts and of parts of others (RFC 4469 §3).
    async fn catenated(
        &self,
        cx: &mut Cx,
        before: u64,
    ) -> Result<(NewEmail, Reservation), Failure> {
        let account = self.account;
        let mut room = account.reserve(0, self.messages_more())?;
        let mut draft = account.new_email();
        cx.conn.accept(None);
        let mut parts = 0;
        loop {
            let next = cx.conn.next().await?;
            if matches!(next, Input::Catenate(_)) {
                parts += 1;
                if parts > PARTS_MAX {
                    return Err(Reply::no("Too many parts").code(Code::Limit).into());
                }
            }
            match next {
                Input::Catenate(CatenatePart::Text(literal)) => {
                    switch::literal(cx, &literal)?;
                    self.grow(cx, &mut room, &draft, before, literal.size)?;
                    take(cx, literal, &mut draft).await?;
                }
                Input::Catenate(CatenatePart::Url(url)) => {
                    self.part(cx, &url, &mut room, &mut draft, before).await?;
                }
                Input::CatenateEnd if draft.bytes() == 0 => return Err(empty()),
                Input::CatenateEnd => return Ok((draft.finish().await?, room)),
                other => return Err(unexpected(other)),
            }
        }
    }

    /// How many messages more there are with one that is taken.
    fn messages_more(&self) -> u64 {
        u64::from(self.freed.is_none())
    }

    /// Makes room for `more` bytes of a message.
    fn grow(
        &self,
        cx: &Cx,
        room: &mut Reservation,
        draft: &EmailDraft,
        before: u64,
        more: u64,
    ) -> Result<(), Failure> {
        let size = draft.bytes().saturating_add(more);
        fits(cx, before, size)?;
        let needed = size.saturating_sub(self.freed.unwrap_or(0));
        Ok(room.grow(needed.saturating_sub(room.bytes()))?)
    }

    /// Appends the octets that a URL names.
    async fn part(
        &self,
        cx: &mut Cx,
        url: &[u8],
        room: &mut Reservation,
        draft: &mut EmailDraft,
        before: u64,
    ) -> Result<(), Failure> {
        switch::url(cx, url)?;
        let bad = || bad_url(url);
        let part = match MessageUrl::parse(url) {
            Some(named) => {
                let mailbox = match &named.mailbox {
                    None => self.selected.clone().ok_or_else(bad)?,
                    Some(name) => {
                        let name = convert::mailbox_name(name).map_err(|_| bad())?;
                        let place = Place::of(&cx.env, self.login, &name)
                            .await
                            .map_err(|_| bad())?;
                        let found = place.mailbox(Rights::READ).await;
                        found.map_err(|_| bad())?.0
                    }
                };
                url_auth::part(&mailbox, &named).await?
            }
            // One that others have authorized (RFC 4467).
            None if !cx.hides("URLAUTH") => url_auth::open(cx, self.login, url).await?,
            None => None,
        };
        let Part {
            account,
            email,
            octets,
            ..
        } = part.ok_or_else(bad)?;
        match octets {
            SectionOctets::Text(text) => {
                self.grow(cx, room, draft, before, text.len() as u64)?;
                draft.write(&text).await?;
            }
            SectionOctets::Range(mut range) => {
                self.grow(cx, room, draft, before, range.end - range.start)?;
                while range.start < range.end {
                    let step = SectionOctets::step(&range);
                    draft
                        .write(&account.read(&email, step.clone()).await?)
                        .await?;
                    range.start = step.end;
                }
            }
        }
        Ok(())
    }
}

/// Whether a message of this size may still be taken (RFC 7889 §3, RFC 4469 §4.2). Small messages wait in
/// memory for the end of the command, so their sum is bounded, too.
fn fits(cx: &Cx, before: u64, size: u64) -> Result<(), Failure> {
    let most = cx.env.limits.append_bytes_max;
    if size > most {
        let reply = Reply::no("The message is too large");
        return Err(reply.code(Code::TooBig).into());
    }
    if before.saturating_add(size) > most {
        let reply = Reply::no("The messages of one APPEND are too large together");
        return Err(reply.code(Code::Limit).into());
    }
    Ok(())
}

fn empty() -> Failure {
    Reply::no("No message of no bytes is kept").into()
}

/// RFC 4469 §4.1. The code names the URL, as far as its grammar can.
fn bad_url(url: &[u8]) -> Failure {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !b"]\\".contains(byte);
    let reply = Reply::no("This URL names no message, or no part of one, here");
    match !url.is_empty() && url.iter().all(plain) {
        true => reply.code(Code::BadUrl(url.to_vec())).into(),
        false => reply.into(),
    }
}

/// What does not belong into an APPEND ends it.
fn unexpected(input: Input) -> Failure {
    match input {
        Input::Bad(_, reply) => reply.into(),
        Input::Bye(text) => Failure::Bye(Reply::bye(text).code(Code::ClientBug)),
        _ => client_bug("Unexpected input in APPEND"),
    }
}

/// Takes a literal into a message.
async fn take(cx: &mut Cx, literal: LiteralHead, draft: &mut EmailDraft) -> Result<(), Failure> {
    if literal.utf8 && !cx.enabled.utf8_accept() {
        // RFC 9755 §4
        return Err(client_bug("UTF8=ACCEPT has not been enabled"));
    }
    cx.conn.accept(Some(literal));
    loop {
        match cx.conn.next().await? {
            Input::Chunk(chunk) => {
                if !literal.literal8 && chunk.contains(&0) {
                    // RFC 9051 §4.3: only a literal8 may hold NUL.
                    return Err(client_bug("NUL in a literal"));
                }
                draft.write(&chunk).await?;
            }
            Input::LiteralEnd => return Ok(()),
            other => return Err(unexpected(other)),
        }
    }
}
