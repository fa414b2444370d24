//! One account that NOTIFY watches: the user's own, or another one that lets the user see mailboxes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use restante_mailbox::{
    Account, AccountEvent, AccountId, MailError, MailboxId, MailboxName, Rights, Tail, TailState,
    Tree, Uid,
};
use restante_proto::types::{EventName, ModSeq, StatusValue, UntaggedData};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use super::{Asked, Events, MESSAGE_NEW};
use crate::cmd::list::ChangedNames;
use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::{Foreign, SeenOf};
use crate::reply::Failure;
use crate::state::Login;

/// The mailboxes of an account by the names that the user has for them.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) tree: Arc<Tree>,
    pub(super) is_own: bool,
    /// Those of others that may be listed and not read.
    pub(super) unreadable: BTreeSet<MailboxId>,
}

impl View {
    fn own(tree: Arc<Tree>) -> View {
        View {
            tree,
            is_own: true,
            unreadable: BTreeSet::new(),
        }
    }

    /// What the user may list (`l`) of another's mailboxes.
    fn of_other(
        tree: &Tree,
        prefix: &str,
        login: &Login,
        subscribed: &BTreeSet<MailboxName>,
    ) -> View {
        let mut unreadable = BTreeSet::new();
        let mut seen = tree.seen_as(|name, entry| {
            let rights = tree.rights(entry.id, &login.who);
            if !rights.contains(Rights::LOOKUP) {
                return None;
            }
            if !rights.contains(Rights::READ) {
                unreadable.insert(entry.id);
            }
            // A name that is too long with the prefix cannot be asked for either.
            MailboxName::new(&format!("{prefix}{name}")).ok()
        });
        seen.subscribed = subscribed
            .iter()
            .filter(|name| name.as_str().starts_with(prefix))
            .cloned()
            .collect();
        seen.metadata.retain(|(mailbox, entry), _| {
            entry.starts_with("/shared/")
                && mailbox.is_some_and(|mailbox| !unreadable.contains(&mailbox))
        });
        View {
            tree: Arc::new(seen),
            is_own: false,
            unreadable,
        }
    }

    fn asks(&self, asked: &Asked, name: &MailboxName) -> Events {
        asked.events(name, &self.tree.subscribed)
    }

    /// What there is to tell of it: of a mailbox that may not be read only its name (RFC 5465 §5).
    pub(super) fn wants(&self, asked: &Asked, name: &MailboxName) -> Events {
        let events = self.asks(asked, name);
        let entry = self.tree.get(name);
        match entry.is_some_and(|entry| self.unreadable.contains(&entry.id)) {
            true => events.only(Events::NAMES),
            false => events,
        }
    }

    fn wants_id(&self, asked: &Asked, id: MailboxId) -> Events {
        let found = self.tree.by_id(id);
        found.map_or(Events::NONE, |(name, _)| self.wants(asked, name))
    }
}

/// What STATUS tells, as the client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
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

/// An account, watched.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) account: Arc<Account>,
    /// What comes before the names of another's mailboxes.
    prefix: String,
    events: broadcast::Receiver<AccountEvent>,
    /// The names as the client knows them.
    pub(super) view: View,
    /// By id, ascending.
    told: Vec<Counts>,
    /// What changed since.
    pending: BTreeMap<MailboxId, Counts>,
    /// Mailboxes whose names stood for others or for none: the client must hear of their UIDVALIDITY.
    renewed: Vec<MailboxId>,
    pub(super) tree_changed: bool,
    /// Some events were lost: everything is looked at.
    pub(super) lagged: bool,
    /// The account shows the user nothing at the moment.
    pub(super) is_over: bool,
    /// The mailboxes of which the client knows that it has no access.
    no_access: BTreeSet<MailboxId>,
}

impl Watch {
    /// The user's own account.
    pub(super) async fn own(account: &Arc<Account>) -> Result<Watch, MailError> {
        // Before it is read: what happens meanwhile is an event.
        let events = account.watch();
        let view = View::own(account.tree().await?);
        Ok(Watch::new(account, String::new(), events, view))
    }

    /// Another one, of which nothing was told yet.
    pub(super) fn of_other(foreign: &Foreign) -> Watch {
        let events = foreign.account.watch();
        let view = View {
            tree: Arc::default(),
            is_own: false,
            unreadable: BTreeSet::new(),
        };
        let prefix = foreign.prefix().to_owned();
        let mut watch = Watch::new(&foreign.account, prefix, events, view);
        watch.tree_changed = true;
        watch
    }

