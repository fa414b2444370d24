//! What brings messages from one mailbox into another of the account, or replaces one: one transaction of both.

use std::sync::{Arc, MutexGuard};

use restante_store::Batch;

use crate::{
    Flags,
    build::{self, AppendRow, ExpungeWhat},
    commit::{self, AsReader, Built, InFlight, Tries, Unloaded},
    error::{MailError, Result},
    mailbox::{Mailbox, State, View},
    ops::{
        Append, Change, PendingReader, Try, as_reader, change, check_state, pending_loaded,
        pending_reader, unchanged,
    },
    record::{Effect, Record},
    snapshot::{Loaded, Wanted},
    types::{AccountId, Uid, UidValidity},
    uid_set::UidSet,
};

/// What [`Mailbox::copy`] or [`Mailbox::move_to`] did.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The UIDVALIDITY of the destination.
    pub uid_validity: UidValidity,
    /// The UIDs at the source, ascending.
    pub source: Vec<Uid>,
    /// The UIDs at the destination, in the same order.
    pub destination: Vec<Uid>,
    /// UIDs that do not exist (any more) at the source.
    pub missing: UidSet,
    /// The source before and after; the same after a COPY to another mailbox.
    pub source_change: Change,
    /// The destination before and after.
    pub destination_change: Change,
}

/// What [`Mailbox::replace`] did (RFC 8508).
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UID of the new message.
    pub uid: Uid,
    /// The mailbox of the message that was replaced, before and after.
    pub change: Change,
}

/// What a batch makes of two mailboxes, handed over.
struct Both {
    in_flight: InFlight,
    /// The record of the destination.
    record: Arc<Record>,
    source_change: Option<Change>,
    destination_change: Option<Change>,
}

/// How messages go to another mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Those that do not exist are passed over.
    Copy,
    /// All or none: [`MailError::Expunged`] if one does not exist.
    CopyAll,
    /// One batch, so that no message is ever in both or in neither.
    Move,
}

/// Somebody who is not the owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    /// Flags that may be set at the destination.
    pub(crate) kept: Flags,
    /// If this user has a `\Seen` of their own.
    pub(crate) reader: Option<AccountId>,
}

impl Mailbox {
    /// Puts a message into a mailbox of the account, in the place of one in this mailbox (RFC 8508): both
    /// in one batch.
    ///
    /// # Errors
    /// [`MailError::Expunged`] if the message to be replaced is gone; as [`Mailbox::append`].
    pub async fn replace(
        self: &Arc<Self>,
        uid: Uid,
        to: &Arc<Self>,
        message: Append,
    ) -> Result<Replaced> {
        self.replace_by(uid, to, message, None).await
    }

