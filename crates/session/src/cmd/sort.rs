//! SORT and UID SORT (RFC 5256, RFC 5957; RETURN by RFC 5267 §3).

use std::num::NonZeroU32;
use std::ops::Range;

use restante_mailbox::{Mailbox, Uid, UidSet};
use restante_proto::types::{
    EsearchCorrelator, PartialRange, SearchReturn, Sort, SortCriterion, SortKey as Key, Tag,
};
use restante_search::{Collation, Column, Texts, order};

use super::comparator::Comparator;
use super::search::{self, Found, Message};
use super::search_program::Program;
use super::search_run;
use super::updates::{self, Request};
use crate::columns::{Derived, SortText, Values, sent_date};
use crate::cx::Cx;
use crate::partial::{positions, told};
use crate::reply::{Failure, Outcome, Reply};
use crate::state::{Selected, State};

pub(crate) async fn run(cx: &mut Cx, state: &mut State, tag: Tag, args: Sort) -> Outcome {
    let save = args.returns.as_ref().is_some_and(|returns| returns.save);
    let outcome = sort(cx, state, tag, args).await;
    search::empty_saved(state, save, &outcome)?;
    outcome
}

async fn sort(cx: &mut Cx, state: &mut State, tag: Tag, mut args: Sort) -> Outcome {
    let (login, selected) = state.selected()?;
    if let Some(returns) = &mut args.returns {
        search::name_result(returns);
        if returns.update.is_some() {
            updates::check_tag(selected, &tag)?;
        }
    }
    let update = args
        .returns
        .as_mut()
        .and_then(|returns| returns.update.take());
    let update = update.map(|fetch| (fetch, args.key.clone()));
    let program = Program::new(cx, login, selected, Some(&args.charset), args.key).await?;
    let by_relevance = args.criteria.iter().any(|by| by.key == Key::Relevancy);
    let tells_scores = args
        .returns
        .as_ref()
        .is_some_and(|returns| returns.relevancy);
    search::check_relevancy(by_relevance || tells_scores, &program)?;
    let uids = search_run::find(cx, selected, &program, false).await?;
    let scores = match by_relevance || tells_scores {
        true => search_run::scores(cx, selected, &program, &uids).await?,
        false => Vec::new(),
    };
    let found = Found::read(selected, &uids).await?;
    let mailbox = &selected.mailbox;
    let sorted = in_order(mailbox, &found, &args.criteria, &scores, cx.comparator).await?;
    let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let ids: Vec<NonZeroU32> = sorted
        .iter()
        .filter_map(|index| NonZeroU32::new(found.id(*index as usize, args.uid)))
        .collect();
    let Some(returns) = args.returns else {
        let mod_seq = program
            .tells_mod_seq
            .then(|| found.highest(0..found.messages().len()))
            .flatten();
        cx.writer().sort(ids, mod_seq);
        return Ok(Reply::ok("SORT completed"));
    };
    let picked = picked(&returns, &sorted);
    let correlator = EsearchCorrelator {
        tag: Some(tag),
        ..EsearchCorrelator::default()
    };
    if search::says_anything(&returns) {
        let mut writer = cx.writer();
        let mut answer = writer.esearch(&correlator, args.uid);
        if let Some(min) = ids.first().filter(|_| returns.min) {
            answer.min(*min);
        }
        if let Some(max) = ids.last().filter(|_| returns.max) {
            answer.max(*max);
        }
        if returns.count {
            answer.count(count);
        }
        if returns.all && !ids.is_empty() {
            answer.all(ids.iter().copied());
        }
        if let Some(range) = returns.partial {
            let page = &ids[page(range, ids.len())];
            let page = (!page.is_empty()).then(|| page.iter().copied());
            answer.partial(told(range), page);
        }
        if returns.relevancy {
            // Of the page alone, if there is one.
            let told = match returns.partial {
                Some(range) => &sorted[self::page(range, sorted.len())],
                None => &sorted[..],
            };
            answer.relevancy(told.iter().map(|index| scores[*index as usize]));
        }
        if program.tells_mod_seq
            && let Some(mod_seq) = found.highest(picked.iter().copied())
        {
            answer.mod_seq(mod_seq);
        }
        answer.end();
    }
    if returns.save {
        let saved: UidSet = match picked.len() == sorted.len() {
            true => uids.clone(),
            false => picked.iter().map(|at| found.messages()[*at].uid).collect(),
        };
        selected.view.save(saved);
    }
    if let Some((fetch, key)) = update {
        let request = Request {
            correlator,
            uid: args.uid,
            charset: Some(args.charset),
            key,
            sorted: Some((args.criteria, found.uids(&sorted))),
            fetch,
            now_s: program.now_s,
        };
        updates::keep(cx, login, selected, request, uids).await?;
    }
    Ok(Reply::ok("SORT completed"))
}

/// The messages of a set in the order of the criteria.
pub(super) async fn sorted(
    selected: &Selected,
    criteria: &[SortCriterion],
    comparator: Comparator,
    uids: &UidSet,
) -> Result<Vec<Uid>, Failure> {
    let found = Found::read(selected, uids).await?;
    let sorted = in_order(&selected.mailbox, &found, criteria, &[], comparator).await?;
    Ok(found.uids(&sorted))
}

