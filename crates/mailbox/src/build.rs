//! From a command to the effects of its record. A retry builds again from the command.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    flags::{Flags, Slot},
    keywords::Keywords,
    record::{Effect, NewRow, modseq_step},
    seen::Seen,
    snapshot::{FlagFilter, Loaded, PartKey, Snapshot, chunks_of},
    tail::Tail,
    types::{AccountId, DateTime, EmailId, ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// Flags as a command names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagNames {
    /// The system flags.
    pub system: Flags,
    /// The keywords; their case does not matter, nor does naming one twice.
    pub keywords: Vec<Box<str>>,
}

impl FlagNames {
    /// Leaves only those that are among these flags.
    pub fn keep(&mut self, among: Flags) {
        self.system = self.system & among;
        if !among.contains(Flags::KEYWORDS) {
            self.keywords.clear();
        }
    }
}

/// What STORE does with the flags (RFC 9051 §6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagAction {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// A STORE.
#[derive(Clone, Debug)]
pub struct StoreFlags {
    /// Which messages.
    pub uids: UidSet,
    /// What to do.
    pub action: FlagAction,
    /// With which flags.
    pub flags: FlagNames,
    /// Refuse messages that were changed after this (RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
    /// The messages that the session has been shown; others are passed over. None: all.
    pub visible: Option<UidSet>,
    /// The flags that may be changed (RFC 4314 §4); others stay as they are.
    pub changeable: Flags,
}

/// A new message for [`append`].
#[derive(Clone, Debug)]
pub struct AppendRow {
    /// The UID it shall have, if that is not too small; otherwise the next one.
    pub uid: Option<Uid>,
    /// The email.
    pub email: EmailId,
    /// RFC822.SIZE, in bytes.
    pub size: u64,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// When it comes into this mailbox, in seconds since 1970.
    pub save_date_s: i64,
    /// Its flags.
    pub flags: FlagNames,
}

/// Why a command cannot become a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// All slots are taken by keywords in use (`NO [LIMIT]`).
    #[error("the mailbox has all {} keywords that it can have", Slot::COUNT)]
    KeywordLimit,
    /// Not a keyword that can be stored.
    #[error("not a keyword: {0:?}")]
    NotAKeyword(Box<str>),
    /// The UIDs have come to their end (`NO [LIMIT]`).
    #[error("the mailbox has no UID left")]
    UidLimit,
}

/// The effects of an APPEND, and the UIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltAppend {
    /// For the record.
    pub effects: Vec<Effect>,
    /// The UIDs that the messages get, in their order.
    pub uids: Vec<Uid>,
}

/// The effects of a STORE, and what became of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltStore {
    /// For the record; none if nothing changes, and then there is no record.
    pub effects: Vec<Effect>,
    /// Messages whose flags change.
    pub changed: UidSet,
    /// Messages refused by UNCHANGEDSINCE.
    pub refused: UidSet,
    /// UIDs that do not exist, or that the session has not been shown.
    pub missing: UidSet,
}

/// The effects of an EXPUNGE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltExpunge {
    /// For the record; none if there is nothing to expunge.
    pub effects: Vec<Effect>,
    /// The messages that go.
    pub uids: UidSet,
}

/// The effects of a COPY or MOVE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltCopy {
    /// For the record of the destination; none if there is nothing to copy.
    pub effects: Vec<Effect>,
    /// For the record of the source of a MOVE. If source and destination are the same mailbox, both go
    /// into one record, these after the others.
    pub source_effects: Vec<Effect>,
    /// The UIDs at the source, ascending.
    pub source: Vec<Uid>,
    /// The UIDs at the destination, in the same order.
    pub destination: Vec<Uid>,
    /// UIDs that do not exist at the source.
    pub missing: UidSet,
}

/// What an EXPUNGE takes.
#[derive(Clone, Debug)]
pub enum ExpungeWhat {
    /// Messages with `\Deleted`: all, or those in the set (EXPUNGE; UID EXPUNGE).
    Deleted(Option<UidSet>),
    /// These, whatever their flags are.
    Uids(UidSet),
}

