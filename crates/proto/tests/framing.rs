//! The framer: what it finds, what it refuses, and that the split of the bytes does not matter.

use proptest::prelude::*;
use restante_proto::decode::{DecodeErrorKind, decode};
use restante_proto::frame::{Event, Framer, Limits};
use restante_proto::types::{AppendData, CatenatePart, LiteralHead, ReplaceTarget, SetEnd, Uid};

/// What a session does with events: it refuses messages over this many bytes.
const MESSAGE_MAX: u64 = 100;

/// Feeds `pieces` and writes down what happens, chunks joined, as one line per event.
fn run(limits: Limits, pieces: &[&[u8]]) -> Vec<String> {
    let mut framer = Framer::new(limits);
    let mut log: Vec<String> = Vec::new();
    let mut chunk: Option<Vec<u8>> = None;
    for piece in pieces {
        framer.push(piece);
        while let Some(event) = framer.next() {
            if let Event::Chunk(bytes) = &event {
                assert!(!bytes.is_empty());
                chunk.get_or_insert_default().extend_from_slice(bytes);
                continue;
            }
            if let Some(bytes) = chunk.take() {
                log.push(format!("chunk {}", bytes.escape_ascii()));
            }
            let (text, answer) = tell(event, &limits);
            log.push(text);
            match answer {
                Some(Answer::Accept) => framer.accept(),
                Some(Answer::Refuse) => framer.refuse(),
                Some(Answer::ExpectLine) => framer.expect_line(),
                None => {}
            }
        }
        assert!(framer.buffered() <= limits.command_max + limits.line_max + piece.len());
    }
    log
}

/// What a session says to an event.
enum Answer {
    Accept,
    Refuse,
    ExpectLine,
}

fn tell(event: Event<'_>, limits: &Limits) -> (String, Option<Answer>) {
    let mut answer = None;
    let mut decide = |literal: &LiteralHead| {
        if literal.size > MESSAGE_MAX {
            answer = Some(Answer::Refuse);
            return "refused";
        }
        answer = Some(Answer::Accept);
        if literal.synchronizing {
            "accepted +"
        } else {
            "accepted"
        }
    };
    let text = match event {
        Event::Command(frame) => {
            let _ = decode(frame, &limits.decode);
            if frame.ends_with(b"IDLE") {
                answer = Some(Answer::ExpectLine);
            }
            format!("command {}", frame.escape_ascii())
        }
        Event::Line(line) => format!("line {}", line.escape_ascii()),
        Event::Continue => "continue".into(),
        Event::Message(head) => {
            let answer = match &head.data {
                AppendData::Literal(literal) => decide(literal),
                AppendData::Catenate if head.mailbox.as_str() == "none" => {
                    answer = Some(Answer::Refuse);
                    "refused"
                }
                AppendData::Catenate => {
                    answer = Some(Answer::Accept);
                    "catenate"
                }
            };
            format!(
                "message {} {} {:?} {answer}",
                head.tag, head.index, head.mailbox
            )
        }
        Event::Catenate(CatenatePart::Url(url)) => format!("url {}", url.escape_ascii()),
        Event::Catenate(CatenatePart::Text(literal)) => format!("text {}", decide(&literal)),
        Event::Chunk(_) => unreachable!(),
        Event::LiteralEnd => "literal end".into(),
        Event::CatenateEnd => "catenate end".into(),
        Event::AppendEnd => "append end".into(),
        Event::Error(error) => {
            let tag = error.tag.map_or("*".into(), |tag| tag.to_string());
            format!("error {tag} {:?}", error.error.kind)
        }
        Event::Bye(error) => format!("bye {:?}", error.kind),
    };
    (text, answer)
}

fn all(input: &str) -> Vec<String> {
    run(Limits::after_login(), &[input.as_bytes()])
}

#[test]
fn commands_with_and_without_literals() {
    assert_eq!(
        all("a1 NOOP\r\na2 NOOP\na3 LOGIN {4}\r\nuser {6+}\r\np\r\na4 \r\n\r\n"),
        [
            "command a1 NOOP",
            "command a2 NOOP",
            "continue",
            r"command a3 LOGIN {4}\r\nuser {6+}\r\np\r\na4 ",
            "command ",
        ]
    );
}

