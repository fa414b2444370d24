//! Running a search on a view: columns first, then the rows of emails, their headers, their bodies.
//!
//! Memory is bounded by a block of messages; the runtime gets its turn between blocks, and within
//! large messages.

use restante_mailbox::{FlagFilter, MailError, ModSeq, Row, UidSet, Wanted};

use super::search_program::{Program, Test};
use super::search_text::Reader;
use crate::cx::Cx;
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
            whole: true,
        };
        for test in tests {
            match test {
                Test::Flags(filter) => columns.filter = *filter,
                Test::Uids(uids) => columns.uids = Some(uids),
                Test::ModSeq(modseq) => columns.since = columns.since.max(*modseq),
                Test::Always(true) => {}
                _ => columns.whole = false,
            }
        }
        columns
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
    // A long range is no help where flags or modseqs tell which chunks to look at.
    let few = columns.uids.filter(|uids| {
        let long = uids.range_count() == 1 && uids.len() > exists / 4;
        !(long && (has_filter || columns.since > ModSeq::ZERO))
    });
    if let Some(uids) = few {
        let rows = view.rows(uids).await?;
        run.pass(rows.loaded().rows_in(uids)).await?;
    } else if has_filter {
        let rows = view.load(Wanted::Flagged(columns.filter)).await?;
        if columns.whole && columns.since == ModSeq::ZERO {
            run.found = rows.loaded().uids_with(columns.filter);
            if let Some(uids) = columns.uids {
                run.found = run.found.intersect(uids);
            }
        } else {
            run.pass(rows.loaded().rows_with(columns.filter)).await?;
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

    /// Decides about the messages of the block.
    async fn look(&mut self) -> Result<(), Failure> {
        if self.block.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = self.block.iter().map(|row| row.email).collect();
        let emails = self.reader.account().emails(&ids).await?;
        for (row, email) in self.block.drain(..).zip(emails) {
            // Purged meanwhile: there is nothing to look at any more.
            let Some(email) = email else { continue };
            match self.reader.matches(&row, &email).await {
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
        tokio::task::yield_now().await;
        self.cx.in_progress(self.seen, self.goal).await?;
        check_open(self.cx).await
    }
}

/// Nobody waits for the result of a client that is gone.
async fn check_open(cx: &mut Cx) -> Result<(), Failure> {
    match cx.conn.is_open().await {
        true => Ok(()),
        false => Err(Failure::Io(std::io::ErrorKind::ConnectionAborted.into())),
    }
}
