//! Known answers of the command decoder: the RFCs' own examples, what the field sends, and what
//! must be refused.

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

#[test]
fn commands_without_arguments() {
    for (line, expected) in [
        ("NOOP", CommandBody::Noop),
        ("nOoP", CommandBody::Noop),
        ("NOOP   ", CommandBody::Noop),
        ("CAPABILITY", CommandBody::Capability),
        ("LOGOUT", CommandBody::Logout),
        ("STARTTLS", CommandBody::StartTls),
        ("NAMESPACE", CommandBody::Namespace),
        ("IDLE", CommandBody::Idle),
        ("CLOSE", CommandBody::Close),
        ("UNSELECT", CommandBody::Unselect),
        ("EXPUNGE", CommandBody::Expunge(None)),
        ("CHECK", CommandBody::Check),
        ("UNAUTHENTICATE", CommandBody::Unauthenticate),
        ("COMPRESS DEFLATE", CommandBody::CompressDeflate),
        ("GETJMAPACCESS", CommandBody::GetJmapAccess),
        (
            "UID EXPUNGE 3000:3002",
            CommandBody::Expunge(Some(uid_set("3000:3002"))),
        ),
    ] {
        assert_eq!(body(line), expected, "{line}");
    }
}

#[test]
fn login_and_authenticate() {
    for line in [
        "LOGIN SMITH SESAME",
        "login \"SMITH\" SESAME",
        "LOGIN {5}\r\nSMITH {6+}\r\nSESAME",
        "LOGIN {5}\nSMITH {6}\nSESAME",
    ] {
        let CommandBody::Login { user, password } = body(line) else {
            panic!()
        };
        assert_eq!(user, b"SMITH");
        assert_eq!(password.expose(), b"SESAME");
    }
    // Characters that must be quoted, but are not by everybody.
    let CommandBody::Login { password, .. } = body(r"LOGIN u p%w*r\d]x") else {
        panic!()
    };
    assert_eq!(password.expose(), br"p%w*r\d]x");
    assert!(!format!("{:?}", body("LOGIN u hunter2")).contains("hunter2"));

    let CommandBody::Authenticate(plain) = body("AUTHENTICATE PLAIN AHRlc3QAdGVzdA==") else {
        panic!()
    };
    assert_eq!(plain.mechanism, atom("PLAIN"));
    assert_eq!(plain.initial_response.unwrap().expose(), b"\0test\0test");
    let CommandBody::Authenticate(external) = body("AUTHENTICATE EXTERNAL =") else {
        panic!()
    };
    assert_eq!(external.initial_response.unwrap().expose(), b"");
    let CommandBody::Authenticate(gssapi) = body("authenticate GSSAPI") else {
        panic!()
    };
    assert!(gssapi.initial_response.is_none());
    for bad in [
        "AUTHENTICATE",
        "AUTHENTICATE PLAIN !",
        "AUTHENTICATE PLAIN YQ",
        "LOGIN a",
        "LOGIN",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }

    assert_eq!(sasl_line(b"*"), Some(SaslLine::Cancel));
    assert_eq!(
        sasl_line(b"YQ=="),
        Some(SaslLine::Data(Secret::new(b"a".to_vec())))
    );
    assert_eq!(
        sasl_line(b""),
        Some(SaslLine::Data(Secret::new(Vec::new())))
    );
    assert_eq!(sasl_line(b"=a="), None);
}