/// Messages into a mailbox.
///
/// # Errors
/// [`BuildError`].
pub fn append(
    to: &Snapshot,
    rows: impl IntoIterator<Item = AppendRow>,
) -> Result<BuiltAppend, BuildError> {
    let mut names = Names::new(to);
    let mut next = NextUid(to.uid_next());
    let mut new = Vec::new();
    for row in rows {
        let flags = names.flags(&row.flags)?;
        let uid = next.take_at(row.uid)?;
        new.push(new_row(row, uid, flags));
    }
    let uids = new.iter().map(|row| row.uid).collect();
    Ok(BuiltAppend {
        effects: names.and_append(new),
        uids,
    })
}

/// Messages without keywords into a mailbox of which nothing but the tail is known. None if one has
/// keywords: they need a snapshot.
///
/// # Errors
/// [`BuildError`].
pub fn append_unopened(
    to: &Tail,
    rows: impl IntoIterator<Item = AppendRow>,
) -> Option<Result<BuiltAppend, BuildError>> {
    let mut next = NextUid(to.uid_next);
    let mut new = Vec::new();
    for row in rows {
        if !row.flags.keywords.is_empty() {
            return None;
        }
        let uid = match next.take_at(row.uid) {
            Ok(uid) => uid,
            Err(error) => return Some(Err(error)),
        };
        let flags = row.flags.system;
        new.push(new_row(row, uid, flags));
    }
    let uids = new.iter().map(|row| row.uid).collect();
    Some(Ok(BuiltAppend {
        effects: vec![Effect::Append(new)],
        uids,
    }))
}

/// A STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3). Its UIDs must be loaded.
///
/// A message refused by UNCHANGEDSINCE, or not shown, is left out of the record's set; one whose flags
/// are as wanted already is not changed, and neither is its modseq.
///
/// # Errors
/// [`BuildError`].
pub fn store_flags(from: &Loaded, command: &StoreFlags) -> Result<BuiltStore, BuildError> {
    store_flags_known(from, command, None)
}

/// As [`store_flags`]; `known` is what the client has been told, with the UIDs loaded. Then
/// UNCHANGEDSINCE refuses a `+FLAGS` or `-FLAGS` only if one of the named flags has changed since, not
/// for the sake of others (RFC 7162 §3.1.12).
///
/// # Errors
/// [`BuildError`].
pub fn store_flags_known(
    from: &Loaded,
    command: &StoreFlags,
    known: Option<&Loaded>,
) -> Result<BuiltStore, BuildError> {
    let mut names = Names::new(from);
    let named = match command.action {
        FlagAction::Remove => names.known(&command.flags),
        FlagAction::Add | FlagAction::Replace => names.flags(&command.flags)?,
    };
    let (clear, set) = match command.action {
        FlagAction::Add => (Flags::NONE, named),
        FlagAction::Remove => (named, Flags::NONE),
        FlagAction::Replace => (!named, named),
    };
    let (clear, set) = (clear & command.changeable, set & command.changeable);
    let shown = match &command.visible {
        Some(visible) => &command.uids.intersect(visible),
        None => &command.uids,
    };
    let by_name = command.action != FlagAction::Replace;
    let unchanged = Unchanged {
        since: command.unchanged_since.unwrap_or(ModSeq::MAX),
        known: known.filter(|known| {
            // What was changed after what is known, but not after what the client names, is not known.
            let is_all = command.unchanged_since <= Some(known.modseq());
            by_name && is_all && same_names(named, known.keywords(), from.keywords())
        }),
        named,
        may_exist: !by_name || named.intersects(Flags::SYSTEM),
    };
    let mut built = BuiltStore::default();
    let mut seen = UidSet::new();
    let mut joined = Joined::default();
    for (rank, uid, flags, modseq) in from.flags_in(shown) {
        seen.insert(uid);
        if !unchanged.holds(uid, flags, modseq) {
            built.refused.insert(uid);
        } else if flags.without(clear) | set != flags {
            built.changed.insert(uid);
            joined.push(rank, uid);
        } else {
            joined.pass(rank);
        }
    }
    built.missing = command.uids.difference(&seen);
    if !built.changed.is_empty() {
        built.effects = names.define();
        let uids = joined.uids;
        built.effects.push(Effect::SetFlags { uids, clear, set });
    }
    Ok(built)
}

