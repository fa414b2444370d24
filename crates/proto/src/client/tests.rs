//! Known answers: the RFCs' own examples, and what odd servers send.

use bytes::Bytes;

use super::*;
use crate::types::*;

fn frame(line: &[u8]) -> ResponseFrame {
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    framer.push(line);
    match framer.next_event() {
        Ok(Some(ResponseEvent::Frame(frame))) if framer.pending() == 0 => frame,
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(line)),
    }
}

fn decode(line: &str, mode: Mode) -> Result<Response, ResponseDecodeError> {
    decode_response(&frame(line.as_bytes()), mode)
}

fn strict(line: &str) -> Response {
    decode(line, Mode::Strict).unwrap_or_else(|e| panic!("{e} in {line:?}"))
}

fn strict_data(line: &str) -> UntaggedData {
    match strict(line) {
        Response::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

fn lenient_data(line: &str) -> UntaggedData {
    match decode(line, Mode::Lenient) {
        Ok(Response::Data(data)) => data,
        other => panic!("{other:?} for {line:?}"),
    }
}

fn code(line: &str) -> Option<Code> {
    match strict(line) {
        Response::Status(status) => status.code,
        other => panic!("{other:?}"),
    }
}

fn fetch(line: &str, mode: Mode) -> Vec<FetchItem> {
    match decode(line, mode) {
        Ok(Response::Data(UntaggedData::Fetch { items, .. })) => items,
        other => panic!("{other:?} for {line:?}"),
    }
}

fn nz(n: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(n).unwrap()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

#[test]
fn status_responses() {
    let Response::Status(greeting) = strict("* OK IMAP4rev2 Service Ready\r\n") else {
        panic!()
    };
    assert_eq!(greeting.tag, None);
    assert_eq!(greeting.condition, Condition::Ok);
    assert_eq!(greeting.text, "IMAP4rev2 Service Ready");
    let Response::Status(tagged) = strict("a001 NO [TRYCREATE] No such mailbox\r\n") else {
        panic!()
    };
    assert_eq!(tagged.tag, Tag::new("a001"));
    assert_eq!(tagged.condition, Condition::No);
    assert_eq!(tagged.code, Some(Code::TryCreate));
    assert_eq!(strict("+ \r\n"), Response::Continuation(Vec::new()));
    assert_eq!(
        strict("+ idling\r\n"),
        Response::Continuation(b"idling".to_vec())
    );
    // Literals are not looked for in text.
    assert!(matches!(strict("* BYE {3}\r\n"), Response::Status(s) if s.text == "{3}"));
    for bad in [
        "* OK\r\n",
        "a BYE x\r\n",
        "a PREAUTH x\r\n",
        "*  OK x\r\n",
        "+idling\r\n",
        "\r\n",
    ] {
        assert!(decode(bad, Mode::Strict).is_err(), "{bad:?}");
    }
    for bad in [
        "* OK [ALERT]\r\n",
        "* OK [UIDNEXT 0] x\r\n",
        "* OK [UIDNEXT] x\r\n",
        "* OK x\n",
    ] {
        assert!(decode(bad, Mode::Strict).is_err(), "{bad:?}");
        assert!(decode(bad, Mode::Lenient).is_ok(), "{bad:?}");
    }
}

#[test]
fn response_codes() {
    let id = |s: &str| ObjectId::new(s).unwrap();
    let table = [
        ("ALERT", Code::Alert),
        (
            "BADCHARSET (UTF-8 \"US-ASCII\")",
            Code::BadCharset(vec!["UTF-8".into(), "US-ASCII".into()]),
        ),
        ("BADCHARSET", Code::BadCharset(vec![])),
        (
            "CAPABILITY IMAP4rev1 AUTH=PLAIN",
            Code::Capability(vec!["IMAP4rev1".into(), "AUTH=PLAIN".into()]),
        ),
        (
            "PERMANENTFLAGS (\\Deleted \\Seen \\* $x)",
            Code::PermanentFlags(vec![
                PermanentFlag::Flag(Flag::Deleted),
                PermanentFlag::Flag(Flag::Seen),
                PermanentFlag::Wildcard,
                PermanentFlag::Flag(Flag::new("$x").unwrap()),
            ]),
        ),
        ("PERMANENTFLAGS ()", Code::PermanentFlags(vec![])),
        ("READ-WRITE", Code::ReadWrite),
        ("UIDNEXT 4392", Code::UidNext(uid(4392))),
        (
            "UIDVALIDITY 3857529045",
            Code::UidValidity(UidValidity::new(3857529045).unwrap()),
        ),
        ("UNSEEN 17", Code::Unseen(SeqNum::new(17).unwrap())),
        (
            "APPENDUID 38505 3955",
            Code::AppendUid {
                uid_validity: UidValidity::new(38505).unwrap(),
                uids: UidSet::single(uid(3955)),
            },
        ),
        (
            "COPYUID 38505 304,319:320 3956:3958",
            Code::CopyUid(CopyUid {
                uid_validity: UidValidity::new(38505).unwrap(),
                source: UidSet::from_ranges([(uid(304), uid(304)), (uid(319), uid(320))]),
                destination: UidSet::from_ranges([(uid(3956), uid(3958))]),
            }),
        ),
        (
            "HIGHESTMODSEQ 715194045007",
            Code::HighestModSeq(ModSeq(715194045007)),
        ),
        ("NOMODSEQ", Code::NoModSeq),
        (
            "MODIFIED 7,9",
            Code::Modified(IdSet::from_ranges([(nz(7), nz(7)), (nz(9), nz(9))])),
        ),
        (
            "MAILBOXID (F2212ea87-6097-4256-9d51-71338625)",
            Code::MailboxId(id("F2212ea87-6097-4256-9d51-71338625")),
        ),
        (
            "METADATA LONGENTRIES 2199",
            Code::Metadata(MetadataCode::LongEntries(2199)),
        ),
        (
            "METADATA MAXSIZE 1024",
            Code::Metadata(MetadataCode::MaxSize(1024)),
        ),
        ("METADATA TOOMANY", Code::Metadata(MetadataCode::TooMany)),
        ("INPROGRESS", Code::InProgress(None)),
        (
            "INPROGRESS (\"A001\" 454 1000)",
            Code::InProgress(Some((Tag::new("A001"), Some(454), Some(1000)))),
        ),
        (
            "INPROGRESS (NIL NIL NIL)",
            Code::InProgress(Some((None, None, None))),
        ),
        (
            "BADEVENT (MessageNew MailboxName)",
            Code::BadEvent(vec![EventName::MessageNew, EventName::MailboxName]),
        ),
        (
            "MESSAGELIMIT 1000 23221",
            Code::MessageLimit {
                limit: nz(1000),
                lowest: Some(uid(23221)),
            },
        ),
        ("NOUPDATE \"B02\"", Code::NoUpdate(b"B02".to_vec())),
        (
            "BADURL /INBOX;UIDVALIDITY=785799047/;UID=113330",
            Code::BadUrl(b"/INBOX;UIDVALIDITY=785799047/;UID=113330".to_vec()),
        ),
        (
            "X-NEW some (thing)",
            Code::Other(Atom::new("X-NEW").unwrap(), Some(b"some (thing)".to_vec())),
        ),
        ("X-NEW", Code::Other(Atom::new("X-NEW").unwrap(), None)),
    ];
    for (text, expected) in table {
        assert_eq!(
            code(&format!("* OK [{text}] text\r\n")),
            Some(expected),
            "{text}"
        );
    }
}

#[test]
fn mailbox_data() {
    assert_eq!(
        strict_data("* CAPABILITY STARTTLS AUTH=GSSAPI IMAP4rev2 LOGINDISABLED\r\n"),
        UntaggedData::Capability(
            ["STARTTLS", "AUTH=GSSAPI", "IMAP4rev2", "LOGINDISABLED"]
                .map(String::from)
                .to_vec()
        )
    );
    assert_eq!(strict_data("* ENABLED\r\n"), UntaggedData::Enabled(vec![]));
    assert_eq!(
        strict_data("* FLAGS (\\Answered \\Draft $MDNSent)\r\n"),
        UntaggedData::Flags(vec![
            Flag::Answered,
            Flag::Draft,
            Flag::new("$MDNSent").unwrap()
        ])
    );
    assert_eq!(strict_data("* 0 EXISTS\r\n"), UntaggedData::Exists(0));
    assert_eq!(
        strict_data("* 44 EXPUNGE\r\n"),
        UntaggedData::Expunge(SeqNum::new(44).unwrap())
    );
    assert!(decode("* 0 EXPUNGE\r\n", Mode::Strict).is_err());
    assert_eq!(
        strict_data("* VANISHED (EARLIER) 300:310,405\r\n"),
        UntaggedData::Vanished {
            earlier: true,
            uids: UidSet::from_ranges([(uid(300), uid(310)), (uid(405), uid(405))])
        }
    );
    let UntaggedData::List(entry) = strict_data(
        "* LIST (\\Marked \\NoInferiors \\Sent) \"/\" \"&ZeVnLIqe-\" (\"OLDNAME\" (a) CHILDINFO (\"SUBSCRIBED\"))\r\n",
    ) else {
        panic!()
    };
    assert_eq!(entry.mailbox.as_str(), "日本語");
    assert_eq!(entry.separator, Some('/'));
    assert!(
        entry
            .attributes
            .contains(&ListAttribute::SpecialUse(SpecialUse::Sent))
    );
    assert_eq!(entry.extended.len(), 2);
    assert_eq!(
        entry.extended[1],
        ListExtended::ChildInfo(vec![ChildInfo::Subscribed])
    );
    let UntaggedData::List(entry) = strict_data("* LIST () NIL {3}\r\ninb\r\n") else {
        panic!()
    };
    assert_eq!((entry.separator, entry.mailbox.as_str()), (None, "inb"));
    for bad in [
        "* LIST (\\Noselect \\Noselect) \"/\" a\r\n",
        "* LIST (\\Noselect \\Marked) \"/\" a\r\n",
        "* LIST () \"/\" a \r\n",
        "* LIST () \"//\" a\r\n",
        "* LIST () \"/\" a&b\r\n",
        "* LIST () \"/\" \"\u{e9}\"\r\n",
        "* STATUS a (MESSAGES 1) \r\n",
        "* STATUS a (UIDVALIDITY 0)\r\n",
        "* SEARCH \r\n",
        "* FLAGS (\\*)\r\n",
        "* CAPABILITY NOTHING\r\n",
        "* UNKNOWN x\r\n",
    ] {
        assert!(decode(bad, Mode::Strict).is_err(), "{bad:?}");
        assert!(decode(bad, Mode::Lenient).is_ok(), "{bad:?}");
    }
    let Ok(Response::Data(UntaggedData::List(entry))) =
        decode("* LIST () \"/\" \"a&é\"\r\n", Mode::StrictUtf8)
    else {
        panic!()
    };
    assert_eq!(entry.mailbox.as_str(), "a&é");
    let UntaggedData::Status { mailbox, values } = strict_data(
        "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292 HIGHESTMODSEQ 0 SIZE 12 APPENDLIMIT NIL MAILBOXID (F1))\r\n",
    ) else {
        panic!()
    };
    assert_eq!(mailbox.as_str(), "blurdybloop");
    assert_eq!(values.len(), 6);
    assert_eq!(values[1], StatusValue::UidNext(uid(44292)));
    let UntaggedData::Namespace(namespaces) = strict_data(
        "* NAMESPACE ((\"\" \"/\")(\"#mh/\" \"/\" \"X-PARAM\" (\"FLAG1\" \"FLAG2\"))) NIL ((\"Public/\" NIL))\r\n",
    ) else {
        panic!()
    };
    assert_eq!(namespaces.personal[1].prefix, "#mh/");
    assert_eq!(namespaces.personal[1].extensions[0].1.len(), 2);
    assert!(namespaces.other_users.is_empty());
    assert_eq!(namespaces.shared[0].separator, None);
}

#[test]
fn searches_and_threads() {
    assert_eq!(
        strict_data("* SEARCH 2 5 6 (MODSEQ 917162500)\r\n"),
        UntaggedData::Search {
            ids: vec![nz(2), nz(5), nz(6)],
            mod_seq: Some(ModSeq(917162500))
        }
    );
    assert_eq!(
        strict_data("* SEARCH\r\n"),
        UntaggedData::Search {
            ids: vec![],
            mod_seq: None
        }
    );
    let UntaggedData::Esearch(esearch) = strict_data(
        "* ESEARCH (TAG \"a567\") UID COUNT 17 ALL 4:18,21,28 MODSEQ 5 PARTIAL (-1:-100 NIL) RELEVANCY (4 99)\r\n",
    ) else {
        panic!()
    };
    assert_eq!(esearch.correlator.tag, Tag::new("a567"));
    assert!(esearch.uid);
    assert_eq!(esearch.count, Some(17));
    assert_eq!(esearch.all.unwrap().ranges.len(), 3);
    assert_eq!(
        esearch.partial.unwrap().range,
        PartialRange::Last(nz(1), nz(100))
    );
    assert_eq!(esearch.relevancy, Some(vec![4, 99]));
    // RFC 5267 §4.3.2: in the order in which they stand.
    let line = "* ESEARCH (TAG \"B01\") UID REMOVEFROM (3 7) ADDTO (1 2733 1 2731:2732) REMOVEFROM (0 5)\r\n";
    let UntaggedData::Esearch(esearch) = strict_data(line) else {
        panic!()
    };
    let changes: Vec<(bool, u32, u32)> = esearch
        .changes
        .iter()
        .map(|change| {
            (
                change.add,
                change.position,
                change.ids.ranges[0].numbers().unwrap().0.get(),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            (false, 3, 7),
            (true, 1, 2733),
            (true, 1, 2731),
            (false, 0, 5)
        ]
    );
    assert!(decode("* ESEARCH (TAG \"a\") ALL 1:*\r\n", Mode::Strict).is_err());
    let UntaggedData::Thread(threads) =
        strict_data("* THREAD (2)(3 6 (4 23)(44 7 96))((3)(5))\r\n")
    else {
        panic!()
    };
    let leaf = |n| ThreadNode {
        id: Some(nz(n)),
        children: vec![],
    };
    let under = |n, children| ThreadNode {
        id: Some(nz(n)),
        children,
    };
    assert_eq!(threads[0], leaf(2));
    assert_eq!(
        threads[1],
        under(
            3,
            vec![under(
                6,
                vec![
                    under(4, vec![leaf(23)]),
                    under(44, vec![under(7, vec![leaf(96)])])
                ]
            )]
        )
    );
    assert_eq!(
        threads[2],
        ThreadNode {
            id: None,
            children: vec![leaf(3), leaf(5)]
        }
    );
}

#[test]
fn deep_threads_and_bodies_are_bounded() {
    let chain: Vec<String> = (1..100_000).map(|n: u32| n.to_string()).collect();
    let line = format!("* THREAD ({})\r\n", chain.join(" "));
    assert!(decode(&line, Mode::Strict).is_err());
    assert!(matches!(lenient_data(&line), UntaggedData::Thread(t) if t.len() == 1));
    let line = format!(
        "* THREAD {}1{}\r\n",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert!(decode(&line, Mode::Strict).is_err());
    assert!(matches!(lenient_data(&line), UntaggedData::Other(_)));
    for item in ["BODYSTRUCTURE", "ENVELOPE", "X"] {
        let line = format!(
            "* 1 FETCH ({item} {}{})\r\n",
            "(".repeat(100_000),
            ")".repeat(100_000)
        );
        assert!(decode(&line, Mode::Strict).is_err());
        assert!(decode(&line, Mode::Lenient).is_ok());
    }
}

#[test]
fn fetch_items() {
    let items = fetch(
        "* 23 FETCH (FLAGS (\\Seen \\Recent $Junk) UID 4827313 RFC822.SIZE 44827 \
         INTERNALDATE \" 7-Jul-1996 02:44:25 -0700\" MODSEQ (12121231000) EMAILID (M6) \
         THREADID NIL SAVEDATE NIL PREVIEW \"hi\" BODY[HEADER.FIELDS (DATE {4}\r\nFROM)] {2}\r\n\r\n \
         BODY[1.2.TEXT]<5> NIL BINARY[1] ~{3}\r\na\0b BINARY.SIZE[] 4 BODY[] \"\")\r\n",
        Mode::Strict,
    );
    let date = Date::new(1996, Month::July, 7).unwrap();
    let moment = DateTime::from_local(date, (2, 44, 25), -420).unwrap();
    let section = |part: &[u32], text| Section {
        part: part.iter().map(|&n| nz(n)).collect(),
        text,
    };
    assert_eq!(
        items,
        [
            FetchItem::Flags(vec![Flag::Seen, Flag::Recent, Flag::new("$Junk").unwrap()]),
            FetchItem::Uid(uid(4827313)),
            FetchItem::Rfc822Size(44827),
            FetchItem::InternalDate(moment),
            FetchItem::ModSeq(ModSeq(12121231000)),
            FetchItem::EmailId(ObjectId::new("M6").unwrap()),
            FetchItem::ThreadId(None),
            FetchItem::SaveDate(None),
            FetchItem::Preview(Some(b"hi".to_vec())),
            FetchItem::Section {
                section: section(
                    &[],
                    Some(SectionText::HeaderFields {
                        names: vec![b"DATE".to_vec(), b"FROM".to_vec()],
                        not: false
                    })
                ),
                origin: None,
                data: Some(Bytes::from_static(b"\r\n")),
            },
            FetchItem::Section {
                section: section(&[1, 2], Some(SectionText::Text)),
                origin: Some(5),
                data: None
            },
            FetchItem::Binary {
                part: vec![nz(1)],
                origin: None,
                data: Some(Bytes::from_static(b"a\0b"))
            },
            FetchItem::BinarySize(vec![], 4),
            FetchItem::Section {
                section: section(&[], None),
                origin: None,
                data: Some(Bytes::new())
            },
        ]
    );
    for bad in [
        "* 1 FETCH ()\r\n",
        "* 1 FETCH (FLAGS (\\Seen) )\r\n",
        "* 1 FETCH (FLAGS (\\Seen)  UID 1)\r\n",
        "* 1 FETCH (UID 0)\r\n",
        "* 1 FETCH (BODY[] ~{1}\r\na)\r\n",
        "* 1 FETCH (BODY[] {1+}\r\na)\r\n",
        "* 1 FETCH (BODY[] {1}\r\n\0)\r\n",
        "* 1 FETCH (BODY[MIME] \"\")\r\n",
        "* 1 FETCH (INTERNALDATE \"7-Jul-1996 02:44:25 -0700\")\r\n",
        "* 1 FETCH (X-UNKNOWN 1)\r\n",
        "* 1 FETCH (PREVIEW \"\u{e9}\")\r\n",
        "* 0 FETCH (UID 1)\r\n",
    ] {
        assert!(decode(bad, Mode::Strict).is_err(), "{bad:?}");
        assert!(decode(bad, Mode::Lenient).is_ok(), "{bad:?}");
    }
}

#[test]
fn envelope_of_rfc_9051() {
    let items = fetch(
        "* 12 FETCH (ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \
         \"IMAP4rev2 WG mtg summary and minutes\" ((\"Terry Gray\" NIL \"gray\" \
         \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
         ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \
         \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" \
         NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\"))\r\n",
        Mode::Strict,
    );
    let FetchItem::Envelope(envelope) = &items[0] else {
        panic!()
    };
    assert_eq!(envelope.cc.len(), 2);
    assert_eq!(envelope.cc[1].mailbox.as_deref(), Some(&b"KLENSIN"[..]));
    assert!(envelope.bcc.is_empty());
    assert_eq!(
        envelope.message_id.as_deref(),
        Some(&b"<B27397-0100000@cac.washington.edu>"[..])
    );
}

#[test]
fn body_structures() {
    let body = |text: &str, mode| {
        let items = fetch(&format!("* 1 FETCH (BODYSTRUCTURE {text})\r\n"), mode);
        match items.into_iter().next() {
            Some(FetchItem::BodyStructure(body)) => *body,
            other => panic!("{other:?} for {text}"),
        }
    };
    // RFC 9051 §7.5.2
    let single = body(
        "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 2279 48)",
        Mode::Strict,
    );
    let BodyStructure::Single(part) = &single else {
        panic!()
    };
    assert_eq!(part.kind, SinglePartKind::Text(48));
    assert_eq!(part.extension, None);
    assert_eq!(single.part(&[nz(1)]), Some(&single));
    assert_eq!(single.part(&[nz(2)]), None);
    let multi = body(
        "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23)\
         (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 342 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
         (\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 3 1) 5 NIL (\"attachment\" NIL) (\"en\" \"de\") NIL 7 (\"x\" NIL)) \
         \"MIXED\" (\"BOUNDARY\" \"b\") NIL \"en\")",
        Mode::Strict,
    );
    let BodyStructure::Multi(parts) = &multi else {
        panic!()
    };
    assert_eq!(parts.extension.as_ref().unwrap().language, [b"en".to_vec()]);
    let BodyStructure::Single(html) = multi.part(&[nz(2), nz(1)]).unwrap() else {
        panic!()
    };
    assert_eq!(html.media_subtype, b"HTML");
    let BodyStructure::Single(message) = &parts.parts[1] else {
        panic!()
    };
    let extension = message.extension.as_ref().unwrap();
    assert_eq!(extension.disposition.as_ref().unwrap().kind, b"attachment");
    assert_eq!(extension.other.len(), 2);
    // Empty multiparts, lines left out, parameters without a value, dispositions as words.
    for (odd, parts) in [
        ("(\"ALTERNATIVE\" (\"BOUNDARY\" \"x\") NIL NIL)", Some(0)),
        ("(NIL \"MIXED\" (\"BOUNDARY\" \"x\") NIL NIL)", Some(0)),
        (
            "((\"TEXT\" \"PLAIN\" NIL NIL NIL NIL NIL NIL)\"MIXED\")",
            Some(1),
        ),
        (
            "(\"TEXT\" \"PLAIN\" (\"CHARSET\" NIL) NIL NIL \"7BIT\" 3 NIL NIL attachment NIL)",
            None,
        ),
        ("(NIL NIL NIL NIL NIL \"7BIT\" 0 NIL NIL NIL)", None),
        (
            "(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 300 NIL NIL NIL)",
            None,
        ),
        ("()", None),
    ] {
        match (body(odd, Mode::Lenient), parts) {
            (BodyStructure::Multi(multi), Some(parts)) => assert_eq!(multi.parts.len(), parts),
            (BodyStructure::Single(_), None) => {}
            other => panic!("{other:?} for {odd}"),
        }
        let line = format!("* 1 FETCH (BODYSTRUCTURE {odd})\r\n");
        assert!(decode(&line, Mode::Strict).is_err(), "{odd}");
    }
}

#[test]
fn survives_odd_servers() {
    // Leading NUL octets; trailing spaces; bare LF.
    assert_eq!(lenient_data("\0\0* 5 EXISTS \n"), UntaggedData::Exists(5));
    // A STATUS without items, and with UIDVALIDITY 0.
    let UntaggedData::Status { values, .. } =
        lenient_data("* STATUS \"a\" (MESSAGES 3 UIDVALIDITY 0 X-Y (1 2) UNSEEN 1)\r\n")
    else {
        panic!()
    };
    assert_eq!(values, [StatusValue::Messages(3), StatusValue::Unseen(1)]);
    assert!(matches!(
        lenient_data("* STATUS a ()\r\n"),
        UntaggedData::Status { .. }
    ));
    // ESEARCH without data, or with what is unknown.
    assert_eq!(
        lenient_data("* ESEARCH\r\n"),
        UntaggedData::Esearch(Esearch::default())
    );
    assert!(matches!(
        lenient_data("* ESEARCH (TAG a) X-Z (a (b)) COUNT 2\r\n"),
        UntaggedData::Esearch(e) if e.count == Some(2)
    ));
    // RFC822 without a value; keywords with a backslash; flags that are no atoms; UID 0.
    let items = fetch(
        "* 1 FETCH (UID 0 FLAGS (\\Foo a/[b] \\*) RFC822)\r\n",
        Mode::Lenient,
    );
    assert_eq!(
        items[1],
        FetchItem::Flags(vec![Flag::new("\\Foo").unwrap()])
    );
    assert_eq!(items[2], FetchItem::Rfc822(None));
    // Unknown items keep their value.
    let items = fetch(
        "* 1 FETCH (X-GM-MSGID 127 X-GM-LABELS (\\Inbox \"a b\") UID 7)\r\n",
        Mode::Lenient,
    );
    assert_eq!(
        items[0],
        FetchItem::Other(b"X-GM-MSGID".to_vec(), b"127".to_vec())
    );
    assert_eq!(
        items[1],
        FetchItem::Other(b"X-GM-LABELS".to_vec(), b"(\\Inbox \"a b\")".to_vec())
    );
    assert_eq!(items[2], FetchItem::Uid(uid(7)));
    // Names in raw UTF-8, wrong modified UTF-7, XLIST, no separator.
    for name in ["a&b", "\"Entw\u{fc}rfe\"", "Entw\u{fc}rfe"] {
        let line = format!("* XLIST (\\Inbox) \"\" {name}\r\n");
        assert!(
            matches!(lenient_data(&line), UntaggedData::List(_)),
            "{line}"
        );
    }
    // Text that begins with a bracket, no text at all, a plus alone.
    assert!(matches!(
        decode("a1 OK [unbalanced\r\n", Mode::Lenient),
        Ok(Response::Status(s)) if s.text == "[unbalanced"
    ));
    assert!(decode("a1 OK\r\n", Mode::Lenient).is_ok());
    assert_eq!(
        decode("+\r\n", Mode::Lenient),
        Ok(Response::Continuation(vec![]))
    );
    // Dates without the leading space.
    let items = fetch(
        "* 1 FETCH (INTERNALDATE \"7-Jul-1996 02:44:25 -0700\")\r\n",
        Mode::Lenient,
    );
    assert!(matches!(items[0], FetchItem::InternalDate(_)));
    // Anything untagged is passed on.
    assert_eq!(
        lenient_data("* XYZ (((\r\n"),
        UntaggedData::Other(b"XYZ (((".to_vec())
    );
}

#[test]
fn streamed_literals_are_announced() {
    let limits = ResponseLimits {
        stream_over: Some(2),
        ..ResponseLimits::default()
    };
    let mut framer = ResponseFramer::new(limits);
    framer.push(b"* 7 FETCH (UID 9 BODY[1]<0> {3}\r\nabc FLAGS ())\r\n");
    let Ok(Some(ResponseEvent::LiteralStart { before, size: 3 })) = framer.next_event() else {
        panic!()
    };
    let start = decode_streamed(&before, Mode::Strict).unwrap();
    assert_eq!(start.message, FetchedMessage::Seq(SeqNum::new(7).unwrap()));
    assert_eq!(start.items[0], FetchItem::Uid(uid(9)));
    assert!(matches!(
        &start.items[1],
        FetchItem::Section {
            origin: Some(0),
            ..
        }
    ));
    assert!(matches!(
        framer.next_event(),
        Ok(Some(ResponseEvent::Chunk(_)))
    ));
    assert!(matches!(
        framer.next_event(),
        Ok(Some(ResponseEvent::LiteralEnd))
    ));
    let Ok(Some(ResponseEvent::Frame(rest))) = framer.next_event() else {
        panic!()
    };
    let Ok(Response::Data(UntaggedData::Fetch { items, .. })) =
        decode_response(&rest, Mode::Strict)
    else {
        panic!()
    };
    assert_eq!(items.len(), 3);
}

#[test]
fn extension_data() {
    for line in [
        "* ID (\"name\" \"x\" \"version\" NIL)\r\n",
        "* ID NIL\r\n",
        "* ACL INBOX Fred rwipslda\r\n",
        "* LISTRIGHTS ~/Mail/saved smith la r swicdkxte\r\n",
        "* MYRIGHTS INBOX rwiptsldaex\r\n",
        "* QUOTA \"\" (STORAGE 10 512)\r\n",
        "* QUOTAROOT INBOX \"\"\r\n",
        "* QUOTAROOT comp.mail.mime\r\n",
        "* METADATA \"\" (/shared/comment \"My comment\" /private/x NIL /y ~{1}\r\n\0)\r\n",
        "* METADATA INBOX /shared/comment /private/comment\r\n",
        "* LANGUAGE (EN)\r\n",
        "* COMPARATOR i;basic\r\n",
        "* GENURLAUTH \"imap://x\"\r\n",
        "* URLFETCH \"imap://x\" NIL\r\n",
        "* UIDBATCHES (TAG \"A143\") 215295:99695,99696:20350\r\n",
        "* UIDBATCHES (TAG \"A302\")\r\n",
        "* JMAPACCESS \"https://example.com/jmap\"\r\n",
        "* 25 UIDFETCH (FLAGS ())\r\n",
    ] {
        assert!(
            !matches!(strict_data(line), UntaggedData::Other(_)),
            "{line}"
        );
    }
}

/// The examples of RFC 5524 §4.
#[test]
fn urls_with_items() {
    let line = "* URLFETCH \"imap://a\" (BINARY {28}\r\nSi vis pacem, para bellum.\r\n) \
        \"imap://b\" (BODYPARTSTRUCTURE (\"IMAGE\" \"PNG\" NIL NIL NIL \"BINARY\" 3)) \
        (BINARY ~{3}\r\na\0b) imap://c NIL imap://d (BODYPARTSTRUCTURE (\"IMAGE\" \"PNG\" NIL NIL \
        NIL \"X-BLURDYBLOOP\" 123)) (BINARY NIL) imap://e {2}\r\nab\r\n";
    let UntaggedData::UrlFetch(urls) = strict_data(line) else {
        panic!()
    };
    let told: Vec<String> = urls
        .iter()
        .map(|fetched| match &fetched.content {
            UrlContent::Plain(data) => format!("{data:?}"),
            UrlContent::Items { structure, data } => {
                let size = structure.as_ref().map(|structure| match &**structure {
                    BodyStructure::Single(part) => part.basic.size,
                    BodyStructure::Multi(_) => 0,
                });
                let data = data.as_ref();
                let length = data.map(|(kind, data)| (kind, data.as_ref().map(Vec::len)));
                format!("{size:?} {length:?}")
            }
        })
        .collect();
    assert_eq!(
        told,
        [
            "None Some((Binary, Some(28)))",
            "Some(3) Some((Binary, Some(3)))",
            "None",
            "Some(123) Some((Binary, None))",
            "Some([97, 98])"
        ]
    );
    for bad in [
        "* URLFETCH imap://a ()\r\n",
        "* URLFETCH imap://a (BODY ~{1}\r\na)\r\n",
        "* URLFETCH imap://a (WHAT 1)\r\n",
        "* URLFETCH imap://a\r\n",
    ] {
        assert!(decode(bad, Mode::Strict).is_err(), "{bad}");
    }
}
