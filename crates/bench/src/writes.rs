//! Workloads that change mailboxes: each change is acknowledged before the next.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::conn::Conn;
use crate::data::mix;
use crate::fill::{empty_box, messages, send_append};
use crate::lmtp;
use crate::report::Report;
use crate::run::{Done, Plan, Step, expect, run, run_steps};

/// How many messages COPY, MOVE and EXPUNGE are given at once.
const MANY: u64 = 1000;

/// A message that nobody else has.
pub(crate) fn fresh(plan: &Plan, client: usize, n: usize) -> Vec<u8> {
    let number = plan.data.messages + 1 + ((client as u64) << 32) + n as u64;
    plan.data.message(number)
}

/// When a message was ready to be sent, and its size. What it takes to make one is not the server's
/// time, but all processor time while one is made is.
#[derive(Default)]
struct Sent(Option<Instant>, u64);

impl Sent {
    fn now(text: &[u8]) -> Self {
        Self(Some(Instant::now()), text.len() as u64)
    }

    fn done(&self) -> Done {
        Done {
            octets: self.1,
            took: self.0.map(|begin| begin.elapsed()),
            whole: true,
        }
    }
}

/// The mailbox of a client, or one that all share.
fn target(plan: &Plan, shared: bool, client: usize) -> String {
    plan.own_box("append", if shared { 0 } else { client })
}

/// APPEND of one message at a time, to a mailbox of each client's own or to one of all.
pub(crate) fn append(plan: &Plan, shared: bool) -> io::Result<Report> {
    if plan.in_large && !shared && plan.clients > 1 && plan.user.contains("%d") {
        // The large mailbox is the first user's.
        return Err(io::Error::other(
            "append with --in-large is for one client, or for one user",
        ));
    }
    for client in 0..if shared { 1 } else { plan.clients } {
        let mut conn = plan.login(client, 4096)?;
        empty_box(&mut conn, &target(plan, shared, client))?;
        if plan.in_large {
            copy_all(plan, &target(plan, shared, client))?;
        }
    }
    let work = if plan.in_large { work_size(plan) } else { 0 };
    let report = run_steps(
        if shared { "append-shared" } else { "append" },
        plan,
        |client| {
            let mut conn = plan.login(if shared { 0 } else { client }, 16 << 10)?;
            conn.ask_capabilities()?;
            let mailbox = target(plan, shared, client);
            Ok((conn, (mailbox, client, Sent::default())))
        },
        |conn, (mailbox, client, sent), n, step| {
            if step == 0 {
                let text = fresh(plan, *client, n);
                *sent = Sent::now(&text);
                send_append(conn, mailbox, &text)?;
                return Ok(Step::Continue(()));
            }
            conn.reply()?;
            Ok(Step::Break(sent.done()))
        },
    )?;
    let mut there = 0;
    for client in 0..if shared { 1 } else { plan.clients } {
        let mut conn = plan.login(client, 4096)?;
        there += messages(&mut conn, &target(plan, shared, client))?;
    }
    let boxes = if shared { 1 } else { plan.clients };
    expect("messages", report.all + work * boxes as u64, there)?;
    Ok(report)
}

/// Delivery of one message at a time by LMTP to each client's user.
pub(crate) fn deliver(plan: &Plan) -> io::Result<Report> {
    let address = plan.lmtp.as_deref().ok_or_else(|| {
        io::Error::other("the workload lmtp needs the address of the LMTP server: --lmtp")
    })?;
    // Of many not all are looked at.
    let looked_at = 100.min(plan.users);
    let users: Vec<usize> = match (plan.user.contains("%d"), plan.spread) {
        (false, _) => vec![0],
        (true, true) => (0..looked_at).collect(),
        (true, false) => (0..plan.clients.min(plan.users)).collect(),
    };
    let count = |users: &[usize]| -> io::Result<u64> {
        let counts = users
            .iter()
            .map(|&user| messages(&mut plan.login(user, 4096)?, "INBOX"));
        counts.sum()
    };
    let before = count(&users)?;
    let start = crate::nonce();
    let looked_at_got = AtomicU64::new(0);
    let report = run_steps(
        "lmtp",
        plan,
        |client| {
            let state = (client, Vec::new(), Sent::default());
            Ok((lmtp::open(address)?, state))
        },
        |conn, (client, text, sent), n, step| {
            match step {
                0 => {
                    // A Message-ID that was delivered before may be dropped: Cyrus does.
                    *text = fresh(plan, *client, n + start);
                    *sent = Sent::now(text);
                    let user = plan.user_number(*client, n);
                    if plan.spread && user < looked_at {
                        looked_at_got.fetch_add(1, Ordering::Relaxed);
                    }
                    lmtp::envelope(conn, &plan.user_of(user))?;
                }
                1 => lmtp::data(conn, text)?,
                _ => {
                    lmtp::delivered(conn)?;
                    return Ok(Step::Break(sent.done()));
                }
            }
            Ok(Step::Continue(()))
        },
    )?;
    let delivered = match plan.spread && plan.user.contains("%d") {
        true => looked_at_got.into_inner(),
        false => report.all,
    };
    expect("messages", before + delivered, count(&users)?)?;
    Ok(report)
}

