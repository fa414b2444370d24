//! What SORT, THREAD and date searches compare (RFC 5256, RFC 5957).

use crate::address::{Address, addresses};
use crate::charset::guess_text;
use crate::codec::{Input, put_bytes, put_number};
use crate::date::{SentDate, parse_date};
use crate::encoded_word::decode_header;
use crate::envelope::{EnvelopeFields, Values};
use crate::known::{self, KnownFields};
use crate::message::Message;
use crate::message_id::{MessageIdHash, message_id, message_ids};
use crate::subject::base_subject;

const VERSION: u8 = 1;
/// Octets kept of a text; longer ones are cut at a character.
const TEXT_MAX: usize = 255;
/// Of a base subject as much as a line of a header may hold (RFC 5322 §2.1.1): to compare less would thread and sort
/// messages together whose subjects differ.
const SUBJECT_MAX: usize = 998;
/// References kept: the first, which is the root of the thread, and the newest.
const REFERENCES_MAX: usize = 32;

/// The keys of one message. What it does not have is the empty string or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortKeys {
    /// The Date field. Without one the internal date is the sent date (RFC 5256 §2.2).
    pub sent_date: Option<SentDate>,
    /// The base subject, in its own case.
    pub base_subject: String,
    /// The subject marks a reply or a forward.
    pub is_reply: bool,
    /// `addr-mailbox` of the first From address.
    pub from: String,
    /// `addr-mailbox` of the first To address.
    pub to: String,
    /// `addr-mailbox` of the first Cc address.
    pub cc: String,
    /// What DISPLAYFROM sorts by: the decoded name, else the address (RFC 5957 §3).
    pub display_from: String,
    /// What DISPLAYTO sorts by.
    pub display_to: String,
    /// The Message-ID.
    pub message_id: Option<MessageIdHash>,
    /// The ancestors, oldest first: References, or the first Message-ID of In-Reply-To if there
    /// are none (RFC 5256 §3).
    pub references: Vec<MessageIdHash>,
    /// The first Message-ID of In-Reply-To.
    pub in_reply_to: Option<MessageIdHash>,
}

impl Message {
    /// The sort keys of the message.
    pub fn sort_keys(&self) -> SortKeys {
        SortKeys::of_fields(self.fields_of(0))
    }
}

impl SortKeys {
    /// The sort keys of a message with this header.
    pub fn of_header(header: &[u8]) -> SortKeys {
        // Positions are 32-bit numbers.
        let text = &header[..header.len().min(u32::MAX as usize)];
        let mut known = Vec::new();
        known::find(text, 0, &mut known);
        SortKeys::of_fields(KnownFields {
            known: &known,
            text,
        })
    }

    fn of_fields(fields: KnownFields<'_>) -> SortKeys {
        let fields = EnvelopeFields::read(fields);
        let base = base_subject(&decode_header(fields.subject.unwrap_or(b"")));
        let hash = |id: Vec<u8>| MessageIdHash::of(&id);
        let in_reply_to = fields
            .in_reply_to
            .and_then(|value| valid_ids(value).next())
            .map(hash);
        let mut references = references(fields.references.unwrap_or(b""));
        if references.is_empty() {
            references.extend(in_reply_to);
        }
        let (from, display_from) = first_address(&fields.from);
        let (to, display_to) = first_address(&fields.to);
        let (cc, _) = first_address(&fields.cc);
        SortKeys {
            sent_date: fields.date.and_then(parse_date),
            base_subject: cut(base.text, SUBJECT_MAX),
            is_reply: base.is_reply,
            from,
            to,
            cc,
            display_from,
            display_to,
            message_id: fields.message_id.and_then(message_id).map(hash),
            references,
            in_reply_to,
        }
    }