#[test]
fn mailbox_commands() {
    let inbox = || name("INBOX");
    for (line, expected) in [
        (
            "DELETE blurdybloop",
            CommandBody::Delete(name("blurdybloop")),
        ),
        (
            "RENAME inbox \"old mail\"",
            CommandBody::Rename {
                from: inbox(),
                to: name("old mail"),
            },
        ),
        (
            "SUBSCRIBE #news.comp.mail.mime",
            CommandBody::Subscribe(name("#news.comp.mail.mime")),
        ),
        (
            "UNSUBSCRIBE Entw&APw-rfe",
            CommandBody::Unsubscribe(name("Entwürfe")),
        ),
        (
            "CREATE owatagusiam/",
            CommandBody::Create {
                mailbox: name("owatagusiam/"),
                special_use: vec![],
            },
        ),
        (
            "CREATE MySpecial (USE (\\Drafts \\sent))",
            CommandBody::Create {
                mailbox: name("MySpecial"),
                special_use: vec![SpecialUse::Drafts, SpecialUse::Sent],
            },
        ),
        (
            "STATUS blurdybloop (UIDNEXT MESSAGES highestmodseq)",
            CommandBody::Status {
                mailbox: name("blurdybloop"),
                items: vec![
                    StatusItem::UidNext,
                    StatusItem::Messages,
                    StatusItem::HighestModSeq,
                ],
            },
        ),
        (
            "COPY 2:4 MEETING",
            CommandBody::Copy {
                set: MessageSet::Seq(seq_set("2:4")),
                mailbox: name("MEETING"),
            },
        ),
        (
            "UID MOVE 42:69,* foo",
            CommandBody::Move {
                set: MessageSet::Uid(uid_set("42:69,*")),
                mailbox: name("foo"),
            },
        ),
        (
            "ENABLE CONDSTORE X-GOOD-IDEA",
            CommandBody::Enable(vec![atom("CONDSTORE"), atom("X-GOOD-IDEA")]),
        ),
        ("ID NIL", CommandBody::Id(None)),
        ("ID ()", CommandBody::Id(Some(vec![]))),
        (
            "ID (\"name\" \"sodr\" \"version\" NIL)",
            CommandBody::Id(Some(vec![
                (b"name".to_vec(), Some(b"sodr".to_vec())),
                (b"version".to_vec(), None),
            ])),
        ),
    ] {
        assert_eq!(body(line), expected, "{line}");
    }
}

#[test]
fn select_with_parameters() {
    let select = |line: &str| match body(line) {
        CommandBody::Select(select) => select,
        other => panic!("{other:?}"),
    };
    let plain = select("SELECT INBOX");
    assert!(!plain.read_only && !plain.condstore && plain.qresync.is_none());
    assert!(select("EXAMINE blurdybloop").read_only);
    assert!(select("SELECT INBOX (CONDSTORE)").condstore);
    // RFC 7162 §3.2.5
    let qresync = |text: &str| {
        select(&format!("SELECT INBOX (QRESYNC ({text}))"))
            .qresync
            .unwrap()
    };
    let resync = qresync("67890007 20050715194045000 41,43:211,214:541");
    assert_eq!(resync.uid_validity.get(), 67_890_007);
    assert_eq!(resync.mod_seq, ModSeq(20_050_715_194_045_000));
    assert_eq!(resync.known_uids, Some(uid_set("41,43:211,214:541")));
    assert_eq!(resync.known_match, None);
    let resync = qresync("67890007 90060115194045000 41:211,214:541 (5,9 41,43)");
    assert_eq!(resync.known_match, Some((seq_set("5,9"), uid_set("41,43"))));
    // RFC 7162 §3.2.5.2: without the known UIDs.
    let resync = qresync("67890007 90060115194045000 (1,2 3,4)");
    assert_eq!(resync.known_uids, None);
    assert_eq!(resync.known_match, Some((seq_set("1,2"), uid_set("3,4"))));
    for bad in [
        "1 2 *",
        "1 2 $",
        "1 2 1:*",
        "0 1",
        "1",
        "1 2 3 (4)",
        "1 2 3 (4 *)",
        "1 2 (3 4) 5",
    ] {
        assert!(
            try_body(&format!("SELECT INBOX (QRESYNC ({bad}))")).is_err(),
            "{bad}"
        );
    }
    assert!(try_body("SELECT INBOX (FOO)").is_err());
}

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
    for bad in [
        "BODY[MIME]",
        "BODY[1.]",
        "BODY[0]",
        "BODY[1.0]",
        "BODY[HEADER.FIELDS]",
        "BODY[HEADER.FIELDS ()]",
        "BODY[",
        "BODY[]<0>",
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
        "FETCH 1 FLAGS (PARTIAL 0:1)",
        "FETCH 1 FLAGS (PARTIAL 1:-1)",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }
}

