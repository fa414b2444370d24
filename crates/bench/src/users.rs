//! Workloads that resemble people: logging in, a telephone's day, and a mix.

use std::io;

use crate::conn::{Conn, hash, unexpected};
use crate::data::mix;
use crate::fill::{append, empty_box, messages, status};
use crate::report::Report;
use crate::run::{Done, Plan, expect, run};
use crate::writes::fresh;

/// Connect, log in, log out.
pub(crate) fn login(plan: &Plan) -> io::Result<Report> {
    run("login", plan, Ok, |client, _| {
        let mut conn = plan.login(*client, 4096)?;
        Ok(Done::octets(conn.command(format_args!("LOGOUT"))?.octets))
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

/// Commands of all kinds: many small reads, some bodies, a few changes and searches.
pub(crate) fn mixed(plan: &Plan) -> io::Result<Report> {
    run(
        "mix",
        plan,
        |client| {
            let mut conn = plan.selected()?;
            conn.ask_capabilities()?;
            let mailbox = plan.own_box("mix", client);
            empty_box(&mut conn, &mailbox)?;
            Ok((conn, mailbox, client, 0))
        },
        |(conn, mailbox, client, appended), n| {
            let total = plan.data.messages;
            let random = mix(*client as u64, n as u64);
            let at = (random >> 8) % total;
            let seq = at + 1;
            let counts = match random % 100 {
                0..30 => conn.command(format_args!("NOOP"))?,
                30..50 => {
                    let first = total.saturating_sub(99).max(1);
                    let command = format_args!("FETCH {first}:{total} (UID FLAGS)");
                    let counts = conn.command(command)?;
                    // Others' changes are told too.
                    if counts.fetches < total + 1 - first {
                        expect("FETCH responses", total + 1 - first, counts.fetches)?;
                    }
                    counts
                }
                50..70 => {
                    let command = format_args!("FETCH {seq} (BODY.PEEK[])");
                    let (hashes, counts) = conn.command_hashed(command)?;
                    if hashes != [hash(&plan.data.message(at))] {
                        return Err(unexpected("the message", b"other bytes"));
                    }
                    counts
                }
                70..82 => {
                    let sign = if random & 128 == 0 { '+' } else { '-' };
                    conn.command(format_args!("STORE {seq} {sign}FLAGS.SILENT ($Work)"))?
                }
                82..88 => conn.command(format_args!("FETCH {seq} (ENVELOPE BODYSTRUCTURE)"))?,
                88..93 => {
                    let (_, counts) = conn.command_kept(format_args!("SEARCH UNSEEN"))?;
                    let unseen = (0..total).filter(|&n| !plan.data.is_seen(n)).count();
                    expect("messages found", unseen as u64, counts.found)?;
                    counts
                }
                93..97 => {
                    append(conn, mailbox, &fresh(plan, *client, n))?;
                    *appended += 1;
                    return Ok(Done::octets(0));
                }
                _ => {
                    expect("messages", *appended, messages(conn, mailbox)?)?;
                    return Ok(Done::octets(0));
                }
            };
            Ok(Done::octets(counts.octets))
        },
    )
}