/// A flag of one message, set or taken away.
pub(crate) fn store_one(plan: &Plan) -> io::Result<Report> {
    run_steps(
        "store-one",
        plan,
        |client| {
            let conn = work_box(plan, "store", client)?;
            Ok((conn, (client as u64, Vec::new())))
        },
        |conn, (client, text), n, step| {
            let (sign, flagged) = match n.is_multiple_of(2) {
                true => ('+', true),
                false => ('-', false),
            };
            if step == 0 {
                let at = mix(*client, n as u64 / 2) % work_size(plan) + 1;
                conn.send(format_args!("STORE {at} {sign}FLAGS (\\Answered)"))?;
                return Ok(Step::Continue(()));
            }
            let counts = conn.reply_kept(text)?;
            expect("FETCH response", 1, counts.fetches)?;
            let got = memchr::memmem::find(text, b"\\Answered").is_some();
            expect("as \\Answered", flagged.into(), got.into())?;
            Ok(Step::Break(Done::octets(counts.octets)))
        },
    )
}

/// A flag of all messages of the large mailbox, set or taken away, silently.
pub(crate) fn store_many(plan: &Plan) -> io::Result<Report> {
    let report = run(
        "store-many",
        plan,
        |_| plan.selected(),
        |conn, n| {
            let sign = if n.is_multiple_of(2) { '+' } else { '-' };
            let command = format_args!("STORE 1:* {sign}FLAGS.SILENT (\\Answered)");
            Ok(Done::octets(conn.command(command)?.octets))
        },
    )?;
    let mut conn = plan.selected()?;
    conn.command(format_args!("STORE 1:* +FLAGS.SILENT (\\Answered)"))?;
    let found = conn.command(format_args!("SEARCH ANSWERED"))?.found;
    expect("messages with \\Answered", plan.data.messages, found)?;
    // As it was, for others.
    conn.command(format_args!("STORE 1:* -FLAGS.SILENT (\\Answered)"))?;
    Ok(report)
}

fn work_size(plan: &Plan) -> u64 {
    match plan.in_large {
        true => plan.data.messages,
        false => plan.data.messages.min(MANY),
    }
}

/// Copies as many messages of the large mailbox as a work box has.
fn copy_all(plan: &Plan, mailbox: &str) -> io::Result<Conn> {
    let mut conn = plan.selected()?;
    let mut first = 1;
    while first <= work_size(plan) {
        let last = work_size(plan).min(first + 99_999);
        conn.command(format_args!("COPY {first}:{last} {mailbox}"))?;
        first = last + 1;
    }
    Ok(conn)
}

/// A mailbox with up to 1,000 messages of the large one, selected.
fn work_box(plan: &Plan, what: &str, client: usize) -> io::Result<Conn> {
    let mailbox = plan.own_box(what, client);
    empty_box(&mut plan.login(0, 4096)?, &mailbox)?;
    let mut conn = copy_all(plan, &mailbox)?;
    let there = conn.command(format_args!("SELECT {mailbox}"))?.exists;
    expect("messages", work_size(plan), there.unwrap_or(0))?;
    Ok(conn)
}

pub(crate) fn copy(plan: &Plan) -> io::Result<Report> {
    let size = work_size(plan);
    run(
        "copy",
        plan,
        |client| {
            let mut conn = plan.selected()?;
            let mailbox = plan.own_box("copy", client);
            empty_box(&mut conn, &mailbox)?;
            Ok((conn, mailbox, 0))
        },
        |(conn, mailbox, copied), _| {
            if *copied == 20 * size {
                expect("messages", *copied, messages(conn, mailbox)?)?;
                empty_box(conn, mailbox)?;
                *copied = 0;
            }
            let begin = Instant::now();
            let octets = conn
                .command(format_args!("COPY 1:{size} {mailbox}"))?
                .octets;
            let done = Done::timed(octets, begin);
            *copied += size;
            Ok(done)
        },
    )
}

/// Moves messages from one mailbox to another, and back.
pub(crate) fn move_messages(plan: &Plan) -> io::Result<Report> {
    let size = work_size(plan);
    run(
        "move",
        plan,
        |client| {
            let mut conn = work_box(plan, "move", client)?;
            let other = plan.own_box("moved", client);
            empty_box(&mut conn, &other)?;
            Ok((conn, plan.own_box("move", client), other))
        },
        |(conn, from, to), _| {
            let begin = Instant::now();
            let counts = conn.command(format_args!("MOVE 1:{size} {to}"))?;
            let done = Done::timed(counts.octets, begin);
            expect("messages gone", size, counts.gone)?;
            std::mem::swap(from, to);
            let there = conn.command(format_args!("SELECT {from}"))?.exists;
            expect("messages moved", size, there.unwrap_or(0))?;
            Ok(done)
        },
    )
}

pub(crate) fn expunge(plan: &Plan) -> io::Result<Report> {
    let size = work_size(plan);
    run(
        "expunge",
        plan,
        |client| Ok((plan.selected()?, plan.own_box("expunge", client))),
        |(conn, mailbox), _| {
            empty_box(conn, mailbox)?;
            conn.command(format_args!("SELECT {}", plan.data_box()))?;
            conn.command(format_args!("COPY 1:{size} {mailbox}"))?;
            conn.command(format_args!("SELECT {mailbox}"))?;
            conn.command(format_args!("STORE 1:* +FLAGS.SILENT (\\Deleted)"))?;
            let begin = Instant::now();
            let counts = conn.command(format_args!("EXPUNGE"))?;
            let done = Done::timed(counts.octets, begin);
            expect("messages gone", size, counts.gone)?;
            conn.command(format_args!("SELECT {}", plan.data_box()))?;
            Ok(done)
        },
    )
}
