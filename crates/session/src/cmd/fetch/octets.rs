//! Octets of messages: `BODY[…]`, RFC822 and its kin (RFC 9051 §6.4.5, §7.5.2).
//!
//! A literal is announced after its first octets have been read, and then always filled: where the
//! rest of a message turns out to be damaged, blanks stand for it, and the command ends with NO.

use std::ops::Range;

use bytes::Bytes;
use restante_mailbox::{Account, EmailRow, MailError, clamp};
use restante_message::SectionText as Text;
use restante_proto::types::{Fetch, Partial};

use super::message::{Fetcher, Message, Missing, Response};
use super::plan::{Item, Name, Octets, Plan};
use super::{Problem, problem_is};
use crate::cx::Cx;

/// Octets read at once, and the unit in which the store checks them.
pub(super) const STEP: u64 = 64 << 10;
/// Header fields are looked for in so much of a header; the message parser reads no more of it either.
const HEADER_MAX: u64 = 1 << 20;

impl Fetcher<'_> {
    pub(super) async fn octets(
        &mut self,
        cx: &mut Cx,
        response: &mut Response,
        message: &mut Message<'_>,
        item: &Octets,
    ) -> Result<(), Missing> {
        let origin = item.partial.map(|partial| partial.offset);
        let Some(range) = range(message, item)? else {
            if let Name::Section(section) = &item.name {
                let out = cx.conn.out();
                response.items.written_section_nil(out, section, origin);
            }
            return Ok(());
        };
        if let Name::Section(section) = &item.name
            && let Some((names, not)) = &item.fields
        {
            let header = self.header(message, range).await?;
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            names.select(&header, *not, &mut text);
            let part = cut(0..text.len() as u64, item.partial);
            let out = cx.conn.out();
            let size = part.end - part.start;
            response.items.written_section(out, section, origin, size);
            push_text(out, &text[part.start as usize..part.end as usize]);
            self.text = text;
            return Ok(response.flush_if_large(cx).await?);
        }
        let range = cut(range, item.partial);
        let first = self.read(message, step(&range)).await?;
        let (out, size) = (cx.conn.out(), range.end - range.start);
        match &item.name {
            Name::Section(section) => {
                response.items.written_section(out, section, origin, size);
            }
            Name::Rfc822(name) => response.items.rfc822(out, name, size),
        }
        self.stream(cx, response, message, range, first).await
    }

    /// Sends the octets of a literal that was announced; `first` are those of its first step.
    pub(super) async fn stream(
        &mut self,
        cx: &mut Cx,
        response: &mut Response,
        message: &mut Message<'_>,
        mut range: Range<u64>,
        first: Bytes,
    ) -> Result<(), Missing> {
        let mut octets = first;
        loop {
            range.start += octets.len() as u64;
            push_text(cx.conn.out(), &octets);
            drop(octets);
            response.flush_if_large(cx).await?;
            if range.start >= range.end {
                return Ok(());
            }
            octets = match self.read(message, step(&range)).await {
                Ok(octets) => octets,
                Err(MailError::Damaged { what }) => {
                    tracing::error!(account = self.account.id().0, %what, "a message is damaged");
                    problem_is(&mut self.problem, Problem::Damaged);
                    let step = step(&range);
                    vec![b' '; (step.end - step.start) as usize].into()
                }
                Err(error) => return Err(Missing::All(error.into())),
            };
        }
    }

    /// Reads octets of the message.
    pub(super) async fn read(
        &mut self,
        message: &Message<'_>,
        range: Range<u64>,
    ) -> Result<Bytes, MailError> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        let ahead = &mut self.ahead;
        self.account.read_ahead(message.email, range, ahead).await
    }

    /// The header of the message, or of a message in it. That of the message is kept for its other
    /// items.
    async fn header(
        &mut self,
        message: &mut Message<'_>,
        range: Range<u64>,
    ) -> Result<Bytes, MailError> {
        let range = range.start..range.end.min(range.start.saturating_add(HEADER_MAX));
        let own = range.start == 0;
        if own && let Some(header) = &message.header {
            return Ok(header.clone());
        }
        let header = self.read(message, range).await?;
        if own {
            message.header = Some(header.clone());
        }
        Ok(header)
    }
}

