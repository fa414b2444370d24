//! SEARCH and UID SEARCH (RFC 9051 §6.4.4; RFC 3501 §6.4.4, RFC 4731, RFC 5182).

use std::num::NonZeroU32;

use restante_mailbox::{EmailId, Mailbox, ModSeq, Uid, UidSet};
use restante_proto::types::{
    self as wire, Code, Condition, EsearchCorrelator, Search, SearchKey, SearchReturn, Tag,
};

use super::search_program::Program;
use super::search_run;
use super::updates::{self, Request};
use crate::columns::{self, Derived, Values};
use crate::cx::Cx;
use crate::message_limit;
use crate::partial::{positions, told};
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Login, Selected, State};
use crate::view::ViewRows;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, tag: Tag, args: Search) -> Outcome {
    let save = args.returns.as_ref().is_some_and(|returns| returns.save);
    let outcome = search(cx, state, tag, args).await;
    empty_saved(state, save, &outcome)?;
    outcome
}

/// NO to a command that was to save empties `$`; BAD leaves it as it was (RFC 9051 §6.4.4.1).
pub(super) fn empty_saved(state: &mut State, save: bool, outcome: &Outcome) -> Result<(), Failure> {
    let no = match outcome {
        Ok(reply) | Err(Failure::Reply(reply)) => reply.condition == Condition::No,
        Err(Failure::Mail(_)) => true,
        Err(_) => false,
    };
    if save && no {
        state.selected()?.1.view.save(UidSet::new());
    }
    Ok(())
}

async fn search(cx: &mut Cx, state: &mut State, tag: Tag, mut args: Search) -> Outcome {
    let (login, selected) = state.selected()?;
    if let Some(returns) = &mut args.returns {
        name_result(returns);
        if returns.update.is_some() {
            updates::check_tag(selected, &tag)?;
        }
    }
    let returns = match args.returns {
        Some(returns) => Some(returns),
        None if cx.enabled.esearch_always() => Some(SearchReturn {
            all: true,
            ..SearchReturn::default()
        }),
        None => None,
    };
    let charset = args.charset.as_deref();
    let Some(mut returns) = returns else {
        let mut program = Program::new(cx, login, selected, charset, args.key).await?;
        limit(cx, selected, &mut program).await?;
        let found = search_run::find(cx, selected, &program, false).await?;
        tell_numbers(cx, selected, args.uid, &found, program.tells_mod_seq).await?;
        return Ok(Reply::ok("SEARCH completed"));
    };
    let update = returns.update.take().map(|fetch| (fetch, args.key.clone()));
    let all = update.is_some();
    let mut program = Program::new(cx, login, selected, charset, args.key).await?;
    limit(cx, selected, &mut program).await?;
    let result = run_program(cx, selected, &program, &returns, all).await?;
    let correlator = EsearchCorrelator {
        tag: Some(tag),
        ..EsearchCorrelator::default()
    };
    if says_anything(&returns) {
        let answer = Answer {
            correlator: correlator.clone(),
            uid: args.uid,
            returns: &returns,
            result: &result,
        };
        answer.tell(cx, selected).await?;
    }
    let text = match returns.save {
        true => "SEARCH completed, result saved",
        false => "SEARCH completed",
    };
    if returns.save {
        selected.view.save(picked(&returns, &result.found));
    }
    if cx.limited.is_some()
        && let Some(tag) = correlator.tag.as_ref().filter(|_| all)
    {
        // Part of a result cannot be kept up to date.
        updates::refuse(cx, tag, "Too many messages for one command");
    } else if let Some((fetch, key)) = update {
        let request = Request {
            correlator,
            uid: args.uid,
            charset: args.charset,
            key,
            sorted: None,
            fetch,
            now_s: result.now_s,
        };
        updates::keep(cx, login, selected, request, result.found).await?;
    }
    Ok(Reply::ok(text))
}

/// What a search found.
pub(super) struct SearchResult {
    /// The messages.
    pub(super) found: UidSet,
    /// Those whose highest modseq is told, if one was asked for.
    pub(super) picked: Option<UidSet>,
    /// What each scores, if that is told (RFC 6203 §4).
    pub(super) scores: Option<Vec<u8>>,
    /// By which clock it was found.
    pub(super) now_s: i64,
}

/// What is found in a view.
/// `all`: not the first alone, even if no more is told.
pub(super) async fn search_view(
    cx: &mut Cx,
    login: &Login,
    selected: &mut Selected,
    charset: Option<&str>,
    key: SearchKey,
    returns: &SearchReturn,
    all: bool,
) -> Result<SearchResult, Failure> {
    let program = Program::new(cx, login, selected, charset, key).await?;
    run_program(cx, selected, &program, returns, all).await
}