#[test]
fn empty_lines_in_a_row_are_told_once() {
    assert_eq!(
        all("\r\n\n\r\na1 NOOP\r\n\r\n\r\na2 IDLE\r\n\r\n\r\n"),
        [
            "command ",
            "command a1 NOOP",
            "command ",
            "command a2 IDLE",
            "line ",
            "command "
        ]
    );
}

#[test]
fn a_message_is_streamed() {
    assert_eq!(
        all("a1 APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {5}\r\nhello\r\na2 NOOP\r\n"),
        [
            "message a1 0 \"INBOX\" accepted +",
            "chunk hello",
            "literal end",
            "append end",
            "command a2 NOOP"
        ]
    );
    // The mailbox itself is a literal, and so are several messages (RFC 3502).
    assert_eq!(
        all(
            "a1 APPEND {5+}\r\ninbox {0+}\r\n (\\Flagged) ~{3+}\r\na\0b UTF8 (~{2+}\r\n\u{e9})\r\n"
        ),
        [
            "message a1 0 \"INBOX\" accepted",
            "literal end",
            "message a1 1 \"INBOX\" accepted",
            "chunk a\\x00b",
            "literal end",
            "message a1 2 \"INBOX\" accepted",
            "chunk \\xc3\\xa9",
            "literal end",
            "append end"
        ]
    );
}

#[test]
fn the_head_tells_all() {
    let mut framer = Framer::new(Limits::after_login());
    framer.push(b"A004 UID REPLACE 2000 Drafts (\\Seen $x) {350}\r\n");
    let Some(Event::Message(head)) = framer.next() else {
        panic!()
    };
    let uid = SetEnd::Number(Uid::new(2000).unwrap());
    assert_eq!(head.replace, Some(ReplaceTarget::Uid(uid)));
    assert_eq!(head.flags.len(), 2);
    assert_eq!(head.internal_date, None);
    let literal = LiteralHead {
        size: 350,
        literal8: false,
        utf8: false,
        synchronizing: true,
    };
    assert_eq!(head.data, AppendData::Literal(literal));
    // Nothing comes before the answer.
    assert_eq!(framer.next(), None);
    // The client is told NO and goes on with another command.
    framer.refuse();
    framer.push(b"A005 NOOP\r\n");
    assert_eq!(framer.next(), Some(Event::Command(b"A005 NOOP")));
    // REPLACE takes one message only.
    framer.push(b"A006 REPLACE 4 Drafts {1+}\r\nx {1+}\r\ny\r\nA007 NOOP\r\n");
    assert!(matches!(framer.next(), Some(Event::Message(_))));
    framer.accept();
    assert_eq!(framer.next(), Some(Event::Chunk("x".into())));
    assert_eq!(framer.next(), Some(Event::LiteralEnd));
    assert!(matches!(framer.next(), Some(Event::Error(_))));
    assert_eq!(framer.next(), Some(Event::Command(b"A007 NOOP")));
}

#[test]
fn catenate_tells_its_parts() {
    // RFC 4469 §3, first example, with non-synchronizing literals.
    let input = "A003 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE \
        (URL \"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER\" \
        TEXT {4+}\r\nabcd URL {3+}\r\nurl URL x TEXT {1+}\r\ny)\r\nA004 NOOP\r\n";
    assert_eq!(
        all(input),
        [
            "message A003 0 \"Drafts\" catenate",
            "url /Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
            "text accepted",
            "chunk abcd",
            "literal end",
            "url url",
            "url x",
            "text accepted",
            "chunk y",
            "literal end",
            "catenate end",
            "append end",
            "command A004 NOOP",
        ]
    );
    // Without any literal; then several messages.
    assert_eq!(
        all(
            "a APPEND x CATENATE (URL u) {1+}\r\nm CATENATE (UTF8 (~{1+}\r\nz) URL v)\r\nb NOOP\r\n"
        ),
        [
            "message a 0 \"x\" catenate",
            "url u",
            "catenate end",
            "message a 1 \"x\" accepted",
            "chunk m",
            "literal end",
            "message a 2 \"x\" catenate",
            "text accepted",
            "chunk z",
            "literal end",
            "url v",
            "catenate end",
            "append end",
            "command b NOOP",
        ]
    );
    // Refused as a whole: its parts are skipped.
    assert_eq!(
        all("a APPEND none CATENATE (URL u TEXT {8+}\r\nb NOOP\r\n URL {3+}\r\nabc)\r\nc NOOP\r\n"),
        ["message a 0 \"none\" refused", "command c NOOP"]
    );
    // A part too much.
    assert_eq!(
        all("a APPEND x CATENATE (TEXT {200+}\r\nb NOOP\r\n)\r\n")
            .first()
            .unwrap(),
        "message a 0 \"x\" catenate"
    );
    assert_eq!(
        all("a APPEND x CATENATE ()\r\nb NOOP\r\n"),
        [
            "message a 0 \"x\" catenate",
            "error a Syntax",
            "command b NOOP"
        ]
    );
}

