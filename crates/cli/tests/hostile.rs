//! Hostile and broken clients of the real binary: each gets an answer or is shown the door; memory
//! stays bounded, the others notice nothing, nothing panics.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use common::{Client, Server, tcp};

/// What the process may grow by under all of a test's attacks together (debug build).
const GROWTH_BYTES_MAX: u64 = 96 << 20;
/// An honest client's command takes no longer, on a busy machine.
const SOON: Duration = Duration::from_secs(40);

struct Witness {
    server: Server,
    honest: Client,
    before: u64,
}

impl Witness {
    fn new(dir: &tempfile::TempDir, settings: &str) -> Self {
        let server = Server::start_with(&dir.path().join("data"), settings);
        server.add_user("ada", "x");
        let mut honest = server.plain();
        honest.expect("* OK ");
        honest.ok("LOGIN ada x");
        server.lmtp().deliver(
            "ada",
            &format!("Subject: big\r\n\r\n{}", "line\r\n".repeat(50_000)),
        );
        honest.ok("SELECT INBOX");
        let before = rss_bytes(&server);
        Self {
            server,
            honest,
            before,
        }
    }

    /// The others notice nothing, and memory is bounded.
    fn all_is_well(&mut self, what: &str) {
        let start = Instant::now();
        let lines = self.honest.ok("UID FETCH 1 (FLAGS RFC822.SIZE)");
        assert!(lines[0].starts_with("* 1 FETCH ("), "{what}: {lines:?}");
        assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
        let growth = rss_bytes(&self.server).saturating_sub(self.before);
        println!("{what}: grown by {} KiB", growth >> 10);
        assert!(growth < GROWTH_BYTES_MAX, "{what}: grown by {growth} bytes");
    }

    /// Nothing panicked, and the server still knows how to stop.
    fn finish(mut self) {
        self.all_is_well("at the end");
        self.server.signal("TERM");
        assert!(self.server.wait());
        for line in self.server.log_lines() {
            assert!(!line.contains("panic"), "{line}");
            assert!(!line.contains("overflow"), "{line}");
        }
    }
}

fn rss_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

/// Connects, and reads the greeting.
fn greeted(port: u16) -> TcpStream {
    let mut stream = tcp(port);
    stream
        .set_write_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {}
    stream
}

/// Sends as much as the other side takes; what it says until it closes, or is silent for a while.
fn attack(mut stream: TcpStream, bytes: &[u8], times: usize) -> String {
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut reader = stream.try_clone().unwrap();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let answer = std::thread::spawn(move || {
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    // Of long answers the beginning and the end will do.
                    said.truncate(if said.len() > 1 << 17 {
                        1 << 16
                    } else {
                        said.len()
                    });
                    said.extend_from_slice(&buffer[..n]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if is_done.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    });
    for _ in 0..times {
        if stream.write_all(bytes).is_err() {
            break;
        }
    }
    drop(done);
    answer.join().unwrap()
}

/// It was refused: BAD, NO or BYE, or the connection was closed without a word.
fn is_refusal(said: &str) -> bool {
    said.is_empty() || said.contains(" BAD") || said.contains(" NO ") || said.contains("* BYE")
}

#[test]
fn before_login() {
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::new(&dir, "");
    let port = witness.server.imap;
    let mib = vec![b'A'; 1 << 20];
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend([0x5a; 512]);
    let attacks: Vec<(&str, Vec<u8>, usize)> = vec![
        ("no newline", mib.clone(), 16),
        ("a literal of 4 GB", b"a LOGIN {4294967295}\r\n".to_vec(), 1),
        (
            "a literal beyond any number",
            b"a LOGIN {99999999999999999999999}\r\n".to_vec(),
            1,
        ),
        (
            "a literal that is sent all the same",
            [&b"a LOGIN {4000000000+}\r\n"[..], &mib].concat(),
            16,
        ),
        (
            "a literal's header without end",
            [b"a LOGIN {", &vec![b'1'; 1 << 20][..]].concat(),
            4,
        ),
        (
            "parentheses",
            [b"a LIST ", &vec![b'('; 1 << 20][..], b"\r\n"].concat(),
            8,
        ),
        (
            "quotes",
            [b"a LOGIN \"", &vec![b'\\'; 1 << 20][..], b"\r\n"].concat(),
            8,
        ),
        ("NULs", vec![0; 1 << 20], 8),
        ("empty lines", b"\r\n".repeat(1 << 16), 8),
        ("line feeds", vec![b'\n'; 1 << 16], 8),
        ("TLS on the plain port", hello, 1),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".to_vec(),
            1,
        ),
        (
            "a POST",
            b"POST /cgi-bin/x HTTP/1.0\r\nContent-Length: 9\r\n\r\nx LOGOUT\r\n".to_vec(),
            1,
        ),
        (
            "SMTP",
            b"EHLO spam\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n".to_vec(),
            1,
        ),
        (
            "AUTHENTICATE without end",
            [b"a AUTHENTICATE PLAIN\r\n", &mib[..]].concat(),
            8,
        ),
        (
            "AUTHENTICATE with an initial response without end",
            [b"a AUTHENTICATE PLAIN ", &mib[..]].concat(),
            8,
        ),
    ];
    for (what, bytes, times) in attacks {
        let said = attack(greeted(port), &bytes, times);
        assert!(
            is_refusal(&said),
            "{what}: {:?}",
            said.get(..400).unwrap_or(&said)
        );
        assert!(!said.contains("a OK"), "{what}: {said:?}");
        witness.all_is_well(what);
    }
    // Hands shaken badly on the port for TLS.
    for bytes in [&b"a NOOP\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &mib] {
        attack(tcp(witness.server.imaps), bytes, 4);
    }
    witness.all_is_well("no TLS on the port for TLS");
    witness.finish();
}

