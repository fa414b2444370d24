//! The workloads over IMAP.

use std::io;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::conn::{Conn, unexpected};
use crate::lmtp;
use crate::message::message;
use crate::report::{Report, Samples};

/// What to load, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) imap: String,
    pub(crate) lmtp: String,
    pub(crate) tls: bool,
    pub(crate) user: String,
    /// How many users there are.
    pub(crate) users: usize,
    pub(crate) password: String,
    pub(crate) mailbox: String,
    pub(crate) clients: usize,
    pub(crate) duration: Duration,
    pub(crate) octets: usize,
    pub(crate) count: usize,
}

impl Plan {
    /// The user of a client: `%d` in its name is the client's number, or what is left of it by the
    /// number of users.
    pub(crate) fn user_of(&self, client: usize) -> String {
        self.user.replace("%d", &(client % self.users).to_string())
    }

    pub(crate) fn login(&self, client: usize, buffer: usize) -> io::Result<Conn> {
        Conn::login(
            &self.imap,
            self.tls,
            &self.user_of(client),
            &self.password,
            buffer,
        )
    }

    /// A client that has selected the mailbox, and how many messages that has.
    fn selected(&self, client: usize) -> io::Result<(Conn, u64)> {
        let mut conn = self.login(client, 256 << 10)?;
        let counts = conn.command(format_args!("SELECT {}", self.mailbox))?;
        Ok((conn, counts.exists.unwrap_or(0)))
    }
}

/// Runs `each` for every client, all from the same moment on; each makes one operation after the
/// other until the time is over.
fn run<S>(
    name: &str,
    plan: &Plan,
    prepare: impl Fn(usize) -> io::Result<S> + Sync,
    operate: impl Fn(&mut S, usize) -> io::Result<u64> + Sync,
) -> io::Result<Report> {
    let barrier = Barrier::new(plan.clients + 1);
    let (samples, wall) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|client| {
                let (barrier, prepare, operate) = (&barrier, &prepare, &operate);
                scope.spawn(move || {
                    let prepared = prepare(client);
                    barrier.wait();
                    let mut state = prepared?;
                    let deadline = Instant::now() + plan.duration;
                    let mut samples = Samples::default();
                    for n in 0.. {
                        let begin = Instant::now();
                        if begin >= deadline {
                            break;
                        }
                        let octets = operate(&mut state, n)?;
                        samples.add(begin.elapsed(), octets);
                    }
                    Ok(samples)
                })
            })
            .collect();
        barrier.wait();
        let begin = Instant::now();
        let samples: Vec<io::Result<Samples>> = clients
            .into_iter()
            .map(|c| {
                c.join()
                    .unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            })
            .collect();
        (samples, begin.elapsed())
    });
    Ok(Report::new(
        name,
        wall,
        samples.into_iter().collect::<io::Result<_>>()?,
    ))
}

fn expect(what: &str, wanted: u64, got: u64) -> io::Result<()> {
    if wanted == got {
        return Ok(());
    }
    Err(unexpected(
        &format!("{wanted} {what}"),
        got.to_string().as_bytes(),
    ))
}

/// Connect, log in, log out.
pub(crate) fn login(plan: &Plan) -> io::Result<Report> {
    run("login", plan, Ok, |client, _| {
        let mut conn = plan.login(*client, 4096)?;
        Ok(conn.command(format_args!("LOGOUT"))?.octets)
    })
}

/// APPEND of a message, acknowledged each.
pub(crate) fn append(plan: &Plan) -> io::Result<Report> {
    let messages = |conn: &mut Conn| exists(conn, &plan.mailbox);
    let shared = !plan.user.contains("%d");
    let before = messages(&mut plan.login(0, 4096)?)?;
    let report = run(
        "append",
        plan,
        |client| Ok((plan.login(client, 16 << 10)?, message(plan.octets))),
        |(conn, text), _| {
            append_one(conn, &plan.mailbox, text)?;
            Ok(text.len() as u64)
        },
    )?;
    if shared {
        let after = messages(&mut plan.login(0, 4096)?)?;
        expect("messages", before + report.operations(), after)?;
    }
    Ok(report)
}

fn append_one(conn: &mut Conn, mailbox: &str, text: &[u8]) -> io::Result<()> {
    conn.queue(format!("t APPEND {mailbox} {{{}+}}\r\n", text.len()).as_bytes());
    conn.queue(text);
    conn.queue(b"\r\n");
    conn.flush()?;
    conn.reply().map(drop)
}

/// Messages in a mailbox, by STATUS.
pub(crate) fn exists(conn: &mut Conn, mailbox: &str) -> io::Result<u64> {
    conn.queue(format!("t STATUS {mailbox} (MESSAGES)\r\n").as_bytes());
    conn.flush()?;
    let mut messages = None;
    loop {
        let line = conn.line()?;
        if line.starts_with(b"t ") {
            return messages.ok_or_else(|| unexpected("STATUS", &line));
        }
        let text = String::from_utf8_lossy(&line);
        if let Some((_, rest)) = text.split_once("(MESSAGES ") {
            messages = rest.trim_end().trim_end_matches(')').parse().ok();
        }
    }
}

