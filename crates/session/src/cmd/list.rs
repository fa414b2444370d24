//! LIST (RFC 9051 §6.3.9; RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 §6.3.9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use restante_mailbox::{
    Account, AccountId, Entry, MailError, MailboxId, MailboxName, Rights, Tail, Tree, Who,
};
use restante_proto::types::{
    ChildInfo, List, ListAttribute, ListEntry, ListExtended, ListPattern, ListSelect,
    MailboxName as WireName, SpecialUse, StatusItem, StatusValue, UntaggedData,
};

use super::list_match::Pattern;
use super::{acl, metadata, status};
use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::{self, Foreign};
use crate::referral;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Login, State};

/// More patterns than any client has use for.
const PATTERNS_MAX: usize = 256;

/// After so many names it is looked whether there is much to write.
const FLUSH_NAMES: usize = 64;
/// After so many names others get a turn: half a millisecond. A turn wakes another thread, which takes as long as
/// some ten names.
const YIELD_NAMES: usize = 512;

/// What LIST needs to know of a name: a mailbox, a parent of one, or a subscription.
#[derive(Debug, Default, Clone, Copy)]
struct Node<'t> {
    entry: Option<&'t Entry>,
    /// Whose it is and what may be done with it, if it is not the user's own.
    foreign: Option<(&'t Foreign, Rights)>,
    /// It is on another server.
    remote: bool,
    subscribed: bool,
    has_children: bool,
    /// A name below it is subscribed.
    subscribed_below: bool,
    /// A name below it is selected; the pattern does not match one of them.
    selected_below: bool,
    unlisted_below: bool,
}

/// The mailboxes that are on other servers, with all below them.
#[derive(Debug, Default)]
struct Elsewhere<'a> {
    names: Vec<&'a MailboxName>,
    /// They are listed, too (RFC 2193 §5).
    listed: bool,
}

impl<'a> Elsewhere<'a> {
    fn of(env: &'a Env, login: &'a Login, listed: bool) -> Elsewhere<'a> {
        Elsewhere {
            names: referral::mailboxes(&env.mailbox_referrals, &login.name).collect(),
            listed,
        }
    }

    fn has(&self, name: &MailboxName) -> bool {
        let mut names = self.names.iter();
        names.any(|remote| name == *remote || name.is_below(remote))
    }
}

/// Where the mailboxes of some accounts stand, in the order of their ids.
#[derive(Debug, Default)]
struct Tails(Vec<(AccountId, Vec<(MailboxId, Tail)>)>);

impl Tails {
    fn get(&self, account: AccountId, mailbox: MailboxId) -> Option<&Tail> {
        let (_, tails) = self.0.iter().find(|(id, _)| *id == account)?;
        let at = tails.binary_search_by_key(&mailbox, |(id, _)| *id).ok()?;
        Some(&tails[at].1)
    }
}

/// All names that can be listed, in order.
fn nodes<'t>(tree: &'t Tree, elsewhere: &Elsewhere<'_>) -> BTreeMap<MailboxName, Node<'t>> {
    let own = tree.mailboxes.iter();
    let own = own.filter(|(name, _)| !elsewhere.has(name));
    let node = |entry| Node {
        entry: Some(entry),
        ..Node::default()
    };
    // They are in order, so the map is built at once.
    let mut nodes: BTreeMap<_, _> = own
        .clone()
        .map(|(name, entry)| (name.clone(), node(entry)))
        .collect();
    for (name, _) in own {
        above(&mut nodes, name, |node| {
            !std::mem::replace(&mut node.has_children, true)
        });
    }
    let remote = elsewhere.names.iter().filter(|_| elsewhere.listed);
    for name in remote {
        nodes.entry((*name).clone()).or_default().remote = true;
        above(&mut nodes, name, |node| {
            !std::mem::replace(&mut node.has_children, true)
        });
    }
    for name in &tree.subscribed {
        let remote = elsewhere.has(name);
        if remote && !elsewhere.listed {
            continue;
        }
        let node = nodes.entry(name.clone()).or_default();
        (node.subscribed, node.remote) = (true, remote);
        above(&mut nodes, name, |node| {
            !std::mem::replace(&mut node.subscribed_below, true)
        });
    }
    nodes
}

