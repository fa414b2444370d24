//! Commits of mailboxes: one record or two in a batch, handed over in order, and their outcome.

use std::sync::Arc;

use bytes::Bytes;
use restante_store::{Batch, CommitError, CommitFuture, Key};

use crate::{
    error::{MailError, Result},
    keys,
    mail::Core,
    mailbox::{Mailbox, Place, Private, State, View},
    record::{Effect, Record},
    seen::Seen,
    snapshot::{PartKey, Snapshot},
    tail::TailState,
    types::{AccountId, ModSeq},
};

/// A user who has a `\Seen` of their own, and what this user has seen.
pub(crate) type AsReader<'a> = (AccountId, &'a Seen);

/// A record that was built on what is pending, not handed over yet.
pub(crate) struct Built {
    pub(crate) view: View,
    pub(crate) record: Arc<Record>,
    /// What has to be in the store before it, in the same order of submission.
    pub(crate) before: Vec<Batch>,
}

/// What has to be loaded before a record can be applied.
pub(crate) struct Unloaded {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) record: Record,
}

/// Builds a record on the pending state of a mailbox and puts its rows into a batch, or says what has to
/// be loaded first. `reader`: a user who has a `\Seen` of their own, whose effects these are, and what this user
/// has seen so far.
pub(crate) fn build(
    mailbox: &Arc<Mailbox>,
    pending: &View,
    (effects, reader): (Vec<Effect>, Option<AsReader<'_>>),
    (now_ms, nonce): (i64, u64),
    batch: &mut Batch,
) -> Result<Result<Built, Unloaded>> {
    let effects = match reader {
        Some((user, _)) => crate::build::appended_by_reader(effects, user),
        None => effects,
    };
    match pending.tail.state {
        TailState::Live => {}
        TailState::Frozen => {
            return Err(MailError::Unavailable {
                reason: "the mailbox is frozen".into(),
            });
        }
        TailState::Deleted => return Err(MailError::NoSuchMailbox),
    }
    let mut record = Record::new(&pending.tail, now_ms, nonce, effects)?;
    let mut before = Vec::new();
    if record.bytes().len() > Record::BYTES_MAX {
        let effects = record.effects().to_vec();
        let (effects, parts) = crate::build::into_chunks(&pending.tail, effects, nonce);
        before = part_batches(mailbox, parts, batch);
        record = Record::new(&pending.tail, now_ms, nonce, effects)?;
    }
    let Some(mut view) = pending.apply(&record)? else {
        return Ok(Err(Unloaded {
            mailbox: mailbox.clone(),
            snapshot: pending.snapshot.clone(),
            record,
        }));
    };
    let (account, id) = (mailbox.account().id(), mailbox.id());
    let tail = keys::tail(account, id);
    batch
        .require_equal
        .push((tail.clone(), pending.row.clone()));
    batch.put(tail, view.row.clone());
    batch.put(
        keys::log(account, id, record.modseq()),
        record.bytes().clone(),
    );
    view.private = reader.and_then(|(user, seen)| Private::of(&record, user, seen));
    if let Some(private) = &view.private {
        batch.put(keys::seen(account, id, private.user), private.seen.encode());
    }
    Ok(Ok(Built {
        view,
        record: Arc::new(record),
        before,
    }))
}

/// Puts parts of chunks into batches of their own, and makes it a condition of `batch` that they are
/// there.
fn part_batches(mailbox: &Mailbox, parts: Vec<(PartKey, Bytes)>, batch: &mut Batch) -> Vec<Batch> {
    let (account, id) = (mailbox.account().id(), mailbox.id());
    let mut batches = Vec::new();
    let mut parts = parts.into_iter().peekable();
    while parts.peek().is_some() {
        let mut next = Batch::new(account.0);
        let mut bytes = 0;
        while bytes < PART_BATCH_BYTES
            && let Some((part, value)) = parts.next()
        {
            bytes += value.len();
            let key = keys::part(account, id, part);
            if bytes >= PART_BATCH_BYTES || parts.peek().is_none() {
                batch.require_equal.push((key.clone(), value.clone()));
            }
            next.put(key, value);
        }
        batches.push(next);
    }
    batches
}

/// Parts of chunks that go in one batch, in bytes.
const PART_BATCH_BYTES: usize = 1 << 20;

/// A batch that was handed over. If it is dropped, the outcome is awaited all the same.
#[derive(Debug)]
pub(crate) struct InFlight(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    future: CommitFuture,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    mailbox: Arc<Mailbox>,
    place: Place,
    view: View,
}

/// A mailbox, its locked state, and what the batch makes of it; no record if only the tail changes.
pub(crate) type NewMember<'a> = (&'a Arc<Mailbox>, &'a mut State, View, Option<Arc<Record>>);

/// Hands over a batch and notes what it makes of its mailboxes, whose states the caller has locked.
pub(crate) fn submit(
    core: &Core,
    before: Vec<Batch>,
    batch: Batch,
    members: Vec<NewMember<'_>>,
) -> InFlight {
    for batch in before {
        // If one fails, the batch that needs it fails by its condition.
        drop(core.store.submit(batch));
    }
    let future = core.store.submit(batch);
    let members = members
        .into_iter()
        .map(|(mailbox, state, view, record)| Member {
            place: state.submitted(view.clone(), record),
            mailbox: mailbox.clone(),
            view,
        })
        .collect();
    InFlight(Some(Waiting { future, members }))
}

impl Waiting {
    fn settle(self, outcome: &Result<(), CommitError>) {
        for member in self.members {
            match outcome {
                Ok(()) => member.mailbox.committed(member.place, &member.view),
                Err(_) => member.mailbox.failed(member.place),
            }
        }
    }
}

impl InFlight {
    pub(crate) async fn outcome(mut self) -> Result<(), CommitError> {
        let Some(waiting) = &mut self.0 else {
            return Ok(());
        };
        let outcome = (&mut waiting.future).await.map(|_| ());
        if let Some(waiting) = self.0.take() {
            waiting.settle(&outcome);
        }
        outcome
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(mut waiting) = self.0.take() else {
            return;
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    let outcome = (&mut waiting.future).await.map(|_| ());
                    waiting.settle(&outcome);
                });
            }
            // The runtime is gone, and so is everybody who could ask.
            Err(_) => waiting.settle(&Err(CommitError::Closed)),
        }
    }
}