    fn new(
        account: &Arc<Account>,
        prefix: String,
        events: broadcast::Receiver<AccountEvent>,
        view: View,
    ) -> Watch {
        Watch {
            account: account.clone(),
            prefix,
            events,
            view,
            told: Vec::new(),
            pending: BTreeMap::new(),
            renewed: Vec::new(),
            tree_changed: false,
            lagged: false,
            is_over: false,
            no_access: BTreeSet::new(),
        }
    }

    /// Takes what there is now for what the client knows.
    pub(super) async fn begin(
        &mut self,
        asked: &Asked,
        login: &Login,
        subscribed: &BTreeSet<MailboxName>,
    ) -> Result<(), MailError> {
        if !self.view.is_own {
            self.tree_changed = false;
            let tree = self.account.tree().await?;
            self.view = View::of_other(&tree, &self.prefix, login, subscribed);
        }
        if !asked.wants_messages() {
            return Ok(());
        }
        let names = self.view.tree.mailboxes.iter();
        let watched = names.filter(|(name, _)| self.view.wants(asked, name).has(MESSAGE_NEW));
        let watched: BTreeSet<MailboxId> = watched.map(|(_, entry)| entry.id).collect();
        self.told.reserve_exact(watched.len());
        for (id, tail) in self.account.tails().await? {
            if watched.contains(&id) {
                self.told.push(Counts::of(id, &tail));
            }
        }
        Ok(())
    }

    /// How many mailboxes are watched for messages.
    pub(super) fn watched(&self) -> usize {
        self.told.len()
    }

    /// Waits for an event. Cancel safe.
    pub(super) async fn event(&mut self) -> Result<AccountEvent, RecvError> {
        self.events.recv().await
    }

    /// Notes an event; whether there may be something to tell of other mailboxes than this one.
    pub(super) fn note(
        &mut self,
        asked: &Asked,
        event: Result<AccountEvent, RecvError>,
        selected: Option<(AccountId, MailboxId)>,
    ) -> bool {
        match event {
            Ok(AccountEvent::Mailbox(id, tail)) => {
                self.note_tail(asked, id, &tail) && selected != Some((self.account.id(), id))
            }
            Ok(AccountEvent::Tree(_)) => {
                self.tree_changed = true;
                true
            }
            Err(RecvError::Lagged(_)) => {
                self.lagged = true;
                true
            }
            Err(RecvError::Closed) => false,
        }
    }

    /// Notes where a mailbox stands, if it is one that the client asked for.
    fn note_tail(&mut self, asked: &Asked, id: MailboxId, tail: &Tail) -> bool {
        // A mailbox that is too new for this tree is looked at with the next one.
        let new = self.view.is_own && self.view.tree.by_id(id).is_none();
        let wanted = new || self.view.wants_id(asked, id).has(MESSAGE_NEW);
        if !wanted || tail.state == TailState::Deleted {
            return false;
        }
        self.pending.insert(id, Counts::of(id, tail));
        true
    }

