//! Known answers of the encoder, mostly the RFCs' own examples; each is read back by the strict
//! decoder of the client half.

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

#[test]
fn status_responses() {
    let status = |tag: Option<Tag>, condition, code, text: &str| {
        Response::Status(StatusResponse {
            tag,
            condition,
            code,
            text: text.into(),
        })
    };
    for (response, expected) in [
        (
            status(Some(tag("a1")), Condition::Ok, None, "done"),
            "a1 OK done\r\n",
        ),
        (
            status(Some(tag("a1")), Condition::No, None, "no"),
            "a1 NO no\r\n",
        ),
        (
            status(Some(tag("a1")), Condition::Bad, None, "what?"),
            "a1 BAD what?\r\n",
        ),
        (status(None, Condition::Bye, None, "bye"), "* BYE bye\r\n"),
        (
            status(
                None,
                Condition::PreAuth,
                Some(Code::Capability(strings(&["IMAP4rev1", "ID"]))),
                "hi",
            ),
            "* PREAUTH [CAPABILITY IMAP4rev1 ID] hi\r\n",
        ),
        (
            Response::Continuation(b"go ahead".to_vec()),
            "+ go ahead\r\n",
        ),
        (Response::Continuation(vec![]), "+ \r\n"),
    ] {
        check(response, expected);
    }
    // A line stays a line.
    let two_lines = status(None, Condition::Ok, None, "a\r\nb");
    assert_eq!(encode(&two_lines, false), b"* OK a  b\r\n");
    let eight_bit = status(None, Condition::Ok, None, "é");
    assert_eq!(encode(&eight_bit, false), b"* OK ??\r\n");
    assert_eq!(encode(&eight_bit, true), "* OK é\r\n".as_bytes());
}

#[test]
fn plain_codes() {
    for (code, name) in [
        (Code::Alert, "ALERT"),
        (Code::AlreadyExists, "ALREADYEXISTS"),
        (Code::AuthenticationFailed, "AUTHENTICATIONFAILED"),
        (Code::AuthorizationFailed, "AUTHORIZATIONFAILED"),
        (Code::Cannot, "CANNOT"),
        (Code::ClientBug, "CLIENTBUG"),
        (Code::Closed, "CLOSED"),
        (Code::ContactAdmin, "CONTACTADMIN"),
        (Code::Corruption, "CORRUPTION"),
        (Code::Expired, "EXPIRED"),
        (Code::ExpungeIssued, "EXPUNGEISSUED"),
        (Code::HasChildren, "HASCHILDREN"),
        (Code::InUse, "INUSE"),
        (Code::Limit, "LIMIT"),
        (Code::NonExistent, "NONEXISTENT"),
        (Code::NoPerm, "NOPERM"),
        (Code::NotSaved, "NOTSAVED"),
        (Code::OverQuota, "OVERQUOTA"),
        (Code::Parse, "PARSE"),
        (Code::PrivacyRequired, "PRIVACYREQUIRED"),
        (Code::ReadOnly, "READ-ONLY"),
        (Code::ReadWrite, "READ-WRITE"),
        (Code::ServerBug, "SERVERBUG"),
        (Code::TryCreate, "TRYCREATE"),
        (Code::UidNotSticky, "UIDNOTSTICKY"),
        (Code::Unavailable, "UNAVAILABLE"),
        (Code::UnknownCte, "UNKNOWN-CTE"),
        (Code::NoModSeq, "NOMODSEQ"),
        (Code::UseAttr, "USEATTR"),
        (Code::TooBig, "TOOBIG"),
        (Code::CompressionActive, "COMPRESSIONACTIVE"),
        (Code::BadComparator, "BADCOMPARATOR"),
        (Code::NotificationOverflow, "NOTIFICATIONOVERFLOW"),
        (Code::UidRequired, "UIDREQUIRED"),
        (Code::TooFew, "TOOFEW"),
        (Code::TooMany, "TOOMANY"),
    ] {
        ok(code, name);
    }
}

