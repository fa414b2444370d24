//! What a client asked to be told of with NOTIFY (RFC 5465), and the telling of it.
//!
//! The selected mailbox is told by the sync point, as always; only what it may tell, and when, is
//! decided here. All others, and those of others that the user may see, are watched through their account:
//! no mailbox is opened. A session keeps
//! five numbers for each mailbox that it watches, and a change that it was not told yet replaces the
//! one before it, so nothing grows with the number of events.

mod watch;

use std::collections::BTreeSet;
use std::future::Future as _;
use std::sync::Arc;
use std::task::Poll;

use restante_mailbox::{AccountEvent, AccountId, MailboxId, MailboxName, Tree, Uid, UidSet};
use restante_proto::types::{Code, CommandBody, EventName, FetchAttribute, UntaggedData};
use tokio::sync::{broadcast::error::RecvError, watch::Receiver};

use self::watch::{Watch, changed_metadata};
use crate::cmd::{self, list::ChangedNames};
use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::{self, Foreign};
use crate::referral;
use crate::reply::{self, Failure};
use crate::state::{Login, Selected, State};

/// A set of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Events(u8);

impl Events {
    /// None.
    pub(crate) const NONE: Events = Events(0);
    /// The events that belong to messages.
    pub(crate) const MESSAGE: Events = Events(0b1111);
    /// The events that are not about what is in a mailbox.
    const NAMES: Events = Events(0b1011_0000);

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

    /// Those that are among these.
    fn only(self, these: Events) -> Events {
        Events(self.0 & these.0)
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
    /// Whether it can be about others' mailboxes, too.
    fn is_for_others(&self) -> bool {
        !matches!(self, Filter::Personal)
    }

    /// Whether it may match something whose name begins with `prefix`, which ends with a separator.
    fn reaches(&self, prefix: &str, subscribed: &BTreeSet<MailboxName>) -> bool {
        let below = |name: &MailboxName| name.as_str().starts_with(prefix);
        let above = |name: &MailboxName| {
            let rest = prefix.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.starts_with(MailboxName::SEPARATOR))
        };
        match self {
            Filter::Personal => false,
            Filter::Subscribed => subscribed.iter().any(below),
            Filter::Mailboxes(names) => names.iter().any(below),
            Filter::SubtreeOne(names) | Filter::Subtree(names) => {
                names.iter().any(|name| below(name) || above(name))
            }
        }
    }

    /// Whether it names this mailbox itself.
    pub(crate) fn names(&self, name: &MailboxName) -> bool {
        match self {
            Filter::Personal | Filter::Subscribed => false,
            Filter::Mailboxes(names) | Filter::SubtreeOne(names) | Filter::Subtree(names) => {
                names.contains(name)
            }
        }
    }

