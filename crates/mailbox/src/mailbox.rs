//! The handle of one mailbox: what readers see, what writers build on, and the commits between.
//!
//! There is one handle for a mailbox in the process. It knows a *durable* state, which readers see, and
//! the states of commits *in flight*; the newest of these is what the next writer builds on, so that
//! many writers share a sync. A writer makes sure that what it needs is loaded, locks, builds its
//! record, hands over the batch, unlocks, and waits. If a commit fails, those that were built on it
//! fail by their own condition; what is in flight is dropped, and writers build again from their
//! commands.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
};

use bytes::Bytes;
use restante_store::StoreError;
use tokio::sync::{Notify, watch};

use crate::{
    account::{Account, AccountEvent},
    error::{MailError, Result},
    keys,
    record::{Effect, Record},
    seen::Seen,
    snapshot::{LoadError, Loaded, PartKey, Parts, Snapshot, Wanted},
    stored::Stored,
    tail::{Tail, TailState},
    types::{AccountId, MailboxId, ModSeq},
};

/// One mailbox. There is one of it in the process, however many have it open.
#[derive(Debug)]
pub struct Mailbox {
    account: Arc<Account>,
    id: MailboxId,
    state: Mutex<State>,
    loading: tokio::sync::Mutex<()>,
    changed: watch::Sender<ModSeq>,
    settled: Notify,
    used_ms: std::sync::atomic::AtomicI64,
    /// UIDs from here on are `\Recent` for the next session that looks; see `vanished.rs`.
    pub(crate) recent_from: AtomicU32,
    /// What is known of users' keys of URLs to it.
    url_keys: Mutex<BTreeMap<AccountId, KnownUrlKey>>,
}

/// What is known of a user's key of URLs to a mailbox.
#[derive(Debug, Default)]
struct KnownUrlKey {
    /// How often it was replaced.
    resets: u32,
    /// Whether there is one, and how often keys had been removed when that was found out.
    has: Option<(u64, bool)>,
}

/// A mailbox after some commit.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) tail: Tail,
    /// The tail as the store has it, byte for byte.
    pub(crate) row: Bytes,
    /// `None`: nobody has asked for more than the tail yet.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// What the last record changed of what a user has seen.
    pub(crate) private: Option<Private>,
}

/// What a record changed of what a user has seen.
#[derive(Clone, Debug)]
pub(crate) struct Private {
    pub(crate) user: AccountId,
    pub(crate) seen: Arc<Seen>,
    /// Whether it did nothing else.
    pub(crate) alone: bool,
}

impl Private {
    /// What `record` makes of what this user has seen. None: nothing.
    pub(crate) fn of(record: &Record, user: AccountId, before: &Seen) -> Option<Self> {
        let mut seen = None;
        let mut alone = true;
        for effect in record.effects() {
            match effect {
                Effect::Private {
                    user: whose,
                    uids,
                    clear,
                    set,
                } if *whose == user => {
                    let before = seen.as_ref().unwrap_or(before);
                    seen = Some(before.with(uids, *clear, *set, record.modseq()));
                }
                _ => alone = false,
            }
        }
        seen.map(|seen| Self {
            user,
            seen: Arc::new(seen),
            alone,
        })
    }
}

/// A user who has a `\Seen` of their own here.
#[derive(Debug)]
struct Reader {
    /// What is durable; `None`: it was not read yet.
    seen: Option<Arc<Seen>>,
    /// Wakes this user's sessions.
    changed: watch::Sender<ModSeq>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What readers see. `None`: nothing was read yet.
    pub(crate) durable: Option<View>,
    /// Whether `durable` is what the store has, as far as this process can know.
    fresh: bool,
    /// Commits that were handed over, oldest first.
    flight: VecDeque<Flight>,
    /// The number of the last commit handed over, and of the last one that became durable.
    submitted: u64,
    published: u64,
    /// Counts how often what was in flight was dropped.
    epoch: u64,
    /// Records that became durable while a snapshot is being read.
    recent: Option<VecDeque<Arc<Record>>>,
    /// Users who have a `\Seen` of their own, and are here or were lately.
    readers: BTreeMap<AccountId, Reader>,
    /// Counts how often what readers have seen was forgotten, because others may have written.
    forgotten: u64,
    /// With so many readers, those who are not here any more are forgotten.
    readers_max: usize,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    view: View,
    /// `None`: the tail changed, not the log.
    record: Option<Arc<Record>>,
}

