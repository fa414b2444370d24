//! A client reads what this crate says of any message: by the grammar, strictly.

use proptest::collection::vec;
use proptest::prelude::*;
use restante_message::{Strings, parse};
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};
use restante_proto::types::{BodyStructure, FetchItem, Response, SinglePartKind, UntaggedData};

const PIECES: [&str; 40] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\r\n\r\n",
    " ",
    "\t",
    "--a\r\n",
    "--a--\r\n",
    "--b\r\n",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/digest; boundary=\"b\"\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: message/global\r\n\r\n",
    "Content-Type: text/html; charset=\"utf-8\"; x=\"\\\"\"\r\n",
    "Content-Type: application/\"x\"; name*0*=utf-8''%C3; name*1*=%BC\r\n",
    "Content-Type: ",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: \"\\\r\n",
    "Content-Disposition: attachment; filename=\"x\\y\"\r\n",
    "Content-Language: de, en\r\n",
    "Content-Location: x y\r\n",
    "Content-MD5: \r\n",
    "Content-ID: <x>\r\n",
    "Content-Description: \"d\\\r\n",
    "Subject: Re: [a] =?utf-8?Q?=C3=BC?=\r\n",
    "Date: 31 Dec 2000 16:01:33 -0800\r\n",
    "From: \"q\\\"\" <b@c>, g: d@e;, <@x:y@z>\r\n",
    "To: undisclosed: ;\r\n",
    "Cc: ü <ü@ü>\r\n",
    "Bcc: (c) x",
    "Sender: ",
    "Reply-To: <<>>\r\n",
    "Message-ID: <a@b>\r\n",
    "In-Reply-To: <\r\n",
    "a",
    "\"",
    "(",
    "{3}",
    "ü",
];

fn mail() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => (0..PIECES.len()).prop_map(|at| PIECES[at].as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn parts(structure: &BodyStructure) -> usize {
    match structure {
        BodyStructure::Multi(multi) => 1 + multi.parts.iter().map(parts).sum::<usize>(),
        BodyStructure::Single(single) => match &single.kind {
            SinglePartKind::Message(_, body, _) => 1 + parts(body),
            _ => 1,
        },
    }
}

fn check(octets: &[u8]) {
    let message = parse(octets);
    for (strings, mode) in [
        (Strings::Literal, Mode::Strict),
        (Strings::Utf8Quoted, Mode::StrictUtf8),
    ] {
        let mut line = b"* 1 FETCH (ENVELOPE ".to_vec();
        message.envelope(strings, &mut line);
        line.extend_from_slice(b" BODY ");
        message.body(strings, &mut line);
        line.extend_from_slice(b" BODYSTRUCTURE ");
        message.bodystructure(strings, &mut line);
        line.extend_from_slice(b")\r\n");
        let mut framer = ResponseFramer::new(ResponseLimits::default());
        framer.push(&line);
        let frame = match framer.next_event() {
            Ok(Some(ResponseEvent::Frame(frame))) => frame,
            other => panic!("{other:?}: {}", line.escape_ascii()),
        };
        assert_eq!(framer.pending(), 0, "{}", line.escape_ascii());
        let items = match decode_response(&frame, mode) {
            Ok(Response::Data(UntaggedData::Fetch { items, .. })) => items,
            other => panic!("{other:?}: {}", line.escape_ascii()),
        };
        let [
            FetchItem::Envelope(_),
            FetchItem::Body(body),
            FetchItem::BodyStructure(full),
        ] = &items[..]
        else {
            panic!("{items:?}")
        };
        assert_eq!(parts(body), parts(full));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_a_message_is(octets in mail()) {
        check(&octets);
    }
}

#[test]
fn the_deepest_message() {
    check(
        "Content-Type: message/rfc822\r\n\r\n"
            .repeat(1000)
            .as_bytes(),
    );
    let mut nested = Vec::new();
    for depth in 0..1000 {
        nested.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n")
                .as_bytes(),
        );
    }
    check(&nested);
}
