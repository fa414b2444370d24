//! Known answers of the command decoder: the RFCs' own examples, what the field sends, and what
//! must be refused.

mod base;
mod extensions;
mod fetch;
mod properties;
mod refused;
mod search;

use std::num::NonZeroU32;

use proptest::prelude::*;
use restante_proto::decode::{
    CommandError, DecodeErrorKind, DecodeOptions, SaslLine, decode, decode_set, sasl_line, tag_of,
};
use restante_proto::types::*;

fn try_body(line: &str) -> Result<CommandBody, CommandError> {
    decode(format!("a1 {line}").as_bytes(), &DecodeOptions::default()).map(|command| command.body)
}

fn body(line: &str) -> CommandBody {
    try_body(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

fn nz(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name)
}

fn seq_set(text: &str) -> SeqSet {
    decode_set(text.as_bytes(), &DecodeOptions::default()).unwrap()
}

fn uid_set(text: &str) -> UidSet {
    decode_set(text.as_bytes(), &DecodeOptions::default()).unwrap()
}

fn atom(text: &str) -> Atom {
    Atom::new(text).unwrap()
}

fn date(year: u16, month: u8, day: u8) -> Date {
    Date::new(year, Month::new(month).unwrap(), day).unwrap()
}

/// The attributes of `FETCH 1 …`.
fn attributes(text: &str) -> Vec<FetchAttribute> {
    match body(&format!("FETCH 1 {text}")) {
        CommandBody::Fetch(fetch) => fetch.attributes,
        other => panic!("{other:?}"),
    }
}

/// The key of `SEARCH …`.
fn key(text: &str) -> SearchKey {
    match body(&format!("SEARCH {text}")) {
        CommandBody::Search(search) => search.key,
        other => panic!("{other:?}"),
    }
}

fn list(text: &str) -> List {
    match body(text) {
        CommandBody::List(list) => list,
        other => panic!("{other:?}"),
    }
}
