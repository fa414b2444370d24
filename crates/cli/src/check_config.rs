//! `restante config`.

use std::path::PathBuf;

use clap::Subcommand;
use restante_server::config::{Config, DEFAULT_FILE, example};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file and say what is wrong with it
    Check {
        /// The file [default: /etc/restante/restante.toml]
        file: Option<PathBuf>,
    },
    /// Print a file with all settings, explained, at their defaults
    Example,
}

pub(crate) fn run(command: &ConfigCommand) -> Result<(), String> {
    match command {
        ConfigCommand::Check { file } => {
            let file = file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
            let config = Config::load(Some(&file)).map_err(|error| error.to_string())?;
            println!("{}: valid", file.display());
            let wrong = restante_server::check_service(&file, &config);
            if !wrong.is_empty() {
                return Err(format!("but on this machine:\n{}", wrong.join("\n")));
            }
        }
        ConfigCommand::Example => {
            print!("{}", example().map_err(|error| error.to_string())?);
        }
    }
    Ok(())
}
