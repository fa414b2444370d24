//! Workloads that resemble people: logging in, a telephone's day, and a mix.

use std::io;

use crate::conn::{Conn, hash, unexpected};
use crate::data::mix;
use crate::fill::{append, empty_box, send_append, status};
use crate::report::Report;
use crate::run::{Done, Plan, Step, expect, run, run_steps};
use crate::writes::fresh;

/// Connect, log in, log out.
pub(crate) fn login(plan: &Plan) -> io::Result<Report> {
    if plan.tls {
        // A handshake has many steps of its own.
        return run("login", plan, Ok, |client, n| {
            let mut conn = plan.login(plan.user_number(*client, n), 4096)?;
            Ok(Done::octets(conn.command(format_args!("LOGOUT"))?.octets))
        });
    }
    let open = || Conn::open(&plan.imap, false, 4096);
    run_steps(
        "login",
        plan,
        |client| Ok((open()?, client)),
        |conn, client, n, step| {
            match step {
                0 => *conn = open()?,
                1 => {
                    let user = plan.user_of(plan.user_number(*client, n));
                    conn.greeted(&user, &plan.password)?;
                }
                2 => {
                    conn.reply()?;
                    conn.send(format_args!("LOGOUT"))?;
                }
                _ => return Ok(Step::Break(Done::octets(conn.reply()?.octets))),
            }
            Ok(Step::Continue(()))
        },
    )
}

/// Connect, a whole handshake of TLS 1.3, the greeting. What it costs depends on the kind of key in the server's
/// certificate.
pub(crate) fn handshake(plan: &Plan) -> io::Result<Report> {
    if !plan.tls {
        return Err(io::Error::other("the workload handshake needs --tls"));
    }
    run("handshake", plan, Ok, |_, _| {
        let mut conn = Conn::open(&plan.imap, true, 4096)?;
        let greeting = conn.line()?;
        if !greeting.starts_with(b"* OK") {
            return Err(unexpected("greeting", &greeting));
        }
        if !conn.is_new_tls13() {
            return Err(unexpected("a whole handshake of TLS 1.3", b"another"));
        }
        Ok(Done::octets(greeting.len() as u64))
    })
}

/// What a telephone knows of a mailbox.
struct Phone {
    client: usize,
    /// Another of the user's programs, which brings a message before each visit.
    other: Conn,
    mailbox: String,
    validity: u64,
    modseq: u64,
    next: u64,
}

/// Connect, log in, QRESYNC SELECT, fetch what is new, IDLE, disconnect: with one new message each.
pub(crate) fn churn(plan: &Plan) -> io::Result<Report> {
    run(
        "churn",
        plan,
        |client| {
            let mut other = plan.login(client, 16 << 10)?;
            other.ask_capabilities()?;
            let mailbox = plan.own_box("churn", client);
            empty_box(&mut other, &mailbox)?;
            append(&mut other, &mailbox, &fresh(plan, client, 0))?;
            Ok(Phone {
                client,
                validity: status(&mut other, &mailbox, "UIDVALIDITY")?,
                modseq: 1,
                next: status(&mut other, &mailbox, "UIDNEXT")?,
                other,
                mailbox,
            })
        },
        |phone, n| {
            let text = fresh(plan, phone.client, n + 1);
            append(&mut phone.other, &phone.mailbox, &text)?;
            let begin = std::time::Instant::now();
            let octets = visit(plan, phone, hash(&text))?;
            Ok(Done {
                whole: true,
                ..Done::timed(octets, begin)
            })
        },
    )
}

