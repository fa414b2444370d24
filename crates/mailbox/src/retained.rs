//! The cap on what is kept of expunged messages: what was expunged first is given up first, before its time.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    error::Result,
    mail::Mail,
    snapshot::Wanted,
    stored::Stored,
    tail::{Tail, TailState},
    types::{AccountId, EmailId, MailboxId, ModSeq},
};

/// An expunged message that is kept.
struct Kept {
    expunged_ms: i64,
    mailbox: MailboxId,
    /// The transaction that expunged it, or the last one of its deleted mailbox.
    modseq: ModSeq,
    email: EmailId,
    size: u64,
}

/// Up to which transaction, inclusive, each mailbox gives up what it expunged.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    pub(crate) to: HashMap<MailboxId, ModSeq>,
    /// Bytes of messages that no mailbox keeps any more.
    pub(crate) bytes: u64,
    /// More than half of what may be kept is: checkpoints are kept in between, so that not everything need
    /// be given up at once.
    pub(crate) is_near: bool,
}

/// What an account looked like when it was last found to be far from the cap: without a change it keeps no
/// more now.
fn fingerprint(tails: &[(MailboxId, Tail)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (mailbox, tail) in tails {
        let is_deleted = tail.state == TailState::Deleted;
        (mailbox.0, tail.modseq.0, is_deleted).hash(&mut hasher);
    }
    hasher.finish()
}

impl Mail {
    /// What the cap makes an account give up. `within` remembers accounts that are far from it.
    pub(crate) async fn given_up(
        &self,
        id: AccountId,
        tails: &[(MailboxId, Tail)],
        within: &mut HashMap<AccountId, u64>,
    ) -> Result<GivenUp> {
        let Some(cap) = self.core.options.retained_bytes_max else {
            return Ok(GivenUp::default());
        };
        let now = fingerprint(tails);
        if within.get(&id) == Some(&now) {
            return Ok(GivenUp::default());
        }
        let mut kept = Vec::new();
        for (mailbox, tail) in tails {
            self.stored_in(id, *mailbox).kept(tail, &mut kept).await?;
        }
        // Moved messages are among them, which keep nothing.
        let is_near = |kept: &[Kept]| kept.iter().map(|kept| kept.size).sum::<u64>() > cap / 2;
        if is_near(&kept) {
            let shown = self.shown(id, tails).await?;
            kept.retain(|kept| !shown.contains(&kept.email));
        }
        if !is_near(&kept) {
            within.insert(id, now);
            return Ok(GivenUp::default());
        }
        within.remove(&id);
        Ok(choose(kept, cap))
    }

    fn stored_in(&self, account: AccountId, id: MailboxId) -> Stored<'_> {
        Stored {
            store: &self.core.store,
            account,
            id,
            reads: &self.core.reads,
        }
    }

    /// The emails that the mailboxes show now.
    async fn shown(&self, id: AccountId, tails: &[(MailboxId, Tail)]) -> Result<HashSet<EmailId>> {
        let mut shown = HashSet::new();
        for (mailbox, tail) in tails {
            let stored = self.stored_in(id, *mailbox);
            if tail.state == TailState::Deleted {
                continue;
            }
            if let Some(snapshot) = stored.read(None, tail).await? {
                let loaded = stored.ensure(&snapshot, Wanted::All).await?;
                shown.extend(loaded.rows(..).map(|row| row.email));
            }
        }
        Ok(shown)
    }
}

impl Stored<'_> {
    /// Adds what the mailbox keeps of expunged messages. What cannot be read is passed over: `check` tells.
    async fn kept(&self, tail: &Tail, kept: &mut Vec<Kept>) -> Result<()> {
        let Some(oldest) = self.oldest(tail).await? else {
            return Ok(());
        };
        let entry = |row: crate::Row, modseq: ModSeq, expunged_ms: i64| Kept {
            expunged_ms,
            mailbox: self.id,
            modseq,
            email: row.email,
            size: row.size,
        };
        let note = |record: &crate::record::Record, row: crate::Row, _: &_| {
            kept.push(entry(row, record.modseq(), record.wall_ms()));
        };
        let Some(last) = self.fold(oldest, tail.modseq, note).await? else {
            return Ok(());
        };
        if tail.state == TailState::Deleted {
            let loaded = self.ensure(&last, Wanted::All).await?;
            let rows = loaded.rows(..);
            kept.extend(rows.map(|row| entry(row, tail.modseq, tail.wall_ms)));
        }
        Ok(())
    }
}

/// The newest are kept, as many as the cap allows; all others are given up.
fn choose(mut kept: Vec<Kept>, cap: u64) -> GivenUp {
    kept.sort_unstable_by_key(|kept| std::cmp::Reverse((kept.expunged_ms, kept.modseq)));
    let mut counted = HashSet::new();
    let mut given_up = GivenUp {
        is_near: true,
        ..GivenUp::default()
    };
    let mut sum = 0_u64;
    for one in kept {
        let is_new = counted.insert(one.email);
        sum = sum.saturating_add(if is_new { one.size } else { 0 });
        if sum > cap {
            let to = given_up.to.entry(one.mailbox).or_default();
            *to = one.modseq.max(*to);
            given_up.bytes += if is_new { one.size } else { 0 };
        }
    }
    given_up
}