#[test]
fn codes_with_data() {
    ok(Code::UidNext(uid(4392)), "UIDNEXT 4392");
    ok(
        Code::UidValidity(validity(3_857_529_045)),
        "UIDVALIDITY 3857529045",
    );
    ok(Code::Unseen(SeqNum::new(12).unwrap()), "UNSEEN 12");
    ok(
        Code::HighestModSeq(ModSeq(715_194_045_007)),
        "HIGHESTMODSEQ 715194045007",
    );
    ok(
        Code::PermanentFlags(vec![
            PermanentFlag::Flag(Flag::Deleted),
            PermanentFlag::Wildcard,
        ]),
        "PERMANENTFLAGS (\\Deleted \\*)",
    );
    ok(Code::PermanentFlags(vec![]), "PERMANENTFLAGS ()");
    ok(
        Code::AppendUid {
            uid_validity: validity(38505),
            uids: uids(&[(3955, 3957)]),
        },
        "APPENDUID 38505 3955:3957",
    );
    let copied = CopyUid {
        uid_validity: validity(38505),
        source: uids(&[(304, 304), (319, 320)]),
        destination: uids(&[(3956, 3958)]),
    };
    ok(Code::CopyUid(copied), "COPYUID 38505 304,319:320 3956:3958");
    ok(Code::BadCharset(vec![]), "BADCHARSET");
    ok(
        Code::BadCharset(strings(&["UTF-8", "US-ASCII"])),
        "BADCHARSET (UTF-8 US-ASCII)",
    );
    ok(Code::Modified(ids(&[(7, 7), (9, 9)])), "MODIFIED 7,9");
    ok(
        Code::MailboxId(object("F2212ea87-6097")),
        "MAILBOXID (F2212ea87-6097)",
    );
    ok(Code::NoUpdate(b"B02".to_vec()), "NOUPDATE \"B02\"");
    ok(
        Code::Metadata(MetadataCode::LongEntries(2199)),
        "METADATA LONGENTRIES 2199",
    );
    ok(
        Code::Metadata(MetadataCode::MaxSize(1024)),
        "METADATA MAXSIZE 1024",
    );
    ok(Code::Metadata(MetadataCode::TooMany), "METADATA TOOMANY");
    ok(
        Code::Metadata(MetadataCode::NoPrivate),
        "METADATA NOPRIVATE",
    );
    ok(
        Code::BadEvent(vec![EventName::MessageNew, EventName::FlagChange]),
        "BADEVENT (MessageNew FlagChange)",
    );
    ok(
        Code::UndefinedFilter(b"on-the-road".to_vec()),
        "UNDEFINED-FILTER on-the-road",
    );
    ok(Code::InProgress(None), "INPROGRESS");
    ok(
        Code::InProgress(Some((Some(tag("A001")), Some(454), Some(1000)))),
        "INPROGRESS (\"A001\" 454 1000)",
    );
    ok(
        Code::InProgress(Some((None, Some(175), None))),
        "INPROGRESS (NIL 175 NIL)",
    );
    ok(
        Code::MessageLimit {
            limit: nz(1000),
            lowest: Some(uid(23221)),
        },
        "MESSAGELIMIT 1000 23221",
    );
    ok(
        Code::MessageLimit {
            limit: nz(1000),
            lowest: None,
        },
        "MESSAGELIMIT 1000",
    );
    ok(
        Code::Other(atom("X-FOO"), Some(b"a b".to_vec())),
        "X-FOO a b",
    );
}

