//! Workloads that change nothing: each on the large mailbox of the first user. Its messages are
//! known, so the first answer is looked at in full, and those after it must be as long.

use std::fmt::Arguments;
use std::io;

use crate::conn::{Conn, Counts, in_order, unexpected};
use crate::data::{RARE_WORD, SENDERS, date, mix};
use crate::report::Report;
use crate::run::{Done, Plan, Step, expect, run, run_steps};

/// A connection, and how long answers were, by what was asked.
struct Reader {
    conn: Conn,
    octets: Vec<Option<u64>>,
    hashes: Vec<u64>,
}

impl Reader {
    fn new(plan: &Plan, kinds: usize) -> io::Result<Self> {
        Ok(Self {
            conn: plan.selected()?,
            octets: vec![None; kinds],
            hashes: Vec::new(),
        })
    }

    /// Asks; the first answer of its kind must have the needles in their order, and the others as
    /// many octets as that.
    fn ask(
        &mut self,
        kind: usize,
        command: Arguments<'_>,
        needles: impl Iterator<Item = String>,
    ) -> io::Result<Counts> {
        let Some(octets) = self.octets[kind] else {
            let (text, counts) = self.conn.command_kept(command)?;
            in_order(&text, needles)
                .map_err(|needle| unexpected(&needle, b"an answer without it"))?;
            self.octets[kind] = Some(counts.octets);
            return Ok(counts);
        };
        let counts = self.conn.command(command)?;
        expect("octets", octets, counts.octets)?;
        Ok(counts)
    }
}

pub(crate) fn select(plan: &Plan) -> io::Result<Report> {
    let command = format!("SELECT {}", plan.data_box());
    run_steps(
        "select",
        plan,
        |_| Ok((plan.selected()?, ())),
        |conn, (), _, step| {
            if step == 0 {
                conn.send(format_args!("{command}"))?;
                return Ok(Step::Continue(()));
            }
            let counts = conn.reply()?;
            expect("messages", plan.data.messages, counts.exists.unwrap_or(0))?;
            Ok(Step::Break(Done::octets(counts.octets)))
        },
    )
}

pub(crate) fn fetch_flags(plan: &Plan) -> io::Result<Report> {
    let total = plan.data.messages;
    let seen = (0..total).filter(|&n| plan.data.is_seen(n)).count() as u64;
    run(
        "fetch-flags",
        plan,
        |_| plan.selected(),
        |conn, n| {
            let command = format_args!("UID FETCH 1:* (UID FLAGS)");
            let counts = if n == 0 {
                let (text, counts) = conn.command_kept(command)?;
                in_order(&text, (1..=total).map(|n| format!("UID {n}")))
                    .map_err(|needle| unexpected(&needle, b"an answer without it"))?;
                counts
            } else {
                // Not as long as the first: \Recent may come and go.
                conn.command(command)?
            };
            expect("FETCH responses", total, counts.fetches)?;
            expect("messages with \\Seen", seen, counts.seen)?;
            Ok(Done::octets(counts.octets))
        },
    )
}

/// Up to 10,000 messages at a time, with something of which each has its own.
fn fetch_many(
    name: &str,
    plan: &Plan,
    items: &str,
    needle: impl Fn(u64) -> String + Sync,
) -> io::Result<Report> {
    let windows = (plan.data.messages / 10_000).max(1) as usize;
    run(
        name,
        plan,
        |_| Reader::new(plan, windows),
        |reader, n| {
            let (first, last) = window(plan.data.messages, 10_000, n);
            let needles = (first..=last).map(|n| needle(n - 1));
            let command = format_args!("FETCH {first}:{last} {items}");
            let counts = reader.ask(n % windows, command, needles)?;
            expect("FETCH responses", last + 1 - first, counts.fetches)?;
            Ok(Done::octets(counts.octets))
        },
    )
}

pub(crate) fn fetch_envelope(plan: &Plan) -> io::Result<Report> {
    let id = |n| format!("<{}>", plan.data.id(n));
    fetch_many("fetch-envelope", plan, "(ENVELOPE BODYSTRUCTURE)", id)
}

/// As Thunderbird asks for a list, with fewer fields.
pub(crate) fn fetch_header_fields(plan: &Plan) -> io::Result<Report> {
    let id = |n| format!("<{}>", plan.data.id(n));
    let items = "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date \
                 Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type \
                 Reply-To)])";
    fetch_many("fetch-header-fields", plan, items, id)
}

/// The n-th run of so many messages, beginning anew at the end.
fn window(messages: u64, size: u64, n: usize) -> (u64, u64) {
    let size = size.min(messages).max(1);
    let first = (n as u64 % (messages / size).max(1)) * size + 1;
    (first, first + size - 1)
}

/// One whole message at a time, all over the mailbox; each is the one that was sent.
pub(crate) fn fetch_body(plan: &Plan) -> io::Result<Report> {
    let hashes = crate::fill::hashes(plan);
    run_steps(
        "fetch-body",
        plan,
        |client| Ok((plan.selected()?, (client as u64, Vec::new()))),
        |conn, (client, got), n, step| {
            let at = mix(*client, n as u64) % plan.data.messages;
            if step == 0 {
                conn.send(format_args!("FETCH {} (BODY.PEEK[])", at + 1))?;
                return Ok(Step::Continue(()));
            }
            let counts = conn.reply_hashed(got)?;
            if got[..] != [hashes[plan.data.original(at) as usize]] {
                return Err(unexpected(
                    &format!("message {}", at + 1),
                    b"other bytes than were sent",
                ));
            }
            Ok(Step::Break(Done::octets(counts.octets)))
        },
    )
}

