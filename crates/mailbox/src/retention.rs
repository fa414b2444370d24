//! Retention: what is older than the retention time is trimmed, and emails that nothing shows any more
//! are deleted.
//!
//! A mailbox keeps the newest checkpoint that was written before the retention time (the *base*), and
//! everything after it. What the trimmed records expunged are candidates. An email is deleted only after
//! it was found dead twice, a grace apart; what finds it dead is the whole account: no mailbox shows it,
//! nor did one since its base. Nothing here counts references.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use restante_store::{Batch, CommitError, Direction, Key, KeyRange};

use crate::{
    account::Account,
    commit::{self, Tries},
    email::EmailRow,
    error::{MailError, Result},
    keys::{self, Table},
    mail::Mail,
    mailbox::Mailbox,
    purge,
    record::Effect,
    snapshot::{PartKey, Snapshot, Wanted},
    stored::Stored,
    tail::{Tail, TailState},
    thread,
    tree::TreeRecord,
    types::{AccountId, EmailId, MailboxId, ModSeq},
    window::KeptRoot,
};

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionReport {
    /// Records of logs that were deleted.
    pub records: u64,
    /// Checkpoints and parts of them that were deleted.
    pub parts: u64,
    /// Emails that were found dead for the first time.
    pub marked: u64,
    /// Emails that were deleted.
    pub emails: u64,
    /// The bytes of their messages.
    pub email_bytes: u64,
    /// Deleted mailboxes of which nothing is left now.
    pub mailboxes: u64,
    /// Removed accounts of which nothing is left now.
    pub accounts: u64,
    /// Bytes of expunged messages above the cap: they go before their time, after the grace.
    pub above_cap_bytes: u64,
}

/// Rows that go in one batch.
const ROWS: usize = 500;
/// Emails that are deleted in one batch.
const EMAILS: usize = 100;

/// Which keys are meant.
type Which<'a> = dyn Fn(&[u8]) -> bool + Sync + 'a;

/// Bounds of time, milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Horizon {
    now_ms: i64,
    /// What is before this is not kept.
    keep_ms: i64,
    /// What was replaced before this, nobody reads any more.
    grace_ms: i64,
}

impl Mail {
    fn horizon(&self) -> Horizon {
        let options = &self.core.options;
        let now_ms = self.core.now_ms();
        let before = |duration: std::time::Duration| {
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            now_ms.saturating_sub(ms)
        };
        Horizon {
            now_ms,
            keep_ms: before(options.retention.max(options.grace)),
            grace_ms: before(options.grace),
        }
    }

    /// Retention for all accounts, one after the other.
    ///
    /// # Errors
    /// [`MailError::Full`], [`MailError::Unavailable`]. An account that is damaged is passed over; the
    /// log says so.
    pub async fn retention(&self) -> Result<RetentionReport> {
        let mut report = RetentionReport::default();
        let (mut start, end) = keys::table(keys::SERVER, Table::UserOfAccount);
        loop {
            let range = (start, end.clone());
            let store = &self.core.store;
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            start = Bound::Excluded(last.to_vec());
            for account in rows.iter().filter_map(|(key, _)| keys::last_u32(key)) {
                match self.retention_of(AccountId(account), &mut report).await {
                    Err(MailError::Damaged { what }) => {
                        tracing::error!(account, %what, "nothing is deleted in a damaged account");
                    }
                    Err(MailError::NoSuchUser) => {}
                    outcome => outcome?,
                }
                if let Err(error) = self.finish_purges(AccountId(account)).await {
                    tracing::error!(account, %error, "purged messages are not erased yet; the next round tries again");
                }
            }
        }
        self.purge_removed(&mut report).await?;
        Ok(report)
    }

    /// Retention for one account.
    ///
    /// # Errors
    /// As [`Mail::retention`].
    pub async fn retention_step(&self, account: AccountId) -> Result<RetentionReport> {
        let mut report = RetentionReport::default();
        self.retention_of(account, &mut report).await?;
        Ok(report)
    }