#[test]
fn store() {
    let store = |line: &str| match body(line) {
        CommandBody::Store(store) => store,
        other => panic!("{other:?}"),
    };
    let deleted = store("STORE 2:4 +FLAGS (\\Deleted)");
    assert_eq!(deleted.action, StoreAction::Add);
    assert_eq!(deleted.flags, [Flag::Deleted]);
    assert!(!deleted.silent);
    let keywords = store("UID STORE $ -flags.silent $Junk \\Foo \\seen");
    assert!(keywords.silent && keywords.set.is_uid());
    assert_eq!(
        keywords.flags,
        [
            Flag::Keyword(atom("$Junk")),
            Flag::Extension(atom("Foo")),
            Flag::Seen
        ]
    );
    let conditional = store("STORE 7,5,9 (UNCHANGEDSINCE 320162338) FLAGS ()");
    assert_eq!(conditional.unchanged_since, Some(ModSeq(320_162_338)));
    assert_eq!(conditional.action, StoreAction::Replace);
    assert!(conditional.flags.is_empty());
    for bad in [
        "STORE 1 FLAGS",
        "STORE 1 FLAGS (\\)",
        "STORE 1 FLAGS (a]b)",
        "STORE 1 +FLAG (x)",
        "STORE 1 *FLAGS (x)",
        "STORE 1 FLAGS (\\*)",
        "STORE 1 FLAGS (a b",
        "STORE 1 FLAGS (a  b)",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }
}

#[test]
fn search_keys() {
    use SearchKey as K;
    let text = |s: &str| s.as_bytes().to_vec();
    for (line, expected) in [
        ("ALL", K::All),
        ("(ALL)", K::All),
        ("UNSEEN DELETED", K::And(vec![K::Unseen, K::Deleted])),
        (
            "FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
            K::And(vec![
                K::Flagged,
                K::Since(date(1994, 2, 1)),
                K::Not(Box::new(K::From(text("Smith")))),
            ]),
        ),
        ("TEXT {6}\r\nüüxx", K::Text(text("üüxx"))),
        ("1:3,7", K::Sequence(seq_set("1:3,7"))),
        ("$", K::Sequence(SeqSet::saved())),
        ("UID *", K::Uid(uid_set("*"))),
        (
            "HEADER Message-ID \"\"",
            K::Header {
                name: text("Message-ID"),
                value: vec![],
            },
        ),
        ("BEFORE \"01-Jan-2000\"", K::Before(date(2000, 1, 1))),
        ("ON 1-Jan-2000", K::On(date(2000, 1, 1))),
        ("KEYWORD $Forwarded", K::Keyword(atom("$Forwarded"))),
        ("LARGER 4294967296", K::Larger(4_294_967_296)),
        ("OR SEEN ANSWERED", K::Or(vec![K::Seen, K::Answered])),
        (
            "OR SEEN OR DRAFT OLD",
            K::Or(vec![K::Seen, K::Draft, K::Old]),
        ),
        (
            "OR OR SEEN DRAFT OLD",
            K::Or(vec![K::Or(vec![K::Seen, K::Draft]), K::Old]),
        ),
        (
            "OR (SEEN DRAFT) NOT (OLD)",
            K::Or(vec![
                K::And(vec![K::Seen, K::Draft]),
                K::Not(Box::new(K::Old)),
            ]),
        ),
        (
            "UNSEEN YOUNGER 259200",
            K::And(vec![K::Unseen, K::Younger(nz(259_200))]),
        ),
        (
            "MODSEQ 620162338",
            K::ModSeq {
                entry: None,
                mod_seq: ModSeq(620_162_338),
            },
        ),
        (
            "MODSEQ \"/flags/\\\\draft\" all 620162338",
            K::ModSeq {
                entry: Some(ModSeqEntry {
                    name: text("/flags/\\draft"),
                    kind: EntryType::All,
                }),
                mod_seq: ModSeq(620_162_338),
            },
        ),
        (
            "EMAILID M6d99ac3275bb4e",
            K::EmailId(ObjectId::new("M6d99ac3275bb4e").unwrap()),
        ),
        ("SAVEDSINCE 28-Nov-2014", K::SavedSince(date(2014, 11, 28))),
        (
            "FUZZY SUBJECT \"xhtml\"",
            K::Fuzzy(Box::new(K::Subject(text("xhtml")))),
        ),
        ("FILTER \"on-the-road\"", K::Filter(text("on-the-road"))),
    ] {
        assert_eq!(key(line), expected, "{line}");
    }
    for bad in [
        "",
        "()",
        "FOO",
        "OR SEEN",
        "NOT",
        "BEFORE 32-Jan-2000",
        "BEFORE 1-Foo-2000",
        "BEFORE 001-Jan-2000",
        "BEFORE 1-Jan-99",
        "ON \"1-Jan-2000",
        "LARGER -1",
        "YOUNGER 0",
        "LARGER 9223372036854775808",
        "KEYWORD \\Seen",
        "SEEN  DRAFT",
        "(SEEN",
        "SEEN)",
        "0",
        "1:",
        "1,,2",
        "UID",
        "EMAILID \"a b\"",
        "MODSEQ",
        "1:0",
        "4294967296",
    ] {
        assert!(try_body(&format!("SEARCH {bad}")).is_err(), "{bad}");
    }
}

