//! Known answers of the encoder, mostly the RFCs' own examples; each is read back by the strict
//! decoder of the client half.

mod data;
mod fetch;
mod properties;
mod status;

use std::num::NonZeroU32;

use bytes::Bytes;
use proptest::prelude::*;
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};
use restante_proto::encode::{FetchItems, Writer};
use restante_proto::types::*;

fn encode(response: &Response, utf8: bool) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, utf8).response(response);
    out
}

fn read_back(bytes: &[u8], utf8: bool) -> Response {
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    framer.push(bytes);
    let Ok(Some(ResponseEvent::Frame(frame))) = framer.next_event() else {
        panic!("no frame: {}", bytes.escape_ascii())
    };
    assert_eq!(framer.pending(), 0, "{}", bytes.escape_ascii());
    let mode = if utf8 { Mode::StrictUtf8 } else { Mode::Strict };
    decode_response(&frame, mode).unwrap_or_else(|e| panic!("{e:?}: {}", bytes.escape_ascii()))
}

/// The response is sent as `expected` and read back as it was.
fn check(response: Response, expected: &str) {
    let bytes = encode(&response, false);
    assert_eq!(
        bytes.escape_ascii().to_string(),
        expected.as_bytes().escape_ascii().to_string()
    );
    assert_eq!(read_back(&bytes, false), response);
}

fn data(data: UntaggedData, expected: &str) {
    check(Response::Data(data), &format!("* {expected}\r\n"));
}

fn ok(code: Code, expected: &str) {
    let status = StatusResponse {
        tag: None,
        condition: Condition::Ok,
        code: Some(code),
        text: "x".into(),
    };
    check(
        Response::Status(status),
        &format!("* OK [{expected}] x\r\n"),
    );
}

fn nz(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

fn validity(n: u32) -> UidValidity {
    UidValidity::new(n).unwrap()
}

fn uids(ranges: &[(u32, u32)]) -> UidSet {
    UidSet::from_ranges(ranges.iter().map(|(a, b)| (uid(*a), uid(*b))))
}

fn ids(ranges: &[(u32, u32)]) -> IdSet {
    IdSet::from_ranges(ranges.iter().map(|(a, b)| (nz(*a), nz(*b))))
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name)
}

fn tag(tag: &str) -> Tag {
    Tag::new(tag).unwrap()
}

fn atom(text: &str) -> Atom {
    Atom::new(text).unwrap()
}

fn object(id: &str) -> ObjectId {
    ObjectId::new(id).unwrap()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn moment() -> DateTime {
    // 17-Jul-1996 02:44:25 -0700
    DateTime::new(837_596_665, -420).unwrap()
}