/// UNCHANGEDSINCE.
struct Unchanged<'a> {
    since: ModSeq,
    known: Option<&'a Loaded>,
    named: Flags,
    /// System flags exist in every message (RFC 7162 §3.1.3, example 7).
    may_exist: bool,
}

impl Unchanged<'_> {
    fn holds(&self, uid: Uid, flags: Flags, modseq: ModSeq) -> bool {
        // Whether the client knows, as of what it names, the same of these flags.
        let is_same_in = |known: &Loaded| {
            let before = known.row(uid).filter(|before| before.modseq <= self.since);
            before.is_some_and(|before| before.flags & self.named == flags & self.named)
        };
        // 0 asks whether the message has any of these keywords (RFC 7162 §3.1.3, example 8).
        let is_none =
            self.since == ModSeq::ZERO && !self.may_exist && !flags.intersects(self.named);
        modseq <= self.since || is_none || self.known.is_some_and(is_same_in)
    }
}

/// Whether both mailboxes' bits mean the same keywords.
fn same_names(flags: Flags, a: &Keywords, b: &Keywords) -> bool {
    let same = |slot| a.name(slot).is_none_or(|name| b.name(slot) == Some(name));
    flags.slots().all(same)
}

/// An EXPUNGE. Rows that can have `\Deleted`, or the UIDs, must be loaded.
pub fn expunge(from: &Loaded, what: &ExpungeWhat, visible: Option<&UidSet>) -> BuiltExpunge {
    let deleted = FlagFilter {
        all: Flags::DELETED,
        ..FlagFilter::default()
    };
    let mut uids: UidSet = match what {
        ExpungeWhat::Deleted(None) => from.uids_with(deleted),
        ExpungeWhat::Deleted(Some(uids)) => from.uids_with(deleted).intersect(uids),
        ExpungeWhat::Uids(uids) => from.existing(uids),
    };
    if let Some(visible) = visible {
        uids = uids.intersect(visible);
    }
    BuiltExpunge {
        effects: expunge_effects(from, &uids),
        uids,
    }
}

/// A COPY: `uids` of `from` to the end of `to` (which may be the same mailbox), with those of their flags
/// that are `kept`. The UIDs must be loaded.
///
/// # Errors
/// [`BuildError`].
pub fn copy(
    from: &Loaded,
    uids: &UidSet,
    to: &Snapshot,
    save_date_s: i64,
    kept: Flags,
) -> Result<BuiltCopy, BuildError> {
    let mut names = Names::new(to);
    let mut slots = Remap::default();
    let mut next = NextUid(to.uid_next());
    let mut built = BuiltCopy::default();
    let mut new = Vec::new();
    for row in from.rows_in(uids) {
        let Row {
            uid,
            email,
            size,
            internal_date,
            flags,
            ..
        } = row;
        let flags = slots.flags(flags & kept, from.keywords(), &mut names)?;
        let to = next.take()?;
        built.source.push(uid);
        built.destination.push(to);
        new.push(NewRow {
            uid: to,
            email,
            size,
            internal_date,
            save_date_s,
            flags,
        });
    }
    built.missing = uids.difference(&built.source.iter().copied().collect());
    built.effects = names.and_append(new);
    Ok(built)
}

/// A MOVE (RFC 6851): as [`copy`], and the messages are expunged at the source.
///
/// # Errors
/// [`BuildError`].
pub fn move_to(
    from: &Loaded,
    uids: &UidSet,
    to: &Snapshot,
    save_date_s: i64,
    kept: Flags,
) -> Result<BuiltCopy, BuildError> {
    let mut built = copy(from, uids, to, save_date_s, kept)?;
    built.source_effects = expunge_effects(from, &built.source.iter().copied().collect());
    Ok(built)
}

