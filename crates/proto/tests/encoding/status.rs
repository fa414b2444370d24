//! Status responses and response codes.

use super::*;

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
