//! What can be done with the messages of a mailbox. Each is one transaction. What concerns two mailboxes is in
//! `transfer.rs`.

use std::sync::Arc;

use restante_store::Batch;

use crate::{
    Flags,
    build::{self, AppendRow, ExpungeWhat, FlagNames, StoreFlags},
    commit::{self, AsReader, Built, InFlight, Tries, Unloaded},
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

/// A user who has a `\Seen` of their own, and what this user has seen as of what is pending.
pub(crate) type PendingReader = Option<(AccountId, Arc<Seen>)>;

/// Most messages of one APPEND.
const APPEND_MAX: usize = 1000;

/// One try: it was handed over, or it needs nothing, or what it needs was not loaded, or was not as it
/// was a moment ago.
pub(crate) enum Try<T> {
    Submitted(InFlight, Arc<Record>, T),
    NoChange(Place, T),
    Unloaded(Unloaded),
    Changed,
}

/// The pending state of a mailbox; loads what is missing.
impl Mailbox {
    /// The snapshot that the next writer builds on.
    pub(crate) async fn pending_snapshot(self: &Arc<Self>) -> Result<Arc<Snapshot>> {
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
                    let Ok(reader) = pending_reader(&state, reader) else {
                        continue;
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
                            let effects = (built.effects, as_reader(&reader));
                            match commit::build(self, &pending, effects, nonce, &mut batch)? {
                                Err(unloaded) => Try::Unloaded(unloaded),
                                Ok(Built {
                                    view,
                                    record,
                                    before,
                                }) => {
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
        self.store_by(command, None, None).await
    }

    /// The same; `reader`: whose command it is, of a user who has a `\Seen` of their own. `known`: what the
    /// client knows, as for [`build::store_flags_known`].
    pub(crate) async fn store_by(
        self: &Arc<Self>,
        command: &StoreFlags,
        known: Option<&Loaded>,
        reader: Option<AccountId>,
    ) -> Result<Stored> {
        let build = |loaded: &Loaded, reader: Option<AsReader<'_>>| {
            let built = build::store_flags_known(loaded, command, known)?;
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
        let build = |loaded: &Loaded, _: Option<AsReader<'_>>| {
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
    pub(crate) async fn change_with<T, A: FnOnce(Change) -> T>(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        reader: Option<AccountId>,
        also: impl Fn(&mut Batch),
        build: impl Fn(&Loaded, Option<AsReader<'_>>) -> Result<(Vec<Effect>, A)>,
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
                            let (effects, answer) = build(&loaded, as_reader(&reader))?;
                            if effects.is_empty() {
                                let base = loaded.snapshot().clone();
                                let after = base.clone();
                                Try::NoChange(state.place(), answer(Change { base, after }))
                            } else {
                                let mut batch = Batch::new(self.account().id().0);
                                also(&mut batch);
                                let nonce = (core.now_ms(), core.nonce());
                                let effects = (effects, as_reader(&reader));
                                match commit::build(self, &pending, effects, nonce, &mut batch)? {
                                    Err(unloaded) => Try::Unloaded(unloaded),
                                    Ok(Built {
                                        view,
                                        record,
                                        before,
                                    }) => {
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

    /// What became of a try. `None`: build again. The record of a try lies in the log of `other`, if that
    /// is given.
    pub(crate) async fn resolve<T>(
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

pub(crate) fn pending_loaded(state: &State) -> Option<(View, Arc<Snapshot>)> {
    let view = state.pending()?.clone();
    let snapshot = view.snapshot.clone()?;
    Some((view, snapshot))
}

/// An error: it has to be read.
pub(crate) fn pending_reader(
    state: &State,
    reader: Option<AccountId>,
) -> Result<PendingReader, ()> {
    match reader {
        None => Ok(None),
        Some(user) => match state.pending_seen(user) {
            Some(seen) => Ok(Some((user, seen))),
            None => Err(()),
        },
    }
}

pub(crate) fn as_reader(reader: &PendingReader) -> Option<AsReader<'_>> {
    reader.as_ref().map(|(user, seen)| (*user, &**seen))
}

pub(crate) fn check_state(view: &View) -> Result<()> {
    match view.tail.state {
        TailState::Deleted => Err(MailError::NoSuchMailbox),
        TailState::Live | TailState::Frozen => Ok(()),
    }
}

pub(crate) fn change(base: &View, after: &View) -> Option<Change> {
    Some(Change {
        base: base.snapshot.clone()?,
        after: after.snapshot.clone()?,
    })
}

pub(crate) fn unchanged(snapshot: &Arc<Snapshot>) -> Change {
    Change {
        base: snapshot.clone(),
        after: snapshot.clone(),
    }
}
