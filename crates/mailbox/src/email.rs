//! Emails: their rows, their numbers, and how a message comes in as a stream.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use restante_message::{Limits, Message, Parser, SentDate, SortKeys, Strings, Structure};
use restante_store::{BlobRef, BlobWriter, Put, Staged};

use crate::{
    account::Account,
    codec::{DecodeError, Reader},
    error::{Limit, MailError, Result},
    keys,
    thread::{OnTheWay, Threaded},
    types::{AccountId, EmailId, ThreadId},
};

const VERSION: u8 = 1;
/// Where the blob reference lies in the value, in bytes.
const BLOB_AT: usize = 2;
const SECTIONS_AT: usize = BLOB_AT + BlobRef::BYTES + 8 + 8 + 8 + 8;
const SECTIONS: usize = 5;
const TEXT_AT: usize = SECTIONS_AT + 4 * SECTIONS;
/// A row larger than this is made again with tighter limits.
const ROW_BYTES_MAX: usize = 1 << 20;

/// What lists need of an email: immutable, but for where the store keeps the message.
///
/// The value: version u8, 0 u8, blob reference (24 bytes), thread u64, hash of the Message-ID u64 (0:
/// none), size u64, length of the header block u64, then the lengths (u32) of ENVELOPE, BODYSTRUCTURE,
/// part tree, sort keys and preview, and these one after the other; numbers little-endian.
#[derive(Clone, Debug)]
pub struct EmailRow {
    id: EmailId,
    blob: BlobRef,
    thread: ThreadId,
    message_id: u64,
    size: u64,
    header_bytes: u64,
    ends: [u32; SECTIONS],
    value: Bytes,
}