/// The whole mailbox, message by message in one command (at most 10,000).
pub(crate) fn fetch_all(plan: &Plan) -> io::Result<Report> {
    let hashes = crate::fill::hashes(plan);
    run(
        "fetch-all",
        plan,
        |_| {
            let mut reader = Reader::new(plan, 0)?;
            reader.hashes = (0..plan.data.messages)
                .map(|n| hashes[plan.data.original(n) as usize])
                .collect();
            Ok(reader)
        },
        |reader, n| {
            let (first, last) = window(plan.data.messages, 10_000, n);
            let command = format_args!("FETCH {first}:{last} (BODY.PEEK[])");
            let (got, counts) = reader.conn.command_hashed(command)?;
            if got != reader.hashes[first as usize - 1..last as usize] {
                return Err(unexpected("the messages", b"other bytes than were sent"));
            }
            Ok(Done::octets(counts.octets))
        },
    )
}

/// A SEARCH, SORT or THREAD that must find these messages, numbered from 0.
fn find(
    name: &str,
    plan: &Plan,
    command: &str,
    wanted: impl Fn(u64) -> bool + Sync,
) -> io::Result<Report> {
    let wanted: Vec<u64> = (0..plan.data.messages).filter(|&n| wanted(n)).collect();
    let sum: u64 = wanted.iter().map(|n| n + 1).sum();
    run(
        name,
        plan,
        |_| plan.selected(),
        |conn, _| {
            let counts = conn.command(format_args!("{command}"))?;
            expect("messages found", wanted.len() as u64, counts.found)?;
            expect("as the sum of their numbers", sum, counts.found_sum)?;
            Ok(Done::octets(counts.octets))
        },
    )
}

pub(crate) fn search_flags(plan: &Plan) -> io::Result<Report> {
    let data = plan.data;
    find("search-flags", plan, "SEARCH UNSEEN", |n| !data.is_seen(n))
}

pub(crate) fn search_header(plan: &Plan) -> io::Result<Report> {
    let (data, sender) = (plan.data, SENDERS / 2);
    let command = format!("SEARCH FROM \"user{sender}@example\"");
    find("search-header", plan, &command, |n| {
        data.sender(n) == sender
    })
}

pub(crate) fn search_since(plan: &Plan) -> io::Result<Report> {
    let data = plan.data;
    let day = data.day(data.messages.min(data.distinct) * 9 / 10);
    let command = format!("SEARCH SINCE {}", date(day));
    find("search-since", plan, &command, |n| data.day(n) >= day)
}

pub(crate) fn search_body(plan: &Plan) -> io::Result<Report> {
    let data = plan.data;
    let command = format!("SEARCH BODY {RARE_WORD}");
    find("search-body", plan, &command, |n| data.has_rare_word(n))
}

pub(crate) fn sort(plan: &Plan) -> io::Result<Report> {
    find("sort", plan, "SORT (SUBJECT DATE) UTF-8 ALL", |_| true)
}

pub(crate) fn thread(plan: &Plan) -> io::Result<Report> {
    find("thread", plan, "THREAD REFERENCES UTF-8 ALL", |_| true)
}

/// Twenty small commands in one write.
pub(crate) fn pipelining(plan: &Plan) -> io::Result<Report> {
    run_steps(
        "pipelining",
        plan,
        |client| Ok((plan.selected()?, client as u64)),
        |conn, client, n, step| {
            if step == 0 {
                for k in 0..20 {
                    let at = mix(*client, n as u64 * 20 + k) % plan.data.messages + 1;
                    conn.queue_command(format_args!("FETCH {at} (UID FLAGS)"));
                }
                conn.flush()?;
                return Ok(Step::Continue(()));
            }
            let (mut octets, mut fetches) = (0, 0);
            for _ in 0..20 {
                let counts = conn.reply()?;
                fetches += counts.fetches;
                octets += counts.octets;
            }
            // Dovecot works on several at once. There may be more, of what changed meanwhile.
            expect("FETCH responses", 20, fetches.min(20))?;
            Ok(Step::Break(Done::octets(octets)))
        },
    )
}

/// `LIST "" *`, or with STATUS of each (RFC 5819), of as many mailboxes as there are.
pub(crate) fn list(plan: &Plan, with_status: bool) -> io::Result<Report> {
    let mailboxes = crate::fill::LIST_MAILBOXES;
    crate::fill::many_mailboxes(plan)?;
    let options = match with_status {
        true => " RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))",
        false => "",
    };
    run(
        if with_status { "list-status" } else { "list" },
        plan,
        |_| plan.login(0, 64 << 10),
        |conn, _| {
            let command = format_args!("LIST \"\" \"{}-list-*\"{options}", plan.prefix);
            let counts = conn.command(command)?;
            expect("LIST responses", mailboxes, counts.lists)?;
            if with_status {
                expect("STATUS responses", mailboxes, counts.statuses)?;
            }
            Ok(Done::octets(counts.octets))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_inside() {
        assert_eq!(window(100_000, 10_000, 11), (10_001, 20_000));
        assert_eq!(window(7, 10_000, 3), (1, 7));
    }
}
