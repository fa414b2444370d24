//! FETCH responses.

use super::*;

#[test]
fn fetch_responses() {
    let fetch = |items| UntaggedData::Fetch {
        seq: SeqNum::new(23).unwrap(),
        items,
    };
    data(
        fetch(vec![
            FetchItem::Flags(vec![Flag::Seen, Flag::Keyword(atom("$x"))]),
            FetchItem::Uid(uid(4_827_313)),
            FetchItem::ModSeq(ModSeq(624_140_003)),
            FetchItem::Rfc822Size(44827),
            FetchItem::InternalDate(moment()),
        ]),
        "23 FETCH (FLAGS (\\Seen $x) UID 4827313 MODSEQ (624140003) RFC822.SIZE 44827 INTERNALDATE \
         \"17-Jul-1996 02:44:25 -0700\")",
    );
    data(
        fetch(vec![
            FetchItem::EmailId(object("M6d99")),
            FetchItem::ThreadId(Some(object("T64b4"))),
            FetchItem::ThreadId(None),
            FetchItem::SaveDate(Some(moment())),
            FetchItem::SaveDate(None),
            FetchItem::Preview(Some(b"Hello".to_vec())),
        ]),
        "23 FETCH (EMAILID (M6d99) THREADID (T64b4) THREADID NIL SAVEDATE \
         \"17-Jul-1996 02:44:25 -0700\" SAVEDATE NIL PREVIEW \"Hello\")",
    );
    let fields = Section {
        part: vec![nz(1), nz(2)],
        text: Some(SectionText::HeaderFields {
            names: bytes(&["Date", "a b"]),
            not: true,
        }),
    };
    data(
        fetch(vec![
            FetchItem::Section {
                section: Section::default(),
                origin: None,
                data: Some(Bytes::from_static(b"a\r\n")),
            },
            FetchItem::Section {
                section: fields,
                origin: Some(5),
                data: Some(Bytes::from_static(b"")),
            },
            FetchItem::Section {
                section: Section::default(),
                origin: None,
                data: None,
            },
        ]),
        "23 FETCH (BODY[] {3}\r\na\r\n BODY[1.2.HEADER.FIELDS.NOT (Date \"a b\")]<5> {0}\r\n BODY[] \
         NIL)",
    );
    data(
        fetch(vec![
            FetchItem::Rfc822Header(Some(Bytes::from_static(b"x"))),
            FetchItem::Binary {
                part: vec![nz(1)],
                origin: None,
                data: Some(Bytes::from_static(b"\0")),
            },
            FetchItem::BinarySize(vec![nz(1)], 7),
        ]),
        "23 FETCH (RFC822.HEADER {1}\r\nx BINARY[1] ~{1}\r\n\0 BINARY.SIZE[1] 7)",
    );
    data(
        UntaggedData::UidFetch {
            uid: uid(25996),
            items: vec![FetchItem::Flags(vec![])],
        },
        "25996 UIDFETCH (FLAGS ())",
    );
}

#[test]
fn structures() {
    let address = Address {
        name: Some(b"Terry Gray".to_vec()),
        adl: None,
        mailbox: Some(b"gray".to_vec()),
        host: Some(b"cac.washington.edu".to_vec()),
    };
    let envelope = Envelope {
        date: Some(b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)".to_vec()),
        subject: Some(b"IMAP4rev2 WG mtg".to_vec()),
        from: vec![address.clone()],
        to: vec![address.clone(), address],
        ..Default::default()
    };
    let text = SinglePartBody {
        media_type: b"TEXT".to_vec(),
        media_subtype: b"PLAIN".to_vec(),
        basic: BodyBasic {
            parameters: vec![(b"CHARSET".to_vec(), b"US-ASCII".to_vec())],
            encoding: b"7BIT".to_vec(),
            size: 3028,
            ..Default::default()
        },
        kind: SinglePartKind::Text(92),
        md5: None,
        extension: None,
    };
    let body = BodyStructure::Single(Box::new(text.clone()));
    let fetch = |item| UntaggedData::Fetch {
        seq: SeqNum::new(12).unwrap(),
        items: vec![item],
    };
    let gray = "(\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")";
    let envelope_text = format!(
        "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg\" ({gray}) NIL NIL \
         ({gray}{gray}) NIL NIL NIL NIL)"
    );
    data(
        fetch(FetchItem::Envelope(Box::new(envelope.clone()))),
        &format!("12 FETCH (ENVELOPE {envelope_text})"),
    );
    let text_text = "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92)";
    data(
        fetch(FetchItem::Body(Box::new(body.clone()))),
        &format!("12 FETCH (BODY {text_text})"),
    );
    let message = SinglePartBody {
        media_type: b"MESSAGE".to_vec(),
        media_subtype: b"RFC822".to_vec(),
        basic: BodyBasic {
            encoding: b"7BIT".to_vec(),
            size: 10,
            ..Default::default()
        },
        kind: SinglePartKind::Message(Box::new(envelope), Box::new(body.clone()), 7),
        md5: Some(b"x".to_vec()),
        extension: Some(BodyExtension {
            disposition: Some(Disposition {
                kind: b"attachment".to_vec(),
                parameters: vec![(b"filename".to_vec(), b"a".to_vec())],
            }),
            language: bytes(&["de", "en"]),
            location: Some(b"loc".to_vec()),
            other: vec![ExtensionData::List(vec![
                ExtensionData::Number(7),
                ExtensionData::String(None),
            ])],
        }),
    };
    let multi = MultipartBody {
        parts: vec![body, BodyStructure::Single(Box::new(message))],
        media_subtype: b"MIXED".to_vec(),
        parameters: Some(vec![]),
        extension: None,
    };
    data(
        fetch(FetchItem::BodyStructure(Box::new(BodyStructure::Multi(
            Box::new(multi),
        )))),
        &format!(
            "12 FETCH (BODYSTRUCTURE ({text_text}(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 10 \
             {envelope_text} {text_text} 7 \"x\" (\"attachment\" (\"filename\" \"a\")) \
             (\"de\" \"en\") \"loc\" (7 NIL)) \"MIXED\" NIL))"
        ),
    );
}

#[test]
fn a_body_can_be_streamed() {
    let mut out = Vec::new();
    let mut fetch = FetchItems::begin(&mut out, SeqNum::new(1).unwrap());
    fetch.uid(&mut out, uid(7));
    fetch.section(&mut out, &Section::default(), Some(0), 10);
    let head = std::mem::take(&mut out);
    assert_eq!(head, b"* 1 FETCH (UID 7 BODY[]<0> {10}\r\n");
    // The bytes go their own way.
    fetch.flags(&mut out, ["\\Seen"]);
    fetch.end(&mut out);
    assert_eq!(out, b" FLAGS (\\Seen))\r\n");
}
