//! Results of SEARCH and SORT that are kept up to date (UPDATE and CANCELUPDATE, RFC 5267 §4.3).
//!
//! What the sync point shows of the mailbox may change a result: the messages that are new or have
//! changed are searched again, and no others. A result is a set of UIDs, or a list where it is sorted.
//! Expunges leave a result when the client is told of them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use restante_mailbox::{Uid, UidSet};
use restante_proto::types::{
    self as wire, Code, EsearchCorrelator, FetchAttribute, SearchKey, SetEnd, SetRange,
    SortCriterion, SortKey, Tag,
};

use super::comparator::Comparator;
use super::search_program::Program;
use super::{fetch_told, filters, search_run, sort};
use crate::cx::Cx;
use crate::notify::Notify;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Login, Selected, State};
use crate::view::Changes;

/// The results of one session that are kept up to date.
#[derive(Debug)]
pub(crate) struct Updates {
    login: Login,
    list: Vec<Update>,
    /// What may have to be searched again.
    touched: UidSet,
    /// Those of them that are new.
    appended: UidSet,
    /// The last message, as it was: `*` may mean another one now.
    last: Option<Uid>,
    /// What is to be fetched of messages that came into a result (RFC 5465 §7).
    wanted: Vec<(UidSet, Arc<[FetchAttribute]>)>,
    /// What was fetched of them already: NOTIFY need not.
    fetched: UidSet,
}

/// A result that is kept up to date.
#[derive(Debug)]
struct Update {
    correlator: EsearchCorrelator,
    uid: bool,
    charset: Option<String>,
    /// Numbers and `$` are UIDs (RFC 5267 §4.3), filters are what they were.
    key: SearchKey,
    has_star: bool,
    /// The seconds of OLDER and YOUNGER: the result changes as time passes.
    intervals: Vec<u32>,
    /// By which clock the result is what it is.
    now_s: i64,
    result: UidSet,
    sorted: Option<Sorted>,
    fetch: Arc<[FetchAttribute]>,
    comparator: Comparator,
}

#[derive(Debug)]
struct Sorted {
    criteria: Vec<SortCriterion>,
    /// The result in its order.
    uids: Vec<Uid>,
}

/// What a command asks to be kept up to date.
pub(super) struct Request {
    pub(super) correlator: EsearchCorrelator,
    /// The command was a UID command.
    pub(super) uid: bool,
    pub(super) charset: Option<String>,
    pub(super) key: SearchKey,
    /// What is sorted by, and the result in this order.
    pub(super) sorted: Option<(Vec<SortCriterion>, Vec<Uid>)>,
    /// What to fetch of new messages.
    pub(super) fetch: Vec<FetchAttribute>,
    /// By which clock the result was found.
    pub(super) now_s: i64,
}

impl Updates {
    /// Notes what the client has been shown.
    pub(crate) fn touch(&mut self, changes: &Changes) {
        self.touched = self.touched.union(&changes.changed);
        self.touched = self.touched.union(&changes.appended);
        self.appended = self.appended.union(&changes.appended);
    }

    /// The new messages of which something was fetched since this was last asked.
    pub(crate) fn take_fetched(&mut self) -> UidSet {
        std::mem::take(&mut self.fetched)
    }

    /// How many numbers are kept.
    fn size(&self) -> usize {
        self.list.iter().map(Update::size).sum()
    }
}

impl Update {
    fn size(&self) -> usize {
        let sorted = self.sorted.as_ref().map_or(0, |sorted| sorted.uids.len());
        key_size(&self.key) + self.result.range_count() + sorted
    }

    fn tag(&self) -> Option<&Tag> {
        self.correlator.tag.as_ref()
    }
}

/// CANCELUPDATE (RFC 5267 §4.3.5). What there is no update for needs no end.
pub(super) fn cancel(cx: &Cx, state: &mut State, tags: &[Vec<u8>]) -> Outcome {
    if cx.hides("CONTEXT=SEARCH") && cx.hides("CONTEXT=SORT") {
        return Err(client_bug("CANCELUPDATE is not supported"));
    }
    let (_, selected) = state.selected()?;
    if let Some(updates) = &mut selected.updates {
        updates.list.retain(|update| {
            let tag = update.tag().map(|tag| tag.as_str().as_bytes());
            !tags.iter().any(|named| Some(&named[..]) == tag)
        });
        if updates.list.is_empty() {
            selected.updates = None;
        }
    }
    Ok(Reply::ok("CANCELUPDATE completed"))
}

