//! What a client asked to be told of with NOTIFY (RFC 5465), and the telling of it.
//!
//! The selected mailbox is told by the sync point, as always; only what it may tell, and when, is
//! decided here. All others are watched through the account: no mailbox is opened. A session keeps
//! five numbers for each mailbox that it watches, and a change that it was not told yet replaces the
//! one before it, so nothing grows with the number of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use restante_mailbox::{
    Account, AccountEvent, MailError, MailboxId, MailboxName, Tail, TailState, Tree, Uid, UidSet,
};
use restante_proto::types::{
    Code, CommandBody, EventName, FetchAttribute, ModSeq, StatusValue, UntaggedData,
};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::cmd;
use crate::convert;
use crate::cx::Cx;
use crate::reply::{self, Failure};
use crate::state::{Selected, State};

/// A set of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Events(u8);

impl Events {
    /// None.
    pub(crate) const NONE: Events = Events(0);
    /// The events that belong to messages.
    pub(crate) const MESSAGE: Events = Events(0b1111);

    /// One event.
    pub(crate) fn of(name: EventName) -> Events {
        Events(1 << (name as u8))
    }

    /// Both.
    pub(crate) fn and(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }

    /// Whether the event is among them.
    pub(crate) fn has(self, name: EventName) -> bool {
        self.0 & Events::of(name).0 != 0
    }

    /// Whether there are others than these.
    pub(crate) fn beyond(self, other: Events) -> bool {
        self.0 & !other.0 != 0
    }
}

/// What is told of the selected mailbox.
#[derive(Debug, Clone)]
pub(crate) struct SelectedEvents {
    /// Messages that come and go.
    pub(crate) messages: bool,
    /// Changed flags.
    pub(crate) flags: bool,
    /// Expunges wait for a command at whose end they may be told (RFC 5465 §6.1.2).
    pub(crate) delayed: bool,
    /// What to fetch of new messages.
    pub(crate) fetch: Arc<[FetchAttribute]>,
}

impl SelectedEvents {
    /// Nothing: also where the client does not name the selected mailbox (RFC 5465 §3.1).
    pub(crate) fn none() -> SelectedEvents {
        SelectedEvents {
            messages: false,
            flags: false,
            delayed: false,
            fetch: Arc::new([]),
        }
    }
}

/// Which mailboxes a group is about (RFC 5465 §6). Names that are none match nothing.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// Also for `inboxes`: deliveries may go to any of them (RFC 5465 §6.3).
    Personal,
    Subscribed,
    Subtree(BTreeSet<MailboxName>),
    SubtreeOne(BTreeSet<MailboxName>),
    Mailboxes(BTreeSet<MailboxName>),
}

impl Filter {
    pub(crate) fn matches(&self, name: &MailboxName, tree: &Tree) -> bool {
        match self {
            Filter::Personal => true,
            Filter::Subscribed => tree.subscribed.contains(name),
            Filter::Mailboxes(names) => names.contains(name),
            Filter::SubtreeOne(names) => {
                names.contains(name) || name.parent().is_some_and(|parent| names.contains(&parent))
            }
            Filter::Subtree(names) => {
                let mut above = Some(name.clone());
                while let Some(name) = above {
                    if names.contains(&name) {
                        return true;
                    }
                    above = name.parent();
                }
                false
            }
        }
    }
}

/// Events of some mailboxes that are not the selected one.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) filter: Filter,
    pub(crate) events: Events,
}

/// What STATUS tells, as the client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    id: MailboxId,
    modseq: u64,
    uid_next: u32,
    messages: u32,
    unseen: u32,
}

impl Counts {
    fn of(id: MailboxId, tail: &Tail) -> Counts {
        Counts {
            id,
            modseq: tail.modseq.0,
            uid_next: tail.uid_next.get(),
            messages: tail.messages,
            unseen: tail.unseen,
        }
    }
}

/// What is in force after a NOTIFY command.
#[derive(Debug)]
pub(crate) struct Notify {
    /// There was no NOTIFY, only ENABLE METADATA: the selected mailbox is told as always.
    metadata_only: bool,
    selected: SelectedEvents,
    groups: Vec<Group>,
    watch: Option<Watch>,
    /// UIDs that this client made itself since it was last told: UIDVALIDITY, first, last.
    own_uids: Vec<(u32, u32, u32)>,
    /// Names that this client's own command is about.
    own_names: Vec<MailboxName>,
    /// This client's own command changes annotations of the server.
    own_server: bool,
    /// This client's own command expunges.
    expunging: bool,
}

