//! What one client has been told of its mailbox: the only place where sequence numbers exist.
//!
//! A view is the newest snapshot that the client knows plus **ghosts**: rows whose expunge it has not
//! been told yet. It always advances: new messages and flags are told at once, expunges wait until
//! the command table allows them (RFC 9051 §7.5.1). Sequence numbers count snapshot and ghosts
//! together, in the order of UIDs, so they change only by what the client was told.

use std::sync::Arc;

use restante_mailbox::{
    Flags, Loaded, MailError, Mailbox, ModSeq, Row, Snapshot, Uid, UidSet, Wanted,
};
use restante_proto::types::{self as wire, MessageSet, SetEnd};

use crate::reply::{Failure, client_bug};

/// A view of a mailbox.
#[derive(Debug)]
pub(crate) struct View {
    mailbox: Arc<Mailbox>,
    /// The newest snapshot of which the client knows everything but expunges.
    shown: Arc<Snapshot>,
    ghosts: Ghosts,
    /// The search result variable `$` (RFC 9051 §6.4.4.1).
    saved: UidSet,
    /// The messages that are `\Recent` in this session (RFC 3501 §2.3.2).
    recent: UidSet,
    /// The keywords that the client has been told of by FLAGS.
    pub(crate) keywords_told: Flags,
    /// Whether the client has been told that there is room for more of them.
    pub(crate) room_told: bool,
}

/// Rows whose expunge has not been told, by UID.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    rows: Vec<Row>,
    /// The modseq that the view showed before the first of them was expunged: what the client may
    /// be told as HIGHESTMODSEQ while there are any (RFC 7162 §3.2).
    before: ModSeq,
}

/// What a client is to be told after a step of its view. Numbers are as the client will count when
/// it reads them in this order: expunges, then the size, then flags.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The messages that are gone, if that may be told now.
    pub(crate) expunged: UidSet,
    /// The same as sequence numbers, each counted after those before it are gone; only if asked for.
    pub(crate) expunged_numbers: Vec<u32>,
    /// How many messages there are, if new ones came.
    pub(crate) exists: Option<u32>,
    /// Messages whose flags or modseq changed.
    pub(crate) changed: UidSet,
    /// Messages that are new.
    pub(crate) appended: UidSet,
}

/// How expunges are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expunges {
    /// Not now.
    Wait,
    /// As numbers (EXPUNGE).
    Numbers,
    /// As UIDs (VANISHED).
    Uids,
    /// As UIDs; their numbers are needed as well.
    UidsAndNumbers,
}

impl Ghosts {
    fn position(&self, uid: Uid) -> usize {
        self.rows.partition_point(|ghost| ghost.uid < uid)
    }

    /// Rows become ghosts; `before` is the modseq of the snapshot they were last in.
    fn add(&mut self, rows: impl Iterator<Item = Row>, before: ModSeq) {
        let old = self.rows.len();
        self.rows.extend(rows);
        if self.rows.len() == old {
            return;
        }
        if old == 0 {
            self.before = before;
        } else {
            self.rows.sort_unstable_by_key(|ghost| ghost.uid);
        }
    }

    fn uids(&self) -> UidSet {
        self.rows.iter().map(|ghost| ghost.uid).collect()
    }
}

impl View {
    /// A view that begins at a snapshot: the client is about to be told all of it.
    pub(crate) fn new(mailbox: Arc<Mailbox>, shown: Arc<Snapshot>, recent: UidSet) -> View {
        View {
            mailbox,
            shown,
            ghosts: Ghosts::default(),
            saved: UidSet::new(),
            recent,
            keywords_told: Flags::NONE,
            room_told: true,
        }
    }