#[test]
fn search_options() {
    let search = |line: &str| match body(line) {
        CommandBody::Search(search) => search,
        other => panic!("{other:?}"),
    };
    let plain = search("SEARCH CHARSET UTF-8 TEXT x");
    assert_eq!(plain.charset.as_deref(), Some("UTF-8"));
    assert_eq!(plain.returns, None);
    assert!(!plain.uid);
    let returns = |text: &str| {
        search(&format!("UID SEARCH RETURN ({text}) UNSEEN"))
            .returns
            .unwrap()
    };
    assert!(returns("").all);
    assert!(returns("SAVE").save && !returns("SAVE").all);
    let many = returns("MIN MAX COUNT ALL");
    assert!(many.min && many.max && many.count && many.all);
    assert_eq!(
        returns("PARTIAL 1:500").partial,
        Some(PartialRange::First(nz(1), nz(500)))
    );
    assert_eq!(
        returns("PARTIAL -1:-100").partial,
        Some(PartialRange::Last(nz(1), nz(100)))
    );
    assert_eq!(returns("UPDATE COUNT").update, Some(vec![]));
    assert_eq!(returns("UPDATE (UID FLAGS)").update.unwrap().len(), 2);
    assert!(returns("CONTEXT RELEVANCY").context);
    for bad in [
        "SEARCH RETURN (FOO) ALL",
        "SEARCH RETURN (ALL PARTIAL 1:2) ALL",
        "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
        "SEARCH RETURN MIN ALL",
        "SEARCH RETURN (MIN)",
        "SEARCH CHARSET UTF-8",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }
}

#[test]
fn sort_thread_and_esearch() {
    let CommandBody::Sort(sort) = body("SORT (SUBJECT REVERSE DATE) UTF-8 ALL") else {
        panic!()
    };
    assert_eq!(sort.charset, "UTF-8");
    assert_eq!(
        sort.criteria,
        [
            SortCriterion {
                reverse: false,
                key: SortKey::Subject
            },
            SortCriterion {
                reverse: true,
                key: SortKey::Date
            }
        ]
    );
    let CommandBody::Sort(sort) = body("UID SORT RETURN (COUNT) (REVERSE DATE) UTF-8 UNDELETED")
    else {
        panic!()
    };
    assert!(sort.uid && sort.returns.unwrap().count);
}