#[test]
fn mailbox_data() {
    data(
        UntaggedData::Capability(strings(&["IMAP4rev1", "AUTH=PLAIN"])),
        "CAPABILITY IMAP4rev1 AUTH=PLAIN",
    );
    data(
        UntaggedData::Enabled(strings(&["CONDSTORE"])),
        "ENABLED CONDSTORE",
    );
    data(UntaggedData::Enabled(vec![]), "ENABLED");
    data(UntaggedData::Id(None), "ID NIL");
    let fields = vec![
        (b"name".to_vec(), Some(b"Restante".to_vec())),
        (b"os".to_vec(), None),
    ];
    data(
        UntaggedData::Id(Some(fields)),
        "ID (\"name\" \"Restante\" \"os\" NIL)",
    );
    data(
        UntaggedData::Flags(vec![Flag::Answered, Flag::Keyword(atom("$Junk"))]),
        "FLAGS (\\Answered $Junk)",
    );
    data(UntaggedData::Exists(23), "23 EXISTS");
    data(UntaggedData::Recent(0), "0 RECENT");
    data(
        UntaggedData::Expunge(SeqNum::new(44).unwrap()),
        "44 EXPUNGE",
    );
    let vanished = uids(&[(41, 41), (43, 116), (118, 118)]);
    data(
        UntaggedData::Vanished {
            earlier: true,
            uids: vanished,
        },
        "VANISHED (EARLIER) 41,43:116,118",
    );
    data(
        UntaggedData::Vanished {
            earlier: false,
            uids: uids(&[(405, 407)]),
        },
        "VANISHED 405:407",
    );
    let values = vec![
        StatusValue::Messages(231),
        StatusValue::UidNext(uid(44292)),
        StatusValue::HighestModSeq(ModSeq(7_011_231_777)),
        StatusValue::Size(5_000_000_000),
        StatusValue::AppendLimit(None),
        StatusValue::MailboxId(object("F2212ea87")),
    ];
    data(
        UntaggedData::Status {
            mailbox: name("blurdybloop"),
            values,
        },
        "STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292 HIGHESTMODSEQ 7011231777 SIZE 5000000000 \
         APPENDLIMIT NIL MAILBOXID (F2212ea87))",
    );
    let namespaces = Namespaces {
        personal: vec![NamespaceEntry {
            prefix: String::new(),
            separator: Some('/'),
            extensions: vec![],
        }],
        other_users: vec![NamespaceEntry {
            prefix: "Other Users/".into(),
            separator: Some('/'),
            extensions: vec![(b"TRANSLATION".to_vec(), bytes(&["Andere Ben&APw-tzer/"]))],
        }],
        shared: vec![],
    };
    data(
        UntaggedData::Namespace(namespaces),
        "NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\" \"TRANSLATION\" \
         (\"Andere Ben&APw-tzer/\"))) NIL",
    );
}

#[test]
fn lists() {
    let entry = |attributes: &[&str], mailbox: &str, extended| ListEntry {
        attributes: attributes
            .iter()
            .map(|text| ListAttribute::new(text).unwrap())
            .collect(),
        separator: Some('/'),
        mailbox: name(mailbox),
        extended,
    };
    data(
        UntaggedData::List(entry(
            &["\\Marked", "\\Drafts", "\\X-Foo"],
            "Entwürfe",
            vec![],
        )),
        "LIST (\\Marked \\Drafts \\X-Foo) \"/\" Entw&APw-rfe",
    );
    data(
        UntaggedData::Lsub(entry(&["\\Noselect"], "a b", vec![])),
        "LSUB (\\Noselect) \"/\" \"a b\"",
    );
    data(
        UntaggedData::List(ListEntry {
            separator: None,
            ..entry(&[], "INBOX", vec![])
        }),
        "LIST () NIL INBOX",
    );
    data(
        UntaggedData::List(entry(
            &["\\NonExistent"],
            "Foo",
            vec![
                ListExtended::ChildInfo(vec![ChildInfo::Subscribed]),
                ListExtended::OldName(name("Bar")),
            ],
        )),
        "LIST (\\NonExistent) \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\") \"OLDNAME\" (Bar))",
    );
}