#[test]
fn what_is_refused_is_never_read_as_commands() {
    let body = "x LOGOUT\r\n".repeat(20);
    let message = format!("a1 APPEND INBOX {{200+}}\r\n{body} {{200+}}\r\n{body}\r\na2 NOOP\r\n");
    assert_eq!(
        all(&message),
        ["message a1 0 \"INBOX\" refused", "command a2 NOOP"]
    );
    // The head does not parse.
    let message = format!("a1 APPEND INBOX (( {{200+}}\r\n{body}\r\na2 NOOP\r\n");
    assert_eq!(all(&message), ["error a1 Syntax", "command a2 NOOP"]);
    // The second head does not parse.
    let message = format!("a1 APPEND INBOX {{2+}}\r\nab\\Seen {{200+}}\r\n{body}\r\na2 NOOP\r\n");
    assert_eq!(
        all(&message),
        [
            "message a1 0 \"INBOX\" accepted",
            "chunk ab",
            "literal end",
            "error a1 Syntax",
            "command a2 NOOP"
        ]
    );
    // Not a message, but too large.
    let limits = Limits {
        literal_max: 100,
        ..Limits::after_login()
    };
    let command = format!("a1 LOGIN {{200+}}\r\n{body} {{3+}}\r\nabc\r\na2 NOOP\r\n");
    assert_eq!(
        run(limits, &[command.as_bytes()]),
        ["error a1 TooBig", "command a2 NOOP"]
    );
    // So is the whole command.
    let limits = Limits {
        command_max: 100,
        ..Limits::after_login()
    };
    let command = format!(
        "a1 SEARCH TEXT {{80+}}\r\n{} TEXT {{10+}}\r\nb LOGOUT\r\n\r\nc NOOP\r\n",
        "y".repeat(80)
    );
    assert_eq!(
        run(limits, &[command.as_bytes()]),
        ["error a1 TooBig", "command c NOOP"]
    );
}

/// Before and after login, in a command of any state, at the end of an exchange, and cut anywhere.
#[test]
fn a_refused_literal_is_skipped_in_every_state() {
    let limits = Limits {
        literal_max: 20,
        ..Limits::before_login()
    };
    let body = "\r\nx LOGOUT\r\nDONE\r\n*\r\ny NOOP {3}\r\n";
    let size = body.len();
    for begin in [
        "LOGIN ",
        "AUTHENTICATE ",
        "ID (",
        "SELECT ",
        "LIST \"\" ",
        "SEARCH OR TEXT ",
        "UID FETCH 1 BODY[HEADER.FIELDS (",
        "STARTTLS ",
        "IDLE ",
        "NOSUCH ",
    ] {
        let input = format!(
            "a {begin}{{{size}+}}\r\n{body} {{{size}+}}\r\n{body}\r\nb IDLE\r\nDONE\r\nc NOOP\r\n"
        );
        let expected = [
            "error a TooBig",
            "command b IDLE",
            "line DONE",
            "command c NOOP",
        ];
        let input = input.as_bytes();
        for cut in 0..=input.len() {
            let (left, right) = input.split_at(cut);
            assert_eq!(run(limits, &[left, right]), expected, "{begin} {cut}");
        }
    }
}