impl EmailRow {
    /// From the value at the email's key.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn decode(id: EmailId, value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("email", &value);
        let damaged = reader.damaged();
        if reader.u8()? != VERSION || reader.u8()? != 0 {
            return Err(damaged);
        }
        let blob = BlobRef::from_bytes(reader.take(BlobRef::BYTES)?).ok_or(damaged)?;
        let thread = ThreadId(reader.u64_le()?);
        let message_id = reader.u64_le()?;
        let size = reader.u64_le()?;
        let header_bytes = reader.u64_le()?;
        let mut ends = [0; SECTIONS];
        let mut end = u32::try_from(TEXT_AT).map_err(|_| damaged)?;
        for section in &mut ends {
            end = end.checked_add(reader.u32_le()?).ok_or(damaged)?;
            *section = end;
        }
        if end as usize != value.len() || blob.len() != size || header_bytes > size {
            return Err(damaged);
        }
        Ok(Self {
            id,
            blob,
            thread,
            message_id,
            size,
            header_bytes,
            ends,
            value,
        })
    }

    /// Appends what is needed to read the message: [`EmailRow::of_place`] makes a row of it again.
    pub fn put_place(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.blob.to_bytes());
        out.extend_from_slice(&self.header_bytes.to_le_bytes());
    }

    /// A row without texts, of what [`EmailRow::put_place`] wrote: enough to read the message, also if the store has
    /// moved it meanwhile.
    pub fn of_place(id: EmailId, place: &[u8]) -> Option<Self> {
        let (blob, header_bytes) = place.split_at_checked(BlobRef::BYTES)?;
        let blob = BlobRef::from_bytes(blob)?;
        Some(Self {
            id,
            blob,
            thread: ThreadId(0),
            message_id: 0,
            size: blob.len(),
            header_bytes: u64::from_le_bytes(header_bytes.try_into().ok()?),
            ends: [0; SECTIONS],
            value: Bytes::new(),
        })
    }

    /// Its number.
    pub fn id(&self) -> EmailId {
        self.id
    }

    /// Its thread (RFC 8474 §5.2).
    pub fn thread(&self) -> ThreadId {
        self.thread
    }

    /// RFC822.SIZE, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The length of the header block, the blank line included, in bytes. It is the beginning of the
    /// message.
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// Where the message lies in the store.
    pub fn blob(&self) -> &BlobRef {
        &self.blob
    }

    /// ENVELOPE, as it goes to a client.
    pub fn envelope(&self) -> &[u8] {
        self.section(0)
    }

    /// BODYSTRUCTURE, as it goes to a client.
    pub fn bodystructure(&self) -> &[u8] {
        self.section(1)
    }

    /// Appends BODY: BODYSTRUCTURE without its extension data (RFC 9051 §7.5.2).
    pub fn body(&self, out: &mut Vec<u8>) {
        self.copy_structure(out, Keep::default());
    }

    /// Appends BODYSTRUCTURE (`extended`) or BODY for who knows only RFC 3501: there, message/global is a part like
    /// any other, without an envelope and a body (RFC 9755 §6). False if there is no such part; nothing is
    /// appended then.
    pub fn structure_of_rev1(&self, extended: bool, out: &mut Vec<u8>) -> bool {
        let written = self.bodystructure();
        let has_global = memchr::memchr2_iter(b'g', b'G', written).any(|at| {
            let word = at.checked_sub(1).and_then(|at| written.get(at..at + 8));
            word.is_some_and(|word| word.eq_ignore_ascii_case(b"\"global\""))
        });
        if has_global {
            let keep = Keep {
                extensions: extended,
                plain_global: true,
            };
            self.copy_structure(out, keep);
        }
        has_global
    }

    fn copy_structure(&self, out: &mut Vec<u8>, keep: Keep) {
        let start = out.len();
        if copy_structure(self.bodystructure(), out, keep).is_none() {
            // Cannot be: it was written by the same grammar.
            out.truncate(start);
            out.extend_from_slice(b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
        }
    }

    /// The part tree.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn structure(&self) -> Result<Structure> {
        Structure::decode(self.section(2))
            .ok_or_else(|| MailError::damaged(format!("the part tree of email {}", self.id.0)))
    }

    /// The sort keys (RFC 5256), and what the message refers to.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn sort_keys(&self) -> Result<SortKeys> {
        SortKeys::decode(self.section(3))
            .ok_or_else(|| MailError::damaged(format!("the sort keys of email {}", self.id.0)))
    }

    /// The moment of the Date field, if there is a valid one: what date searches compare.
    pub fn sent_date(&self) -> Option<SentDate> {
        SortKeys::decode_sent_date(self.section(3))
    }

    /// The preview text (RFC 8970).
    pub fn preview(&self) -> &str {
        std::str::from_utf8(self.section(4)).unwrap_or_default()
    }

    /// The hash of its Message-ID; 0: it has none.
    pub(crate) fn message_id(&self) -> u64 {
        self.message_id
    }

    /// Memory that it takes, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        (size_of::<Self>() + self.value.len()) as u64
    }

    fn section(&self, index: usize) -> &[u8] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends[before] as usize,
            None => TEXT_AT,
        };
        self.value
            .get(start..self.ends[index] as usize)
            .unwrap_or_default()
    }

    fn encode(message: &Message, sort_keys: &SortKeys, threaded: &Threaded) -> Vec<u8> {
        let size = message.structure().size();
        let header_bytes = message.structure().root().header.end;
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(&[VERSION, 0]);
        out.extend_from_slice(&[0; BlobRef::BYTES]);
        out.extend_from_slice(&threaded.thread.0.to_le_bytes());
        out.extend_from_slice(&threaded.message_id.to_le_bytes());
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&header_bytes.min(size).to_le_bytes());
        out.extend_from_slice(&[0; 4 * SECTIONS]);
        for section in 0..SECTIONS {
            let start = out.len();
            match section {
                0 => message.envelope(Strings::Literal, &mut out),
                1 => message.bodystructure(Strings::Literal, &mut out),
                2 => out.extend_from_slice(&message.structure().encode()),
                3 => out.extend_from_slice(&sort_keys.encode()),
                _ => out.extend_from_slice(message.preview().as_bytes()),
            }
            let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
            let at = SECTIONS_AT + 4 * section;
            out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        out
    }
}

/// What is copied of a BODYSTRUCTURE.
#[derive(Debug, Clone, Copy, Default)]
struct Keep {
    /// Extension data, too.
    extensions: bool,
    /// Of message/global no envelope, body and lines.
    plain_global: bool,
}