#[test]
fn search_results() {
    data(
        UntaggedData::Search {
            ids: vec![],
            mod_seq: None,
        },
        "SEARCH",
    );
    data(
        UntaggedData::Search {
            ids: [2, 5, 6].map(nz).to_vec(),
            mod_seq: Some(ModSeq(917_162_500)),
        },
        "SEARCH 2 5 6 (MODSEQ 917162500)",
    );
    data(
        UntaggedData::Sort {
            ids: [5, 2].map(nz).to_vec(),
            mod_seq: None,
        },
        "SORT 5 2",
    );
    let correlator = EsearchCorrelator {
        tag: Some(tag("A302")),
        ..Default::default()
    };
    let esearch = Esearch {
        correlator: correlator.clone(),
        uid: true,
        ..Default::default()
    };
    data(
        UntaggedData::Esearch(esearch.clone()),
        "ESEARCH (TAG \"A302\") UID",
    );
    data(
        UntaggedData::Esearch(Esearch {
            min: Some(nz(7)),
            max: Some(nz(3800)),
            count: Some(15),
            all: Some(ids(&[(4, 18), (21, 21)])),
            mod_seq: Some(ModSeq(1236)),
            ..esearch.clone()
        }),
        "ESEARCH (TAG \"A302\") UID MIN 7 MAX 3800 COUNT 15 ALL 4:18,21 MODSEQ 1236",
    );
    data(
        UntaggedData::Esearch(Esearch {
            partial: Some(PartialResult {
                range: PartialRange::Last(nz(1), nz(100)),
                ids: None,
            }),
            relevancy: Some(vec![4, 99]),
            add_to: vec![(0, ids(&[(32768, 32768)]))],
            remove_from: vec![(1, ids(&[(5, 6)]))],
            ..esearch
        }),
        "ESEARCH (TAG \"A302\") UID PARTIAL (-1:-100 NIL) RELEVANCY (4 99) ADDTO (0 32768) \
         REMOVEFROM (1 5:6)",
    );
    let correlator = EsearchCorrelator {
        mailbox: Some(name("folder1")),
        uid_validity: Some(validity(1)),
        ..correlator
    };
    let esearch = Esearch {
        correlator,
        uid: true,
        all: Some(ids(&[(1, 2)])),
        ..Default::default()
    };
    data(
        UntaggedData::Esearch(esearch),
        "ESEARCH (TAG \"A302\" MAILBOX folder1 UIDVALIDITY 1) UID ALL 1:2",
    );
}

#[test]
fn threads() {
    let node = |id: Option<u32>, children| ThreadNode {
        id: id.map(nz),
        children,
    };
    // RFC 5256 §4
    let thread = vec![
        node(Some(2), vec![]),
        node(
            Some(3),
            vec![node(
                Some(6),
                vec![
                    node(Some(4), vec![node(Some(23), vec![])]),
                    node(Some(44), vec![node(Some(7), vec![node(Some(96), vec![])])]),
                ],
            )],
        ),
    ];
    data(
        UntaggedData::Thread(thread),
        "THREAD (2)(3 6 (4 23)(44 7 96))",
    );
    let thread = vec![node(
        None,
        vec![node(Some(3), vec![]), node(Some(5), vec![])],
    )];
    data(UntaggedData::Thread(thread), "THREAD ((3)(5))");
    data(UntaggedData::Thread(vec![]), "THREAD");
    // Any depth: from preorder there is no recursion.
    let mut out = Vec::new();
    let chain = (1..=300_000).map(|n| (Some(nz(n)), usize::from(n < 300_000)));
    Writer::new(&mut out, false).thread_preorder(chain);
    assert!(out.starts_with(b"* THREAD (1 2 3 ") && out.ends_with(b" 300000)\r\n"));
    // Deep and branching: every list is closed.
    let mut out = Vec::new();
    let comb = (1..=1000).flat_map(|n| [(Some(nz(n)), 2), (Some(nz(5000)), 0)]);
    Writer::new(&mut out, false).thread_preorder(comb.chain([(Some(nz(6000)), 0)]));
    let count = |b: u8| out.iter().filter(|c| **c == b).count();
    assert_eq!(count(b'('), count(b')'));
}

