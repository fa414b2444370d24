//! The log: structured lines on standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Changes the level of a running log.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Sets the level or filters, as `log.level` in the file. An invalid one changes nothing.
    pub fn set(&self, level: &str) {
        match filter(level) {
            Ok(filter) => {
                if let Err(error) = self.0.reload(filter) {
                    tracing::warn!(%error, "the log level could not be changed");
                }
            }
            Err(error) => tracing::warn!(%error, "log.level is not valid; it stays as it was"),
        }
    }
}

/// The filter for a level. The index's own messages are of no use to an operator, unless asked for.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    format!("fjall=warn,lsm_tree=warn,{level}").parse()
}

/// Checks a level or filters without setting them.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    if level.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    // A word that is not a level would be taken for the name of a module: silence.
    for directive in level.split(',').map(str::trim) {
        if !directive.contains('=')
            && directive
                .parse::<tracing::level_filters::LevelFilter>()
                .is_err()
        {
            return Err(format!(
                "`{directive}` is not a level (off, error, warn, info, debug, trace)"
            ));
        }
    }
    level
        .parse::<EnvFilter>()
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Starts logging for the whole process. A second call changes nothing and returns `None`.
pub fn start(settings: &Log) -> Option<LogLevel> {
    let filter = filter(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let human = match settings.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let started = if human {
        registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .try_init()
    } else {
        registry
            .with(lines.json().flatten_event(true).with_current_span(false))
            .try_init()
    };
    started.ok().map(|()| LogLevel(handle))
}

#[cfg(test)]
mod tests {
    use super::check_level;

    #[test]
    fn levels() {
        for good in [
            "info",
            "debug",
            "INFO",
            "info,restante_session=debug",
            "off",
        ] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
        for bad in ["", " ", "loud", "info,loud", "restante=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