/// Copies a BODYSTRUCTURE. `None` if it is not one.
fn copy_structure(from: &[u8], out: &mut Vec<u8>, keep: Keep) -> Option<()> {
    let rest = copy_part(from, out, keep, 0)?;
    rest.is_empty().then_some(())
}

/// Copies one part and gives what follows it.
fn copy_part<'a>(from: &'a [u8], out: &mut Vec<u8>, keep: Keep, depth: u32) -> Option<&'a [u8]> {
    // Deeper than the parser of messages ever goes.
    if depth > 200 {
        return None;
    }
    let mut rest = from.strip_prefix(b"(")?;
    out.push(b'(');
    if rest.starts_with(b"(") {
        while rest.starts_with(b"(") {
            rest = copy_part(rest, out, keep, depth + 1)?;
        }
        rest = copy_item(rest.strip_prefix(b" ")?, b" ", out)?;
    } else {
        let names = &rest[..rest.len().min(b"\"message\" \"global\"".len())];
        let is_global = names.eq_ignore_ascii_case(b"\"message\" \"global\"");
        // type SP subtype SP parameters SP id SP description SP encoding SP octets
        rest = copy_item(rest, b"", out)?;
        for _ in 0..6 {
            rest = copy_item(rest.strip_prefix(b" ")?, b" ", out)?;
        }
        match rest.strip_prefix(b" ") {
            // message/rfc822: envelope, body, lines
            Some(more) if more.starts_with(b"(") && is_global && keep.plain_global => {
                for _ in 0..3 {
                    rest = rest.strip_prefix(b" ")?;
                    rest = &rest[item_length(rest)?..];
                }
            }
            Some(more) if more.starts_with(b"(") => {
                rest = copy_item(more, b" ", out)?;
                out.push(b' ');
                rest = copy_part(rest.strip_prefix(b" ")?, out, keep, depth + 1)?;
                rest = copy_item(rest.strip_prefix(b" ")?, b" ", out)?;
            }
            // text: lines. Extension data begins with a string or NIL.
            Some(more) if more.first().is_some_and(u8::is_ascii_digit) => {
                rest = copy_item(more, b" ", out)?;
            }
            _ => {}
        }
    }
    while let Some(more) = rest.strip_prefix(b" ") {
        rest = match keep.extensions {
            true => copy_item(more, b" ", out)?,
            false => &more[item_length(more)?..],
        };
    }
    out.push(b')');
    rest.strip_prefix(b")")
}

fn copy_item<'a>(from: &'a [u8], before: &[u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (item, rest) = from.split_at_checked(item_length(from)?)?;
    out.extend_from_slice(before);
    out.extend_from_slice(item);
    Some(rest)
}

/// The length of the string, number, NIL or list at the beginning.
fn item_length(bytes: &[u8]) -> Option<usize> {
    let mut open = 0usize;
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            b'(' => {
                open += 1;
                at += 1;
            }
            b')' => {
                open = open.checked_sub(1)?;
                at += 1;
            }
            b' ' => at += 1,
            b'"' => {
                at += 1;
                while *bytes.get(at)? != b'"' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                at += 1;
            }
            b'{' => {
                let digits = &bytes[at + 1..];
                let end = digits.iter().position(|b| *b == b'}')?;
                let length: usize = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
                // `{`, digits, `}`, CR, LF, octets
                at = at.checked_add(end + 4)?.checked_add(length)?;
            }
            _ => {
                let atom = bytes[at..]
                    .iter()
                    .position(|b| matches!(b, b' ' | b'(' | b')'));
                at += atom.unwrap_or(bytes.len() - at).max(1);
            }
        }
        if open == 0 {
            return (at <= bytes.len()).then_some(at);
        }
    }
}

/// Makes EMAILIDs: milliseconds (never below the last used), node, counter.
#[derive(Debug)]
pub(crate) struct EmailIds {
    node: u8,
    /// 42 bits of milliseconds and 14 of counter: the last one given.
    last: AtomicU64,
}