#[test]
fn extension_data() {
    let inbox = || name("INBOX");
    let entry = |who: &str, rights: &str| AclEntry {
        identifier: who.into(),
        rights: rights.into(),
    };
    data(
        UntaggedData::Acl {
            mailbox: inbox(),
            entries: vec![entry("Fred", "rwipslxetad"), entry("a b", "")],
        },
        "ACL INBOX Fred rwipslxetad \"a b\" \"\"",
    );
    data(
        UntaggedData::ListRights {
            mailbox: name("~/Mail/saved"),
            identifier: b"smith".to_vec(),
            required: b"la".to_vec(),
            optional: bytes(&["r", "swicdkxte"]),
        },
        "LISTRIGHTS ~/Mail/saved smith la r swicdkxte",
    );
    data(
        UntaggedData::MyRights {
            mailbox: inbox(),
            rights: b"rwiptsldaex".to_vec(),
        },
        "MYRIGHTS INBOX rwiptsldaex",
    );
    let limit = QuotaLimit {
        resource: QuotaResource::Storage,
        usage: 10,
        limit: 512,
    };
    data(
        UntaggedData::Quota {
            root: vec![],
            limits: vec![limit],
        },
        "QUOTA \"\" (STORAGE 10 512)",
    );
    data(
        UntaggedData::QuotaRoot {
            mailbox: inbox(),
            roots: vec![vec![]],
        },
        "QUOTAROOT INBOX \"\"",
    );
    let entries = vec![
        MetadataEntry {
            name: b"/private/comment".to_vec(),
            value: Some(b"My comment".to_vec()),
        },
        MetadataEntry {
            name: b"/shared/comment".to_vec(),
            value: None,
        },
        MetadataEntry {
            name: b"/shared/x".to_vec(),
            value: Some(b"a\0b".to_vec()),
        },
    ];
    data(
        UntaggedData::Metadata {
            mailbox: inbox(),
            entries,
        },
        "METADATA INBOX (/private/comment \"My comment\" /shared/comment NIL /shared/x \
         ~{3}\r\na\0b)",
    );
    data(
        UntaggedData::MetadataChanged {
            mailbox: name(""),
            entries: bytes(&["/shared/comment"]),
        },
        "METADATA \"\" /shared/comment",
    );
    data(
        UntaggedData::Language(bytes(&["EN", "DE"])),
        "LANGUAGE (EN DE)",
    );
    data(
        UntaggedData::Comparator {
            active: b"i;basic".to_vec(),
            matching: vec![],
        },
        "COMPARATOR i;basic",
    );
    data(
        UntaggedData::GenUrlAuth(bytes(&["imap://x"])),
        "GENURLAUTH imap://x",
    );
    data(
        UntaggedData::UrlFetch(vec![(b"imap://x".to_vec(), Some(b"a\r\nb".to_vec()))]),
        "URLFETCH imap://x {4}\r\na\r\nb",
    );
    data(
        UntaggedData::UidBatches {
            tag: tag("A143"),
            ranges: vec![(uid(215_295), uid(99_695)), (uid(20_350), uid(20_350))],
        },
        "UIDBATCHES (TAG \"A143\") 215295:99695,20350:20350",
    );
    data(
        UntaggedData::JmapAccess(b"https://example.com/s/jmap".to_vec()),
        "JMAPACCESS \"https://example.com/s/jmap\"",
    );
}

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
fn codes_without_sets() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, false);
    let tag = tag("A003");
    writer.status_begin(Some(&tag), Condition::Ok);
    writer.copy_uid(
        validity(38505),
        [304, 319, 320].map(uid),
        [3956, 3957, 3958].map(uid),
    );
    writer.status_end("Done");
    writer.status_begin(Some(&tag), Condition::Ok);
    writer.append_uid(validity(1), [uid(7)]);
    writer.status_end("Done");
    writer.status_begin(Some(&tag), Condition::Ok);
    writer.modified([uid(7), uid(9)]);
    writer.status_end("Done");
    writer.vanished::<Uid>(false, []);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "A003 OK [COPYUID 38505 304,319:320 3956:3958] Done\r\nA003 OK [APPENDUID 1 7] Done\r\n\
         A003 OK [MODIFIED 7,9] Done\r\n"
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

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8.., 0..8)
}

