//! What is wrong with a configuration: file, line, key, reason.

use std::fmt;
use std::path::PathBuf;

/// What is wrong with a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1, if it is known.
    pub line: Option<usize>,
    /// `section.key`, if the trouble is about one.
    pub key: Option<String>,
    /// What is wrong, in a sentence.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl ConfigError {
    pub(super) fn from_toml(file: PathBuf, text: &str, error: &toml::de::Error) -> ConfigError {
        let reason = error
            .message()
            .replace("unknown field", "unknown key")
            .replace('\n', "; ");
        let Some(span) = error.span() else {
            return ConfigError {
                file,
                line: None,
                key: None,
                reason,
            };
        };
        let start = span.start.min(text.len());
        let before = text.as_bytes()[..start]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        ConfigError {
            file,
            line: Some(before + 1),
            key: key_at(text, before),
            reason,
        }
    }
}

/// The key that line `index` (from 0) sets, with the section it stands in. Good enough for
/// messages: a key of a multi-line value is found on its first line only.
fn key_at(text: &str, index: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(index + 1).collect();
    let name = |line: &str| {
        let key = line.split_once('=')?.0.trim().trim_matches('"');
        (!key.is_empty() && !key.starts_with('#')).then(|| key.to_owned())
    };
    let header = |line: &&str| {
        let line = line.trim().strip_prefix('[')?;
        Some(line.split(']').next()?.trim_matches(['[', ' ']).to_owned())
    };
    let last = lines.get(index)?;
    if let Some(section) = header(last) {
        return Some(section);
    }
    let key = lines.iter().rev().find_map(|line| name(line))?;
    Some(match lines.iter().rev().find_map(header) {
        Some(section) => format!("{section}.{key}"),
        None => key,
    })
}

/// The line (from 1) on which `section.key` is set, if the file sets it.
pub(super) fn line_of(text: &str, section: &str, key: &str) -> Option<usize> {
    let mut inside = section.is_empty();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            inside = header.split(']').next() == Some(section);
        } else if inside
            && line
                .split_once('=')
                .is_some_and(|(name, _)| name.trim() == key)
        {
            return Some(index + 1);
        }
    }
    None
}

/// The line (from 1) on which the `table`th (from 0) `[[section]]` sets `key`; its first line if it does
/// not.
pub(super) fn line_of_table(text: &str, section: &str, table: usize, key: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let header = format!("[[{section}]]");
    let start = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with(&header))
        .map(|(index, _)| index)
        .nth(table)?;
    let keys = lines[start + 1..].iter();
    let keys = keys.take_while(|line| !line.starts_with('['));
    let at = keys.enumerate().find(|(_, line)| {
        line.split_once('=')
            .is_some_and(|(name, _)| name.trim() == key)
    });
    Some(at.map_or(start + 1, |(offset, _)| start + 2 + offset))
}