#[test]
fn threads() {
    let CommandBody::Thread(thread) =
        body("UID THREAD REFERENCES UTF-8 SINCE 5-MAR-2000 SUBJECT x")
    else {
        panic!()
    };
    assert!(thread.uid);
    assert_eq!(thread.algorithm, ThreadAlgorithm::References);
    // RFC 7377 §3, in part
    let CommandBody::Esearch(esearch) =
        body("ESEARCH IN (mailboxes \"folder1\" subtree-one (\"folder2\" x)) subject \"chad\"")
    else {
        panic!()
    };
    assert_eq!(
        esearch.scope.unwrap().mailboxes,
        [
            MailboxFilter::Mailboxes(vec![name("folder1")]),
            MailboxFilter::SubtreeOne(vec![name("folder2"), name("x")])
        ]
    );
    assert!(matches!(body("ESEARCH UNSEEN"), CommandBody::Esearch(e) if e.scope.is_none()));
    for bad in [
        "SORT DATE UTF-8 ALL",
        "SORT () UTF-8 ALL",
        "SORT (DATE) ALL",
        "THREAD REFERENCES",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }
}

#[test]
fn lists() {
    let plain = list("LIST \"\" *");
    assert!(!plain.is_extended());
    assert_eq!(plain.patterns, [ListPattern("*".into())]);
    assert_eq!(list("LIST #news. %").reference, "#news.");
    assert_eq!(
        list("LIST \"\" \"\"").patterns,
        [ListPattern(String::new())]
    );
    assert_eq!(
        list("LIST \"\" &AOk-*").patterns,
        [ListPattern("é*".into())]
    );
    assert_eq!(
        list("LIST \"\" inbox").patterns,
        [ListPattern("inbox".into())]
    );
    // RFC 5258 §5
    let extended = list("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"INBOX\" \"Sent/%\")");
    assert!(extended.is_extended());
    let select = extended.select.unwrap();
    assert!(select.subscribed && select.recursive_match);
    assert_eq!(extended.patterns.len(), 2);
    let returns = |text: &str| {
        list(&format!("LIST \"\" % RETURN ({text})"))
            .returns
            .unwrap()
    };
    assert_eq!(
        returns("STATUS (MESSAGES UNSEEN)").status,
        [StatusItem::Messages, StatusItem::Unseen]
    );
    assert!(returns("CHILDREN SPECIAL-USE SUBSCRIBED").special_use);
    assert!(returns("MYRIGHTS").my_rights);
    assert_eq!(
        returns("METADATA (\"/shared/vendor/vendor.example.com/color\")")
            .metadata
            .len(),
        1
    );
    assert_eq!(returns(""), ListReturn::default());
    assert!(list("LIST () \"\" %").is_extended());
    assert!(list("LIST \"\" () RETURN ()").patterns.is_empty());
    for bad in [
        "LIST",
        "LIST \"\"",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (REMOTE RECURSIVEMATCH) \"\" *",
        "LIST (FOO) \"\" *",
        "LIST \"\" * RETURN",
        "LIST \"\" * RETURN (FOO)",
        "LIST \"\" * RETURN (STATUS)",
        "LIST \"\" * FOO (x)",
    ] {
        assert!(try_body(bad).is_err(), "{bad}");
    }
    assert_eq!(
        body("LSUB \"#news.\" \"comp.mail.*\""),
        CommandBody::Lsub {
            reference: "#news.".into(),
            pattern: ListPattern("comp.mail.*".into())
        }
    );
}