/// For a record that would be larger than [`Record::BYTES_MAX`](crate::Record::BYTES_MAX): its rows as
/// chunks, and the parts that must be in the store before it is committed. The chunks fit only the
/// record that follows `tail`; if another one was first, build again. `nonce` is fresh for every try.
pub fn into_chunks(
    tail: &Tail,
    effects: Vec<Effect>,
    nonce: u64,
) -> (Vec<Effect>, Vec<(PartKey, Bytes)>) {
    let modseq = ModSeq(tail.modseq.0.saturating_add(modseq_step(&effects)));
    let mut puts = Vec::new();
    let effects = effects.into_iter().map(|effect| match effect {
        Effect::Append(rows) => {
            let (chunks, parts) = chunks_of(&rows, modseq, nonce);
            puts.extend(parts);
            Effect::AppendChunks(chunks)
        }
        other => other,
    });
    (effects.collect(), puts)
}

/// The effects of a STORE of a user who has a `\Seen` of their own: what they say of `\Seen` is said of that
/// one. `seen` is what this user has seen, `at` the mailbox as this user sees it.
pub(crate) fn stored_by_reader(
    effects: Vec<Effect>,
    (user, seen): (AccountId, &Seen),
    at: &Loaded,
) -> Vec<Effect> {
    let mut own = Vec::with_capacity(effects.len() + 1);
    let private = |uids, clear: Flags, set: Flags| Effect::Private {
        user,
        uids,
        clear: clear & Flags::SEEN,
        set: set & Flags::SEEN,
    };
    for effect in effects {
        match effect {
            Effect::SetFlags { uids, clear, set } => {
                // Most say something of one of both only.
                let (mut is_shared, mut is_own) = (false, false);
                for (_, _, flags, _) in at.flags_in(&uids) {
                    let changed = (flags.without(clear) | set).0 ^ flags.0;
                    is_shared |= changed & !Flags::SEEN.0 != 0;
                    is_own |= changed & Flags::SEEN.0 != 0;
                }
                if is_own {
                    let uids = match set.contains(Flags::SEEN) {
                        true => seen.stretched(at, &uids),
                        false => uids.clone(),
                    };
                    own.push(private(uids, clear, set));
                }
                if is_shared {
                    let (clear, set) = (clear.without(Flags::SEEN), set.without(Flags::SEEN));
                    own.push(Effect::SetFlags { uids, clear, set });
                }
            }
            effect => own.push(effect),
        }
    }
    own
}

/// The same of effects that bring messages.
pub(crate) fn appended_by_reader(effects: Vec<Effect>, user: AccountId) -> Vec<Effect> {
    let mut own = Vec::with_capacity(effects.len() + 1);
    for effect in effects {
        match effect {
            Effect::Append(rows) => {
                let (rows, uids) = without_seen(rows);
                own.push(Effect::Append(rows));
                if !uids.is_empty() {
                    own.push(Effect::Private {
                        user,
                        uids,
                        clear: Flags::NONE,
                        set: Flags::SEEN,
                    });
                }
            }
            effect => own.push(effect),
        }
    }
    own
}

/// Rows without `\Seen`, and which of them had it.
fn without_seen(mut rows: Vec<NewRow>) -> (Vec<NewRow>, UidSet) {
    let mut uids = UidSet::new();
    for row in &mut rows {
        if row.flags.contains(Flags::SEEN) {
            uids.insert(row.uid);
            row.flags = row.flags.without(Flags::SEEN);
        }
    }
    (rows, uids)
}

fn expunge_effects(from: &Loaded, uids: &UidSet) -> Vec<Effect> {
    let mut joined = Joined::default();
    for (rank, uid, ..) in from.flags_in(uids) {
        joined.push(rank, uid);
    }
    match joined.uids.is_empty() {
        true => Vec::new(),
        false => vec![Effect::Expunge { uids: joined.uids }],
    }
}

fn new_row(row: AppendRow, uid: Uid, flags: Flags) -> NewRow {
    let AppendRow {
        uid: _,
        email,
        size,
        internal_date,
        save_date_s,
        ..
    } = row;
    NewRow {
        uid,
        email,
        size,
        internal_date,
        save_date_s,
        flags,
    }
}

/// UIDs one after the other.
struct NextUid(Uid);

impl NextUid {
    /// This one, if it is not too small; otherwise the next one.
    fn take_at(&mut self, uid: Option<Uid>) -> Result<Uid, BuildError> {
        self.0 = uid.map_or(self.0, |uid| uid.max(self.0));
        self.take()
    }

