//! One user's mailboxes: the account log and its fold, quota, open mailboxes, what watchers are told.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use restante_store::{Batch, CommitError, Direction, ReadAhead};
use tokio::sync::{broadcast, watch};

use crate::{
    codec::{Decoded, Reader, put_signed, put_varint},
    email::EmailRow,
    error::{Limit, MailError, Result},
    keys::{self, Table},
    mail::Core,
    mailbox::Mailbox,
    name::MailboxName,
    quota::{Quota, QuotaLimits, Reservation, Usage},
    tail::{Tail, TailState},
    tree::{Entry, SpecialUse, Tree, TreeEffect, TreeRecord},
    types::{AccountId, EmailId, MailboxId, ModSeq, UidValidity},
};

/// An annotation's entry name, and its value or none to take it away.
pub type MetadataEntry = (Arc<str>, Option<Arc<[u8]>>);

/// What watchers of an account are told. A receiver that lags reads [`Account::tails`] and
/// [`Account::tree`] again.
#[derive(Clone, Debug)]
pub enum AccountEvent {
    /// A mailbox changed; this is its newest tail.
    Mailbox(MailboxId, Tail),
    /// The tree changed: mailboxes, subscriptions, special uses or annotations.
    Tree(ModSeq),
}

/// One user's mailboxes.
#[derive(Debug)]
pub struct Account {
    pub(crate) core: Arc<Core>,
    id: AccountId,
    now: Mutex<TreeNow>,
    /// Something happened to the tree that could not be read yet.
    is_stale: AtomicBool,
    /// Writers of the tree go one after the other.
    tree_writer: tokio::sync::Mutex<()>,
    mailboxes: Mutex<HashMap<MailboxId, Weak<Mailbox>>>,
    events: OnceLock<broadcast::Sender<AccountEvent>>,
    /// The user is locked out or gone.
    closed: watch::Sender<bool>,
    pub(crate) usage: Usage,
    /// THREADIDs of messages that are on their way, by the hash of their Message-ID.
    pub(crate) threads: crate::thread::ThreadsOnTheWay,
}

/// The account log as far as this process knows it.
#[derive(Clone, Debug)]
pub(crate) struct TreeNow {
    pub(crate) tail: AccountTail,
    pub(crate) tree: Arc<Tree>,
}

/// Where the account log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountTail {
    pub(crate) modseq: ModSeq,
    pub(crate) chain: u64,
    pub(crate) wall_ms: i64,
    pub(crate) next_mailbox: MailboxId,
    pub(crate) last_uid_validity: u32,
    /// The modseq of the newest root; 0: none.
    pub(crate) root: ModSeq,
}

const ACCOUNT_TAIL_VERSION: u8 = 1;
/// A root is written after so many records of the account log.
const ROOT_RECORDS: u64 = 128;
const TRIES: usize = 32;
/// Events that a watcher may be behind.
const EVENTS_MAX: usize = 256;