/// Refuses a tag that names a result already (RFC 5267 §4.3).
pub(super) fn check_tag(selected: &Selected, tag: &Tag) -> Result<(), Failure> {
    let mut list = selected.updates.iter().flat_map(|updates| &updates.list);
    match list.any(|update| update.tag() == Some(tag)) {
        true => Err(client_bug("A search with this tag is kept up to date")),
        false => Ok(()),
    }
}

/// Keeps a result up to date from now on, or tells that it is not (RFC 5267 §4.3.1).
pub(super) async fn keep(
    cx: &mut Cx,
    login: &Login,
    selected: &mut Selected,
    request: Request,
    result: UidSet,
) -> Result<(), Failure> {
    let key = filters::expand(cx, login, request.charset.as_deref(), request.key).await?;
    let key = without_numbers(selected, key).await?;
    let mut intervals = Vec::new();
    put_intervals(&key, &mut intervals);
    intervals.sort_unstable();
    intervals.dedup();
    let update = Update {
        intervals,
        now_s: request.now_s,
        has_star: has_star(&key),
        correlator: request.correlator,
        uid: request.uid,
        charset: request.charset,
        key,
        result,
        sorted: request
            .sorted
            .map(|(criteria, uids)| Sorted { criteria, uids }),
        fetch: request.fetch.into(),
        comparator: cx.comparator,
    };
    let limits = &cx.env.limits;
    // One is granted always (RFC 5267 §4.3.1).
    let too_many = selected.updates.as_ref().is_some_and(|updates| {
        updates.list.len() >= limits.contexts_max
            || updates.size() + update.size() > limits.context_numbers_max
    });
    // Where a message belongs among others by relevance is not known without looking into them all.
    let by_relevance = update.sorted.as_ref().is_some_and(|sorted| {
        let mut criteria = sorted.criteria.iter();
        criteria.any(|by| by.key == SortKey::Relevancy)
    });
    if too_many || by_relevance {
        let text = match by_relevance {
            true => "What is sorted by relevance is not kept up to date",
            false => "Too many results to keep up to date",
        };
        end(cx, &update, text);
        return Ok(());
    }
    let last = selected.view.last_uid().await?;
    let updates = selected.updates.get_or_insert_with(|| {
        Box::new(Updates {
            login: login.clone(),
            list: Vec::new(),
            touched: UidSet::new(),
            appended: UidSet::new(),
            last,
            wanted: Vec::new(),
            fetched: UidSet::new(),
        })
    });
    updates.list.push(update);
    Ok(())
}

/// NOUPDATE: this result is not kept up to date, or no longer.
pub(super) fn refuse(cx: &mut Cx, tag: &Tag, text: &'static str) {
    let tag = tag.as_str().as_bytes().to_vec();
    cx.status(None, &Reply::no(text).code(Code::NoUpdate(tag)));
}

fn end(cx: &mut Cx, update: &Update, text: &'static str) {
    if let Some(tag) = update.tag() {
        refuse(cx, tag, text);
    }
}

/// Tells that messages leave results because they are expunged: before the client is told so, as the
/// numbers are those of before (RFC 5267 §4.3.4).
pub(crate) async fn tell_gone(
    cx: &mut Cx,
    selected: &mut Selected,
    changes: &Changes,
) -> Result<(), Failure> {
    let Some(updates) = &mut selected.updates else {
        return Ok(());
    };
    end_numbers(cx, updates);
    updates.touched = updates.touched.difference(&changes.expunged);
    updates.appended = updates.appended.difference(&changes.expunged);
    // Each is counted after those before it are gone.
    let numbers = changes.expunged_numbers.iter().zip(0u32..);
    let before = numbers.map(|(number, gone)| number + gone);
    let before: Vec<(Uid, u32)> = changes.expunged.iter().zip(before).collect();
    let number = |uid: Uid| {
        let at = before.binary_search_by_key(&uid, |(uid, _)| *uid);
        at.map_or(0, |at| before[at].1)
    };
    for update in &mut updates.list {
        let gone = update.result.intersect(&changes.expunged);
        if gone.is_empty() {
            continue;
        }
        update.result = update.result.difference(&gone);
        let gone = Moves::out_of(update.sorted.as_mut(), gone);
        tell(cx, update, &[(false, gone)], &number);
        cx.conn.flush_if_large().await?;
    }
    Ok(())
}