/// The account, watched.
#[derive(Debug)]
struct Watch {
    events: broadcast::Receiver<AccountEvent>,
    /// The names as the client knows them.
    tree: Arc<Tree>,
    /// By id, ascending.
    told: Vec<Counts>,
    /// What changed since.
    pending: BTreeMap<MailboxId, Counts>,
    /// Mailboxes with the names of others that have gone: the client must hear of their UIDVALIDITY.
    renewed: Vec<MailboxId>,
    tree_changed: bool,
    /// Some events were lost: everything is looked at.
    lagged: bool,
}

impl Notify {
    /// `NOTIFY NONE`.
    pub(crate) fn none() -> Notify {
        Notify {
            metadata_only: false,
            selected: SelectedEvents::none(),
            groups: Vec::new(),
            watch: None,
            own_uids: Vec::new(),
            own_names: Vec::new(),
            own_server: false,
            expunging: false,
        }
    }

    /// `NOTIFY SET`. None: there are more than `mailboxes_max` mailboxes to watch.
    pub(crate) async fn set(
        account: &Arc<Account>,
        selected: SelectedEvents,
        groups: Vec<Group>,
        mailboxes_max: usize,
    ) -> Result<Option<Notify>, MailError> {
        let mut notify = Notify {
            selected,
            groups,
            ..Notify::none()
        };
        if notify.groups.is_empty() {
            return Ok(Some(notify));
        }
        // Before it is read: what happens meanwhile is an event.
        let events = account.watch();
        let tree = account.tree().await?;
        let mut told = Vec::new();
        if notify.messages_wanted() {
            let names = tree.mailboxes.iter();
            let watched = names.filter(|(name, _)| notify.wants(name, &tree).has(MESSAGE_NEW));
            let watched: BTreeSet<MailboxId> = watched.map(|(_, entry)| entry.id).collect();
            if watched.len() > mailboxes_max {
                return Ok(None);
            }
            told.reserve_exact(watched.len());
            for (id, tail) in account.tails().await? {
                if watched.contains(&id) {
                    told.push(Counts::of(id, &tail));
                }
            }
        }
        notify.watch = Some(Watch {
            events,
            tree,
            told,
            pending: BTreeMap::new(),
            renewed: Vec::new(),
            tree_changed: false,
            lagged: false,
        });
        Ok(Some(notify))
    }

    /// What ENABLE METADATA turns on (RFC 5464 §4.4): annotations that others change are told at the end
    /// of commands and in IDLE, and all else as without NOTIFY. `mailboxes`: not the server's alone.
    pub(crate) async fn metadata(
        account: &Arc<Account>,
        mailboxes: bool,
    ) -> Result<Notify, MailError> {
        let mut events = Events::of(EventName::ServerMetadataChange);
        if mailboxes {
            events = events.and(Events::of(EventName::MailboxMetadataChange));
        }
        let filter = Filter::Personal;
        let groups = vec![Group { filter, events }];
        let notify = Notify::set(account, SelectedEvents::none(), groups, 0).await?;
        Ok(Notify {
            metadata_only: true,
            // There is no limit to reach where no messages are watched.
            ..notify.unwrap_or_else(Notify::none)
        })
    }

    /// What is told of the selected mailbox; none: as without NOTIFY.
    pub(crate) fn selected(&self) -> Option<&SelectedEvents> {
        (!self.metadata_only).then_some(&self.selected)
    }

    /// Whether the sync point has to tell this client what its own command expunged, even if it wants
    /// no events.
    pub(crate) fn is_expunging(&self) -> bool {
        self.expunging
    }

    fn messages_wanted(&self) -> bool {
        self.groups
            .iter()
            .any(|group| group.events.has(MESSAGE_NEW))
    }

    /// All that is asked of a mailbox; groups add up.
    fn wants(&self, name: &MailboxName, tree: &Tree) -> Events {
        let groups = self.groups.iter();
        groups
            .filter(|group| group.filter.matches(name, tree))
            .fold(Events::NONE, |all, group| all.and(group.events))
    }

    fn wants_id(&self, id: MailboxId, tree: &Tree) -> Events {
        let found = tree.by_id(id);
        found.map_or(Events::NONE, |(name, _)| self.wants(name, tree))
    }