    /// The compact form, at most about 2.6 KB, commonly 150 octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.push(
            u8::from(self.is_reply)
                | u8::from(self.sent_date.is_some()) << 1
                | u8::from(self.message_id.is_some()) << 2
                | u8::from(self.in_reply_to.is_some()) << 3
                // The usual case: the parent is the last reference.
                | u8::from(self.in_reply_to == self.references.last().copied()) << 4,
        );
        if let Some(date) = self.sent_date {
            put_signed(&mut out, date.unix_s);
            put_signed(&mut out, date.zone_minutes.into());
        }
        for text in self.texts() {
            put_bytes(&mut out, text.as_bytes());
        }
        put_number(&mut out, self.references.len() as u64);
        let parent = self
            .in_reply_to
            .filter(|_| self.in_reply_to != self.references.last().copied());
        for id in self
            .message_id
            .iter()
            .chain(&self.references)
            .chain(&parent)
        {
            out.extend_from_slice(&id.0.to_be_bytes());
        }
        out
    }

    /// The sent date alone of what [`SortKeys::encode`] wrote; `None` as well if it is damaged.
    pub fn decode_sent_date(bytes: &[u8]) -> Option<SentDate> {
        let mut input = Input { rest: bytes };
        if input.byte()? != VERSION || input.byte()? >> 1 & 1 == 0 {
            return None;
        }
        Some(SentDate {
            unix_s: signed(input.number()?),
            zone_minutes: i16::try_from(signed(input.number()?)).ok()?,
        })
    }

    /// Reads what [`SortKeys::encode`] wrote; `None` if it is damaged or of a later version.
    pub fn decode(bytes: &[u8]) -> Option<SortKeys> {
        let mut input = Input { rest: bytes };
        if input.byte()? != VERSION {
            return None;
        }
        let flags = input.byte()?;
        let has = |bit: u8| flags >> bit & 1 == 1;
        let mut keys = SortKeys {
            is_reply: has(0),
            ..SortKeys::default()
        };
        if has(1) {
            let unix_s = signed(input.number()?);
            let zone_minutes = i16::try_from(signed(input.number()?)).ok()?;
            keys.sent_date = Some(SentDate {
                unix_s,
                zone_minutes,
            });
        }
        for text in keys.texts_mut() {
            *text = input.text()?.to_owned();
        }
        let count = usize::try_from(input.number()?).ok()?;
        if count > input.rest.len() / 8 {
            return None;
        }
        let mut hash = || {
            let (bytes, rest) = input.rest.split_first_chunk::<8>()?;
            input.rest = rest;
            Some(MessageIdHash(u64::from_be_bytes(*bytes)))
        };
        if has(2) {
            keys.message_id = Some(hash()?);
        }
        for _ in 0..count {
            keys.references.push(hash()?);
        }
        if has(3) {
            keys.in_reply_to = if has(4) {
                keys.references.last().copied()
            } else {
                Some(hash()?)
            };
        }
        input.rest.is_empty().then_some(keys)
    }

    fn texts(&self) -> [&String; 6] {
        [
            &self.base_subject,
            &self.from,
            &self.to,
            &self.cc,
            &self.display_from,
            &self.display_to,
        ]
    }

    fn texts_mut(&mut self) -> [&mut String; 6] {
        [
            &mut self.base_subject,
            &mut self.from,
            &mut self.to,
            &mut self.cc,
            &mut self.display_from,
            &mut self.display_to,
        ]
    }
}

/// `addr-mailbox` of the first address, and what DISPLAY sorts by.
fn first_address(values: &Values<'_>) -> (String, String) {
    let mut found = None;
    for value in values.iter() {
        addresses(value, &mut |address| {
            found = Some((
                address.mailbox.map(guess_text).unwrap_or_default(),
                display(address),
            ));
            false
        });
        if found.is_some() {
            break;
        }
    }
    let (mailbox, display) = found.unwrap_or_default();
    (cut(mailbox, TEXT_MAX), cut(display, TEXT_MAX))
}

/// The DISPLAY sort value of an address (RFC 5957 §3).
fn display(address: Address<'_>) -> String {
    let name = address.name.map(decode_header).unwrap_or_default();
    if !name.is_empty() {
        return name;
    }
    let mailbox = address.mailbox.map(guess_text).unwrap_or_default();
    match address.host {
        // Not NIL, as ENVELOPE has it, also if it is empty.
        Some(host) => format!("{mailbox}@{}", guess_text(host)),
        None => mailbox,
    }
}

/// What a message says it answers. What has no `@` is no Message-ID (RFC 5322 §3.6.4): `<yes>`,
/// told to a program that asked for one, would make one thread of all mail with that answer.
fn valid_ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    message_ids(value).filter(|id| id.contains(&b'@'))
}