    /// The same; `reader`: whose command it is, of a user who has a `\Seen` of their own.
    pub(crate) async fn replace_by(
        self: &Arc<Self>,
        uid: Uid,
        to: &Arc<Self>,
        message: Append,
        reader: Option<AccountId>,
    ) -> Result<Replaced> {
        let account = self.account();
        if message.email.account != account.id() || !Arc::ptr_eq(account, to.account()) {
            return Err(MailError::misuse("a batch cannot span two accounts"));
        }
        if !Arc::ptr_eq(self, to) {
            return self.replace_elsewhere(uid, to, message, reader).await;
        }
        let uids: UidSet = [uid].into_iter().collect();
        let save_date_s = account.core.now_ms().div_euclid(1000);
        let change = |loaded: &Loaded, _: Option<AsReader<'_>>| {
            if loaded.row(uid).is_none() {
                return Err(MailError::Expunged);
            }
            let row = AppendRow {
                uid: None,
                email: message.email.id,
                size: message.email.size,
                internal_date: message.internal_date,
                save_date_s,
                flags: message.flags.clone(),
            };
            let mut built = build::append(loaded, [row])?;
            let gone = build::expunge(loaded, &ExpungeWhat::Uids(uids.clone()), None);
            built.effects.extend(gone.effects);
            let uid_validity = loaded.uid_validity();
            let uid = built.uids.first().copied().unwrap_or(uid);
            Ok((built.effects, move |change| Replaced {
                uid_validity,
                uid,
                change,
            }))
        };
        self.change_with(
            Wanted::Uids(&uids),
            reader,
            |batch| message.email.add_to(batch),
            change,
        )
        .await
    }

    async fn replace_elsewhere(
        self: &Arc<Self>,
        uid: Uid,
        to: &Arc<Self>,
        message: Append,
        reader: Option<AccountId>,
    ) -> Result<Replaced> {
        let uids: UidSet = [uid].into_iter().collect();
        let mut tries = Tries::new();
        let outcome = async {
            loop {
                let snapshot = self.pending_snapshot().await?;
                self.ensure(&snapshot, Wanted::Uids(&uids)).await?;
                to.pending_snapshot().await?;
                if let Some(user) = reader {
                    to.read_seen(user).await?;
                }
                let tried = {
                    let (mut source, mut destination) = self.lock_both(to);
                    match tries.must_look(&destination) {
                        true => Try::Changed,
                        false => {
                            let states = (&mut *source, &mut *destination);
                            self.try_replace(&uids, to, (&message, reader), states)?
                        }
                    }
                };
                if let Some(answer) = self.resolve(&mut tries, tried, Some(to)).await? {
                    return Ok(answer);
                }
            }
        };
        let outcome = outcome.await;
        tries.end(outcome)
    }

    fn try_replace(
        self: &Arc<Self>,
        uids: &UidSet,
        to: &Arc<Self>,
        (message, reader): (&Append, Option<AccountId>),
        (source, destination): (&mut State, &mut State),
    ) -> Result<Try<Replaced>> {
        let core = &self.account().core;
        let Ok(reader) = pending_reader(destination, reader) else {
            return Ok(Try::Changed);
        };
        let (Some((from_view, from)), Some((to_view, into))) =
            (pending_loaded(source), pending_loaded(destination))
        else {
            return Ok(Try::Changed);
        };
        check_state(&from_view)?;
        check_state(&to_view)?;
        let Some(loaded) = from.loaded(Wanted::Uids(uids)) else {
            return Ok(Try::Changed);
        };
        if loaded.rows_in(uids).next().is_none() {
            return Err(MailError::Expunged);
        }
        let now_ms = core.now_ms();
        let row = AppendRow {
            uid: None,
            email: message.email.id,
            size: message.email.size,
            internal_date: message.internal_date,
            save_date_s: now_ms.div_euclid(1000),
            flags: message.flags.clone(),
        };
        let built = build::append(&into, [row])?;
        let Some(uid) = built.uids.first().copied() else {
            return Ok(Try::Changed);
        };
        let gone = build::expunge(&loaded, &ExpungeWhat::Uids(uids.clone()), None);
        let mut batch = Batch::new(self.account().id().0);
        message.email.add_to(&mut batch);
        let both = self.submit_both(
            to,
            (source, &from_view),
            (destination, &to_view, reader),
            (built.effects, gone.effects),
            (now_ms, core.nonce()),
            batch,
        )?;
        Ok(match both {
            Err(unloaded) => Try::Unloaded(unloaded),
            Ok(both) => {
                let answer = Replaced {
                    uid_validity: into.uid_validity(),
                    uid,
                    change: both.source_change.unwrap_or_else(|| unchanged(&from)),
                };
                Try::Submitted(both.in_flight, both.record, answer)
            }
        })
    }

    /// Two mailboxes are locked in the order of their numbers.
    fn lock_both<'a>(&'a self, to: &'a Self) -> (MutexGuard<'a, State>, MutexGuard<'a, State>) {
        if self.id() < to.id() {
            let source = self.lock();
            (source, to.lock())
        } else {
            let destination = to.lock();
            (self.lock(), destination)
        }
    }

    /// Copies messages to another mailbox of the account, or to this one (RFC 9051 §6.4.7); those that do
    /// not exist are passed over.
    ///
    /// # Errors
    /// [`MailError::OverQuota`]; as [`Mailbox::append`].
    pub async fn copy(self: &Arc<Self>, uids: &UidSet, to: &Arc<Self>) -> Result<Copied> {
        self.transfer(uids, to, Transfer::Copy, None).await
    }

    /// Copies messages, all of them or none.
    ///
    /// # Errors
    /// [`MailError::Expunged`] if one does not exist; as [`Mailbox::copy`].
    pub async fn copy_all(self: &Arc<Self>, uids: &UidSet, to: &Arc<Self>) -> Result<Copied> {
        self.transfer(uids, to, Transfer::CopyAll, None).await
    }

    /// Moves messages to another mailbox of the account, or to this one (RFC 6851): one batch, so that no
    /// message is ever in both or in neither.
    ///
    /// # Errors
    /// As [`Mailbox::append`].
    pub async fn move_to(self: &Arc<Self>, uids: &UidSet, to: &Arc<Self>) -> Result<Copied> {
        self.transfer(uids, to, Transfer::Move, None).await
    }

    /// Copies or moves messages to another mailbox of the account, or to this one. `other`: not for the owner,
    /// but for a user to whom those flags of theirs are kept that they may set (RFC 4314 §4).
    ///
    /// # Errors
    /// As [`Mailbox::copy`].
    pub(crate) async fn transfer(
        self: &Arc<Self>,
        uids: &UidSet,
        to: &Arc<Self>,
        how: Transfer,
        other: Option<Other>,
    ) -> Result<Copied> {
        let reader = other.and_then(|other| other.reader);
        let account = self.account();
        if !Arc::ptr_eq(account, to.account()) {
            return Err(MailError::misuse("a batch cannot span two accounts"));
        }
        let same = Arc::ptr_eq(self, to);
        let mut tries = Tries::new();
        // Room at the destination of a COPY; held until the sum of the tails has it.
        let mut _room = None;
        let outcome = async {
            loop {
                let snapshot = self.pending_snapshot().await?;
                let loaded = self.ensure(&snapshot, Wanted::Uids(uids)).await?;
                if how != Transfer::Move && _room.is_none() {
                    let rows = || loaded.rows_in(uids);
                    let bytes = rows().map(|row| row.size).sum();
                    _room = Some(account.reserve(bytes, rows().count() as u64)?);
                }
                drop(loaded);
                if !same {
                    to.pending_snapshot().await?;
                }
                if let Some(user) = reader {
                    self.read_seen(user).await?;
                    to.read_seen(user).await?;
                }
                let tried = {
                    let (mut source, mut destination) = match same {
                        true => (self.lock(), None),
                        false => {
                            let (source, destination) = self.lock_both(to);
                            (source, Some(destination))
                        }
                    };
                    match tries.must_look(destination.as_deref().unwrap_or(&source)) {
                        true => Try::Changed,
                        false => {
                            let ends = (&mut source, destination.as_mut());
                            self.try_transfer(uids, to, (how, other), ends)?
                        }
                    }
                };
                if let Some(answer) = self.resolve(&mut tries, tried, Some(to)).await? {
                    return Ok(answer);
                }
            }
        };
        let outcome = outcome.await;
        tries.end(outcome)
    }

    /// `destination` is `None` if it is this mailbox.
    fn try_transfer(
        self: &Arc<Self>,
        uids: &UidSet,
        to: &Arc<Self>,
        (how, other): (Transfer, Option<Other>),
        (source, destination): (
            &mut MutexGuard<'_, State>,
            Option<&mut MutexGuard<'_, State>>,
        ),
    ) -> Result<Try<Copied>> {
        let core = &self.account().core;
        let kept = other.map_or(Flags::ALL, |other| other.kept);
        let user = other.and_then(|other| other.reader);
        let at_destination = destination.as_ref().map_or(&**source, |state| &***state);
        let readers = (
            pending_reader(source, user),
            pending_reader(at_destination, user),
        );
        let (Ok(at_source), Ok(reader)) = readers else {
            return Ok(Try::Changed);
        };
        let Some((from_view, from)) = pending_loaded(source) else {
            return Ok(Try::Changed);
        };
        let (to_view, into) = match &destination {
            None => (from_view.clone(), from.clone()),
            Some(state) => match pending_loaded(state) {
                Some(found) => found,
                None => return Ok(Try::Changed),
            },
        };
        check_state(&from_view)?;
        check_state(&to_view)?;
        let Some(loaded) = from.loaded(Wanted::Uids(uids)) else {
            return Ok(Try::Changed);
        };
        // With the flags that the user sees.
        let loaded = match at_source {
            Some((_, seen)) => loaded.with_seen(seen),
            None => loaded,
        };
        let now_ms = core.now_ms();
        let save_date_s = now_ms.div_euclid(1000);
        let built = match how {
            Transfer::Move => build::move_to(&loaded, uids, &into, save_date_s, kept)?,
            Transfer::Copy | Transfer::CopyAll => {
                build::copy(&loaded, uids, &into, save_date_s, kept)?
            }
        };
        if how == Transfer::CopyAll && !built.missing.is_empty() {
            return Err(MailError::Expunged);
        }
        let mut answer = Copied {
            uid_validity: into.uid_validity(),
            source: built.source,
            destination: built.destination,
            missing: built.missing,
            source_change: unchanged(&from),
            destination_change: unchanged(&into),
        };
        if built.effects.is_empty() {
            return Ok(Try::NoChange(source.place(), answer));
        }
        let mut batch = Batch::new(self.account().id().0);
        let nonce = core.nonce();
        let Some(destination) = destination else {
            let mut effects = built.effects;
            effects.extend(built.source_effects);
            let effects = (effects, as_reader(&reader));
            let made = commit::build(self, &from_view, effects, (now_ms, nonce), &mut batch)?;
            let Built {
                view,
                record,
                before,
            } = match made {
                Ok(made) => made,
                Err(unloaded) => return Ok(Try::Unloaded(unloaded)),
            };
            if let Some(change) = change(&from_view, &view) {
                answer.source_change = change.clone();
                answer.destination_change = change;
            }
            let members = vec![(self, &mut **source, view, Some(record.clone()))];
            let in_flight = commit::submit(core, before, batch, members);
            return Ok(Try::Submitted(in_flight, record, answer));
        };
        let both = self.submit_both(
            to,
            (source, &from_view),
            (destination, &to_view, reader),
            (built.effects, built.source_effects),
            (now_ms, nonce),
            batch,
        )?;
        Ok(match both {
            Err(unloaded) => Try::Unloaded(unloaded),
            Ok(both) => {
                if let Some(change) = both.destination_change {
                    answer.destination_change = change;
                }
                if let Some(change) = both.source_change {
                    answer.source_change = change;
                }
                Try::Submitted(both.in_flight, both.record, answer)
            }
        })
    }

    /// Hands over what a command makes of the destination, and of this mailbox if it has effects there, as
    /// one batch. With the destination: a user who has a `\Seen` of their own, and what they have seen there.
    fn submit_both(
        self: &Arc<Self>,
        to: &Arc<Self>,
        (source, from_view): (&mut State, &View),
        (destination, to_view, reader): (&mut State, &View, PendingReader),
        (effects, source_effects): (Vec<Effect>, Vec<Effect>),
        nonce: (i64, u64),
        mut batch: Batch,
    ) -> Result<Result<Both, Unloaded>> {
        let core = &self.account().core;
        let mut members = Vec::with_capacity(2);
        let mut from_before = Vec::new();
        let mut source_change = None;
        let effects = (effects, as_reader(&reader));
        let at_destination = match commit::build(to, to_view, effects, nonce, &mut batch)? {
            Ok(made) => made,
            Err(unloaded) => return Ok(Err(unloaded)),
        };
        let destination_change = change(to_view, &at_destination.view);
        if !source_effects.is_empty() {
            let effects = (source_effects, None);
            let made = commit::build(self, from_view, effects, nonce, &mut batch)?;
            let at_source = match made {
                Ok(made) => made,
                Err(unloaded) => return Ok(Err(unloaded)),
            };
            source_change = change(from_view, &at_source.view);
            from_before = at_source.before;
            members.push((self, source, at_source.view, Some(at_source.record)));
        }
        let record = at_destination.record;
        let mut before = at_destination.before;
        before.extend(from_before);
        members.push((to, destination, at_destination.view, Some(record.clone())));
        let in_flight = commit::submit(core, before, batch, members);
        Ok(Ok(Both {
            in_flight,
            record,
            source_change,
            destination_change,
        }))
    }
}
