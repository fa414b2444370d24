//! Running a search on a view: columns first, then the rows of emails, their headers, their bodies. What is read of
//! headers becomes columns for the next search.
//!
//! Memory is bounded by a block of messages; the runtime gets its turn between blocks, and within
//! large messages.

use std::ops::{Range, RangeInclusive};

use restante_mailbox::{
    FlagFilter, Flags, Loaded, MailError, Mailbox, ModSeq, Number, Row, UidSet, Wanted,
};

use super::search_program::{DAY_S, Look, Program, Test};
use super::search_text::Reader;
use crate::columns::{self, Answer, Derived};
use crate::cx::Cx;
use crate::header_columns;
use crate::reply::Failure;
use crate::state::Selected;

/// Messages whose rows are looked at together: more than the cache of rows takes at once, so that a
/// search of a large mailbox does not push out of it what others use.
const BLOCK: usize = 2048;
/// After so many bytes of messages it is seen whether the client is still there.
const CHECK_BYTES: u64 = 8 << 20;

/// What the columns can be asked for at once: the flags, UIDs and modseq that every message found
/// must have.
struct Columns<'p> {
    filter: FlagFilter,
    uids: Option<&'p UidSet>,
    since: ModSeq,
    /// Numbers, and what they must be.
    numbers: Vec<(Number, RangeInclusive<i64>)>,
    /// Other tests of flags alone.
    flags: Vec<&'p Test>,
    /// Whether that is all of the search.
    whole: bool,
}