    async fn retention_of(&self, id: AccountId, report: &mut RetentionReport) -> Result<()> {
        let mut one_at_a_time = self.core.retention.lock().await;
        let horizon = self.horizon();
        let account = self.account(id).await?;
        let mut plans = Vec::new();
        let mut candidates = BTreeSet::new();
        let tails = self.all_tails(id).await?;
        let given_up = self.given_up(id, &tails, &mut one_at_a_time).await?;
        report.above_cap_bytes += given_up.bytes;
        for (mailbox, mut tail) in tails {
            if self
                .checkpoint_old(&account, mailbox, &tail, horizon)
                .await?
            {
                let row = self.core.store.get(&keys::tail(id, mailbox)).await?;
                let row = row.ok_or_else(|| MailError::damaged("a tail is gone"))?;
                tail = Tail::decode(&row)?;
            }
            let stored = Stored {
                store: &self.core.store,
                account: id,
                id: mailbox,
                reads: &self.core.reads,
            };
            let to = given_up.to.get(&mailbox).copied();
            let cap = (to, given_up.is_near);
            let plan = Plan::make(&stored, tail, horizon, cap).await?;
            candidates.extend(plan.candidates(&stored).await?);
            plans.push((mailbox, plan));
        }
        let marks = self.marks(id).await?;
        if !candidates.is_empty() || !marks.is_empty() {
            let mut reachable = HashSet::new();
            for (mailbox, plan) in &plans {
                let stored = Stored {
                    store: &self.core.store,
                    account: id,
                    id: *mailbox,
                    reads: &self.core.reads,
                };
                if !plan.reachable(&stored, &mut reachable).await? {
                    // Somebody else trims, or there is a gap: `check` tells. Nothing is deleted.
                    return Ok(());
                }
            }
            self.mark(id, &candidates, &marks, &reachable, horizon, report)
                .await?;
            self.sweep(id, &marks, &reachable, horizon, report).await?;
        }
        for (mailbox, plan) in plans {
            self.trim(&account, mailbox, plan, report).await?;
        }
        self.forget_gone_readers(id).await?;
        self.trim_tree(id, horizon, report).await
    }

    /// Deletes what users have seen in mailboxes of this account who are gone.
    async fn forget_gone_readers(&self, id: AccountId) -> Result<()> {
        let (mut start, end) = keys::table(id, Table::MailboxSeen);
        let mut known = BTreeMap::new();
        loop {
            let range = (start, end.clone());
            let store = &self.core.store;
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            start = Bound::Excluded(last.to_vec());
            let mut batch = Batch::new(id.0);
            for (key, _) in &rows {
                let user = keys::last_u32(key).map_or(keys::SERVER, AccountId);
                let is_there = match known.get(&user) {
                    Some(is_there) => *is_there,
                    None => {
                        let user_key = keys::user_of_account(user);
                        let is_there = store.get(&user_key).await?.is_some();
                        known.insert(user, is_there);
                        is_there
                    }
                };
                if !is_there {
                    batch.delete.push(key.to_vec());
                }
            }
            if !batch.delete.is_empty() {
                store.commit(batch).await?;
            }
        }
    }

    /// Writes a checkpoint if there are records older than the grace since the last one: without it they
    /// could not be trimmed later. True: there is a new one.
    async fn checkpoint_old(
        &self,
        account: &Arc<Account>,
        mailbox: MailboxId,
        tail: &Tail,
        horizon: Horizon,
    ) -> Result<bool> {
        if tail.state == TailState::Deleted {
            return Ok(false);
        }
        let handle = match account.open(mailbox).await {
            Err(MailError::NoSuchMailbox) => return Ok(false),
            handle => handle?,
        };
        let root = tail.root.map_or(ModSeq::ZERO, |root| root.modseq);
        let records = handle.stored().records(root, tail.modseq, 1).await?;
        match records.first() {
            Some(first) if first.wall_ms() <= horizon.grace_ms => handle.checkpoint().await,
            _ => Ok(false),
        }
    }

    /// The tails of all mailboxes, deleted ones too.
    async fn all_tails(&self, id: AccountId) -> Result<Vec<(MailboxId, Tail)>> {
        let range = keys::table(id, Table::MailboxTail);
        let store = &self.core.store;
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        rows.into_iter()
            .map(|(key, row)| {
                let mailbox = keys::last_u32(&key).map(MailboxId);
                let mailbox = mailbox.ok_or_else(|| MailError::damaged("the key of a tail"))?;
                Ok((mailbox, Tail::decode(&row)?))
            })
            .collect()
    }

    /// Emails that were found dead, and when.
    async fn marks(&self, id: AccountId) -> Result<Vec<(EmailId, i64)>> {
        let range = keys::table(id, Table::Mark);
        let store = &self.core.store;
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        rows.into_iter()
            .map(|(key, row)| {
                let email = keys::last_u64(&key).map(EmailId);
                let ms = row.first_chunk().copied().map(i64::from_le_bytes);
                email
                    .zip(ms)
                    .ok_or_else(|| MailError::damaged("a mark of an email"))
            })
            .collect()
    }