impl AccountTail {
    const NEW: Self = Self {
        modseq: ModSeq::ZERO,
        chain: 0,
        wall_ms: 0,
        next_mailbox: MailboxId(1),
        last_uid_validity: 0,
        root: ModSeq::ZERO,
    };

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![ACCOUNT_TAIL_VERSION];
        put_varint(&mut out, self.modseq.0);
        out.extend_from_slice(&self.chain.to_le_bytes());
        put_signed(&mut out, self.wall_ms);
        put_varint(&mut out, self.next_mailbox.0.into());
        put_varint(&mut out, self.last_uid_validity.into());
        put_varint(&mut out, self.root.0);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new("account tail", bytes);
        if reader.u8()? != ACCOUNT_TAIL_VERSION {
            return Err(reader.damaged());
        }
        Ok(Self {
            modseq: ModSeq(reader.varint()?),
            chain: reader.u64_le()?,
            wall_ms: reader.signed()?,
            next_mailbox: MailboxId(reader.varint_u32()?),
            last_uid_validity: reader.varint_u32()?,
            root: ModSeq(reader.varint()?),
        })
    }

    /// A number for a new mailbox.
    fn take_mailbox(&mut self) -> Result<MailboxId> {
        let id = self.next_mailbox;
        let next = id.0.checked_add(1);
        self.next_mailbox = MailboxId(next.ok_or(MailError::Limit(Limit::Mailboxes))?);
        Ok(id)
    }

    /// A UIDVALIDITY that no mailbox of the account ever had: the last one and 1, or the time if that
    /// is later.
    fn take_uid_validity(&mut self, now_ms: i64) -> Result<UidValidity> {
        let now_s = u32::try_from(now_ms / 1000).unwrap_or(0);
        let next = self.last_uid_validity.checked_add(1).map(|n| n.max(now_s));
        let taken = next
            .and_then(UidValidity::new)
            .ok_or(MailError::Limit(Limit::Mailboxes))?;
        self.last_uid_validity = taken.get();
        Ok(taken)
    }
}

/// A change of the tree that is being built.
pub(crate) struct TreeChange {
    pub(crate) now_ms: i64,
    pub(crate) tail: AccountTail,
    pub(crate) effects: Vec<TreeEffect>,
    /// What goes with it.
    pub(crate) batch: Batch,
    account: AccountId,
}

impl TreeChange {
    /// Whose tree it is.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// Makes the entry and the empty tail of a new mailbox.
    pub(crate) fn new_mailbox(
        &mut self,
        special_use: SpecialUse,
        uid_validity: Option<UidValidity>,
    ) -> Result<Entry> {
        let uid_validity = match uid_validity {
            Some(given) => {
                self.tail.last_uid_validity = self.tail.last_uid_validity.max(given.get());
                given
            }
            None => self.tail.take_uid_validity(self.now_ms)?,
        };
        let entry = Entry {
            id: self.tail.take_mailbox()?,
            uid_validity,
            special_use,
            created_ms: self.now_ms,
        };
        let key = keys::tail(self.account, entry.id);
        self.batch.require_absent.push(key.clone());
        self.batch.put(key, Tail::new(uid_validity).encode());
        Ok(entry)
    }
}

impl Account {
    /// Reads an account, or makes it.
    pub(crate) async fn load(core: Arc<Core>, id: AccountId) -> Result<Self> {
        let user = core.user_of_account(id).await?;
        let user = user.ok_or(MailError::NoSuchUser)?;
        let now = match read_tree(&core, id).await? {
            Some(now) => now,
            None => create(&core, id).await?,
        };
        let limits = user.quota.or(core.options.quota);
        let account = Self {
            id,
            now: Mutex::new(now),
            is_stale: AtomicBool::new(false),
            tree_writer: tokio::sync::Mutex::default(),
            mailboxes: Mutex::default(),
            events: OnceLock::new(),
            closed: watch::Sender::new(false),
            usage: Usage::new(limits),
            threads: crate::thread::ThreadsOnTheWay::default(),
            core,
        };
        let tails = account.tails().await?;
        account.usage.set(tails.iter().map(|(_, tail)| tail));
        Ok(account)
    }