/// Tries of a command that lost against other writers, and what is not known of earlier ones.
#[derive(Debug)]
pub(crate) struct Tries<T> {
    left: u32,
    unknown: Vec<(Key, u64, T)>,
}

impl<T> Tries<T> {
    const MAX: u32 = 24;

    pub(crate) fn new() -> Self {
        Self {
            left: Self::MAX,
            unknown: Vec::new(),
        }
    }

    /// The outcome of one try: its answer, or `None` to build again. `record` is where its record lies in
    /// the log of `mailbox`, if it happened.
    pub(crate) async fn outcome(
        &mut self,
        mailbox: &Mailbox,
        record: &Record,
        in_flight: InFlight,
        answer: T,
    ) -> Result<Option<T>> {
        let error = match in_flight.outcome().await {
            Ok(()) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let may_build_again = match &error {
            CommitError::Conflict { .. } => true,
            CommitError::Unknown { .. } => {
                let key = keys::log(mailbox.account().id(), mailbox.id(), record.modseq());
                self.unknown.push((key, record.nonce(), answer));
                true
            }
            _ => false,
        };
        if let Some(answer) = self.found(mailbox).await? {
            return Ok(Some(answer));
        }
        if !may_build_again {
            return Err(match self.unknown.is_empty() {
                true => error.into(),
                false => MailError::Unknown {
                    reason: error.to_string().into(),
                },
            });
        }
        self.again(mailbox.account().core.nonce()).await?;
        Ok(None)
    }

    /// Whether the log must be looked at before another try is built on `state`: its tail reaches an earlier
    /// try of unknown outcome, which may have happened since the last look. Below such a try nothing needs
    /// to be asked: both replace the same tail, so one of them can happen at most.
    pub(crate) fn must_look(&self, state: &State) -> bool {
        let Some(durable) = state.durable_modseq() else {
            return false;
        };
        let is_reached = |key: &Key| keys::last_u64(key).is_some_and(|at| at <= durable.0);
        self.unknown.iter().any(|(key, ..)| is_reached(key))
    }

    /// The answer of a try of unknown outcome that happened after all: its record is in the log, with its
    /// nonce. The tail is read first: what is absent at or below it then has happened and was trimmed, or
    /// never happened, and nobody can tell.
    pub(crate) async fn found(&mut self, mailbox: &Mailbox) -> Result<Option<T>> {
        if self.unknown.is_empty() {
            return Ok(None);
        }
        let unknown = |_| MailError::Unknown {
            reason: "the log cannot be read".into(),
        };
        let tail = mailbox.stored().tail().await.map_err(unknown)?;
        let reached = tail.map_or(ModSeq::MAX, |tail| tail.modseq);
        let mut is_lost = false;
        for at in (0..self.unknown.len()).rev() {
            let (key, nonce, _) = &self.unknown[at];
            let modseq = keys::last_u64(key).map(ModSeq).unwrap_or_default();
            let row = mailbox.account().core.store.get(key).await;
            let Some(row) = row.map_err(|_| MailError::Unknown {
                reason: "the log cannot be read".into(),
            })?
            else {
                is_lost |= modseq <= reached;
                continue;
            };
            let there = Record::decode(modseq, row)?;
            let is_ours = there.nonce() == *nonce;
            // Where another record is, this one can never be.
            let (_, _, answer) = self.unknown.swap_remove(at);
            if is_ours {
                // It happened, whether or not the tail can be read now.
                let _ = mailbox.refresh_anew().await;
                return Ok(Some(answer));
            }
        }
        match is_lost {
            true => Err(MailError::Unknown {
                reason: "the log was trimmed where the record would be".into(),
            }),
            false => Ok(None),
        }
    }

    /// The outcome of all tries: an error after a try of which nobody knows says nothing either.
    pub(crate) fn end<R>(&self, outcome: Result<R>) -> Result<R> {
        match outcome {
            Err(error) if !self.unknown.is_empty() => Err(MailError::Unknown {
                reason: error.to_string().into(),
            }),
            outcome => outcome,
        }
    }

    /// Counts a try; waits a little if there were many.
    pub(crate) async fn again(&mut self, random: u64) -> Result<()> {
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None if self.unknown.is_empty() => return Err(MailError::Busy),
            None => {
                return Err(MailError::Unknown {
                    reason: "too many tries".into(),
                });
            }
        };
        match Self::MAX - self.left {
            0..4 => tokio::task::yield_now().await,
            tries => {
                let ms = 1 + random % u64::from(tries * 2);
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            }
        }
        Ok(())
    }
}
