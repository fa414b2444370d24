//! What SEARCH, SORT and THREAD compare of emails, in columns that stay in memory: the row of an email is read once,
//! not for each command.

use std::ops::Range;
use std::sync::Arc;

use restante_mailbox::{Account, DerivedBlock, EmailId, EmailRow, MailError, Mailbox, Uid};
use restante_message::{MessageIdHash, SentDate, SortKeys};
use restante_search::{Collation, EnvelopeField, Needle, envelope_text};

/// Stands before each text in a column that is searched: no text has it, so that nothing is found across two.
pub(crate) const BEFORE_TEXT: u8 = 0xff;
/// Stands for a text that is too long for a column.
pub(crate) const LONG_TEXT: &[u8] = &[0xfe];
/// Octets of a text in a column that is searched. Thousands of addresses are not kept.
const TEXT_MAX: usize = 8 << 10;

/// What a column has of each email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derived {
    /// A field of the envelope in the form that is searched; nothing if it is NIL.
    Envelope(EnvelopeField, Collation),
    /// The moment of the Date field; nothing if there is no valid one.
    Sent,
    /// The thread (RFC 8474).
    Thread,
    /// A text that is sorted by, folded.
    Sort(SortText, Collation),
    /// Where the message lies.
    Place,
    /// What threading needs beside the base subject and the date.
    References,
}

/// A text that is sorted by (RFC 5256, RFC 5957).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum SortText {
    BaseSubject,
    From,
    To,
    Cc,
    DisplayFrom,
    DisplayTo,
}

impl Derived {
    /// Its name among the columns of a mailbox.
    fn name(self, account: &Account) -> Arc<[u8]> {
        let (kind, which) = match self {
            Derived::Envelope(field, _) => (0, field as u8),
            Derived::Sent => (1, 0),
            Derived::Thread => (2, 0),
            Derived::Sort(text, _) => (3, text as u8),
            Derived::References => (4, 0),
            Derived::Place => (5, 0),
        };
        let collation = match self {
            Derived::Envelope(_, collation) | Derived::Sort(_, collation) => collation as u8,
            _ => 0,
        };
        if self == Derived::Place {
            let mut name = vec![kind];
            name.extend_from_slice(&account.message_moves().to_le_bytes());
            return name.into();
        }
        Arc::from([kind, which, collation])
    }

