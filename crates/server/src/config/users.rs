//! Where users come from: `[[users]]`, one table for each source, in the order in which they are asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use restante_auth::Secret;
use serde::{Deserialize, Serialize};

use super::units::Span;
use crate::files;
use crate::sources::{Query, Template, check_database, check_filter};

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
#
# A database: PostgreSQL, or SQLite, with file = "/path" instead of `database`. The query has %u, %n and %d as bound parameters, without
# quotes, and finds at most one row with the column `password` ({SCHEME}hash) and, if you like, `user` (what
# the user is called here) and `disabled`. TLS is used, and certificates are checked, unless the database is
# on this machine; tls = true or false says otherwise. For `cache`, an old password still works.
#
#   [[users]]
#   source = "sql"
#   database = "postgresql://restante@db.example.org/mail"
#   password_file = "/etc/restante/db-password"
#   ca_file = "/etc/restante/db-ca.pem"
#   query = "SELECT password, disabled FROM users WHERE address = %u"
#   make_accounts = true
#   cache = "1m"
#   timeout = "5s"
#   connections = 4
#
# LDAP: ldap:// (with StartTLS, unless the directory is on this machine; tls = true or false says otherwise) or
# ldaps://. Passwords are checked by binding as the user. Either the user is searched for, as bind_dn if it
# is set; user_attribute is what the user is called here, if not as was typed:
#
#   [[users]]
#   source = "ldap"
#   url = "ldaps://ldap.example.org"
#   search_base = "ou=people,dc=example,dc=org"
#   filter = "(&(objectClass=person)(mail=%u))"
#   bind_dn = "cn=mail,dc=example,dc=org"
#   password_file = "/etc/restante/ldap-password"
#   user_attribute = "mail"
#   make_accounts = true
#
# or the DN is made of the name. Then nobody can be asked for without a password: accounts are made at the first
# login, not at the first mail.
#
#   [[users]]
#   source = "ldap"
#   url = "ldap://ldap.example.org"
#   user_dn = "uid=%n,ou=people,dc=example,dc=org"
#   domains = ["example.org"]
#
# PAM, by the file of /etc/pam.d that is named `service`. A helper process does it, with the rights that the
# server is started with: modules such as pam_unix need root, so start it as root and set [service] user. Nobody
# can be asked for without a password. What PAM waits for on its own account (pam_faildelay) is left out.
#
#   [[users]]
#   source = "pam"
#   service = "restante"
#   name = "%n"
#   domains = ["example.org"]
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
    /// The passwd-file, or the database of SQLite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What a user is called there: `%u`, `%n`, `%d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The database of PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The query that finds a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The file with the password of our own at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Whether TLS is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// Certificates to trust, in PEM; none: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The directory of LDAP: `ldap://` or `ldaps://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A user's DN, made of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_dn: Option<String>,
    /// Below which entry users are searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_base: Option<String>,
    /// The filter that finds a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// As whom users are searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_dn: Option<String>,
    /// The attribute with what a user is called here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_attribute: Option<String>,
    /// The service of PAM: a file in /etc/pam.d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How long it is remembered whom the source has confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Span>,
    /// How long it is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How many connections there are at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// The embedded one.
    Directory,
    /// Dovecot's.
    PasswdFile,
    /// PostgreSQL or SQLite.
    Sql,
    /// LDAP.
    Ldap,
    /// PAM.
    Pam,
}

