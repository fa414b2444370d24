//! ENVELOPE (RFC 9051 §7.5.2; RFC 3501 §7.4.2).

use crate::address::{Address, AddressReader};
use crate::header::unfold;
use crate::imap::{Strings, nstring};
use crate::known::{KnownFields, Name};
use crate::message::Message;

impl Message {
    /// Appends the ENVELOPE of the message: always grammatical, without NUL.
    pub fn envelope(&self, strings: Strings, out: &mut Vec<u8>) {
        let mut budget = self.limits.addresses;
        envelope(self.fields_of(0), strings, &mut budget, out);
    }
}

/// Appends the envelope of this header; `budget` is how many addresses may still be written.
pub(crate) fn envelope(
    fields: KnownFields<'_>,
    strings: Strings,
    budget: &mut u32,
    out: &mut Vec<u8>,
) {
    let fields = EnvelopeFields::read(fields);
    let mut reader = AddressReader::default();
    let text = |value: Option<&[u8]>, out: &mut Vec<u8>| {
        nstring(strings, value.map(unfold).as_deref(), out);
    };
    out.push(b'(');
    text(fields.date, out);
    out.push(b' ');
    text(fields.subject, out);
    out.push(b' ');
    let from = out.len();
    let from_count = address_list(&fields.from, &mut reader, strings, budget, out);
    let from = from..out.len();
    for list in [&fields.sender, &fields.reply_to] {
        out.push(b' ');
        let start = out.len();
        let count = address_list(list, &mut reader, strings, budget, out);
        // An absent or empty one has the value of From.
        if count == 0 && from_count <= *budget {
            *budget -= from_count;
            out.truncate(start);
            out.extend_from_within(from.clone());
        }
    }
    for list in [&fields.to, &fields.cc, &fields.bcc] {
        out.push(b' ');
        address_list(list, &mut reader, strings, budget, out);
    }
    out.push(b' ');
    text(fields.in_reply_to, out);
    out.push(b' ');
    text(fields.message_id, out);
    out.push(b')');
}

/// The values of the fields that an envelope is made of. The first of one name counts, except
/// that lists of recipients are read on.
#[derive(Default)]
pub(crate) struct EnvelopeFields<'a> {
    pub(crate) date: Option<&'a [u8]>,
    pub(crate) subject: Option<&'a [u8]>,
    pub(crate) from: Values<'a>,
    pub(crate) sender: Values<'a>,
    pub(crate) reply_to: Values<'a>,
    pub(crate) to: Values<'a>,
    pub(crate) cc: Values<'a>,
    pub(crate) bcc: Values<'a>,
    pub(crate) in_reply_to: Option<&'a [u8]>,
    pub(crate) message_id: Option<&'a [u8]>,
    pub(crate) references: Option<&'a [u8]>,
}

/// The values of fields of one name.
#[derive(Default)]
pub(crate) struct Values<'a> {
    first: Option<&'a [u8]>,
    more: Vec<&'a [u8]>,
}

impl<'a> Values<'a> {
    fn set(&mut self, value: &'a [u8]) {
        self.first.get_or_insert(value);
    }

    fn add(&mut self, value: &'a [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.more.push(value),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }
}

impl<'a> EnvelopeFields<'a> {
    pub(crate) fn read(fields: KnownFields<'a>) -> EnvelopeFields<'a> {
        let mut found = EnvelopeFields::default();
        for (name, value) in fields.iter() {
            match name {
                Name::Date => _ = found.date.get_or_insert(value),
                Name::Subject => _ = found.subject.get_or_insert(value),
                Name::From => found.from.set(value),
                Name::Sender => found.sender.set(value),
                Name::ReplyTo => found.reply_to.set(value),
                Name::To => found.to.add(value),
                Name::Cc => found.cc.add(value),
                Name::Bcc => found.bcc.add(value),
                Name::InReplyTo => _ = found.in_reply_to.get_or_insert(value),
                Name::MessageId => _ = found.message_id.get_or_insert(value),
                Name::References => _ = found.references.get_or_insert(value),
                _ => {}
            }
        }
        found
    }
}

/// Appends `"(" 1*address ")" / nil`; returns the number of addresses.
fn address_list(
    values: &Values<'_>,
    reader: &mut AddressReader,
    strings: Strings,
    budget: &mut u32,
    out: &mut Vec<u8>,
) -> u32 {
    let start = out.len();
    let mut count = 0;
    let mut in_group = false;
    for value in values.iter() {
        reader.read(value, &mut |address| {
            // The end of a group costs nothing, so that it is always there.
            let is_end = address.mailbox.is_none() && address.host.is_none();
            if !is_end && *budget == 0 {
                return in_group;
            }
            if !is_end {
                *budget -= 1;
                in_group |= address.host.is_none();
            } else {
                in_group = false;
            }
            if count == 0 {
                out.push(b'(');
            }
            count += 1;
            write_address(address, strings, out);
            true
        });
    }
    if count == 0 {
        out.truncate(start);
        out.extend_from_slice(b"NIL");
    } else {
        out.push(b')');
    }
    count
}

fn write_address(address: Address<'_>, strings: Strings, out: &mut Vec<u8>) {
    out.push(b'(');
    for (index, text) in [address.name, address.route, address.mailbox, address.host]
        .into_iter()
        .enumerate()
    {
        if index > 0 {
            out.push(b' ');
        }
        nstring(strings, text, out);
    }
    out.push(b')');
}
