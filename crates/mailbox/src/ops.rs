//! What can be done with the messages of a mailbox. Each is one transaction.

use std::sync::{Arc, MutexGuard};

use restante_store::Batch;

use crate::{
    Flags,
    build::{self, AppendRow, ExpungeWhat, FlagNames, StoreFlags},
    commit::{self, Built, InFlight, Tries, Unloaded},
    email::NewEmail,
    error::{Limit, MailError, Result},
    mailbox::{Mailbox, Place, State, View},
    record::{Effect, Record},
    seen::Seen,
    snapshot::{FlagFilter, Loaded, Snapshot, Wanted},
    tail::TailState,
    types::{AccountId, DateTime, ModSeq, Uid, UidValidity},
    uid_set::UidSet,
};

/// A message for [`Mailbox::append`].
#[derive(Debug)]
pub struct Append {
    /// The message.
    pub email: NewEmail,
    /// Its flags.
    pub flags: FlagNames,
    /// INTERNALDATE.
    pub internal_date: DateTime,
}

/// What [`Mailbox::append`] did.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UIDs of the messages, in the order given.
    pub uids: Vec<Uid>,
    /// The transaction.
    pub modseq: ModSeq,
    /// The mailbox before and after, if anybody had it open.
    pub change: Option<Change>,
}

/// A mailbox before and after a transaction.
#[derive(Clone, Debug)]
pub struct Change {
    /// What the transaction was built on: all that others did before it.
    pub base: Arc<Snapshot>,
    /// `base` and the transaction.
    pub after: Arc<Snapshot>,
}

/// What [`Mailbox::store`] did.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Messages whose flags were changed.
    pub changed: UidSet,
    /// Messages refused by UNCHANGEDSINCE (RFC 7162 §3.1.3).
    pub failed_unchanged_since: UidSet,
    /// UIDs that do not exist (any more), or were not visible.
    pub missing: UidSet,
    /// The mailbox before and after; the same if nothing was changed.
    pub change: Change,
}

/// What [`Mailbox::expunge`] did.
#[derive(Clone, Debug)]
pub struct Expunged {
    /// The messages that went.
    pub uids: UidSet,
    /// The mailbox before and after; the same if nothing was expunged.
    pub change: Change,
}

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

/// A user who has a `\Seen` of their own, and what this user has seen.
type AsReader = (AccountId, Arc<Seen>);

/// Most messages of one APPEND.
const APPEND_MAX: usize = 1000;

/// One try: it was handed over, or it needs nothing, or what it needs was not loaded, or was not as it
/// was a moment ago.
enum Try<T> {
    Submitted(InFlight, Arc<Record>, T),
    NoChange(Place, T),
    Unloaded(Unloaded),
    Changed,
}

/// The pending state of a mailbox; loads what is missing.
impl Mailbox {
    /// The snapshot that the next writer builds on.
    async fn pending_snapshot(self: &Arc<Self>) -> Result<Arc<Snapshot>> {
        for _ in 0..64 {
            {
                let state = self.lock();
                if let Some(snapshot) = state.pending().and_then(|view| view.snapshot.clone()) {
                    return Ok(snapshot);
                }
            }
            self.load().await?;
        }
        Err(MailError::Busy)
    }

    /// Appends messages in one transaction (RFC 9051 §6.3.12, RFC 3502). A mailbox that nobody has open
    /// is not read for it.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`], [`MailError::OverQuota`], [`MailError::Limit`],
    /// [`MailError::Full`], [`MailError::Busy`], [`MailError::Unavailable`], [`MailError::Unknown`].
    pub async fn append(self: &Arc<Self>, messages: Vec<Append>) -> Result<Appended> {
        self.append_with(messages, &[], None).await
    }