/// Adds what this user can see of others' mailboxes. Their special uses are not this user's.
fn add_foreign<'t>(
    nodes: &mut BTreeMap<MailboxName, Node<'t>>,
    foreign: &'t Foreign,
    who: &'t Who,
    elsewhere: &Elsewhere<'_>,
) {
    for (name, entry, rights) in foreign.visible(who) {
        if elsewhere.has(&name) {
            continue;
        }
        above(nodes, &name, |node| {
            !std::mem::replace(&mut node.has_children, true)
        });
        let node = nodes.entry(name).or_default();
        node.entry = Some(entry);
        node.foreign = Some((foreign, rights));
    }
}

/// Visits the parents of a name as long as they have news.
fn above<'t>(
    nodes: &mut BTreeMap<MailboxName, Node<'t>>,
    name: &MailboxName,
    mut visit: impl FnMut(&mut Node<'t>) -> bool,
) {
    let mut parent = name.parent();
    while let Some(name) = parent {
        if !visit(nodes.entry(name.clone()).or_default()) {
            break;
        }
        parent = name.parent();
    }
}

impl<'t> Node<'t> {
    /// The mailbox, if it is one of the user's own.
    fn own_entry(&self) -> Option<&'t Entry> {
        self.entry.filter(|_| self.foreign.is_none())
    }

    /// Not one of another user's that may only be looked up (RFC 5819 §2; RFC 4314 §4).
    fn may_be_read(&self) -> bool {
        self.foreign
            .is_none_or(|(_, rights)| rights.contains(Rights::READ))
    }

    /// A mailbox, or the parent of one.
    fn is_listed(&self) -> bool {
        self.entry.is_some() || self.remote || self.has_children
    }

    fn attributes(&self, extended: bool, tell_subscribed: bool) -> Vec<ListAttribute> {
        let mut attributes = Vec::new();
        if self.remote {
            attributes.push(ListAttribute::Remote);
        } else if self.entry.is_none() {
            attributes.push(ListAttribute::NonExistent);
            if !extended {
                // What clients of before RFC 5258 know.
                attributes.push(ListAttribute::NoSelect);
            }
        } else if !self.may_be_read() {
            attributes.push(ListAttribute::NoSelect);
        }
        if tell_subscribed && self.subscribed {
            attributes.push(ListAttribute::Subscribed);
        }
        match self.has_children {
            true => attributes.push(ListAttribute::HasChildren),
            // Nobody here knows what is below it there.
            false if self.remote => {}
            false => attributes.push(ListAttribute::HasNoChildren),
        }
        let special_uses = self.own_entry().into_iter();
        let special_uses = special_uses.flat_map(|entry| entry.special_use.names());
        attributes.extend(
            special_uses
                .filter_map(SpecialUse::from_name)
                .map(ListAttribute::SpecialUse),
        );
        attributes
    }
}

/// The name of the responses to a LIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// LIST
    List,
    /// XLIST, with the attributes that Gmail had before RFC 6154.
    Xlist,
    /// LIST, to an RLIST.
    Rlist,
}

impl Answer {
    fn data(self, mut entry: ListEntry) -> UntaggedData {
        if self != Answer::Xlist {
            return UntaggedData::List(entry);
        }
        let mut old: Vec<&str> = Vec::new();
        if entry.mailbox.is_inbox() {
            old.push("\\Inbox");
        }
        for attribute in &entry.attributes {
            match attribute {
                ListAttribute::SpecialUse(SpecialUse::All) => old.push("\\AllMail"),
                ListAttribute::SpecialUse(SpecialUse::Flagged) => old.push("\\Starred"),
                ListAttribute::SpecialUse(SpecialUse::Junk) => old.push("\\Spam"),
                _ => {}
            }
        }
        let old = old.into_iter().filter_map(ListAttribute::new);
        entry.attributes.extend(old);
        UntaggedData::Xlist(entry)
    }

    /// Writes the response of a mailbox.
    fn write(
        self,
        cx: &mut Cx,
        attributes: Vec<ListAttribute>,
        mailbox: &WireName,
        extended: Vec<ListExtended>,
    ) {
        let separator = Some(MailboxName::SEPARATOR);
        if self != Answer::Xlist {
            // The most frequent one, without a copy of the name.
            return cx
                .writer()
                .list_line(&attributes, separator, mailbox, &extended);
        }
        cx.data(&self.data(ListEntry {
            attributes,
            separator,
            mailbox: mailbox.clone(),
            extended,
        }));
    }

