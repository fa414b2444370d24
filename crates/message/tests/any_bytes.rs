//! Properties that hold for any octets whatever.

mod check;
mod grammar;

use proptest::collection::vec;
use proptest::prelude::*;
use restante_message::{
    Decoder, Limits, Parser, SectionText, SortKeys, Structure, TextDecoder, decode_header_text,
    fields, header_fields, parse,
};

use check::check;

/// Pieces of which mail is made, so that chance finds its way into the corners.
const PIECES: [&str; 68] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\r\n\r\n",
    "\n\n",
    " ",
    "\t",
    "--",
    "-",
    "--a",
    "--a\r\n",
    "--a--",
    "--a--\r\n",
    "--b\r\n",
    "--b--\n",
    "--a \t\r\n",
    "--ab\r\n",
    "\n--a\n",
    "\r\n--b",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/digest; boundary=b\r\n",
    "Content-Type: multipart/mixed; boundary=\"a\"\n\n",
    "Content-Type: multipart/alternative\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: message/global\r\n",
    "Content-Type: text/html; charset=\"utf-8\"\r\n",
    "Content-Type: text/plain; charset=utf-7\r\n",
    "Content-Type:",
    "content-type: (c) application/(d)x; name*0*=utf-8''%C3; name*1*=%BC\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Transfer-Encoding: x\r\n",
    "Content-Disposition: attachment; filename=x\r\n",
    "Content-Language: de, en\r\n",
    "Content-Location: x\r\n",
    "Content-MD5: x\r\n",
    "Content-ID: <x>\r\n",
    "Content-Description: \"d\\\r\n",
    "Subject: Re: [a] =?utf-8?Q?=C3=BC?=\r\n",
    "Date: 31 Dec 2000 16:01:33 -0800\r\n",
    "Date:",
    "From:",
    "To:",
    "Cc: ",
    "Bcc: ",
    "Sender: ",
    "Reply-To:",
    "Message-ID: <a@b>\r\n",
    "References: <a@b> <c@d>\r\n",
    "In-Reply-To: <",
    "a",
    "b@c",
    "\"q\\\"\"",
    "<",
    ">",
    "@",
    ",",
    ";",
    ":",
    "(",
    ")",
    "[",
    "]",
    "ü",
    "=?",
    "?=",
    "\u{fffd}",
];

/// Mail as it is, with a bit of everything.
const REAL: &str = "Return-Path: <a@example.org>\r\n\
    Received: from a.example.org (a.example.org [192.0.2.1])\r\n\tby b.example.org; 1 Jan 2024 00:00:00 +0000\r\n\
    From: =?utf-8?Q?J=C3=B6rg?= <a@example.org>\r\nTo: Team: b@example.org, \"C, D\" <c@example.org>;\r\n\
    Date: Mon, 1 Jan 2024 01:00:00 +0100 (CET)\r\nSubject: Re: [list] =?utf-8?B?w7w=?= (fwd)\r\n\
    Message-ID: <2@example.org>\r\nReferences: <1@example.org>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"=_outer\"\r\n\r\nThis is MIME.\r\n\
    --=_outer\r\nContent-Type: multipart/alternative; boundary=\"=_inner\"\r\n\r\n\
    --=_inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    Gr=C3=BC=C3=9Fe=\r\n\r\n--=_inner\r\nContent-Type: text/html; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nPGI+R3L832U8L2I+\r\n--=_inner--\r\n\r\n\
    --=_outer\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.eml\r\n\r\n\
    From: x@example.org\r\nSubject: inner\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n\
    --d\r\n\r\nSubject: first\r\n\r\none\r\n--d\r\n\r\nSubject: second\r\n\r\ntwo\r\n--d--\r\n\
    --=_outer--\r\nepilogue\r\n";