    /// Appends messages, with the UIDs given for the first of them. `reader`: the user whose they are, who has
    /// a `\Seen` of their own.
    pub(crate) async fn append_with(
        self: &Arc<Self>,
        messages: Vec<Append>,
        uids: &[Option<Uid>],
        reader: Option<AccountId>,
    ) -> Result<Appended> {
        if messages.len() > APPEND_MAX {
            return Err(MailError::Limit(Limit::Messages));
        }
        let account = self.account();
        if messages.iter().any(|m| m.email.account != account.id()) {
            return Err(MailError::misuse("a message of another account"));
        }
        let has_keywords = messages.iter().any(|m| !m.flags.keywords.is_empty());
        let has_seen = |m: &Append| m.flags.system.contains(Flags::SEEN);
        let reader = reader.filter(|_| messages.iter().any(has_seen));
        let core = &account.core;
        let mut tries = Tries::new();
        let outcome = async {
            loop {
                let opened = match has_keywords {
                    true => Some(self.pending_snapshot().await?),
                    false => {
                        self.refresh().await?;
                        None
                    }
                };
                if let Some(user) = reader {
                    self.read_seen(user).await?;
                }
                let now_ms = core.now_ms();
                let rows = messages
                    .iter()
                    .enumerate()
                    .map(|(index, message)| AppendRow {
                        uid: uids.get(index).copied().flatten(),
                        email: message.email.id,
                        size: message.email.size,
                        internal_date: message.internal_date,
                        save_date_s: now_ms.div_euclid(1000),
                        flags: message.flags.clone(),
                    });
                let tried = {
                    let mut state = self.lock();
                    let Some(pending) = state.pending().cloned() else {
                        continue;
                    };
                    let reader = match reader.map(|user| (user, state.pending_seen(user))) {
                        Some((_, None)) => continue,
                        Some((user, Some(seen))) => Some((user, seen)),
                        None => None,
                    };
                    let built = match (&pending.snapshot, opened) {
                        _ if tries.must_look(&state) => None,
                        (Some(snapshot), _) => Some(build::append(snapshot, rows)),
                        (None, Some(_)) => None,
                        (None, None) => build::append_unopened(&pending.tail, rows),
                    };
                    match built.transpose()? {
                        None => Try::Changed,
                        Some(built) => {
                            let mut batch = Batch::new(account.id().0);
                            for message in &messages {
                                message.email.add_to(&mut batch);
                            }
                            let nonce = (now_ms, core.nonce());
                            let effects = match &reader {
                                Some((user, _)) => build::appended_by_reader(built.effects, *user),
                                None => built.effects,
                            };
                            match commit::build(self, &pending, effects, nonce, &mut batch)? {
                                Err(unloaded) => Try::Unloaded(unloaded),
                                Ok(mut made) => {
                                    if let Some((user, seen)) = &reader {
                                        commit::add_seen(
                                            self,
                                            &mut made,
                                            (*user, seen),
                                            &mut batch,
                                        );
                                    }
                                    let Built {
                                        view,
                                        record,
                                        before,
                                    } = made;
                                    let answer = Appended {
                                        uid_validity: view.tail.uid_validity,
                                        uids: built.uids,
                                        modseq: view.tail.modseq,
                                        change: change(&pending, &view),
                                    };
                                    let members =
                                        vec![(self, &mut *state, view, Some(record.clone()))];
                                    Try::Submitted(
                                        commit::submit(core, before, batch, members),
                                        record,
                                        answer,
                                    )
                                }
                            }
                        }
                    }
                };
                if let Some(answer) = self.resolve(&mut tries, tried, None).await? {
                    return Ok(answer);
                }
            }
        };
        let outcome = outcome.await;
        tries.end(outcome)
    }

    /// Changes flags (RFC 9051 §6.4.6, RFC 7162 §3.1.3).
    ///
    /// # Errors
    /// As [`Mailbox::append`].
    pub async fn store(self: &Arc<Self>, command: &StoreFlags) -> Result<Stored> {
        self.store_by(command, None).await
    }

    /// The same; `reader`: whose command it is, of a user who has a `\Seen` of their own.
    pub(crate) async fn store_by(
        self: &Arc<Self>,
        command: &StoreFlags,
        reader: Option<AccountId>,
    ) -> Result<Stored> {
        let build = |loaded: &Loaded, reader: Option<(AccountId, &Seen)>| {
            let built = build::store_flags(loaded, command)?;
            let effects = match reader {
                Some(reader) => build::stored_by_reader(built.effects, reader, loaded),
                None => built.effects,
            };
            let answer = |change| Stored {
                changed: built.changed,
                failed_unchanged_since: built.refused,
                missing: built.missing,
                change,
            };
            Ok((effects, answer))
        };
        self.change_with(Wanted::Uids(&command.uids), reader, |_| {}, build)
            .await
    }

    /// Expunges messages (RFC 9051 §6.4.3, §6.4.9). `visible`: those that the session has been shown;
    /// others stay.
    ///
    /// # Errors
    /// As [`Mailbox::append`].
    pub async fn expunge(
        self: &Arc<Self>,
        what: &ExpungeWhat,
        visible: Option<&UidSet>,
    ) -> Result<Expunged> {
        self.expunge_by(what, visible, None).await
    }

