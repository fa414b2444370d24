//! ENVELOPE (RFC 9051 §7.5.2; RFC 3501 §7.4.2).

use crate::address::{Address, addresses};
use crate::header::{fields, unfold};
use crate::imap::{Strings, nstring};
use crate::message::Message;

impl Message {
    /// Appends the ENVELOPE of the message: always grammatical, without NUL.
    pub fn envelope(&self, strings: Strings, out: &mut Vec<u8>) {
        let mut budget = self.limits.addresses;
        envelope(self.header(), strings, &mut budget, out);
    }
}

/// Appends the envelope of this header; `budget` is how many addresses may still be written.
pub(crate) fn envelope(header: &[u8], strings: Strings, budget: &mut u32, out: &mut Vec<u8>) {
    let fields = EnvelopeFields::read(header);
    let text = |value: Option<&[u8]>, out: &mut Vec<u8>| {
        nstring(strings, value.map(unfold).as_deref(), out);
    };
    out.push(b'(');
    text(fields.date, out);
    out.push(b' ');
    text(fields.subject, out);
    out.push(b' ');
    let from = out.len();
    let from_count = address_list(&fields.from, strings, budget, out);
    let from = from..out.len();
    for list in [&fields.sender, &fields.reply_to] {
        out.push(b' ');
        let start = out.len();
        let count = address_list(list, strings, budget, out);
        // An absent or empty one has the value of From.
        if count == 0 && from_count <= *budget {
            *budget -= from_count;
            out.truncate(start);
            out.extend_from_within(from.clone());
        }
    }
    for list in [&fields.to, &fields.cc, &fields.bcc] {
        out.push(b' ');
        address_list(list, strings, budget, out);
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
    pub(crate) fn read(header: &'a [u8]) -> EnvelopeFields<'a> {
        let mut found = EnvelopeFields::default();
        for field in fields(header) {
            let value = field.value;
            let is = |name: &[u8]| field.name.eq_ignore_ascii_case(name);
            // By length first: most fields of real mail are none of these.
            match field.name.len() {
                2 if is(b"to") => found.to.add(value),
                2 if is(b"cc") => found.cc.add(value),
                3 if is(b"bcc") => found.bcc.add(value),
                4 if is(b"date") => _ = found.date.get_or_insert(value),
                4 if is(b"from") => found.from.set(value),
                6 if is(b"sender") => found.sender.set(value),
                7 if is(b"subject") => _ = found.subject.get_or_insert(value),
                8 if is(b"reply-to") => found.reply_to.set(value),
                10 if is(b"message-id") => _ = found.message_id.get_or_insert(value),
                10 if is(b"references") => _ = found.references.get_or_insert(value),
                11 if is(b"in-reply-to") => _ = found.in_reply_to.get_or_insert(value),
                _ => {}
            }
        }
        found
    }
}

/// Appends `"(" 1*address ")" / nil`; returns the number of addresses.
fn address_list(values: &Values<'_>, strings: Strings, budget: &mut u32, out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    let mut count = 0;
    let mut in_group = false;
    for value in values.iter() {
        addresses(value, &mut |address| {
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
