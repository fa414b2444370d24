//! Whatever a client sends, in whatever pieces: the session does not panic, it answers grammatically
//! or ends, and other sessions notice nothing (design §7.9).

use proptest::prelude::*;
use restante_testkit::survive::survive;

/// Commands of every kind, right and nearly right.
const COMMANDS: &[&str] = &[
    "CAPABILITY",
    "NOOP",
    "ID NIL",
    "ID (\"name\" \"x\")",
    "ENABLE CONDSTORE",
    "ENABLE QRESYNC",
    "ENABLE IMAP4rev2 UTF8=ACCEPT",
    "LOGIN alice secret",
    "LOGIN {5+}\r\nalice {6+}\r\nsecret",
    "AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==",
    "AUTHENTICATE PLAIN",
    "STARTTLS",
    "SELECT INBOX",
    "EXAMINE INBOX (CONDSTORE)",
    "SELECT INBOX (QRESYNC (1 1 1:5 (1,3 1,4)))",
    "SELECT Other",
    "CREATE Other",
    "CREATE a/b/c",
    "CREATE Junk (USE (\\Junk))",
    "DELETE Other",
    "RENAME Other Another",
    "RENAME INBOX Old",
    "SUBSCRIBE Other",
    "UNSUBSCRIBE Other",
    "LIST \"\" *",
    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX % *) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))",
    "LSUB \"\" %",
    "NAMESPACE",
    "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE RECENT HIGHESTMODSEQ)",
    "STATUS Other (MESSAGES)",
    "IDLE\r\nDONE",
    "IDLE",
    "DONE",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "UID EXPUNGE 1:*",
    "UID EXPUNGE $",
    "FETCH 1:* (FLAGS UID MODSEQ)",
    "FETCH 1:* FULL",
    "FETCH 2:4294967295 BODY[]",
    "FETCH * (BODY.PEEK[HEADER.FIELDS (SUBJECT)]<0.5> RFC822.SIZE BODYSTRUCTURE)",
    "UID FETCH 1:* (ENVELOPE BINARY[1] BINARY.SIZE[1]) (CHANGEDSINCE 2 VANISHED)",
    "UID FETCH $ (EMAILID THREADID SAVEDATE PREVIEW)",
    "STORE 1:* +FLAGS (\\Deleted)",
    "STORE 1 FLAGS.SILENT (\\Seen $k1 $k2)",
    "STORE 2:* (UNCHANGEDSINCE 3) -FLAGS (\\Seen)",
    "UID STORE 4294967295:* +FLAGS ()",
    "COPY 1:* Other",
    "UID COPY 1:* INBOX",
    "MOVE 1 Other",
    "UID MOVE 1:* INBOX",
    "SEARCH ALL",
    "UID SEARCH RETURN (SAVE COUNT MIN MAX ALL) OR UNSEEN NOT TEXT \"x\"",
    "SEARCH RETURN () $ MODSEQ 2",
    "SEARCH CHARSET KOI8-R SUBJECT {2+}\r\n\u{442}",
    "SORT (REVERSE DATE SUBJECT) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
    "APPEND INBOX {5+}\r\nHello",
    "APPEND INBOX (\\Seen) \"17-Jul-2026 02:44:25 -0700\" {5+}\r\nHello {3+}\r\nabc",
    "APPEND INBOX ~{3+}\r\na\0b",
    "APPEND Nowhere {70000}",
    "APPEND INBOX {5}",
    "NOTIFY SET (SELECTED (MessageNew MessageExpunge))",
    "GETQUOTAROOT INBOX",
    "GETMETADATA INBOX /private/comment",
    "COMPRESS NONE",
    "UNAUTHENTICATE",
    "X-NONSENSE",
    "",
];

#[derive(Debug, Clone)]
enum Piece {
    Command(&'static str),
    Cut(&'static str, prop::sample::Index),
    Bytes(Vec<u8>),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let command = || prop::sample::select(COMMANDS);
    let piece = prop_oneof![
        12 => command().prop_map(Piece::Command),
        2 => (command(), any::<prop::sample::Index>()).prop_map(|(c, i)| Piece::Cut(c, i)),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Piece::Bytes),
    ];
    prop::collection::vec(piece, 1..20)
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, piece) in pieces.iter().enumerate() {
        let command = match piece {
            Piece::Command(command) => command.as_bytes(),
            Piece::Cut(command, at) => &command.as_bytes()[..at.index(command.len() + 1)],
            Piece::Bytes(raw) => raw,
        };
        bytes.extend_from_slice(format!("a{tag} ").as_bytes());
        bytes.extend_from_slice(command);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_session_survives_anything(
        before in prop::sample::select(&[0usize, 1, 2, 2, 2][..]),
        pieces in pieces(),
        sizes in prop::collection::vec(1usize..200, 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let first = ["x LOGIN alice secret\r\n", "y SELECT INBOX\r\n"];
        let end = runtime.block_on(survive(&first[..before], &bytes(&pieces), &sizes));
        prop_assert_eq!(end, Ok(()));
    }
}
