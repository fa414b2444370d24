//! All mail of one store: the one object of a process that hands out accounts.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use restante_store::{Budget, MaintenanceReport, Store, StoreError};

use crate::{
    account::Account,
    derived::DerivedCache,
    directory::User,
    email::{EmailCache, EmailIds},
    error::{MailError, Result},
    mailbox::Mailbox,
    options::MailOptions,
    tail::Tail,
    types::{AccountId, MailboxId, ModSeq},
    warm::Warm,
};

/// All mail of one store. One per process: it is what makes writers of a mailbox share commits, and
/// wakes the sessions that watch.
#[derive(Debug)]
pub struct Mail {
    pub(crate) core: Arc<Core>,
    /// Keeps what was used last, though nobody holds it.
    pub(crate) warm: Arc<Warm>,
    accounts: Mutex<HashMap<AccountId, Weak<Account>>>,
    loading: [tokio::sync::Mutex<()>; 16],
}

/// What accounts and mailboxes share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) options: MailOptions,
    pub(crate) email_ids: EmailIds,
    pub(crate) emails: EmailCache,
    pub(crate) derived: DerivedCache,
    /// How often messages were moved in the store.
    moves: AtomicU64,
    pub(crate) warm: Weak<Warm>,
    nonces: AtomicU64,
    /// Bytes of tails, checkpoints, parts and records that were read.
    pub(crate) reads: AtomicU64,
    /// How often some user's keys of URLs were removed: what mailboxes remember of them is too old then.
    pub(crate) url_keys_removed: AtomicU64,
    /// Retention does one thing at a time.
    /// Held while it runs; remembers which accounts kept less than they may.
    pub(crate) retention: tokio::sync::Mutex<std::collections::HashMap<crate::AccountId, u64>>,
    /// Mailboxes of which a checkpoint is due.
    pub(crate) due: Mutex<HashSet<(AccountId, MailboxId)>>,
    /// Some account has begun to grant something to somebody.
    pub(crate) sharing: tokio::sync::watch::Sender<()>,
}

impl Core {
    /// Notes a mailbox that has gone far since its last checkpoint.
    pub(crate) fn checkpoint_if_due(&self, mailbox: &Mailbox, tail: &Tail) {
        let root = tail.root.map_or(ModSeq::ZERO, |root| root.modseq);
        if tail.modseq.0.saturating_sub(root.0) >= self.options.checkpoint_records {
            self.add_due(mailbox.account().id(), mailbox.id());
        }
    }

    pub(crate) fn add_due(&self, account: AccountId, mailbox: MailboxId) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert((account, mailbox));
    }

    pub(crate) fn take_due(&self) -> Option<(AccountId, MailboxId)> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let first = due.iter().next().copied()?;
        due.take(&first)
    }

    /// Messages lie elsewhere now. What is remembered of their places is not wrong, but looking there is in vain.
    pub(crate) fn messages_moved(&self) {
        self.emails.clear();
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// A number that no other transaction has, as good as certainly.
    pub(crate) fn nonce(&self) -> u64 {
        // SplitMix64 from a random start: no two of a process are equal.
        let mut z = self
            .nonces
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Mail {
    /// Takes charge of the mail in a store.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn open(store: Store, options: MailOptions) -> Result<Arc<Self>> {
        let warm = Arc::new(Warm::new(options.snapshot_cache_bytes));
        let core = Arc::new(Core {
            email_ids: EmailIds::new(options.node),
            emails: EmailCache::new(options.email_cache_bytes),
            derived: DerivedCache::new(options.derived_cache_bytes),
            warm: Arc::downgrade(&warm),
            moves: AtomicU64::new(0),
            nonces: AtomicU64::new(RandomState::new().hash_one(0u8)),
            url_keys_removed: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            retention: tokio::sync::Mutex::default(),
            due: Mutex::default(),
            sharing: tokio::sync::watch::Sender::default(),
            store,
            options,
        });
        Ok(Arc::new(Self {
            core,
            warm,
            accounts: Mutex::default(),
            loading: Default::default(),
        }))
    }

    /// The settings.
    pub fn options(&self) -> &MailOptions {
        &self.core.options
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// Does some of the store's upkeep: see [`Store::maintain`].
    ///
    /// # Errors
    /// As there.
    pub async fn maintain(
        &self,
        budget: Budget,
    ) -> std::result::Result<MaintenanceReport, StoreError> {
        let report = self.core.store.maintain(budget).await?;
        if report.segments_dropped > 0 {
            self.core.messages_moved();
        }
        Ok(report)
    }

    /// Bytes that were read to open mailboxes: tails, checkpoints, their parts, and records. For metrics.
    pub fn reads(&self) -> u64 {
        self.core.reads.load(Ordering::Relaxed)
    }

    /// The time by the clock in use, milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.core.now_ms()
    }

    /// The account of a user. It is made, with its INBOX, when it is first asked for.
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`].
    pub async fn account(&self, id: AccountId) -> Result<Arc<Account>> {
        let open = || self.lock().get(&id).and_then(Weak::upgrade);
        if let Some(account) = open() {
            self.warm.touch_account(&account);
            return Ok(account);
        }
        // One at a time: what is read must not be older than what another handle did meanwhile.
        let _loading = self.loading[id.0 as usize % self.loading.len()]
            .lock()
            .await;
        if let Some(account) = open() {
            return Ok(account);
        }
        let opened = Account::load(self.core.clone(), id).await?;
        let mut accounts = self.lock();
        if accounts.len() >= 64 && accounts.len().is_power_of_two() {
            accounts.retain(|_, account| account.strong_count() > 0);
        }
        let account = Arc::new(opened);
        accounts.insert(id, Arc::downgrade(&account));
        drop(accounts);
        self.warm.touch_account(&account);
        Ok(account)
    }

    /// The account of the user of this name.
    ///
    /// # Errors
    /// [`MailError::NoSuchUser`].
    pub async fn account_of(&self, name: &str) -> Result<Arc<Account>> {
        let user = self.user(name).await?.ok_or(MailError::NoSuchUser)?;
        self.account(user.account).await
    }

    /// Tells the sessions of an account, if it is open, that its user is locked out or gone.
    pub(crate) fn set_closed(&self, id: AccountId, closed: bool) {
        if let Some(account) = self.lock().get(&id).and_then(Weak::upgrade) {
            account.set_closed(closed);
        }
    }

    /// Keeps the memory for snapshots within its bounds: drops what nobody holds, and of what is held the
    /// rows that can be read again, those used longest ago first. To be called about once a second.
    pub fn memory_step(&self) {
        self.warm.resize();
        let most = self.options().snapshot_cache_bytes;
        let mut open: Vec<_> = self
            .open_accounts()
            .iter()
            .flat_map(|account| account.open_mailboxes())
            .map(|mailbox| (mailbox.used_ms(), mailbox.memory_bytes(), mailbox))
            .collect();
        let mut bytes: u64 = open.iter().map(|(_, bytes, _)| bytes).sum();
        open.sort_unstable_by_key(|(used_ms, ..)| *used_ms);
        for (_, before, mailbox) in open {
            if bytes <= most {
                break;
            }
            mailbox.shed();
            bytes = bytes.saturating_sub(before.saturating_sub(mailbox.memory_bytes()));
        }
    }

    /// Tells an open account that the user's quota was changed.
    pub(crate) fn quota_changed(&self, user: &User) {
        if let Some(account) = self.lock().get(&user.account).and_then(Weak::upgrade) {
            account.set_quota(user.quota);
        }
    }

    /// The accounts that are open now.
    pub(crate) fn open_accounts(&self) -> Vec<Arc<Account>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Weak<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
