//! A load generator for IMAP and LMTP servers.
//!
//! It shares the machine with the server it measures, so it is cheap: a thread for each client, no
//! parsing beyond counting lines and skipping literals. It verifies counts, so that a server is not
//! fast by leaving things out.

mod conn;
mod idle;
mod lmtp;
mod memory;
mod message;
mod report;
mod tls;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Connect, log in, log out
    Login,
    /// APPEND one message at a time
    Append,
    /// Deliver one message at a time by LMTP
    Lmtp,
    /// SELECT the mailbox again and again
    Select,
    /// UID FETCH 1:* (FLAGS)
    FetchFlags,
    /// ENVELOPE and BODYSTRUCTURE of 10,000 messages
    FetchEnvelope,
    /// One whole message at a time
    FetchBody,
    /// A flag of one message
    StoreOne,
    /// A flag of all messages
    StoreMany,
    /// Connections in IDLE: memory of --pid, and time until a delivery is announced
    Idle,
    /// Fill the mailbox up to --count messages
    Fill,
}

#[derive(Debug, Parser)]
#[command(
    name = "restante-bench",
    version,
    about = "Loads an IMAP server and measures it"
)]
struct Arguments {
    /// What to do, in this order
    #[arg(required = true)]
    workloads: Vec<Workload>,
    /// Address of the IMAP server
    #[arg(long, default_value = "127.0.0.1:1143")]
    imap: String,
    /// Address of the LMTP server
    #[arg(long, default_value = "127.0.0.1:1124")]
    lmtp: String,
    /// Speak TLS from the first byte; any certificate is accepted
    #[arg(long)]
    tls: bool,
    /// User; "%d" in it is the number of the client, from 0
    #[arg(long)]
    user: String,
    /// How many users there are: the number of a client begins anew after that
    #[arg(long, default_value_t = 1_000_000)]
    users: usize,
    /// Password of all users
    #[arg(long)]
    password: String,
    /// Mailbox
    #[arg(long, default_value = "INBOX")]
    mailbox: String,
    /// Clients at the same time
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How long each workload runs
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Octets of a message
    #[arg(long, default_value_t = 10_240)]
    size: usize,
    /// Messages for fill, connections for idle
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// The server's first process: its memory, and that of those it started
    #[arg(long)]
    pid: Option<u32>,
    /// Print JSON, one line for each workload
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = workload::Plan {
        imap: arguments.imap,
        lmtp: arguments.lmtp,
        tls: arguments.tls,
        user: arguments.user,
        users: arguments.users.max(1),
        password: arguments.password,
        mailbox: arguments.mailbox,
        clients: arguments.clients.max(1),
        duration: Duration::from_secs(arguments.seconds),
        octets: arguments.size,
        count: arguments.count,
    };
    for workload in arguments.workloads {
        let result = match workload {
            Workload::Login => workload::login(&plan),
            Workload::Append => workload::append(&plan),
            Workload::Lmtp => workload::deliver(&plan),
            Workload::Select => workload::select(&plan),
            Workload::FetchFlags => workload::fetch_flags(&plan),
            Workload::FetchEnvelope => workload::fetch_envelope(&plan),
            Workload::FetchBody => workload::fetch_body(&plan),
            Workload::StoreOne => workload::store_one(&plan),
            Workload::StoreMany => workload::store_many(&plan),
            Workload::Idle => idle::idle(&plan, arguments.pid),
            Workload::Fill => workload::fill(&plan),
        };
        match result {
            Ok(report) if arguments.json => println!("{}", report.json()),
            Ok(report) => println!("{}", report.text()),
            Err(error) => {
                eprintln!("{workload:?}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