    /// `subscribed`: what the user is subscribed to.
    pub(crate) fn matches(&self, name: &MailboxName, subscribed: &BTreeSet<MailboxName>) -> bool {
        match self {
            Filter::Personal => true,
            Filter::Subscribed => subscribed.contains(name),
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

/// What is asked of mailboxes that are not the selected one, and what this client did itself: it needs no
/// event for that (RFC 5465 §5).
#[derive(Debug, Default)]
struct Asked {
    groups: Vec<Group>,
    /// What the names of others' mailboxes begin with: they are not personal.
    namespaces: Vec<String>,
    /// The mailboxes that are on other servers, with all below them: as LIST does not show them, nothing is
    /// told of them (RFC 2193 §3).
    elsewhere: Vec<MailboxName>,
    /// UIDs that this client made itself since it was last told: UIDVALIDITY, first, last.
    own_uids: Vec<(u32, u32, u32)>,
    /// Names that this client's own command is about.
    own_names: Vec<MailboxName>,
    /// This client's own command changes annotations of the server.
    own_server: bool,
}

impl Asked {
    fn wants_messages(&self) -> bool {
        self.groups
            .iter()
            .any(|group| group.events.has(MESSAGE_NEW))
    }

    /// All that is asked of a mailbox; groups add up.
    fn events(&self, name: &MailboxName, subscribed: &BTreeSet<MailboxName>) -> Events {
        if self
            .elsewhere
            .iter()
            .any(|there| name == there || name.is_below(there))
        {
            return Events::NONE;
        }
        let is_of = |namespace: &String| name.as_str().starts_with(namespace.as_str());
        let is_personal = !self.namespaces.iter().any(is_of);
        let groups = self.groups.iter();
        groups
            .filter(|group| is_personal || group.filter.is_for_others())
            .filter(|group| group.filter.matches(name, subscribed))
            .fold(Events::NONE, |all, group| all.and(group.events))
    }

    /// Whether something below this prefix may be asked for.
    fn reaches(&self, prefix: &str, subscribed: &BTreeSet<MailboxName>) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| group.filter.reaches(prefix, subscribed))
    }

    /// Whether this client's own command is about a name or something below it.
    fn is_own(&self, name: &MailboxName) -> bool {
        let mut names = self.own_names.iter();
        names.any(|own| own == name || own.is_below(name))
    }

    /// Those of `uids` that others made; `uids` are of the mailbox with this UIDVALIDITY.
    fn of_others(&self, uid_validity: u32, uids: UidSet) -> UidSet {
        let own = self.own_uids.iter().filter(|own| own.0 == uid_validity);
        let own = own.filter_map(|own| Some((Uid::new(own.1)?, Uid::new(own.2)?)));
        uids.difference(&UidSet::from_unsorted(own))
    }
}

/// What is in force after a NOTIFY command.
#[derive(Debug)]
pub(crate) struct Notify {
    /// There was no NOTIFY, only ENABLE METADATA: the selected mailbox is told as always.
    metadata_only: bool,
    selected: SelectedEvents,
    asked: Asked,
    /// The user's own account first; none if nothing is asked of other mailboxes than the selected one.
    watches: Vec<Watch>,
    /// Who is not watched yet may begin to share something (RFC 5465 §5.9); none if only the user's own
    /// mailboxes are asked for.
    sharing: Option<Receiver<()>>,
    /// This client's own command expunges.
    expunging: bool,
}

impl Notify {
    /// `NOTIFY NONE`.
    pub(crate) fn none() -> Notify {
        Notify {
            metadata_only: false,
            selected: SelectedEvents::none(),
            asked: Asked::default(),
            watches: Vec::new(),
            sharing: None,
            expunging: false,
        }
    }

    /// `NOTIFY SET`. None: there are more than the limits' mailboxes to watch.
    pub(crate) async fn set(
        env: &Env,
        login: &Login,
        selected: SelectedEvents,
        groups: Vec<Group>,
    ) -> Result<Option<Notify>, Failure> {
        let asked = Asked {
            groups,
            namespaces: env.sharing.namespaces().collect(),
            elsewhere: referral::mailboxes(&env.mailbox_referrals, &login.name)
                .cloned()
                .collect(),
            ..Asked::default()
        };
        let mut watches = Vec::new();
        // Before it is looked: who begins to share meanwhile wakes this session.
        let is_for_others = asked
            .groups
            .iter()
            .any(|group| group.filter.is_for_others());
        let sharing = (is_for_others && env.sharing.is_on()).then(|| env.mail.watch_sharing());
        if !asked.groups.is_empty() {
            watches.push(Watch::own(&login.account).await?);
            let subscribed = watches[0].view.tree.subscribed.clone();
            let reaches = |namespace: &str| asked.reaches(&format!("{namespace}/"), &subscribed);
            for other in place::foreign(env, login, reaches).await? {
                if asked.reaches(other.prefix(), &subscribed) {
                    watches.push(Watch::of_other(&other));
                }
            }
            for watch in &mut watches {
                watch.begin(&asked, login, &subscribed).await?;
            }
        }
        let notify = Notify {
            selected,
            asked,
            watches,
            sharing,
            ..Notify::none()
        };
        Ok((!notify.is_too_much(env)).then_some(notify))
    }

    fn is_too_much(&self, env: &Env) -> bool {
        let watched: usize = self.watches.iter().map(Watch::watched).sum();
        watched > env.limits.notify_mailboxes_max
    }