    /// Notes what a reply tells of messages that this client made: it needs no event for them
    /// (RFC 5465 §5).
    pub(crate) fn note_own(&mut self, code: &Code) {
        let (uid_validity, uids) = match code {
            Code::AppendUid { uid_validity, uids } => (uid_validity, uids),
            Code::CopyUid(copy) => (&copy.uid_validity, &copy.destination),
            _ => return,
        };
        let ranges = uids.ranges.iter().filter_map(|range| range.numbers());
        self.own_uids
            .extend(ranges.map(|(a, b)| (uid_validity.get(), a.get(), b.get())));
    }

    /// Notes an APPEND, or a REPLACE, which expunges.
    pub(crate) fn note_append(&mut self, replaces: bool) {
        self.own_names.clear();
        self.own_server = false;
        self.expunging = replaces;
    }

    /// Notes what a command of this client is about to change.
    pub(crate) fn note_command(&mut self, body: &CommandBody) {
        self.own_names.clear();
        let server = |name: &restante_proto::types::MailboxName| name.as_str().is_empty();
        self.own_server =
            matches!(body, CommandBody::SetMetadata { mailbox, .. } if server(mailbox));
        self.expunging = matches!(body, CommandBody::Expunge(_) | CommandBody::Move { .. });
        let names = match body {
            CommandBody::Create { mailbox, .. } => vec![mailbox],
            CommandBody::Delete(mailbox)
            | CommandBody::Subscribe(mailbox)
            | CommandBody::Unsubscribe(mailbox)
            | CommandBody::SetMetadata { mailbox, .. } => vec![mailbox],
            CommandBody::Rename { from, to } => vec![from, to],
            _ => return,
        };
        let names = names.into_iter();
        self.own_names
            .extend(names.filter_map(|name| MailboxName::new(name.as_str()).ok()));
    }

    /// Those of `uids` that others made; `uids` are of the mailbox with this UIDVALIDITY.
    fn of_others(&self, uid_validity: u32, uids: UidSet) -> UidSet {
        let own = self.own_uids.iter().filter(|own| own.0 == uid_validity);
        let own = own.filter_map(|own| Some((Uid::new(own.1)?, Uid::new(own.2)?)));
        uids.difference(&UidSet::from_unsorted(own))
    }

    /// Where new messages are that are to be fetched, and what of them.
    pub(crate) fn fetch_of_new(
        &self,
        selected: &Selected,
    ) -> Option<(UidSet, Arc<[FetchAttribute]>)> {
        let attributes = &self.selected.fetch;
        let snapshot = selected.view.snapshot();
        let last = Uid::new(snapshot.uid_next().get() - 1)?;
        if last < selected.fetched_to || attributes.is_empty() {
            return None;
        }
        let range = UidSet::from_range(selected.fetched_to, last);
        let range = self.of_others(snapshot.uid_validity().get(), range);
        Some((range, attributes.clone()))
    }