    /// Marks the candidates that are dead.
    async fn mark(
        &self,
        id: AccountId,
        candidates: &BTreeSet<EmailId>,
        marks: &[(EmailId, i64)],
        reachable: &HashSet<EmailId>,
        horizon: Horizon,
        report: &mut RetentionReport,
    ) -> Result<()> {
        let marked: HashSet<_> = marks.iter().map(|(email, _)| *email).collect();
        let dead: Vec<_> = candidates
            .iter()
            .filter(|email| !reachable.contains(email) && !marked.contains(email))
            .collect();
        for some in dead.chunks(ROWS) {
            let mut batch = Batch::new(id.0);
            for email in some {
                batch.put(
                    keys::mark(id, **email),
                    horizon.now_ms.to_le_bytes().to_vec(),
                );
            }
            self.core.store.commit(batch).await?;
            report.marked += some.len() as u64;
        }
        Ok(())
    }

    /// Deletes the emails that were marked a grace ago and are dead still, and the marks of others.
    async fn sweep(
        &self,
        id: AccountId,
        marks: &[(EmailId, i64)],
        reachable: &HashSet<EmailId>,
        horizon: Horizon,
        report: &mut RetentionReport,
    ) -> Result<()> {
        let is_dead = |(email, marked_ms): &&(EmailId, i64)| {
            *marked_ms <= horizon.grace_ms && !reachable.contains(email)
        };
        let dead: Vec<_> = marks.iter().filter(is_dead).map(|mark| mark.0).collect();
        for some in dead.chunks(EMAILS) {
            if !self.delete_emails(id, some, None, report).await? {
                // The store moved a message meanwhile, or a thread was written again.
                for one in some {
                    self.delete_emails(id, std::slice::from_ref(one), None, report)
                        .await?;
                }
            }
        }
        let alive = marks.iter().filter(|(email, _)| reachable.contains(email));
        let alive: Vec<_> = alive.map(|(email, _)| keys::mark(id, *email)).collect();
        for some in alive.chunks(ROWS) {
            let mut unmark = Batch::new(id.0);
            unmark.delete.extend_from_slice(some);
            self.core.store.commit(unmark).await?;
        }
        Ok(())
    }