    /// The snapshot; with the ghosts it is what the client knows.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.shown
    }

    /// How many messages the client counts.
    pub(crate) fn exists(&self) -> u32 {
        let ghosts = u32::try_from(self.ghosts.rows.len()).unwrap_or(u32::MAX);
        self.shown.exists().saturating_add(ghosts)
    }

    /// How many expunges are waiting to be told.
    pub(crate) fn ghost_count(&self) -> usize {
        self.ghosts.rows.len()
    }

    /// The rows that wait for their expunge to be told, by UID.
    pub(crate) fn ghost_rows(&self) -> &[Row] {
        &self.ghosts.rows
    }

    /// The messages that wait for their expunge to be told.
    pub(crate) fn ghosts(&self) -> UidSet {
        self.ghosts.uids()
    }

    /// The HIGHESTMODSEQ that this client may be told: below every expunge it does not know
    /// (RFC 7162 §3.2).
    pub(crate) fn highest_mod_seq(&self) -> wire::ModSeq {
        let highest = match self.ghosts.rows.as_slice() {
            [] => self.shown.modseq(),
            _ => self.ghosts.before,
        };
        wire::ModSeq(highest.0)
    }

    /// Every UID that the client can know: all below the UIDNEXT it was shown.
    pub(crate) fn all_uids(&self) -> UidSet {
        match Uid::new(self.shown.uid_next().get() - 1) {
            Some(last) => UidSet::from_range(Uid::MIN, last),
            None => UidSet::new(),
        }
    }

    /// Whether a set names UIDs that the client cannot have been shown here.
    pub(crate) fn names_unseen(&self, set: &wire::UidSet) -> bool {
        let next = self.shown.uid_next().get();
        let is_unseen = |end| matches!(end, SetEnd::Number(uid) if wire::Uid::get(uid) >= next);
        let mut ranges = set.ranges.iter();
        ranges.any(|range| is_unseen(range.first) || is_unseen(range.last))
    }

    /// The largest UID in the view: what `*` means in a UID set.
    pub(crate) async fn last_uid(&self) -> Result<Option<Uid>, MailError> {
        let ghost = self.ghosts.rows.last().map(|ghost| ghost.uid);
        let exists = self.shown.exists();
        let Some(rank) = exists.checked_sub(1) else {
            return Ok(ghost);
        };
        let loaded = self
            .mailbox
            .ensure(&self.shown, Wanted::Ranks(rank, exists))
            .await?;
        Ok(loaded.uid_at(rank).max(ghost))
    }

    /// The messages `\Recent` in this session.
    pub(crate) fn recent(&self) -> &UidSet {
        &self.recent
    }

    /// More messages are `\Recent` in this session.
    pub(crate) fn add_recent(&mut self, uids: &UidSet) {
        self.recent = self.recent.union(uids);
    }

    /// `$`, the result of the last SEARCH that saved (RFC 9051 §6.4.4.1).
    #[cfg(test)]
    pub(crate) fn saved(&self) -> &UidSet {
        &self.saved
    }

    /// Sets `$`.
    pub(crate) fn save(&mut self, uids: UidSet) {
        self.saved = uids;
    }

    /// What a message set names: UIDs of this view, ghosts included. UIDs that do not exist may be in
    /// the result (UID commands pass over them), but none that the client has not been shown.
    pub(crate) async fn resolve(&self, set: &MessageSet) -> Result<UidSet, Failure> {
        match set {
            MessageSet::Seq(set) => self.resolve_numbers(set).await,
            MessageSet::Uid(set) => self.resolve_uids(set).await,
        }
    }

    /// As [`View::resolve`], for a UID set.
    pub(crate) async fn resolve_uids(&self, set: &wire::UidSet) -> Result<UidSet, Failure> {
        let last = match set.has_star() {
            true => self.last_uid().await?,
            false => None,
        };
        Ok(self.uids_up_to(set, last))
    }

    /// The UIDs of a set of which those that are gone are told: `*` is no lower than any that was ever given
    /// out, or `1:*` would not reach what was the newest message (RFC 7162 §3.2.6).
    pub(crate) fn resolve_vanished(&self, set: &wire::UidSet) -> UidSet {
        let last = Uid::new(self.shown.uid_next().get() - 1);
        self.uids_up_to(set, last)
    }

    fn uids_up_to(&self, set: &wire::UidSet, last: Option<Uid>) -> UidSet {
        let mut ranges = Vec::with_capacity(set.ranges.len());
        for range in &set.ranges {
            let end = |end: SetEnd<wire::Uid>| match end {
                SetEnd::Number(uid) => Uid::new(uid.get()),
                SetEnd::Star => last,
            };
            // No message, no `*`: RFC 9051 §6.4.9 makes no error of UIDs that do not exist.
            if let (Some(first), Some(last)) = (end(range.first), end(range.last)) {
                ranges.push((first, last));
            }
        }
        let uids = UidSet::from_unsorted(ranges).intersect(&self.all_uids());
        if set.saved {
            uids.union(&self.saved)
        } else {
            uids
        }
    }

    /// As [`View::resolve`], for sequence numbers.
    ///
    /// A range may reach past the last message; one that begins past it is the client's error
    /// (RFC 9051 §9, seq-number). In an empty mailbox `*` names nothing.
    pub(crate) async fn resolve_numbers(&self, set: &wire::SeqSet) -> Result<UidSet, Failure> {
        let exists = self.exists();
        let Some(star) = wire::SeqNum::new(exists) else {
            let only_stars = set.ranges.iter().all(|range| range.numbers().is_none());
            return match only_stars {
                true => Ok(UidSet::new()),
                false => Err(client_bug("No such message")),
            };
        };
        let ranges = set.normalized(star);
        let mut uids = UidSet::new();
        for (first, last) in ranges {
            if first.get() > exists {
                return Err(client_bug("No such message"));
            }
            self.add_numbers(first.get(), last.get().min(exists), &mut uids)
                .await?;
        }
        Ok(if set.saved {
            uids.union(&self.saved)
        } else {
            uids
        })
    }

    /// As [`View::resolve_numbers`], for a search: numbers past the last message find nothing, as UIDs that
    /// do not exist. RFC 9051 §9 asks for BAD with a *should*; clients search by numbers that others have
    /// expunged meanwhile.
    pub(crate) async fn find_numbers(&self, set: &wire::SeqSet) -> Result<UidSet, MailError> {
        let exists = self.exists();
        let star = wire::SeqNum::new(exists);
        let ranges = star.map(|star| set.normalized(star)).unwrap_or_default();
        let mut uids = UidSet::new();
        for (first, last) in ranges {
            if first.get() <= exists {
                self.add_numbers(first.get(), last.get().min(exists), &mut uids)
                    .await?;
            }
        }
        Ok(if set.saved {
            uids.union(&self.saved)
        } else {
            uids
        })
    }

    /// The UIDs of a range of sequence numbers of this view.
    async fn add_numbers(&self, first: u32, last: u32, uids: &mut UidSet) -> Result<(), MailError> {
        let first_uid = match first {
            1 => Some(Uid::MIN),
            number => self.uid_of(number).await?,
        };
        let last_uid = match last == self.exists() {
            true => Uid::new(self.shown.uid_next().get() - 1),
            false => self.uid_of(last).await?,
        };
        // Both are in the view, and so is every message between them.
        if let (Some(first), Some(last)) = (first_uid, last_uid) {
            uids.insert_range(first, last);
        }
        Ok(())
    }

    /// The UID of a sequence number.
    pub(crate) async fn uid_of(&self, number: u32) -> Result<Option<Uid>, MailError> {
        let Some(position) = number.checked_sub(1) else {
            return Ok(None);
        };
        if self.ghosts.rows.is_empty() {
            if position >= self.shown.exists() {
                return Ok(None);
            }
            let wanted = Wanted::Ranks(position, position + 1);
            return Ok(self
                .mailbox
                .ensure(&self.shown, wanted)
                .await?
                .uid_at(position));
        }
        // Ghost i stands at position rank(i) + i; find how many stand before this one.
        let ghosts = self.ghosts.uids();
        let loaded = self
            .mailbox
            .ensure(&self.shown, Wanted::Uids(&ghosts))
            .await?;
        let (mut before, mut end) = (0, self.ghosts.rows.len());
        while before < end {
            let middle = before + (end - before) / 2;
            let rank = loaded.lower_bound(self.ghosts.rows[middle].uid) as usize;
            match (rank + middle).cmp(&(position as usize)) {
                std::cmp::Ordering::Less => before = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Some(self.ghosts.rows[middle].uid)),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        let rank = position - u32::try_from(before).unwrap_or(position);
        if rank >= self.shown.exists() {
            return Ok(None);
        }
        let loaded = self
            .mailbox
            .ensure(&self.shown, Wanted::Ranks(rank, rank + 1))
            .await?;
        Ok(loaded.uid_at(rank))
    }

    /// Brings the rows of `uids` into memory, with their sequence numbers.
    pub(crate) async fn rows(&self, uids: &UidSet) -> Result<ViewRows<'_>, MailError> {
        let loaded = self.mailbox.ensure(&self.shown, Wanted::Uids(uids)).await?;
        Ok(ViewRows {
            loaded,
            ghosts: &self.ghosts,
        })
    }

    /// Brings what another question needs into memory (flags of all, say).
    pub(crate) async fn load(&self, wanted: Wanted<'_>) -> Result<ViewRows<'_>, MailError> {
        let loaded = self.mailbox.ensure(&self.shown, wanted).await?;
        Ok(ViewRows {
            loaded,
            ghosts: &self.ghosts,
        })
    }

    /// Goes on to a newer snapshot and says what the client is to be told.
    pub(crate) async fn advance(
        &mut self,
        newest: &Arc<Snapshot>,
        expunges: Expunges,
    ) -> Result<Changes, MailError> {
        let mut changes = Changes::default();
        if !Arc::ptr_eq(newest, &self.shown) {
            let newer = self
                .mailbox
                .ensure(newest, Wanted::Unlike(&self.shown))
                .await?;
            let older = self
                .mailbox
                .ensure(&self.shown, Wanted::Unlike(newest))
                .await?;
            let diff = newer.diff(&older).map_err(|error| MailError::Misuse {
                what: error.to_string().into(),
            })?;
            let vanished = match diff.vanished.is_empty() {
                true => older,
                false => {
                    self.mailbox
                        .ensure(&self.shown, Wanted::Uids(&diff.vanished))
                        .await?
                }
            };
            self.ghosts
                .add(vanished.rows_in(&diff.vanished), self.shown.modseq());
            changes.changed = diff.changed;
            self.shown = newest.clone();
            if !diff.appended.is_empty() {
                changes.exists = Some(self.exists());
                changes.appended = diff.appended;
            }
        }
        if expunges != Expunges::Wait && !self.ghosts.rows.is_empty() {
            self.tell_expunges(&mut changes, expunges).await?;
        }
        Ok(changes)
    }

    async fn tell_expunges(
        &mut self,
        changes: &mut Changes,
        expunges: Expunges,
    ) -> Result<(), MailError> {
        let gone = self.ghosts.uids();
        if expunges != Expunges::Uids {
            let loaded = self
                .mailbox
                .ensure(&self.shown, Wanted::Uids(&gone))
                .await?;
            // In ascending order, each is told when those before it are gone already: what is left
            // before it are rows of the snapshot.
            changes.expunged_numbers = self
                .ghosts
                .rows
                .iter()
                .map(|ghost| loaded.lower_bound(ghost.uid) + 1)
                .collect();
        }
        if changes.exists.is_some() {
            changes.exists = Some(self.shown.exists());
        }
        self.saved = self.saved.difference(&gone);
        self.ghosts = Ghosts::default();
        changes.expunged = gone;
        Ok(())
    }
}

