//! Where users come from: `[[users]]`, one table for each source, in the order in which they are asked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sources::Template;

/// What the example says of it. Lines that begin with `#   ` are such tables.
pub(super) const EXAMPLE: &str = r##"
# Where users come from. Without any such table: from the directory, which `restante user` fills. With some,
# they are asked in this order, and the first that knows a user decides. A source with domains is asked
# for users of these only ("": names without a domain). With make_accounts a user whom the source knows
# gets an account at the first login or the first mail; otherwise `restante user add --no-password` makes it.
# App passwords, tokens and certificates work for all who have an account.
#
#   [[users]]
#   source = "directory"
#   domains = ["example.org", ""]
#
# A file as Dovecot has it, user:{SCHEME}hash:uid:gid:gecos:home:shell:extra. It is read again when it
# changes. nologin and allow_nets of the extra fields are heeded. `name` is what a user is called in the
# file: %u is the whole name, %n the part before the @, %d the domain.
#
#   [[users]]
#   source = "passwd-file"
#   file = "/etc/restante/users"
#   name = "%u"
#   domains = ["example.net"]
#   make_accounts = true
"##;

/// One source of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSource {
    /// Which kind.
    pub source: SourceKind,
    /// Of which domains' users it is asked; empty: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Whether users without an account get one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub make_accounts: bool,
    /// The passwd-file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What a user is called there: `%u`, `%n`, `%d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// The embedded one.
    Directory,
    /// Dovecot's.
    PasswdFile,
}

impl SourceKind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Directory => "directory",
            SourceKind::PasswdFile => "passwd-file",
        }
    }

    /// The keys that it has beside `source` and `domains`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            SourceKind::Directory => &[],
            SourceKind::PasswdFile => &["make_accounts", "file", "name"],
        }
    }
}

/// Which key of which table is wrong, and how.
pub(super) struct Wrong {
    pub(super) table: usize,
    pub(super) key: String,
    pub(super) reason: String,
}

/// What is wrong with the sources, if anything.
pub(super) fn validate(sources: &[UserSource]) -> Result<(), Wrong> {
    for (table, source) in sources.iter().enumerate() {
        source.validate().map_err(|(key, reason)| Wrong {
            table,
            key: key.to_owned(),
            reason,
        })?;
    }
    let directories = |source: &&UserSource| source.source == SourceKind::Directory;
    if sources.iter().filter(directories).count() > 1 {
        return Err(Wrong {
            table: sources.len() - 1,
            key: "source".to_owned(),
            reason: "there is one directory only".to_owned(),
        });
    }
    Ok(())
}

impl UserSource {
    fn validate(&self) -> Result<(), (&'static str, String)> {
        let kind = self.source.name();
        let set = toml::Table::try_from(self).unwrap_or_default();
        for (key, known) in ALL_KEYS.map(|key| (key, self.source.keys().contains(&key))) {
            if set.contains_key(key) && !known {
                return Err((key, format!("is no key of a source \"{kind}\"")));
            }
        }
        for domain in &self.domains {
            if domain.contains(['@', ' ', '*', '%']) {
                return Err(("domains", format!("`{domain}` is not a domain")));
            }
        }
        match self.source {
            SourceKind::Directory => {}
            SourceKind::PasswdFile => {
                if self.file.is_none() {
                    return Err(("file", "must be set".to_owned()));
                }
                self.tells_users_apart("name", self.name.as_deref().unwrap_or("%u"))?;
            }
        }
        Ok(())
    }

    /// Checks a template that makes a user's name there of the name here: users of two domains must not
    /// become one.
    fn tells_users_apart(
        &self,
        key: &'static str,
        text: &str,
    ) -> Result<(), (&'static str, String)> {
        let template = Template::parse(text).map_err(|reason| (key, reason))?;
        if !template.has_local_part() {
            return Err((key, "has neither %u nor %n".to_owned()));
        }
        if !template.has_domain() && self.domains.is_empty() {
            let reason = "has no domain (%u or %d): domains must say whose users they are";
            return Err((key, reason.to_owned()));
        }
        Ok(())
    }

    /// The paths, to be taken from the configuration's directory.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.file.iter_mut()
    }

    /// The passwd-file.
    pub(crate) fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(""))
    }
}

/// All keys that not every source has.
const ALL_KEYS: [&str; 3] = ["make_accounts", "file", "name"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_tables_of_the_example_are_valid() {
        let tables: Vec<_> = EXAMPLE
            .lines()
            .filter_map(|line| line.strip_prefix("#   "))
            .collect();
        let config = Config::parse(Path::new("/etc/x.toml"), &tables.join("\n")).unwrap();
        let mut kinds: Vec<_> = config.users.iter().map(|one| one.source.name()).collect();
        kinds.dedup();
        assert_eq!(kinds, ["directory", "passwd-file"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let refused = |text: &str| {
            let error = Config::parse(Path::new("F"), text).unwrap_err();
            error.to_string()
        };
        let directory = "[[users]]\nsource = \"directory\"\n";
        let file = "[[users]]\nsource = \"passwd-file\"\n";
        for (text, expected) in [
            (
                format!("{directory}{directory}"),
                "F:4: users.source: there is one directory only",
            ),
            (format!("{directory}{file}"), "F:3: users.file: must be set"),
            (
                format!("{directory}file = \"x\"\n"),
                "F:3: users.file: is no key of a source \"directory\"",
            ),
            (
                format!("{file}file = \"x\"\n{file}file = \"x\"\nname = \"%n\"\n"),
                "F:7: users.name: has no domain (%u or %d): domains must say whose users they are",
            ),
            (
                format!("{file}file = \"x\"\nname = \"%d\"\n"),
                "F:4: users.name: has neither %u nor %n",
            ),
            (
                format!("{file}file = \"x\"\nname = \"%x\"\n"),
                "F:4: users.name: `%x` is none of %u, %n, %d, %%",
            ),
            (
                format!("{directory}domains = [\"@example.org\"]\n"),
                "F:3: users.domains: `@example.org` is not a domain",
            ),
        ] {
            assert_eq!(refused(&text), expected, "{text}");
        }
        assert!(refused("[[users]]\nsource = \"nis\"\n").contains("passwd-file"));
        assert!(refused("[[users]]\n").contains("source"));
    }
}
