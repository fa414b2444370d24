//! Looking into one email: its row, its header, its bodies, in this order and no further than needed.

use std::ops::Range;
use std::sync::Arc;

use restante_mailbox::{Account, EmailRow, MailError, Row, Uid};
use restante_message::{
    Part, TextDecoder, TextSource, decode_header_text, decode_header_value, fields,
};
use restante_search::{Scan, envelope_text};

use super::fuzzy;
use super::search_program::{Look, Program};
use crate::header_columns::Fresh;

/// Messages up to this size are read at once.
const WHOLE_BYTES: u64 = 256 << 10;
/// Larger ones are read in steps, with a turn for others between them.
const STEP_BYTES: u64 = 256 << 10;
/// No more of one header is searched: what is kept of a message has the same limit.
const HEADER_BYTES_MAX: u64 = 4 << 20;

/// Looks into emails, one after the other.
pub(crate) struct Reader<'a> {
    account: &'a Arc<Account>,
    program: &'a Program,
    /// What is known of this email, by look.
    known: Vec<Option<bool>>,
    text: String,
    folded: Vec<u8>,
    /// Bytes read since others had their turn.
    bytes: u64,
    /// What was read of header fields, for their columns.
    pub(crate) fresh: Fresh,
    /// Bytes read since the caller last set it to 0.
    pub(crate) bytes_read: u64,
    /// Everything is to be known, not only what decides.
    thorough: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(account: &'a Arc<Account>, program: &'a Program) -> Reader<'a> {
        Reader {
            account,
            program,
            known: vec![None; program.looks.len()],
            text: String::new(),
            folded: Vec::new(),
            bytes: 0,
            bytes_read: 0,
            fresh: Fresh::default(),
            thorough: false,
        }
    }

    pub(crate) fn account(&self) -> &'a Arc<Account> {
        self.account
    }

    /// Whether the program finds this message; `known` is what is known of it, by look.
    pub(crate) async fn matches(
        &mut self,
        row: &Row,
        email: &EmailRow,
        known: impl Fn(usize) -> Option<bool>,
    ) -> Result<bool, MailError> {
        for (index, slot) in self.known.iter_mut().enumerate() {
            *slot = known(index);
        }
        if let Some(decided) = self.by_row(row, email) {
            return Ok(decided);
        }
        if self.by_header(email, Some(row.uid)).await?
            && let Some(decided) = self.decide(row)
        {
            return Ok(decided);
        }
        self.by_text(row, email).await?;
        // Everything is known now.
        Ok(self.decide(row).unwrap_or(false))
    }

    /// How much a message is like the strings under FUZZY (RFC 6203 §4).
    pub(crate) async fn score(&mut self, row: &Row, email: &EmailRow) -> Result<u8, MailError> {
        self.known.fill(None);
        self.thorough = true;
        for index in 0..self.known.len() {
            self.look_at_row(index, email);
        }
        self.by_header(email, None).await?;
        if self.known.iter().any(Option::is_none) {
            self.by_text(row, email).await?;
        }
        self.thorough = false;
        let known = |index: usize| self.known[index].unwrap_or(false);
        Ok(fuzzy::score(&self.program.fuzzy, &known))
    }

    fn decide(&self, row: &Row) -> Option<bool> {
        self.program.decide(row, &mut |index| self.known[index])
    }

    /// By what is in the email's row; each look is taken only if it can matter.
    fn by_row(&mut self, row: &Row, email: &EmailRow) -> Option<bool> {
        let program = self.program;
        program.decide(row, &mut |index| self.look_at_row(index, email))
    }

    /// What a look finds in the email's row, if it looks there.
    fn look_at_row(&mut self, index: usize, email: &EmailRow) -> Option<bool> {
        let Reader {
            program,
            known,
            text,
            folded,
            ..
        } = self;
        if known[index].is_none() {
            known[index] = match &program.looks[index] {
                Look::Sent(days) => {
                    // Without a Date there is nothing to compare (RFC 9051 §6.4.4).
                    let date = email.sent_date();
                    Some(date.is_some_and(|date| days.contains(&date.local_day())))
                }
                Look::Thread(thread) => Some(email.thread() == *thread),
                Look::Envelope(field, needle) => {
                    text.clear();
                    let there = envelope_text(email.envelope(), *field, text);
                    Some(there && needle.is_in_with(text, folded))
                }
                Look::Header { .. } | Look::Body(_) | Look::Text(_) => None,
            };
        }
        known[index]
    }

    /// By the header; false if nothing is left to know of header fields. What is read of the message with this UID
    /// is for their columns, too.
    async fn by_header(&mut self, email: &EmailRow, uid: Option<Uid>) -> Result<bool, MailError> {
        let looks = &self.program.looks;
        let mut known = looks.iter().zip(&self.known);
        if !known.any(|(look, known)| matches!(look, Look::Header { .. }) && known.is_none()) {
            return Ok(false);
        }
        let length = email.header_bytes().min(HEADER_BYTES_MAX);
        let header = self.account.read(email, 0..length).await?;
        for (look, known) in looks.iter().zip(&mut self.known) {
            if let Look::Header { name, needle, .. } = look {
                let found = fields(&header)
                    .filter(|field| field.name.eq_ignore_ascii_case(name))
                    .any(|field| {
                        needle.is_empty()
                            || needle
                                .is_in_with(&decode_header_value(field.value), &mut self.folded)
                    });
                *known = Some(found);
            }
        }
        if let Some(uid) = uid {
            self.fresh.add(&self.program.headers, uid, &header);
        }
        self.took_turn(length).await;
        Ok(true)
    }

    /// By the message's texts.
    async fn by_text(&mut self, row: &Row, email: &EmailRow) -> Result<(), MailError> {
        let structure = email.structure()?;
        let whole = match email.size() <= WHOLE_BYTES {
            true => Some(self.account.read(email, 0..email.size()).await?),
            false => None,
        };
        let program = self.program;
        let mut scans = Scans {
            body: Scan::new(&program.body),
            text: Scan::new(&program.text),
        };
        for source in structure.text_sources() {
            let (in_body, range) = match &source {
                TextSource::Header(range) | TextSource::MimeHeader(range) => (false, range.clone()),
                TextSource::EmbeddedHeader(range) => (true, range.clone()),
                TextSource::Body(part) => (true, part.body.clone()),
            };
            if !scans.wants(in_body) {
                continue;
            }
            match source {
                TextSource::Body(part) => {
                    self.body(email, part, whole.as_deref(), &mut scans).await?
                }
                _ => {
                    let end = range.end.min(range.start.saturating_add(HEADER_BYTES_MAX));
                    let header = self
                        .bytes_of(email, whole.as_deref(), range.start..end)
                        .await?;
                    scans.push(&decode_header_text(&header), in_body);
                }
            }
            scans.end_text();
            if self.note(&scans, row) {
                return Ok(());
            }
        }
        for (look, known) in program.looks.iter().zip(&mut self.known) {
            match look {
                Look::Body(index) => *known = Some(scans.body.found(*index)),
                Look::Text(index) => *known = Some(scans.text.found(*index)),
                _ => {}
            }
        }
        self.took_turn(if whole.is_some() { email.size() } else { 0 })
            .await;
        Ok(())
    }

    /// Notes what has been found; true if the rest cannot matter.
    fn note(&mut self, scans: &Scans<'_>, row: &Row) -> bool {
        let mut news = false;
        for (look, known) in self.program.looks.iter().zip(&mut self.known) {
            let found = match look {
                Look::Body(index) => scans.body.found(*index),
                Look::Text(index) => scans.text.found(*index),
                _ => continue,
            };
            if found && known.is_none() {
                *known = Some(true);
                news = true;
            }
        }
        news && !self.thorough && self.decide(row).is_some()
    }

    /// The text of a part.
    async fn body(
        &mut self,
        email: &EmailRow,
        part: &Part,
        whole: Option<&[u8]>,
        scans: &mut Scans<'_>,
    ) -> Result<(), MailError> {
        let mut decoder = TextDecoder::for_part(part);
        let mut text = std::mem::take(&mut self.text);
        let mut at = part.body.start;
        while at < part.body.end {
            let end = match whole {
                Some(_) => part.body.end,
                None => part.body.end.min(at + STEP_BYTES),
            };
            let bytes = self.bytes_of(email, whole, at..end).await?;
            for step in bytes.chunks(64 << 10) {
                text.clear();
                decoder.push(step, &mut text);
                scans.push(&text, true);
            }
            at = end;
            if !scans.wants(true) {
                break;
            }
        }
        text.clear();
        decoder.finish(&mut text);
        scans.push(&text, true);
        self.text = text;
        Ok(())
    }

    async fn bytes_of<'b>(
        &mut self,
        email: &EmailRow,
        whole: Option<&'b [u8]>,
        range: Range<u64>,
    ) -> Result<std::borrow::Cow<'b, [u8]>, MailError> {
        if let Some(whole) = whole {
            // What fits into memory has small offsets.
            let part = whole.get(range.start as usize..range.end as usize);
            return Ok(part.unwrap_or_default().into());
        }
        let length = range.end.saturating_sub(range.start);
        let bytes = self.account.read(email, range).await?;
        self.took_turn(length).await;
        Ok(Vec::from(bytes).into())
    }

    /// Lets others have a turn when much has been read.
    async fn took_turn(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.bytes_read += bytes;
        if self.bytes >= STEP_BYTES {
            self.bytes = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// BODY and TEXT look at different parts of a message.
struct Scans<'p> {
    body: Scan<'p>,
    text: Scan<'p>,
}

impl Scans<'_> {
    fn wants(&self, in_body: bool) -> bool {
        !self.text.is_done() || (in_body && !self.body.is_done())
    }

    fn push(&mut self, text: &str, in_body: bool) {
        self.text.push(text);
        if in_body {
            self.body.push(text);
        }
    }

    fn end_text(&mut self) {
        self.text.end_text();
        self.body.end_text();
    }
}