/// Delivery of a message by LMTP, acknowledged each.
pub(crate) fn deliver(plan: &Plan) -> io::Result<Report> {
    run(
        "lmtp",
        plan,
        |client| {
            let conn = lmtp::open(&plan.lmtp)?;
            Ok((conn, plan.user_of(client), message(plan.octets)))
        },
        |(conn, user, text), _| {
            lmtp::deliver(conn, user, text)?;
            Ok(text.len() as u64)
        },
    )
}

/// SELECT again and again.
pub(crate) fn select(plan: &Plan) -> io::Result<Report> {
    run(
        "select",
        plan,
        |client| plan.selected(client),
        |(conn, messages), _| {
            let counts = conn.command(format_args!("SELECT {}", plan.mailbox))?;
            expect("messages", *messages, counts.exists.unwrap_or(0))?;
            Ok(counts.octets)
        },
    )
}

/// `UID FETCH 1:* (FLAGS)`.
pub(crate) fn fetch_flags(plan: &Plan) -> io::Result<Report> {
    run(
        "fetch-flags",
        plan,
        |client| plan.selected(client),
        |(conn, messages), _| {
            let counts = conn.command(format_args!("UID FETCH 1:* (FLAGS)"))?;
            expect("FETCH responses", *messages, counts.fetches)?;
            Ok(counts.octets)
        },
    )
}

/// ENVELOPE and BODYSTRUCTURE of up to 10,000 messages at a time.
pub(crate) fn fetch_envelope(plan: &Plan) -> io::Result<Report> {
    run(
        "fetch-envelope",
        plan,
        |client| plan.selected(client),
        |(conn, messages), n| {
            let (first, last) = window(*messages, 10_000, n);
            let counts = conn.command(format_args!(
                "FETCH {first}:{last} (ENVELOPE BODYSTRUCTURE)"
            ))?;
            expect("FETCH responses", last + 1 - first, counts.fetches)?;
            Ok(counts.octets)
        },
    )
}

/// The n-th run of so many messages, beginning anew at the end.
fn window(messages: u64, size: u64, n: usize) -> (u64, u64) {
    let size = size.min(messages).max(1);
    let first = (n as u64 % (messages / size).max(1)) * size + 1;
    (first, first + size - 1)
}

/// One whole message at a time, all over the mailbox.
pub(crate) fn fetch_body(plan: &Plan) -> io::Result<Report> {
    run(
        "fetch-body",
        plan,
        |client| plan.selected(client),
        |(conn, messages), n| {
            let seq = scattered(n, *messages);
            let counts = conn.command(format_args!("FETCH {seq} (BODY.PEEK[])"))?;
            expect("FETCH response", 1, counts.fetches)?;
            Ok(counts.octets)
        },
    )
}

/// A number from 1 to `messages` that looks arbitrary.
fn scattered(n: usize, messages: u64) -> u64 {
    (n as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        % messages.max(1)
        + 1
}

/// A flag of one message, set or taken away, acknowledged each.
pub(crate) fn store_one(plan: &Plan) -> io::Result<Report> {
    run(
        "store-one",
        plan,
        |client| plan.selected(client),
        |(conn, messages), n| {
            let seq = scattered(n, *messages);
            let sign = if n % 2 == 0 { '+' } else { '-' };
            let command = format_args!("STORE {seq} {sign}FLAGS.SILENT (\\Flagged)");
            Ok(conn.command(command)?.octets)
        },
    )
}

/// A flag of all messages, set or taken away.
pub(crate) fn store_many(plan: &Plan) -> io::Result<Report> {
    run(
        "store-many",
        plan,
        |client| plan.selected(client),
        |(conn, _), n| {
            let sign = if n % 2 == 0 { '+' } else { '-' };
            let command = format_args!("STORE 1:* {sign}FLAGS.SILENT (\\Seen)");
            Ok(conn.command(command)?.octets)
        },
    )
}

/// Fills the mailbox up to so many messages, by commands of 100 messages each.
pub(crate) fn fill(plan: &Plan) -> io::Result<Report> {
    let begin = Instant::now();
    let mut conn = plan.login(0, 16 << 10)?;
    if !plan.mailbox.eq_ignore_ascii_case("INBOX") {
        // It may be there already.
        conn.queue(format!("t CREATE {}\r\n", plan.mailbox).as_bytes());
        conn.flush()?;
        while !conn.line()?.starts_with(b"t ") {}
    }
    let mut there = exists(&mut conn, &plan.mailbox)?;
    let wanted = plan.count as u64;
    let mut samples = Samples::default();
    while there < wanted {
        let batch = (wanted - there).min(100);
        let start = Instant::now();
        conn.queue(format!("t APPEND {}", plan.mailbox).as_bytes());
        for _ in 0..batch {
            let text = message(plan.octets);
            conn.queue(format!(" {{{}+}}\r\n", text.len()).as_bytes());
            conn.queue(&text);
        }
        conn.queue(b"\r\n");
        conn.flush()?;
        let octets = conn.reply()?.octets;
        samples.add(start.elapsed(), octets);
        there += batch;
    }
    expect("messages", wanted, exists(&mut conn, &plan.mailbox)?)?;
    Ok(Report::new("fill", begin.elapsed(), vec![samples]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_numbers_stay_inside() {
        assert_eq!(window(100_000, 10_000, 11), (10_001, 20_000));
        assert_eq!(window(7, 10_000, 3), (1, 7));
        for n in 0..1000 {
            assert!((1..=7).contains(&scattered(n, 7)));
        }
    }
}
