//! How a workload runs: many clients at once, one operation after the other, some of them to warm up.

use std::io;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::conn::{Conn, unexpected};
use crate::data::Data;
use crate::process;
use crate::report::{Report, Samples};

/// What to load, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) imap: String,
    pub(crate) lmtp: Option<String>,
    pub(crate) tls: bool,
    pub(crate) user: String,
    /// How many users there are.
    pub(crate) users: usize,
    pub(crate) password: String,
    pub(crate) prefix: String,
    pub(crate) clients: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) data: Data,
    pub(crate) connections: usize,
    pub(crate) pid: Option<u32>,
}

impl Plan {
    /// The user of a client: `%d` in its name is the client's number, or what is left of it by the
    /// number of users.
    pub(crate) fn user_of(&self, client: usize) -> String {
        self.user.replace("%d", &(client % self.users).to_string())
    }

    pub(crate) fn login(&self, client: usize, buffer: usize) -> io::Result<Conn> {
        let user = self.user_of(client);
        Conn::login(&self.imap, self.tls, &user, &self.password, buffer)
    }

    /// The large mailbox, of the first user.
    pub(crate) fn data_box(&self) -> String {
        format!("{}-data-{}", self.prefix, self.data.messages)
    }

    /// A mailbox of a client's own.
    pub(crate) fn own_box(&self, what: &str, client: usize) -> String {
        format!("{}-{what}-{client}", self.prefix)
    }

    /// The first user's connection with the large mailbox selected.
    pub(crate) fn selected(&self) -> io::Result<Conn> {
        let mut conn = self.login(0, 256 << 10)?;
        let counts = conn.command(format_args!("SELECT {}", self.data_box()))?;
        expect("messages", self.data.messages, counts.exists.unwrap_or(0))?;
        Ok(conn)
    }
}

/// What an operation brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) octets: u64,
    /// What counts of its time, where not all does.
    pub(crate) took: Option<Duration>,
    /// The server did nothing in the time that does not count.
    pub(crate) whole: bool,
}

impl Done {
    pub(crate) fn octets(octets: u64) -> Self {
        Self {
            octets,
            took: None,
            whole: true,
        }
    }

    /// What was not timed is what was needed to make the operation possible.
    pub(crate) fn timed(octets: u64, since: Instant) -> Self {
        let took = Some(since.elapsed());
        Self {
            octets,
            took,
            whole: false,
        }
    }
}

/// Runs `operate` for every client, all from the same moment on; each makes one operation after the
/// other until the time is over, at least one.
pub(crate) fn run<S>(
    name: &str,
    plan: &Plan,
    prepare: impl Fn(usize) -> io::Result<S> + Sync,
    operate: impl Fn(&mut S, usize) -> io::Result<Done> + Sync,
) -> io::Result<Report> {
    let barrier = Barrier::new(plan.clients + 1);
    let usage = |with_memory| plan.pid.map(|pid| process::of_tree(pid, with_memory));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|client| {
                let (barrier, prepare, operate) = (&barrier, &prepare, &operate);
                scope.spawn(move || {
                    let prepared = prepare(client);
                    barrier.wait();
                    one_client(plan, prepared?, operate)
                })
            })
            .collect();
        // Nobody begins before this was read.
        let before = usage(false);
        barrier.wait();
        let begin = Instant::now() + plan.warm_up;
        let samples: io::Result<Vec<Samples>> = clients
            .into_iter()
            .map(|client| {
                client
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            })
            .collect();
        let after = usage(true);
        let samples = samples?;
        let longest = samples.iter().map(|s| s.busy).max().unwrap_or_default();
        let operations: u64 = samples.iter().map(|s| s.all).sum();
        let partly = samples.iter().any(|s| s.partly);
        let wall = if partly { longest } else { begin.elapsed() };
        let mut report = Report::new(name, wall, samples);
        report.all = operations;
        if let (Some(before), Some(after)) = (before, after) {
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0;
            // Where not all is timed, what is not cannot be told apart.
            report.cpu_ms = (!partly).then(|| cpu / operations.max(1) as f64);
            report.memory_mib = Some(after.memory as f64 / 1048576.0);
        }
        report.messages = plan.data.messages;
        Ok(report)
    })
}

fn one_client<S>(
    plan: &Plan,
    mut state: S,
    operate: &impl Fn(&mut S, usize) -> io::Result<Done>,
) -> io::Result<Samples> {
    let warm = Instant::now() + plan.warm_up;
    let deadline = warm + plan.duration;
    let mut samples = Samples::default();
    for n in 0.. {
        let begin = Instant::now();
        if begin >= deadline && !samples.micros.is_empty() {
            break;
        }
        let done = operate(&mut state, n)?;
        samples.all += 1;
        samples.partly |= !done.whole;
        if begin >= warm {
            samples.add(done.took.unwrap_or_else(|| begin.elapsed()), done.octets);
        }
    }
    Ok(samples)
}

/// An error unless a count is what it must be.
pub(crate) fn expect(what: &str, wanted: u64, got: u64) -> io::Result<()> {
    if wanted == got {
        return Ok(());
    }
    Err(unexpected(
        &format!("{wanted} {what}"),
        got.to_string().as_bytes(),
    ))
}
