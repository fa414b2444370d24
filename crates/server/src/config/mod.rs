//! The configuration file: TOML, unknown keys are errors, and every error says file, line, key and
//! reason.

mod error;
mod example;
mod sections;
mod units;
mod users;

use std::path::{Path, PathBuf};

pub use error::ConfigError;
pub use example::example;
pub use sections::{
    Acme, AcmeChallenge, Config, HiddenFrom, Imap, Limits, Listen, Log, LogFormat, Login, Mail,
    Master, NamedCertificate, OAuth, Sandbox, SeenOf, Server, Service, Sharing, Tls, TlsVersion,
};
pub use toml::ser::Error as SetError;
pub use units::{Endpoint, Network, Size, Span};
pub use users::{SourceKind, UserSource};

use restante_auth::password::Cost;
use restante_auth::sasl::{ScramHash, ScramKeys};
use restante_mailbox::MailboxName;

/// What `login.mechanisms` may name.
const MECHANISMS: [&str; 6] = [
    "PLAIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "EXTERNAL",
    "OAUTHBEARER",
    "ANONYMOUS",
];

/// Where a configuration is looked for when none is named.
pub const DEFAULT_FILE: &str = "/etc/restante/restante.toml";

const SYSTEM_DATA: &str = "/var/lib/restante";

