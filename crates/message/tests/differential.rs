//! On ordinary messages another parser sees the same.

use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;
use restante_message::{
    Kind, Structure, TextDecoder, decode_header, field, message_ids, parse, parse_date,
};

/// A well-formed part of at most three levels.
#[derive(Clone, Debug)]
enum Tree {
    Text {
        html: bool,
        encoding: usize,
        text: String,
    },
    Multipart {
        subtype: usize,
        children: Vec<Tree>,
    },
    Message {
        subject: String,
        inner: Box<Tree>,
    },
}

fn tree() -> impl Strategy<Value = Tree> {
    let text = (any::<bool>(), 0..3_usize, "[a-zA-Z0-9äöü€,.!? ]{1,60}").prop_map(
        |(html, encoding, text)| Tree::Text {
            html,
            encoding,
            text,
        },
    );
    text.prop_recursive(3, 12, 4, |inner| {
        // In debug builds mail-parser 0.11 stops at a message right in a message of a multipart.
        let no_message = inner.clone().prop_filter("a message in a message", |tree| {
            !matches!(tree, Tree::Message { .. })
        });
        prop_oneof![
            (0..3_usize, prop::collection::vec(inner.clone(), 1..4))
                .prop_map(|(subtype, children)| Tree::Multipart { subtype, children }),
            ("[a-z ]{1,20}", no_message).prop_map(|(subject, inner)| Tree::Message {
                subject,
                inner: Box::new(inner)
            }),
        ]
    })
}

/// Writes the fields and the body of a part.
fn write(tree: &Tree, counter: &mut u32, out: &mut String) {
    match tree {
        Tree::Text {
            html,
            encoding,
            text,
        } => {
            let subtype = if *html { "html" } else { "plain" };
            out.push_str(&format!("Content-Type: text/{subtype}; charset=utf-8\r\n"));
            let (name, body) = match encoding {
                0 => ("8bit", text.clone()),
                1 => ("quoted-printable", quoted_printable(text)),
                _ => ("base64", base64(text.as_bytes())),
            };
            out.push_str(&format!("Content-Transfer-Encoding: {name}\r\n\r\n{body}"));
        }
        Tree::Multipart { subtype, children } => {
            *counter += 1;
            let boundary = format!("=_{counter}");
            let subtype = ["mixed", "alternative", "related"][*subtype];
            out.push_str(&format!(
                "Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n"
            ));
            for child in children {
                out.push_str(&format!("--{boundary}\r\n"));
                write(child, counter, out);
                out.push_str("\r\n");
            }
            out.push_str(&format!("--{boundary}--\r\n"));
        }
        Tree::Message { subject, inner } => {
            out.push_str("Content-Type: message/rfc822\r\n\r\n");
            out.push_str(&format!("From: x@y\r\nSubject: {subject}\r\n"));
            write(inner, counter, out);
        }
    }
}

fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    for (index, byte) in text.bytes().enumerate() {
        if index % 20 == 19 {
            out.push_str("=\r\n");
        }
        out.push_str(&format!("={byte:02X}"));
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        (0..3).for_each(|at| bits = bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let value = alphabet[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { value.into() } else { '=' });
        }
    }
    out
}

/// Kind and text of all parts in order, as we see them.
fn ours(structure: &Structure, octets: &[u8], out: &mut Vec<(Kind, String)>) {
    for part in structure.parts() {
        let body = &octets[part.body.start as usize..part.body.end as usize];
        match part.kind {
            Kind::Leaf => out.push((part.kind, TextDecoder::decode(part, body))),
            // The other parser has no part for the embedded message itself.
            kind => out.push((kind, String::new())),
        }
    }
}

fn theirs(message: &mail_parser::Message<'_>, index: u32, out: &mut Vec<(Kind, String)>) {
    let part = &message.parts[index as usize];
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => {
            assert!(
                part.content_type()
                    .is_some_and(|media| media.ctype() == "text")
            );
            out.push((Kind::Leaf, text.to_string()));
        }
        PartType::Multipart(children) => {
            out.push((Kind::Multipart, String::new()));
            children
                .iter()
                .for_each(|&child| theirs(message, child, out));
        }
        PartType::Message(inner) => {
            out.push((Kind::Message, String::new()));
            theirs(inner, 0, out);
        }
        other => panic!("no such part was written: {other:?}"),
    }
}

proptest! {
    #[test]
    fn parts_and_texts_are_the_same(tree in tree(), subject in "[a-zA-Z0-9äöü ]{0,30}") {
        let mut text = format!(
            "From: \"A B\" <a@example.org>\r\nTo: c@example.org, D <d@example.org>\r\n\
             Date: Sat, 20 Nov 2021 14:22:01 -0800\r\nMessage-ID: <1@x>\r\n\
             Subject: =?utf-8?B?{}?=\r\nMIME-Version: 1.0\r\n",
            base64(subject.as_bytes())
        );
        write(&tree, &mut 0, &mut text);
        let octets = text.as_bytes();
        let message = parse(octets);
        let other = MessageParser::default().parse(octets).expect("a message");
        let (mut mine, mut others) = (Vec::new(), Vec::new());
        ours(message.structure(), octets, &mut mine);
        theirs(&other, 0, &mut others);
        // Ends of line at the end of an unterminated leaf are counted to it by both or neither.
        prop_assert_eq!(mine, others);
        let value = |name: &[u8]| field(message.header(), name).expect("written above").value;
        let subject = decode_header(value(b"subject"));
        prop_assert_eq!(subject.trim(), other.subject().unwrap_or("").trim());
        let date = parse_date(value(b"date")).expect("a date");
        prop_assert_eq!(Some(date.unix_s), other.date().map(|date| date.to_timestamp()));
        prop_assert_eq!(message_ids(value(b"message-id")).next(), other.message_id().map(|id| id.as_bytes().to_vec()));
        let keys = message.sort_keys();
        let from = other.from().and_then(|list| list.first()).and_then(|from| from.name());
        prop_assert_eq!(Some(&keys.display_from[..]), from);
    }
}