fn references(value: &[u8]) -> Vec<MessageIdHash> {
    let mut kept: Vec<MessageIdHash> = Vec::new();
    let mut newest = std::collections::VecDeque::new();
    for id in valid_ids(value) {
        let hash = MessageIdHash::of(&id);
        if kept.is_empty() {
            kept.push(hash);
            continue;
        }
        if newest.len() == REFERENCES_MAX - 1 {
            newest.pop_front();
        }
        newest.push_back(hash);
    }
    kept.extend(newest);
    kept
}

fn cut(mut text: String, octets_max: usize) -> String {
    text.truncate(text.floor_char_boundary(octets_max));
    text
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, (number << 1 ^ number >> 63) as u64);
}

fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_reply() {
        let header = b"Date: 31 Dec 2000 16:01:33 -0800\r\n\
            From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.org>, b@example.org\r\n\
            To: plain@example.org\r\nCc: Team:c@example.org;\r\n\
            Subject: Re: [list] =?iso-8859-1?Q?Gr=FC=DFe?= (fwd)\r\n\
            Message-ID: <3@x>\r\nReferences: <1@x>\r\n <\"2\"@x>\r\nIn-Reply-To: <2@x>\r\n\r\n";
        let keys = SortKeys::of_header(header);
        let hash = |id: &[u8]| MessageIdHash::of(id);
        assert_eq!(keys.sent_date.map(|date| date.unix_s), Some(978_307_293));
        assert_eq!(keys.base_subject, "Grüße");
        assert!(keys.is_reply);
        assert_eq!((&keys.from[..], &keys.display_from[..]), ("joerg", "Jörg"));
        assert_eq!(
            (&keys.to[..], &keys.display_to[..]),
            ("plain", "plain@example.org")
        );
        assert_eq!(keys.cc, "Team");
        assert_eq!(keys.message_id, Some(hash(b"3@x")));
        assert_eq!(keys.references, [hash(b"1@x"), hash(b"2@x")]);
        assert_eq!(keys.in_reply_to, Some(hash(b"2@x")));
        let encoded = keys.encode();
        assert!(encoded.len() < 100, "{}", encoded.len());
        assert_eq!(SortKeys::decode_sent_date(&encoded), keys.sent_date);
        assert_eq!(SortKeys::decode(&encoded), Some(keys));
    }

    #[test]
    fn what_is_no_message_id_is_no_reference() {
        let keys = SortKeys::of_header(b"In-Reply-To: <no> <c@d>\r\nReferences: <yes>\r\n\r\n");
        assert_eq!(keys.references, [MessageIdHash::of(b"c@d")]);
        let keys = SortKeys::of_header(b"References: <a@b> <yes> <c@d>\r\n\r\n");
        let expected = [MessageIdHash::of(b"a@b"), MessageIdHash::of(b"c@d")];
        assert_eq!(keys.references, expected);
    }

    #[test]
    fn in_reply_to_stands_in_for_references() {
        let keys = SortKeys::of_header(b"In-Reply-To: <a@b> <c@d>\r\nReferences: none\r\n\r\n");
        assert_eq!(keys.references, [MessageIdHash::of(b"a@b")]);
        assert_eq!(SortKeys::decode(&keys.encode()), Some(keys));
    }

    #[test]
    fn keys_are_bounded() {
        let mut header = b"Subject: ".to_vec();
        header.extend("é".repeat(10_000).into_bytes());
        header.extend_from_slice(b"\r\nReferences:");
        for number in 0..10_000 {
            header.extend_from_slice(format!(" <{number}@x>").as_bytes());
        }
        header.extend_from_slice(b"\r\n\r\n");
        let keys = SortKeys::of_header(&header);
        assert_eq!(keys.base_subject.len(), 998);
        assert_eq!(keys.references.len(), REFERENCES_MAX);
        assert_eq!(keys.references[0], MessageIdHash::of(b"0@x"));
        assert_eq!(keys.references.last(), Some(&MessageIdHash::of(b"9999@x")));
        assert!(keys.encode().len() < 1_300);
    }

    #[test]
    fn an_empty_header_has_empty_keys() {
        let keys = SortKeys::of_header(b"");
        assert_eq!(keys, SortKeys::default());
        assert_eq!(SortKeys::decode_sent_date(&keys.encode()), None);
        assert_eq!(SortKeys::decode(&keys.encode()), Some(keys));
    }
}
