//! FETCH and what it asks for.

use super::*;

#[test]
fn fetch_attributes() {
    use FetchAttribute as A;
    for (text, expected) in [
        (
            "ALL",
            vec![A::Flags, A::InternalDate, A::Rfc822Size, A::Envelope],
        ),
        ("fast", vec![A::Flags, A::InternalDate, A::Rfc822Size]),
        (
            "FULL",
            vec![
                A::Flags,
                A::InternalDate,
                A::Rfc822Size,
                A::Envelope,
                A::Body,
            ],
        ),
        ("FLAGS", vec![A::Flags]),
        (
            "(UID BODYSTRUCTURE BODY)",
            vec![A::Uid, A::BodyStructure, A::Body],
        ),
        (
            "(RFC822 RFC822.HEADER RFC822.TEXT)",
            vec![A::Rfc822, A::Rfc822Header, A::Rfc822Text],
        ),
        ("(UID RFC822.peek)", vec![A::Uid, A::Rfc822Peek]),
        (
            "(MODSEQ EMAILID THREADID SAVEDATE)",
            vec![A::ModSeq, A::EmailId, A::ThreadId, A::SaveDate],
        ),
        ("PREVIEW", vec![A::Preview { lazy: false }]),
        (
            "(PREVIEW (LAZY) UID)",
            vec![A::Preview { lazy: true }, A::Uid],
        ),
        ("PREVIEW (LAZY)", vec![A::Preview { lazy: true }]),
        ("BINARY.SIZE[1.2]", vec![A::BinarySize(vec![nz(1), nz(2)])]),
        (
            "BINARY.PEEK[1]<0.100>",
            vec![A::Binary {
                part: vec![nz(1)],
                partial: Some(Partial {
                    offset: 0,
                    length: 100,
                }),
                peek: true,
            }],
        ),
    ] {
        assert_eq!(attributes(text), expected, "{text}");
    }
}

#[test]
fn fetch_sections() {
    let section = |text: &str| match &attributes(&format!("BODY.PEEK[{text}]"))[..] {
        [
            FetchAttribute::Section {
                section,
                partial: None,
                peek: true,
            },
        ] => section.clone(),
        other => panic!("{other:?}"),
    };
    let fields = |names: &[&str], not| SectionText::HeaderFields {
        names: names.iter().map(|name| name.as_bytes().to_vec()).collect(),
        not,
    };
    for (text, part, expected) in [
        ("", vec![], None),
        ("1", vec![1], None),
        ("4.2.2", vec![4, 2, 2], None),
        ("header", vec![], Some(SectionText::Header)),
        ("4.2.2.MIME", vec![4, 2, 2], Some(SectionText::Mime)),
        ("1.TEXT", vec![1], Some(SectionText::Text)),
        (
            "HEADER.FIELDS (DATE FROM)",
            vec![],
            Some(fields(&["DATE", "FROM"], false)),
        ),
        (
            "3.HEADER.FIELDS.NOT (\"x-y\")",
            vec![3],
            Some(fields(&["x-y"], true)),
        ),
        (
            "HEADER.FIELDS ({4}\r\nDate)",
            vec![],
            Some(fields(&["Date"], false)),
        ),
    ] {
        let part = part.into_iter().map(nz).collect();
        assert_eq!(
            section(text),
            Section {
                part,
                text: expected
            },
            "{text}"
        );
    }
    assert_eq!(
        attributes("BODY[]<0.2048>"),
        [FetchAttribute::Section {
            section: Section::default(),
            partial: Some(Partial {
                offset: 0,
                length: 2048
            }),
            peek: false
        }]
    );
    // Without a length, as other servers take it: all from there.
    let CommandBody::Fetch(fetch) = body("FETCH 1 BODY[]<7>") else {
        panic!("a FETCH")
    };
    let FetchAttribute::Section { partial, .. } = &fetch.attributes[0] else {
        panic!("a section")
    };
    let open = partial.expect("a partial");
    assert_eq!((open.offset, open.length), (7, i64::MAX as u64));
    for bad in [
        "BODY[MIME]",
        "BODY[1.]",
        "BODY[0]",
        "BODY[1.0]",
        "BODY[HEADER.FIELDS]",
        "BODY[HEADER.FIELDS ()]",
        "BODY[",
        "BODY[]<0.0>",
        "BODY[]<.1>",
        "BODY.PEEK",
        "()",
        "(FLAGS",
        "(FLAGS  UID)",
        "( FLAGS)",
        "BODY[TEXT]x",
        "FOO",
        "(ALL)",
        "BINARY[TEXT]",
        "BODYSTRUCTURE[1]",
        "(PREVIEW (FOO))",
        "FLAGS UID",
    ] {
        assert!(try_body(&format!("FETCH 1 {bad}")).is_err(), "{bad}");
    }
}

#[test]
fn fetch_modifiers() {
    let fetch = |line: &str| match body(line) {
        CommandBody::Fetch(fetch) => fetch,
        other => panic!("{other:?}"),
    };
    // RFC 7162 §3.2.6
    let vanished = fetch("UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)");
    assert_eq!(vanished.modifiers.changed_since, Some(ModSeq(12_345)));
    assert!(vanished.modifiers.vanished);
    // RFC 9394 §3.3
    let partial = fetch("UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-30)");
    assert_eq!(
        partial.modifiers.partial,
        Some(PartialRange::Last(nz(1), nz(30)))
    );
    assert!(
        fetch("FETCH 1 PREVIEW (CHANGEDSINCE 1)")
            .modifiers
            .changed_since
            .is_some()
    );
    for bad in [
        "FETCH 1 FLAGS (VANISHED)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1 FLAGS (VANISHED)",
        "FETCH 1 FLAGS (CHANGEDSINCE)",
        "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "UID FETCH 1 FLAGS (PARTIAL 0:1)",
        "UID FETCH 1 FLAGS (PARTIAL 1:-1)",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }
}