    /// Takes the events that have come.
    pub(super) fn drain(&mut self, asked: &Asked) {
        loop {
            match self.events.try_recv() {
                Ok(event) => {
                    self.note(asked, Ok(event), None);
                }
                Err(TryRecvError::Lagged(_)) => self.lagged = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// After events were lost.
    pub(super) async fn catch_up(&mut self, asked: &Asked) -> Result<(), MailError> {
        if !std::mem::take(&mut self.lagged) {
            return Ok(());
        }
        self.tree_changed = true;
        self.note_all(asked).await
    }

    async fn note_all(&mut self, asked: &Asked) -> Result<(), MailError> {
        if asked.wants_messages() {
            for (id, tail) in self.account.tails().await? {
                self.note_tail(asked, id, &tail);
            }
        }
        Ok(())
    }

    /// The STATUS of every mailbox that is watched for messages (RFC 5465 §3.1), but for the selected
    /// one.
    pub(super) async fn tell_status(
        &self,
        cx: &mut Cx,
        asked: &Asked,
        selected: Option<(AccountId, MailboxId)>,
    ) -> Result<(), Failure> {
        for (index, counts) in self.told.iter().enumerate() {
            if Some((self.account.id(), counts.id)) == selected {
                continue;
            }
            let events = self.view.wants_id(asked, counts.id);
            let what = What {
                counts: true,
                uid_validity: true,
                mod_seq: cx.enabled.condstore()
                    || (events.has(EventName::FlagChange) && !cx.hides("CONDSTORE")),
                unseen: false,
            };
            tell_counts(cx, &self.view.tree, counts, what);
            if index % 256 == 255 {
                cx.conn.flush_if_large().await?;
            }
        }
        Ok(())
    }

    /// What was asked of and cannot be read (RFC 5465 §3.1).
    pub(super) fn tell_unreadable(&mut self, asked: &Asked, changed: &mut ChangedNames) {
        for id in &self.view.unreadable {
            let Some((name, _)) = self.view.tree.by_id(*id) else {
                continue;
            };
            if self.view.asks(asked, name).beyond(Events::NAMES) {
                changed.names.insert(name.clone(), None);
                changed.no_access.insert(name.clone());
                self.no_access.insert(*id);
            }
        }
    }

    /// Looks at the tree again, if it changed. Notes the names to tell, and gives the view of before.
    pub(super) async fn look(
        &mut self,
        asked: &Asked,
        login: &Login,
        subscribed: &BTreeSet<MailboxName>,
        changed: &mut ChangedNames,
    ) -> Result<Option<View>, MailError> {
        if !std::mem::take(&mut self.tree_changed) {
            return Ok(None);
        }
        let tree = self.account.tree().await?;
        let new = match (self.view.is_own, self.is_over) {
            (true, _) => View::own(tree.clone()),
            (false, false) => View::of_other(&tree, &self.prefix, login, subscribed),
            (false, true) => View::of_other(&Tree::default(), &self.prefix, login, subscribed),
        };
        let old = std::mem::replace(&mut self.view, new);
        let new = self.view.clone();
        if Arc::ptr_eq(&old.tree, &new.tree)
            || (!new.is_own && old.tree == new.tree && old.unreadable == new.unreadable)
        {
            return Ok(None);
        }
        let readable = |id| new.tree.by_id(id).is_some() && !new.unreadable.contains(&id);
        self.told.retain(|told| readable(told.id));
        // A name that stands for another mailbox than before has another UIDVALIDITY, and that is told
        // (RFC 5465 §5.1).
        for (name, entry) in &new.tree.mailboxes {
            if is_another(&old, &new, asked, name, entry.id) {
                let tail = match self.account.open(entry.id).await {
                    Ok(mailbox) => mailbox.tail().await?,
                    // It went away since.
                    Err(MailError::NoSuchMailbox) => continue,
                    Err(error) => return Err(error),
                };
                self.note_tail(asked, entry.id, &tail);
                self.renewed.push(entry.id);
            }
        }
        if !new.is_own {
            // What was granted is watched from now on (RFC 5465 §5.9).
            self.note_all(asked).await?;
        }
        changed_names(&old, &new, asked, &mut changed.names);
        self.changed_access(&old, &tree, asked, changed);
        Ok(Some(old))
    }

    /// Notes which mailboxes may not be read any more, or again (RFC 5465 §5.9). `tree`: the owner's.
    fn changed_access(
        &mut self,
        old: &View,
        tree: &Tree,
        asked: &Asked,
        changed: &mut ChangedNames,
    ) {
        let new = &self.view;
        for (name, entry) in &old.tree.mailboxes {
            let is_gone = new.tree.by_id(entry.id).is_none();
            // Its end is told by its name.
            let is_told = changed.names.contains_key(name);
            if is_gone && !is_told && tree.by_id(entry.id).is_some() {
                let asks = old.asks(asked, name);
                if asks.beyond(Events::NAMES) {
                    changed.names.insert(name.clone(), None);
                    changed.no_access.insert(name.clone());
                    self.no_access.insert(entry.id);
                }
            }
        }
        for (name, entry) in &new.tree.mailboxes {
            let may_read = !new.unreadable.contains(&entry.id);
            let asks = new.asks(asked, name).beyond(Events::NAMES);
            let news = match may_read {
                true => self.no_access.remove(&entry.id),
                false => asks && self.no_access.insert(entry.id),
            };
            if news {
                changed.names.entry(name.clone()).or_insert(None);
            }
            if !may_read && changed.names.contains_key(name) {
                changed.no_access.insert(name.clone());
            }
        }
    }

    /// STATUS of mailboxes that are not selected (RFC 5465 §5.1 to §5.3).
    pub(super) async fn tell_messages(
        &mut self,
        cx: &mut Cx,
        asked: &Asked,
        selected: Option<(AccountId, MailboxId)>,
    ) -> Result<(), Failure> {
        let pending = std::mem::take(&mut self.pending);
        let renewed = std::mem::take(&mut self.renewed);
        for (index, (id, now)) in pending.into_iter().enumerate() {
            let Some((_, entry)) = self.view.tree.by_id(id) else {
                continue;
            };
            let events = self.view.wants_id(asked, id);
            if !events.has(MESSAGE_NEW) {
                continue;
            }
            let own = asked.own_uids.iter();
            let own = own.filter(|own| own.0 == entry.uid_validity.get());
            let own = own.fold(0u32, |sum, own| sum.saturating_add(own.2 - own.1 + 1));
            let before = match self.told.binary_search_by_key(&id, |told| told.id) {
                Ok(at) => Some(std::mem::replace(&mut self.told[at], now)),
                Err(at) => {
                    self.told.insert(at, now);
                    None
                }
            };
            let is_renewed = renewed.contains(&id);
            let before = before.filter(|_| !is_renewed);
            // Nothing has come into a new mailbox yet.
            let is_new = before.is_none() && !is_renewed;
            if selected == Some((self.account.id(), id)) || (is_new && now.uid_next == 1) {
                continue;
            }
            let Some(mut what) = What::changed(before.as_ref(), &now, own, events, cx) else {
                continue;
            };
            if self.has_own_seen(&cx.env) && std::mem::take(&mut what.unseen) && !what.tells() {
                // What the tail counts as unseen is the owner's.
                continue;
            }
            tell_counts(cx, &self.view.tree, &now, what);
            if index % 256 == 255 {
                cx.conn.flush_if_large().await?;
            }
        }
        Ok(())
    }

    fn has_own_seen(&self, env: &Env) -> bool {
        !self.view.is_own && env.sharing.seen == SeenOf::User
    }
}

/// Whether a name stands for another mailbox than the client knows by it, and it wants to hear of that. A
/// name that was there before may have been gone when it was looked at last: every new mailbox counts.
fn is_another(old: &View, new: &View, asked: &Asked, name: &MailboxName, id: MailboxId) -> bool {
    let was = match old.tree.by_id(id) {
        Some((was, _)) if was == name => return false,
        was => was.map(|(was, _)| was),
    };
    let wants = new.wants(asked, name);
    // It was told of the mailbox, and is told that it was renamed.
    let follows =
        |was| wants.has(EventName::MailboxName) && old.wants(asked, was).has(EventName::FlagChange);
    let is_own = || asked.is_own(name) || asked.own_names.iter().any(|own| name.is_below(own));
    wants.has(EventName::FlagChange) && !was.is_some_and(follows) && !is_own()
}

/// The names to tell, each with the one it had before if it was renamed.
fn changed_names(
    old: &View,
    new: &View,
    asked: &Asked,
    changed: &mut BTreeMap<MailboxName, Option<MailboxName>>,
) {
    let wanted = |name: &MailboxName, event: EventName| {
        new.wants(asked, name).has(event) || old.wants(asked, name).has(event)
    };
    let (old, new) = (&old.tree, &new.tree);
    let own = |name: &MailboxName| asked.is_own(name);
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
        let wanted = wanted(name, EventName::MailboxName) || wanted(was, EventName::MailboxName);
        if !follows && wanted && !own(name) {
            changed.insert(name.clone(), Some(was.clone()));
        }
    }
    for name in old.subscribed.symmetric_difference(&new.subscribed) {
        if wanted(name, EventName::SubscriptionChange) && !asked.own_names.contains(name) {
            changed.entry(name.clone()).or_insert(None);
        }
    }
}

/// The entries whose values changed, by mailbox; none is the server.
pub(super) fn changed_metadata<'t>(
    old: &View,
    new: &'t View,
    asked: &Asked,
) -> BTreeMap<Option<&'t MailboxName>, Vec<Vec<u8>>> {
    let mut changed: BTreeMap<Option<&MailboxName>, Vec<Vec<u8>>> = BTreeMap::new();
    let server = EventName::ServerMetadataChange;
    let server = asked.groups.iter().any(|group| group.events.has(server));
    let mut note = |mailbox: &Option<MailboxId>, entry: &Arc<str>| {
        let name = match mailbox {
            None if server && !asked.own_server => None,
            None => return,
            Some(id) => match new.tree.by_id(*id) {
                Some((name, _))
                    if new.wants(asked, name).has(EventName::MailboxMetadataChange)
                        && !asked.own_names.contains(name) =>
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
    for (key, value) in &new.tree.metadata {
        if old.tree.metadata.get(key) != Some(value) {
            note(&key.0, &key.1);
        }
    }
    for key in old.tree.metadata.keys() {
        if !new.tree.metadata.contains_key(key) {
            note(&key.0, &key.1);
        }
    }
    changed
}

/// What a STATUS has.
#[derive(Debug, Clone, Copy)]
struct What {
    counts: bool,
    uid_validity: bool,
    mod_seq: bool,
    unseen: bool,
}

impl What {
    /// Whether there is anything in it.
    fn tells(&self) -> bool {
        self.counts || self.unseen || self.mod_seq
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What 2,000 watched mailboxes cost a session: design goal 64 KiB.
    #[test]
    fn a_watched_mailbox_costs_little() {
        assert!(2000 * size_of::<Counts>() <= 48 << 10);
    }
}