/// Rows of a view, in memory.
#[derive(Debug)]
pub(crate) struct ViewRows<'a> {
    loaded: Loaded,
    ghosts: &'a Ghosts,
}

impl<'a> ViewRows<'a> {
    /// The rows of the snapshot alone.
    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The sequence number that `uid`, which must be among those loaded, has or would have.
    pub(crate) fn number(&self, uid: Uid) -> u32 {
        let ghosts = u32::try_from(self.ghosts.position(uid)).unwrap_or(u32::MAX);
        self.loaded
            .lower_bound(uid)
            .saturating_add(ghosts)
            .saturating_add(1)
    }

    fn ghost(&self, uid: Uid) -> Option<Row> {
        self.ghosts
            .rows
            .get(self.ghosts.position(uid))
            .filter(|ghost| ghost.uid == uid)
            .copied()
    }

    /// The message with this UID and its sequence number.
    pub(crate) fn row(&self, uid: Uid) -> Option<(u32, Row)> {
        let row = self.loaded.row(uid).or_else(|| self.ghost(uid))?;
        Some((self.number(uid), row))
    }

    /// The messages of `uids`, which must be loaded, with their sequence numbers, ascending.
    pub(crate) fn iter<'b>(&'b self, uids: &'b UidSet) -> impl Iterator<Item = (u32, Row)> + 'b {
        uids.ranges()
            .flat_map(move |range| self.range(*range.start(), *range.end()))
    }

    /// The messages from one UID to another with their sequence numbers: constant time for each.
    pub(crate) fn range(&self, first: Uid, last: Uid) -> impl Iterator<Item = (u32, Row)> + '_ {
        let mut rows = self.loaded.rows(first..=last).peekable();
        let start = self.ghosts.position(first);
        let mut ghosts = self.ghosts.rows[start..]
            .iter()
            .take_while(move |g| g.uid <= last)
            .peekable();
        let mut number = if rows.peek().is_some() || ghosts.peek().is_some() {
            self.number(first)
        } else {
            0
        };
        std::iter::from_fn(move || {
            let ghost_first = match (rows.peek(), ghosts.peek()) {
                (Some(row), Some(ghost)) => ghost.uid < row.uid,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            let row = if ghost_first {
                ghosts.next().copied()
            } else {
                rows.next()
            }?;
            let this = number;
            number += 1;
            Some((this, row))
        })
    }
}
