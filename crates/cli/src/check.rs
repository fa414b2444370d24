//! `restante check` and `restante backup`: the data as a whole.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use restante_server::admin::{Reply, Request};
use restante_server::config::Size;

use crate::Place;
use crate::admin::{block_on, call};

/// For who has problems.
const WHAT_TO_DO: &str = "\
Nothing was changed. Copy the data directory before anything else, and look for errors of the disk in
the kernel's log. Messages that cannot be read can be had from a backup: serve it on another port, and
`restante export` there, `restante import` here. A damaged index is rebuilt when the server starts and
DATA/store/rebuild-index exists. If the server refuses to start, see `restante recover --help`.";

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Only this user's mail
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read every message, too, and compare it with its checksum
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where to: a directory that does not exist yet, or is empty. It can be served from as it is
    /// (as DATA/store)
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// `restante backup`.
pub(crate) fn backup(args: &BackupArgs) -> Result<(), String> {
    let to = std::path::absolute(&args.to).map_err(|error| error.to_string())?;
    let reply = block_on(call(&args.place, Request::Backup { to }))?;
    let Reply::Copied {
        commit,
        files,
        bytes,
    } = reply
    else {
        return Err("an unexpected answer".to_owned());
    };
    println!("Copied up to commit {commit}: {files} files, {bytes} bytes.");
    Ok(())
}

/// `restante check`.
pub(crate) fn run(args: &CheckArgs) -> Result<(), String> {
    let start = Instant::now();
    let request = Request::Check {
        user: args.user.clone(),
        deep: args.deep,
    };
    let Reply::Checked {
        accounts,
        mailboxes,
        messages,
        bytes_read,
        problems,
    } = block_on(call(&args.place, request))?
    else {
        return Err("an unexpected answer".to_owned());
    };
    for problem in &problems {
        println!("{problem}");
    }
    print!("{accounts} accounts, {mailboxes} mailboxes, {messages} messages");
    if args.deep {
        print!(", {} read", Size(bytes_read));
    }
    println!(", in {:.1} s", start.elapsed().as_secs_f64());
    if !problems.is_empty() {
        println!("{WHAT_TO_DO}");
    }
    match problems.len() {
        0 => {
            println!("All is well.");
            Ok(())
        }
        1 => Err("1 problem".to_owned()),
        many => Err(format!("{many} problems")),
    }
}