#[test]
fn quota_acl_metadata() {
    assert_eq!(
        body("SETQUOTA \"\" (STORAGE 512 message 5)"),
        CommandBody::SetQuota(SetQuota {
            root: vec![],
            limits: vec![(QuotaResource::Storage, 512), (QuotaResource::Message, 5)]
        })
    );
    assert_eq!(
        body("GETQUOTA !partition/sda4"),
        CommandBody::GetQuota(b"!partition/sda4".to_vec())
    );
    assert_eq!(
        body("GETQUOTAROOT inbox"),
        CommandBody::GetQuotaRoot(name("INBOX"))
    );
    let CommandBody::SetAcl(acl) = body("Setacl INBOX/Drafts John +lrswicda") else {
        panic!()
    };
    assert_eq!(acl.rights, b"lrswicda");
    assert_eq!(acl.change, RightsChange::Add);
    assert_eq!(body("MYRIGHTS INBOX"), CommandBody::MyRights(name("INBOX")));
    assert!(try_body("SETACL INBOX John lrQswicda").is_err());
    assert_eq!(
        body("LISTRIGHTS ~/Mail/saved smith"),
        CommandBody::ListRights {
            mailbox: name("~/Mail/saved"),
            identifier: b"smith".to_vec()
        }
    );
    // RFC 5464 §4.2; the options before the mailbox (grammar) and after it (examples).
    for line in [
        "GETMETADATA (DEPTH 1 MAXSIZE 1024) \"INBOX\" (/private/filters/values /shared/comment)",
        "GETMETADATA \"INBOX\" (DEPTH 1 MAXSIZE 1024) (/private/filters/values /shared/comment)",
    ] {
        let CommandBody::GetMetadata(get) = body(line) else {
            panic!()
        };
        assert_eq!(get.depth, MetadataDepth::One);
        assert_eq!(get.max_size, Some(1024));
        assert_eq!(get.entries.len(), 2);
    }
    let CommandBody::GetMetadata(get) = body("GETMETADATA \"\" /shared/comment") else {
        panic!()
    };
    assert_eq!(get.mailbox.as_str(), "");
    assert_eq!(
        body("SETMETADATA INBOX (/private/comment ~{3+}\r\na\0b /shared/comment NIL)"),
        CommandBody::SetMetadata {
            mailbox: name("INBOX"),
            entries: vec![
                MetadataEntry {
                    name: b"/private/comment".to_vec(),
                    value: Some(b"a\0b".to_vec())
                },
                MetadataEntry {
                    name: b"/shared/comment".to_vec(),
                    value: None
                }
            ]
        }
    );
    assert!(try_body("GETMETADATA INBOX comment").is_err());
    assert!(try_body("GETMETADATA INBOX /private/*").is_err());
}

#[test]
fn notify() {
    // RFC 5465 §3.1 and §5.1, in part
    let line = "NOTIFY SET STATUS (selected MessageNew (uid body.peek[header.fields (to)]) MessageExpunge) \
        (subtree Lists (MessageNew MessageExpunge FlagChange))";
    assert!(try_body(line).is_err(), "events stand in parentheses");
    let line = "NOTIFY SET STATUS (selected (MessageNew (uid body.peek[header.fields (to)]) MessageExpunge)) \
        (subtree Lists (MessageNew MessageExpunge FlagChange Frobbed)) (inboxes NONE)";
    let CommandBody::Notify(Notify::Set {
        status: true,
        groups,
    }) = body(line)
    else {
        panic!()
    };
    assert_eq!(groups.len(), 3);
    assert_eq!(groups[2].events, NotifyEvents::None);
    assert_eq!(
        groups[1].mailboxes,
        MailboxFilter::Subtree(vec![name("Lists")])
    );
    let NotifyEvents::Events(events) = &groups[0].events else {
        panic!()
    };
    assert!(matches!(&events[0], NotifyEvent::MessageNew(fetch) if fetch.len() == 2));
    assert_eq!(events[1], NotifyEvent::Named(EventName::MessageExpunge));
    let NotifyEvents::Events(events) = &groups[1].events else {
        panic!()
    };
    assert_eq!(events[3], NotifyEvent::Other(atom("Frobbed")));
    assert_eq!(body("NOTIFY NONE"), CommandBody::Notify(Notify::None));
}