#[test]
fn random_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::new(&dir, "");
    let mut n = 0x1234_5678_9abc_def0_u64;
    let words: [&[u8]; 16] = [
        b"\r\n",
        b"{3}\r\n",
        b"{5+}\r\n",
        b"(",
        b")",
        b"\"",
        b"\\",
        b" ",
        b"*",
        b"a ",
        b"NOOP",
        b"LOGIN",
        b"~{9+}\r\n",
        b"]",
        b"\0",
        b"\xff",
    ];
    for round in 0..40 {
        let mut bytes = Vec::new();
        for _ in 0..1500 {
            n ^= n << 13;
            n ^= n >> 7;
            n ^= n << 17;
            match round % 2 {
                0 => bytes.push(n as u8),
                _ => bytes.extend_from_slice(words[n as usize % 16]),
            }
        }
        let port = match round % 4 {
            2 | 3 => witness.server.lmtp,
            _ => witness.server.imap,
        };
        let mut stream = greeted(port);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
    }
    witness.all_is_well("random bytes");
    witness.finish();
}

#[test]
fn slow_and_half_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::new(&dir, "[limits]\nconnections_per_address = 1000\n");
    let port = witness.server.imap;
    // Many who send a byte now and then.
    let mut slow: Vec<_> = (0..200).map(|_| greeted(port)).collect();
    for byte in b"a LO" {
        for stream in &mut slow {
            stream.write_all(&[*byte]).unwrap();
        }
        witness.all_is_well("200 slow connections");
    }
    let mut late = witness.server.plain();
    late.expect("* OK ");
    late.ok("LOGIN ada x");
    drop(slow);
    // Who has said all it wants to say is still answered.
    let mut stream = greeted(port);
    stream.write_all(b"a NOOP\r\nb CAPABILITY\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("a OK") && said.contains("b OK"), "{said}");
    // Who goes in the middle of something is forgotten.
    for text in [
        "",
        "a",
        "a LOGIN ada",
        "a LOGIN {5+}\r\nad",
        "a LOGIN ada x\r\nb APPEND INBOX {1000+}\r\nhalf",
    ] {
        let mut stream = greeted(port);
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
    }
    let lines = witness.honest.ok("STATUS INBOX (MESSAGES)");
    assert!(
        lines.iter().any(|line| line.contains("MESSAGES 1)")),
        "{lines:?}"
    );
    witness.all_is_well("half-closed connections");
    witness.finish();
}