/// What looks like a literal in a line of an exchange is none, and the line after it is a command.
#[test]
fn a_line_of_an_exchange_has_no_literals() {
    for line in ["{5+}", "DONE {5+}", "AGE= {3}", "*{1+}", "DONE"] {
        let mut framer = Framer::new(Limits::before_login());
        framer.expect_line();
        framer.push(format!("{line}\r\nb NOOP\r\n").as_bytes());
        assert_eq!(framer.next(), Some(Event::Line(line.as_bytes())));
        assert_eq!(framer.next(), Some(Event::Command(b"b NOOP")));
        assert_eq!(framer.next(), None);
        assert!(framer.is_idle());
    }
}

#[test]
fn a_refused_synchronizing_literal_ends_the_command() {
    let limits = Limits {
        literal_max: 100,
        ..Limits::after_login()
    };
    assert_eq!(
        run(limits, &[b"a1 LOGIN {200}\r\n", b"a2 NOOP\r\n"]),
        ["error a1 TooBig", "command a2 NOOP"]
    );
    assert_eq!(
        run(limits, &[b"a1 APPEND INBOX {200}\r\n", b"a2 NOOP\r\n"]),
        ["message a1 0 \"INBOX\" refused", "command a2 NOOP"]
    );
    // In the rest of a refused command too.
    assert_eq!(
        run(
            limits,
            &[
                b"a1 LOGIN {101+}\r\n",
                &[b'x'; 101],
                b" {5}\r\n",
                b"a2 NOOP\r\n"
            ]
        ),
        ["error a1 TooBig", "command a2 NOOP"]
    );
    // Who does not wait cannot be followed.
    assert_eq!(
        run(limits, &[b"a1 LOGIN {200}\r\nx LOGOUT\r\n"]),
        ["error a1 TooBig", "bye Syntax"]
    );
}

#[test]
fn absurd_sizes_end_the_connection() {
    for command in [
        "a1 APPEND INBOX {9223372036854775807+}\r\n",
        "a1 LOGIN {9223372036854775807+}\r\n",
    ] {
        assert_eq!(all(command).last().unwrap(), "bye TooBig");
    }
    for command in [
        "a1 LOGIN {9223372036854775808+}\r\n",
        "a1 LOGIN {99999999999999999999+}\r\n",
        "a1 APPEND INBOX {18446744073709551616+}\r\n",
    ] {
        assert_eq!(all(command), ["error a1 TooBig", "bye TooBig"]);
    }
    assert_eq!(
        all("a1 LOGIN {99999999999999999999}\r\n"),
        ["error a1 TooBig"]
    );
    // More digits make no literal; the decoder says so.
    assert_eq!(
        all("a1 LOGIN {000000000000000000000000000005+}\r\n"),
        ["command a1 LOGIN {000000000000000000000000000005+}"]
    );
}

#[test]
fn long_lines_are_skipped() {
    let limits = Limits {
        line_max: 20,
        ..Limits::after_login()
    };
    let long = format!("tag1 NOOP {}\r\na2 NOOP\r\n", "x".repeat(100));
    assert_eq!(
        run(limits, &[long.as_bytes()]),
        ["error tag1 Limit", "command a2 NOOP"]
    );
    // Exactly the limit, with both line ends.
    for end in ["\n", "\r\n"] {
        let line = format!("a {}{end}", "x".repeat(18));
        assert_eq!(run(limits, &[line.as_bytes()]).len(), 1);
        assert!(run(limits, &[line.as_bytes()])[0].starts_with("command"));
    }
    // A literal header at the end of what is skipped counts.
    let long = format!(
        "a1 {} {{9+}}\r\nb LOGIN\r\nrest\r\na2 NOOP\r\n",
        "x".repeat(100)
    );
    assert_eq!(
        run(limits, &[long.as_bytes()]),
        ["error a1 Limit", "command a2 NOOP"]
    );
    // Without end.
    let limits = Limits {
        line_max: 20,
        skip_max: 1000,
        ..Limits::after_login()
    };
    assert_eq!(
        run(limits, &[&[b'x'; 2000]]),
        ["error * Limit", "bye Limit"]
    );
    // A long line after a literal.
    let limits = Limits {
        line_max: 20,
        ..Limits::after_login()
    };
    let long = format!("a1 X {{3+}}\r\n\r\n\r {}\r\na2 NOOP\r\n", "x".repeat(100));
    assert_eq!(
        run(limits, &[long.as_bytes()]),
        ["error a1 Limit", "command a2 NOOP"]
    );
}

