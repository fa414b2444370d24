//! The commands of the base protocol.

use super::*;

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
    assert_eq!(list("LIST \"\" (\"\") RETURN ()").patterns.len(), 1);
    for bad in [
        "LIST",
        "LIST \"\"",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (REMOTE RECURSIVEMATCH) \"\" *",
        "LIST (FOO) \"\" *",
        "LIST \"\" ()",
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
    assert_eq!(
        body("XLIST \"\" %"),
        CommandBody::Xlist {
            reference: String::new(),
            pattern: ListPattern("%".into())
        }
    );
    assert!(try_body("XLIST (SUBSCRIBED) \"\" *").is_err());
}
