//! Columns of header fields against the headers.

use std::sync::Arc;

use proptest::prelude::*;
use restante_mailbox::{EmailId, EmailRow, Mailbox, Uid};
use restante_message::{decode_header_value, fields};
use restante_search::{Collation, Needle};

use crate::columns::Answer;
use crate::columns_tests::{append, mailbox};
use crate::header_columns::{Fresh, HeaderField, known};

const NAMES: [&str; 7] = ["X-A", "x-a", "X-AA", "List-Id", "From", "X\u{c4}", ""];

/// A message whose header has fields of those names, and what looks like such.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        8 => prop::sample::select(&NAMES[..]).prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(b"X-A ".to_vec()),
        1 => Just(b" X-A".to_vec()),
        1 => Just(vec![b'x'; 64]),
        1 => "[ -~]{0,5}".prop_map(String::into_bytes),
    ];
    let text = prop_oneof![
        4 => "[a-cA-C\t ]{0,6}".prop_map(String::into_bytes),
        2 => "[aÄäßİıﬁ\u{fdfa}\u{301}]{0,4}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec![
            "=?utf-8?Q?=C3=84b?=", "=?utf-8?Q?a?= \r\n =?utf-8?Q?b?=", "=?iso-8859-1?Q?=E4?=",
            "=?utf-8?B?//79?=", "=?none?Q?a?=", "=?utf-8?Q?=0D=0Ab?=", "a\r\n\tb", "a\n b", "a\r\n \r\n b",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        // About as long as what is kept, and longer.
        1 => (4090..4100_usize, "[a-c]").prop_map(|(n, c)| (c + &"b".repeat(n)).into_bytes()),
        1 => Just([b"a".repeat(8200), b"c".to_vec()].concat()),
        1 => Just(b"=?utf-8?Q??= ".repeat(800)),
    ];
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("")];
    let field = (name, prop_oneof![9 => Just(":"), 1 => Just("")], text, end).prop_map(
        |(mut field, colon, text, end)| {
            field.extend_from_slice(colon.as_bytes());
            field.extend_from_slice(&text);
            field.extend_from_slice(end.as_bytes());
            field
        },
    );
    let body = prop_oneof![Just(""), Just("\r\n"), Just("\r\nX-A: abc\r\n")];
    (prop::collection::vec(field, 0..8), body)
        .prop_map(|(fields, body)| [fields.concat(), body.as_bytes().to_vec()].concat())
}

/// What the header says: some field of that name has the needle (RFC 9051 §6.4.4).
fn has(header: &[u8], name: &[u8], needle: &Needle) -> bool {
    fields(header)
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .any(|field| needle.is_empty() || needle.is_in(&decode_header_value(field.value)))
}

/// Whether so much of the header is of that name that the column may leave it out.
fn is_long(header: &[u8], name: &[u8]) -> bool {
    let of_name = fields(header).filter(|field| field.name.eq_ignore_ascii_case(name));
    // The forms of what is tested are longer than the texts by less than 18 times.
    of_name.map(|field| field.value.len() + 1).sum::<usize>() > 200
}

async fn header(mailbox: &Mailbox, email: &EmailRow) -> Vec<u8> {
    let bytes = mailbox.account().read(email, 0..email.header_bytes());
    bytes.await.expect("a header").to_vec()
}

