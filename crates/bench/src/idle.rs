//! Many connections in IDLE: what they cost, and how soon they hear of a message.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::conn::Conn;
use crate::fill::append;
use crate::lmtp;
use crate::process;
use crate::report::{Report, Samples};
use crate::run::Plan;
use crate::writes::fresh;

/// How many messages are announced at most.
const MESSAGES: usize = 200;

/// How long that may take; some servers look for messages twice a second.
const LONGEST: Duration = Duration::from_secs(30);

/// With the first of the connections a server pages in its code and opens its users' accounts, which it does
/// once: so many come before the memory is measured, but no more than a tenth of all.
const FIRST: usize = 50;

/// Opens connections in IDLE and measures the growth of the server's memory, then tells how much
/// later than its acknowledgement a message is announced.
pub(crate) fn idle(plan: &Plan) -> io::Result<Report> {
    let memory = || {
        plan.pid
            .map(|pid| process::of_tree(pid, true).memory as f64)
    };
    // Let the server put away what it needs no more.
    let settle = || std::thread::sleep(Duration::from_secs(3));
    let mut idling = Vec::with_capacity(plan.connections);
    let first = FIRST.min(plan.connections / 10);
    for n in 0..first {
        idling.push(start(plan, n)?);
    }
    settle();
    let before = memory();
    let begin = Instant::now();
    for n in first..plan.connections {
        idling.push(start(plan, n)?);
    }
    let opened = begin.elapsed();
    settle();
    let after = memory();
    let mut report = announcements(plan, idling.pop())?;
    if let (Some(before), Some(after)) = (before, after) {
        let each = (after - before).max(0.0) / (plan.connections - first).max(1) as f64;
        report.extra.push(("memory_each", each / 1024.0, "KiB"));
        report.memory_mib = Some(after / 1048576.0);
    }
    report.clients = plan.connections;
    report.messages = plan.data.messages;
    let rate = (plan.connections - first) as f64 / opened.as_secs_f64();
    report.extra.push(("opened", rate, "connections/s"));
    drop(idling);
    Ok(report)
}

fn start(plan: &Plan, client: usize) -> io::Result<Conn> {
    let mut conn = plan.login(client, 512)?;
    conn.command(format_args!("SELECT INBOX"))?;
    conn.queue(b"t IDLE\r\n");
    conn.flush()?;
    conn.continuation()?;
    Ok(conn)
}

/// Who brings the messages: LMTP if there is an address for it, else APPEND.
enum Sender {
    Lmtp(Conn, String),
    Append(Conn),
}

impl Sender {
    fn new(plan: &Plan, client: usize) -> io::Result<Self> {
        if let Some(address) = &plan.lmtp {
            return Ok(Self::Lmtp(lmtp::open(address)?, plan.user_of(client)));
        }
        let mut conn = plan.login(client, 4096)?;
        conn.ask_capabilities()?;
        Ok(Self::Append(conn))
    }

    fn send(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Lmtp(conn, user) => lmtp::deliver(conn, user, text),
            Self::Append(conn) => append(conn, "INBOX", text).map(drop),
        }
    }
}

/// Brings messages to the user of a connection in IDLE, and compares the moment of the server's
/// acknowledgement with that of its `EXISTS`.
fn announcements(plan: &Plan, watcher: Option<Conn>) -> io::Result<Report> {
    let watcher = watcher.ok_or_else(|| io::Error::other("no connection in IDLE"))?;
    let client = plan.connections - 1;
    let told = watch(watcher);
    let mut sender = Sender::new(plan, client)?;
    let mut samples = Samples::default();
    let begin = Instant::now();
    let start = crate::nonce();
    for n in (0..MESSAGES).take_while(|_| begin.elapsed() < LONGEST) {
        sender.send(&fresh(plan, client, start + n))?;
        let acknowledged = Instant::now();
        let heard = told
            .recv_timeout(Duration::from_secs(60))
            .map_err(|_| io::Error::other("a message was not announced within a minute"))??;
        // It may be announced before the acknowledgement is read.
        samples.add(heard.saturating_duration_since(acknowledged), 0);
        std::thread::sleep(plan.pause);
    }
    Ok(Report::new("idle", begin.elapsed(), vec![samples]))
}

/// Tells when each EXISTS came. The thread ends with the connection, or with the process.
fn watch(mut watcher: Conn) -> mpsc::Receiver<io::Result<Instant>> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            let heard = match watcher.line() {
                Ok(line) if line.ends_with(b" EXISTS\r\n") => Ok(Instant::now()),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            let failed = heard.is_err();
            if tell.send(heard).is_err() || failed {
                return;
            }
        }
    });
    told
}