#[test]
fn nul_is_refused() {
    assert_eq!(
        all("a1 NO\0OP\r\na2 NOOP\r\n"),
        ["error a1 Syntax", "command a2 NOOP"]
    );
    assert_eq!(
        all("a1 X\0 {9+}\r\nb LOGIN\r\n\r\na2 NOOP\r\n"),
        ["error a1 Syntax", "command a2 NOOP"]
    );
}

#[test]
fn literal_minus() {
    let limits = Limits {
        literal_minus: true,
        ..Limits::after_login()
    };
    let text = "x".repeat(4097);
    let command = format!("a1 SEARCH TEXT {{4097+}}\r\n{text}\r\na2 NOOP\r\n");
    assert_eq!(
        run(limits, &[command.as_bytes()]),
        ["error a1 TooBig", "command a2 NOOP"]
    );
    let command = format!("a1 APPEND INBOX {{4097+}}\r\n{text}\r\na2 NOOP\r\n");
    assert_eq!(
        run(limits, &[command.as_bytes()]),
        ["error a1 TooBig", "command a2 NOOP"]
    );
    let command = format!("a1 SEARCH TEXT {{4096+}}\r\n{}\r\n", &text[..4096]);
    assert_eq!(run(limits, &[command.as_bytes()]).len(), 1);
    // Synchronizing ones may be larger.
    assert_eq!(run(limits, &[b"a1 SEARCH TEXT {4097}\r\n"]), ["continue"]);
}

#[test]
fn done_glued_to_the_next_command() {
    assert_eq!(
        all("a1 IDLE\r\nDONE\r\na2 NOOP\r\na3 IDLE\r\n{3}\r\na4 NOOP\r\n"),
        [
            "command a1 IDLE",
            "line DONE",
            "command a2 NOOP",
            "command a3 IDLE",
            "line {3}",
            "command a4 NOOP"
        ]
    );
}

#[test]
fn an_accepted_message_can_still_be_refused() {
    let mut framer = Framer::new(Limits::after_login());
    framer.push(b"a1 APPEND INBOX {10+}\r\n01234");
    assert!(matches!(framer.next(), Some(Event::Message(_))));
    framer.accept();
    assert!(matches!(framer.next(), Some(Event::Chunk(_))));
    framer.refuse();
    framer.push(b"a2 NO {3+}\r\nabc\r\na3 NOOP\r\n");
    assert_eq!(framer.next(), Some(Event::Command(b"a3 NOOP")));
    // Between two messages, with a literal of the second head on its way.
    framer.push(b"a1 APPEND INBOX CATENATE (URL {20+}\r\nabc");
    assert!(matches!(framer.next(), Some(Event::Message(_))));
    framer.accept();
    assert_eq!(framer.next(), None);
    framer.refuse();
    framer.push(b"\r\na2 LOGOUT\r\n12345 TEXT {1+}\r\nx)\r\na3 NOOP\r\n");
    assert_eq!(framer.next(), Some(Event::Command(b"a3 NOOP")));
    assert!(framer.is_idle());
}

#[test]
fn an_idle_framer_holds_nothing() {
    let mut framer = Framer::new(Limits::after_login());
    framer.push(b"a1 NOOP\r\n");
    assert!(framer.next().is_some());
    assert_eq!(framer.next(), None);
    assert!(framer.is_idle());
    assert!(size_of::<Framer>() <= 256, "{}", size_of::<Framer>());
    // What stands after STARTTLS is not for the framer.
    framer.push(b"a2 STARTTLS\r\na3 NOOP\r\n");
    assert_eq!(framer.next(), Some(Event::Command(b"a2 STARTTLS")));
    assert_eq!(framer.take_buffered(), "a3 NOOP\r\n");
    assert!(framer.is_idle());
}

