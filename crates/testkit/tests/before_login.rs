//! What can be sent before a login, by anybody: the session answers grammatically or ends, tells nothing of
//! mail, and takes little memory, however much it is sent. The fuzz target `before_login` looks further.

use std::fmt::Write as _;

use proptest::prelude::*;
use restante_testkit::door::Door;

/// The most that one connection may take before its login, with the buffers of this test's own pipe. A line with a
/// token may be as long as 22 KiB.
const MEMORY_MAX: u64 = 160 << 10;

/// Lines, whole and begun, that are understood before a login or nearly so.
const LINES: &[&str] = &[
    "a CAPABILITY",
    "a NOOP",
    "a LOGOUT",
    "a ID NIL",
    "a ID (\"name\" \"x\" \"version\" NIL)",
    "a STARTTLS",
    "a LOGIN alice secret",
    "a LOGIN \"alice\" \"\\\"\"",
    "a LOGIN {5+}\r\nalice {6+}\r\nsecret",
    "a LOGIN {5}",
    "a LOGIN {4294967295+}",
    "a LOGIN {18446744073709551616}",
    "a LOGIN ~{1+}\r\n\0",
    "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==",
    "a AUTHENTICATE PLAIN =",
    "a AUTHENTICATE PLAIN",
    "a AUTHENTICATE LOGIN",
    "a AUTHENTICATE EXTERNAL =",
    "a AUTHENTICATE ANONYMOUS c2lyaGM=",
    "a AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==",
    "a AUTHENTICATE SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIsLG49YWxpY2Uscj1hYmM=",
    "a AUTHENTICATE SCRAM-SHA-1 eSwsbj1hbGljZSxyPWFiYw==",
    "a AUTHENTICATE OAUTHBEARER bixhPWFsaWNlLAFhdXRoPUJlYXJlciB4AQE=",
    "a AUTHENTICATE XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciB4AQE=",
    "a AUTHENTICATE CRAM-MD5",
    "Yz1iaXdzLHI9YWJjLHA9QUFBQQ==",
    "YWxpY2U=",
    "c2VjcmV0",
    "AA==",
    "*",
    "",
    "a SELECT INBOX",
    "a FETCH 1:* FULL",
    "a APPEND INBOX {5+}\r\nHello",
    "a APPEND INBOX {99999999}",
    "a ENABLE QRESYNC",
    "a COMPRESS DEFLATE",
    "a IDLE",
    "GET / HTTP/1.1",
    "EHLO mail.example.org",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}",
];

#[derive(Debug, Clone)]
enum Piece {
    Line(&'static str),
    Cut(&'static str, prop::sample::Index),
    Bytes(Vec<u8>),
    /// Far more than there is room for.
    Long(&'static str, u8, usize),
    /// The same after a line.
    Base64(&'static str, usize),
    /// A literal that is as long as it says.
    Literal(usize),
    /// Parentheses that nobody closes.
    Nested(usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    let line = || prop::sample::select(LINES);
    prop_oneof![
        10 => line().prop_map(Piece::Line),
        3 => (line(), any::<prop::sample::Index>()).prop_map(|(line, at)| Piece::Cut(line, at)),
        2 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Piece::Bytes),
        1 => (line(), any::<u8>(), 1usize..1_500_000).prop_map(|(l, b, n)| Piece::Long(l, b, n)),
        1 => (line(), 1usize..20_000).prop_map(|(line, count)| Piece::Base64(line, count)),
        1 => (1usize..20_000).prop_map(Piece::Literal),
        1 => (1usize..20_000).prop_map(Piece::Nested),
    ]
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Line(line) => out.extend_from_slice(line.as_bytes()),
            Piece::Cut(line, at) => {
                out.extend_from_slice(&line.as_bytes()[..at.index(line.len() + 1)]);
            }
            Piece::Bytes(raw) => out.extend_from_slice(raw),
            Piece::Long(line, byte, count) => {
                out.extend_from_slice(line.as_bytes());
                out.resize(out.len() + count, *byte);
            }
            Piece::Base64(line, count) => {
                out.extend_from_slice(line.as_bytes());
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice("QUJD".repeat(*count).as_bytes());
            }
            Piece::Literal(count) => {
                let mut head = String::new();
                let _ = write!(head, "a LOGIN alice {{{count}+}}\r\n");
                out.extend_from_slice(head.as_bytes());
                out.resize(out.len() + count, b'x');
            }
            Piece::Nested(count) => {
                out.extend_from_slice(b"a ID ");
                out.resize(out.len() + count, b'(');
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nobody_comes_in_and_nothing_breaks(
        pieces in prop::collection::vec(piece(), 1..16),
        sizes in prop::collection::vec(1usize..5_000, 1..6),
        secure in any::<bool>(),
    ) {
        let input = bytes(&pieces);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let door = runtime.block_on(Door::new());
        // What one thread keeps for all its sessions is not counted.
        runtime.block_on(door.knock(b"", &[1], secure)).map_err(TestCaseError::fail)?;
        let mut answers = Err(String::new());
        let used = allocation_counter::measure(|| {
            answers = runtime.block_on(door.knock(&input, &sizes, secure));
        });
        let answers = answers.map_err(TestCaseError::fail)?;
        let most = MEMORY_MAX + 4 * answers.len() as u64;
        prop_assert!(used.bytes_max <= most, "{} bytes at once", used.bytes_max);
    }
}