/// Tells how results have changed by what the client has been shown.
pub(crate) async fn tell_changed(cx: &mut Cx, selected: &mut Selected) -> Result<(), Failure> {
    let Some(mut updates) = selected.updates.take() else {
        return Ok(());
    };
    end_numbers(cx, &mut updates);
    let touched = std::mem::take(&mut updates.touched);
    let appended = std::mem::take(&mut updates.appended);
    let last = selected.view.last_uid().await?;
    let before = std::mem::replace(&mut updates.last, last);
    // What `*` meant and what it means now.
    let ends: UidSet = match before == last {
        true => UidSet::new(),
        false => before.into_iter().chain(last).collect(),
    };
    for mut update in std::mem::take(&mut updates.list) {
        let mut again = match update.has_star {
            true => touched.union(&ends),
            false => touched.clone(),
        };
        let login = &updates.login;
        let renewed = match aged(cx, login, selected, &mut update).await {
            Ok(aged) => {
                again = again.union(&aged);
                renew(cx, login, selected, &mut update, again).await
            }
            Err(failure) => Err(failure),
        };
        match renewed {
            Ok(new) => {
                let new = new.intersect(&appended);
                if !new.is_empty() && !update.fetch.is_empty() {
                    updates.wanted.push((new, update.fetch.clone()));
                }
                updates.list.push(update);
            }
            Err(Failure::Io(error)) => return Err(Failure::Io(error)),
            Err(failure) => {
                tracing::error!(peer = %cx.peer, ?failure, "a result cannot be kept up to date");
                end(cx, &update, "The search cannot be done again");
            }
        }
    }
    if !updates.list.is_empty() || !updates.wanted.is_empty() {
        selected.updates = Some(updates);
    }
    Ok(())
}

/// After ENABLE UIDONLY there are no numbers (RFC 9586 §3).
fn end_numbers(cx: &mut Cx, updates: &mut Updates) {
    if cx.enabled.uid_only() {
        updates.list.retain(|update| {
            if !update.uid {
                end(cx, update, "There are no message numbers any more");
            }
            update.uid
        });
    }
}

/// The messages that have become old enough for OLDER, or too old for YOUNGER, since the result was last looked at
/// (RFC 5032 §2).
async fn aged(
    cx: &mut Cx,
    login: &Login,
    selected: &mut Selected,
    update: &mut Update,
) -> Result<UidSet, Failure> {
    let now_s = login.account.now_ms().div_euclid(1000);
    if update.intervals.is_empty() || now_s <= update.now_s {
        return Ok(UidSet::new());
    }
    // The search has a clock of its own, which may be ahead of this one.
    let passed = u32::try_from(now_s - update.now_s + 2).unwrap_or(u32::MAX);
    update.now_s = now_s;
    let keys = update.intervals.iter().filter_map(|&seconds| {
        Some(SearchKey::And(vec![
            SearchKey::Older(NonZeroU32::new(seconds)?),
            SearchKey::Younger(NonZeroU32::new(seconds.saturating_add(passed))?),
        ]))
    });
    let key = SearchKey::Or(keys.collect());
    let program = Program::new(cx, login, selected, None, key).await?;
    search_run::find(cx, selected, &program, false).await
}