impl SourceKind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Directory => "directory",
            SourceKind::PasswdFile => "passwd-file",
            SourceKind::Sql => "sql",
            SourceKind::Ldap => "ldap",
            SourceKind::Pam => "pam",
        }
    }

    /// The keys that it has beside `source` and `domains`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            SourceKind::Directory => &[],
            SourceKind::PasswdFile => &["make_accounts", "file", "name"],
            SourceKind::Pam => &[
                "make_accounts",
                "service",
                "name",
                "cache",
                "timeout",
                "connections",
            ],
            SourceKind::Ldap => &[
                "make_accounts",
                "url",
                "tls",
                "ca_file",
                "user_dn",
                "search_base",
                "filter",
                "bind_dn",
                "password_file",
                "user_attribute",
                "cache",
                "timeout",
                "connections",
            ],
            SourceKind::Sql => &[
                "make_accounts",
                "database",
                "file",
                "query",
                "password_file",
                "tls",
                "ca_file",
                "cache",
                "timeout",
                "connections",
            ],
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
        if self
            .connections
            .is_some_and(|count| !(1..=1000).contains(&count))
        {
            return Err(("connections", "must be 1 to 1000".to_owned()));
        }
        if self
            .timeout
            .is_some_and(|time| !(1..=300).contains(&time.0))
        {
            return Err(("timeout", "must be 1s to 5m".to_owned()));
        }
        if self.cache.is_some_and(|time| time.0 > 3600) {
            return Err(("cache", "must be at most 1h".to_owned()));
        }
        match self.source {
            SourceKind::Directory => {}
            SourceKind::Ldap => self.validate_ldap()?,
            SourceKind::Pam => {
                let service = self.service();
                let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                if service.is_empty() || service.starts_with('.') || !service.chars().all(plain) {
                    return Err((
                        "service",
                        "must be the name of a file in /etc/pam.d".to_owned(),
                    ));
                }
                self.tells_users_apart("name", self.name.as_deref().unwrap_or("%u"))?;
            }
            SourceKind::Sql => {
                let wrong = |key, reason: &str| Err((key, reason.to_owned()));
                if self.database.is_some() == self.file.is_some() {
                    return wrong("database", "either it must be set, or file, for SQLite");
                }
                if self.query().is_empty() {
                    return wrong("query", "must be set");
                }
                let query = Query::parse(self.query(), '$').map_err(|reason| ("query", reason))?;
                if self.database.is_some() {
                    check_database(self.database()).map_err(|reason| ("database", reason))?;
                } else {
                    for (key, set) in [
                        ("tls", self.tls.is_some()),
                        ("ca_file", self.ca_file.is_some()),
                        ("password_file", self.password_file.is_some()),
                    ] {
                        if set {
                            return wrong(key, "is nothing that SQLite has");
                        }
                    }
                }
                self.parts_tell_apart("query", query.asks_for())?;
            }
            SourceKind::PasswdFile => {
                if self.file.is_none() {
                    return Err(("file", "must be set".to_owned()));
                }
                self.tells_users_apart("name", self.name.as_deref().unwrap_or("%u"))?;
            }
        }
        Ok(())
    }

    fn validate_ldap(&self) -> Result<(), (&'static str, String)> {
        let wrong = |key, reason: &str| Err((key, reason.to_owned()));
        let Some((secure, _)) = self.ldap_host() else {
            return wrong(
                "url",
                "must be ldap://HOST or ldaps://HOST, perhaps with :PORT",
            );
        };
        if secure && self.tls == Some(false) {
            return wrong("tls", "ldaps:// is TLS");
        }
        let of_search = [
            ("search_base", self.search_base.is_some()),
            ("filter", self.filter.is_some()),
            ("bind_dn", self.bind_dn.is_some()),
            ("password_file", self.password_file.is_some()),
            ("user_attribute", self.user_attribute.is_some()),
        ];
        if let Some(user_dn) = &self.user_dn {
            if let Some((key, _)) = of_search.iter().find(|(_, set)| *set) {
                return wrong(key, "goes with a search, and user_dn makes none");
            }
            return self.tells_users_apart("user_dn", user_dn);
        }
        for (key, set) in &of_search[..2] {
            if !set {
                return wrong(key, "must be set, or user_dn");
            }
        }
        if self.bind_dn.is_some() != self.password_file.is_some() {
            return wrong("bind_dn", "goes together with password_file");
        }
        let filter = self.filter.as_deref().unwrap_or_default();
        check_filter(filter).map_err(|reason| ("filter", reason))?;
        self.tells_users_apart("filter", filter)
    }

    /// Whether the URL of LDAP is of TLS, and its host.
    fn ldap_host(&self) -> Option<(bool, &str)> {
        let (scheme, rest) = self.url.as_deref()?.split_once("://")?;
        let secure = match scheme {
            "ldap" => false,
            "ldaps" => true,
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // Colons in brackets are of an address of IPv6.
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (rest, "389"),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        (port.parse::<u16>().is_ok() && !host.is_empty() && host.chars().all(plain))
            .then_some((secure, host))
    }

    /// Whether LDAP is spoken over TLS.
    pub(crate) fn ldap_tls(&self) -> bool {
        let Some((secure, host)) = self.ldap_host() else {
            return true;
        };
        let here = host == "localhost" || {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        };
        secure || self.tls.unwrap_or(!here)
    }

    /// Checks a template that makes a user's name there of the name here: users of two domains must not
    /// become one.
    fn tells_users_apart(
        &self,
        key: &'static str,
        text: &str,
    ) -> Result<(), (&'static str, String)> {
        let template = Template::parse(text).map_err(|reason| (key, reason))?;
        self.parts_tell_apart(key, (template.has_local_part(), template.has_domain()))
    }

    fn parts_tell_apart(
        &self,
        key: &'static str,
        (local, domain): (bool, bool),
    ) -> Result<(), (&'static str, String)> {
        if !local {
            return Err((key, "has neither %u nor %n".to_owned()));
        }
        if !domain && self.domains.is_empty() {
            let reason = "has no domain (%u or %d): domains must say whose users they are";
            return Err((key, reason.to_owned()));
        }
        Ok(())
    }

    /// The paths, to be taken from the configuration's directory.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [&mut self.file, &mut self.password_file, &mut self.ca_file];
        paths.into_iter().flatten()
    }

    /// The database.
    pub(crate) fn database(&self) -> &str {
        self.database.as_deref().unwrap_or_default()
    }

    /// The query.
    pub(crate) fn query(&self) -> &str {
        self.query.as_deref().unwrap_or_default()
    }

    /// The certificates to trust; empty: the system's.
    pub(crate) fn ca_file(&self) -> &Path {
        self.ca_file.as_deref().unwrap_or(Path::new(""))
    }

    /// Our own password at the source: the first line of its file.
    pub(crate) fn password(&self) -> Result<Option<Secret<String>>, String> {
        let Some(file) = &self.password_file else {
            return Ok(None);
        };
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let bytes = Secret::new(files::read_secret(file).map_err(|error| wrong(&error))?);
        let text = std::str::from_utf8(bytes.expose()).map_err(|error| wrong(&error))?;
        Ok(Some(
            text.lines().next().unwrap_or_default().to_owned().into(),
        ))
    }

    /// The service of PAM.
    pub(crate) fn service(&self) -> &str {
        self.service.as_deref().unwrap_or("restante")
    }

    /// How long the source is waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Span(5)).duration()
    }

    /// How many connections there are at the same time.
    pub(crate) fn connections(&self) -> usize {
        self.connections.unwrap_or(4)
    }

    /// How long it is remembered whom the source has confirmed.
    pub(crate) fn cache(&self) -> Duration {
        let default = match self.source {
            SourceKind::Directory | SourceKind::PasswdFile => 0,
            SourceKind::Sql | SourceKind::Ldap | SourceKind::Pam => 60,
        };
        self.cache.unwrap_or(Span(default)).duration()
    }

    /// The passwd-file, or the database of SQLite.
    pub(crate) fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(""))
    }
}