    fn completed(self) -> Reply {
        Reply::ok(match self {
            Answer::List => "LIST completed",
            Answer::Xlist => "XLIST completed",
            Answer::Rlist => "RLIST completed",
        })
    }
}

/// XLIST: what clients of the time before RFC 6154 ask for special uses with. It is not advertised.
pub(crate) async fn xlist(
    cx: &mut Cx,
    state: &mut State,
    reference: String,
    pattern: ListPattern,
) -> Outcome {
    list(cx, state, plain(reference, pattern), Answer::Xlist).await
}

/// RLIST (RFC 2193 §5.1).
pub(crate) async fn rlist(
    cx: &mut Cx,
    state: &mut State,
    reference: String,
    pattern: ListPattern,
) -> Outcome {
    check_referrals(cx)?;
    list(cx, state, plain(reference, pattern), Answer::Rlist).await
}

/// A LIST of before RFC 5258.
fn plain(reference: String, pattern: ListPattern) -> List {
    List {
        reference,
        patterns: vec![pattern],
        ..List::default()
    }
}

/// RLSUB (RFC 2193 §5.2).
pub(crate) async fn rlsub(
    cx: &mut Cx,
    state: &mut State,
    reference: String,
    pattern: ListPattern,
) -> Outcome {
    check_referrals(cx)?;
    lsub(cx, state, reference, pattern, true).await
}

fn check_referrals(cx: &Cx) -> Result<(), Failure> {
    match cx.env.mailbox_referrals.is_empty() {
        true => Err(client_bug("MAILBOX-REFERRALS is not supported")),
        false => Ok(()),
    }
}

/// LIST.
pub(crate) async fn list(cx: &mut Cx, state: &mut State, args: List, answer: Answer) -> Outcome {
    let login = state.login()?.clone();
    let extended = args.is_extended() || cx.enabled.rev2();
    if !args.is_extended() && args.patterns.iter().all(|pattern| pattern.0.is_empty()) {
        // RFC 9051 §6.3.9: a request for the separator and the root of the reference.
        cx.data(&answer.data(ListEntry {
            attributes: vec![ListAttribute::NoSelect],
            separator: Some(MailboxName::SEPARATOR),
            mailbox: WireName::new(""),
            extended: Vec::new(),
        }));
        return Ok(answer.completed());
    }
    let select = args.select.unwrap_or_default();
    let returns = args.returns.unwrap_or_default();
    let patterns = match patterns(&args.reference, &args.patterns) {
        Some(patterns) => patterns,
        None => return Ok(too_many()),
    };
    if !returns.metadata.is_empty() {
        metadata::check_names(&returns.metadata)?;
    }
    let tree = login.account.tree().await?;
    let may_match = |prefix: &str| patterns.iter().any(|pattern| pattern.may_match_at(prefix));
    let others = place::foreign(&cx.env, &login, may_match).await?;
    let mut tails = Tails::default();
    if !returns.status.is_empty() {
        let accounts = others.iter().map(|other| &other.account);
        for account in std::iter::once(&login.account).chain(accounts) {
            tails.0.push((account.id(), account.tails().await?));
        }
    }
    if returns.status.contains(&StatusItem::HighestModSeq) {
        // RFC 7162 §3.1
        let selected = state.selected().ok().map(|(_, selected)| selected);
        cx.condstore_aware(selected);
    }
    let env = Arc::clone(&cx.env);
    let listed = select.remote || answer == Answer::Rlist;
    let elsewhere = Elsewhere::of(&env, &login, listed);
    let mut nodes = nodes(&tree, &elsewhere);
    for other in &others {
        add_foreign(&mut nodes, other, &login.who, &elsewhere);
    }
    let matches = |name: &MailboxName| {
        let mut patterns = patterns.iter();
        patterns.any(|pattern| pattern.matches(name.as_str()))
    };
    if select.recursive_match {
        let selected: Vec<(MailboxName, bool)> = nodes
            .iter()
            .filter(|(_, node)| own(&select, node))
            .map(|(name, _)| (name.clone(), !matches(name)))
            .collect();
        for (name, unlisted) in selected {
            above(&mut nodes, &name, |node| {
                let news = !node.selected_below || (unlisted && !node.unlisted_below);
                node.selected_below = true;
                node.unlisted_below |= unlisted;
                news
            });
        }
    }
    for (index, (name, node)) in nodes.iter().enumerate() {
        if index % FLUSH_NAMES == FLUSH_NAMES - 1 {
            cx.conn.flush_if_large().await?;
        }
        if index % YIELD_NAMES == YIELD_NAMES - 1 {
            tokio::task::yield_now().await;
        }
        if !matches(name) {
            continue;
        }
        if let Some(extended_items) = selects(&select, node) {
            let mailbox = convert::wire_name(name);
            let mut attributes = node.attributes(extended, select.subscribed || returns.subscribed);
            let mut status_values = None;
            if !returns.status.is_empty()
                && own(&select, node)
                && let Some(entry) = node.entry
                && node.may_be_read()
            {
                let account = node
                    .foreign
                    .map_or(&login.account, |(other, _)| &other.account);
                let (place, items) = ((account, entry.id), &returns.status);
                match status_of(cx, state, place, &tails, items).await {
                    Ok(values) => status_values = Some(values),
                    // It went away after the names were read.
                    Err(Failure::Mail(MailError::NoSuchMailbox)) => {
                        attributes.push(ListAttribute::NoSelect);
                    }
                    // It can be selected all the same, perhaps in a moment.
                    Err(Failure::Mail(error)) => {
                        tracing::warn!(peer = %cx.peer, %error, "no status of a mailbox that is listed");
                    }
                    Err(failure) => return Err(failure),
                }
            }
            answer.write(cx, attributes, &mailbox, extended_items);
            if !own(&select, node) {
                // Listed for what is below it only (RFC 5819 §2, RFC 9590 §4).
                continue;
            }
            if let (true, Some(_)) = (returns.my_rights, node.entry) {
                let rights = node.foreign.map_or(Rights::ALL, |(_, rights)| rights);
                acl::tell(cx, mailbox.clone(), rights);
            }
            let readable = node
                .foreign
                .is_none_or(|(_, rights)| metadata::may_read(rights));
            if let (false, Some(entry), true) = (returns.metadata.is_empty(), node.entry, readable)
            {
                let (tree, own) = match node.foreign {
                    None => (&tree, true),
                    Some((other, _)) => (&other.tree, false),
                };
                metadata::tell_listed(cx, tree, own, (name, entry.id), &returns.metadata)?;
            }
            if let Some(values) = status_values {
                cx.writer().status(&mailbox, &values);
            }
        }
    }
    Ok(answer.completed())
}