fn visit(plan: &Plan, phone: &mut Phone, new: u64) -> io::Result<u64> {
    let Phone {
        mailbox,
        validity,
        modseq,
        next,
        ..
    } = phone;
    let mut conn = plan.login(phone.client, 4096)?;
    conn.command(format_args!("ENABLE QRESYNC"))?;
    let select = format_args!("SELECT {mailbox} (QRESYNC ({validity} {modseq}))");
    let (text, selected) = conn.command_kept(select)?;
    let fetch = format_args!("UID FETCH {next}:* (UID FLAGS BODY.PEEK[])");
    let (hashes, fetched) = conn.command_hashed(fetch)?;
    if hashes != [new] {
        return Err(unexpected("the new message", b"another, or none"));
    }
    conn.queue(b"t IDLE\r\n");
    conn.flush()?;
    conn.continuation()?;
    conn.queue(b"DONE\r\n");
    conn.flush()?;
    conn.reply()?;
    conn.command(format_args!("LOGOUT"))?;
    *next += 1;
    let text = String::from_utf8_lossy(&text);
    let told = text.split_once("[HIGHESTMODSEQ ").and_then(|(_, rest)| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    *modseq = told.ok_or_else(|| unexpected("HIGHESTMODSEQ", text.as_bytes()))?;
    Ok(selected.octets + fetched.octets)
}

/// One of the mix, by a random number, and the number of a message.
#[derive(Clone, Copy)]
enum Kind {
    Noop,
    Flags,
    Body,
    Store,
    Envelope,
    Search,
    Append,
    Status,
}

fn kind(client: usize, n: usize, total: u64) -> (Kind, u64, char) {
    let random = mix(client as u64, n as u64);
    let kind = match random % 100 {
        0..30 => Kind::Noop,
        30..50 => Kind::Flags,
        50..70 => Kind::Body,
        70..82 => Kind::Store,
        82..88 => Kind::Envelope,
        88..93 => Kind::Search,
        93..97 => Kind::Append,
        _ => Kind::Status,
    };
    let sign = if random & 128 == 0 { '+' } else { '-' };
    (kind, (random >> 8) % total, sign)
}

/// What a client of the mix has.
struct Person {
    client: usize,
    mailbox: String,
    appended: u64,
    hashes: Vec<u64>,
}

/// Commands of all kinds: many small reads, some bodies, a few changes and searches.
pub(crate) fn mixed(plan: &Plan) -> io::Result<Report> {
    let total = plan.data.messages;
    let hashes = crate::fill::hashes(plan);
    let unseen = (0..total).filter(|&n| !plan.data.is_seen(n)).count() as u64;
    let recent = total.min(100);
    run_steps(
        "mix",
        plan,
        |client| {
            let mut conn = plan.selected()?;
            conn.ask_capabilities()?;
            let mailbox = plan.own_box("mix", client);
            empty_box(&mut conn, &mailbox)?;
            let person = Person {
                client,
                mailbox,
                appended: 0,
                hashes: Vec::new(),
            };
            Ok((conn, person))
        },
        |conn, person, n, step| {
            let (kind, at, sign) = kind(person.client, n, total);
            let seq = at + 1;
            if step == 0 {
                match kind {
                    Kind::Noop => conn.send(format_args!("NOOP"))?,
                    Kind::Flags => {
                        let first = total + 1 - recent;
                        conn.send(format_args!("FETCH {first}:{total} (UID FLAGS)"))?;
                    }
                    Kind::Body => conn.send(format_args!("FETCH {seq} (BODY.PEEK[])"))?,
                    Kind::Store => {
                        conn.send(format_args!("STORE {seq} {sign}FLAGS.SILENT ($Work)"))?;
                    }
                    Kind::Envelope => {
                        conn.send(format_args!("FETCH {seq} (ENVELOPE BODYSTRUCTURE)"))?;
                    }
                    Kind::Search => conn.send(format_args!("SEARCH UNSEEN"))?,
                    Kind::Append => {
                        let text = fresh(plan, person.client, n);
                        send_append(conn, &person.mailbox, &text)?;
                    }
                    Kind::Status => {
                        let mailbox = &person.mailbox;
                        conn.send(format_args!("STATUS {mailbox} (MESSAGES)"))?;
                    }
                }
                return Ok(Step::Continue(()));
            }
            let counts = conn.reply_hashed(&mut person.hashes)?;
            match kind {
                // Others' changes are told too.
                Kind::Flags => expect("FETCH responses", recent, counts.fetches.min(recent))?,
                Kind::Body if person.hashes != [hashes[plan.data.original(at) as usize]] => {
                    return Err(unexpected("the message", b"other bytes"));
                }
                Kind::Envelope => expect("FETCH response", 1, counts.fetches.min(1))?,
                Kind::Search => expect("messages found", unseen, counts.found)?,
                Kind::Append => person.appended += 1,
                Kind::Status => expect("messages", person.appended, counts.status.unwrap_or(0))?,
                Kind::Noop | Kind::Body | Kind::Store => {}
            }
            Ok(Step::Break(Done::octets(counts.octets)))
        },
    )
}