    /// What ENABLE METADATA turns on (RFC 5464 §4.4): annotations that others change are told at the end
    /// of commands and in IDLE, and all else as without NOTIFY. `mailboxes`: not the server's alone.
    pub(crate) async fn metadata(
        env: &Env,
        login: &Login,
        mailboxes: bool,
    ) -> Result<Notify, Failure> {
        let mut events = Events::of(EventName::ServerMetadataChange);
        if mailboxes {
            events = events.and(Events::of(EventName::MailboxMetadataChange));
        }
        let others = env.sharing.namespaces().filter_map(|prefix| {
            MailboxName::new(prefix.trim_end_matches(MailboxName::SEPARATOR)).ok()
        });
        let filters = [Filter::Personal, Filter::Subtree(others.collect())];
        let groups = filters.map(|filter| Group { filter, events }).into();
        let notify = Notify::set(env, login, SelectedEvents::none(), groups).await?;
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

    /// Notes what a reply tells of messages that this client made: it needs no event for them
    /// (RFC 5465 §5).
    pub(crate) fn note_own(&mut self, code: &Code) {
        let (uid_validity, uids) = match code {
            Code::AppendUid { uid_validity, uids } => (uid_validity, uids),
            Code::CopyUid(copy) => (&copy.uid_validity, &copy.destination),
            _ => return,
        };
        let ranges = uids.ranges.iter().filter_map(|range| range.numbers());
        self.asked
            .own_uids
            .extend(ranges.map(|(a, b)| (uid_validity.get(), a.get(), b.get())));
    }

    /// Notes an APPEND, or a REPLACE, which expunges.
    pub(crate) fn note_append(&mut self, replaces: bool) {
        self.asked.own_names.clear();
        self.asked.own_server = false;
        self.expunging = replaces;
    }

    /// Notes what a command of this client is about to change.
    pub(crate) fn note_command(&mut self, body: &CommandBody) {
        let asked = &mut self.asked;
        asked.own_names.clear();
        let server = |name: &restante_proto::types::MailboxName| name.as_str().is_empty();
        asked.own_server =
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
        asked
            .own_names
            .extend(names.filter_map(|name| MailboxName::new(name.as_str()).ok()));
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
        let range = self.asked.of_others(snapshot.uid_validity().get(), range);
        Some((range, attributes.clone()))
    }

    /// Waits until there is something to tell of other mailboxes than the selected one. Cancel safe.
    pub(crate) async fn changed(&mut self, selected: Option<(AccountId, MailboxId)>) {
        let Notify {
            asked,
            watches,
            sharing,
            ..
        } = self;
        loop {
            let event = async {
                match watches.as_mut_slice() {
                    [] => std::future::pending().await,
                    [own] => (0, own.event().await),
                    all => any_event(all).await,
                }
            };
            let (at, event) = tokio::select! {
                event = event => event,
                () = began(sharing.as_mut()) => return,
            };
            if matches!(event, Err(RecvError::Closed)) {
                return std::future::pending().await;
            }
            if watches[at].note(asked, event, selected) {
                return;
            }
        }
    }

    /// The STATUS of every mailbox that is watched for messages (RFC 5465 §3.1), but for the selected
    /// one.
    pub(crate) async fn tell_status(&self, cx: &mut Cx, state: &State) -> Result<(), Failure> {
        let selected = state.selected_id();
        for watch in &self.watches {
            watch.tell_status(cx, &self.asked, selected).await?;
        }
        Ok(())
    }

    /// LIST of what was asked for and may not be read (RFC 5465 §3.1).
    pub(crate) async fn tell_unreadable(&mut self, cx: &mut Cx) -> Result<(), Failure> {
        let mut changed = ChangedNames::default();
        for watch in &mut self.watches {
            watch.tell_unreadable(&self.asked, &mut changed);
        }
        self.tell_names(cx, &changed).await
    }

    async fn tell_names(&self, cx: &mut Cx, changed: &ChangedNames) -> Result<(), Failure> {
        let Some((own, others)) = self.watches.split_first() else {
            return Ok(());
        };
        let others = others.iter().map(|watch| watch.view.tree.clone());
        let others: Vec<Arc<Tree>> = others.collect();
        cmd::list::tell_names(cx, &own.view.tree, &others, &self.asked.elsewhere, changed).await
    }

    async fn tell(&mut self, cx: &mut Cx, state: &State) -> Result<(), Failure> {
        if self.watches.is_empty() {
            return Ok(());
        }
        let login = state.login()?;
        for watch in &mut self.watches {
            watch.drain(&self.asked);
            watch.catch_up(&self.asked).await?;
        }
        self.tell_trees(cx, login).await?;
        let selected = state.selected_id();
        for watch in &mut self.watches {
            watch.tell_messages(cx, &self.asked, selected).await?;
        }
        Ok(())
    }

    /// Names, subscriptions and annotations (RFC 5465 §5.4 to §5.7), and who shares with this user.
    async fn tell_trees(&mut self, cx: &mut Cx, login: &Login) -> Result<(), Failure> {
        let mut changed = ChangedNames::default();
        let mut before = Vec::with_capacity(self.watches.len());
        let Notify { asked, watches, .. } = self;
        let subscribed = watches[0].view.tree.subscribed.clone();
        before.push(
            watches[0]
                .look(asked, login, &subscribed, &mut changed)
                .await?,
        );
        let subscribed = watches[0].view.tree.subscribed.clone();
        let resubscribed = match &before[0] {
            Some(old) => old.tree.subscribed != subscribed,
            None => false,
        };
        let mut namespaces = asked.namespaces.iter();
        let reaches_others = namespaces.any(|prefix| asked.reaches(prefix, &subscribed));
        if reaches_others || watches.len() > 1 {
            let others = place::foreign(&cx.env, login, |_| true).await?;
            for watch in &mut watches[1..] {
                let is_it = |other: &Foreign| Arc::ptr_eq(&other.account, &watch.account);
                let is_over = !others.iter().any(is_it);
                watch.tree_changed |= is_over != std::mem::replace(&mut watch.is_over, is_over);
                watch.tree_changed |= resubscribed;
            }
            for other in &others {
                let is_watched = |watch: &Watch| Arc::ptr_eq(&other.account, &watch.account);
                if asked.reaches(other.prefix(), &subscribed) && !watches.iter().any(is_watched) {
                    watches.push(Watch::of_other(other));
                }
            }
        }
        for watch in &mut watches[1..] {
            before.push(watch.look(asked, login, &subscribed, &mut changed).await?);
        }
        if !self.metadata_only {
            self.tell_names(cx, &changed).await?;
        }
        let looked = self.watches.iter().zip(&before);
        for (old, watch) in looked.filter_map(|(watch, old)| Some((old.as_ref()?, watch))) {
            for (mailbox, entries) in changed_metadata(old, &watch.view, &self.asked) {
                let mailbox = mailbox.map_or_else(
                    || restante_proto::types::MailboxName::new(""),
                    convert::wire_name,
                );
                cx.data(&UntaggedData::MetadataChanged { mailbox, entries });
            }
        }
        Ok(())
    }
}

/// Waits until somebody begins to share something. Cancel safe.
async fn began(sharing: Option<&mut Receiver<()>>) {
    let Some(sharing) = sharing else {
        return std::future::pending().await;
    };
    if sharing.changed().await.is_err() {
        std::future::pending().await
    }
}

/// The next event of any of these. Cancel safe, as a broadcast is.
async fn any_event(watches: &mut [Watch]) -> (usize, Result<AccountEvent, RecvError>) {
    let events = watches.iter_mut().map(|watch| Box::pin(watch.event()));
    let mut events: Vec<_> = events.collect();
    std::future::poll_fn(move |cx| {
        for (at, event) in events.iter_mut().enumerate() {
            if let Poll::Ready(event) = event.as_mut().poll(cx) {
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    })
    .await
}

/// MessageNew and MessageExpunge come together: one of them stands for both.
const MESSAGE_NEW: EventName = EventName::MessageNew;

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
    notify.asked.own_uids = Vec::new();
    notify.asked.own_names = Vec::new();
    notify.asked.own_server = false;
    notify.expunging = false;
    match told {
        Err(Failure::Mail(error)) => {
            if reply::is_ours(&error) {
                tracing::error!(peer = %cx.peer, %error, "NOTIFY cannot go on");
            }
            if notify.metadata_only {
                // It was no NOTIFY: it is tried again at the next sync point.
                for watch in &mut notify.watches {
                    watch.lagged = true;
                }
                cx.notify = Some(notify);
            } else {
                overflow(cx);
            }
            Ok(())
        }
        Ok(()) if notify.is_too_much(&cx.env) => {
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
