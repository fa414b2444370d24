//! `restante recover`.

use clap::Args;
use restante_server::storage;

use crate::{Place, admin::block_on};

/// Going on after a loss.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    place: Place,
    /// Yes: go on without what cannot be read any more. Restore a backup instead if there is one
    #[arg(long, required = true)]
    accept_loss: bool,
}

pub(crate) fn run(args: &RecoverArgs) -> Result<(), String> {
    let config = args.place.load()?;
    block_on(async {
        let recovered = storage::recover(&config)
            .await
            .map_err(|error| error.to_string())?;
        let report = &recovered.report;
        if report.was_whole && recovered.accounts_told == 0 && !recovered.directory_touched {
            println!("The data is whole; nothing was changed.");
            return Ok(());
        }
        for damage in &report.damage {
            println!("Damaged: {damage}");
        }
        for (first, last) in &report.lost {
            println!("Lost: commits {first} to {last}");
        }
        if recovered.directory_touched {
            println!("The list of users may have lost changes: see `restante user list`.");
        }
        println!(
            "{} accounts lost something or may have; their clients will fetch everything again.",
            recovered.accounts_told
        );
        Ok(())
    })
}