    /// Waits until there is something to tell of other mailboxes than the selected one. Cancel safe.
    pub(crate) async fn changed(&mut self, selected: Option<MailboxId>) {
        loop {
            let Some(watch) = &mut self.watch else {
                return std::future::pending().await;
            };
            match watch.events.recv().await {
                Ok(AccountEvent::Mailbox(id, tail)) => {
                    if self.note_tail(id, &tail) && selected != Some(id) {
                        return;
                    }
                }
                Ok(AccountEvent::Tree(_)) => {
                    watch.tree_changed = true;
                    return;
                }
                Err(RecvError::Lagged(_)) => {
                    watch.lagged = true;
                    return;
                }
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    /// Notes where a mailbox stands, if it is one that the client asked for.
    fn note_tail(&mut self, id: MailboxId, tail: &Tail) -> bool {
        let Some(watch) = &self.watch else {
            return false;
        };
        // A mailbox that is too new for this tree is looked at with the next one.
        let new = watch.tree.by_id(id).is_none();
        let wanted = new || self.wants_id(id, &watch.tree).has(MESSAGE_NEW);
        if !wanted || tail.state == TailState::Deleted {
            return false;
        }
        if let Some(watch) = &mut self.watch {
            watch.pending.insert(id, Counts::of(id, tail));
        }
        true
    }

    fn drain(&mut self) {
        while let Some(watch) = &mut self.watch {
            match watch.events.try_recv() {
                Ok(AccountEvent::Mailbox(id, tail)) => {
                    self.note_tail(id, &tail);
                }
                Ok(AccountEvent::Tree(_)) => watch.tree_changed = true,
                Err(TryRecvError::Lagged(_)) => watch.lagged = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// The STATUS of every mailbox that is watched for messages (RFC 5465 §3.1), but for the selected
    /// one.
    pub(crate) async fn tell_status(
        &self,
        cx: &mut Cx,
        selected: Option<MailboxId>,
    ) -> Result<(), Failure> {
        let Some(watch) = &self.watch else {
            return Ok(());
        };
        for (index, counts) in watch.told.iter().enumerate() {
            if Some(counts.id) == selected {
                continue;
            }
            let events = self.wants_id(counts.id, &watch.tree);
            let what = What {
                counts: true,
                uid_validity: true,
                mod_seq: events.has(EventName::FlagChange) || cx.enabled.condstore(),
                unseen: false,
            };
            tell_counts(cx, &watch.tree, counts, what);
            if index % 256 == 255 {
                cx.conn.flush_if_large().await?;
            }
        }
        Ok(())
    }

    async fn tell(&mut self, cx: &mut Cx, state: &State) -> Result<(), Failure> {
        self.drain();
        if self.watch.is_none() {
            return Ok(());
        }
        let account = state.login()?.account.clone();
        let selected = state.own_selected();
        self.catch_up(&account).await?;
        self.tell_tree(cx, &account).await?;
        self.tell_messages(cx, selected).await
    }

    /// After events were lost.
    async fn catch_up(&mut self, account: &Account) -> Result<(), Failure> {
        let lagged = self.watch.as_ref().is_some_and(|watch| watch.lagged);
        if !lagged {
            return Ok(());
        }
        if let Some(watch) = &mut self.watch {
            watch.tree_changed = true;
            watch.lagged = false;
        }
        if self.messages_wanted() {
            for (id, tail) in account.tails().await? {
                self.note_tail(id, &tail);
            }
        }
        Ok(())
    }

    /// Names, subscriptions and annotations (RFC 5465 §5.4 to §5.7).
    async fn tell_tree(&mut self, cx: &mut Cx, account: &Arc<Account>) -> Result<(), Failure> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        if !std::mem::take(&mut watch.tree_changed) {
            return Ok(());
        }
        let new = account.tree().await?;
        let old = std::mem::replace(&mut watch.tree, new.clone());
        if Arc::ptr_eq(&old, &new) {
            return Ok(());
        }
        watch.told.retain(|told| new.by_id(told.id).is_some());
        // A mailbox with a name of before has another UIDVALIDITY, and that is told (RFC 5465 §5.1).
        for (name, entry) in &new.mailboxes {
            let again = old.by_id(entry.id).is_none() && old.get(name).is_some();
            if again && self.wants(name, &new).has(EventName::FlagChange) {
                let tail = account.open(entry.id).await?.tail().await?;
                self.note_tail(entry.id, &tail);
                if let Some(watch) = &mut self.watch {
                    watch.renewed.push(entry.id);
                }
            }
        }
        let names = self.changed_names(&old, &new);
        cmd::list::tell_names(cx, &new, &names).await?;
        for (mailbox, entries) in self.changed_metadata(&old, &new) {
            let mailbox = mailbox.map_or_else(
                || restante_proto::types::MailboxName::new(""),
                convert::wire_name,
            );
            cx.data(&UntaggedData::MetadataChanged { mailbox, entries });
        }
        Ok(())
    }

    /// The names to tell, each with the one it had before if it was renamed.
    fn changed_names(&self, old: &Tree, new: &Tree) -> BTreeMap<MailboxName, Option<MailboxName>> {
        let mut changed = BTreeMap::new();
        let wanted = |name: &MailboxName, event: EventName| {
            self.wants(name, new).has(event) || self.wants(name, old).has(event)
        };
        let own = |name: &MailboxName| {
            let names = self.own_names.iter();
            names
                .into_iter()
                .any(|own| own == name || own.is_below(name))
        };
        let mut came_or_went = |name: &MailboxName| {
            for name in [Some(name.clone()), name.parent()].into_iter().flatten() {
                if !own(&name) && wanted(&name, EventName::MailboxName) {
                    changed.entry(name).or_insert(None);
                }
            }
        };
        for (name, entry) in &old.mailboxes {
            if new.by_id(entry.id).is_none() {
                came_or_went(name);
            }
        }
        let mut renamed = Vec::new();
        for (name, entry) in &new.mailboxes {
            match old.by_id(entry.id) {
                None => came_or_went(name),
                Some((was, _)) if was != name => renamed.push((name, was)),
                Some(_) => {}
            }
        }
        for (name, was) in renamed {
            // The children of a renamed mailbox follow from it.
            let moved = |name: &MailboxName| {
                let was = new.get(name).and_then(|entry| old.by_id(entry.id));
                was.map(|(was, _)| was.clone())
            };
            let follows = match (name.parent(), was.parent()) {
                (Some(parent), Some(was)) => parent != was && moved(&parent) == Some(was),
                _ => false,
            };
            let wanted =
                wanted(name, EventName::MailboxName) || wanted(was, EventName::MailboxName);
            if !follows && wanted && !own(name) {
                changed.insert(name.clone(), Some(was.clone()));
            }
        }
        for name in old.subscribed.symmetric_difference(&new.subscribed) {
            if wanted(name, EventName::SubscriptionChange) && !self.own_names.contains(name) {
                changed.entry(name.clone()).or_insert(None);
            }
        }
        changed
    }

    /// The entries whose values changed, by mailbox; none is the server.
    fn changed_metadata<'t>(
        &self,
        old: &Tree,
        new: &'t Tree,
    ) -> BTreeMap<Option<&'t MailboxName>, Vec<Vec<u8>>> {
        let mut changed: BTreeMap<Option<&MailboxName>, Vec<Vec<u8>>> = BTreeMap::new();
        let server = EventName::ServerMetadataChange;
        let server = self.groups.iter().any(|group| group.events.has(server));
        let mut note = |mailbox: &Option<MailboxId>, entry: &Arc<str>| {
            let name = match mailbox {
                None if server && !self.own_server => None,
                None => return,
                Some(id) => match new.by_id(*id) {
                    Some((name, _))
                        if self.wants(name, new).has(EventName::MailboxMetadataChange)
                            && !self.own_names.contains(name) =>
                    {
                        Some(name)
                    }
                    _ => return,
                },
            };
            changed
                .entry(name)
                .or_default()
                .push(entry.as_bytes().to_vec());
        };
        for (key, value) in &new.metadata {
            if old.metadata.get(key) != Some(value) {
                note(&key.0, &key.1);
            }
        }
        for key in old.metadata.keys() {
            if !new.metadata.contains_key(key) {
                note(&key.0, &key.1);
            }
        }
        changed
    }

    /// STATUS of mailboxes that are not selected (RFC 5465 §5.1 to §5.3).
    async fn tell_messages(
        &mut self,
        cx: &mut Cx,
        selected: Option<MailboxId>,
    ) -> Result<(), Failure> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let tree = watch.tree.clone();
        let pending = std::mem::take(&mut watch.pending);
        let renewed = std::mem::take(&mut watch.renewed);
        for (index, (id, now)) in pending.into_iter().enumerate() {
            let Some((_, entry)) = tree.by_id(id) else {
                continue;
            };
            let events = self.wants_id(id, &tree);
            if !events.has(MESSAGE_NEW) {
                continue;
            }
            let own = self.own_uids.iter();
            let own = own.filter(|own| own.0 == entry.uid_validity.get());
            let own = own.fold(0u32, |sum, own| sum.saturating_add(own.2 - own.1 + 1));
            let Some(watch) = &mut self.watch else {
                return Ok(());
            };
            let before = match watch.told.binary_search_by_key(&id, |told| told.id) {
                Ok(at) => Some(std::mem::replace(&mut watch.told[at], now)),
                Err(at) => {
                    watch.told.insert(at, now);
                    None
                }
            };
            // Nothing has come into a new mailbox yet.
            let is_new = before.is_none() && !renewed.contains(&id);
            if selected == Some(id) || (is_new && now.uid_next == 1) {
                continue;
            }
            let Some(what) = What::changed(before.as_ref(), &now, own, events, cx) else {
                continue;
            };
            tell_counts(cx, &tree, &now, what);
            if index % 256 == 255 {
                cx.conn.flush_if_large().await?;
            }
        }
        Ok(())
    }
}

/// MessageNew and MessageExpunge come together: one of them stands for both.
const MESSAGE_NEW: EventName = EventName::MessageNew;

/// What a STATUS has.
#[derive(Debug, Clone, Copy)]
struct What {
    counts: bool,
    uid_validity: bool,
    mod_seq: bool,
    unseen: bool,
}

impl What {
    /// What to tell of a change; `own` messages came from this client.
    fn changed(
        before: Option<&Counts>,
        now: &Counts,
        own: u32,
        events: Events,
        cx: &Cx,
    ) -> Option<What> {
        let condstore = cx.enabled.condstore();
        let Some(before) = before else {
            return Some(What {
                counts: true,
                uid_validity: true,
                mod_seq: condstore,
                unseen: false,
            });
        };
        if now.modseq <= before.modseq {
            return None;
        }
        let only_own = own > 0
            && before.uid_next.checked_add(own) == Some(now.uid_next)
            && before.messages.checked_add(own) == Some(now.messages)
            && before.modseq + 1 == now.modseq;
        if only_own {
            return None;
        }
        let flags = events.has(EventName::FlagChange);
        let counts = (now.uid_next, now.messages) != (before.uid_next, before.messages);
        let unseen = flags && now.unseen != before.unseen;
        (counts || unseen || (flags && condstore)).then_some(What {
            counts,
            uid_validity: true,
            mod_seq: condstore,
            unseen,
        })
    }
}

fn tell_counts(cx: &mut Cx, tree: &Tree, counts: &Counts, what: What) {
    let Some((name, entry)) = tree.by_id(counts.id) else {
        return;
    };
    let uid_next = Uid::new(counts.uid_next).and_then(convert::wire_uid);
    let values = [
        what.counts
            .then_some(StatusValue::Messages(counts.messages)),
        uid_next.filter(|_| what.counts).map(StatusValue::UidNext),
        convert::wire_uid_validity(entry.uid_validity)
            .filter(|_| what.uid_validity)
            .map(StatusValue::UidValidity),
        what.unseen.then_some(StatusValue::Unseen(counts.unseen)),
        what.mod_seq
            .then_some(StatusValue::HighestModSeq(ModSeq(counts.modseq))),
    ];
    cx.data(&UntaggedData::Status {
        mailbox: convert::wire_name(name),
        values: values.into_iter().flatten().collect(),
    });
}

/// Tells what happened outside the selected mailbox, and fetches what the client wants of new messages
/// in it. Where that cannot be found out, NOTIFY ends (RFC 5465 §5.8).
pub(crate) async fn tell(cx: &mut Cx, state: &mut State) -> Result<(), Failure> {
    let Some(mut notify) = cx.notify.take() else {
        return Ok(());
    };
    let told = match fetch_new(cx, state, &notify).await {
        Ok(()) => notify.tell(cx, state).await,
        Err(failure) => Err(failure),
    };
    notify.own_uids = Vec::new();
    notify.own_names = Vec::new();
    notify.own_server = false;
    notify.expunging = false;
    match told {
        Err(Failure::Mail(error)) => {
            if reply::is_ours(&error) {
                tracing::error!(peer = %cx.peer, %error, "NOTIFY cannot go on");
            }
            match &mut notify.watch {
                // It was no NOTIFY: it is tried again at the next sync point.
                Some(watch) if notify.metadata_only => {
                    watch.lagged = true;
                    cx.notify = Some(notify);
                }
                _ => overflow(cx),
            }
            Ok(())
        }
        Ok(())
            if notify
                .watch
                .as_ref()
                .is_some_and(|watch| watch.told.len() > cx.env.limits.notify_mailboxes_max) =>
        {
            overflow(cx);
            Ok(())
        }
        told => {
            cx.notify = Some(notify);
            told
        }
    }
}

/// The server gives up: from now on as after NOTIFY NONE (RFC 5465 §5.8).
fn overflow(cx: &mut Cx) {
    cx.untagged_ok(Code::NotificationOverflow, "NOTIFY has ended");
    cx.notify = Some(Box::new(Notify::none()));
}

/// FETCH of what the client wants of messages that it has just been told to exist (RFC 5465 §5.2).
async fn fetch_new(cx: &mut Cx, state: &mut State, notify: &Notify) -> Result<(), Failure> {
    let Ok((_, selected)) = state.selected() else {
        return Ok(());
    };
    let new = notify.fetch_of_new(selected);
    selected.fetched_to = selected.view.snapshot().uid_next();
    let updates = selected.updates.as_mut();
    let fetched = updates.map(|updates| updates.take_fetched());
    let Some((range, attributes)) = new else {
        return Ok(());
    };
    let range = range.difference(&fetched.unwrap_or_default());
    let uids: Vec<Uid> = {
        let rows = selected.view.rows(&range).await?;
        rows.iter(&range).map(|(_, row)| row.uid).collect()
    };
    cmd::fetch_told(cx, state, &uids, &attributes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 2,000 watched mailboxes cost a session: design goal 64 KiB.
    #[test]
    fn a_watched_mailbox_costs_little() {
        assert!(2000 * size_of::<Counts>() <= 48 << 10);
    }
}