/// What STATUS tells of a mailbox that is listed. Where it cannot be had, the others are listed all the same
/// (RFC 5819 §2).
async fn status_of(
    cx: &mut Cx,
    state: &mut State,
    (account, id): (&Arc<Account>, MailboxId),
    tails: &Tails,
    items: &[StatusItem],
) -> Result<Vec<StatusValue>, Failure> {
    let tail = tails.get(account.id(), id);
    let tail = tail.ok_or(MailError::NoSuchMailbox)?;
    status::values(cx, state, (account, id), tail, items).await
}

/// Whether a name that matches the pattern is selected, and with which CHILDINFO: RFC 9051 §6.3.9.6,
/// table 3. A name that is not selected for itself is told only where what is below it is not told too.
fn selects(select: &ListSelect, node: &Node<'_>) -> Option<Vec<ListExtended>> {
    let own = own(select, node);
    let mut below = Vec::new();
    if node.selected_below {
        if select.subscribed {
            below.push(ChildInfo::Subscribed);
        }
        if select.special_use {
            below.push(ChildInfo::SpecialUse);
        }
    }
    match (own, below.is_empty()) {
        (false, _) if !node.unlisted_below => None,
        (false, true) => None,
        (true, true) => Some(Vec::new()),
        (_, false) => Some(vec![ListExtended::ChildInfo(below)]),
    }
}

/// Whether a name is selected for itself, not for what is below it.
fn own(select: &ListSelect, node: &Node<'_>) -> bool {
    let special = |entry: &Entry| !entry.special_use.is_empty();
    (!select.subscribed || node.subscribed)
        && (!select.special_use || node.own_entry().is_some_and(special))
        && (select.subscribed || node.is_listed())
}

/// LIST responses that no command asked for.
#[derive(Debug, Default)]
pub(crate) struct ChangedNames {
    /// What has become of these names, each with the one it had before if it was renamed (RFC 5465 §5.4, §5.5).
    pub(crate) names: BTreeMap<MailboxName, Option<MailboxName>>,
    /// Those of them that may not be read, or not any more (RFC 5465 §3.1, §5.9).
    pub(crate) no_access: BTreeSet<MailboxName>,
}