/// What a reader's watch takes, roughly.
const READER_BYTES: usize = 256;
/// Readers who are kept though they are not here, at least.
const READERS_MIN: usize = 16;

/// The place of a commit in the order of a mailbox's commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    epoch: u64,
    number: u64,
}

impl View {
    fn new(tail: Tail, snapshot: Option<Arc<Snapshot>>) -> Self {
        let row = tail.encode();
        Self {
            tail,
            row,
            snapshot,
            private: None,
        }
    }

    /// The view after a record, or `None` if rows that it changes are not loaded.
    pub(crate) fn apply(&self, record: &Record) -> Result<Option<Self>> {
        if let Some(snapshot) = &self.snapshot {
            if snapshot.loaded(Wanted::Record(record)).is_none() {
                return Ok(None);
            }
            let next = snapshot.apply(record)?;
            return Ok(Some(Self::new(next.tail().clone(), Some(Arc::new(next)))));
        }
        match self.tail.after_append(record) {
            Some(tail) => Ok(Some(Self::new(tail?, None))),
            None => Ok(None),
        }
    }

    /// The view with another tail at the same place of the log.
    pub(crate) fn with_tail(&self, tail: Tail) -> Self {
        let snapshot = self.snapshot.as_ref();
        let snapshot = snapshot.and_then(|snapshot| snapshot.with_tail(&tail));
        Self::new(tail, snapshot.map(Arc::new))
    }
}

impl State {
    /// What the next writer builds on.
    pub(crate) fn pending(&self) -> Option<&View> {
        match self.flight.back() {
            Some(flight) => Some(&flight.view),
            None => self.durable.as_ref().filter(|_| self.fresh),
        }
    }

    /// Where the durable tail stands that the next writer builds on, however many are between.
    pub(crate) fn durable_modseq(&self) -> Option<ModSeq> {
        self.durable.as_ref().map(|view| view.tail.modseq)
    }

    /// What a user has seen, as the next writer builds on it. None: it must be read.
    pub(crate) fn pending_seen(&self, user: AccountId) -> Option<Arc<Seen>> {
        let flights = self.flight.iter().rev();
        let mut flights = flights.filter_map(|flight| flight.view.private.as_ref());
        let durable = self.readers.get(&user)?.seen.clone()?;
        let pending = flights.find(|private| private.user == user);
        Some(pending.map_or(durable, |private| private.seen.clone()))
    }

    fn reader(&mut self, user: AccountId) -> &mut Reader {
        if !self.readers.contains_key(&user) && self.readers.len() >= self.readers_max {
            self.forget_absent();
        }
        self.readers.entry(user).or_insert_with(|| Reader {
            seen: None,
            changed: watch::Sender::new(ModSeq::ZERO),
        })
    }

    /// Forgets the readers who are not here.
    fn forget_absent(&mut self) {
        self.forgotten += 1;
        self.readers
            .retain(|_, reader| reader.changed.receiver_count() > 0);
        self.readers_max = self.readers.len() * 2 + READERS_MIN;
    }

    /// Forgets what readers have seen: it is to be read again.
    fn forget_seen(&mut self) {
        self.forgotten += 1;
        self.readers
            .values_mut()
            .for_each(|reader| reader.seen = None);
    }

    /// What a durable record changed of what a user has seen.
    fn seen(&mut self, private: &Private) {
        if let Some(reader) = self.readers.get_mut(&private.user) {
            reader.seen = Some(private.seen.clone());
        }
    }

    /// The place of what the next writer builds on.
    pub(crate) fn place(&self) -> Place {
        Place {
            epoch: self.epoch,
            number: self.submitted,
        }
    }

    /// A commit was handed over.
    pub(crate) fn submitted(&mut self, view: View, record: Option<Arc<Record>>) -> Place {
        self.submitted += 1;
        let number = self.submitted;
        self.flight.push_back(Flight {
            number,
            view,
            record,
        });
        self.place()
    }
}

impl Mailbox {
    pub(crate) fn new(account: Arc<Account>, id: MailboxId) -> Arc<Self> {
        Arc::new(Self {
            account,
            id,
            state: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            changed: watch::Sender::new(ModSeq::ZERO),
            settled: Notify::new(),
            used_ms: std::sync::atomic::AtomicI64::new(0),
            recent_from: AtomicU32::new(0),
            url_keys: Mutex::default(),
        })
    }

