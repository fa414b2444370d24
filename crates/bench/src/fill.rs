//! Makes the mailboxes of a run, and takes them away again.

use std::io;

use crate::conn::{Conn, hash, unexpected};
use crate::run::{Plan, expect};

/// How many mailboxes the workload `list` has.
pub(crate) const LIST_MAILBOXES: u64 = 1000;

/// The hash of each message of the large mailbox, in turn if there are copies.
pub(crate) fn hashes(plan: &Plan) -> Vec<u64> {
    (0..plan.data.messages.min(plan.data.distinct))
        .map(|n| hash(&plan.data.message(n)))
        .collect()
}

/// Makes the large mailbox, if it is not there from an earlier run with the same seed.
pub(crate) fn data_box(plan: &Plan) -> io::Result<()> {
    let mut conn = plan.login(0, 16 << 10)?;
    conn.ask_capabilities()?;
    let mailbox = plan.data_box();
    if names(&mut conn, &mailbox)?.is_empty() {
        conn.command(format_args!("CREATE {mailbox}"))?;
    }
    let mut there = messages(&mut conn, &mailbox)?;
    let batch = if conn.can("MULTIAPPEND") { 100 } else { 1 };
    while there < plan.data.messages {
        if there >= plan.data.distinct {
            let (from, to) = plan.data.copies(there);
            conn.command(format_args!("EXAMINE {mailbox}"))?;
            conn.command(format_args!("COPY {from}:{to} {mailbox}"))?;
            there += to + 1 - from;
            continue;
        }
        let end = (there + batch)
            .min(plan.data.messages)
            .min(plan.data.distinct);
        conn.queue(format!("t APPEND {mailbox}").as_bytes());
        for n in there..end {
            conn.queue(b" ");
            conn.queue(plan.data.flags_and_date(n).as_bytes());
            literal(&mut conn, &plan.data.message(n))?;
        }
        conn.queue(b"\r\n");
        conn.flush()?;
        conn.reply()?;
        there = end;
    }
    expect(
        "messages",
        plan.data.messages,
        messages(&mut conn, &mailbox)?,
    )?;
    check(plan, &mut conn)
}

/// Whether the mailbox is of this seed: its last message is.
fn check(plan: &Plan, conn: &mut Conn) -> io::Result<()> {
    let Some(last) = plan.data.messages.checked_sub(1) else {
        return Ok(());
    };
    conn.command(format_args!("EXAMINE {}", plan.data_box()))?;
    let (got, _) = conn.command_hashed(format_args!("FETCH {} (BODY.PEEK[])", last + 1))?;
    if got != [hash(&plan.data.message(last))] {
        return Err(io::Error::other(format!(
            "{} is there already and holds other messages: delete it, or take another --prefix",
            plan.data_box()
        )));
    }
    Ok(())
}

/// Queues a literal: at once if the server takes it so (RFC 7888), else when it is asked for.
pub(crate) fn literal(conn: &mut Conn, text: &[u8]) -> io::Result<()> {
    if conn.can("LITERAL+") || (conn.can("LITERAL-") && text.len() <= 4096) {
        conn.queue(format!(" {{{}+}}\r\n", text.len()).as_bytes());
    } else {
        conn.queue(format!(" {{{}}}\r\n", text.len()).as_bytes());
        conn.flush()?;
        conn.continuation()?;
    }
    conn.queue(text);
    Ok(())
}

/// APPEND of one message.
pub(crate) fn append(conn: &mut Conn, mailbox: &str, text: &[u8]) -> io::Result<u64> {
    send_append(conn, mailbox, text)?;
    Ok(conn.reply()?.octets)
}

/// All of APPEND but its reply.
pub(crate) fn send_append(conn: &mut Conn, mailbox: &str, text: &[u8]) -> io::Result<()> {
    conn.queue(format!("t APPEND {mailbox}").as_bytes());
    literal(conn, text)?;
    conn.queue(b"\r\n");
    conn.flush()
}