    /// Deletes emails, all or none; with the reason of a purge, tombstones stand in for them. False: not
    /// now, one of them was changed meanwhile.
    pub(crate) async fn delete_emails(
        &self,
        id: AccountId,
        emails: &[EmailId],
        purge: Option<&str>,
        report: &mut RetentionReport,
    ) -> Result<bool> {
        let store = &self.core.store;
        let wanted: Vec<_> = emails.iter().map(|email| keys::email(id, *email)).collect();
        let values = store.get_many(&wanted).await?;
        let mut batch = Batch::new(id.0);
        let (mut count, mut bytes) = (0, 0);
        for ((email, key), value) in emails.iter().zip(wanted).zip(values) {
            batch.delete.push(keys::mark(id, *email));
            let Some(value) = value else {
                continue;
            };
            let row = EmailRow::decode(*email, value.clone())?;
            if row.message_id() != 0 {
                let thread = keys::thread(id, row.message_id());
                let found = store.get(&thread).await?;
                // Another email with this Message-ID may have written it.
                if let Some(found) = found
                    && thread::decode(&found).is_some_and(|(_, writer)| writer == *email)
                {
                    batch.require_equal.push((thread.clone(), found));
                    batch.delete.push(thread);
                }
            }
            if let Some(why) = purge {
                purge::bury(&mut batch, id, &row, self.core.now_ms(), why);
            }
            batch.release.push(*row.blob());
            batch.require_equal.push((key.clone(), value));
            batch.delete.push(key);
            count += 1;
            bytes += row.size();
        }
        match store.commit(batch).await {
            Ok(_) => {
                report.emails += count;
                report.email_bytes += bytes;
                for email in emails {
                    self.core.emails.remove(id, *email);
                }
                if purge.is_some() {
                    self.core.derived.forget(id);
                }
                Ok(true)
            }
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes what a plan says.
    async fn trim(
        &self,
        account: &Arc<Account>,
        mailbox: MailboxId,
        plan: Plan,
        report: &mut RetentionReport,
    ) -> Result<()> {
        let id = account.id();
        let table = |table| keys::mailbox_table(id, table, mailbox);
        match plan {
            Plan::Keep { .. } => Ok(()),
            Plan::Purge { tail } => {
                report.records += self
                    .delete_range(id, table(Table::MailboxLog), None)
                    .await?;
                report.parts += self
                    .delete_range(id, table(Table::MailboxRoot), None)
                    .await?;
                report.parts += self
                    .delete_range(id, table(Table::MailboxPart), None)
                    .await?;
                self.delete_range(id, table(Table::MailboxSeen), None)
                    .await?;
                let mut batch = Batch::new(id.0);
                let key = keys::tail(id, mailbox);
                batch.require_equal.push((key.clone(), tail.encode()));
                batch.delete.push(key);
                batch.delete.push(keys::url_key(id, (id, mailbox)));
                self.core.store.commit(batch).await?;
                report.mailboxes += 1;
                Ok(())
            }
            Plan::Trim {
                base,
                keep,
                seen,
                quiet,
                ..
            } => {
                let handle = match account.open(mailbox).await {
                    // Deleted meanwhile.
                    Err(MailError::NoSuchMailbox) => return Ok(()),
                    handle => handle?,
                };
                let floor = base.as_ref().map(|base| base.modseq());
                if let Some(floor) = floor {
                    handle.raise_vanished_floor(floor).await?;
                    let (start, _) = table(Table::MailboxLog);
                    let range = (start, Bound::Included(keys::log(id, mailbox, floor)));
                    report.records += self.delete_range(id, range, None).await?;
                }
                let stored = handle.stored();
                let needed = stored.needed_parts(&keep, floor).await?;
                let Some(needed) = needed else {
                    return Ok(());
                };
                let gone: Vec<_> = seen.iter().filter(|kept| !keep.contains(kept)).collect();
                let mut batch = Batch::new(id.0);
                for kept in &gone {
                    batch.delete.push(keys::root(id, mailbox, kept.root.modseq));
                }
                if !batch.delete.is_empty() {
                    self.core.store.commit(batch).await?;
                }
                report.parts += gone.len() as u64;
                let unneeded = |key: &[u8]| {
                    let part = key.get(9..).and_then(PartKey::from_bytes);
                    part.is_some_and(|part| part.modseq <= quiet && !needed.contains(&part))
                };
                report.parts += self
                    .delete_range(id, table(Table::MailboxPart), Some(&unneeded))
                    .await?;
                Ok(())
            }
        }
    }

    /// Deletes the rows of a range, or those that `which` names. Emails give back their messages.
    async fn delete_range(
        &self,
        id: AccountId,
        (mut start, end): KeyRange,
        which: Option<&Which<'_>>,
    ) -> Result<u64> {
        let email = keys::email(id, EmailId(0));
        let (email, _) = email.split_at(5);
        let mut deleted = 0;
        loop {
            let range = (start, end.clone());
            let store = &self.core.store;
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(deleted);
            };
            start = Bound::Excluded(last.to_vec());
            let mut batch = Batch::new(id.0);
            for (key, value) in &rows {
                if which.is_some_and(|which| !which(key)) {
                    continue;
                }
                if key.starts_with(email)
                    && let Ok(row) = EmailRow::decode(EmailId(0), value.clone())
                {
                    batch.release.push(*row.blob());
                }
                batch.delete.push(key.to_vec());
            }
            deleted += batch.delete.len() as u64;
            if !batch.delete.is_empty() {
                store.commit(batch).await?;
            }
        }
    }

    /// Trims the account log: before its newest root that is old enough.
    async fn trim_tree(
        &self,
        id: AccountId,
        horizon: Horizon,
        report: &mut RetentionReport,
    ) -> Result<()> {
        let store = &self.core.store;
        let (start, end) = keys::table(id, Table::AccountRoot);
        let roots = store
            .scan((start.clone(), end), Direction::Descending, usize::MAX)
            .await?;
        for modseq in roots.iter().filter_map(|(key, _)| keys::last_u64(key)) {
            let modseq = ModSeq(modseq);
            let Some(row) = store.get(&keys::account_log(id, modseq)).await? else {
                continue;
            };
            if TreeRecord::decode(&row)?.wall_ms > horizon.keep_ms {
                continue;
            }
            let (log, _) = keys::table(id, Table::AccountLog);
            let before = Bound::Excluded(keys::account_log(id, modseq));
            report.records += self.delete_range(id, (log, before), None).await?;
            let before = Bound::Excluded(keys::account_root(id, modseq));
            self.delete_range(id, (start, before), None).await?;
            break;
        }
        Ok(())
    }

    /// Deletes the data of accounts whose user was removed long enough ago.
    async fn purge_removed(&self, report: &mut RetentionReport) -> Result<()> {
        let horizon = self.horizon();
        let store = &self.core.store;
        let range = keys::table(keys::SERVER, Table::Removed);
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        for (key, row) in rows {
            let id = keys::last_u32(&key).map(AccountId);
            let ms = row.first_chunk().copied().map(i64::from_le_bytes);
            let (Some(id), Some(ms)) = (id, ms) else {
                return Err(MailError::damaged("the list of removed accounts"));
            };
            if ms > horizon.keep_ms || id == keys::SERVER {
                continue;
            }
            self.delete_range(id, keys::account(id), None).await?;
            let mut batch = Batch::new(keys::SERVER.0);
            batch.delete.push(key.to_vec());
            store.commit(batch).await?;
            report.accounts += 1;
        }
        Ok(())
    }
}

/// What is to be done with one mailbox.
enum Plan {
    /// Nothing: it stays from its beginning on.
    Keep { tail: Tail },
    /// What lies before the base goes, and checkpoints that are not kept.
    Trim {
        tail: Tail,
        /// The snapshot that everything is kept from; `None` is the oldest there is.
        base: Option<Arc<Snapshot>>,
        /// The checkpoints that are kept: the base (or the oldest), and from the newest on that was
        /// written before the grace. Near the cap also some between, a grace apart.
        keep: Vec<KeptRoot>,
        /// All that there are.
        seen: Vec<KeptRoot>,
        /// Parts that are newer may be on their way, or in use.
        quiet: ModSeq,
    },
    /// It was deleted long ago: all of it goes.
    Purge { tail: Tail },
}

impl Plan {
    /// `give_up`: what was expunged up to there goes before its time, though not before the grace is over.
    /// `in_steps`: that may be so soon.
    async fn make(
        stored: &Stored<'_>,
        tail: Tail,
        horizon: Horizon,
        (give_up, in_steps): (Option<ModSeq>, bool),
    ) -> Result<Self> {
        if tail.state == TailState::Deleted {
            let is_given_up = give_up.is_some_and(|to| to >= tail.modseq);
            let keep_ms = match is_given_up {
                true => horizon.grace_ms,
                false => horizon.keep_ms,
            };
            return Ok(match tail.wall_ms <= keep_ms {
                true => Self::Purge { tail },
                false => Self::Keep { tail },
            });
        }
        let seen = stored.roots().await?;
        let before = |ms: i64| {
            let older = |kept: &&KeptRoot| kept.created_ms <= ms;
            seen.iter().rev().find(older).copied()
        };
        let (mut old, quiet) = (before(horizon.keep_ms), before(horizon.grace_ms));
        if let Some(to) = give_up {
            let is_enough =
                |kept: &&KeptRoot| kept.root.modseq >= to && kept.created_ms <= horizon.grace_ms;
            let enough = seen.iter().find(is_enough).copied();
            // Where no checkpoint reaches that far yet, the next time does.
            let earlier = enough.or(quiet);
            old = std::cmp::max_by_key(old, earlier, |kept| kept.map(|kept| kept.root.modseq));
        }
        let Some(first) = old.or(seen.first().copied()) else {
            return Ok(Self::Keep { tail });
        };
        let base = match old {
            None => None,
            Some(old) => match stored.root(old.root).await? {
                Some((_, snapshot)) => Some(snapshot),
                None => return Ok(Self::Keep { tail }),
            },
        };
        let mut keep = vec![first];
        let from = quiet.map_or(ModSeq::ZERO, |quiet| quiet.root.modseq);
        let later = |kept: &&KeptRoot| kept.root.modseq >= from && **kept != first;
        if in_steps {
            let grace_ms = horizon.now_ms.saturating_sub(horizon.grace_ms);
            let mut last_ms = first.created_ms;
            for kept in seen.iter().filter(|kept| kept.root.modseq < from) {
                if kept.created_ms >= last_ms.saturating_add(grace_ms) {
                    last_ms = kept.created_ms;
                    keep.push(*kept);
                }
            }
        }
        keep.extend(seen.iter().filter(later));
        Ok(Self::Trim {
            tail,
            base,
            keep,
            seen,
            quiet: from,
        })
    }

