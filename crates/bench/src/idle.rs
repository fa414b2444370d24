//! Many connections in IDLE: what they cost, and how soon they hear of a delivery.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::conn::Conn;
use crate::lmtp;
use crate::memory;
use crate::message::message;
use crate::report::{Report, Samples};
use crate::workload::Plan;

/// Opens `count` connections in IDLE and measures the growth of the server's memory, then tells
/// how much later than its acknowledgement a delivery is announced.
pub(crate) fn idle(plan: &Plan, pid: Option<u32>) -> io::Result<Report> {
    let before = pid.map(memory::of_tree);
    let begin = Instant::now();
    let mut idling = Vec::with_capacity(plan.count);
    for n in 0..plan.count {
        idling.push(start(plan, n)?);
    }
    let opened = begin.elapsed();
    // Let the server put away what it needs no more.
    std::thread::sleep(Duration::from_secs(2));
    let after = pid.map(memory::of_tree);
    let mut report = announcements(plan, idling.pop())?;
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.saturating_sub(before) as f64 / plan.count.max(1) as f64;
        report
            .extra
            .push(("memory_per_connection", each / 1024.0, "KiB"));
        report
            .extra
            .push(("memory", after as f64 / 1048576.0, "MiB"));
    }
    report.clients = plan.count;
    report.extra.push((
        "opened",
        plan.count as f64 / opened.as_secs_f64(),
        "connections/s",
    ));
    drop(idling);
    Ok(report)
}

fn start(plan: &Plan, client: usize) -> io::Result<Conn> {
    let mut conn = plan.login(client, 512)?;
    conn.command(format_args!("SELECT {}", plan.mailbox))?;
    conn.queue(b"t IDLE\r\n");
    conn.flush()?;
    conn.continuation()?;
    Ok(conn)
}

/// Delivers to the user of a connection in IDLE, and compares the moment of the server's 250 with
/// that of its `EXISTS`.
fn announcements(plan: &Plan, watcher: Option<Conn>) -> io::Result<Report> {
    let Some(mut watcher) = watcher else {
        return Err(io::Error::other("no connection in IDLE"));
    };
    let user = plan.user_of(plan.count - 1);
    let (tell, told) = mpsc::channel::<io::Result<Instant>>();
    let watching = std::thread::spawn(move || {
        loop {
            let heard = loop {
                match watcher.line() {
                    Ok(line) if line.ends_with(b" EXISTS\r\n") => break Ok(Instant::now()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
            };
            let failed = heard.is_err();
            if tell.send(heard).is_err() || failed {
                return;
            }
        }
    });
    let mut conn = lmtp::open(&plan.lmtp)?;
    let mut samples = Samples::default();
    let begin = Instant::now();
    for _ in 0..100 {
        lmtp::deliver(&mut conn, &user, &message(plan.octets))?;
        let acknowledged = Instant::now();
        let heard = told
            .recv_timeout(Duration::from_secs(60))
            .map_err(|_| io::Error::other("a delivery was not announced within a minute"))??;
        // It may be announced before the acknowledgement is read.
        samples.add(heard.saturating_duration_since(acknowledged), 0);
        std::thread::sleep(Duration::from_millis(5));
    }
    let report = Report::new("idle", begin.elapsed(), vec![samples]);
    // The watcher ends with the connection, or with the process.
    drop((told, watching));
    Ok(report)
}