    /// Appends the value. `keys` are the email's sort keys, if they were needed before.
    fn derive(
        self,
        email: &EmailRow,
        keys: &mut Option<SortKeys>,
        text: &mut String,
        out: &mut Vec<u8>,
    ) -> Result<(), MailError> {
        match self {
            Derived::Envelope(field, collation) => {
                text.clear();
                if envelope_text(email.envelope(), field, text) {
                    let start = out.len();
                    out.push(BEFORE_TEXT);
                    collation.fold_to_find(text, out);
                    if out.len() - start > TEXT_MAX {
                        out.truncate(start);
                        out.extend_from_slice(LONG_TEXT);
                    }
                }
            }
            Derived::Sent => {
                if let Some(date) = email.sent_date() {
                    out.extend_from_slice(&date.unix_s.to_le_bytes());
                    out.extend_from_slice(&date.zone_minutes.to_le_bytes());
                }
            }
            Derived::Place => email.put_place(out),
            Derived::Thread => out.extend_from_slice(&email.thread().0.to_le_bytes()),
            Derived::Sort(text, collation) => {
                let keys = sort_keys(email, keys)?;
                let text = match text {
                    SortText::BaseSubject => &keys.base_subject,
                    SortText::From => &keys.from,
                    SortText::To => &keys.to,
                    SortText::Cc => &keys.cc,
                    SortText::DisplayFrom => &keys.display_from,
                    SortText::DisplayTo => &keys.display_to,
                };
                collation.fold_to_sort(text, out);
            }
            Derived::References => {
                let keys = sort_keys(email, keys)?;
                out.push(u8::from(keys.is_reply) | u8::from(keys.message_id.is_some()) << 1);
                for id in keys.message_id.iter().chain(&keys.references) {
                    out.extend_from_slice(&id.0.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

fn sort_keys<'k>(
    email: &EmailRow,
    keys: &'k mut Option<SortKeys>,
) -> Result<&'k SortKeys, MailError> {
    if keys.is_none() {
        *keys = Some(email.sort_keys()?);
    }
    Ok(keys.get_or_insert_default())
}

/// A value of [`Derived::Sent`].
pub(crate) fn sent_date(value: &[u8]) -> Option<SentDate> {
    let (unix_s, zone) = value.split_first_chunk()?;
    Some(SentDate {
        unix_s: i64::from_le_bytes(*unix_s),
        zone_minutes: i16::from_le_bytes(zone.try_into().ok()?),
    })
}

/// A value of [`Derived::Thread`].
pub(crate) fn thread_id(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_le_bytes)
}

/// A value of [`Derived::References`].
#[derive(Debug, Default)]
pub(crate) struct References<'v> {
    /// The subject marks a reply or a forward.
    pub(crate) is_reply: bool,
    /// The Message-ID.
    pub(crate) message_id: Option<MessageIdHash>,
    references: &'v [[u8; 8]],
}

impl<'v> References<'v> {
    pub(crate) fn of(value: &'v [u8]) -> References<'v> {
        let Some((flags, ids)) = value.split_first() else {
            return References::default();
        };
        let (mut references, _) = ids.as_chunks();
        let mut message_id = None;
        if flags & 2 != 0
            && let Some((first, others)) = references.split_first()
        {
            message_id = Some(MessageIdHash(u64::from_le_bytes(*first)));
            references = others;
        }
        References {
            is_reply: flags & 1 != 0,
            message_id,
            references,
        }
    }

    /// The ancestors, oldest first.
    pub(crate) fn references(&self) -> impl Iterator<Item = MessageIdHash> + 'v {
        let ids = self.references.iter();
        ids.map(|id| MessageIdHash(u64::from_le_bytes(*id)))
    }
}

/// What a column says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Is(bool),
    /// The email has to be looked at.
    Unknown,
    /// The email is not there any more.
    Gone,
}

/// Values of one column for some messages.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Which of the messages have their value in which block.
    pieces: Vec<(Range<usize>, Arc<DerivedBlock>)>,
}

impl Values {
    /// What blocks say of messages with these UIDs, which ascend.
    pub(crate) fn of_blocks(uids: &[Uid], block: impl Fn(u32) -> Arc<DerivedBlock>) -> Values {
        let mut pieces = Vec::new();
        let mut start = 0;
        for group in uids.chunk_by(|a, b| DerivedBlock::of(*a) == DerivedBlock::of(*b)) {
            let range = start..start + group.len();
            start = range.end;
            pieces.push((range, block(DerivedBlock::of(group[0]))));
        }
        Values { pieces }
    }

    /// Hands over the value of each message, in order; `None` if the email is not there any more. `uids` are those
    /// that the values were read for.
    pub(crate) fn each<'v>(
        &'v self,
        uid: impl Fn(usize) -> Uid,
        mut each: impl FnMut(usize, Option<&'v [u8]>),
    ) {
        for (messages, block) in &self.pieces {
            for index in messages.clone() {
                let place = block.place(uid(index));
                each(index, place.map(|place| block.value(place)));
            }
        }
    }

    /// Hands over whether each message's value, of [`Derived::Envelope`], has the needle.
    pub(crate) fn find(
        &self,
        needle: &Needle,
        uid: impl Fn(usize) -> Uid,
        mut each: impl FnMut(usize, Answer),
    ) {
        let mut hits = Vec::new();
        for (messages, block) in &self.pieces {
            let place = |index| block.place(uid(index));
            // The blocks may have more messages than those.
            let first = messages.clone().find_map(place);
            let last = messages.clone().rev().find_map(place);
            let places = match (first, last) {
                (Some(first), Some(last)) => first..last + 1,
                _ => 0..0,
            };
            hits.clear();
            hits.resize(places.len(), false);
            find_in(block, places.clone(), needle, &mut hits);
            for index in messages.clone() {
                let answer = match place(index) {
                    None => Answer::Gone,
                    Some(place) if block.value(place) == LONG_TEXT => Answer::Unknown,
                    Some(place) => Answer::Is(hits[place - places.start]),
                };
                each(index, answer);
            }
        }
    }
}

