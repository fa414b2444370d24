//! A load generator for IMAP and LMTP servers: `restante bench`.
//!
//! It shares the machine with the server it measures, so it is cheap: a thread for each client, and a
//! reader that counts lines, hashes literals and looks into little else. (The client library takes
//! every response apart; it would need more processor time than the server.) All the same every
//! answer is checked: messages, flags, senders and dates follow from a seed, so what a search finds,
//! how long a list is and which bytes a body has is known beforehand. Who answers wrongly, or loses a
//! connection, ends the run.

mod conn;
mod data;
mod fill;
mod idle;
mod limits;
mod lmtp;
mod plot;
mod process;
mod reads;
mod report;
mod run;
mod tls;
mod users;
mod writes;

use std::io::{self, BufRead, Write};
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use crate::data::Data;
use crate::report::Report;
use crate::run::Plan;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Connect, log in, log out
    Login,
    /// Connect, a whole handshake of TLS 1.3, the greeting; needs --tls
    Handshake,
    /// APPEND one message at a time, each client to a mailbox of its own
    Append,
    /// APPEND one message at a time, all to one mailbox
    AppendShared,
    /// Deliver one message at a time by LMTP
    Lmtp,
    /// SELECT the large mailbox
    Select,
    /// UID FETCH 1:* (UID FLAGS)
    FetchFlags,
    /// ENVELOPE and BODYSTRUCTURE of 10,000 messages
    FetchEnvelope,
    /// The header fields that Thunderbird asks for, of 10,000 messages
    FetchHeaderFields,
    /// One whole message at a time
    FetchBody,
    /// 10,000 whole messages at a time
    FetchAll,
    /// A flag of one message
    StoreOne,
    /// A flag of all messages, silently
    StoreMany,
    /// SEARCH UNSEEN
    SearchFlags,
    /// SEARCH FROM
    SearchHeader,
    /// SEARCH SINCE
    SearchSince,
    /// SEARCH BODY
    SearchBody,
    /// SORT (SUBJECT DATE)
    Sort,
    /// THREAD REFERENCES
    Thread,
    /// COPY of 1,000 messages
    Copy,
    /// MOVE of 1,000 messages
    Move,
    /// EXPUNGE of 1,000 messages
    Expunge,
    /// LIST of 1,000 mailboxes
    List,
    /// LIST of 1,000 mailboxes with STATUS of each
    ListStatus,
    /// Twenty small commands in one write
    Pipelining,
    /// A telephone: connect, log in, QRESYNC, fetch the new message, IDLE, disconnect
    Churn,
    /// Commands of all kinds
    Mix,
    /// --connections in IDLE: memory of each, and time until a message is announced
    Idle,
    /// The machine's own limits, without a server: syncs, round trips, copies, handshakes of TLS
    Limits,
}

/// What to load, and how.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// What to do, in this order [default: all but limits, lmtp only with --lmtp, handshake only with --tls]
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<Workload>,
    /// Address of the IMAP server
    #[arg(long, default_value = "127.0.0.1:1143", value_name = "HOST:PORT")]
    imap: String,
    /// Address of the LMTP server
    #[arg(long, value_name = "HOST:PORT")]
    lmtp: Option<String>,
    /// Speak TLS from the first byte; any certificate is accepted
    #[arg(long)]
    tls: bool,
    /// User; "%d" in it is the number of the client, from 0
    #[arg(long, default_value = "")]
    user: String,
    /// How many users there are: the number of a client begins anew after that
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER")]
    users: usize,
    /// File with the password of all users [default: the environment's RESTANTE_BENCH_PASSWORD]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Let each operation of login and lmtp be another user's, instead of each client's
    #[arg(long, requires = "users")]
    spread: bool,
    /// What the names of the mailboxes begin with that are made, and deleted afterwards
    #[arg(long, default_value = "restante-bench", value_name = "NAME")]
    prefix: String,
    /// Messages in the large mailbox; several numbers make a curve
    #[arg(
        long,
        default_value = "1000",
        value_delimiter = ',',
        value_name = "NUMBERS"
    )]
    messages: Vec<u64>,
    /// Of these so many are different, and the others copies, made by COPY
    #[arg(long, value_name = "NUMBER")]
    distinct: Option<u64>,
    /// Let append and store-one work on copies of the whole large mailbox, instead of small ones
    #[arg(long)]
    in_large: bool,
    /// Mean octets of a message
    #[arg(long, default_value_t = 8192, value_name = "OCTETS")]
    size: u64,
    /// Clients at the same time; several numbers make a curve
    #[arg(
        long,
        default_value = "1",
        value_delimiter = ',',
        value_name = "NUMBERS"
    )]
    clients: Vec<usize>,
    /// Connections of the workload idle
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    connections: usize,
    /// How long `idle` waits between two messages: a server that puts connections away after some
    /// time does so again then
    #[arg(long, default_value_t = 0.005, value_name = "SECONDS")]
    pause: f64,
    /// How long each workload is measured
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long it runs before that
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    warm_up: f64,
    /// What all messages and all choices follow from
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// The server's first process, if it is on this machine: processor time and memory of it and of
    /// those it started
    #[arg(long)]
    pid: Option<u32>,
    /// Where `limits` writes its file: the disk to measure
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Print a line of JSON for each workload instead of a table
    #[arg(long)]
    json: bool,
    /// Write the results to a file, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the results into a file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Leave the mailboxes for the next run with the same seed
    #[arg(long)]
    keep: bool,
    /// Do not ask before writing
    #[arg(long)]
    yes: bool,
}