impl Config {
    /// Reads the named file; without a name, [`DEFAULT_FILE`] if there is one, otherwise the
    /// defaults.
    ///
    /// # Errors
    /// The file cannot be read, or [`Config::parse`] refuses it.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(path, &text),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Config::default())
            }
            Err(error) => Err(ConfigError {
                file: path.to_owned(),
                line: None,
                key: None,
                reason: format!("cannot be read: {error}"),
            }),
        }
    }

    /// Reads a configuration from text; `file` is for messages, and relative paths are taken from
    /// the directory it lies in.
    ///
    /// # Errors
    /// Syntax, unknown keys, values out of range: the first of them.
    pub fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let mut config: Config = toml::from_str(text)
            .map_err(|error| ConfigError::from_toml(file.to_owned(), text, &error))?;
        config
            .validate()
            .map_err(|(section, key, reason)| ConfigError {
                file: file.to_owned(),
                line: error::line_of(text, section, key),
                key: Some(format!("{section}.{key}")),
                reason,
            })?;
        users::validate(&config.users).map_err(|wrong| ConfigError {
            file: file.to_owned(),
            line: error::line_of_table(text, "users", wrong.table, &wrong.key),
            key: Some(format!("users.{}", wrong.key)),
            reason: wrong.reason,
        })?;
        let base = file.parent().unwrap_or(Path::new(""));
        for (_, path) in config.paths_mut() {
            if !path.as_os_str().is_empty() {
                *path = base.join(&*path);
            }
        }
        Ok(config)
    }

    /// Every path in the configuration, with its key. What is not here is not taken from the file's
    /// directory, and the sandbox keeps the server from it.
    fn paths_mut(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        let tls = &mut self.tls;
        let mut all = vec![
            ("server.data", &mut self.server.data),
            ("tls.certificate", &mut tls.certificate),
            ("tls.key", &mut tls.key),
            ("tls.client_ca", &mut tls.client_ca),
            (
                "oauth.client_secret_file",
                &mut self.oauth.client_secret_file,
            ),
            ("oauth.ca_file", &mut self.oauth.ca_file),
            ("acme.ca_file", &mut self.acme.ca_file),
            ("acme.eab_key_file", &mut self.acme.eab_key_file),
        ];
        for one in &mut tls.certificates {
            all.push(("tls.certificates", &mut one.certificate));
            all.push(("tls.certificates", &mut one.key));
        }
        let of_users = self.users.iter_mut().flat_map(UserSource::paths);
        all.extend(of_users.map(|path| ("users", path)));
        let writable = self.service.writable.iter_mut();
        all.extend(writable.map(|path| ("service.writable", path)));
        all
    }

    /// The files that the configuration names, with their keys: what is read at the start and at a reload.
    pub(crate) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let mut config = self.clone();
        let all = config.paths_mut().into_iter();
        all.filter(|(key, path)| {
            !path.as_os_str().is_empty() && !["server.data", "service.writable"].contains(key)
        })
        .map(|(key, path)| (key, path.clone()))
        .collect()
    }

    /// What no single value shows: ranges and settings that belong together.
    fn validate(&self) -> Result<(), (&'static str, &'static str, String)> {
        let at_least = |section, key, value: u64, least: u64| {
            if value < least {
                Err((
                    section,
                    key,
                    format!("must be at least {least}, not {value}"),
                ))
            } else {
                Ok(())
            }
        };
        let service = &self.service;
        if service.user == "root" || service.user == "0" {
            let reason = "must not be root: nothing would be given up".to_owned();
            return Err(("service", "user", reason));
        }
        if service.user.is_empty() && !service.group.is_empty() {
            let reason = "service.user must be set with it".to_owned();
            return Err(("service", "group", reason));
        }
        let limits = &self.limits;
        if self.server.workers > 1024 {
            return Err(("server", "workers", "must be at most 1024".to_owned()));
        }
        at_least("limits", "connections", limits.connections as u64, 1)?;
        at_least(
            "limits",
            "connections_per_address",
            limits.connections_per_address as u64,
            1,
        )?;
        at_least(
            "limits",
            "connections_per_user",
            limits.connections_per_user as u64,
            1,
        )?;
        // RFC 5321 §4.5.3.1.8: at least 100 recipients.
        at_least(
            "limits",
            "lmtp_recipients",
            limits.lmtp_recipients as u64,
            100,
        )?;
        at_least("limits", "login_attempts", limits.login_attempts.into(), 1)?;
        at_least(
            "limits",
            "append_messages",
            limits.append_messages.into(),
            1,
        )?;
        at_least("limits", "set_ranges", limits.set_ranges as u64, 100)?;
        at_least("limits", "nesting", limits.nesting as u64, 8)?;
        at_least(
            "limits",
            "untold_expunges",
            limits.untold_expunges as u64,
            100,
        )?;
        let sizes = [
            (
                "line_size_before_login",
                limits.line_size_before_login,
                1 << 10,
            ),
            ("line_size", limits.line_size, 8 << 10),
            (
                "literal_size_before_login",
                limits.literal_size_before_login,
                1 << 10,
            ),
            ("literal_size", limits.literal_size, 8 << 10),
            ("command_size", limits.command_size, 16 << 10),
        ];
        for (key, size, least) in sizes {
            if size < Size(least) {
                return Err(("limits", key, format!("must be at least {}", Size(least))));
            }
        }
        let seconds = [
            ("write_timeout", limits.write_timeout, 1),
            ("login_timeout", limits.login_timeout, 1),
            ("idle_timeout", limits.idle_timeout, 1),
            ("lmtp_timeout", limits.lmtp_timeout, 1),
        ];
        for (key, span, least) in seconds {
            if span.0 < least {
                return Err(("limits", key, format!("must be at least {least}s")));
            }
        }
        if self.mail.message_size_max.0 < 64 << 10 {
            return Err((
                "mail",
                "message_size_max",
                "must be at least 64 KiB".to_owned(),
            ));
        }
        // The APPENDLIMIT of RFC 7889 and literals are 32-bit numbers for most clients.
        if self.mail.message_size_max.0 > u64::from(u32::MAX) {
            return Err((
                "mail",
                "message_size_max",
                "must be less than 4 GiB".to_owned(),
            ));
        }
        at_least(
            "limits",
            "notify_mailboxes",
            limits.notify_mailboxes as u64,
            1,
        )?;
        at_least("limits", "contexts", limits.contexts as u64, 1)?;
        let progress = limits.progress_every.duration().as_secs();
        at_least("limits", "progress_every", progress, 1)?;
        at_least("limits", "annotations", limits.annotations as u64, 10)?;
        if limits.annotation_size < Size(1 << 10) || limits.annotation_size > Size(64 << 10) {
            let reason = "must be from 1 KiB to 64 KiB".to_owned();
            return Err(("limits", "annotation_size", reason));
        }
        let imap = &self.imap;
        let unknown = |words: &[String]| {
            let word = words
                .iter()
                .find(|word| !restante_session::is_capability(word))?;
            Some(format!("\"{word}\" is no capability of this server"))
        };
        if let Some(reason) = unknown(&imap.hidden_capabilities) {
            return Err(("imap", "hidden_capabilities", reason));
        }
        for rule in &imap.hidden_from {
            if rule.client.trim().is_empty() {
                let reason = "client must say what the name begins with".to_owned();
                return Err(("imap", "hidden_from", reason));
            }
            if let Some(reason) = unknown(&rule.hide) {
                return Err(("imap", "hidden_from", reason));
            }
        }
        let known = [&self.listen.imap, &self.listen.imaps];
        for listener in &imap.listeners {
            if !known.iter().any(|all| all.contains(&listener.address)) {
                let reason = format!(
                    "{} is none of listen.imap and listen.imaps",
                    listener.address
                );
                return Err(("imap", "listeners", reason));
            }
            if let Some(reason) = unknown(&listener.hide) {
                return Err(("imap", "listeners", reason));
            }
        }
        let domain = |pattern: &String| pattern.starts_with("*@") && pattern.len() > 2;
        let is_plain = |user: &String| !user.is_empty() && !user.contains('*');
        let check_referral = |key, users: &[String], servers: &[String]| {
            if !users.iter().all(|u| is_plain(u) || domain(u)) {
                return Err(("imap", key, "users are names or \"*@DOMAIN\"".to_owned()));
            }
            let is_server = |server: &String| restante_session::Referral::is_server(server);
            match servers.iter().all(is_server) && !servers.is_empty() {
                true => Ok(()),
                false => {
                    let reason = "server must be such as \"imap://imap2.example.org/\"";
                    Err(("imap", key, reason.to_owned()))
                }
            }
        };
        for referral in &imap.referrals {
            let servers = std::slice::from_ref(&referral.server);
            check_referral("referrals", &referral.users, servers)?;
        }
        for referral in &imap.mailbox_referrals {
            check_referral("mailbox_referrals", &referral.users, &referral.servers)?;
            match MailboxName::new(&referral.mailbox) {
                Ok(name) if name != MailboxName::inbox() => {}
                _ => {
                    let reason =
                        format!("{:?} is no mailbox that can be elsewhere", referral.mailbox);
                    return Err(("imap", "mailbox_referrals", reason));
                }
            }
        }
        let limits = [
            ("message_limit", imap.message_limit),
            ("save_limit", imap.save_limit),
        ];
        for (key, limit) in limits {
            if (1..1000).contains(&limit) {
                // RFC 9738 §3
                return Err(("imap", key, "must be 0, or at least 1000".to_owned()));
            }
        }
        if (1..imap.message_limit).contains(&imap.save_limit) {
            let reason = "must be 0, or at least imap.message_limit, which is the one that is told";
            return Err(("imap", "save_limit", reason.to_owned()));
        }
        let jmap = imap.jmap_url.as_str();
        let is_plain = jmap.bytes().all(|b| b.is_ascii_graphic());
        if !jmap.is_empty() && (!is_plain || crate::http::check_address(jmap).is_err()) {
            let reason = "must be a URL that begins with https://".to_owned();
            return Err(("imap", "jmap_url", reason));
        }
        if !imap.admin.is_empty() && !imap.admin.contains(':') {
            // RFC 5464 §3.2.1.1
            let reason = "must be a URI, such as \"mailto:postmaster@example.org\"".to_owned();
            return Err(("imap", "admin", reason));
        }
        let tls = &self.tls;
        match (
            tls.certificate.as_os_str().is_empty(),
            tls.key.as_os_str().is_empty(),
        ) {
            (true, false) => {
                return Err((
                    "tls",
                    "key",
                    "tls.certificate must be set with it".to_owned(),
                ));
            }
            (false, true) => {
                return Err((
                    "tls",
                    "certificate",
                    "tls.key must be set with it".to_owned(),
                ));
            }
            _ => {}
        }
        self.validate_sharing()?;
        self.validate_acme()?;
        self.validate_login()?;
        self.validate_oauth()?;
        self.cost()
            .check()
            .map_err(|error| ("login", "argon2_memory_kib", error.to_string()))?;
        let mut names = std::collections::BTreeSet::new();
        for name in &self.mail.mailboxes {
            let reason = match MailboxName::new(name) {
                Err(error) => error.to_string(),
                Ok(name) if name.is_inbox() => "INBOX is there anyway".to_owned(),
                Ok(name) if !names.insert(name.clone()) => "named twice".to_owned(),
                Ok(_) => continue,
            };
            return Err(("mail", "mailboxes", format!("\"{name}\": {reason}")));
        }
        for domain in &self.mail.local_domains {
            if domain.is_empty() || domain.contains(['@', ' ']) {
                let reason = format!("`{domain}` is not a domain");
                return Err(("mail", "local_domains", reason));
            }
        }
        crate::logging::check_level(&self.log.level).map_err(|reason| ("log", "level", reason))
    }

    fn validate_sharing(&self) -> Result<(), (&'static str, &'static str, String)> {
        let sharing = &self.sharing;
        let prefixes = [
            ("other_users", &sharing.other_users, true),
            ("shared", &sharing.shared, sharing.shared_user.is_empty()),
        ];
        for (key, prefix, may_be_empty) in prefixes {
            let name = match MailboxName::new(prefix) {
                Err(_) if prefix.is_empty() && may_be_empty => continue,
                Err(error) => return Err(("sharing", key, error.to_string())),
                Ok(name) => name,
            };
            if name.parent().is_some() || name.is_inbox() || name.as_str() != prefix {
                let reason = "must be the name of a mailbox at the top, not INBOX".to_owned();
                return Err(("sharing", key, reason));
            }
        }
        if sharing.other_users == sharing.shared {
            let reason = "must be another name than sharing.other_users".to_owned();
            return Err(("sharing", "shared", reason));
        }
        if !sharing.shared_user.is_empty() {
            crate::admin::check_user_name(&sharing.shared_user)
                .map_err(|reason| ("sharing", "shared_user", reason))?;
        }
        for group in sharing.groups.keys() {
            let canonical = restante_mailbox::canonical_identifier(&format!("${group}"));
            if canonical.is_none_or(|canonical| canonical[1..] != *group) {
                let reason = format!("{group:?}: a group's name has small letters and no spaces");
                return Err(("sharing", "groups", reason));
            }
        }
        Ok(())
    }

    fn validate_acme(&self) -> Result<(), (&'static str, &'static str, String)> {
        let acme = &self.acme;
        let wrong = |key, reason: &str| Err(("acme", key, reason.to_owned()));
        if acme.domains.is_empty() {
            return Ok(());
        }
        for domain in &acme.domains {
            let label = |label: &str| {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                let bytes = label.bytes().all(|byte| plain(byte) || byte == b'-');
                !label.is_empty() && label.len() <= 63 && bytes
            };
            let host = domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label);
            if !host {
                let reason = format!(
                    "`{domain}` is no host name in lower case (as xn-- if it is not ASCII; a * needs dns-01, \
                     which there is not)"
                );
                return Err(("acme", "domains", reason));
            }
        }
        if !acme.agree_terms {
            return wrong(
                "agree_terms",
                "must be true, once you have read the authority's terms of service",
            );
        }
        if let Err(error) = crate::http::check_address(&acme.directory) {
            return wrong("directory", &error.to_string());
        }
        if acme.eab_key_id.is_empty() != acme.eab_key_file.as_os_str().is_empty() {
            return wrong(
                "eab_key_id",
                "needs eab_key_file, and that needs eab_key_id",
            );
        }
        match acme.challenge {
            AcmeChallenge::Http01 if self.listen.http.is_empty() => wrong(
                "challenge",
                "http-01 needs listen.http, such as [\"[::]:80\"]",
            ),
            AcmeChallenge::TlsAlpn01 if self.listen.imaps.is_empty() => {
                wrong("challenge", "tls-alpn-01 needs listen.imaps")
            }
            _ => Ok(()),
        }
    }

    fn validate_login(&self) -> Result<(), (&'static str, &'static str, String)> {
        let login = &self.login;
        for name in &login.mechanisms {
            if !MECHANISMS.contains(&name.as_str()) {
                let reason = format!("`{name}` is none of {}", MECHANISMS.join(", "));
                return Err(("login", "mechanisms", reason));
            }
        }
        let least = restante_auth::sasl::client::ITERATIONS_MIN;
        if !(least..=1_000_000).contains(&login.scram_iterations) {
            let reason = format!("must be {least} to 1000000");
            return Err(("login", "scram_iterations", reason));
        }
        if self.offers("ANONYMOUS") == login.anonymous_user.is_empty() {
            let reason = "needs ANONYMOUS in login.mechanisms, and ANONYMOUS needs it".to_owned();
            return Err(("login", "anonymous_user", reason));
        }
        if login.master_separator.is_empty() {
            return Err(("login", "master_separator", "must not be empty".to_owned()));
        }
        for master in &login.masters {
            let whole = |pattern: &String| {
                let end = pattern.strip_prefix('*').unwrap_or(pattern);
                !end.contains('*') && (end == pattern || end.is_empty() || end.starts_with('@'))
            };
            if master.name.is_empty() || !master.users.iter().all(whole) {
                let reason = "needs a name, and users as names, \"*\" or \"*@DOMAIN\"".to_owned();
                return Err(("login", "masters", reason));
            }
        }
        Ok(())
    }

    fn validate_oauth(&self) -> Result<(), (&'static str, &'static str, String)> {
        let oauth = &self.oauth;
        let wrong = |key, reason: &str| Err(("oauth", key, reason.to_owned()));
        if oauth.issuer.is_empty() {
            return Ok(());
        }
        if let Err(error) = crate::http::check_address(&oauth.issuer) {
            return wrong("issuer", &error.to_string());
        }
        if oauth.audience.is_empty() {
            return wrong(
                "audience",
                "must be set: a token for somebody else must not open mail",
            );
        }
        if oauth.claim.is_empty() {
            return wrong("claim", "must not be empty");
        }
        if oauth.client_id.is_empty() != oauth.client_secret_file.as_os_str().is_empty() {
            return wrong("client_id", "goes together with oauth.client_secret_file");
        }
        if oauth.timeout.0 == 0 || oauth.leeway.0 > 600 {
            return wrong(
                "timeout",
                "must be at least 1s, and oauth.leeway at most 10m",
            );
        }
        Ok(())
    }

    /// Whether a way to sign in is offered.
    pub fn offers(&self, mechanism: &str) -> bool {
        self.login.mechanisms.iter().any(|name| name == mechanism)
    }

    /// The keys of SCRAM of a new password (RFC 5803), for those of its mechanisms that are offered.
    pub fn scram_keys(&self, password: &str) -> Vec<String> {
        let offered = ScramHash::ALL
            .into_iter()
            .filter(|hash| self.offers(hash.mechanism()));
        offered
            .filter_map(|hash| {
                let keys = ScramKeys::derive(hash, password, self.login.scram_iterations);
                Some(keys.ok()?.to_text(hash))
            })
            .collect()
    }

    /// The cost of password hashes.
    pub fn cost(&self) -> Cost {
        Cost {
            memory_kib: self.login.argon2_memory_kib,
            iterations: self.login.argon2_iterations,
            parallelism: self.login.argon2_parallelism,
        }
    }

    /// The data directory: as configured, otherwise [`default_data_dir`]. Root that becomes another user
    /// has the system's.
    pub fn data_dir(&self) -> PathBuf {
        if !self.server.data.as_os_str().is_empty() {
            self.server.data.clone()
        } else if !self.service.user.is_empty() && rustix::process::geteuid().is_root() {
            PathBuf::from(SYSTEM_DATA)
        } else {
            default_data_dir()
        }
    }

    /// The host name: as configured, otherwise the system's.
    pub fn hostname(&self) -> String {
        if self.server.hostname.is_empty() {
            system_hostname()
        } else {
            self.server.hostname.clone()
        }
    }

    /// The domains whose recipients are looked up by local part, in lower case.
    pub fn local_domains(&self) -> Vec<String> {
        if self.mail.local_domains.is_empty() {
            vec!["localhost".to_owned(), self.hostname().to_lowercase()]
        } else {
            self.mail
                .local_domains
                .iter()
                .map(|domain| domain.to_lowercase())
                .collect()
        }
    }
}