/// Marks the messages whose values have the needle, in one pass over all values.
fn find_in(block: &DerivedBlock, places: Range<usize>, needle: &Needle, hits: &mut [bool]) {
    if needle.is_empty() {
        // It is in every text (RFC 9051 §6.4.4).
        for (place, hit) in places.zip(hits) {
            *hit = !block.value(place).is_empty();
        }
        return;
    }
    let numbers = block.numbers(places.clone());
    let start = block.range(numbers.clone()).start;
    let form = block.values(numbers);
    let mut found_in = Vec::new();
    let mut at = 0;
    while let Some(found) = needle.find_in_form(&form[at..]) {
        let number = block.number_at(start + at + found);
        found_in.push(number);
        at = block.range(number..number + 1).end - start;
    }
    if found_in.is_empty() {
        return;
    }
    // The numbers ascend.
    for (place, hit) in places.zip(hits) {
        *hit = found_in.binary_search(&block.number(place)).is_ok();
    }
}

/// Reads columns for messages, whose UIDs ascend: from memory, and from the store what is not there.
pub(crate) async fn read(
    mailbox: &Mailbox,
    columns: &[Derived],
    messages: &[(Uid, EmailId)],
) -> Result<Vec<Values>, MailError> {
    let (account, mailbox) = (mailbox.account(), mailbox.id());
    let names: Vec<_> = columns.iter().map(|column| column.name(account)).collect();
    let mut values: Vec<Values> = columns.iter().map(|_| Values::default()).collect();
    let mut missing = vec![false; messages.len()];
    let mut start = 0;
    for group in messages.chunk_by(|a, b| DerivedBlock::of(a.0) == DerivedBlock::of(b.0)) {
        let range = start..start + group.len();
        start = range.end;
        for (name, values) in names.iter().zip(&mut values) {
            let block = account.derived(mailbox, name, DerivedBlock::of(group[0].0));
            let block = block.unwrap_or_default();
            for (missing, (uid, _)) in missing[range.clone()].iter_mut().zip(group) {
                *missing |= block.place(*uid).is_none();
            }
            values.pieces.push((range.clone(), block));
        }
    }
    let missing: Vec<usize> = (0..messages.len()).filter(|at| missing[*at]).collect();
    if missing.is_empty() {
        return Ok(values);
    }
    let ids: Vec<EmailId> = missing.iter().map(|at| messages[*at].1).collect();
    let emails = account.emails(&ids).await?;
    let mut read = missing.into_iter().zip(&emails).peekable();
    let mut text = String::new();
    let groups = values.first().map_or(0, |values| values.pieces.len());
    for group in 0..groups {
        let end = values[0].pieces[group].0.end;
        let mut more: Vec<DerivedBlock> = columns.iter().map(|_| DerivedBlock::new()).collect();
        while let Some((at, email)) = read.next_if(|(at, _)| *at < end) {
            let Some(email) = email else { continue };
            let (uid, mut keys) = (messages[at].0, None);
            for ((column, more), values) in columns.iter().zip(&mut more).zip(&values) {
                if values.pieces[group].1.place(uid).is_none() {
                    let mut derived = Ok(());
                    more.push(uid, |out| {
                        derived = column.derive(email, &mut keys, &mut text, out);
                    });
                    derived?;
                }
            }
        }
        for ((name, more), values) in names.iter().zip(more).zip(&mut values) {
            if more.is_empty() {
                continue;
            }
            let (range, old) = &mut values.pieces[group];
            let number = DerivedBlock::of(messages[range.start].0);
            let merged = match old.is_empty() {
                true => more,
                false => old.merged(&more),
            };
            *old = account.keep_derived(mailbox, name, number, merged);
        }
    }
    Ok(values)
}