    /// Its number.
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// The mailbox tree as it is now.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn tree(&self) -> Result<Arc<Tree>> {
        self.freshen_tree().await?;
        Ok(self.lock_now().tree.clone())
    }

    /// The mailbox of this name.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`].
    pub async fn mailbox(self: &Arc<Self>, name: &MailboxName) -> Result<Arc<Mailbox>> {
        let tree = self.tree().await?;
        let entry = tree.get(name).ok_or(MailError::NoSuchMailbox)?;
        self.open(entry.id).await
    }

    /// Opens a mailbox: cheap, nothing is read before it is asked for.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`].
    pub async fn open(self: &Arc<Self>, id: MailboxId) -> Result<Arc<Mailbox>> {
        let mut mailboxes = self.lock_mailboxes();
        if let Some(mailbox) = mailboxes.get(&id).and_then(Weak::upgrade) {
            drop(mailboxes);
            self.keep_warm(&mailbox);
            return Ok(mailbox);
        }
        if self.lock_now().tree.by_id(id).is_none() {
            return Err(MailError::NoSuchMailbox);
        }
        if mailboxes.len() >= 64 && mailboxes.len().is_power_of_two() {
            mailboxes.retain(|_, mailbox| mailbox.strong_count() > 0);
        }
        let mailbox = Mailbox::new(self.clone(), id);
        mailboxes.insert(id, Arc::downgrade(&mailbox));
        drop(mailboxes);
        self.keep_warm(&mailbox);
        Ok(mailbox)
    }

    fn keep_warm(&self, mailbox: &Arc<Mailbox>) {
        if let Some(warm) = self.core.warm.upgrade() {
            warm.touch_mailbox(mailbox);
        }
    }

    /// The tails of all mailboxes, in the order of their ids: one short scan.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn tails(&self) -> Result<Vec<(MailboxId, Tail)>> {
        let range = keys::table(self.id, Table::MailboxTail);
        let store = &self.core.store;
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        let mut tails = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let id = keys::last_u32(&key).map(MailboxId);
            let (Some(id), Ok(tail)) = (id, Tail::decode(&row)) else {
                return Err(MailError::damaged(format!(
                    "a mailbox tail of account {}",
                    self.id.0
                )));
            };
            if tail.state != TailState::Deleted {
                tails.push((id, tail));
            }
        }
        Ok(tails)
    }

    /// What changes in the account from now on. A receiver that lags has to read again.
    pub fn watch(&self) -> broadcast::Receiver<AccountEvent> {
        self.events
            .get_or_init(|| broadcast::channel(EVENTS_MAX).0)
            .subscribe()
    }

    /// Becomes true when the user is locked out or removed: sessions of the user are to end.
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    pub(crate) fn set_closed(&self, closed: bool) {
        self.closed.send_replace(closed);
    }

    pub(crate) fn announce(&self, event: impl FnOnce() -> AccountEvent) {
        if let Some(events) = self.events.get()
            && events.receiver_count() > 0
        {
            // Nobody may be left to hear it.
            let _ = events.send(event());
        }
    }

    /// What the account may hold, and holds.
    pub async fn quota(&self) -> Quota {
        Quota {
            mailboxes: self.lock_now().tree.mailboxes.len() as u64,
            ..self.usage.quota()
        }
    }

    /// The time by the clock of the store, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.core.now_ms()
    }

    /// Holds room for messages before their bytes are taken.
    ///
    /// # Errors
    /// [`MailError::OverQuota`].
    pub fn reserve(&self, bytes: u64, messages: u64) -> Result<Reservation> {
        self.usage.reserve(bytes, messages)
    }

    pub(crate) fn set_quota(&self, limits: QuotaLimits) {
        self.usage.set_limits(limits.or(self.core.options.quota));
    }

    /// The row of an email.
    ///
    /// # Errors
    /// [`MailError::Expunged`] if there is none.
    pub async fn email(&self, id: EmailId) -> Result<Arc<EmailRow>> {
        let mut found = self.emails(&[id]).await?;
        found.pop().flatten().ok_or(MailError::Expunged)
    }

    /// A part of the bytes of a message, exactly as they were given.
    ///
    /// # Errors
    /// [`MailError::Expunged`], [`MailError::Damaged`], [`MailError::Unavailable`].
    pub async fn read(&self, email: &EmailRow, range: Range<u64>) -> Result<Bytes> {
        let key = keys::email(self.id, email.id());
        let bytes = self.core.store.read_blob(&key, email.blob(), range);
        Ok(bytes.await?)
    }

    /// As [`Account::read`], of one of the emails that `ahead` was made for.
    ///
    /// # Errors
    /// As [`Account::read`].
    pub async fn read_ahead(
        &self,
        email: &EmailRow,
        range: Range<u64>,
        ahead: &mut ReadAhead,
    ) -> Result<Bytes> {
        let key = keys::email(self.id, email.id());
        let store = &self.core.store;
        let bytes = store.read_blob_ahead(&key, email.blob(), range, ahead);
        Ok(bytes.await?)
    }

    /// Changes the tree: builds on the newest one, again after a conflict. Goes on if the caller
    /// gives up, so that what is known here never falls behind the store.
    pub(crate) async fn change_tree<T, F>(self: &Arc<Self>, build: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Tree, &mut TreeChange) -> Result<T> + Send + 'static,
    {
        let account = self.clone();
        let task = tokio::spawn(async move { account.change_tree_now(build).await });
        task.await.unwrap_or_else(|_| {
            Err(MailError::Unknown {
                reason: "a change of the mailbox tree was cut off".into(),
            })
        })
    }

    async fn change_tree_now<T>(
        self: Arc<Self>,
        build: impl Fn(&Tree, &mut TreeChange) -> Result<T>,
    ) -> Result<T> {
        let _writer = self.tree_writer.lock().await;
        // Tries of unknown outcome: where their records would lie, and what their answers would be.
        let mut unknown: Vec<(ModSeq, u64, T)> = Vec::new();
        for _ in 0..TRIES {
            match self.freshen_tree().await {
                Err(error) if !unknown.is_empty() => {
                    return Err(MailError::Unknown {
                        reason: error.to_string().into(),
                    });
                }
                freshened => freshened?,
            }
            let now = self.lock_now().clone();
            // The tail was read, then the log is looked at, then the next try is built on that tail: what
            // came late would be done twice otherwise.
            let is_reached = |unknown: &[(ModSeq, u64, T)]| {
                let mut tries = unknown.iter();
                tries.any(|(modseq, ..)| *modseq <= now.tail.modseq)
            };
            if is_reached(&unknown) {
                if let Some(answer) = self.found_tree_change(&mut unknown).await? {
                    return Ok(answer);
                }
                if is_reached(&unknown) {
                    return Err(MailError::Unknown {
                        reason: "the account log was trimmed where the record would be".into(),
                    });
                }
            }
            let mut change = TreeChange {
                now_ms: self.core.now_ms().max(now.tail.wall_ms),
                tail: now.tail,
                effects: Vec::new(),
                batch: Batch::new(self.id.0),
                account: self.id,
            };
            let answer = match build(&now.tree, &mut change) {
                Ok(answer) if !change.effects.is_empty() => answer,
                // Perhaps because an earlier try has done it.
                outcome => {
                    let found = self.found_tree_change(&mut unknown).await?;
                    return found.map_or(outcome, Ok);
                }
            };
            let record = TreeRecord {
                parent: now.tail.chain,
                wall_ms: change.now_ms,
                nonce: self.core.nonce(),
                effects: change.effects,
            };
            let mut next = advance(self.id, &now, change.tail, &record)?;
            let modseq = next.tail.modseq;
            let mut batch = change.batch;
            commit_rows(self.id, Some(&now.tail), &mut next, &record, &mut batch);
            let shares = now.tree.index_shares(&next.tree, self.id, &mut batch);
            let error = match self.core.store.commit(batch).await {
                Ok(_) => {
                    *self.lock_now() = next;
                    self.announce(|| AccountEvent::Tree(modseq));
                    if shares {
                        self.core.sharing.send_replace(());
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if let CommitError::Unknown { .. } = &error {
                unknown.push((modseq, record.nonce, answer));
            }
            if let Some(answer) = self.found_tree_change(&mut unknown).await? {
                return Ok(answer);
            }
            match error {
                CommitError::Unknown { .. } => {}
                CommitError::Conflict { key, .. } if key == keys::account_tail(self.id) => {}
                // What goes with it is not as it was: the caller knows.
                CommitError::Conflict { .. } if unknown.is_empty() => {
                    return Err(MailError::Conflict);
                }
                error if unknown.is_empty() => return Err(error.into()),
                error => {
                    return Err(MailError::Unknown {
                        reason: error.to_string().into(),
                    });
                }
            }
            match self.reload_tree().await {
                Err(error) if !unknown.is_empty() => {
                    return Err(MailError::Unknown {
                        reason: error.to_string().into(),
                    });
                }
                reloaded => reloaded?,
            }
        }
        match unknown.is_empty() {
            true => Err(MailError::Busy),
            false => Err(MailError::Unknown {
                reason: "too many tries".into(),
            }),
        }
    }

    /// The answer of a try that happened though its outcome was unknown: its record is in the log.
    async fn found_tree_change<T>(&self, unknown: &mut Vec<(ModSeq, u64, T)>) -> Result<Option<T>> {
        for at in (0..unknown.len()).rev() {
            let (modseq, nonce) = (unknown[at].0, unknown[at].1);
            let row = self
                .core
                .store
                .get(&keys::account_log(self.id, modseq))
                .await;
            let row = row.map_err(|_| MailError::Unknown {
                reason: "the account log cannot be read".into(),
            })?;
            let Some(row) = row else {
                continue;
            };
            // Where another record is, this one can never be.
            let is_ours = TreeRecord::decode(&row)?.nonce == nonce;
            let (_, _, answer) = unknown.swap_remove(at);
            if is_ours {
                // It happened, whether or not the tree can be read now.
                let _ = self.reload_tree().await;
                self.announce(|| AccountEvent::Tree(modseq));
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    async fn freshen_tree(&self) -> Result<()> {
        match self.is_stale.load(Ordering::Acquire) {
            true => self.reload_tree().await,
            false => Ok(()),
        }
    }

    async fn reload_tree(&self) -> Result<()> {
        self.is_stale.store(true, Ordering::Release);
        let now = read_tree(&self.core, self.id).await?;
        let now = now.ok_or_else(|| MailError::damaged("an account's tail is gone"))?;
        let mut known = self.lock_now();
        // A writer may have been quicker.
        if known.tail.modseq <= now.tail.modseq {
            *known = now;
        }
        drop(known);
        self.is_stale.store(false, Ordering::Release);
        Ok(())
    }

    /// Memory that the account takes, in bytes, roughly.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let tree = self.lock_now().tree.clone();
        4096 + 256 * (tree.mailboxes.len() + tree.subscribed.len()) as u64
    }

    /// The mailboxes that are open now.
    pub(crate) fn open_mailboxes(&self) -> Vec<Arc<Mailbox>> {
        let mailboxes = self.lock_mailboxes();
        mailboxes.values().filter_map(Weak::upgrade).collect()
    }

    fn lock_now(&self) -> MutexGuard<'_, TreeNow> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mailboxes(&self) -> MutexGuard<'_, HashMap<MailboxId, Weak<Mailbox>>> {
        self.mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state after a record.
fn advance(
    account: AccountId,
    now: &TreeNow,
    mut tail: AccountTail,
    record: &TreeRecord,
) -> Result<TreeNow> {
    let damaged = || MailError::damaged(format!("the log of account {}", account.0));
    tail.modseq = now.tail.modseq.next().ok_or_else(damaged)?;
    tail.wall_ms = record.wall_ms;
    tail.chain = record.chain(tail.modseq);
    let mut tree = Tree::clone(&now.tree);
    tree.apply(tail.modseq, &record.effects)
        .ok_or_else(damaged)?;
    Ok(TreeNow {
        tail,
        tree: Arc::new(tree),
    })
}

/// Puts the rows of a record into its batch: tail, log, and a root from time to time.
fn commit_rows(
    account: AccountId,
    before: Option<&AccountTail>,
    next: &mut TreeNow,
    record: &TreeRecord,
    batch: &mut Batch,
) {
    let key = keys::account_tail(account);
    match before {
        Some(before) => batch
            .require_equal
            .push((key.clone(), before.encode().into())),
        None => batch.require_absent.push(key.clone()),
    }
    let tail = &mut next.tail;
    batch.put(keys::account_log(account, tail.modseq), record.encode());
    if tail.modseq.0.saturating_sub(tail.root.0) >= ROOT_RECORDS {
        tail.root = tail.modseq;
        batch.put(keys::account_root(account, tail.root), next.tree.encode());
    }
    batch.put(key, tail.encode());
}

/// Makes an account: its tree with INBOX, which always exists (RFC 9051 §5.1).
async fn create(core: &Core, id: AccountId) -> Result<TreeNow> {
    let mut change = TreeChange {
        now_ms: core.now_ms(),
        tail: AccountTail::NEW,
        effects: Vec::new(),
        batch: Batch::new(id.0),
        account: id,
    };
    let inbox = (MailboxName::inbox(), SpecialUse::NONE);
    let others = core.options.mailboxes.iter().cloned();
    let mut effects = Vec::new();
    for (name, special_use) in std::iter::once(inbox).chain(others) {
        let entry = change.new_mailbox(special_use, None)?;
        effects.push(TreeEffect::Create {
            name: name.clone(),
            entry,
        });
        effects.push(TreeEffect::Subscribe { name });
    }
    let record = TreeRecord {
        parent: AccountTail::NEW.chain,
        wall_ms: change.now_ms,
        nonce: core.nonce(),
        effects,
    };
    let before = TreeNow {
        tail: AccountTail::NEW,
        tree: Arc::default(),
    };
    let mut next = advance(id, &before, change.tail, &record)?;
    let mut batch = change.batch;
    commit_rows(id, None, &mut next, &record, &mut batch);
    match core.store.commit(batch).await {
        Ok(_) => Ok(next),
        // Somebody else made it, or it was made after all.
        Err(CommitError::Conflict { .. } | CommitError::Unknown { .. }) => {
            let found = read_tree(core, id).await?;
            found.ok_or(MailError::Busy)
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the account log: the newest root, and the records after it.
pub(crate) async fn read_tree(core: &Core, id: AccountId) -> Result<Option<TreeNow>> {
    let damaged = |what: &str| MailError::damaged(format!("{what} of account {}", id.0));
    for _ in 0..TRIES {
        let Some(row) = core.store.get(&keys::account_tail(id)).await? else {
            return Ok(None);
        };
        let tail = AccountTail::decode(&row).map_err(|_| damaged("the tail"))?;
        let mut tree = Tree::default();
        if tail.root != ModSeq::ZERO {
            let Some(root) = core.store.get(&keys::account_root(id, tail.root)).await? else {
                // Trimmed meanwhile: there is a newer one.
                continue;
            };
            tree = Tree::decode(&root).map_err(|_| damaged("the root"))?;
        }
        let (_, end) = keys::table(id, Table::AccountLog);
        let start = std::ops::Bound::Excluded(keys::account_log(id, tree.modseq));
        let limit = usize::try_from(tail.modseq.0.saturating_sub(tree.modseq.0));
        let limit = limit.unwrap_or(usize::MAX);
        let rows = core.store.scan((start, end), Direction::Ascending, limit);
        let mut gap = false;
        for (key, row) in rows.await? {
            let modseq = keys::last_u64(&key).map(ModSeq);
            let record = TreeRecord::decode(&row).map_err(|_| damaged("a record"))?;
            if modseq != tree.modseq.next() {
                gap = true;
                break;
            }
            let modseq = modseq.ok_or_else(|| damaged("a key"))?;
            tree.apply(modseq, &record.effects)
                .ok_or_else(|| damaged("a record"))?;
        }
        if gap || tree.modseq != tail.modseq {
            continue;
        }
        return Ok(Some(TreeNow {
            tail,
            tree: Arc::new(tree),
        }));
    }
    Err(damaged("the log"))
}