/// Compares what the columns know of these messages with their headers; says how much they do not know.
fn compare(
    mailbox: &Mailbox,
    of: &[HeaderField],
    names: &[Vec<u8>],
    messages: &[(Uid, Vec<u8>)],
    needles: &[&str],
    collation: Collation,
) -> usize {
    let uids: Vec<Uid> = messages.iter().map(|message| message.0).collect();
    let mut unknown = 0;
    for (values, name) in known(mailbox, of, &uids).iter().zip(names) {
        for needle in needles {
            let needle = Needle::new(needle, collation);
            let mut seen = 0;
            values.find(
                &needle,
                |at| uids[at],
                |at, answer| {
                    assert_eq!(at, seen, "in order, each once");
                    seen += 1;
                    let header = &messages[at].1;
                    match answer {
                        Answer::Is(is) => assert_eq!(is, has(header, name, &needle)),
                        Answer::Unknown => assert!(is_long(header, name)),
                        Answer::Gone => unknown += 1,
                    }
                },
            );
            assert_eq!(seen, messages.len());
        }
    }
    unknown
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// Some messages are searched, then others, then all: what columns know is what the headers say.
    #[test]
    fn as_the_headers_say(
        texts in prop::collection::vec(message(), 1..10),
        masks in prop::collection::vec(any::<u16>(), 2),
        needles in prop::collection::vec("[a-cA-CÄßiﬁ ]{0,2}", 1..5),
    ) {
        let needles: Vec<&str> = needles.iter().map(String::as_str).chain([""]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (_mail, mailbox) = mailbox().await;
            let all = with_headers(&mailbox, &append(&mailbox, &texts).await).await;
            for collation in Collation::ALL {
                let mut names: Vec<Vec<u8>> = NAMES.iter().map(|name| name.as_bytes().to_vec()).collect();
                names.push(vec![b'X'; 64]);
                let field = |name: &Vec<u8>| HeaderField::new(name, collation).expect("a column");
                let of: Vec<HeaderField> = names.iter().map(field).collect();
                for mask in masks.iter().copied().chain([u16::MAX]) {
                    let some = all.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
                    let some: Vec<_> = some.map(|(_, message)| message.clone()).collect();
                    compare(&mailbox, &of, &names, &some, &needles, collation);
                    let mut fresh = Fresh::default();
                    for (uid, header) in &some {
                        fresh.add(&of, *uid, header);
                    }
                    fresh.keep(&mailbox, &of);
                    // Nothing is unknown that was read.
                    assert_eq!(compare(&mailbox, &of, &names, &some, &needles, collation), 0);
                    compare(&mailbox, &of, &names, &all, &needles, collation);
                }
            }
        });
    }
}

async fn with_headers(mailbox: &Arc<Mailbox>, messages: &[(Uid, EmailId)]) -> Vec<(Uid, Vec<u8>)> {
    let ids: Vec<EmailId> = messages.iter().map(|message| message.1).collect();
    let emails = mailbox.account().emails(&ids).await.expect("emails");
    let mut all = Vec::new();
    for ((uid, _), email) in messages.iter().zip(&emails) {
        let email = email.as_ref().expect("an email");
        all.push((*uid, header(mailbox, email).await));
    }
    all
}

#[tokio::test]
async fn memory_for_what_is_read_is_bounded() {
    let (_mail, mailbox) = mailbox().await;
    assert!(HeaderField::new(&[b'x'; 65], Collation::Octet).is_none());
    let of = [HeaderField::new(b"X-A", Collation::Octet).expect("a column")];
    let header = [b"X-A: ".to_vec(), b"a".repeat(4000)].concat();
    let uids: Vec<Uid> = (1..10_000).filter_map(Uid::new).collect();
    let mut fresh = Fresh::default();
    for uid in &uids {
        fresh.add(&of, *uid, &header);
    }
    fresh.keep(&mailbox, &of);
    let count = || {
        let mut count = 0;
        known(&mailbox, &of, &uids)[0]
            .each(|at| uids[at], |_, value| count += value.is_some() as u32);
        count
    };
    let octets = count() * 4001;
    assert!((8 << 20..(8 << 20) + 8192).contains(&octets), "{octets}");
    // The rest comes with later searches.
    let mut fresh = Fresh::default();
    for uid in uids.iter().skip(2000) {
        fresh.add(&of, *uid, &header);
    }
    fresh.keep(&mailbox, &of);
    assert!(count() * 4001 > 12 << 20);
}