/// The octets of one section of a message, as another command needs them.
#[derive(Debug)]
pub(crate) enum SectionOctets {
    /// Chosen header fields.
    Text(Vec<u8>),
    /// Octets of the message.
    Range(Range<u64>),
}

impl SectionOctets {
    /// Those that the one item of a FETCH asks for; `None` if the message has no such section.
    pub(crate) async fn of(
        account: &Account,
        email: &EmailRow,
        fetch: &Fetch,
    ) -> Result<Option<SectionOctets>, MailError> {
        let plan = Plan::new(fetch, false);
        let octets = plan.items.iter().find_map(|item| match item {
            Item::Octets(octets) => Some(octets),
            _ => None,
        });
        let mut message = Message::new(email);
        let Some(item) = octets else {
            return Ok(None);
        };
        let Some(range) = range(&mut message, item)? else {
            return Ok(None);
        };
        if let Some((names, not)) = &item.fields {
            let end = range.end.min(range.start.saturating_add(HEADER_MAX));
            let header = account.read(email, range.start..end).await?;
            let mut text = Vec::new();
            names.select(&header, *not, &mut text);
            let part = cut(0..text.len() as u64, item.partial);
            text.truncate(part.end as usize);
            text.drain(..part.start as usize);
            return Ok(Some(SectionOctets::Text(text)));
        }
        Ok(Some(SectionOctets::Range(cut(range, item.partial))))
    }

    /// What to read of a range at once.
    pub(crate) fn step(range: &Range<u64>) -> Range<u64> {
        step(range)
    }
}

/// Appends octets of a literal. No literal can hold a NUL, and a length that was announced must stay
/// (RFC 9051 §4.3, §9 `literal`, `CHAR8`): it is sent as 0x80, as other servers do. `BINARY[…]` has it as
/// it is.
pub(crate) fn push_text(out: &mut Vec<u8>, octets: &[u8]) {
    let start = out.len();
    out.extend_from_slice(octets);
    if octets.contains(&0) {
        for octet in &mut out[start..] {
            if *octet == 0 {
                *octet = 0x80;
            }
        }
    }
}

/// The octets that a section names, if the message has it. The sections of the message itself need no
/// part tree.
fn range(message: &mut Message<'_>, item: &Octets) -> Result<Option<Range<u64>>, MailError> {
    let (size, header) = (message.email.size(), message.email.header_bytes());
    if item.path.is_empty() {
        return Ok(match item.text {
            Text::Whole => Some(0..size),
            Text::Header => Some(0..header),
            Text::Text => Some(header..size),
            Text::Mime => None,
        });
    }
    let range = message.structure()?.section(&item.path, item.text);
    Ok(range.map(|range| clamp(range, size)))
}

/// The part of a range that a partial asks for; none of it, if it begins past its end (RFC 9051
/// §6.4.5).
pub(super) fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else {
        return range;
    };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.length).min(range.end)
}

/// The next octets to read: up to a border between the store's blocks.
pub(super) fn step(range: &Range<u64>) -> Range<u64> {
    let border = (range.start / STEP + 1).saturating_mul(STEP);
    range.start..range.end.min(border)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partials_are_cut_to_what_there_is() {
        let partial = |offset, length| Some(Partial { offset, length });
        assert_eq!(cut(10..20, None), 10..20);
        assert_eq!(cut(10..20, partial(0, 5)), 10..15);
        assert_eq!(cut(10..20, partial(5, 50)), 15..20);
        assert_eq!(cut(10..20, partial(10, 1)), 20..20);
        assert_eq!(cut(10..20, partial(u64::MAX, u64::MAX)), 20..20);
    }

    #[test]
    fn steps_end_at_blocks() {
        assert_eq!(step(&(0..10)), 0..10);
        assert_eq!(step(&(5..STEP + 1)), 5..STEP);
        assert_eq!(step(&(STEP..3 * STEP)), STEP..2 * STEP);
    }
}