    /// The same; `reader`: whose command it is, of a user who has a `\Seen` of their own.
    pub(crate) async fn expunge_by(
        self: &Arc<Self>,
        what: &ExpungeWhat,
        visible: Option<&UidSet>,
        reader: Option<AccountId>,
    ) -> Result<Expunged> {
        let wanted = match what {
            ExpungeWhat::Uids(uids) => Wanted::Uids(uids),
            ExpungeWhat::Deleted(_) => Wanted::Flagged(FlagFilter {
                all: Flags::DELETED,
                none: Flags::NONE,
            }),
        };
        let build = |loaded: &Loaded, _: Option<(AccountId, &Seen)>| {
            let built = build::expunge(loaded, what, visible);
            let uids = built.uids;
            Ok((built.effects, |change| Expunged { uids, change }))
        };
        self.change_with(wanted, reader, |_| {}, build).await
    }

    /// Notes in the mailbox's log that annotations changed: its modseq has to tell (RFC 7162 §3.2).
    /// Their values lie in the account's log, so here none is kept.
    pub(crate) async fn annotated(self: &Arc<Self>, entries: &[Arc<str>]) -> Result<Change> {
        self.change(Wanted::Uids(&UidSet::new()), |_| {
            let noted = entries.iter().map(|entry| Effect::Annotate {
                entry: (&**entry).into(),
                value: None,
            });
            Ok((noted.collect(), |change| change))
        })
        .await
    }

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
        let change = |loaded: &Loaded, reader: Option<(AccountId, &Seen)>| {
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
            if let Some((user, _)) = reader {
                built.effects = build::appended_by_reader(built.effects, user);
            }
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

    /// One transaction of this mailbox alone. `build` gives the effects, and what makes the answer of the
    /// mailbox before and after.
    pub(crate) async fn change<T, A: FnOnce(Change) -> T>(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        build: impl Fn(&Loaded) -> Result<(Vec<Effect>, A)>,
    ) -> Result<T> {
        self.change_with(wanted, None, |_| {}, |loaded, _| build(loaded))
            .await
    }

    /// `reader`: a user who has a `\Seen` of their own, as whom the mailbox is shown to `build` and in the
    /// answer.
    async fn change_with<T, A: FnOnce(Change) -> T>(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        reader: Option<AccountId>,
        also: impl Fn(&mut Batch),
        build: impl Fn(&Loaded, Option<(AccountId, &Seen)>) -> Result<(Vec<Effect>, A)>,
    ) -> Result<T> {
        let core = &self.account().core;
        let mut tries = Tries::new();
        let outcome = async {
            loop {
                let snapshot = self.pending_snapshot().await?;
                self.ensure(&snapshot, wanted).await?;
                if let Some(user) = reader {
                    self.read_seen(user).await?;
                }
                let tried = {
                    let mut state = self.lock();
                    let Some((pending, base)) = pending_loaded(&state) else {
                        continue;
                    };
                    let Ok(reader) = pending_reader(&state, reader) else {
                        continue;
                    };
                    let ready = match tries.must_look(&state) {
                        true => None,
                        false => base.loaded(wanted),
                    };
                    match ready {
                        None => Try::Changed,
                        Some(loaded) => {
                            check_state(&pending)?;
                            let loaded = match &reader {
                                Some((_, seen)) => loaded.with_seen(seen.clone()),
                                None => loaded,
                            };
                            let as_reader = reader.as_ref().map(|(user, seen)| (*user, &**seen));
                            let (effects, answer) = build(&loaded, as_reader)?;
                            if effects.is_empty() {
                                let base = loaded.snapshot().clone();
                                let after = base.clone();
                                Try::NoChange(state.place(), answer(Change { base, after }))
                            } else {
                                let mut batch = Batch::new(self.account().id().0);
                                also(&mut batch);
                                let nonce = (core.now_ms(), core.nonce());
                                match commit::build(self, &pending, effects, nonce, &mut batch)? {
                                    Err(unloaded) => Try::Unloaded(unloaded),
                                    Ok(mut made) => {
                                        if let Some(reader) = as_reader {
                                            commit::add_seen(self, &mut made, reader, &mut batch);
                                        }
                                        let Built {
                                            view,
                                            record,
                                            before,
                                        } = made;
                                        let mut change = change(&pending, &view)
                                            .ok_or_else(|| MailError::misuse("no snapshot"))?;
                                        if let Some((_, seen)) = &reader {
                                            let next = view.private.as_ref().map(|p| &p.seen);
                                            let next = next.unwrap_or(seen).clone();
                                            change.base = loaded.snapshot().clone();
                                            change.after = Arc::new(change.after.with_seen(next));
                                        }
                                        let members =
                                            vec![(self, &mut *state, view, Some(record.clone()))];
                                        let in_flight =
                                            commit::submit(core, before, batch, members);
                                        Try::Submitted(in_flight, record, answer(change))
                                    }
                                }
                            }
                        }
                    }
                };
                if let Some(answer) = self.resolve(&mut tries, tried, None).await? {
                    return Ok(answer);
                }
            }
        };
        let outcome = outcome.await;
        tries.end(outcome)
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
            if let Some((user, _)) = &reader {
                effects = build::appended_by_reader(effects, *user);
            }
            effects.extend(built.source_effects);
            let made = commit::build(self, &from_view, effects, (now_ms, nonce), &mut batch)?;
            let mut made = match made {
                Ok(made) => made,
                Err(unloaded) => return Ok(Try::Unloaded(unloaded)),
            };
            if let Some((user, seen)) = &reader {
                commit::add_seen(self, &mut made, (*user, seen), &mut batch);
            }
            let Built {
                view,
                record,
                before,
            } = made;
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
        (destination, to_view, reader): (&mut State, &View, Option<AsReader>),
        (effects, source_effects): (Vec<Effect>, Vec<Effect>),
        nonce: (i64, u64),
        mut batch: Batch,
    ) -> Result<Result<Both, Unloaded>> {
        let core = &self.account().core;
        let mut members = Vec::with_capacity(2);
        let mut from_before = Vec::new();
        let mut source_change = None;
        let effects = match &reader {
            Some((user, _)) => build::appended_by_reader(effects, *user),
            None => effects,
        };
        let mut at_destination = match commit::build(to, to_view, effects, nonce, &mut batch)? {
            Ok(made) => made,
            Err(unloaded) => return Ok(Err(unloaded)),
        };
        if let Some((user, seen)) = &reader {
            commit::add_seen(to, &mut at_destination, (*user, seen), &mut batch);
        }
        let destination_change = change(to_view, &at_destination.view);
        if !source_effects.is_empty() {
            let made = commit::build(self, from_view, source_effects, nonce, &mut batch)?;
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

    /// What became of a try. `None`: build again. The record of a try lies in the log of `other`, if that
    /// is given.
    async fn resolve<T>(
        self: &Arc<Self>,
        tries: &mut Tries<T>,
        tried: Try<T>,
        other: Option<&Arc<Self>>,
    ) -> Result<Option<T>> {
        match tried {
            Try::Submitted(in_flight, record, answer) => {
                let log = other.unwrap_or(self);
                let outcome = tries.outcome(log, &record, in_flight, answer).await;
                if let (Ok(Some(_)), Some(_)) = (&outcome, other) {
                    // It happened, whether or not the tail can be read now.
                    let _ = self.refresh().await;
                }
                outcome
            }
            // What was pending must be durable before anybody is told that it is so.
            Try::NoChange(place, answer) => match self.settled(place).await {
                // Perhaps because an earlier try of unknown outcome has done it.
                true => match tries.found(other.unwrap_or(self)).await? {
                    Some(found) => Ok(Some(found)),
                    None => Ok(Some(answer)),
                },
                false => {
                    tries.again(self.account().core.nonce()).await?;
                    Ok(None)
                }
            },
            Try::Unloaded(unloaded) => {
                let Unloaded {
                    mailbox,
                    snapshot,
                    record,
                } = unloaded;
                match snapshot {
                    Some(snapshot) => {
                        mailbox.ensure(&snapshot, Wanted::Record(&record)).await?;
                    }
                    None => mailbox.load().await?,
                }
                Ok(None)
            }
            Try::Changed => match tries.found(other.unwrap_or(self)).await? {
                Some(found) => Ok(Some(found)),
                None => {
                    tries.again(self.account().core.nonce()).await?;
                    Ok(None)
                }
            },
        }
    }
}

fn pending_loaded(state: &State) -> Option<(View, Arc<Snapshot>)> {
    let view = state.pending()?.clone();
    let snapshot = view.snapshot.clone()?;
    Some((view, snapshot))
}

/// A user, and what this user has seen as of what is pending. An error: it has to be read.
fn pending_reader(state: &State, reader: Option<AccountId>) -> Result<Option<AsReader>, ()> {
    match reader {
        None => Ok(None),
        Some(user) => match state.pending_seen(user) {
            Some(seen) => Ok(Some((user, seen))),
            None => Err(()),
        },
    }
}

fn check_state(view: &View) -> Result<()> {
    match view.tail.state {
        TailState::Deleted => Err(MailError::NoSuchMailbox),
        TailState::Live | TailState::Frozen => Ok(()),
    }
}

fn change(base: &View, after: &View) -> Option<Change> {
    Some(Change {
        base: base.snapshot.clone()?,
        after: after.snapshot.clone()?,
    })
}

fn unchanged(snapshot: &Arc<Snapshot>) -> Change {
    Change {
        base: snapshot.clone(),
        after: snapshot.clone(),
    }
}
