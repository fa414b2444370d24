//! Commands as they must stand on the wire.

use std::num::NonZeroU32;

use super::*;
use crate::types::*;

fn encode(body: CommandBody, encoding: CommandEncoding) -> EncodedCommand {
    let command = Command {
        tag: Tag::new("a1").unwrap(),
        body,
        utf8_quoted: false,
    };
    encode_command(&command, encoding).unwrap()
}

fn text(body: CommandBody) -> String {
    let command = encode(body, CommandEncoding::default());
    assert!(!command.wait_after_last);
    String::from_utf8(command.segments.join(&b"|"[..])).unwrap()
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name)
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

#[test]
fn strings_are_atoms_quoted_or_literals() {
    let login = |user: &[u8], password: &[u8]| CommandBody::Login {
        user: user.to_vec(),
        password: Secret::new(password.to_vec()),
    };
    assert_eq!(
        text(login(b"joe", b"pass word\"\\")),
        "a1 LOGIN joe \"pass word\\\"\\\\\"\r\n"
    );
    assert_eq!(text(login(b"nil", b"")), "a1 LOGIN \"nil\" \"\"\r\n");
    let umlaut = "\u{e9}".as_bytes();
    assert_eq!(
        encode(login(b"joe", umlaut), CommandEncoding::default()).segments,
        [b"a1 LOGIN joe {2}\r\n".to_vec(), "\u{e9}\r\n".into()]
    );
    let plus = CommandEncoding {
        literals: LiteralSupport::Plus,
        utf8: false,
    };
    assert_eq!(
        encode(login(b"a\nb", umlaut), plus).segments,
        ["a1 LOGIN {3+}\r\na\nb {2+}\r\n\u{e9}\r\n"
            .as_bytes()
            .to_vec()]
    );
    let utf8 = CommandEncoding {
        literals: LiteralSupport::Minus,
        utf8: true,
    };
    assert_eq!(
        encode(login(b"joe", umlaut), utf8).segments,
        ["a1 LOGIN joe \"\u{e9}\"\r\n".as_bytes().to_vec()]
    );
    let command = Command {
        tag: Tag::new("a").unwrap(),
        body: login(b"\0", b""),
        utf8_quoted: false,
    };
    assert_eq!(encode_command(&command, utf8), Err(CommandEncodeError::Nul));
    // A password never shows.
    assert!(!format!("{:?}", encode(login(b"u", b"hunter2"), utf8)).contains("hunter"));
}

#[test]
fn mailbox_names_in_the_encoding_in_force() {
    assert_eq!(
        text(CommandBody::Create {
            mailbox: name("日本語&"),
            special_use: vec![]
        }),
        "a1 CREATE &ZeVnLIqe-&-\r\n"
    );
    let utf8 = CommandEncoding {
        literals: LiteralSupport::Synchronizing,
        utf8: true,
    };
    assert_eq!(
        encode(CommandBody::Delete(name("日&")), utf8).segments,
        ["a1 DELETE \"日&\"\r\n".as_bytes().to_vec()]
    );
}