#[test]
fn other_extensions() {
    for (line, expected) in [
        (
            "UIDBATCHES 2000",
            CommandBody::UidBatches {
                size: nz(2000),
                batches: None,
            },
        ),
        (
            "UIDBATCHES 500 10:20",
            CommandBody::UidBatches {
                size: nz(500),
                batches: Some((nz(10), nz(20))),
            },
        ),
        ("LANGUAGE", CommandBody::Language(vec![])),
        (
            "LANGUAGE FR-CA \"EN-CA\"",
            CommandBody::Language(vec![b"FR-CA".to_vec(), b"EN-CA".to_vec()]),
        ),
        (
            "COMPARATOR \"cz;*\" i;basic",
            CommandBody::Comparator(vec![b"cz;*".to_vec(), b"i;basic".to_vec()]),
        ),
        (
            "CANCELUPDATE \"B01\" \"B02\"",
            CommandBody::CancelUpdate(vec![b"B01".to_vec(), b"B02".to_vec()]),
        ),
        (
            "URLFETCH \"imap://x\"",
            CommandBody::UrlFetch(vec![b"imap://x".to_vec()]),
        ),
        (
            "GENURLAUTH \"imap://x\" INTERNAL",
            CommandBody::GenUrlAuth(vec![(b"imap://x".to_vec(), atom("INTERNAL"))]),
        ),
        (
            "RESETKEY",
            CommandBody::ResetKey {
                mailbox: None,
                mechanisms: vec![],
            },
        ),
        (
            "RESETKEY INBOX XSAMPLE",
            CommandBody::ResetKey {
                mailbox: Some(name("INBOX")),
                mechanisms: vec![atom("XSAMPLE")],
            },
        ),
    ] {
        assert_eq!(body(line), expected, "{line}");
    }
}