/// Tells them. `others`: what is seen of others' mailboxes, by the names that this user has for them.
/// `elsewhere`: what is on other servers, and not listed.
pub(crate) async fn tell_names(
    cx: &mut Cx,
    own: &Tree,
    others: &[Arc<Tree>],
    elsewhere: &[MailboxName],
    changed: &ChangedNames,
) -> Result<(), crate::reply::Failure> {
    if changed.names.is_empty() {
        return Ok(());
    }
    let elsewhere = Elsewhere {
        names: elsewhere.iter().collect(),
        listed: false,
    };
    let mut nodes = nodes(own, &elsewhere);
    let others = others.iter().flat_map(|tree| &tree.mailboxes);
    for (name, entry) in others.filter(|(name, _)| !elsewhere.has(name)) {
        above(&mut nodes, name, |node| {
            !std::mem::replace(&mut node.has_children, true)
        });
        nodes.entry(name.clone()).or_default().entry = Some(entry);
    }
    for (index, (name, was)) in changed.names.iter().enumerate() {
        let node = nodes.get(name).copied().unwrap_or_default();
        let was = was.iter().map(convert::wire_name);
        let mut attributes = node.attributes(true, true);
        if changed.no_access.contains(name) {
            // That there is none would not be true.
            attributes.retain(|attribute| *attribute != ListAttribute::NonExistent);
            attributes.insert(0, ListAttribute::NoAccess);
        }
        cx.data(&UntaggedData::List(ListEntry {
            attributes,
            separator: Some(MailboxName::SEPARATOR),
            mailbox: convert::wire_name(name),
            extended: was.map(ListExtended::OldName).collect(),
        }));
        if index % 64 == 63 {
            cx.conn.flush_if_large().await?;
        }
    }
    Ok(())
}

/// LSUB: the subscribed names; with `%` also their parents, as `\Noselect` (RFC 3501 §6.3.9). `remote`: those
/// on other servers, too.
pub(crate) async fn lsub(
    cx: &mut Cx,
    state: &mut State,
    reference: String,
    pattern: ListPattern,
    remote: bool,
) -> Outcome {
    let login = state.login()?.clone();
    if pattern.0.is_empty() {
        let root = WireName::new("");
        cx.writer().lsub_line(
            &[ListAttribute::NoSelect],
            Some(MailboxName::SEPARATOR),
            &root,
        );
        return Ok(Reply::ok("LSUB completed"));
    }
    let tree = login.account.tree().await?;
    let levels = pattern.0.contains('%');
    let pattern = Pattern::new(&reference, &pattern.0);
    let others = place::foreign(&cx.env, &login, |prefix| pattern.may_match_at(prefix)).await?;
    let env = Arc::clone(&cx.env);
    let elsewhere = Elsewhere::of(&env, &login, remote);
    let mut nodes = nodes(&tree, &elsewhere);
    for other in &others {
        add_foreign(&mut nodes, other, &login.who, &elsewhere);
    }
    for (name, node) in &nodes {
        let parent = levels && node.subscribed_below && !node.subscribed;
        if (node.subscribed || parent) && pattern.matches(name.as_str()) {
            let attributes: &[ListAttribute] =
                match parent || (node.entry.is_none() && !node.remote) {
                    true => &[ListAttribute::NoSelect],
                    false => &[],
                };
            let name = convert::wire_name(name);
            cx.writer()
                .lsub_line(attributes, Some(MailboxName::SEPARATOR), &name);
        }
    }
    Ok(Reply::ok(match remote {
        true => "RLSUB completed",
        false => "LSUB completed",
    }))
}

/// They are prepared; those that are empty match nothing, whatever the reference is (RFC 5258 §3).
fn patterns(reference: &str, patterns: &[ListPattern]) -> Option<Vec<Pattern>> {
    if patterns.len() > PATTERNS_MAX {
        return None;
    }
    Some(
        patterns
            .iter()
            .filter(|pattern| !pattern.0.is_empty())
            .map(|pattern| Pattern::new(reference, &pattern.0))
            .collect(),
    )
}

fn too_many() -> Reply {
    Reply::no("Too many patterns").code(restante_proto::types::Code::Limit)
}