impl EmailIds {
    const COUNTER_BITS: u32 = 14;
    const NODE_BITS: u32 = 8;

    pub(crate) fn new(node: u8) -> Self {
        Self {
            node,
            last: AtomicU64::new(0),
        }
    }

    pub(crate) fn next(&self, now_ms: i64) -> EmailId {
        let now = (now_ms.max(0) as u64 & ((1 << 42) - 1)) << Self::COUNTER_BITS;
        let mut next = 0;
        // When the counter is used up the milliseconds run ahead.
        let _ = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                next = now.max(last + 1);
                Some(next)
            });
        let counter = next & ((1 << Self::COUNTER_BITS) - 1);
        let ms = next >> Self::COUNTER_BITS;
        let high = ms << (Self::COUNTER_BITS + Self::NODE_BITS);
        EmailId(high | u64::from(self.node) << Self::COUNTER_BITS | counter)
    }
}

/// A message on its way in. Dropping it keeps nothing.
pub struct EmailDraft {
    account: Arc<Account>,
    id: EmailId,
    parser: Parser,
    writer: BlobWriter,
    bytes_max: u64,
}

impl std::fmt::Debug for EmailDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmailDraft")
            .field("id", &self.id)
            .field("bytes", &self.writer.len())
            .finish_non_exhaustive()
    }
}

/// A message that is staged: parsed, its row built, ready to be appended to a mailbox.
#[derive(Debug)]
pub struct NewEmail {
    pub(crate) account: AccountId,
    pub(crate) id: EmailId,
    pub(crate) size: u64,
    pub(crate) thread: ThreadId,
    pub(crate) row: Bytes,
    pub(crate) threads: Vec<Put>,
    pub(crate) staged: Staged,
    pub(crate) _on_the_way: OnTheWay,
}

impl EmailDraft {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        let core = &account.core;
        let id = core.email_ids.next(core.now_ms());
        Self {
            id,
            parser: Parser::new(Limits::default()),
            writer: core.store.stage(keys::email(account.id(), id)),
            bytes_max: core.options.message_bytes_max,
            account: account.clone(),
        }
    }

    /// Takes the next bytes of the message.
    ///
    /// # Errors
    /// [`MailError::Limit`] when the message is too large, [`MailError::Full`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.writer.len().saturating_add(bytes.len() as u64) > self.bytes_max {
            return Err(MailError::Limit(Limit::MessageBytes));
        }
        self.parser.push(bytes);
        Ok(self.writer.write(bytes).await?)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.writer.len()
    }

    /// Ends the message: builds its row, finds its thread.
    ///
    /// # Errors
    /// [`MailError::Full`], [`MailError::Unavailable`].
    pub async fn finish(self) -> Result<NewEmail> {
        let Self {
            account,
            id,
            parser,
            writer,
            ..
        } = self;
        let staged = writer.finish().await?;
        let mut message = parser.finish();
        let sort_keys = message.sort_keys();
        let threaded = account
            .threads
            .assign(&account.core, account.id(), &sort_keys, id)
            .await?;
        let mut row = EmailRow::encode(&message, &sort_keys, &threaded);
        if row.len() > ROW_BYTES_MAX {
            // Thousands of parts or addresses: what lists show of it is cut short.
            message = reparse(&staged).await?;
            row = EmailRow::encode(&message, &sort_keys, &threaded);
        }
        Ok(NewEmail {
            account: account.id(),
            id,
            size: staged.len(),
            thread: threaded.thread,
            row: row.into(),
            threads: threaded.puts,
            staged,
            _on_the_way: threaded.on_the_way,
        })
    }
}

/// Parses a staged message under limits that keep its row small.
async fn reparse(staged: &Staged) -> Result<Message> {
    const STEP: u64 = 256 << 10;
    let mut parser = Parser::new(Limits {
        depth: 16,
        parts: 64,
        header_bytes: 128 << 10,
        addresses: 256,
        ..Limits::default()
    });
    let mut at = 0;
    while at < staged.len() {
        let end = (at + STEP).min(staged.len());
        parser.push(&staged.read(at..end).await?);
        at = end;
    }
    Ok(parser.finish())
}

