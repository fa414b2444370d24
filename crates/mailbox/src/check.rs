//! The doctor: whether everything that the store holds agrees.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use restante_store::Direction;

use crate::{
    Flags,
    account::{Account, read_tree},
    email::EmailRow,
    error::{MailError, Result},
    keys::{self, Table},
    mail::Mail,
    purge,
    record::Effect,
    seen::Seen,
    snapshot::{Snapshot, Wanted},
    stored::Stored,
    tail::{Tail, TailState},
    thread,
    types::{AccountId, EmailId, MailboxId, ModSeq},
};

/// What to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckScope {
    /// All accounts.
    All,
    /// One.
    Account(AccountId),
}

/// What was checked, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Accounts.
    pub accounts: u64,
    /// Mailboxes that are not deleted.
    pub mailboxes: u64,
    /// Messages in them.
    pub messages: u64,
    /// Emails.
    pub emails: u64,
    /// Emails that no mailbox shows: expunged ones that are still kept.
    pub emails_unshown: u64,
    /// Bytes of messages that were read and compared with their checksums.
    pub bytes_read: u64,
    /// What is wrong; nothing if all is well.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub account: AccountId,
    /// In which mailbox, if it concerns one.
    pub mailbox: Option<MailboxId>,
    /// What.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "account {}", self.account.0)?;
        if let Some(mailbox) = self.mailbox {
            write!(f, ", mailbox {}", mailbox.0)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Accounts, emails and threads that are read at once.
const ROWS: usize = 1000;
/// Bytes of a message that are read at once.
const READ_BYTES: u64 = 1 << 20;
/// A mailbox that changes while it is checked is checked again so often.
const TRIES: usize = 8;

impl Mail {
    /// Checks that tails, logs, checkpoints, emails, threads and quota agree; with `deep` also that every
    /// message can be read. May run while others write.
    ///
    /// # Errors
    /// [`MailError::Unavailable`]: the check could not be made. What is damaged is in the report.
    pub async fn check(&self, scope: CheckScope, deep: bool) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        match scope {
            CheckScope::Account(account) => self.check_account(account, deep, &mut report).await?,
            CheckScope::All => {
                let (mut start, end) = keys::table(keys::SERVER, Table::UserOfAccount);
                loop {
                    let range = (start, end.clone());
                    let store = &self.core.store;
                    let rows = store.scan(range, Direction::Ascending, ROWS).await?;
                    let Some((last, _)) = rows.last() else {
                        break;
                    };
                    start = std::ops::Bound::Excluded(last.to_vec());
                    for (key, _) in &rows {
                        if let Some(account) = keys::last_u32(key).map(AccountId) {
                            self.check_account(account, deep, &mut report).await?;
                        }
                    }
                }
            }
        }
        Ok(report)
    }

    async fn check_account(
        &self,
        id: AccountId,
        deep: bool,
        report: &mut CheckReport,
    ) -> Result<()> {
        report.accounts += 1;
        let problem = |report: &mut CheckReport, mailbox, what: String| {
            report.problems.push(Problem {
                account: id,
                mailbox,
                what,
            });
        };
        let now = match read_tree(&self.core, id).await {
            Ok(Some(now)) => now,
            // It is made when it is first used.
            Ok(None) => return Ok(()),
            Err(MailError::Damaged { what }) => {
                problem(report, None, what.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match self.user_of_account(id).await {
            Ok(Some(_)) => {}
            Ok(None) => problem(report, None, "no user in the directory".into()),
            Err(MailError::Damaged { what }) => problem(report, None, what.to_string()),
            Err(error) => return Err(error),
        }
        let store = &self.core.store;
        let range = keys::table(id, Table::MailboxTail);
        let rows = store.scan(range, Direction::Ascending, usize::MAX).await?;
        let mut shown = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (key, row) in rows {
            let mailbox = keys::last_u32(&key).map_or(MailboxId(0), MailboxId);
            let Ok(tail) = Tail::decode(&row) else {
                problem(report, Some(mailbox), "the tail cannot be read".into());
                continue;
            };
            seen.insert(mailbox);
            let entry = now.tree.by_id(mailbox);
            match (tail.state, entry) {
                (TailState::Deleted, None) => continue,
                (TailState::Deleted, Some(_)) => {
                    problem(report, Some(mailbox), "deleted, but in the tree".into());
                }
                // Created after the tree was read.
                (_, None) if mailbox >= now.tail.next_mailbox => continue,
                (_, None) => problem(report, Some(mailbox), "not in the tree".into()),
                (_, Some((_, entry))) if entry.uid_validity != tail.uid_validity => {
                    problem(report, Some(mailbox), "two UIDVALIDITYs".into());
                }
                _ => {}
            }
            let stored = Stored {
                store,
                account: id,
                id: mailbox,
                reads: &self.core.reads,
            };
            match check_mailbox(&stored).await {
                Ok(Checked {
                    snapshot,
                    emails,
                    problems,
                }) => {
                    report.mailboxes += 1;
                    report.messages += u64::from(snapshot.exists());
                    for what in problems {
                        problem(report, Some(mailbox), what);
                    }
                    shown.extend(emails);
                }
                Err(MailError::Damaged { what }) => {
                    problem(report, Some(mailbox), what.to_string());
                }
                Err(MailError::NoSuchMailbox) => {}
                Err(error) => return Err(error),
            }
        }
        for mailbox in now.tree.mailboxes.values().map(|entry| entry.id) {
            if !seen.contains(&mailbox) {
                problem(report, Some(mailbox), "in the tree, but has no tail".into());
            }
        }
        for what in now.tree.check_shares(&self.core.store, id).await? {
            problem(report, None, what);
        }
        self.check_emails(id, shown, deep, report).await?;
        self.check_open(id, report).await
    }

    /// The rows of emails, the messages, and the threads. `shown`: the email and size of each message.
    async fn check_emails(
        &self,
        id: AccountId,
        mut shown: BTreeSet<(EmailId, u64)>,
        deep: bool,
        report: &mut CheckReport,
    ) -> Result<()> {
        let store = &self.core.store;
        let mut problems = Vec::new();
        let (mut start, end) = keys::table(id, Table::Email);
        loop {
            let range = (start, end.clone());
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            start = std::ops::Bound::Excluded(last.to_vec());
            for (key, value) in rows {
                let email = EmailId(keys::last_u64(&key).unwrap_or(0));
                report.emails += 1;
                let row = match EmailRow::decode(email, value) {
                    Ok(row) => row,
                    Err(error) => {
                        problems.push(format!("email {}: {error}", email.0));
                        continue;
                    }
                };
                if !shown.remove(&(email, row.size())) {
                    report.emails_unshown += 1;
                }
                if row.structure().is_err() || row.sort_keys().is_err() {
                    problems.push(format!("email {}: a part of its row is damaged", email.0));
                }
                let mut at = 0;
                while deep && at < row.size() {
                    let next = (at + READ_BYTES).min(row.size());
                    match store.read_blob(&key, row.blob(), at..next).await {
                        Ok(bytes) => report.bytes_read += bytes.len() as u64,
                        Err(error) => {
                            let what = MailError::from(error);
                            problems.push(format!("email {}: {what}", email.0));
                            break;
                        }
                    }
                    at = next;
                }
            }
        }
        let purged = purge::tombstones(store, id).await?;
        for (email, size) in shown {
            // It may have come after the rows were read.
            if store.get(&keys::email(id, email)).await?.is_some() {
                continue;
            }
            match purged.iter().find(|purged| purged.email == email) {
                // It will be expunged in a moment.
                Some(purged) if !purged.is_erased => {}
                Some(_) => problems.push(format!("email {} was purged, but is shown", email.0)),
                None => problems.push(format!("email {} of {size} bytes is gone", email.0)),
            }
        }
        let (mut start, end) = keys::table(id, Table::Thread);
        loop {
            let range = (start, end.clone());
            let rows = store.scan(range, Direction::Ascending, ROWS).await?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            start = std::ops::Bound::Excluded(last.to_vec());
            for (_, row) in rows {
                if thread::decode(&row).is_none() {
                    problems.push("a thread row cannot be read".into());
                }
            }
        }
        report
            .problems
            .extend(problems.into_iter().map(|what| Problem {
                account: id,
                mailbox: None,
                what,
            }));
        Ok(())
    }

    /// What is in memory of an open account.
    async fn check_open(&self, id: AccountId, report: &mut CheckReport) -> Result<()> {
        let open = self.open_accounts().into_iter().find(|a| a.id() == id);
        let Some(account) = open else {
            return Ok(());
        };
        for mailbox in account.open_mailboxes() {
            let tail = mailbox.tail().await;
            let snapshot = match mailbox.is_loaded() {
                true => mailbox.snapshot().await?,
                false => continue,
            };
            if tail.is_ok_and(|tail| tail.state == TailState::Deleted) {
                continue;
            }
            let mut same = None;
            for _ in 0..TRIES {
                let memory = mailbox.snapshot().await?;
                let stored = mailbox.stored().read(None, memory.tail()).await?;
                let Some(stored) = stored else {
                    continue;
                };
                same = Some(is_same(&mailbox.stored(), &memory, &stored).await?);
                break;
            }
            if same == Some(false) {
                report.problems.push(Problem {
                    account: id,
                    mailbox: Some(mailbox.id()),
                    what: format!("memory and store differ at modseq {}", snapshot.modseq()),
                });
            }
        }
        self.check_quota(&account, report).await
    }

    async fn check_quota(&self, account: &Arc<Account>, report: &mut CheckReport) -> Result<()> {
        for _ in 0..TRIES {
            let before = account.quota().await;
            let tails = account.tails().await?;
            let bytes: u64 = tails.iter().map(|(_, tail)| tail.size).sum();
            let messages: u64 = tails.iter().map(|(_, tail)| u64::from(tail.messages)).sum();
            if (before.used_bytes, before.messages) == (bytes, messages) {
                return Ok(());
            }
            // Somebody writes.
            tokio::task::yield_now().await;
        }
        report.problems.push(Problem {
            account: account.id(),
            mailbox: None,
            what: "the quota in memory is not the sum of the tails".into(),
        });
        Ok(())
    }
}

struct Checked {
    snapshot: Arc<Snapshot>,
    emails: Vec<(EmailId, u64)>,
    problems: Vec<String>,
}

/// Folds the log of a mailbox from its newest checkpoint, and from its oldest, and compares.
async fn check_mailbox(stored: &Stored<'_>) -> Result<Checked> {
    for _ in 0..TRIES {
        let tail = stored.tail().await?.ok_or(MailError::NoSuchMailbox)?;
        let Some(snapshot) = stored.read(None, &tail).await? else {
            // Trimmed meanwhile, or there is a gap.
            continue;
        };
        let mut problems = Vec::new();
        let loaded = stored.ensure(&snapshot, Wanted::All).await?;
        let (mut messages, mut unseen, mut deleted, mut size) = (0u32, 0u32, 0u32, 0u64);
        let mut emails = Vec::with_capacity(snapshot.exists() as usize);
        let known = snapshot.keywords().flags() | Flags::SYSTEM;
        let mut last = 0;
        for row in loaded.rows(..) {
            messages += 1;
            unseen += u32::from(!row.flags.contains(Flags::SEEN));
            deleted += u32::from(row.flags.contains(Flags::DELETED));
            size = size.saturating_add(row.size);
            if row.uid.get() <= last || row.uid >= tail.uid_next {
                problems.push(format!("UID {} is out of order", row.uid));
            }
            last = row.uid.get();
            if row.modseq > tail.modseq {
                problems.push(format!("UID {} is changed after the tail", row.uid));
            }
            if !known.contains(row.flags) {
                problems.push(format!("UID {} has flags without a name", row.uid));
            }
            emails.push((row.email, row.size));
        }
        let counted = (messages, unseen, deleted, size);
        if counted != (tail.messages, tail.unseen, tail.deleted, tail.size) {
            problems.push(format!(
                "the tail counts otherwise than the rows: {counted:?}"
            ));
        }
        if let Some(whole) = fold_from_start(stored, &tail).await?
            && !is_same(stored, &snapshot, &whole).await?
        {
            problems.push("the whole log gives something else than the checkpoint".into());
        }
        check_seen(stored, &tail, &mut problems).await?;
        problems.truncate(20);
        return Ok(Checked {
            snapshot,
            emails,
            problems,
        });
    }
    Err(MailError::damaged("its log has a gap"))
}

/// What users have seen who are not the owner, against what the log has of it up to `tail`. The rows are newer,
/// if anything.
async fn check_seen(stored: &Stored<'_>, tail: &Tail, problems: &mut Vec<String>) -> Result<()> {
    let range = keys::mailbox_table(stored.account, Table::MailboxSeen, stored.id);
    let rows = stored.store.scan(range, Direction::Ascending, 1).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut changed = BTreeMap::new();
    let mut after = ModSeq::ZERO;
    loop {
        let records = stored.records(after, tail.modseq, 1024).await?;
        let Some(last) = records.last() else {
            break;
        };
        after = last.modseq();
        for record in &records {
            for effect in record.effects() {
                if let Effect::Private { user, .. } = effect {
                    changed.insert(*user, record.modseq());
                }
            }
        }
    }
    let (mut start, end) = keys::mailbox_table(stored.account, Table::MailboxSeen, stored.id);
    loop {
        let range = (start, end.clone());
        let rows = stored.store.scan(range, Direction::Ascending, ROWS).await?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        start = std::ops::Bound::Excluded(last.to_vec());
        let newest = stored.tail().await?.ok_or(MailError::NoSuchMailbox)?;
        for (key, row) in &rows {
            let user = keys::last_u32(key).map_or(AccountId(0), AccountId);
            let Ok(seen) = Seen::decode(row) else {
                problems.push(format!("what account {} has seen cannot be read", user.0));
                continue;
            };
            let logged = changed.get(&user).copied().unwrap_or(ModSeq::ZERO);
            if seen.modseq() > newest.modseq || seen.modseq() < logged {
                problems.push(format!(
                    "what account {} has seen is as of modseq {}, the log has it at {logged}",
                    user.0,
                    seen.modseq()
                ));
            }
            if seen.uids().last().is_some_and(|uid| uid >= newest.uid_next) {
                problems.push(format!("account {} has seen what was never there", user.0));
            }
        }
    }
}

/// The fold of the whole log, if it is still there from the first record.
async fn fold_from_start(stored: &Stored<'_>, tail: &Tail) -> Result<Option<Arc<Snapshot>>> {
    let first = stored.records(ModSeq::ZERO, tail.modseq, 1).await?;
    if first.first().is_none_or(|record| record.parent() != 0) {
        return Ok(None);
    }
    let empty = Arc::new(Snapshot::new(tail.uid_validity));
    stored.read(Some(empty), tail).await
}

/// Whether two snapshots show the same messages.
async fn is_same(stored: &Stored<'_>, a: &Arc<Snapshot>, b: &Arc<Snapshot>) -> Result<bool> {
    let a = stored.ensure(a, Wanted::All).await?;
    let b = stored.ensure(b, Wanted::All).await?;
    Ok(a.rows(..).eq(b.rows(..))
        && a.keywords() == b.keywords()
        && a.annotations() == b.annotations())
}
