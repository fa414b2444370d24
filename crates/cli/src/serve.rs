//! `restante serve`.

use std::net::SocketAddr;

use clap::Args;
use restante_server::config::{Config, DEFAULT_FILE};
use restante_server::{Origin, logging, prepare, serve};

use crate::Place;

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    place: Place,
    /// Listen here for IMAP with STARTTLS; `none` turns it off, port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    imap: Vec<Address>,
    /// Listen here for IMAP over TLS
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    imaps: Vec<Address>,
    /// Listen here for LMTP
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    lmtp: Vec<Address>,
    /// Allow passwords without TLS from other machines
    #[arg(long)]
    allow_plaintext_login: bool,
}

/// An address to listen on; `None` is the word `none`.
type Address = Option<SocketAddr>;

fn address(text: &str) -> Result<Address, String> {
    if text == "none" {
        return Ok(None);
    }
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse()
        .map(Some)
        .map_err(|_| "not an address such as 127.0.0.1:1143".to_owned())
}

impl ServeArgs {
    /// The configuration, with the flags on top.
    fn load(&self) -> Result<Config, String> {
        let mut config = self.place.load()?;
        let listen = &mut config.listen;
        for (flag, list) in [
            (&self.imap, &mut listen.imap),
            (&self.imaps, &mut listen.imaps),
            (&self.lmtp, &mut listen.lmtp),
        ] {
            if !flag.is_empty() {
                *list = flag.iter().copied().flatten().collect();
            }
        }
        config.login.allow_plaintext |= self.allow_plaintext_login;
        Ok(config)
    }
}

pub(crate) fn run(args: &ServeArgs) -> Result<(), String> {
    let config = args.load()?;
    let level = logging::start(&config.log);
    let again = args.clone();
    let file = args.place.config.clone();
    let origin = Origin {
        file: file.unwrap_or_else(|| DEFAULT_FILE.into()),
        load: Box::new(move || again.load()),
        level,
    };
    let prepared = prepare(&config, &origin).map_err(|error| error.to_string())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Without a number, one for each core.
    if config.server.workers > 0 {
        runtime.worker_threads(config.server.workers);
    }
    let runtime = runtime
        .on_thread_start(restante_server::thread_started)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime could not be started: {error}"))?;
    let result = runtime.block_on(serve(config, origin, prepared));
    // Whatever still blocks a thread must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn parse(args: &[&str]) -> ServeArgs {
        let args = ["restante", "serve"].iter().chain(args);
        match crate::Cli::try_parse_from(args).unwrap().command {
            crate::Command::Serve(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_override_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        let text = "[listen]\nimap = [\"127.0.0.1:1\"]\nimaps = [\"127.0.0.1:2\"]\n[server]\ndata = \"a\"\n";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let args = parse(&[
            "--config",
            file,
            "--imap",
            "localhost:0",
            "--lmtp",
            "none",
            "--data",
            "/b",
            "--allow-plaintext-login",
        ]);
        let config = args.load().unwrap();
        assert_eq!(config.listen.imap, ["127.0.0.1:0".parse().unwrap()]);
        assert_eq!(config.listen.imaps, ["127.0.0.1:2".parse().unwrap()]);
        assert!(config.listen.lmtp.is_empty());
        assert_eq!(config.data_dir(), std::path::Path::new("/b"));
        assert!(config.login.allow_plaintext);
    }

    #[test]
    fn a_name_is_not_an_address() {
        let args = ["restante", "serve", "--imap", "example.org:143"];
        assert!(crate::Cli::try_parse_from(args).is_err());
    }
}