impl NewEmail {
    /// Its number.
    pub fn id(&self) -> EmailId {
        self.id
    }

    /// Its thread.
    pub fn thread(&self) -> ThreadId {
        self.thread
    }

    /// Its size, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn add_to(&self, batch: &mut restante_store::Batch) {
        let key = keys::email(self.account, self.id);
        batch.require_absent.push(key.clone());
        let blob = batch.attach(self.staged.clone());
        let put = Put::with_blob(key, self.row.clone(), blob, BLOB_AT);
        batch.put.push(put);
        batch.put.extend(self.threads.iter().cloned());
    }
}

impl Account {
    /// Begins a message.
    pub fn new_email(self: &Arc<Self>) -> EmailDraft {
        EmailDraft::new(self)
    }

    /// A whole message at once.
    ///
    /// # Errors
    /// As [`EmailDraft::write`] and [`EmailDraft::finish`].
    pub async fn new_email_from(self: &Arc<Self>, message: &[u8]) -> Result<NewEmail> {
        let mut draft = self.new_email();
        draft.write(message).await?;
        draft.finish().await
    }

    /// The rows of emails, in the order asked; `None` for one that is not there.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn emails(&self, ids: &[EmailId]) -> Result<Vec<Option<Arc<EmailRow>>>> {
        let account = self.id();
        let cache = &self.core.emails;
        let mut found = cache.find(account, ids);
        let mut missing: Vec<(EmailId, usize)> = (0..ids.len())
            .filter(|at| found[*at].is_none())
            .map(|at| (ids[at], at))
            .collect();
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        let keep = missing.len() <= EmailCache::READ_MAX;
        for some in missing.chunks(READ_ROWS) {
            let keys: Vec<_> = some
                .iter()
                .map(|(id, _)| keys::email(account, *id))
                .collect();
            let values = self.core.store.get_many(&keys).await?;
            for ((id, at), value) in some.iter().zip(values) {
                let Some(value) = value else {
                    continue;
                };
                let row = Arc::new(EmailRow::decode(*id, value)?);
                if keep {
                    cache.insert(account, row.clone());
                }
                found[*at] = Some(row);
            }
        }
        Ok(found)
    }
}

/// Rows that are read at once; they are sorted, so that the store may scan.
const READ_ROWS: usize = 1024;

/// Rows that were read last, bounded in bytes. One for the process.
#[derive(Debug)]
pub(crate) struct EmailCache {
    bytes_max: u64,
    state: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    bytes: u64,
    rows: HashMap<(AccountId, EmailId), (Arc<EmailRow>, bool)>,
    /// In the order of insertion; one that was used meanwhile gets another turn.
    queue: VecDeque<(AccountId, EmailId)>,
}

impl EmailCache {
    /// A read of more than this passes the cache by.
    const READ_MAX: usize = 1024;

    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, account: AccountId, ids: &[EmailId]) -> Vec<Option<Arc<EmailRow>>> {
        let mut cached = self.lock();
        ids.iter()
            .map(|id| {
                let (row, used) = cached.rows.get_mut(&(account, *id))?;
                *used = true;
                Some(row.clone())
            })
            .collect()
    }

    pub(crate) fn insert(&self, account: AccountId, row: Arc<EmailRow>) {
        let bytes = row.memory_bytes() + 64;
        if bytes > self.bytes_max / 4 {
            return;
        }
        let key = (account, row.id());
        let mut cached = self.lock();
        if cached.rows.insert(key, (row, false)).is_none() {
            cached.queue.push_back(key);
            cached.bytes += bytes;
        }
        while cached.bytes > self.bytes_max {
            let Some(oldest) = cached.queue.pop_front() else {
                break;
            };
            match cached.rows.get_mut(&oldest) {
                Some((_, used)) if *used => {
                    *used = false;
                    cached.queue.push_back(oldest);
                }
                Some((row, _)) => {
                    let bytes = row.memory_bytes() + 64;
                    cached.bytes = cached.bytes.saturating_sub(bytes);
                    cached.rows.remove(&oldest);
                }
                None => {}
            }
        }
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Cached::default();
    }

    /// An email was deleted.
    pub(crate) fn remove(&self, account: AccountId, id: EmailId) {
        let mut cached = self.lock();
        if let Some((row, _)) = cached.rows.remove(&(account, id)) {
            let bytes = row.memory_bytes() + 64;
            cached.bytes = cached.bytes.saturating_sub(bytes);
        }
    }
}