/// Indexes of messages in the order of the criteria. `scores` are needed if relevance is one.
async fn in_order(
    mailbox: &Mailbox,
    found: &Found,
    criteria: &[SortCriterion],
    scores: &[u8],
    comparator: Comparator,
) -> Result<Vec<u32>, Failure> {
    let mut columns = Columns::new(criteria, scores, comparator);
    let of_key = |key: &Key| of_key(*key, comparator.collation);
    let derived: Vec<Derived> = columns.1.iter().filter_map(of_key).collect();
    if derived.is_empty() {
        columns.push(found.messages(), &[]);
    } else {
        let push = |messages: &[Message], values: &[Values]| columns.push(messages, values);
        found.each_block(mailbox, &derived, push).await?;
    }
    let count = u32::try_from(found.messages().len()).unwrap_or(u32::MAX);
    search::aside(count, move || order(&columns.0, count)).await
}

/// The messages that `$` becomes and whose modseqs count, as for SEARCH; MIN and MAX are the first and
/// the last of the sorted ones (RFC 5267 §3.1).
fn picked(returns: &SearchReturn, sorted: &[u32]) -> Vec<usize> {
    if search::picks_all(returns) {
        return sorted.iter().map(|index| *index as usize).collect();
    }
    let min = sorted.first().filter(|_| returns.min);
    let max = sorted.last().filter(|_| returns.max);
    let page = returns
        .partial
        .map(|range| &sorted[page(range, sorted.len())]);
    let picked = min.into_iter().chain(page.into_iter().flatten()).chain(max);
    picked.map(|at| *at as usize).collect()
}

/// The part of a sorted result that PARTIAL names.
fn page(range: PartialRange, count: usize) -> Range<usize> {
    let page = positions(range, count as u64);
    // Not beyond `count`.
    page.start as usize..page.end as usize
}

/// The values to sort by.
struct Columns(Vec<(Column, bool)>, Vec<Key>);

impl Columns {
    fn new(criteria: &[SortCriterion], scores: &[u8], comparator: Comparator) -> Columns {
        let mut columns: Vec<(Column, bool)> = Vec::new();
        let mut keys: Vec<Key> = Vec::new();
        for criterion in criteria {
            // A second time, a key decides nothing.
            if keys.contains(&criterion.key) {
                continue;
            }
            let (column, reverse) = match criterion.key {
                Key::Arrival | Key::Date | Key::Size => (Column::Numbers(Vec::new()), false),
                // The highest first (RFC 6203 §6).
                Key::Relevancy => {
                    let scores = scores.iter().map(|score| -i64::from(*score));
                    (Column::Numbers(scores.collect()), false)
                }
                _ => (
                    Column::Texts(Texts::new(comparator.collation)),
                    comparator.reverse,
                ),
            };
            columns.push((column, criterion.reverse != reverse));
            keys.push(criterion.key);
        }
        Columns(columns, keys)
    }

    /// Adds messages; `values` are those of the columns that are derived from emails.
    fn push(&mut self, messages: &[Message], values: &[Values]) {
        let mut values = values.iter();
        for ((column, _), key) in self.0.iter_mut().zip(&self.1) {
            let derived = match key {
                Key::Arrival | Key::Size | Key::Relevancy => None,
                _ => values.next(),
            };
            let uid = |at: usize| messages[at].uid;
            match (column, derived) {
                (Column::Texts(texts), Some(values)) => values.each(uid, |_, text| {
                    texts.push_folded(text.unwrap_or_default());
                }),
                // Without a date, the internal date is the sent date (RFC 5256 §2.2).
                (Column::Numbers(numbers), Some(values)) => values.each(uid, |at, value| {
                    let date = value.and_then(sent_date);
                    numbers.push(date.map_or(messages[at].arrived, |date| date.unix_s));
                }),
                // They are all there already.
                (Column::Numbers(_), None) if *key == Key::Relevancy => {}
                (Column::Numbers(numbers), None) => {
                    numbers.extend(messages.iter().map(|message| match key {
                        Key::Size => i64::try_from(message.size).unwrap_or(i64::MAX),
                        _ => message.arrived,
                    }))
                }
                // Texts are derived.
                (Column::Texts(texts), None) => messages.iter().for_each(|_| texts.push("")),
            }
        }
    }
}

/// What is compared for a key; none for the mailbox's own columns.
fn of_key(key: Key, collation: Collation) -> Option<Derived> {
    let text = match key {
        Key::Arrival | Key::Size | Key::Relevancy => return None,
        Key::Date => return Some(Derived::Sent),
        Key::Cc => SortText::Cc,
        Key::From => SortText::From,
        Key::To => SortText::To,
        Key::DisplayFrom => SortText::DisplayFrom,
        Key::DisplayTo => SortText::DisplayTo,
        Key::Subject => SortText::BaseSubject,
    };
    Some(Derived::Sort(text, collation))
}