    /// The emails that the mailbox will not have shown any more after this.
    async fn candidates(&self, stored: &Stored<'_>) -> Result<BTreeSet<EmailId>> {
        let mut found = BTreeSet::new();
        match self {
            Self::Keep { .. } => {}
            Self::Trim {
                tail,
                base: Some(base),
                ..
            } => {
                let first = stored.records(ModSeq::ZERO, base.modseq(), 1).await?;
                if !first.is_empty()
                    && let Some(oldest) = stored.oldest(tail).await?
                {
                    let note = |_: &_, row: crate::Row, _: &_| found.extend([row.email]);
                    stored.fold(oldest, base.modseq(), note).await?;
                }
            }
            Self::Trim { .. } => {}
            Self::Purge { tail } => {
                if let Some(oldest) = stored.oldest(tail).await? {
                    let note = |_: &_, row: crate::Row, _: &_| found.extend([row.email]);
                    if let Some(last) = stored.fold(oldest, tail.modseq, note).await? {
                        let loaded = stored.ensure(&last, Wanted::All).await?;
                        found.extend(loaded.rows(..).map(|row| row.email));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Adds all emails that the mailbox shows, or has shown since its base. False: it could not be read.
    async fn reachable(
        &self,
        stored: &Stored<'_>,
        reachable: &mut HashSet<EmailId>,
    ) -> Result<bool> {
        let (tail, base) = match self {
            Self::Purge { .. } => return Ok(true),
            Self::Keep { tail } => (tail, None),
            Self::Trim { tail, base, .. } => (tail, base.clone()),
        };
        let base = match base {
            Some(base) => Some(base),
            None => stored.oldest(tail).await?,
        };
        let Some(base) = base else {
            return Ok(false);
        };
        // It goes on while this reads: up to where it is now.
        let Some(tail) = stored.tail().await? else {
            return Ok(true);
        };
        let note = |_: &_, row: crate::Row, _: &_| reachable.extend([row.email]);
        let Some(last) = stored.fold(base, tail.modseq, note).await? else {
            return Ok(false);
        };
        let loaded = stored.ensure(&last, Wanted::All).await?;
        reachable.extend(loaded.rows(..).map(|row| row.email));
        Ok(true)
    }
}

impl Stored<'_> {
    /// The parts that checkpoints and the records after `floor` name. `None` if one cannot be read.
    async fn needed_parts(
        &self,
        keep: &[KeptRoot],
        floor: Option<ModSeq>,
    ) -> Result<Option<HashSet<PartKey>>> {
        let mut needed = HashSet::new();
        for kept in keep {
            let Some((_, snapshot)) = self.root(kept.root).await? else {
                return Ok(None);
            };
            let snapshot = self.ensure(&snapshot, Wanted::Pages).await?;
            let none = Snapshot::new(snapshot.uid_validity());
            let keys = snapshot
                .keys_unlike(&none)
                .map_err(|error| MailError::misuse(error.to_string()))?;
            needed.extend(keys);
        }
        let mut at = floor.unwrap_or_default();
        loop {
            let records = self.records(at, ModSeq::MAX, ROWS).await?;
            let Some(last) = records.last() else {
                return Ok(Some(needed));
            };
            at = last.modseq();
            for effect in records.iter().flat_map(|record| record.effects()) {
                if let Effect::AppendChunks(chunks) = effect {
                    needed.extend(chunks.iter().flat_map(|chunk| chunk.keys()));
                }
            }
        }
    }
}

impl Mailbox {
    /// Says in the tail that the log does not reach back before `floor`, before it is trimmed.
    async fn raise_vanished_floor(self: &Arc<Self>, floor: ModSeq) -> Result<()> {
        let core = &self.account().core;
        let mut tries = Tries::<()>::new();
        loop {
            self.refresh().await?;
            let in_flight = {
                let mut state = self.lock();
                let Some(pending) = state.pending().cloned() else {
                    continue;
                };
                if pending.tail.vanished_floor >= floor {
                    return Ok(());
                }
                let mut tail = pending.tail.clone();
                tail.vanished_floor = floor;
                let view = pending.with_tail(tail);
                let mut batch = Batch::new(self.account().id().0);
                let key: Key = keys::tail(self.account().id(), self.id());
                batch.require_equal.push((key.clone(), pending.row));
                batch.put(key, view.row.clone());
                let members = vec![(self, &mut *state, view, None)];
                commit::submit(core, Vec::new(), batch, members)
            };
            match in_flight.outcome().await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict { .. }) => tries.again(core.nonce()).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