/// A range of a message, cut to what there is: IMAP partials may lie past the end (RFC 9051 §6.4.5).
pub fn clamp(range: Range<u64>, size: u64) -> Range<u64> {
    let start = range.start.min(size);
    start..range.end.clamp(start, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_whatever_the_clock_does() {
        let ids = EmailIds::new(3);
        let mut last = EmailId(0);
        for now in [5, 5, 4, 0, -1, 6, 6] {
            for _ in 0..20_000 {
                let next = ids.next(now);
                assert!(next > last);
                assert_eq!((next.0 >> 14) & 0xff, 3);
                last = next;
            }
        }
    }

    #[test]
    fn bodystructure_becomes_body() {
        let cases: [(&[u8], &[u8]); 3] = [
            (
                br#"("TEXT" "PLAIN" ("CHARSET" "x (y\") z") NIL NIL "7BIT" 12 1 NIL NIL NIL NIL)"#,
                br#"("TEXT" "PLAIN" ("CHARSET" "x (y\") z") NIL NIL "7BIT" 12 1)"#,
            ),
            (
                b"((\"A\" \"B\" NIL NIL {3}\r\n((( \"7BIT\" 1 NIL NIL NIL NIL)(\"TEXT\" \"HTML\" NIL NIL \
                  NIL \"7BIT\" 2 1 NIL NIL NIL NIL) \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)",
                b"((\"A\" \"B\" NIL NIL {3}\r\n((( \"7BIT\" 1)(\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 2 1) \
                  \"MIXED\")",
            ),
            (
                br#"("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL NIL) ("A" "B" NIL NIL NIL "7BIT" 3 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)"#,
                br#"("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL NIL) ("A" "B" NIL NIL NIL "7BIT" 3) 2)"#,
            ),
        ];
        for (given, body) in cases {
            let mut out = Vec::new();
            assert_eq!(copy_structure(given, &mut out, Keep::default()), Some(()));
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(body));
        }
        for broken in [&b"("[..], b"(\"A", b"({9}\r\n", b"(A B"] {
            assert_eq!(
                copy_structure(broken, &mut Vec::new(), Keep::default()),
                None
            );
        }
    }

    #[test]
    fn message_global_is_a_part_like_others_for_rfc_3501() {
        let given = br#"(("Message" "Global" NIL NIL NIL "7BIT" 9 (NIL "a (b") ("A" "B" NIL NIL NIL "7BIT" 3 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL NIL) ("A" "B" NIL NIL NIL "7BIT" 3 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) "MIXED" ("BOUNDARY" "b") NIL NIL NIL)"#;
        let cases: [(bool, &[u8]); 2] = [
            (
                true,
                br#"(("Message" "Global" NIL NIL NIL "7BIT" 9 NIL NIL NIL NIL)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL NIL) ("A" "B" NIL NIL NIL "7BIT" 3 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) "MIXED" ("BOUNDARY" "b") NIL NIL NIL)"#,
            ),
            (
                false,
                br#"(("Message" "Global" NIL NIL NIL "7BIT" 9)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL NIL) ("A" "B" NIL NIL NIL "7BIT" 3) 2) "MIXED")"#,
            ),
        ];
        for (extensions, expected) in cases {
            let keep = Keep {
                extensions,
                plain_global: true,
            };
            let mut out = Vec::new();
            assert_eq!(copy_structure(given, &mut out, keep), Some(()));
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(expected)
            );
        }
    }

    #[test]
    fn ranges_are_cut() {
        assert_eq!(clamp(5..9, 7), 5..7);
        assert_eq!(clamp(9..12, 7), 7..7);
        assert_eq!(clamp(0..7, 7), 0..7);
    }
}
