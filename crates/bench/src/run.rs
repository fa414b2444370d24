//! How a workload runs: many clients at once, one operation after the other, some of them to warm up.
//!
//! Where an operation is short, few threads serve all clients ([`run_steps`]): a thread for each
//! would be woken for every answer, which costs more than all that is done with it, and takes it from
//! the server on the same cores.

use std::io;
use std::ops::ControlFlow;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::conn::{Conn, PATIENCE, unexpected};
use crate::data::{Data, mix};
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
    /// Each operation of `login` and `lmtp` is another user's.
    pub(crate) spread: bool,
    /// `append` and `store-one` work on copies of the whole large mailbox.
    pub(crate) in_large: bool,
    /// How long `idle` waits between two messages.
    pub(crate) pause: Duration,
    pub(crate) pid: Option<u32>,
}

impl Plan {
    /// The user of a client: `%d` in its name is the client's number, or what is left of it by the
    /// number of users.
    pub(crate) fn user_of(&self, client: usize) -> String {
        self.user.replace("%d", &(client % self.users).to_string())
    }

    /// The number of the user whose operation it is.
    pub(crate) fn user_number(&self, client: usize, operation: usize) -> usize {
        match self.spread {
            true => mix(client as u64, operation as u64) as usize % self.users,
            false => client % self.users,
        }
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
    measure(name, plan, plan.clients, |client, barrier| {
        let prepared = prepare(client);
        barrier.wait();
        Ok(vec![one_client(plan, prepared?, &operate)?])
    })
}

/// What comes after a step of an operation: the server's answer, or the next operation.
pub(crate) type Step = ControlFlow<Done>;

/// As [`run`], for operations that are short. `step` is called with the client's connection, its
/// state, the number of the operation and the number of the step: 0 to begin, and then each time
/// that something was received since. It sends all that the server needs to answer.
pub(crate) fn run_steps<S: Send>(
    name: &str,
    plan: &Plan,
    prepare: impl Fn(usize) -> io::Result<(Conn, S)> + Sync,
    step: impl Fn(&mut Conn, &mut S, usize, usize) -> io::Result<Step> + Sync,
) -> io::Result<Report> {
    // Half of the cores are left to the server.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / 2).clamp(1, plan.clients);
    measure(name, plan, threads, |thread, barrier| {
        let clients = (thread..plan.clients).step_by(threads);
        let prepared: io::Result<Vec<_>> = clients.map(&prepare).collect();
        barrier.wait();
        many_clients(plan, prepared?, &step)
    })
}

/// Measures what the threads do after the barrier at which all wait.
fn measure(
    name: &str,
    plan: &Plan,
    threads: usize,
    work: impl Fn(usize, &Barrier) -> io::Result<Vec<Samples>> + Sync,
) -> io::Result<Report> {
    let barrier = Barrier::new(threads + 1);
    let usage = |with_memory| plan.pid.map(|pid| process::of_tree(pid, with_memory));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || work(thread, barrier))
            })
            .collect();
        // Nobody begins before this was read.
        let before = usage(false);
        let own_before = process::own_time();
        barrier.wait();
        let begin = Instant::now() + plan.warm_up;
        let samples: io::Result<Vec<Vec<Samples>>> = threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            })
            .collect();
        let after = usage(true);
        let own = process::own_time().saturating_sub(own_before);
        let samples = samples?.concat();
        let longest = samples.iter().map(|s| s.busy).max().unwrap_or_default();
        let operations: u64 = samples.iter().map(|s| s.all).sum();
        let partly = samples.iter().any(|s| s.partly);
        let wall = if partly { longest } else { begin.elapsed() };
        let mut report = Report::new(name, wall, samples);
        report.all = operations;
        report.messages = plan.data.messages;
        // Where not all is timed, what is not cannot be told apart.
        let each = |time: Duration| time.as_secs_f64() * 1000.0 / operations.max(1) as f64;
        report.own_cpu_ms = (!partly).then(|| each(own));
        if let (Some(before), Some(after)) = (before, after) {
            report.cpu_ms = (!partly).then(|| each(after.cpu.saturating_sub(before.cpu)));
            report.memory_mib = Some(after.memory as f64 / 1048576.0);
        }
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
        samples.note(&done, begin, warm, Instant::now());
    }
    Ok(samples)
}

/// Where a client of [`many_clients`] is.
struct Client<S> {
    conn: Conn,
    state: S,
    samples: Samples,
    operation: usize,
    step: usize,
    begin: Instant,
}

impl<S> Client<S> {
    /// Goes on until there is something to wait for, or (false) the time is over.
    fn go_on(
        &mut self,
        (warm, deadline): (Instant, Instant),
        step: &impl Fn(&mut Conn, &mut S, usize, usize) -> io::Result<Step>,
    ) -> io::Result<bool> {
        loop {
            let next = step(&mut self.conn, &mut self.state, self.operation, self.step)?;
            let ControlFlow::Break(done) = next else {
                self.step += 1;
                return Ok(true);
            };
            let now = Instant::now();
            self.samples.note(&done, self.begin, warm, now);
            if now >= deadline && !self.samples.micros.is_empty() {
                return Ok(false);
            }
            (self.operation, self.step, self.begin) = (self.operation + 1, 0, now);
        }
    }
}

/// As [`one_client`], for many in one thread.
fn many_clients<S>(
    plan: &Plan,
    prepared: Vec<(Conn, S)>,
    step: &impl Fn(&mut Conn, &mut S, usize, usize) -> io::Result<Step>,
) -> io::Result<Vec<Samples>> {
    let warm = Instant::now() + plan.warm_up;
    let times = (warm, warm + plan.duration);
    let mut clients: Vec<_> = prepared
        .into_iter()
        .map(|(conn, state)| Client {
            conn,
            state,
            samples: Samples::default(),
            operation: 0,
            step: 0,
            begin: Instant::now(),
        })
        .collect();
    let mut over = Vec::with_capacity(clients.len());
    for client in &mut clients {
        client.begin = Instant::now();
        over.push(!client.go_on(times, step)?);
    }
    while over.contains(&false) {
        let ready = readable(clients.iter().map(|client| &client.conn), &over)?;
        for ((client, over), ready) in clients.iter_mut().zip(&mut over).zip(ready) {
            if ready && !*over {
                *over = !client.go_on(times, step)?;
            }
        }
    }
    Ok(clients.into_iter().map(|client| client.samples).collect())
}

/// Waits until one of the connections, but for those that are over, has something to read.
fn readable<'a>(conns: impl Iterator<Item = &'a Conn>, over: &[bool]) -> io::Result<Vec<bool>> {
    let flags = |over: &bool| match over {
        true => PollFlags::empty(),
        false => PollFlags::IN,
    };
    let mut waiting: Vec<_> = conns
        .zip(over)
        .map(|(conn, over)| PollFd::new(conn, flags(over)))
        .collect();
    let patience = Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    };
    if poll(&mut waiting, Some(&patience))? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server does not answer",
        ));
    }
    // What failed is read too, for its error.
    Ok(waiting.iter().map(|fd| !fd.revents().is_empty()).collect())
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
