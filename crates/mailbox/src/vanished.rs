//! What a client missed: UIDs that vanished since a modseq, and messages that are recent.

use std::{
    ops::Bound,
    sync::{Arc, atomic::Ordering},
};

use restante_store::Direction;

use crate::{
    error::Result,
    keys,
    mailbox::Mailbox,
    record::{Effect, Record},
    snapshot::{Snapshot, Wanted},
    types::{ModSeq, Uid},
    uid_set::UidSet,
};

impl Mailbox {
    /// More records than this are not read to say what vanished: absence says it, too.
    const RECORDS_MAX: usize = 10_000;

    /// Those of `of` that vanished after `since`, as of the snapshot `at` (RFC 7162 §3.2.6). Where the
    /// log does not reach back so far, or is too long, all that do not exist below UIDNEXT. Never has a
    /// UID that exists.
    ///
    /// # Errors
    /// [`MailError::Unavailable`](crate::MailError::Unavailable),
    /// [`MailError::Damaged`](crate::MailError::Damaged).
    pub async fn vanished_since(
        self: &Arc<Self>,
        at: &Arc<Snapshot>,
        since: ModSeq,
        of: &UidSet,
    ) -> Result<UidSet> {
        if since >= at.modseq() {
            return Ok(UidSet::new());
        }
        if since >= at.tail().vanished_floor
            && let Some(vanished) = self.vanished_by_log(at, since, of).await?
        {
            return Ok(vanished);
        }
        let Some(last) = Uid::new(at.uid_next().get() - 1) else {
            return Ok(UidSet::new());
        };
        let of = of.intersect(&UidSet::from_range(Uid::MIN, last));
        let loaded = self.ensure(at, Wanted::Uids(&of)).await?;
        Ok(of.difference(&loaded.existing(&of)))
    }

    /// The expunges in the records after `since`, if these are few and say all.
    async fn vanished_by_log(
        &self,
        at: &Arc<Snapshot>,
        since: ModSeq,
        of: &UidSet,
    ) -> Result<Option<UidSet>> {
        let account = self.account().id();
        let range = (
            Bound::Excluded(keys::log(account, self.id(), since)),
            Bound::Included(keys::log(account, self.id(), at.modseq())),
        );
        let store = &self.account().core.store;
        let rows = store
            .scan(range, Direction::Ascending, Self::RECORDS_MAX + 1)
            .await?;
        // They begin later: the first were trimmed meanwhile.
        let first = rows.first().and_then(|(key, _)| keys::last_u64(key));
        if first.map(ModSeq) != since.next() || rows.len() > Self::RECORDS_MAX {
            return Ok(None);
        }
        let mut vanished = UidSet::new();
        for (key, row) in rows {
            let modseq = keys::last_u64(&key).map(ModSeq).unwrap_or_default();
            for effect in Record::decode(modseq, row)?.effects() {
                match effect {
                    Effect::Expunge { uids } => vanished = vanished.union(&uids.intersect(of)),
                    // It declares UIDs vanished that were never in the log.
                    Effect::Jump { .. } => return Ok(None),
                    _ => {}
                }
            }
        }
        // UIDs that did not exist are passed over by an expunge, but are never used later either.
        Ok(Some(vanished))
    }

    /// The messages that are `\Recent` for a session that is being shown all below `uid_next` (RFC 3501
    /// §2.3.2): those that no session before has claimed. With `claim`, this one does. The number lives
    /// as long as the handle: what was there when the handle was made is not recent.
    pub fn recent(&self, uid_next: Uid, claim: bool) -> UidSet {
        let next = uid_next.get();
        self.recent_begins(uid_next);
        let first = match claim {
            true => self.recent_from.fetch_max(next, Ordering::Relaxed),
            false => self.recent_from.load(Ordering::Relaxed),
        };
        match (Uid::new(first), Uid::new(next - 1)) {
            (Some(first), Some(last)) => UidSet::from_range(first, last),
            _ => UidSet::new(),
        }
    }

    /// Messages from here on are recent, unless that is known already.
    pub(crate) fn recent_begins(&self, uid_next: Uid) {
        let order = Ordering::Relaxed;
        // If it is set already, it stays.
        let _ = self
            .recent_from
            .compare_exchange(0, uid_next.get(), order, order);
    }
}
