//! Untagged data.

use super::*;

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
        UntaggedData::Xlist(entry(&["\\Inbox"], "INBOX", vec![])),
        "XLIST (\\Inbox) \"/\" INBOX",
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

fn change(add: bool, position: u32, ranges: &[(u32, u32)]) -> ResultChange {
    ResultChange {
        add,
        position,
        ids: ids(ranges),
    }
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
            changes: vec![
                change(false, 1, &[(5, 6)]),
                change(true, 0, &[(32768, 32768)]),
                change(false, 2, &[(9, 9)]),
            ],
            ..esearch
        }),
        "ESEARCH (TAG \"A302\") UID PARTIAL (-1:-100 NIL) RELEVANCY (4 99) \
         REMOVEFROM (1 5:6) ADDTO (0 32768) REMOVEFROM (2 9)",
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
        UntaggedData::UrlFetch(vec![FetchedUrl {
            url: b"imap://x".to_vec(),
            content: UrlContent::Plain(Some(b"a\r\nb".to_vec())),
        }]),
        "URLFETCH imap://x {4}\r\na\r\nb",
    );
    let fetched = |url: &str, data, octets: Option<&[u8]>| FetchedUrl {
        url: url.as_bytes().to_vec(),
        content: UrlContent::Items {
            structure: None,
            data: Some((data, octets.map(<[u8]>::to_vec))),
        },
    };
    data(
        UntaggedData::UrlFetch(vec![
            fetched("imap://x", UrlData::Binary, Some(b"a\0b")),
            fetched("imap://y", UrlData::Body, Some(b"ab")),
            fetched("imap://z", UrlData::Binary, None),
        ]),
        "URLFETCH imap://x (BINARY ~{3}\r\na\0b) imap://y (BODY \"ab\") imap://z (BINARY NIL)",
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
