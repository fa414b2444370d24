//! What is refused, and what the error says.

use super::*;

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