/// All keys that not every source has.
const ALL_KEYS: [&str; 18] = [
    "service",
    "url",
    "user_dn",
    "search_base",
    "filter",
    "bind_dn",
    "user_attribute",
    "make_accounts",
    "file",
    "name",
    "database",
    "query",
    "password_file",
    "tls",
    "ca_file",
    "cache",
    "timeout",
    "connections",
];

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
        assert_eq!(kinds, ["directory", "passwd-file", "sql", "ldap", "pam"]);
    }

    #[test]
    fn where_ldap_is_over_tls() {
        for (url, tls, expected) in [
            ("ldap://ldap.example.org", "", true),
            ("ldap://ldap.example.org", "tls = false", false),
            ("ldaps://localhost:1636", "", true),
            ("ldap://localhost:1389", "", false),
            ("ldap://[::1]", "", false),
            ("ldap://127.0.0.1/", "tls = true", true),
        ] {
            let text = format!(
                "[[users]]\nsource = \"ldap\"\nurl = \"{url}\"\nuser_dn = \"uid=%u\"\n{tls}\n"
            );
            let config = Config::parse(Path::new("F"), &text).unwrap();
            assert_eq!(config.users[0].ldap_tls(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let refused = |text: &str| {
            let error = Config::parse(Path::new("F"), text).unwrap_err();
            error.to_string()
        };
        let directory = "[[users]]\nsource = \"directory\"\n";
        let file = "[[users]]\nsource = \"passwd-file\"\n";
        let sql = "[[users]]\nsource = \"sql\"\nfile = \"x\"\n";
        let ldap = "[[users]]\nsource = \"ldap\"\n";
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
                format!("{sql}query = \"SELECT 1 WHERE x = '%u'\"\n"),
                "F:4: users.query: %u, %n and %d are values of their own: without quotes",
            ),
            (
                format!("{sql}query = \"SELECT 1 WHERE x = %n\"\n"),
                "F:4: users.query: has no domain (%u or %d): domains must say whose users they are",
            ),
            (
                format!("{sql}query = \"SELECT 1 WHERE x = %u\"\ntls = true\n"),
                "F:5: users.tls: is nothing that SQLite has",
            ),
            (
                "[[users]]\nsource = \"sql\"\ndatabase = \"dbname=x\"\nquery = \"%u\"\n".to_owned(),
                "F:3: users.database: names no host: host=/run/postgresql is the local one",
            ),
            (
                "[[users]]\nsource = \"pam\"\nservice = \"../x\"\n".to_owned(),
                "F:3: users.service: must be the name of a file in /etc/pam.d",
            ),
            (
                format!("{ldap}url = \"http://x\"\n"),
                "F:3: users.url: must be ldap://HOST or ldaps://HOST, perhaps with :PORT",
            ),
            (
                format!("{ldap}url = \"ldap://\"\n"),
                "F:3: users.url: must be ldap://HOST or ldaps://HOST, perhaps with :PORT",
            ),
            (
                format!("{ldap}url = \"ldaps://x:636/\"\ntls = false\n"),
                "F:4: users.tls: ldaps:// is TLS",
            ),
            (
                format!("{ldap}url = \"ldaps://x\"\n"),
                "F:1: users.search_base: must be set, or user_dn",
            ),
            (
                format!("{ldap}url = \"ldaps://x\"\nuser_dn = \"uid=%n\"\n"),
                "F:4: users.user_dn: has no domain (%u or %d): domains must say whose users they are",
            ),
            (
                format!("{ldap}url = \"ldaps://x\"\nuser_dn = \"uid=%u\"\nfilter = \"(uid=%u)\"\n"),
                "F:5: users.filter: goes with a search, and user_dn makes none",
            ),
            (
                format!("{ldap}url = \"ldaps://x\"\nsearch_base = \"\"\nfilter = \"(uid=%u\"\n"),
                "F:5: users.filter: is no filter of LDAP (RFC 4515)",
            ),
            (
                format!(
                    "{ldap}url = \"ldaps://x\"\nsearch_base = \"\"\nfilter = \"(uid=%u)\"\nbind_dn = \"cn=x\"\n"
                ),
                "F:6: users.bind_dn: goes together with password_file",
            ),
            (
                format!("{sql}query = \"%u\"\ntimeout = \"0s\"\n"),
                "F:5: users.timeout: must be 1s to 5m",
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