/// Searches some messages again, and tells what that changes. Gives those that came into the result.
async fn renew(
    cx: &mut Cx,
    login: &Login,
    selected: &mut Selected,
    update: &mut Update,
    again: UidSet,
) -> Result<UidSet, Failure> {
    if again.is_empty() {
        return Ok(UidSet::new());
    }
    let charset = update.charset.as_deref();
    let comparator = std::mem::replace(&mut cx.comparator, update.comparator);
    let program = Program::new(cx, login, selected, charset, update.key.clone()).await;
    cx.comparator = comparator;
    let mut program = program?;
    program.only_among(again.clone());
    let found = search_run::find(cx, selected, &program, false).await?;
    let before = update.result.intersect(&again);
    let (gone, new) = (before.difference(&found), found.difference(&before));
    if gone.is_empty() && new.is_empty() {
        return Ok(new);
    }
    update.result = update.result.difference(&gone).union(&new);
    let removed = Moves::out_of(update.sorted.as_mut(), gone.clone());
    if let Some(sorted) = &mut update.sorted {
        let comparator = update.comparator;
        put_in(selected, sorted, comparator, &new, &update.result).await?;
    }
    let added = Moves::into(update.sorted.as_ref(), new.clone());
    let rows = selected.view.rows(&gone.union(&new)).await?;
    let number = |uid| rows.number(uid);
    tell(cx, update, &[(false, removed), (true, added)], &number);
    cx.conn.flush_if_large().await?;
    Ok(new)
}

/// Puts new messages where they belong in a sorted result.
async fn put_in(
    selected: &Selected,
    sorted: &mut Sorted,
    by: Comparator,
    new: &UidSet,
    result: &UidSet,
) -> Result<(), Failure> {
    let Sorted { criteria, uids } = sorted;
    // Each is compared with the logarithm of what is there, by reading both. Reading all may be less.
    let steps = u64::from(u64::BITS - result.len().leading_zeros());
    if 2 * new.len() * steps > result.len() {
        *uids = sort::sorted(selected, criteria, by, result).await?;
        return Ok(());
    }
    for uid in new.iter() {
        let (mut from, mut to) = (0, uids.len());
        while from < to {
            let middle = from + (to - from) / 2;
            let pair = [uid, uids[middle]].into_iter().collect();
            let order = sort::sorted(selected, criteria, by, &pair).await?;
            match order.first() == Some(&uid) {
                true => to = middle,
                false => from = middle + 1,
            }
        }
        uids.insert(from, uid);
    }
    Ok(())
}

/// Messages that come or go: a position in the result and those that stand there, in its order.
struct Moves(Vec<(u32, Vec<Uid>)>);

impl Moves {
    /// What to tell of messages that leave; takes them out of the list. Each position is counted after
    /// those before it are gone.
    fn out_of(sorted: Option<&mut Sorted>, gone: UidSet) -> Moves {
        let Some(sorted) = sorted else {
            return Moves::anywhere(gone);
        };
        let mut removed = 0;
        let mut moves = Moves::runs(&sorted.uids, &gone);
        for (position, uids) in &mut moves.0 {
            *position -= removed;
            removed += uids.len() as u32;
        }
        sorted.uids.retain(|uid| !gone.contains(*uid));
        moves
    }

    /// What to tell of messages that have come, and are in the list already.
    fn into(sorted: Option<&Sorted>, new: UidSet) -> Moves {
        match sorted {
            Some(sorted) => Moves::runs(&sorted.uids, &new),
            None => Moves::anywhere(new),
        }
    }

    /// Position 0: where the order of the mailbox puts them (RFC 5267 §4.3.3).
    fn anywhere(uids: UidSet) -> Moves {
        Moves(match uids.is_empty() {
            true => Vec::new(),
            false => vec![(0, uids.iter().collect())],
        })
    }

    fn runs(list: &[Uid], moving: &UidSet) -> Moves {
        let mut runs: Vec<(u32, Vec<Uid>)> = Vec::new();
        let moving = (1u32..).zip(list).filter(|(_, uid)| moving.contains(**uid));
        let mut next = 0;
        for (position, uid) in moving {
            match runs.last_mut() {
                Some((_, run)) if next == position => run.push(*uid),
                _ => runs.push((position, vec![*uid])),
            }
            next = position + 1;
        }
        Moves(runs)
    }
}

/// The ESEARCH response of a change.
fn tell(cx: &mut Cx, update: &Update, moves: &[(bool, Moves)], number: &dyn Fn(Uid) -> u32) {
    if moves.iter().all(|(_, moves)| moves.0.is_empty()) {
        return;
    }
    let mut writer = cx.writer();
    let mut answer = writer.esearch(&update.correlator, update.uid);
    for (add, moves) in moves {
        for (position, uids) in &moves.0 {
            let ids = uids.iter().map(|uid| match update.uid {
                true => uid.get(),
                false => number(*uid),
            });
            answer.change(*add, *position, ids.filter_map(NonZeroU32::new));
        }
    }
    answer.end();
}