async fn run_program(
    cx: &mut Cx,
    selected: &Selected,
    program: &Program,
    returns: &SearchReturn,
    all: bool,
) -> Result<SearchResult, Failure> {
    check_relevancy(returns.relevancy, program)?;
    let first = returns.min && !returns.max && !needs_all(returns) && !all;
    let found = search_run::find(cx, selected, program, first).await?;
    let scores = match returns.relevancy {
        true => Some(search_run::scores(cx, selected, program, &found).await?),
        false => None,
    };
    Ok(SearchResult {
        picked: program.tells_mod_seq.then(|| picked(returns, &found)),
        scores,
        found,
        now_s: program.now_s,
    })
}

/// Searches no more messages than one command may: those with the highest UIDs (RFC 9738 §3.1).
async fn limit(cx: &mut Cx, selected: &Selected, program: &mut Program) -> Result<(), Failure> {
    if let Some(limit) = cx.message_limit()
        && !program.finds_nothing()
        && let Some(highest) = message_limit::highest(selected, program.uids(), limit).await?
    {
        cx.limit_to(limit, &highest);
        program.only_among(highest);
    }
    Ok(())
}

/// What names no result wants all.
pub(super) fn name_result(returns: &mut SearchReturn) {
    let some = returns.min || returns.max || returns.count || returns.save;
    returns.all |= !some && returns.partial.is_none();
}

/// RELEVANCY is for FUZZY (RFC 6203 §4, §6).
pub(super) fn check_relevancy(asked: bool, program: &Program) -> Result<(), Failure> {
    match asked && !program.is_fuzzy {
        true => Err(client_bug("RELEVANCY needs a FUZZY key")),
        false => Ok(()),
    }
}

/// SAVE alone suppresses the response (RFC 9051 §6.4.4).
pub(super) fn says_anything(returns: &SearchReturn) -> bool {
    returns.min || returns.max || needs_all(returns) || !returns.save
}

/// Whether more has to be found than the first and the last.
fn needs_all(returns: &SearchReturn) -> bool {
    returns.all || returns.count || returns.partial.is_some() || returns.relevancy
}

/// Whether `$` becomes everything that was found (RFC 9051 §6.4.4.1, table 4).
pub(super) fn picks_all(returns: &SearchReturn) -> bool {
    returns.all || returns.count || !(returns.min || returns.max || returns.partial.is_some())
}

/// What `$` becomes, and whose modseqs count: with MIN, MAX and PARTIAL alone only these messages (RFC
/// 9051 §6.4.4.1, table 4; RFC 4731 §3.2; RFC 9394 §3.2, table 1).
pub(super) fn picked(returns: &SearchReturn, found: &UidSet) -> UidSet {
    if picks_all(returns) {
        return found.clone();
    }
    let min = found.first().filter(|_| returns.min);
    let max = found.last().filter(|_| returns.max);
    let mut picked = match returns.partial {
        Some(range) => found.slice(positions(range, found.len())),
        None => UidSet::new(),
    };
    min.into_iter()
        .chain(max)
        .for_each(|uid| picked.insert(uid));
    picked
}

/// The highest modseq of some messages; none if there are none.
async fn highest(selected: &Selected, uids: &UidSet) -> Result<Option<wire::ModSeq>, Failure> {
    let rows = selected.view.rows(uids).await?;
    let highest: Option<ModSeq> = rows.iter(uids).map(|(_, row)| row.modseq).max();
    Ok(highest.map(|modseq| wire::ModSeq(modseq.0)))
}

/// SEARCH (RFC 3501 §7.2.5).
async fn tell_numbers(
    cx: &mut Cx,
    selected: &Selected,
    uid: bool,
    found: &UidSet,
    tells_mod_seq: bool,
) -> Result<(), Failure> {
    let mod_seq = match tells_mod_seq {
        true => highest(selected, found).await?,
        false => None,
    };
    if uid {
        let uids = found.iter().filter_map(|uid| NonZeroU32::new(uid.get()));
        cx.writer().search(uids, mod_seq);
        return Ok(());
    }
    let rows = selected.view.rows(found).await?;
    let numbers = number_ranges(&rows, found)
        .flat_map(|(first, last)| first..=last)
        .filter_map(NonZeroU32::new);
    cx.writer().search(numbers, mod_seq);
    Ok(())
}

/// The sequence numbers of messages that are all in the view. Between two neighbouring UIDs of the set
/// there is no other message, so a range of UIDs is a range of numbers.
fn number_ranges<'a>(
    rows: &'a ViewRows<'a>,
    found: &'a UidSet,
) -> impl Iterator<Item = (u32, u32)> + 'a {
    let mut ranges = found.ranges().map(|range| {
        let (first, last) = (*range.start(), *range.end());
        let number = rows.number(first);
        (number, number + (last.get() - first.get()))
    });
    let mut next = ranges.next();
    std::iter::from_fn(move || {
        let (first, mut last) = next?;
        loop {
            next = ranges.next();
            match next {
                Some((more, end)) if more == last + 1 => last = end,
                _ => return Some((first, last)),
            }
        }
    })
}

/// ESEARCH (RFC 9051 §7.3.4).
pub(super) struct Answer<'a> {
    pub(super) correlator: EsearchCorrelator,
    pub(super) uid: bool,
    pub(super) returns: &'a SearchReturn,
    pub(super) result: &'a SearchResult,
}