    fn url_keys(&self) -> MutexGuard<'_, BTreeMap<AccountId, KnownUrlKey>> {
        self.url_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a user's key of URLs to this mailbox was replaced since it was opened in this process.
    pub fn url_key_resets(&self, user: AccountId) -> u32 {
        self.url_keys().get(&user).map_or(0, |known| known.resets)
    }

    /// Notes that a user's key was replaced; gives how often that happened.
    pub(crate) fn note_url_key_reset(&self, user: AccountId) -> u32 {
        let resets = {
            let mut keys = self.url_keys();
            let known = keys.entry(user).or_default();
            known.resets = known.resets.wrapping_add(1);
            known.resets
        };
        // Who waits is woken, though the mailbox is as it was.
        self.changed.send_modify(|_| ());
        if let Some(reader) = self.lock().readers.get(&user) {
            reader.changed.send_modify(|_| ());
        }
        resets
    }

    /// Whether a user has a key, if that is known and not older than `age`.
    pub(crate) fn knows_url_key(&self, user: AccountId, age: u64) -> Option<bool> {
        let (at, has) = self.url_keys().get(&user)?.has?;
        (at == age).then_some(has)
    }

    /// Notes whether a user has a key.
    pub(crate) fn note_url_key(&self, user: AccountId, age: u64, has: bool) {
        self.url_keys().entry(user).or_default().has = Some((age, has));
    }

    /// Its number in the account.
    pub fn id(&self) -> MailboxId {
        self.id
    }