impl<'p> Columns<'p> {
    fn of(root: &'p Test) -> Columns<'p> {
        let tests = match root {
            Test::All(tests) => tests.as_slice(),
            test => std::slice::from_ref(test),
        };
        let mut columns = Columns {
            filter: FlagFilter::default(),
            uids: None,
            since: ModSeq::ZERO,
            numbers: Vec::new(),
            flags: Vec::new(),
            whole: true,
        };
        for test in tests {
            match test {
                Test::Flags(filter) => columns.filter = *filter,
                Test::Uids(uids) => columns.uids = Some(uids),
                Test::ModSeq(modseq) => columns.since = columns.since.max(*modseq),
                Test::Always(true) => {}
                test if test.of_flags(Flags::NONE).is_some() => columns.flags.push(test),
                test => match number(test) {
                    Some(number) => columns.numbers.push(number),
                    None => columns.whole = false,
                },
            }
        }
        columns
    }

    /// Whether there are tests of columns beside the filter, the UIDs and the modseq.
    fn has_more(&self) -> bool {
        !self.numbers.is_empty() || !self.flags.is_empty()
    }

    /// The messages that are as flags, numbers and UIDs must be.
    fn find(&self, rows: &Loaded) -> UidSet {
        let mut found = match self.filter == FlagFilter::default() {
            true => None,
            false => Some(rows.uids_with(self.filter)),
        };
        for (number, range) in &self.numbers {
            let uids = rows.uids_between(self.filter, *number, range);
            found = Some(match found {
                Some(found) => found.intersect(&uids),
                None => uids,
            });
        }
        for test in &self.flags {
            let passes = |flags| test.of_flags(flags).unwrap_or(false);
            let uids = rows.uids_where(self.filter, passes);
            found = Some(match found {
                Some(found) => found.intersect(&uids),
                None => uids,
            });
        }
        let found = found.unwrap_or_else(|| rows.uids());
        match self.uids {
            Some(uids) => found.intersect(uids),
            None => found,
        }
    }
}

/// A test of one number of the row.
fn number(test: &Test) -> Option<(Number, RangeInclusive<i64>)> {
    // The last second of a range whose end is not in it; `MAX` is no end.
    let last = |end: i64| {
        if end == i64::MAX {
            end
        } else {
            end.saturating_sub(1)
        }
    };
    let seconds =
        |days: &Range<i64>| days.start.saturating_mul(DAY_S)..=last(days.end.saturating_mul(DAY_S));
    match test {
        Test::Arrived(days) => Some((Number::LocalDate, seconds(days))),
        Test::ArrivedAt(moments) => {
            let range = moments.start..=last(moments.end);
            Some((Number::InternalDate, range))
        }
        Test::Saved(days) => Some((Number::SaveDate, seconds(days))),
        Test::Size(bytes) => {
            let low = i64::try_from(bytes.start).ok()?;
            // No size is below 0.
            let high = i64::try_from(bytes.end).map_or(i64::MAX, |end| end - 1);
            Some((Number::Size, low..=high))
        }
        _ => None,
    }
}

/// The messages of the view that `program` finds; with `first`, perhaps not all of them, but the
/// first.
pub(crate) async fn find(
    cx: &mut Cx,
    selected: &Selected,
    program: &Program,
    first: bool,
) -> Result<UidSet, Failure> {
    if matches!(program.root, Test::Always(false)) {
        return Ok(UidSet::new());
    }
    let columns = Columns::of(&program.root);
    let view = &selected.view;
    let mut run = Run {
        cx,
        program,
        mailbox: &selected.mailbox,
        reader: Reader::new(selected.mailbox.account(), program),
        block: Vec::new(),
        found: UidSet::new(),
        late: UidSet::new(),
        first,
        seen: 0,
        goal: view.exists(),
    };
    let exists = u64::from(view.snapshot().exists());
    let has_filter = columns.filter != FlagFilter::default();
    // A long range is no help where flags, numbers or modseqs tell which chunks to look at.
    let few = columns.uids.filter(|uids| {
        let long = uids.range_count() == 1 && uids.len() > exists / 4;
        let others = has_filter || columns.has_more() || columns.since > ModSeq::ZERO;
        !(long && others)
    });
    if let Some(uids) = few {
        let rows = view.rows(uids).await?;
        run.pass(rows.loaded().rows_in(uids)).await?;
    } else if has_filter || (columns.has_more() && columns.since == ModSeq::ZERO) {
        let rows = view.load(Wanted::Flagged(columns.filter)).await?;
        let whole = columns.whole && columns.since == ModSeq::ZERO;
        if !whole && !columns.has_more() {
            run.pass(rows.loaded().rows_with(columns.filter)).await?;
        } else {
            let found = columns.find(rows.loaded());
            match whole {
                true => run.found = found,
                false => run.pass(rows.loaded().rows_in(&found)).await?,
            }
        }
    } else if columns.since > ModSeq::ZERO {
        let before = ModSeq(columns.since.0 - 1);
        let rows = view.load(Wanted::ChangedSince(before)).await?;
        run.pass(rows.loaded().changed_since(before)).await?;
    } else {
        let rows = view.load(Wanted::All).await?;
        if columns.whole {
            run.found = rows.loaded().uids();
        } else {
            let all = rows.loaded().rows_at(0..view.snapshot().exists());
            run.pass(all).await?;
        }
    }
    // What the client has not been told to be gone counts (RFC 9051 §7.5.1).
    let found = std::mem::take(&mut run.found);
    run.pass(view.ghost_rows().iter().copied()).await?;
    Ok(found.union(&run.found))
}

/// The scores of messages that were found, in the order of their UIDs (RFC 6203 §4).
pub(crate) async fn scores(
    cx: &mut Cx,
    selected: &Selected,
    program: &Program,
    found: &UidSet,
) -> Result<Vec<u8>, Failure> {
    let count = usize::try_from(found.len()).unwrap_or_default();
    if program.fuzzy.is_empty() {
        return Ok(vec![100; count]);
    }
    let mut scores = Vec::with_capacity(count);
    let mut reader = Reader::new(selected.mailbox.account(), program);
    let rows = selected.view.rows(found).await?;
    let rows: Vec<Row> = rows.iter(found).map(|(_, row)| row).collect();
    for block in rows.chunks(BLOCK) {
        let ids: Vec<_> = block.iter().map(|row| row.email).collect();
        let emails = reader.account().emails(&ids).await?;
        for (row, email) in block.iter().zip(emails) {
            // What cannot be read any more is not like anything.
            let score = match email {
                Some(email) => match reader.score(row, &email).await {
                    Err(MailError::Damaged { .. } | MailError::Expunged) => 1,
                    score => score?,
                },
                None => 1,
            };
            scores.push(score);
            if reader.bytes_read >= CHECK_BYTES {
                check_open(cx).await?;
                let done = u32::try_from(scores.len()).unwrap_or(u32::MAX);
                let goal = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                cx.in_progress(done, goal).await?;
                reader.bytes_read = 0;
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(scores)
}

struct Run<'a> {
    cx: &'a mut Cx,
    program: &'a Program,
    mailbox: &'a Mailbox,
    reader: Reader<'a>,
    /// Messages that the columns do not decide about.
    block: Vec<Row>,
    found: UidSet,
    /// Those found later than others with larger UIDs.
    late: UidSet,
    first: bool,
    /// Messages that were decided about, and about how many there are: for the client that waits.
    seen: u32,
    goal: u32,
}

impl Run<'_> {
    async fn pass(&mut self, rows: impl Iterator<Item = Row> + Send) -> Result<(), Failure> {
        // When only the first is wanted, it is probably near.
        let mut block = if self.first { 16 } else { BLOCK };
        for row in rows {
            self.seen += 1;
            match self.program.decide(&row, &mut |_| None) {
                Some(false) => {}
                Some(true) => {
                    self.found.insert(row.uid);
                    if self.first {
                        break;
                    }
                }
                None => {
                    self.block.push(row);
                    if self.block.len() >= block {
                        self.look().await?;
                        if self.first && !self.late.is_empty() {
                            break;
                        }
                        block = (2 * block).min(BLOCK);
                    }
                }
            }
        }
        self.look().await?;
        self.found = self.found.union(&std::mem::take(&mut self.late));
        Ok(())
    }

    /// Decides about the messages of the block: by what is in memory of their emails, and then by the emails.
    async fn look(&mut self) -> Result<(), Failure> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut answers = ask_columns(self.mailbox, self.program, &self.block).await?;
        let mut rest = Vec::new();
        for (at, row) in self.block.iter().enumerate() {
            // Purged meanwhile: there is nothing to look at any more.
            if answers
                .iter()
                .any(|answers| answers.get(at) == Some(&Answer::Gone))
            {
                continue;
            }
            match self
                .program
                .decide(row, &mut |index| is(&answers, index, at))
            {
                Some(true) => self.late.insert(row.uid),
                Some(false) => {}
                None => rest.push(at),
            }
        }
        if !self.program.headers.is_empty() && !rest.is_empty() {
            self.ask_header_columns(&rest, &mut answers);
            rest.retain(|at| {
                let row = &self.block[*at];
                let decided = self
                    .program
                    .decide(row, &mut |index| is(&answers, index, *at));
                if decided == Some(true) {
                    self.late.insert(row.uid);
                }
                decided.is_none()
            });
        }
        let rows = std::mem::take(&mut self.block);
        let ids: Vec<_> = rest.iter().map(|at| rows[*at].email).collect();
        let emails = match ids.is_empty() {
            true => Vec::new(),
            false => self.reader.account().emails(&ids).await?,
        };
        for (at, email) in rest.into_iter().zip(emails) {
            let Some(email) = email else { continue };
            let row = &rows[at];
            let known = |index| is(&answers, index, at);
            match self.reader.matches(row, &email, known).await {
                Ok(true) => self.late.insert(row.uid),
                Ok(false) => {}
                Err(MailError::Damaged { .. } | MailError::Expunged) => {
                    // One message that cannot be read does not make the others unsearchable.
                    tracing::error!(email = row.email.0, "a damaged message was not searched");
                }
                Err(error) => return Err(error.into()),
            }
            if self.reader.bytes_read >= CHECK_BYTES {
                check_open(self.cx).await?;
                self.cx.in_progress(self.seen, self.goal).await?;
                self.reader.bytes_read = 0;
            }
        }
        let fresh = std::mem::take(&mut self.reader.fresh);
        fresh.keep(self.mailbox, &self.program.headers);
        tokio::task::yield_now().await;
        self.cx.in_progress(self.seen, self.goal).await?;
        check_open(self.cx).await
    }

    /// Asks the columns of header fields about some messages of the block.
    fn ask_header_columns(&self, some: &[usize], answers: &mut [Vec<Answer>]) {
        let uids: Vec<_> = some.iter().map(|at| self.block[*at].uid).collect();
        let values = header_columns::known(self.mailbox, &self.program.headers, &uids);
        for (look, answers) in self.program.looks.iter().zip(answers) {
            let Look::Header {
                needle,
                column: Some(column),
                ..
            } = look
            else {
                continue;
            };
            answers.resize(self.block.len(), Answer::Unknown);
            values[*column].find(
                needle,
                |index| uids[index],
                |index, answer| {
                    answers[some[index]] = answer;
                },
            );
        }
    }
}

/// What columns say of a message, by look.
fn is(answers: &[Vec<Answer>], index: usize, at: usize) -> Option<bool> {
    match answers.get(index)?.get(at)? {
        Answer::Is(is) => Some(*is),
        _ => None,
    }
}

/// What columns say of messages, by look; nothing for looks that have no column.
async fn ask_columns(
    mailbox: &Mailbox,
    program: &Program,
    rows: &[Row],
) -> Result<Vec<Vec<Answer>>, Failure> {
    let mut columns: Vec<Derived> = Vec::new();
    for column in program.looks.iter().filter_map(Look::column) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let messages: Vec<_> = rows.iter().map(|row| (row.uid, row.email)).collect();
    let values = columns::read(mailbox, &columns, &messages).await?;
    let of_look = |look: &Look| {
        let mut answers = Vec::with_capacity(rows.len());
        let column = look.column();
        let place = columns.iter().position(|other| Some(*other) == column);
        if let Some(place) = place {
            look.ask(&values[place], |at| rows[at].uid, &mut answers);
        }
        answers
    };
    Ok(program.looks.iter().map(of_look).collect())
}

/// Nobody waits for the result of a client that is gone.
async fn check_open(cx: &mut Cx) -> Result<(), Failure> {
    match cx.conn.is_open().await {
        true => Ok(()),
        false => Err(Failure::Io(std::io::ErrorKind::ConnectionAborted.into())),
    }
}