fn mail() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => (0..PIECES.len()).prop_map(|at| PIECES[at].as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_mail_gives_a_sound_structure_and_grammatical_output(octets in mail()) {
        check(&octets, Limits::default());
    }

    #[test]
    fn any_octets_do(octets in vec(any::<u8>(), 0..400)) {
        check(&octets, Limits::default());
    }

    #[test]
    fn damaged_mail_does(damages in vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..12)) {
        let mut octets = REAL.as_bytes().to_vec();
        for (index, kind, byte) in damages {
            let at = index.index(octets.len());
            match kind {
                0 => octets[at] = byte,
                1 => octets.insert(at, byte),
                2 => _ = octets.remove(at),
                _ => octets.truncate(octets.len() - at % 40),
            }
        }
        check(&octets, Limits::default());
    }

    #[test]
    fn small_limits_hold(
        octets in mail(),
        depth in 0..4_u32,
        parts in 0..5_u32,
        header_bytes in 0..200_u32,
        addresses in 0..4_u32,
        preview_bytes in 0..20_u32,
    ) {
        let limits = Limits { depth, parts, header_bytes, addresses, preview_bytes };
        let message = check(&octets, limits);
        // A multipart that may have no parts has an empty one.
        prop_assert!(message.structure().parts().len() <= parts as usize + 2);
    }

    #[test]
    fn any_split_gives_the_same(octets in mail(), sizes in vec(1..9_usize, 1..20)) {
        let mut parser = Parser::new(Limits::default());
        let mut rest = &octets[..];
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at(size.min(rest.len()));
            parser.push(piece);
            rest = tail;
        }
        prop_assert_eq!(parser.finish(), parse(&octets));
    }

    #[test]
    fn decoders_give_the_same_for_any_split(
        octets in vec(prop_oneof![
            Just(b'='), Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'+'), Just(b'-'), Just(b'4'),
            Just(0xc3), Just(0xbc), any::<u8>(),
        ], 0..200),
        size in 1..20_usize,
        encoding in 0..3_usize,
        charset in 0..5_usize,
    ) {
        let encoding = ["7bit", "base64", "quoted-printable"][encoding];
        let charset = ["us-ascii", "utf-8", "utf-7", "iso-2022-jp", "utf-16"][charset];
        let header = format!(
            "Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        let message = parse(header.as_bytes());
        let part = message.structure().root();
        let mut whole = Vec::new();
        let mut pieces = Vec::new();
        let mut decoder = Decoder::for_binary(part).expect("known encoding");
        decoder.push(&octets, &mut whole);
        decoder.finish(&mut whole);
        let mut decoder = Decoder::for_binary(part).expect("known encoding");
        octets.chunks(size).for_each(|piece| decoder.push(piece, &mut pieces));
        decoder.finish(&mut pieces);
        prop_assert_eq!(whole, pieces);
        let mut text = String::new();
        let mut decoder = TextDecoder::for_part(part);
        octets.chunks(size).for_each(|piece| decoder.push(piece, &mut text));
        decoder.finish(&mut text);
        prop_assert_eq!(TextDecoder::decode(part, &octets), text);
    }

    #[test]
    fn damaged_rows_are_refused_or_sound(octets in mail(), at in any::<usize>(), to in any::<u8>()) {
        let message = parse(&octets);
        let mut row = message.structure().encode();
        let at_row = at % row.len();
        row[at_row] = to;
        if let Some(structure) = Structure::decode(&row) {
            for part in structure.parts() {
                prop_assert!(part.header.start <= part.body.start);
                prop_assert!(part.body.end <= structure.size());
            }
            for text in [SectionText::Whole, SectionText::Header, SectionText::Mime] {
                let _ = structure.section(&[1, 2], text);
            }
            prop_assert_eq!(Structure::decode(&structure.encode()), Some(structure));
        }
        let mut row = message.sort_keys().encode();
        let at_row = at % row.len();
        row[at_row] = to;
        if let Some(keys) = SortKeys::decode(&row) {
            let again = keys.encode();
            prop_assert_eq!(SortKeys::decode(&again), Some(keys));
        }
    }

    #[test]
    fn rows_of_chance_are_refused_or_sound(row in vec(any::<u8>(), 0..60)) {
        let _ = Structure::decode(&row);
        let _ = SortKeys::decode(&row);
        let mut versioned = vec![1];
        versioned.extend_from_slice(&row);
        let _ = Structure::decode(&versioned);
        let _ = SortKeys::decode(&versioned);
    }

    /// `HEADER.FIELDS` and `HEADER.FIELDS.NOT` share the fields among them.
    #[test]
    fn fields_are_in_one_subset(octets in mail()) {
        let message = parse(&octets);
        let header = message.header();
        let names: [&[u8]; 3] = [b"SUBJECT", b"content-type", b"From"];
        let (mut these, mut others) = (Vec::new(), Vec::new());
        header_fields(header, &names, false, &mut these);
        header_fields(header, &names, true, &mut others);
        for (not, chosen) in [(false, &these), (true, &others)] {
            let is_chosen = |name: &[u8]| names.iter().any(|n| name.eq_ignore_ascii_case(n)) != not;
            let one_by_one: Vec<u8> = fields(header)
                .filter(|field| is_chosen(field.name))
                .flat_map(|field| field.raw.iter().copied())
                .collect();
            prop_assert!(chosen.starts_with(&one_by_one));
            prop_assert!(matches!(&chosen[one_by_one.len()..], b"" | b"\r\n"));
        }
        let count = |header: &[u8]| fields(header).count();
        prop_assert_eq!(count(&these) + count(&others), count(header));
        prop_assert!(fields(&these).all(|field| names.iter().any(|name| field.name.eq_ignore_ascii_case(name))));
        let _ = decode_header_text(header);
    }
}