    /// The account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The mailbox as it is now: all that is durable, nothing else. A mailbox that was deleted is still
    /// shown as it was, its tail says so.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`], [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn snapshot(self: &Arc<Self>) -> Result<Arc<Snapshot>> {
        let now_ms = self.account.core.now_ms();
        self.used_ms
            .store(now_ms, std::sync::atomic::Ordering::Relaxed);
        loop {
            {
                let state = self.lock();
                let durable = state.durable.as_ref().filter(|_| state.fresh);
                if let Some(snapshot) = durable.and_then(|view| view.snapshot.clone()) {
                    return Ok(snapshot);
                }
            }
            self.load().await?;
        }
    }

    /// The mailbox as it is now for a user who has a `\Seen` of their own.
    pub(crate) async fn snapshot_for(self: &Arc<Self>, user: AccountId) -> Result<Arc<Snapshot>> {
        loop {
            self.snapshot().await?;
            self.read_seen(user).await?;
            let mut state = self.lock();
            let seen = state.reader(user).seen.clone();
            let durable = state.durable.as_ref().filter(|_| state.fresh);
            let snapshot = durable.and_then(|view| view.snapshot.as_ref());
            // Both at once: so that what is shown of one is never older than the other's modseq.
            if let (Some(snapshot), Some(seen)) = (snapshot, seen) {
                return Ok(Arc::new(snapshot.with_seen(seen)));
            }
        }
    }

    /// Reads what a user has seen, unless it is known.
    pub(crate) async fn read_seen(&self, user: AccountId) -> Result<()> {
        loop {
            let forgotten = {
                let mut state = self.lock();
                if state.reader(user).seen.is_some() {
                    return Ok(());
                }
                state.forgotten
            };
            let seen = self.stored().seen(user).await?;
            let mut state = self.lock();
            // Otherwise somebody else may have written since.
            if state.forgotten == forgotten {
                state
                    .reader(user)
                    .seen
                    .get_or_insert_with(|| Arc::new(seen));
                return Ok(());
            }
        }
    }

    /// As [`Mailbox::watch`], for a user who has a `\Seen` of their own: what others have seen wakes nobody.
    pub(crate) fn watch_for(&self, user: AccountId) -> watch::Receiver<ModSeq> {
        self.lock().reader(user).changed.subscribe()
    }

    /// Where the mailbox stands now: reads one row at most.
    ///
    /// # Errors
    /// As [`Mailbox::snapshot`].
    pub async fn tail(&self) -> Result<Tail> {
        loop {
            {
                let state = self.lock();
                if let Some(durable) = state.durable.as_ref().filter(|_| state.fresh) {
                    return Ok(durable.tail.clone());
                }
            }
            self.refresh().await?;
        }
    }

    /// Wakes when the mailbox changed (or was deleted); the value is the newest modseq.
    pub fn watch(&self) -> watch::Receiver<ModSeq> {
        self.changed.subscribe()
    }

    /// Brings rows of a snapshot of this mailbox into memory.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn ensure(&self, snapshot: &Arc<Snapshot>, wanted: Wanted<'_>) -> Result<Loaded> {
        if let Some(loaded) = snapshot.loaded(wanted) {
            return Ok(loaded);
        }
        let place = self.lock().place();
        match snapshot.ensure(self, wanted).await {
            // The parts of a large append come with its commit.
            Err(LoadError::Trimmed(_)) if !self.is_settled(place) => {
                self.settled(place).await;
                Ok(snapshot.ensure(self, wanted).await?)
            }
            loaded => Ok(loaded?),
        }
    }

    fn is_settled(&self, place: Place) -> bool {
        let state = self.lock();
        state.epoch == place.epoch && state.published >= place.number
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the tail, unless what is known is the newest.
    pub(crate) async fn refresh(&self) -> Result<()> {
        if self.lock().pending().is_some() {
            return Ok(());
        }
        let core = &self.account.core;
        let key = keys::tail(self.account.id(), self.id);
        let row = core.store.get(&key).await?;
        let row = row.ok_or(MailError::NoSuchMailbox)?;
        core.reads
            .fetch_add(row.len() as u64, std::sync::atomic::Ordering::Relaxed);
        let tail = Tail::decode(&row)?;
        let mut state = self.lock();
        if state.pending().is_some() {
            return Ok(());
        }
        let is_news = state.durable.as_ref().is_none_or(|durable| {
            let place = |tail: &Tail| (tail.modseq, tail.root.map(|root| root.modseq));
            // What became durable since the row was read is newer.
            durable.row != row && place(&durable.tail) <= place(&tail)
        });
        state.fresh = true;
        if is_news {
            let mut view = View {
                tail,
                row,
                snapshot: None,
                private: None,
            };
            if let Some(durable) = &state.durable {
                view.snapshot = durable.with_tail(view.tail.clone()).snapshot;
            }
            state.forget_seen();
            self.publish_view(&mut state, view, &[]);
        }
        Ok(())
    }

    /// Forgets that what is known is the newest, and reads again.
    pub(crate) async fn refresh_anew(&self) -> Result<()> {
        {
            let mut state = self.lock();
            let place = state.place();
            self.drop_flight(&mut state, place);
        }
        self.refresh().await
    }

    /// Reads the snapshot, for readers and for what is in flight.
    pub(crate) async fn load(&self) -> Result<()> {
        const TRIES: usize = 64;
        let _loading = self.loading.lock().await;
        let _recording = Recording(self);
        let mut snapshot: Option<Arc<Snapshot>> = None;
        let mut result = Err(MailError::Busy);
        for _ in 0..TRIES {
            if let Err(error) = self.refresh().await {
                result = Err(error);
                break;
            }
            let target = {
                let mut state = self.lock();
                let Some(durable) = state.durable.as_ref() else {
                    continue;
                };
                let flight = state
                    .flight
                    .back()
                    .is_none_or(|f| f.view.snapshot.is_some());
                if durable.snapshot.is_some() && flight {
                    result = Ok(());
                    break;
                }
                let target = durable.tail.clone();
                state.recent.get_or_insert_default();
                target
            };
            match self.read_up_to(snapshot.take(), &target).await {
                Ok(read) => snapshot = read,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            let Some(read) = &snapshot else {
                continue;
            };
            let unloaded = {
                let mut state = self.lock();
                match join(&mut state, read) {
                    Ok(unloaded) => unloaded,
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            };
            if let Some((at, record)) = unloaded
                && let Err(error) = self.ensure(&at, Wanted::Record(&record)).await
            {
                result = Err(error);
                break;
            }
        }
        result
    }

    /// Reads the snapshot at `tail`, or later; from `snapshot` if there is one. `None` if what it began
    /// with was trimmed meanwhile.
    async fn read_up_to(
        &self,
        snapshot: Option<Arc<Snapshot>>,
        tail: &Tail,
    ) -> Result<Option<Arc<Snapshot>>> {
        match self.stored().read(snapshot, tail).await? {
            Some(snapshot) => Ok(Some(snapshot)),
            None => self.trimmed().await,
        }
    }

    /// The mailbox as it lies in the store.
    pub(crate) fn stored(&self) -> Stored<'_> {
        Stored {
            store: &self.account.core.store,
            account: self.account.id(),
            id: self.id,
            reads: &self.account.core.reads,
        }
    }

    /// Something was not where the tail says: reads the tail again. An error if it is the same.
    async fn trimmed(&self) -> Result<Option<Arc<Snapshot>>> {
        let before = self.lock().durable.as_ref().map(|view| view.row.clone());
        {
            let mut state = self.lock();
            if state.flight.is_empty() {
                state.fresh = false;
            }
        }
        self.refresh().await?;
        let after = self.lock().durable.as_ref().map(|view| view.row.clone());
        match before == after {
            true => Err(MailError::damaged(format!(
                "the log of mailbox {} of account {} has a gap",
                self.id.0,
                self.account.id().0
            ))),
            false => Ok(None),
        }
    }

    /// Makes a view what readers see, and tells everybody; or only `whom`, if there are any: nothing
    /// happened for others.
    fn publish_view(&self, state: &mut State, view: View, whom: &[AccountId]) {
        if let Some(before) = &state.durable {
            self.recent_begins(before.tail.uid_next);
            match view.tail.state {
                TailState::Deleted if before.tail.state != TailState::Deleted => {
                    self.account.usage.removed(&before.tail);
                }
                TailState::Deleted => {}
                _ => self.account.usage.changed(&before.tail, &view.tail),
            }
        }
        let tail = view.tail.clone();
        state.durable = Some(view);
        self.settled.notify_waiters();
        self.account.core.checkpoint_if_due(self, &tail);
        for user in whom {
            if let Some(reader) = state.readers.get(user) {
                reader.changed.send_replace(tail.modseq);
            }
        }
        if !whom.is_empty() {
            return;
        }
        self.changed.send_replace(tail.modseq);
        for reader in state.readers.values() {
            reader.changed.send_replace(tail.modseq);
        }
        self.account
            .announce(|| AccountEvent::Mailbox(self.id, tail));
    }

    /// A commit became durable, and so did all before it: they were its conditions.
    pub(crate) fn committed(&self, place: Place, view: &View) {
        let mut state = self.lock();
        if state.epoch == place.epoch {
            let mut newest = None;
            let (mut whom, mut is_shared) = (Vec::new(), false);
            while state
                .flight
                .front()
                .is_some_and(|f| f.number <= place.number)
            {
                let flight = state.flight.pop_front();
                if let (Some(recent), Some(flight)) = (&mut state.recent, &flight)
                    && let Some(record) = &flight.record
                {
                    recent.push_back(record.clone());
                }
                match flight
                    .as_ref()
                    .and_then(|flight| flight.view.private.as_ref())
                {
                    Some(private) => {
                        state.seen(private);
                        whom.push(private.user);
                        is_shared |= !private.alone;
                    }
                    None => is_shared = true,
                }
                newest = flight;
            }
            if let Some(newest) = newest {
                state.published = newest.number;
                let whom = if is_shared { &[] } else { &whom[..] };
                self.publish_view(&mut state, newest.view, whom);
            }
            return;
        }
        // What was in flight was dropped because of another's failure; this was durable all the same.
        let place = |tail: &Tail| (tail.modseq, tail.root.map(|root| root.modseq));
        let is_news = state
            .durable
            .as_ref()
            .is_none_or(|durable| place(&durable.tail) < place(&view.tail));
        if is_news {
            // What was handed over since was built on what was before this, and will fail.
            let place = state.place();
            self.drop_flight(&mut state, place);
            self.publish_view(&mut state, view.clone(), &[]);
        }
    }

    /// A commit failed: what was built on it will fail too.
    pub(crate) fn failed(&self, place: Place) {
        let mut state = self.lock();
        self.drop_flight(&mut state, place);
    }

    fn drop_flight(&self, state: &mut State, place: Place) {
        if state.epoch == place.epoch {
            state.epoch += 1;
            state.flight.clear();
            state.fresh = false;
            state.forget_seen();
            // Of the new epoch nothing is in flight.
            state.published = state.submitted;
        }
        self.settled.notify_waiters();
    }

    /// Waits until what was pending at `place` is durable. False: it was dropped.
    pub(crate) async fn settled(&self, place: Place) -> bool {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let state = self.lock();
                if state.epoch != place.epoch {
                    return false;
                }
                if state.published >= place.number {
                    return true;
                }
            }
            settled.await;
        }
    }

    /// Whether more than the tail is known.
    pub(crate) fn is_loaded(&self) -> bool {
        let state = self.lock();
        let durable = state.durable.as_ref();
        durable.is_some_and(|view| view.snapshot.is_some())
    }

    /// Forgets all but the tail.
    pub(crate) fn unload(&self) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        let flights = state.flight.iter_mut().map(|flight| &mut flight.view);
        dropped.extend(flights.map(|view| view.snapshot.take()));
        dropped.extend(state.durable.as_mut().map(|view| view.snapshot.take()));
        state.forget_absent();
        // Freed outside of the lock.
        drop(state);
    }

    /// Forgets rows that can be read again.
    pub(crate) fn shed(&self) {
        let mut dropped = None;
        let mut state = self.lock();
        state.forget_absent();
        if state.flight.is_empty()
            && let Some(durable) = &mut state.durable
            && let Some(snapshot) = &durable.snapshot
        {
            let shed = Arc::new(snapshot.shed());
            dropped = durable.snapshot.replace(shed);
        }
        drop(state);
        drop(dropped);
    }

    /// When it was used last, milliseconds since 1970.
    pub(crate) fn used_ms(&self) -> i64 {
        self.used_ms.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Memory that the handle takes, in bytes, roughly.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let state = self.lock();
        let loaded = state
            .durable
            .as_ref()
            .and_then(|view| view.snapshot.as_ref());
        let readers = state.readers.values().map(|reader| {
            let seen = reader.seen.as_ref().map_or(0, |seen| seen.heap_bytes());
            (size_of::<(AccountId, Reader)>() + READER_BYTES + seen) as u64
        });
        1024 + readers.sum::<u64>() + loaded.map_or(0, |snapshot| snapshot.heap_bytes() as u64)
    }
}