#[test]
fn sets() {
    for text in [
        "*",
        "1",
        "1:*",
        "*:4,5:7",
        "4:2",
        "2,4:7,9,12:*",
        "$",
        "1,$",
    ] {
        assert!(
            decode_set::<Uid>(text.as_bytes(), &DecodeOptions::default()).is_ok(),
            "{text}"
        );
    }
    assert_eq!(seq_set("*:4").ranges[0].first, SetEnd::Star);
    assert_eq!(
        uid_set("2,4:7").normalized(uid(1)),
        [(uid(2), uid(2)), (uid(4), uid(7))]
    );
    for bad in [
        "",
        "0",
        "01",
        "1:",
        ":1",
        "1,",
        ",1",
        "1 2",
        "-1",
        "4294967296",
        "1:2:3",
        "**",
    ] {
        assert!(
            decode_set::<Uid>(bad.as_bytes(), &DecodeOptions::default()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn errors_have_tag_kind_and_place() {
    let error = |line: &str| decode(line.as_bytes(), &DecodeOptions::default()).unwrap_err();
    let unknown = error("a1 FROB x");
    assert_eq!(unknown.tag, Tag::new("a1"));
    assert_eq!(unknown.error.kind, DecodeErrorKind::UnknownCommand);
    assert_eq!(unknown.error.position, 3);
    assert_eq!(
        error("a1 UID NOOP").error.kind,
        DecodeErrorKind::UnknownCommand
    );
    assert_eq!(error("").tag, None);
    assert_eq!(error("a1").tag, Tag::new("a1"));
    assert_eq!(error("a+1 NOOP").tag, None);
    assert_eq!(error("* NOOP").tag, None);
    assert_eq!(error("a1 NOOP x").error.position, 8);
    assert_eq!(
        error("a1 SELECT a&b").error.kind,
        DecodeErrorKind::MailboxName
    );
    assert_eq!(
        error("a1 SELECT \"\u{e9}\"").error.kind,
        DecodeErrorKind::MailboxName
    );
    assert_eq!(
        error("a1 CREATE x (USE (\\Foo))").error.kind,
        DecodeErrorKind::SpecialUse
    );
    assert_eq!(
        error("a1 FETCH 4294967296 FLAGS").error.kind,
        DecodeErrorKind::Number
    );
    assert_eq!(error("a1 APPEND INBOX").error.kind, DecodeErrorKind::Syntax);
    assert_eq!(
        error(&format!("{} NOOP", "t".repeat(200))).error.kind,
        DecodeErrorKind::Limit
    );
    assert_eq!(tag_of(b"abc\r\n"), Tag::new("abc"));
}

#[test]
fn strings_are_checked() {
    for bad in [
        "LOGIN \"a b",
        "LOGIN \"a\\x\" b",
        "LOGIN \"a\\",
        "LOGIN a\"b c",
        "LOGIN (a) b",
        "LOGIN {3}\r\nab",
        "LOGIN {3}x\r\nabc d",
        "LOGIN {3\r\nabc d",
        "LOGIN {3}\r\na\0b d",
        "LOGIN \"a\nb\" c",
        "LOGIN \"a\rb\" c",
        "LOGIN \"a\0b\" c",
        "LOGIN a\tb c",
    ] {
        assert!(try_body(bad).is_err(), "{bad:?}");
    }
    let bytes = [&b"a1 LOGIN \"\xff\" x"[..], b"a1 LOGIN \xff x"];
    for bad in bytes {
        assert!(decode(bad, &DecodeOptions::default()).is_err());
    }
    // UTF-8 in quotes is told to the session, which knows what the client enabled.
    let command = decode("a1 LOGIN \"ü\" x".as_bytes(), &DecodeOptions::default()).unwrap();
    assert!(command.utf8_quoted);
    let command = decode("a1 LOGIN {2}\r\nü x".as_bytes(), &DecodeOptions::default()).unwrap();
    assert!(!command.utf8_quoted);
}

#[test]
fn names_in_utf8_mode() {
    let options = DecodeOptions {
        utf8: true,
        ..DecodeOptions::default()
    };
    let select = |line: &str| decode(line.as_bytes(), &options).map(|command| command.body);
    let Ok(CommandBody::Delete(delete)) = select("a DELETE \"Entwürfe & mehr\"") else {
        panic!()
    };
    assert_eq!(delete.as_str(), "Entwürfe & mehr");
    let Ok(CommandBody::Delete(delete)) = select("a DELETE Entw&APw-rfe") else {
        panic!()
    };
    assert_eq!(delete.as_str(), "Entw&APw-rfe");
}

#[test]
fn depth_and_numbers_are_bounded() {
    let limit = |line: &str| try_body(line).unwrap_err().error.kind;
    for open in ["(", "NOT ", "FUZZY ", "OR (SEEN) (", "OR NOT ("] {
        let line = format!("SEARCH {}SEEN", open.repeat(100_000));
        assert_eq!(limit(&line), DecodeErrorKind::Limit, "{open}");
    }
    assert_eq!(
        limit(&format!("FETCH {}1 FLAGS", "1,".repeat(100_000))),
        DecodeErrorKind::Limit
    );
    assert_eq!(
        limit(&format!("FETCH 1 ({}UID)", "UID ".repeat(100_000))),
        DecodeErrorKind::Limit
    );
    // Long chains of OR are not deep.
    let SearchKey::Or(keys) = key(&format!("{}SEEN", "OR FROM a ".repeat(5000))) else {
        panic!()
    };
    assert_eq!(keys.len(), 5001);
    // RFC 9051 §6.4.4 has no bound; a hundred levels are let through.
    assert!(try_body(&format!("SEARCH {}SEEN", "NOT ".repeat(100))).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&line, &DecodeOptions::default());
    }

    #[test]
    fn arbitrary_words_never_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "a1 ", "UID ", "FETCH ", "SEARCH ", "STORE ", "LIST ", "NOTIFY SET ", "SELECT x ",
            "SORT ", "1:*", "(", ")", " ", "[", "]", "BODY", "HEADER.FIELDS ", "RETURN ", "\"",
            "\\", "{1}\r\nx", "OR ", "NOT ", "STATUS ", "<0.1>", "&", "*", "FLAGS", "+FLAGS",
            "QRESYNC ", "1", "0", "-", "CHANGEDSINCE ", "PARTIAL ", "1-Jan-2000", "\u{e9}",
        ]), 0..24),
    ) {
        let _ = decode(words.concat().as_bytes(), &DecodeOptions::default());
    }
}
