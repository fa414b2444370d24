//! The `restante` command.

mod acl;
mod admin;
mod check;
mod check_config;
mod export;
mod import;
mod import_maildir;
mod import_mbox;
mod logins;
mod purge;
mod recover;
mod serve;
mod undelete;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use restante_server::config::Config;

/// An IMAP server whose mailboxes are logs.
#[derive(Debug, Parser)]
#[command(name = "restante", version, about, long_about = None, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Add, list and change users (also while the server runs).
    #[command(subcommand)]
    User(user::UserCommand),
    /// Check a configuration file, or print a commented example.
    #[command(subcommand)]
    Config(check_config::ConfigCommand),
    /// Bring mail from a Maildir or an mbox, with flags and UIDs (also while the server runs).
    Import(import::ImportArgs),
    /// Write a user's mail to a Maildir.
    Export(export::ExportArgs),
    /// Bring back messages that were expunged, or a mailbox that was deleted (also while the server runs).
    Undelete(undelete::UndeleteArgs),
    /// Delete messages at once and for good, from the disk too (also while the server runs).
    Purge(purge::PurgeArgs),
    /// Check that the data is whole (also while the server runs).
    Check(check::CheckArgs),
    /// Copy the store to a new directory, also while the server runs.
    Backup(check::BackupArgs),
    /// Make data usable again that the server refuses to open, without what was lost.
    Recover(recover::RecoverArgs),
    /// Who waits because of failed logins, and how to forgive them.
    #[command(subcommand)]
    Throttle(logins::ThrottleCommand),
    /// What others may do with a user's mailboxes (also while the server runs).
    #[command(subcommand)]
    Acl(acl::AclCommand),
    /// Load an IMAP server, this one or any other, and measure it.
    Bench(restante_bench::Arguments),
    /// Keep a process that starts others for checks of PAM, for the server
    #[command(hide = true)]
    PamKeeper,
    /// Start a process for each check of PAM, for the server
    #[command(hide = true)]
    PamBroker,
    /// Do one check of PAM, for the server
    #[command(hide = true)]
    PamCheck,
    /// Say how the running server is.
    Status(Place),
    /// Have the running server read its configuration and certificates again, as SIGHUP does.
    Reload(Place),
}

/// Which server, or which data: the same for all commands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The configuration file [default: /etc/restante/restante.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

impl Place {
    /// The configuration, with the flags on top.
    pub(crate) fn load(&self) -> Result<Config, String> {
        let mut config = Config::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        if let Some(data) = &self.data {
            config.server.data.clone_from(data);
        }
        Ok(config)
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::User(command) => user::run(&command),
        Command::Config(command) => check_config::run(&command),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Undelete(args) => undelete::run(&args),
        Command::Purge(args) => purge::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Backup(args) => check::backup(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Throttle(command) => logins::throttle(&command),
        Command::Acl(command) => acl::run(&command),
        Command::Bench(args) => restante_bench::run(&args),
        Command::PamKeeper => restante_server::pam::run_keeper(),
        Command::PamBroker => restante_server::pam::run_broker(),
        Command::PamCheck => return restante_server::pam::run_worker(),
        Command::Status(place) => admin::status(&place),
        Command::Reload(place) => admin::reload(&place),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("restante: {message}");
            ExitCode::FAILURE
        }
    }
}