/// Ends the recording of what becomes durable while a snapshot is read, even if the reader gives up.
struct Recording<'a>(&'a Mailbox);

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.0.lock().recent = None;
    }
}

/// Gives views that know only their tail their snapshots: `snapshot` and the records since. Gives what has
/// to be loaded first, if anything; nothing is changed if records are missing.
fn join(
    state: &mut State,
    snapshot: &Arc<Snapshot>,
) -> Result<Option<(Arc<Snapshot>, Arc<Record>)>> {
    let Some(durable) = &state.durable else {
        return Ok(None);
    };
    let mut at = snapshot.clone();
    let follow = |at: &Arc<Snapshot>, record: &Record| -> Result<Option<Arc<Snapshot>>> {
        match at.loaded(Wanted::Record(record)) {
            Some(_) => Ok(Some(Arc::new(at.apply(record)?))),
            None => Ok(None),
        }
    };
    if at.modseq() < durable.tail.modseq {
        for record in state.recent.iter().flatten() {
            if record.modseq() <= at.modseq() {
                continue;
            }
            if record.parent() != at.tail().chain {
                return Ok(None);
            }
            match follow(&at, record)? {
                Some(next) => at = next,
                None => return Ok(Some((at, record.clone()))),
            }
        }
    }
    let Some(at_durable) = at.with_tail(&durable.tail) else {
        return Ok(None);
    };
    let at_durable = Arc::new(at_durable);
    let mut flights = Vec::with_capacity(state.flight.len());
    let mut at = at_durable.clone();
    for flight in &state.flight {
        if let Some(record) = &flight.record {
            match follow(&at, record)? {
                Some(next) => at = next,
                None => return Ok(Some((at, record.clone()))),
            }
        }
        let Some(next) = at.with_tail(&flight.view.tail) else {
            return Ok(None);
        };
        at = Arc::new(next);
        flights.push(at.clone());
    }
    for (flight, snapshot) in state.flight.iter_mut().zip(flights) {
        flight.view.snapshot = Some(snapshot);
    }
    if let Some(durable) = &mut state.durable {
        durable.snapshot = Some(at_durable);
    }
    Ok(None)
}

impl Parts for Mailbox {
    type Error = StoreError;

    async fn parts(&self, parts: &[PartKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.stored().parts(parts).await
    }
}
