//! SEARCH, SORT, THREAD and ESEARCH.

use super::*;

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
            "UIDAFTER 25000 UIDBEFORE 30000",
            K::And(vec![
                K::UidAfter(Uid::new(25_000).unwrap()),
                K::UidBefore(Uid::new(30_000).unwrap()),
            ]),
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