/// Runs the workloads.
///
/// # Errors
/// A sentence: who is not reached, answers wrongly or loses a connection.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut workloads = arguments.workloads.clone();
    if workloads.is_empty() {
        let all = Workload::value_variants().iter().copied();
        workloads = all
            .filter(|w| *w != Workload::Limits)
            .filter(|w| *w != Workload::Lmtp || arguments.lmtp.is_some())
            .filter(|w| *w != Workload::Handshake || arguments.tls)
            .collect();
    }
    if workloads.contains(&Workload::Limits) {
        limits::print(&arguments.dir, arguments.json).map_err(|e| format!("limits: {e}"))?;
        workloads.retain(|w| *w != Workload::Limits);
        if workloads.is_empty() {
            return Ok(());
        }
    }
    let base = plan(arguments)?;
    confirm(arguments, &base)?;
    let mut reports = Vec::new();
    let result = all(arguments, &base, &workloads, &mut reports);
    let cleaned = match arguments.keep {
        true => Ok(()),
        false => clean(arguments, &base),
    };
    write_files(arguments, &reports)?;
    result.and(cleaned)
}

fn plan(arguments: &Arguments) -> Result<Plan, String> {
    if arguments.user.is_empty() {
        return Err("the server's user is needed: --user NAME".to_owned());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if arguments.prefix.is_empty() || !arguments.prefix.chars().all(is_plain) {
        return Err("--prefix takes letters, digits, - and _".to_owned());
    }
    if arguments.messages.contains(&0) || arguments.clients.contains(&0) {
        return Err("--messages and --clients take numbers from 1".to_owned());
    }
    let time = |seconds: f64| {
        Duration::try_from_secs_f64(seconds).map_err(|_| format!("{seconds} is no time"))
    };
    Ok(Plan {
        imap: arguments.imap.clone(),
        lmtp: arguments.lmtp.clone(),
        tls: arguments.tls,
        user: arguments.user.clone(),
        users: arguments.users.max(1),
        password: password(arguments)?,
        prefix: arguments.prefix.clone(),
        clients: 1,
        warm_up: time(arguments.warm_up)?,
        duration: time(arguments.seconds)?,
        data: Data {
            seed: arguments.seed,
            size: arguments.size,
            messages: 0,
            distinct: arguments.distinct.unwrap_or(u64::MAX).max(1),
        },
        connections: arguments.connections.max(1),
        spread: arguments.spread,
        in_large: arguments.in_large,
        pause: time(arguments.pause)?,
        pid: arguments.pid,
    })
}

fn password(arguments: &Arguments) -> Result<String, String> {
    let Some(file) = &arguments.password_file else {
        return std::env::var("RESTANTE_BENCH_PASSWORD").map_err(|_| {
            "the password is needed: --password-file, or RESTANTE_BENCH_PASSWORD".to_owned()
        });
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Says what will be written where, and asks.
fn confirm(arguments: &Arguments, plan: &Plan) -> Result<(), String> {
    let local = |address: &str| {
        let mut found = address.to_socket_addrs().into_iter().flatten().peekable();
        found.peek().is_some() && found.all(|address| address.ip().is_loopback())
    };
    if arguments.yes {
        return Ok(());
    }
    let largest = arguments.messages.iter().max().copied().unwrap_or(0);
    eprintln!(
        "This loads the IMAP server {} as much as it can take, as user {}. It makes mailboxes whose \
         names begin with {}-, with up to {largest} messages of about {} octets; the workloads lmtp \
         and idle also put messages into INBOX. All of that is deleted afterwards{}.",
        plan.imap,
        plan.user,
        plan.prefix,
        arguments.size,
        if arguments.keep {
            ", but for --keep"
        } else {
            ""
        },
    );
    if !local(&plan.imap) {
        eprintln!("It is not on this machine: whoever uses it will notice.");
    }
    eprint!("Type yes to go on: ");
    let mut answer = String::new();
    let _ = io::stderr().flush();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err("nothing was done: it needs yes, or --yes".to_owned()),
    }
}

fn all(
    arguments: &Arguments,
    base: &Plan,
    workloads: &[Workload],
    reports: &mut Vec<Report>,
) -> Result<(), String> {
    if !arguments.json {
        println!("{}", Report::heading());
    }
    for &messages in &arguments.messages {
        let mut plan = base.clone();
        plan.data.messages = messages;
        fill::data_box(&plan).map_err(|e| format!("filling {}: {e}", plan.data_box()))?;
        for &clients in &arguments.clients {
            plan.clients = clients;
            for &workload in workloads {
                let report = one(workload, &plan).map_err(|error| {
                    let name = workload.to_possible_value();
                    let name = name.map_or(String::new(), |name| name.get_name().to_owned());
                    format!("{name} with {clients} clients: {error}")
                })?;
                println!(
                    "{}",
                    if arguments.json {
                        report.json()
                    } else {
                        report.text()
                    }
                );
                reports.push(report);
            }
        }
    }
    Ok(())
}

fn one(workload: Workload, plan: &Plan) -> io::Result<Report> {
    match workload {
        Workload::Login => users::login(plan),
        Workload::Handshake => users::handshake(plan),
        Workload::Append => writes::append(plan, false),
        Workload::AppendShared => writes::append(plan, true),
        Workload::Lmtp => writes::deliver(plan),
        Workload::Select => reads::select(plan),
        Workload::FetchFlags => reads::fetch_flags(plan),
        Workload::FetchEnvelope => reads::fetch_envelope(plan),
        Workload::FetchHeaderFields => reads::fetch_header_fields(plan),
        Workload::FetchBody => reads::fetch_body(plan),
        Workload::FetchAll => reads::fetch_all(plan),
        Workload::StoreOne => writes::store_one(plan),
        Workload::StoreMany => writes::store_many(plan),
        Workload::SearchFlags => reads::search_flags(plan),
        Workload::SearchHeader => reads::search_header(plan),
        Workload::SearchSince => reads::search_since(plan),
        Workload::SearchBody => reads::search_body(plan),
        Workload::Sort => reads::sort(plan),
        Workload::Thread => reads::thread(plan),
        Workload::Copy => writes::copy(plan),
        Workload::Move => writes::move_messages(plan),
        Workload::Expunge => writes::expunge(plan),
        Workload::List => reads::list(plan, false),
        Workload::ListStatus => reads::list(plan, true),
        Workload::Pipelining => reads::pipelining(plan),
        Workload::Churn => users::churn(plan),
        Workload::Mix => users::mixed(plan),
        Workload::Idle => idle::idle(plan),
        // Done before there was a plan.
        Workload::Limits => Err(io::Error::other("limits needs no server")),
    }
}

/// Deletes what the run made, also after an error.
fn clean(arguments: &Arguments, base: &Plan) -> Result<(), String> {
    let mut plan = base.clone();
    plan.clients = arguments.clients.iter().max().copied().unwrap_or(1);
    fill::clean(&plan).map_err(|error| {
        let prefix = &plan.prefix;
        format!("mailboxes that begin with {prefix}- may be left: {error}")
    })
}

fn write_files(arguments: &Arguments, reports: &[Report]) -> Result<(), String> {
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    if let Some(path) = &arguments.csv {
        let lines = reports.iter().map(Report::csv);
        let heading = Report::CSV_COLUMNS.join(",");
        let lines: Vec<String> = std::iter::once(heading).chain(lines).collect();
        write(path, lines.join("\n") + "\n")?;
    }
    if let Some(path) = &arguments.plot {
        write(path, plot::svg(reports))?;
    }
    Ok(())
}

/// A number that no earlier run has used.
fn nonce() -> usize {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    (since.unwrap_or_default().as_millis() as usize & 0xff_ffff) * 100
}