/// Fetches what UPDATE wants of new messages that came into a result, together with what NOTIFY wants
/// of them: after ADDTO (RFC 5465 §5.2).
pub(crate) async fn fetch(cx: &mut Cx, state: &mut State) -> Result<(), Failure> {
    let Ok((_, selected)) = state.selected() else {
        return Ok(());
    };
    let wanted = match &mut selected.updates {
        Some(updates) => std::mem::take(&mut updates.wanted),
        None => return Ok(()),
    };
    if wanted.is_empty() {
        return Ok(());
    }
    let (notified, told) = cx
        .notify
        .as_deref()
        .and_then(|notify: &Notify| notify.fetch_of_new(selected))
        .unwrap_or_default();
    let all = wanted
        .iter()
        .fold(UidSet::new(), |all, (uids, _)| all.union(uids));
    // By what is fetched of them.
    let mut groups: BTreeMap<(bool, Vec<usize>), Vec<Uid>> = BTreeMap::new();
    for uid in all.iter() {
        let by = (0..wanted.len()).filter(|at| wanted[*at].0.contains(uid));
        let group = (notified.contains(uid), by.collect());
        groups.entry(group).or_default().push(uid);
    }
    if let Some(updates) = &mut selected.updates {
        updates.fetched = updates.fetched.union(&all);
    }
    for ((with_told, by), uids) in groups {
        let mut attributes: Vec<FetchAttribute> = Vec::new();
        let lists = by.iter().map(|at| &wanted[*at].1);
        for attribute in lists
            .chain(with_told.then_some(&told))
            .flat_map(|list| &list[..])
        {
            if !attributes.contains(attribute) {
                attributes.push(attribute.clone());
            }
        }
        fetch_told(cx, state, &uids, &attributes).await?;
    }
    Ok(())
}

/// The same search with UIDs for message numbers and `$`, which mean what they meant when the command
/// came (RFC 5267 §4.3).
async fn without_numbers(selected: &Selected, mut key: SearchKey) -> Result<SearchKey, Failure> {
    let view = &selected.view;
    let mut keys = vec![&mut key];
    while let Some(key) = keys.pop() {
        match key {
            SearchKey::Sequence(set) => *key = fixed(&view.find_numbers(set).await?),
            SearchKey::Uid(set) if set.saved => *key = fixed(&view.resolve_uids(set).await?),
            SearchKey::Not(key) | SearchKey::Fuzzy(key) => keys.push(key),
            SearchKey::Or(list) | SearchKey::And(list) => keys.extend(list),
            _ => {}
        }
    }
    Ok(key)
}

fn fixed(uids: &UidSet) -> SearchKey {
    if uids.is_empty() {
        return SearchKey::Not(Box::new(SearchKey::All));
    }
    let end = |uid: Uid| wire::Uid::new(uid.get()).map(SetEnd::Number);
    let ranges = uids.ranges().filter_map(|range| {
        Some(SetRange {
            first: end(*range.start())?,
            last: end(*range.end())?,
        })
    });
    SearchKey::Uid(wire::UidSet {
        ranges: ranges.collect(),
        saved: false,
    })
}

/// Ranges of UIDs in a key.
fn key_size(key: &SearchKey) -> usize {
    match key {
        SearchKey::Uid(set) => set.ranges.len(),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => key_size(key),
        SearchKey::Or(list) | SearchKey::And(list) => list.iter().map(key_size).sum(),
        _ => 0,
    }
}

/// The seconds of OLDER and YOUNGER in a key.
fn put_intervals(key: &SearchKey, intervals: &mut Vec<u32>) {
    match key {
        SearchKey::Older(seconds) | SearchKey::Younger(seconds) => {
            intervals.push(seconds.get());
        }
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => put_intervals(key, intervals),
        SearchKey::Or(list) | SearchKey::And(list) => {
            list.iter().for_each(|key| put_intervals(key, intervals));
        }
        _ => {}
    }
}

fn has_star(key: &SearchKey) -> bool {
    match key {
        SearchKey::Uid(set) => set.has_star(),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => has_star(key),
        SearchKey::Or(list) | SearchKey::And(list) => list.iter().any(has_star),
        _ => false,
    }
}