/// Messages in a mailbox, by STATUS.
pub(crate) fn messages(conn: &mut Conn, mailbox: &str) -> io::Result<u64> {
    status(conn, mailbox, "MESSAGES")
}

/// A figure of STATUS.
pub(crate) fn status(conn: &mut Conn, mailbox: &str, item: &str) -> io::Result<u64> {
    let (text, _) = conn.command_kept(format_args!("STATUS {mailbox} ({item})"))?;
    let text_of = String::from_utf8_lossy(&text);
    let value = text_of
        .rsplit_once(&format!("({item} "))
        .and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    value.ok_or_else(|| unexpected("STATUS", &text))
}

/// The names of mailboxes that match; they are all of ours, so they need no quotes.
fn names(conn: &mut Conn, pattern: &str) -> io::Result<Vec<String>> {
    let (text, _) = conn.command_kept(format_args!("LIST \"\" \"{pattern}\""))?;
    let text = String::from_utf8_lossy(&text);
    let lists = text.lines().filter(|line| line.starts_with("* LIST"));
    Ok(lists
        .filter_map(|line| Some(line.rsplit_once(' ')?.1.trim_matches('"').to_owned()))
        .collect())
}

/// A mailbox that is new and empty.
pub(crate) fn empty_box(conn: &mut Conn, mailbox: &str) -> io::Result<()> {
    if !names(conn, mailbox)?.is_empty() {
        conn.command(format_args!("DELETE {mailbox}"))?;
    }
    conn.command(format_args!("CREATE {mailbox}")).map(drop)
}

/// The mailboxes of the workloads `list` and `list-status`.
pub(crate) fn many_mailboxes(plan: &Plan) -> io::Result<()> {
    let mut conn = plan.login(0, 16 << 10)?;
    let there = names(&mut conn, &format!("{}-list-*", plan.prefix))?.len() as u64;
    for n in there..LIST_MAILBOXES {
        conn.command(format_args!("CREATE {}-list-{n}", plan.prefix))?;
    }
    Ok(())
}

/// Deletes all that the run made: mailboxes under its prefix, and what it delivered to INBOX.
pub(crate) fn clean(plan: &Plan) -> io::Result<()> {
    let users = match plan.user.contains("%d") {
        true => plan.users.min(plan.clients.max(plan.connections)),
        false => 1,
    };
    for user in 0..users {
        let mut conn = plan.login(user, 16 << 10)?;
        for name in names(&mut conn, &format!("{}-*", plan.prefix))? {
            conn.command(format_args!("DELETE {name}"))?;
        }
        clean_inbox(plan, &mut conn)?;
    }
    Ok(())
}

/// Its messages are known by their Message-IDs.
fn clean_inbox(plan: &Plan, conn: &mut Conn) -> io::Result<()> {
    conn.command(format_args!("SELECT INBOX"))?;
    let search = format_args!(
        "SEARCH HEADER Message-ID \".{:x}@bench.example.org\"",
        plan.data.seed
    );
    let (text, counts) = conn.command_kept(search)?;
    if counts.found == 0 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    let numbers: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("* SEARCH "))
        .flat_map(str::split_whitespace)
        .collect();
    // From the end, so that the numbers before stay what they are; and only these go.
    for some in numbers.chunks(500).rev() {
        let set = some.join(",");
        let (uids, _) = conn.command_kept(format_args!("FETCH {set} (UID)"))?;
        let uids = String::from_utf8_lossy(&uids);
        let uids: Vec<&str> = uids
            .lines()
            .filter_map(|line| line.split_once("(UID ")?.1.split([' ', ')']).next())
            .collect();
        let uids = uids.join(",");
        conn.command(format_args!("UID STORE {uids} +FLAGS.SILENT (\\Deleted)"))?;
        conn.command(format_args!("UID EXPUNGE {uids}"))?;
    }
    Ok(())
}