#[test]
fn nothing_secret_is_printed() {
    let mut framer = Framer::new(Limits::after_login());
    framer.push(b"a1 LOGIN u hunter2\r\na2 LOGIN u hunter2");
    let event = framer.next();
    assert_eq!(format!("{event:?}"), "Some(Command(18 bytes))");
    assert!(!format!("{framer:?}").contains("hunter2"));
}

#[test]
fn dates_follow_the_grammar() {
    let date = |text: &str| {
        let mut framer = Framer::new(Limits::after_login());
        framer.push(format!("a APPEND x \"{text}\" {{1}}\r\n").as_bytes());
        match framer.next() {
            Some(Event::Message(head)) => head.internal_date,
            Some(Event::Error(_)) => None,
            other => panic!("{other:?}"),
        }
    };
    for (text, seconds) in [
        ("17-Jul-1996 02:44:25 -0700", 837_596_665),
        (" 1-jan-1970 00:00:00 +0000", 0),
        ("01-Jan-1970 00:00:00 +0000", 0),
        ("31-Dec-2016 23:59:60 +0000", 1_483_228_800),
    ] {
        assert_eq!(
            date(text).map(|date| date.unix_seconds()),
            Some(seconds),
            "{text}"
        );
    }
    for bad in [
        "1-Jan-1970 00:00:00 +0000",
        "  1-Jan-1970 00:00:00 +0000",
        "01-Jan-70 00:00:00 +0000",
        "31-Feb-2000 00:00:00 +0000",
        "00-Jan-2000 00:00:00 +0000",
        "01-Jan-2000 24:00:00 +0000",
        "01-Jan-2000 00:60:00 +0000",
        "01-Jan-2000 00:00:61 +0000",
        "01-Jan-2000 00:00:00 0000",
        "01-Jan-2000 00:00:00 +2400",
        "01-Jan-2000 00:00:00 +0060",
        "01-Jan-2000 00:00:00",
        "01-Jan-2000",
        "",
    ] {
        assert_eq!(date(bad), None, "{bad}");
    }
}

/// What a client can send must cost as much as it is long. The bounds are far above what a slow
/// machine needs, and far below what quadratic work takes.
#[test]
fn floods_are_read_in_linear_time() {
    let limits = Limits::after_login();
    let literals = |begin: &str, piece: &str| {
        let count = (limits.command_max - begin.len()) / piece.len() - 1;
        format!("{begin}{}\r\n", piece.repeat(count))
    };
    let urls = format!("a APPEND x CATENATE ({}URL u)\r\n", "URL u ".repeat(40_000));
    let parts = format!(
        "a APPEND x CATENATE ({}URL u)\r\n",
        "URL {1+}\r\nu ".repeat(40_000)
    );
    let messages = format!("a APPEND x{}\r\n", " {0+}\r\n".repeat(40_000));
    for input in [
        literals("x", "{0+}\r\n"),
        literals("a SEARCH TEXT x", " {0+}\r\n"),
        literals("a APPEND {1+}\r\nx", " {0+}\r\n"),
        "x".repeat(1 << 20),
        "\r\n".repeat(1 << 17),
        "a {1+}\r\n".repeat(1 << 17),
        "a NOOP\r\n".repeat(1 << 15),
        "a x\r\n".repeat(1 << 15),
        "+\r\n".repeat(1 << 15),
        "a IDLE\r\nDONE\r\n".repeat(1 << 14),
        "a LOGIN {0+}\r\n {0+}\r\n\r\n".repeat(1 << 14),
        urls,
        parts,
        messages,
    ] {
        let start = std::time::Instant::now();
        run(limits, &[input.as_bytes()]);
        run(limits, &input.as_bytes().chunks(100).collect::<Vec<_>>());
        let time = start.elapsed();
        // Far above what a slow machine takes, far below what quadratic reading would.
        assert!(time.as_secs() < 30, "{time:?} for {}…", &input[..20]);
    }
}

