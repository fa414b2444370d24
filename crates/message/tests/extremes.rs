//! Messages made to hurt: each is read in time proportional to its size and in a small stack.

mod grammar;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use restante_message::{
    CharsetDecoder, Limits, Strings, Structure, TextDecoder, decode_header, parse_with,
};

/// Far more than any of them needs, far less than anything quadratic takes.
const TIME_MAX: Duration = Duration::from_secs(20);
const STACK: usize = 128 << 10;

/// No limit but the size of the message.
const UNLIMITED: Limits = Limits {
    depth: u32::MAX,
    parts: u32::MAX,
    header_bytes: u32::MAX,
    addresses: u32::MAX,
    preview_bytes: 1 << 10,
};

/// The processor time that this thread has taken, so that a busy machine does not count; the time of day where the
/// system does not tell.
fn time() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Does all that is asked of a message in a thread with a small stack; the number of parts, and the time.
fn survive_for(octets: Vec<u8>, limits: Limits) -> (usize, Duration) {
    let run = move || {
        let start = time();
        let message = parse_with(&octets, limits);
        let mut out = Vec::new();
        message.envelope(Strings::Literal, &mut out);
        message.bodystructure(Strings::Literal, &mut out);
        message.sort_keys();
        message.preview();
        let encoded = message.structure().encode();
        assert_eq!(
            Structure::decode(&encoded).as_ref(),
            Some(message.structure())
        );
        let deep = vec![1; 200_000];
        let _ = message.structure().part(&deep);
        (message.structure().parts().len(), time() - start)
    };
    let thread = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .expect("a thread");
    thread.join().expect("no panic, no overflow")
}

/// As [`survive_for`], in time; the number of parts.
fn survive(octets: Vec<u8>, limits: Limits) -> usize {
    let (parts, time) = survive_for(octets, limits);
    assert!(time < TIME_MAX, "{time:?}");
    parts
}

#[test]
fn fifty_thousand_nested_messages() {
    let octets = b"Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
    assert_eq!(survive(octets.clone(), UNLIMITED), 50_001);
    assert_eq!(survive(octets, Limits::default()), 100);
}

#[test]
fn fifty_thousand_nested_multiparts() {
    let mut octets = Vec::new();
    for level in 0..50_000 {
        octets.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary={level}\r\n\r\n--{level}\r\n")
                .as_bytes(),
        );
    }
    assert_eq!(survive(octets, Limits::default()), 100);
}

#[test]
fn a_hundred_thousand_parts() {
    let mut octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    octets.extend_from_slice(&b"--b\r\n\r\n\r\n".repeat(100_000));
    assert_eq!(survive(octets.clone(), UNLIMITED), 100_001);
    assert_eq!(survive(octets, Limits::default()), 10_000);
}

#[test]
fn a_hundred_thousand_lines_that_are_almost_delimiters() {
    let boundary = "b".repeat(70);
    let mut octets = Vec::new();
    for level in 0..99 {
        octets.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary={boundary}{level}\r\n\r\n--{boundary}{level}\r\n")
                .as_bytes(),
        );
    }
    octets.extend_from_slice(b"\r\n");
    octets.extend_from_slice(format!("--{boundary}x\r\n").repeat(100_000).as_bytes());
    assert_eq!(survive(octets, Limits::default()), 100);
}

#[test]
fn ten_megabytes_in_one_header_field() {
    let names = [
        "From",
        "To",
        "Subject",
        "Date",
        "References",
        "Content-Type",
        "Content-Language",
    ];
    let pieces = [
        "(",
        "<",
        "\"",
        "a,",
        ":",
        ";",
        "@",
        "\\",
        "[",
        "=?a?q?",
        "=?utf-8?q?a?=",
        " ",
        "<a>",
        "\r\n ",
    ];
    // The time is for all of them: a tenth of the size will do to see what is not linear.
    let mut time = Duration::ZERO;
    for name in names {
        for piece in pieces {
            let mut octets = format!("{name}: ").into_bytes();
            octets.extend_from_slice(&piece.as_bytes().repeat((100 << 10) / piece.len()));
            octets.extend_from_slice(b"\r\n\r\n");
            time += survive_for(octets, UNLIMITED).1;
        }
    }
    assert!(time < TIME_MAX * 2, "{time:?}");
    for (name, piece) in [("From", "("), ("Content-Type", "a/b;c="), ("Subject", "=?")] {
        let mut octets = format!("{name}: ").into_bytes();
        octets.extend_from_slice(&piece.as_bytes().repeat((10 << 20) / piece.len()));
        survive(octets, UNLIMITED);
    }
}

#[test]
fn a_million_header_lines() {
    let mut octets = b"A: b\r\n".repeat(1_000_000);
    octets.extend_from_slice(b"\r\n");
    assert_eq!(survive(octets, Limits::default()), 1);
}

#[test]
fn a_small_header_makes_no_large_envelope() {
    let mut octets = b"From: ".to_vec();
    octets.extend_from_slice(&b"a,".repeat(1 << 20));
    octets.extend_from_slice(b"\r\n\r\n");
    let message = parse_with(&octets, Limits::default());
    let mut out = Vec::new();
    message.envelope(Strings::Literal, &mut out);
    assert!(out.len() < 512 << 10, "{}", out.len());
    assert_eq!(grammar::envelope(&out, false), Ok(()));
    // Nor does the envelope of an embedded message.
    let outer = [b"Content-Type: message/rfc822\r\n\r\n", &octets[..]].concat();
    out.clear();
    parse_with(&outer, Limits::default()).bodystructure(Strings::Literal, &mut out);
    assert!(out.len() < 512 << 10, "{}", out.len());
    assert_eq!(grammar::body(&out, true, false), Ok(()));
}

#[test]
fn of_a_million_parameters_a_thousand_are_read() {
    let mut octets = b"Content-Type: a/b".to_vec();
    octets.extend_from_slice(&b";a=b".repeat(1 << 20));
    octets.extend_from_slice(b"\r\nContent-Language: ");
    octets.extend_from_slice(&b"de,".repeat(1 << 20));
    octets.extend_from_slice(b"\r\n\r\n");
    let message = parse_with(&octets, UNLIMITED);
    let mut out = Vec::new();
    message.bodystructure(Strings::Literal, &mut out);
    assert!(out.len() < 16 << 10, "{}", out.len());
    assert_eq!(grammar::body(&out, true, false), Ok(()));
}

#[test]
fn text_is_decoded_in_steps() {
    let header = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    let message = parse_with(header, Limits::default());
    let start = time();
    for piece in ["=C3", "= ", "=\r\n", " ", "\r", "a \r\n"] {
        let body = piece.repeat((1 << 20) / piece.len());
        TextDecoder::decode(message.structure().root(), body.as_bytes());
    }
    decode_header("=?utf-8?q?=c3?= ".repeat(50_000).as_bytes());
    assert!(time() - start < TIME_MAX, "{:?}", time() - start);
}

/// A piece that begins within a character of four octets, and so do all that follow.
#[test]
fn characters_split_between_pieces() {
    let run = || {
        let text = "😉".repeat(1 << 18);
        let mut out = String::new();
        let mut decoder = CharsetDecoder::new(None);
        decoder.push(&text.as_bytes()[..1], &mut out);
        decoder.push(&text.as_bytes()[1..], &mut out);
        decoder.finish(&mut out);
        assert!(out == text);
    };
    let thread = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .expect("a thread");
    thread.join().expect("no overflow");
}