/// `/var/lib/restante` if it exists and belongs to this user, otherwise `restante-data` in the current
/// directory.
pub fn default_data_dir() -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    // Not the owner of /proc/self: that is root's for who was root before.
    let uid = rustix::process::geteuid().as_raw();
    let system = std::fs::metadata(SYSTEM_DATA)
        .ok()
        .filter(std::fs::Metadata::is_dir);
    if system.is_some_and(|meta| meta.uid() == uid) {
        PathBuf::from(SYSTEM_DATA)
    } else {
        PathBuf::from("restante-data")
    }
}

/// The system's host name, or `localhost` where it cannot be told.
pub fn system_hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let name = name.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each file of `tests/bad_configs` begins with a comment that is the expected message, with
    /// FILE for its own name.
    #[test]
    fn bad_configs_are_refused_with_file_line_key_and_reason() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_configs");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let expected = text.lines().next().unwrap().trim_start_matches("# ");
            let error = Config::parse(Path::new("FILE"), &text)
                .unwrap_err()
                .to_string();
            assert_eq!(error, expected, "{}", path.display());
            seen += 1;
        }
        assert!(seen >= 10, "{seen} bad configurations found");
    }

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let text = "[listen]\nimap = [\"127.0.0.1:0\"]\nlmtp = []\n[mail]\nquota = \"1 GiB\"\n";
        let config = Config::parse(Path::new("x.toml"), text).unwrap();
        assert_eq!(config.listen.imap.len(), 1);
        assert!(config.listen.lmtp.is_empty());
        assert_eq!(config.listen.imaps, Config::default().listen.imaps);
        assert_eq!(config.mail.quota, Size(1 << 30));
    }

    #[test]
    fn relative_paths_are_taken_from_the_files_directory() {
        let text = "[server]\ndata = \"data\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\n";
        let config = Config::parse(Path::new("/etc/restante/x.toml"), text).unwrap();
        assert_eq!(config.data_dir(), Path::new("/etc/restante/data"));
        assert_eq!(config.tls.certificate, Path::new("/etc/restante/c.pem"));
        assert_eq!(config.tls.key, Path::new("/k.pem"));
    }

    #[test]
    fn a_missing_file_is_an_error_only_when_it_was_named() {
        let error = Config::load(Some(Path::new("/nonexistent/x.toml")))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/nonexistent/x.toml: cannot be read:"),
            "{error}"
        );
    }

    #[test]
    fn local_domains_default_to_localhost_and_the_host() {
        let mut config = Config::default();
        config.server.hostname = "Mail.Example.ORG".to_owned();
        assert_eq!(config.local_domains(), ["localhost", "mail.example.org"]);
        config.mail.local_domains = vec!["Example.com".to_owned()];
        assert_eq!(config.local_domains(), ["example.com"]);
    }
}