#[test]
fn errors_say_where() {
    let mut framer = Framer::new(Limits::after_login());
    framer.push(b"a1 APPEND INBOX (\\Seen {3+}\r\nabc\r\n");
    let Some(Event::Error(error)) = framer.next() else {
        panic!()
    };
    assert_eq!(error.error.kind, DecodeErrorKind::Syntax);
    assert_eq!(error.error.position, 23);
    assert_eq!(error.to_string(), "expected a flag (at byte 23)");
}

/// Pieces of client input, good and bad.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed: [&[u8]; 22] = [
        b"a1 NOOP\r\n",
        b"a2 IDLE\r\nDONE\r\n",
        b"a3 LOGIN {4}\r\nuser {3+}\r\np\r\n\r\n",
        b"a4 APPEND INBOX {5}\r\nhello\r\n",
        b"a5 APPEND {2+}\r\nno (\\Seen) {5+}\r\nhello \"17-Jul-1996 02:44:25 -0700\" {0+}\r\n\r\n",
        b"a6 APPEND INBOX {101+}\r\n",
        b"a7 APPEND x CATENATE (URL u TEXT {3+}\r\nabc URL {2+}\r\n\r\n)\r\n",
        b"a8 APPEND none CATENATE (URL u TEXT {3+}\r\nabc)\r\n",
        b"a9 APPEND INBOX UTF8 (~{2+}\r\n\r\n)\r\n",
        b"b1 LOGIN {51+}\r\n",
        b"b2 REPLACE * x {2+}\r\n\r\n {2+}\r\n\n\n\r\n",
        b"b3 \0 {3+}\r\n\r\n\r\n",
        b"{3+}\r\n",
        b"abc",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"x {4",
        b"+}",
        b"APPEND",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    prop_oneof![
        4 => prop::sample::select(fixed.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

/// Not by chance: every short piece by itself, of a dialogue with something of each kind.
#[test]
fn any_short_piece_gives_the_same() {
    let refused = "x LOGOUT\r\n";
    let input = format!(
        "a NOOP\r\nb IDLE\r\nDONE\r\n\r\n\r\nc LOGIN {{1+}}\r\nu {{0+}}\r\n\r\n\
         d APPEND x {{2+}}\r\n\r\n (\\Seen) {{110+}}\r\n{} {{3+}}\r\n\r\n1\r\n\
         e APPEND x CATENATE (URL {{1+}}\r\nu TEXT {{3+}}\r\nabc)\r\nf\r\n+\n\
         g SEARCH TEXT {{60+}}\r\n{}\r\nh NOOP\r\n",
        refused.repeat(11),
        refused.repeat(6)
    );
    let input = input.as_bytes();
    let whole = run(small_limits(), &[input]);
    assert_eq!(whole.last().map(String::as_str), Some("command h NOOP"));
    assert!(
        !whole.iter().any(|event| event.contains("LOGOUT")),
        "{whole:?}"
    );
    for first in 0..=input.len() {
        for second in first..=input.len().min(first + 40) {
            let split = [&input[..first], &input[first..second], &input[second..]];
            assert_eq!(run(small_limits(), &split), whole, "{first} {second}");
        }
    }
}

fn small_limits() -> Limits {
    Limits {
        line_max: 80,
        command_max: 150,
        literal_max: 50,
        skip_max: 400,
        ..Limits::after_login()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_gives_the_same(
        pieces in prop::collection::vec(piece(), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let input = pieces.concat();
        let whole = run(small_limits(), &[&input]);
        // A client that does not wait after a refused literal is told BYE if its bytes are there.
        if whole.contains(&"bye Syntax".to_string()) {
            return Ok(());
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut split = Vec::new();
        let mut start = 0;
        for cut in cuts {
            split.push(&input[start..cut]);
            start = cut;
        }
        split.push(&input[start..]);
        prop_assert_eq!(&run(small_limits(), &split), &whole);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&run(small_limits(), &bytes), &whole);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(input in prop::collection::vec(any::<u8>(), 0..600)) {
        run(small_limits(), &[&input]);
        run(Limits::before_login(), &[&input]);
    }
}
