//! A capability that is switched off is neither told nor done: its syntax is a tagged BAD, and the
//! connection goes on. One row for each word of docs/rfc/support.tsv, each hidden by itself.

use std::collections::BTreeSet;
use std::path::Path;

use restante_testkit::transcript::{Transcript, Version};

/// What becomes of a hidden word's syntax.
enum Then {
    /// Each of these commands is refused, in the selected state.
    Refused(&'static [&'static str]),
    /// It is not enabled.
    NotEnabled,
    /// Its command belongs before the login.
    RefusedBeforeLogin(&'static str),
    /// There is nothing to refuse, and why.
    NoSyntax(&'static str),
}
use Then::{NoSyntax, NotEnabled, Refused, RefusedBeforeLogin};

const ROWS: &[(&str, Then)] = &[
    (
        "IMAP4rev1",
        NoSyntax("what every command is written in; hiding it only shortens the list"),
    ),
    ("IMAP4rev2", NotEnabled),
    (
        "SASL-IR",
        RefusedBeforeLogin("AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA=="),
    ),
    (
        "LOGIN-REFERRALS",
        NoSyntax("a response code; transcripts/referrals/hidden"),
    ),
    (
        "MAILBOX-REFERRALS",
        Refused(&["RLIST \"\" *", "RLSUB \"\" *"]),
    ),
    ("STARTTLS", NoSyntax("refused inside TLS in any case")),
    ("LOGINDISABLED", NoSyntax("says what is not there")),
    (
        "AUTH=SCRAM-SHA-256-PLUS",
        NoSyntax("needs a channel binding; transcripts/sasl/hidden"),
    ),
    (
        "AUTH=SCRAM-SHA-1-PLUS",
        NoSyntax("needs a channel binding; transcripts/sasl/hidden"),
    ),
    (
        "AUTH=SCRAM-SHA-256",
        RefusedBeforeLogin("AUTHENTICATE SCRAM-SHA-256"),
    ),
    (
        "AUTH=SCRAM-SHA-1",
        RefusedBeforeLogin("AUTHENTICATE SCRAM-SHA-1"),
    ),
    ("AUTH=EXTERNAL", RefusedBeforeLogin("AUTHENTICATE EXTERNAL")),
    (
        "AUTH=OAUTHBEARER",
        RefusedBeforeLogin("AUTHENTICATE OAUTHBEARER"),
    ),
    ("AUTH=XOAUTH2", RefusedBeforeLogin("AUTHENTICATE XOAUTH2")),
    (
        "AUTH=ANONYMOUS",
        RefusedBeforeLogin("AUTHENTICATE ANONYMOUS"),
    ),
    ("AUTH=PLAIN", RefusedBeforeLogin("AUTHENTICATE PLAIN")),
    ("AUTH=LOGIN", RefusedBeforeLogin("AUTHENTICATE LOGIN")),
    (
        "LITERAL+",
        NoSyntax("a literal that is on its way has to be read, or its octets would be commands"),
    ),
    ("ID", Refused(&["ID NIL"])),
    ("ENABLE", Refused(&["ENABLE CONDSTORE"])),
    ("NAMESPACE", Refused(&["NAMESPACE"])),
    ("LANGUAGE", Refused(&["LANGUAGE", "LANGUAGE DE"])),
    ("IDLE", Refused(&["IDLE"])),
    ("UNSELECT", Refused(&["UNSELECT"])),
    ("CHILDREN", NoSyntax("attributes of LIST")),
    (
        "SPECIAL-USE",
        Refused(&[
            "LIST (SPECIAL-USE) \"\" *",
            "LIST \"\" * RETURN (SPECIAL-USE)",
        ]),
    ),
    ("CREATE-SPECIAL-USE", Refused(&["CREATE x (USE (\\Junk))"])),
    (
        "LIST-EXTENDED",
        Refused(&[
            "LIST (SUBSCRIBED) \"\" *",
            "LIST \"\" (a b)",
            "LIST \"\" * RETURN (CHILDREN)",
        ]),
    ),
    (
        "LIST-STATUS",
        Refused(&["LIST \"\" * RETURN (STATUS (MESSAGES))"]),
    ),
    ("STATUS=SIZE", Refused(&["STATUS INBOX (SIZE)"])),
    ("UIDPLUS", Refused(&["UID EXPUNGE 1"])),
    ("MOVE", Refused(&["MOVE 1 INBOX", "UID MOVE 1 INBOX"])),
    (
        "MULTIAPPEND",
        Refused(&["APPEND INBOX {4+}<crlf>a: b {4+}<crlf>a: b"]),
    ),
    (
        "CATENATE",
        Refused(&["APPEND INBOX CATENATE (URL \"/INBOX/;UID=1\")"]),
    ),
    ("REPLACE", Refused(&["REPLACE 1 INBOX {4+}<crlf>a: b"])),
    (
        "URLAUTH",
        Refused(&[
            "GENURLAUTH imap://alice@h/INBOX/;uid=1;urlauth=anonymous INTERNAL",
            "RESETKEY",
            "URLFETCH imap://alice@h/INBOX/;uid=1;urlauth=anonymous:INTERNAL:00",
        ]),
    ),
    (
        "URLAUTH=BINARY",
        Refused(&["URLFETCH (imap://alice@h/INBOX/;uid=1;urlauth=anonymous:INTERNAL:00 BINARY)"]),
    ),
    (
        "URL-PARTIAL",
        Refused(&[
            "APPEND INBOX CATENATE (URL \"/INBOX/;UID=1/;PARTIAL=0.5\")",
            "REPLACE 1 INBOX CATENATE (URL \"/INBOX/;UID=1/;SECTION=1/;partial=3\")",
            "APPEND INBOX CATENATE (URL imap://a@h/INBOX/;uid=1/;partial=0.1;urlauth=anonymous:INTERNAL:00)",
            "GENURLAUTH imap://alice@h/INBOX/;uid=1/;partial=0.5;urlauth=anonymous INTERNAL",
            "URLFETCH imap://alice@h/INBOX/;uid=1/;partial=0.5;urlauth=anonymous:INTERNAL:00",
        ]),
    ),
    (
        "CONDSTORE",
        Refused(&[
            "SELECT INBOX (CONDSTORE)",
            "FETCH 1 (MODSEQ)",
            "NOTIFY SET (SELECTED (MessageNew (MODSEQ) MessageExpunge))",
            "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
            "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (a)",
            "SEARCH MODSEQ 1",
            "STATUS INBOX (HIGHESTMODSEQ)",
        ]),
    ),
    (
        "QRESYNC",
        Refused(&[
            "SELECT INBOX (QRESYNC (1 1))",
            "UID FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        ]),
    ),
    (
        "ESEARCH",
        Refused(&["SEARCH RETURN (MIN) ALL", "UID SEARCH RETURN () ALL"]),
    ),
    (
        "SEARCHRES",
        Refused(&[
            "SEARCH RETURN (SAVE) ALL",
            "SEARCH $",
            "FETCH $ (UID)",
            "UID FETCH $ (UID)",
            "STORE $ +FLAGS (a)",
            "COPY $ INBOX",
            "UID MOVE $ INBOX",
            "UID EXPUNGE $",
        ]),
    ),
    ("SEARCH=FUZZY", Refused(&["SEARCH FUZZY (SUBJECT a)"])),
    (
        "PARTIAL",
        Refused(&[
            "SEARCH RETURN (PARTIAL 1:2) ALL",
            "UID FETCH 1 (UID) (PARTIAL 1:2)",
        ]),
    ),
    ("UIDBATCHES", Refused(&["UIDBATCHES 500"])),
    ("FILTERS", Refused(&["SEARCH FILTER a"])),
    ("I18NLEVEL=1", NoSyntax("what SEARCH and SORT do anyway")),
    ("I18NLEVEL=2", Refused(&["COMPARATOR"])),
    ("UIDONLY", NotEnabled),
    (
        "MULTISEARCH",
        Refused(&[
            "ESEARCH IN (personal) ALL",
            "NOTIFY SET (subtree-one INBOX (MailboxName))",
        ]),
    ),
    ("INPROGRESS", NoSyntax("a response code")),
    (
        "WITHIN",
        Refused(&["SEARCH OLDER 5", "SEARCH OR (NOT YOUNGER 5) ALL"]),
    ),
    ("SORT", Refused(&["SORT (DATE) UTF-8 ALL"])),
    (
        "SORT=DISPLAY",
        Refused(&["SORT (DISPLAYFROM) UTF-8 ALL", "SORT (DISPLAYTO) UTF-8 ALL"]),
    ),
    ("ESORT", Refused(&["SORT RETURN (MIN) (DATE) UTF-8 ALL"])),
    (
        "CONTEXT=SEARCH",
        Refused(&["SEARCH RETURN (UPDATE) ALL", "SEARCH RETURN (CONTEXT) ALL"]),
    ),
    (
        "CONTEXT=SORT",
        Refused(&["SORT RETURN (UPDATE) (DATE) UTF-8 ALL"]),
    ),
    (
        "THREAD=ORDEREDSUBJECT",
        Refused(&["THREAD ORDEREDSUBJECT UTF-8 ALL"]),
    ),
    (
        "THREAD=REFERENCES",
        Refused(&["THREAD REFERENCES UTF-8 ALL"]),
    ),
    ("THREAD=REFS", Refused(&["THREAD REFS UTF-8 ALL"])),
    (
        "BINARY",
        Refused(&[
            "FETCH 1 (BINARY[1])",
            "FETCH 1 (BINARY.PEEK[1])",
            "FETCH 1 (BINARY.SIZE[1])",
            "APPEND INBOX ~{4+}<crlf>a: b",
            "APPEND INBOX {4+}<crlf>a: b ~{4+}<crlf>a: b",
            "APPEND INBOX CATENATE (TEXT ~{4+}<crlf>a: b)",
            "REPLACE 1 INBOX ~{4+}<crlf>a: b",
            "NOTIFY SET (SELECTED (MessageNew (BINARY.PEEK[1]) MessageExpunge))",
        ]),
    ),
    (
        "OBJECTID",
        Refused(&[
            "FETCH 1 (EMAILID)",
            "FETCH 1 (THREADID)",
            "SEARCH EMAILID a",
            "STATUS INBOX (MAILBOXID)",
        ]),
    ),
    (
        "SAVEDATE",
        Refused(&["FETCH 1 (SAVEDATE)", "SEARCH SAVEDATESUPPORTED"]),
    ),
    (
        "PREVIEW",
        Refused(&[
            "FETCH 1 (PREVIEW)",
            "FETCH 1 (PREVIEW (LAZY))",
            "SEARCH RETURN (UPDATE (PREVIEW)) ALL",
        ]),
    ),
    ("UTF8=ACCEPT", NotEnabled),
    ("UTF8=ONLY", NoSyntax("transcripts/utf8only/hidden")),
    ("JMAPACCESS", Refused(&["GETJMAPACCESS"])),
    ("UNAUTHENTICATE", Refused(&["UNAUTHENTICATE"])),
    (
        "NOTIFY",
        Refused(&["NOTIFY NONE", "SEARCH RETURN (UPDATE (UID)) ALL"]),
    ),
    ("COMPRESS=DEFLATE", Refused(&["COMPRESS DEFLATE"])),
    ("APPENDLIMIT", Refused(&["STATUS INBOX (APPENDLIMIT)"])),
    (
        "MESSAGELIMIT",
        Refused(&["SEARCH UIDAFTER 1", "SEARCH UIDBEFORE 5"]),
    ),
    (
        "SAVELIMIT",
        NoSyntax("a limit; transcripts/messagelimit/hidden"),
    ),
    (
        "METADATA",
        Refused(&[
            "GETMETADATA INBOX /private/comment",
            "SETMETADATA INBOX (/private/comment \"a\")",
        ]),
    ),
    (
        "METADATA-SERVER",
        Refused(&[
            "GETMETADATA \"\" /private/vendor/a/b",
            "SETMETADATA \"\" (/private/vendor/a/b \"a\")",
        ]),
    ),
    (
        "LIST-METADATA",
        Refused(&["LIST \"\" * RETURN (METADATA (/private/comment))"]),
    ),
    (
        "ACL",
        Refused(&[
            "GETACL INBOX",
            "SETACL INBOX bob lr",
            "DELETEACL INBOX bob",
            "LISTRIGHTS INBOX bob",
            "MYRIGHTS INBOX",
        ]),
    ),
    ("RIGHTS=texk", NoSyntax("letters of ACL's commands")),
    ("LIST-MYRIGHTS", Refused(&["LIST \"\" * RETURN (MYRIGHTS)"])),
    ("QUOTA", Refused(&["GETQUOTA \"\"", "GETQUOTAROOT INBOX"])),
    (
        "QUOTA=RES-STORAGE",
        Refused(&["STATUS INBOX (DELETED-STORAGE)"]),
    ),
    ("QUOTA=RES-MESSAGE", NoSyntax("transcripts/quota/hidden")),
    ("QUOTA=RES-MAILBOX", NoSyntax("transcripts/quota/hidden")),
    ("QUOTASET", Refused(&["SETQUOTA \"\" (STORAGE 5)"])),
];

fn transcript(word: &str, then: &Then) -> String {
    let mut text = format!(
        "# A hidden word is refused.\nlimit: hidden_capability {word}\nlimit: bad_commands_max 100\n\
         limit: jmap_url https://h/\nlimit: mailbox_referral Far@imap://h/\nlimit: offers scram\n\
         limit: offers tokens\nlimit: offers certificates\nlimit: offers anonymous\nmailbox: INBOX 1\n"
    );
    match then {
        Refused(commands) => {
            text += "sessions: A selected\n";
            for command in *commands {
                text += &format!("A> {command}\nA< BAD\nA> NOOP\nA< OK\n");
            }
        }
        NotEnabled => {
            text += &format!("sessions: A authenticated\nA> ENABLE {word}\nA< * ENABLED\nA< OK\n");
        }
        RefusedBeforeLogin(command) => {
            text += &format!("sessions: A connected\nA> {command}\nA< BAD\nA> NOOP\nA< OK\n");
        }
        NoSyntax(_) => text += "sessions: A selected\nA> NOOP\nA< OK\n",
    }
    text += &format!("A> CAPABILITY\nA< * CAPABILITY <any>\nA!  {word} \n");
    if ["APPENDLIMIT", "MESSAGELIMIT", "SAVELIMIT"].contains(&word) {
        text += &format!("A!  {word}=\n");
    }
    text += "A< OK\n";
    text
}

#[tokio::test]
async fn each_hidden_word_is_refused() {
    let mut wrong = Vec::new();
    for (word, then) in ROWS {
        if let NoSyntax(reason) = then {
            assert!(!reason.is_empty(), "{word}");
        }
        let parsed = Transcript::parse(&transcript(word, then));
        let parsed = parsed.unwrap_or_else(|failure| panic!("{word}: {failure}"));
        if let Err(failure) = parsed.run(Version::Rev1, true).await {
            wrong.push(format!("{word}: {failure}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_word_has_its_row() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rfc/support.tsv");
    let table = std::fs::read_to_string(table).expect("the table");
    let rows = table.lines().skip(1).map(|line| line.split('\t'));
    let supported: BTreeSet<&str> = rows
        .filter_map(|mut columns| {
            let (word, status) = (columns.next()?, columns.nth(1)?);
            status.starts_with("yes").then_some(word)
        })
        .collect();
    let here: BTreeSet<&str> = ROWS.iter().map(|(word, _)| *word).collect();
    assert_eq!(here, supported);
    assert_eq!(here.len(), ROWS.len());
}