#[test]
fn after_login() {
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::new(&dir, "");
    let port = witness.server.imap;
    let login = || {
        let mut stream = greeted(port);
        stream
            .write_all(b"a LOGIN ada x\r\nb SELECT INBOX\r\n")
            .unwrap();
        let mut client = Client::new(Box::new(stream.try_clone().unwrap()));
        client.answer("b OK");
        stream
    };
    let many = |word: &[u8], times: usize| word.repeat(times);
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        (
            "nested searches",
            [
                b"c SEARCH ",
                &many(b"(", 60_000)[..],
                b"ALL",
                &many(b")", 60_000),
                b"\r\n",
            ]
            .concat(),
        ),
        (
            "NOT NOT NOT",
            [b"c SEARCH ", &many(b"NOT ", 15_000)[..], b"ALL\r\n"].concat(),
        ),
        (
            "OR OR OR",
            [
                b"c SEARCH ",
                &many(b"OR ", 15_000)[..],
                &many(b"ALL ", 15_001),
                b"\r\n",
            ]
            .concat(),
        ),
        (
            "a long set",
            [b"c FETCH ", &many(b"1,", 30_000)[..], b"1 FLAGS\r\n"].concat(),
        ),
        (
            "wild sets",
            [
                b"c FETCH ",
                &many(b"1:*,*:1,4294967295:1,", 3000)[..],
                b"* FLAGS\r\n",
            ]
            .concat(),
        ),
        (
            "nested attributes",
            [b"c FETCH 1 ", &many(b"(", 60_000)[..], b"\r\n"].concat(),
        ),
        (
            "many attributes",
            [
                b"c FETCH 1 (",
                &many(b"BODY.PEEK[1] ", 100)[..],
                b"UID)\r\n",
            ]
            .concat(),
        ),
        (
            "a deep section",
            [b"c FETCH 1 (BODY[", &many(b"1.", 30_000)[..], b"1])\r\n"].concat(),
        ),
        (
            "large numbers",
            b"c FETCH 1 (BODY[99999999999999999999]<18446744073709551615.1844674407370955>)\r\n"
                .to_vec(),
        ),
        (
            "many stars",
            [b"c LIST \"\" \"", &many(b"*%", 20_000)[..], b"\"\r\n"].concat(),
        ),
        (
            "a deep name",
            [b"c CREATE \"", &many(b"a/", 20_000)[..], b"a\"\r\n"].concat(),
        ),
        (
            "many flags",
            [b"c STORE 1 +FLAGS (", &many(b"k ", 20_000)[..], b"k)\r\n"].concat(),
        ),
        (
            "a huge message",
            b"c APPEND INBOX {4294967294}\r\n".to_vec(),
        ),
        (
            "a message beyond any number",
            b"c APPEND INBOX {18446744073709551616+}\r\n".to_vec(),
        ),
        ("a line without end", vec![b'A'; 16 << 20]),
        ("NULs", vec![0; 1 << 20]),
    ];
    for (what, bytes) in attacks {
        let said = attack(login(), &bytes, 1);
        assert!(
            said.contains("\r\nc ") || said.starts_with("c ") || is_refusal(&said),
            "{what}: {:?}",
            said.get(..400).unwrap_or(&said)
        );
        witness.all_is_well(what);
    }

    // A thousand commands in one go are answered, all and in order.
    let mut stream = login();
    let commands: String = (0..1000).map(|n| format!("t{n} NOOP\r\n")).collect();
    stream.write_all(commands.as_bytes()).unwrap();
    let mut client = Client::new(Box::new(stream));
    for n in 0..1000 {
        client.answer(&format!("t{n} OK"));
    }
    witness.all_is_well("1,000 commands");

    // Those who ask for much and read nothing hold up nobody.
    let mut deaf: Vec<_> = (0..8).map(|_| login()).collect();
    for stream in &mut deaf {
        stream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let commands: String = (0..1000)
            .map(|n| format!("t{n} FETCH 1 BODY.PEEK[]\r\n"))
            .collect();
        let _ = stream.write_all(commands.as_bytes());
    }
    witness.all_is_well("clients that read nothing");
    drop(deaf);
    witness.finish();
}

#[test]
fn lmtp() {
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::new(&dir, "");
    let port = witness.server.lmtp;
    let mib = vec![b'A'; 1 << 20];
    let begin = &b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<ada>\r\n"[..];
    let attacks: Vec<(&str, Vec<u8>, usize)> = vec![
        ("LMTP: no newline", mib.clone(), 16),
        ("LMTP: NULs", vec![0; 1 << 20], 8),
        (
            "LMTP: a chunk beyond any number",
            [begin, b"BDAT 99999999999999999999999\r\n", &mib].concat(),
            2,
        ),
        (
            "LMTP: a huge chunk",
            [begin, b"BDAT 4294967295\r\n", &mib].concat(),
            2,
        ),
        (
            "LMTP: many recipients",
            [
                &b"LHLO x\r\nMAIL FROM:<a@b>\r\n"[..],
                &b"RCPT TO:<ada>\r\n".repeat(5000),
            ]
            .concat(),
            1,
        ),
        (
            "LMTP: a long recipient",
            [
                &b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<"[..],
                &mib,
                b">\r\n",
            ]
            .concat(),
            2,
        ),
        (
            "LMTP: HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            1,
        ),
        (
            "LMTP: a message line without end",
            [begin, b"DATA\r\n", &mib].concat(),
            4,
        ),
    ];
    for (what, bytes, times) in attacks {
        attack(greeted(port), &bytes, times);
        witness.all_is_well(what);
    }
    let lines = witness.honest.ok("STATUS INBOX (MESSAGES)");
    assert!(
        lines.iter().any(|line| line.contains("MESSAGES 1)")),
        "{lines:?}"
    );
    witness.finish();
}