impl Answer<'_> {
    pub(super) async fn tell(self, cx: &mut Cx, selected: &Selected) -> Result<(), Failure> {
        let SearchResult {
            found,
            picked,
            scores,
            now_s: _,
        } = self.result;
        let mod_seq = match picked {
            Some(picked) => highest(selected, picked).await?,
            None => None,
        };
        let rows = match self.uid {
            true => None,
            false => Some(selected.view.rows(found).await?),
        };
        let number = |uid: Uid| match &rows {
            Some(rows) => NonZeroU32::new(rows.number(uid)),
            None => NonZeroU32::new(uid.get()),
        };
        let mut writer = cx.writer();
        let mut answer = writer.esearch(&self.correlator, self.uid);
        if let Some(min) = found.first().filter(|_| self.returns.min).and_then(number) {
            answer.min(min);
        }
        if let Some(max) = found.last().filter(|_| self.returns.max).and_then(number) {
            answer.max(max);
        }
        if self.returns.count {
            let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
            answer.count(count);
        }
        if self.returns.all && !found.is_empty() {
            let pair = |(first, last)| Some((NonZeroU32::new(first)?, NonZeroU32::new(last)?));
            match &rows {
                Some(rows) => answer.all_ranges(number_ranges(rows, found).filter_map(pair)),
                None => answer.all_ranges(
                    found
                        .ranges()
                        .filter_map(|range| pair((range.start().get(), range.end().get()))),
                ),
            }
        }
        if let Some(range) = self.returns.partial {
            let page = found.slice(positions(range, found.len()));
            let ids = page.iter().filter_map(number);
            answer.partial(told(range), (!page.is_empty()).then_some(ids));
        }
        if let Some(scores) = scores {
            // Of the page alone, if there is one.
            let told = match self.returns.partial {
                Some(range) => positions(range, found.len()),
                None => 0..found.len(),
            };
            let told = told.start as usize..told.end as usize;
            answer.relevancy(scores[told].iter().copied());
        }
        if let Some(mod_seq) = mod_seq {
            answer.mod_seq(mod_seq);
        }
        answer.end();
        Ok(())
    }
}

/// A message that was found, as SORT and THREAD need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    number: u32,
    email: EmailId,
    modseq: ModSeq,
    /// Its UID.
    pub(super) uid: Uid,
    /// The internal date in seconds since 1970.
    pub(super) arrived: i64,
    /// Bytes.
    pub(super) size: u64,
}

/// Messages that were found, in the order of the mailbox.
#[derive(Debug)]
pub(super) struct Found {
    messages: Vec<Message>,
}

/// Emails read at once: more than the cache of rows takes at once.
const EMAILS: usize = 2048;
/// From so many messages on, sorting them is not done on a thread that serves other sessions.
const ASIDE: u32 = 20_000;

impl Found {
    /// Reads the rows of what was found.
    pub(super) async fn read(selected: &Selected, uids: &UidSet) -> Result<Found, Failure> {
        let rows = selected.view.rows(uids).await?;
        let messages = rows.iter(uids).map(|(number, row)| Message {
            number,
            email: row.email,
            modseq: row.modseq,
            uid: row.uid,
            arrived: row.internal_date.unix_s,
            size: row.size,
        });
        Ok(Found {
            messages: messages.collect(),
        })
    }

    /// The messages.
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The UID or the sequence number of a message.
    pub(super) fn id(&self, index: usize, uid: bool) -> u32 {
        match uid {
            true => self.messages[index].uid.get(),
            false => self.messages[index].number,
        }
    }

    /// The UIDs of messages in this order.
    pub(super) fn uids(&self, indexes: &[u32]) -> Vec<Uid> {
        let indexes = indexes.iter();
        indexes
            .map(|index| self.messages[*index as usize].uid)
            .collect()
    }

    /// The highest modseq of some of them.
    pub(super) fn highest(&self, of: impl IntoIterator<Item = usize>) -> Option<wire::ModSeq> {
        let modseqs = of.into_iter().map(|index| self.messages[index].modseq.0);
        modseqs.max().map(wire::ModSeq)
    }

    /// Reads columns, some messages at a time: `each` is given these messages and the values, by column.
    pub(super) async fn each_block(
        &self,
        mailbox: &Mailbox,
        columns: &[Derived],
        mut each: impl FnMut(&[Message], &[Values]) + Send,
    ) -> Result<(), Failure> {
        for messages in self.messages.chunks(EMAILS) {
            let ids: Vec<_> = messages.iter().map(|m| (m.uid, m.email)).collect();
            let values = columns::read(mailbox, columns, &ids).await?;
            each(messages, &values);
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Does work for so many messages where it keeps nobody waiting.
pub(super) async fn aside<T: Send + 'static>(
    messages: u32,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if messages < ASIDE {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Reply::no("Internal error").code(Code::ServerBug).into())
}
