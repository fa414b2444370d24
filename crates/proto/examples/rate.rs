//! Prints how many MB/s the framer and the decoder read on one core, and what the encoder writes.
//!
//! `cargo run --release -p restante-proto --example rate`
//!
//! `rate --once NAME TIMES` only does one kind of work so often, for tools that count instructions
//! (tests/clients/test_instructions.py).

use std::hint::black_box;
use std::time::{Duration, Instant};

use restante_proto::decode::{DecodeOptions, decode};
use restante_proto::encode::FetchItems;
use restante_proto::frame::{Event, Framer, Limits};
use restante_proto::types::{CommandBody, ModSeq, SeqNum, Uid};

const RUN: Duration = Duration::from_millis(400);

/// Repeats `work`, which handles `bytes` bytes, and prints the rate of the best tenth.
fn rate(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < RUN {
        let start = Instant::now();
        work();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let time = times[times.len() / 10];
    println!(
        "{name:<40} {:>8.0} MB/s",
        bytes as f64 / time.as_secs_f64() / 1e6
    );
}

/// What is read from a connection at once.
const PIECE: usize = 16 << 10;

fn frame_and_decode(input: &[u8], piece: usize) {
    let options = DecodeOptions::default();
    let mut framer = Framer::new(Limits::after_login());
    for piece in input.chunks(piece) {
        framer.push(piece);
        while let Some(event) = framer.next() {
            match event {
                Event::Command(frame) => {
                    // Not moved: a copy of the command costs as much as reading a short one.
                    let command = &decode(frame, &options);
                    black_box(command);
                    if matches!(command, Ok(command) if matches!(command.body, CommandBody::Idle)) {
                        framer.expect_line();
                    }
                }
                Event::Message(_) => framer.accept(),
                other => {
                    black_box(&other);
                }
            }
        }
    }
}

const ROWS: u32 = 100_000;

/// Writes so many FETCH responses; gives their length.
fn write_fetches(out: &mut Vec<u8>) -> usize {
    out.clear();
    for n in (1..=ROWS).filter_map(SeqNum::new) {
        let mut fetch = FetchItems::begin(out, n);
        fetch.uid(out, Uid(n.0));
        fetch.flags(out, ["\\Seen", "$Forwarded"]);
        fetch.mod_seq(out, ModSeq(u64::from(n.get())));
        fetch.end(out);
    }
    black_box(out.len())
}

fn main() {
    let set: String = (0..5000)
        .map(|n| format!("{}:{},", 10 * n + 1, 10 * n + 4))
        .collect();
    let or: String = (0..500)
        .map(|n| format!("OR FROM \"user{n}@example.org\" "))
        .collect();
    let inputs = [
        (
            "short commands",
            "a0001 UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)\r\n".repeat(4000),
        ),
        (
            "header fetches",
            "a0002 UID FETCH 1:200 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc \
             Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To)])\r\n"
                .repeat(2000),
        ),
        (
            "stores",
            "a0003 UID STORE 17,19,23:42 +FLAGS.SILENT (\\Seen $Forwarded)\r\n".repeat(4000),
        ),
        (
            "long sets",
            format!("a0004 UID FETCH {set}1 (FLAGS)\r\n").repeat(4),
        ),
        (
            "long searches",
            format!("a0005 UID SEARCH {or}UNSEEN\r\n").repeat(10),
        ),
        (
            "literals",
            format!(
                "a0006 SEARCH SUBJECT {{1000+}}\r\n{} SEEN\r\n",
                "x".repeat(1000)
            )
            .repeat(300),
        ),
        (
            "messages",
            format!(
                "a0007 APPEND INBOX (\\Seen) {{100000+}}\r\n{}\r\n",
                "x".repeat(100_000)
            )
            .repeat(20),
        ),
        ("unknown commands", "a0008 FROB x y z\r\n".repeat(8000)),
        ("shortest commands", "a NOOP\r\n".repeat(20_000)),
        ("shortest literals", "a DELETE {1+}\r\nx\r\n".repeat(8000)),
        (
            "shortest LOGINs",
            "a LOGIN {0+}\r\n {0+}\r\n\r\n".repeat(6000),
        ),
        ("shortest unknown", "a x\r\n".repeat(30_000)),
        ("DONE out of place", "a DONE\r\n".repeat(20_000)),
        ("IDLE and DONE", "a IDLE\r\nDONE\r\n".repeat(10_000)),
        ("lone plus signs", "+\r\n".repeat(40_000)),
        ("tags alone", "a\r\n".repeat(40_000)),
        ("line ends", "\r\n".repeat(100_000)),
    ];
    let once: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, wanted, times] = once.as_slice()
        && flag == "--once"
    {
        let times = times.parse().expect("a number");
        let input = inputs.iter().find(|(name, _)| name == wanted);
        for _ in 0..times {
            match input {
                Some((_, input)) => frame_and_decode(input.as_bytes(), PIECE),
                None => assert!(write_fetches(&mut Vec::new()) > 0),
            }
        }
        return;
    }
    for (name, input) in &inputs {
        rate(&format!("frame and decode: {name}"), input.len(), || {
            frame_and_decode(input.as_bytes(), PIECE)
        });
    }
    // However small the pieces: what one costs does not grow with what came before it.
    for wanted in [
        "short commands",
        "shortest commands",
        "shortest LOGINs",
        "long sets",
    ] {
        let found = inputs.iter().find(|(name, _)| *name == wanted);
        let (name, input) = found.expect("one of the inputs");
        for piece in [1, 2, 3, 7, 1460] {
            rate(
                &format!("in pieces of {piece}: {name}"),
                input.len(),
                || {
                    frame_and_decode(input.as_bytes(), piece);
                },
            );
        }
    }
    for count in [1000, 4000, 16_000] {
        let line = format!("a SEARCH TEXT {}\r\n", "x".repeat(16 * count));
        rate(
            &format!("in pieces of 1: line of {}", line.len()),
            line.len(),
            || {
                frame_and_decode(line.as_bytes(), 1);
            },
        );
        let literals = format!("a SEARCH TEXT x{}\r\n", " {1+}\r\nx".repeat(2 * count));
        rate(
            &format!("in pieces of 1: {} literals", 2 * count),
            literals.len(),
            || {
                frame_and_decode(literals.as_bytes(), 1);
            },
        );
    }

    let mut out = Vec::new();
    let mut write = || write_fetches(&mut out);
    let bytes = write();
    let start = Instant::now();
    write();
    let once = start.elapsed();
    rate("encode: FETCH (UID FLAGS MODSEQ)", bytes, || {
        write();
    });
    println!(
        "{ROWS} FETCH responses once: {:.1} ms",
        once.as_secs_f64() * 1e3
    );
}