#[test]
fn one_of_each() {
    let set = MessageSet::Uid(UidSet::from_ranges([(uid(1), uid(3)), (uid(7), uid(7))]));
    let list = List {
        select: Some(ListSelect {
            subscribed: true,
            recursive_match: true,
            ..ListSelect::default()
        }),
        reference: String::new(),
        patterns: vec![ListPattern("*".into()), ListPattern("a b%".into())],
        pattern_list: true,
        returns: Some(ListReturn {
            children: true,
            status: vec![StatusItem::Messages, StatusItem::Size],
            ..ListReturn::default()
        }),
    };
    let fetch = Fetch {
        set: MessageSet::Seq(SeqSet::all()),
        attributes: vec![
            FetchAttribute::Uid,
            FetchAttribute::Section {
                section: Section {
                    part: vec![NonZeroU32::MIN],
                    text: Some(SectionText::HeaderFields {
                        names: vec![b"Date".to_vec()],
                        not: true,
                    }),
                },
                partial: Some(Partial {
                    offset: 0,
                    length: 9,
                }),
                peek: true,
            },
        ],
        modifiers: FetchModifiers {
            changed_since: Some(ModSeq(5)),
            vanished: true,
            partial: None,
        },
    };
    let search = Search {
        uid: true,
        returns: Some(SearchReturn {
            min: true,
            save: true,
            ..SearchReturn::default()
        }),
        charset: Some("UTF-8".into()),
        key: SearchKey::And(vec![
            SearchKey::Or(vec![
                SearchKey::Seen,
                SearchKey::And(vec![SearchKey::From(b"a b".to_vec()), SearchKey::Larger(5)]),
                SearchKey::Not(Box::new(SearchKey::On(
                    Date::new(2020, Month::May, 1).unwrap(),
                ))),
            ]),
            SearchKey::Uid(UidSet::saved()),
        ]),
    };
    let select = Select {
        mailbox: name("inbox"),
        read_only: true,
        condstore: true,
        qresync: Some(QResync {
            uid_validity: UidValidity::new(67890007).unwrap(),
            mod_seq: ModSeq(90060115194045000),
            known_uids: Some(UidSet::from_ranges([(uid(41), uid(211))])),
            known_match: None,
        }),
    };
    let store = Store {
        set: set.clone(),
        unchanged_since: Some(ModSeq(12)),
        action: StoreAction::Add,
        silent: true,
        flags: vec![Flag::Seen, Flag::new("$x").unwrap()],
    };
    let notify = Notify::Set {
        status: true,
        groups: vec![EventGroup {
            mailboxes: MailboxFilter::Subtree(vec![name("Lists")]),
            events: NotifyEvents::Events(vec![
                NotifyEvent::MessageNew(vec![FetchAttribute::Uid]),
                NotifyEvent::Named(EventName::MessageExpunge),
            ]),
        }],
    };
    let table: Vec<(CommandBody, &str)> = vec![
        (
            CommandBody::List(list),
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (* \"a b%\") RETURN (CHILDREN STATUS (MESSAGES SIZE))",
        ),
        (
            CommandBody::Fetch(fetch),
            "FETCH 1:* (UID BODY.PEEK[1.HEADER.FIELDS.NOT (Date)]<0.9>) (CHANGEDSINCE 5 VANISHED)",
        ),
        (
            CommandBody::Search(search),
            "UID SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR SEEN OR (FROM \"a b\" LARGER 5) NOT ON 1-May-2020 UID $",
        ),
        (
            CommandBody::Select(select),
            "EXAMINE INBOX (CONDSTORE QRESYNC (67890007 90060115194045000 41:211))",
        ),
        (
            CommandBody::Store(store),
            "UID STORE 1:3,7 (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen $x)",
        ),
        (
            CommandBody::Notify(notify),
            "NOTIFY SET STATUS (subtree (Lists) (MessageNew (UID) MessageExpunge))",
        ),
        (
            CommandBody::Move {
                set,
                mailbox: name("a b"),
            },
            "UID MOVE 1:3,7 \"a b\"",
        ),
        (CommandBody::Expunge(Some(UidSet::all())), "UID EXPUNGE 1:*"),
        (
            CommandBody::Id(Some(vec![(b"name".to_vec(), None)])),
            "ID (\"name\" NIL)",
        ),
        (CommandBody::Id(None), "ID NIL"),
        (
            CommandBody::Create {
                mailbox: name("S"),
                special_use: vec![SpecialUse::Sent],
            },
            "CREATE S (USE (\\Sent))",
        ),
        (
            CommandBody::Authenticate(Authenticate {
                mechanism: Atom::new("PLAIN").unwrap(),
                initial_response: Some(Secret::new(b"\0u\0p".to_vec())),
            }),
            "AUTHENTICATE PLAIN AHUAcA==",
        ),
        (
            CommandBody::Status {
                mailbox: name("x"),
                items: vec![StatusItem::Unseen],
            },
            "STATUS x (UNSEEN)",
        ),
        (CommandBody::Idle, "IDLE"),
    ];
    for (body, expected) in table {
        assert_eq!(text(body), format!("a1 {expected}\r\n"));
    }
}

#[test]
fn appends_around_their_messages() {
    let plus = CommandEncoding {
        literals: LiteralSupport::Minus,
        utf8: true,
    };
    let tag = Tag::new("a1").unwrap();
    let mut append = AppendEncoder::append(&tag, &name("x"), plus).unwrap();
    let date = DateTime::new(0, 60).unwrap();
    let first = AppendMessage {
        flags: vec![Flag::Seen],
        internal_date: Some(date),
        size: 5000,
        utf8: true,
        ..AppendMessage::default()
    };
    let head = append.message(&first);
    assert!(head.wait_after_last);
    assert_eq!(
        head.segments.concat(),
        b"a1 APPEND x (\\Seen) \" 1-Jan-1970 01:00:00 +0100\" UTF8 (~{5000}\r\n"
    );
    let head = append.message(&AppendMessage {
        size: 3,
        ..AppendMessage::default()
    });
    assert!(!head.wait_after_last);
    assert_eq!(head.segments.concat(), b") {3+}\r\n");
    assert_eq!(append.finish(), b"\r\n");
    let target = ReplaceTarget::Uid(SetEnd::Number(uid(4)));
    let mut replace = AppendEncoder::replace(&tag, target, &name("x"), plus).unwrap();
    let head = replace.message(&AppendMessage {
        size: 1,
        ..AppendMessage::default()
    });
    assert_eq!(head.segments.concat(), b"a1 UID REPLACE 4 x {1+}\r\n");
}