fn any_mailbox() -> impl Strategy<Value = MailboxName> {
    "[^\\p{Cc}]{0,8}".prop_map(MailboxName::new)
}

fn any_flag() -> impl Strategy<Value = Flag> {
    "\\\\?[a-zA-Z$][a-zA-Z0-9.$-]{0,6}".prop_filter_map("no flag", |text| Flag::new(&text))
}

fn any_uids() -> impl Strategy<Value = UidSet> {
    prop::collection::btree_set(1u32.., 1..6)
        .prop_map(|set| UidSet::from_numbers(set.into_iter().map(uid)))
}

fn any_item() -> impl Strategy<Value = FetchItem> {
    let text = || prop::option::of(any_text().prop_map(Bytes::from));
    let part = || prop::collection::vec((1u32..).prop_map(nz), 0..3);
    prop_oneof![
        prop::collection::vec(any_flag(), 0..4).prop_map(FetchItem::Flags),
        (1u32..).prop_map(|n| FetchItem::Uid(uid(n))),
        (0..i64::MAX as u64).prop_map(FetchItem::Rfc822Size),
        (1..i64::MAX as u64).prop_map(|n| FetchItem::ModSeq(ModSeq(n))),
        (0i64..200_000_000_000, -1439i16..1440)
            .prop_map(|(s, z)| FetchItem::InternalDate(DateTime::new(s, z).unwrap())),
        (part(), prop::option::of(0..i64::MAX as u64), text()).prop_map(|(part, origin, data)| {
            FetchItem::Section {
                section: Section { part, text: None },
                origin,
                data,
            }
        }),
        (
            prop::collection::vec(prop::collection::vec(1u8..127, 1..5), 1..3),
            any::<bool>(),
            text()
        )
            .prop_map(|(names, not, data)| FetchItem::Section {
                section: Section {
                    part: vec![],
                    text: Some(SectionText::HeaderFields { names, not })
                },
                origin: None,
                data
            }),
    ]
}

fn any_data() -> impl Strategy<Value = UntaggedData> {
    let texts = || prop::collection::vec(any_text(), 1..4);
    prop_oneof![
        (1u32.., prop::collection::vec(any_item(), 1..5)).prop_map(|(n, items)| {
            UntaggedData::Fetch {
                seq: SeqNum::new(n).unwrap(),
                items,
            }
        }),
        (any::<bool>(), any_uids())
            .prop_map(|(earlier, uids)| UntaggedData::Vanished { earlier, uids }),
        any_mailbox().prop_map(|mailbox| {
            UntaggedData::List(ListEntry {
                attributes: vec![],
                separator: Some('/'),
                mailbox,
                extended: vec![],
            })
        }),
        (any_mailbox(), any::<u32>()).prop_map(|(mailbox, n)| {
            UntaggedData::Status {
                mailbox,
                values: vec![StatusValue::Messages(n)],
            }
        }),
        (any_mailbox(), texts())
            .prop_map(|(mailbox, roots)| UntaggedData::QuotaRoot { mailbox, roots }),
        prop::collection::vec((any_text(), prop::option::of(any_text())), 1..4)
            .prop_map(|fields| UntaggedData::Id(Some(fields))),
        prop::collection::vec((1u32..).prop_map(nz), 0..6)
            .prop_map(|ids| UntaggedData::Search { ids, mod_seq: None }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn responses_are_read_back(data in any_data(), utf8 in any::<bool>()) {
        let response = Response::Data(data);
        let bytes = encode(&response, utf8);
        prop_assert_eq!(read_back(&bytes, utf8), response);
    }
}