    /// The next one; the one after it must exist too, because UIDNEXT has to.
    fn take(&mut self) -> Result<Uid, BuildError> {
        let uid = self.0;
        self.0 = uid.checked_add(1).ok_or(BuildError::UidLimit)?;
        Ok(uid)
    }
}

/// A set of existing UIDs, in as few ranges as can be: they are joined over UIDs that do not exist, and
/// over messages that may be in it but need not.
#[derive(Default)]
struct Joined {
    uids: UidSet,
    last_rank: Option<u32>,
}

impl Joined {
    /// The next message that may be in it.
    fn pass(&mut self, rank: u32) {
        if self.follows(rank) {
            self.last_rank = Some(rank);
        }
    }

    fn follows(&self, rank: u32) -> bool {
        self.last_rank.is_some_and(|before| before + 1 == rank)
    }

    /// The next message that must be in it.
    fn push(&mut self, rank: u32, uid: Uid) {
        match self.uids.last() {
            Some(last) if self.follows(rank) => {
                self.uids.insert_range(last, uid);
            }
            _ => self.uids.insert(uid),
        }
        self.last_rank = Some(rank);
    }
}

/// The keywords of a mailbox, and those that a command adds.
struct Names<'a> {
    keywords: Cow<'a, Keywords>,
    /// Flags that a message has, or will have.
    in_use: Flags,
    effects: Vec<Effect>,
}

impl<'a> Names<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            keywords: Cow::Borrowed(snapshot.keywords()),
            in_use: snapshot.flags_in_use(),
            effects: Vec::new(),
        }
    }

    /// The flags that these names have already.
    fn known(&self, names: &FlagNames) -> Flags {
        let keywords = names
            .keywords
            .iter()
            .filter_map(|name| self.keywords.flag(name));
        keywords.collect::<Flags>() | (names.system & Flags::SYSTEM)
    }

    /// The flags of these names; keywords that are new get a slot.
    fn flags(&mut self, names: &FlagNames) -> Result<Flags, BuildError> {
        let mut flags = names.system & Flags::SYSTEM;
        for name in &names.keywords {
            flags = flags | self.slot(name)?.flag();
        }
        Ok(flags)
    }

    fn slot(&mut self, name: &str) -> Result<Slot, BuildError> {
        let slot = match self.keywords.slot(name) {
            Some(slot) => slot,
            None => self.new_slot(name)?,
        };
        self.in_use = self.in_use | slot.flag();
        Ok(slot)
    }

    /// A free slot; if there is none, that of a keyword that no message has.
    fn new_slot(&mut self, name: &str) -> Result<Slot, BuildError> {
        if !Keywords::is_name(name) {
            return Err(BuildError::NotAKeyword(name.into()));
        }
        let slot = match self.keywords.first_free() {
            Some(slot) => slot,
            None => {
                let slot = (!self.in_use)
                    .slots()
                    .next()
                    .ok_or(BuildError::KeywordLimit)?;
                self.keywords.to_mut().free(slot);
                self.effects.push(Effect::FreeKeyword { slot });
                slot
            }
        };
        self.keywords.to_mut().define(slot, name);
        self.effects.push(Effect::DefineKeyword {
            slot,
            name: name.into(),
        });
        Ok(slot)
    }

    fn define(self) -> Vec<Effect> {
        self.effects
    }

    fn and_append(self, rows: Vec<NewRow>) -> Vec<Effect> {
        if rows.is_empty() {
            return Vec::new();
        }
        let mut effects = self.define();
        effects.push(Effect::Append(rows));
        effects
    }
}

/// From the flags of one mailbox to those of another, for the few flag words that there are.
#[derive(Default)]
struct Remap {
    known: Vec<(Flags, Flags)>,
}

impl Remap {
    fn flags(
        &mut self,
        flags: Flags,
        from: &Keywords,
        to: &mut Names<'_>,
    ) -> Result<Flags, BuildError> {
        if let Some((_, found)) = self.known.iter().rev().find(|(known, _)| *known == flags) {
            return Ok(*found);
        }
        let mut mapped = flags & Flags::SYSTEM;
        for name in from.names_of(flags) {
            mapped = mapped | to.slot(name)?.flag();
        }
        self.known.push((flags, mapped));
        Ok(mapped)
    }
}

#[cfg(test)]
mod tests;
