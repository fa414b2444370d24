//! What connections are served with: made of the configuration, and made again when it is read again.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use restante_auth::password::PasswordError;
use restante_auth::sasl::ScramHash;
use restante_auth::{Secret, Verifier, VerifierOptions};
use restante_mailbox::{AccountId, Mail, MailboxName};
use restante_session::Authenticator;
use tokio::sync::watch;

use crate::authenticator::{Directory, Scram};
use crate::config::{Config, Login, SeenOf, Size};
use crate::gate::{Gate, Watch};
use crate::lmtp;
use crate::net::{Admission, Seats};
use crate::run::ServeError;
use crate::sources::Sources;
use crate::sources::pam::Broker;

/// What a connection is served with, from its beginning to its end.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) session: Arc<restante_session::Env>,
    /// Where it is otherwise, by the listener's address.
    special: Arc<[(SocketAddr, Arc<restante_session::Env>)]>,
    pub(crate) lmtp: Arc<lmtp::Env>,
    pub(crate) handshake_timeout: Duration,
}

impl Live {
    /// What an IMAP connection to this listener is served with.
    pub(crate) fn session_at(&self, listener: SocketAddr) -> Arc<restante_session::Env> {
        let mut special = self.special.iter();
        let found = special.find(|(address, _)| *address == listener);
        Arc::clone(found.map_or(&self.session, |(_, session)| session))
    }
}

/// Settings that only a restart brings in: sections, or keys of them.
const NEED_RESTART: &[&str] = &[
    "acme",
    "server",
    "service",
    "listen",
    "tls",
    "mail.quota",
    "mail.quota_mailboxes",
    "mail.quota_messages",
    "mail.mailboxes",
    "mail.retention",
    "mail.retained_size_max",
    "mail.grace",
    "mail.store_cache",
    "mail.mailbox_cache",
    "mail.email_cache",
    "mail.search_cache",
    "log.format",
];

/// What new connections get, and what outlives a change of it.
pub(crate) struct Current {
    mail: Arc<Mail>,
    admission: Admission,
    seats: Seats<AccountId>,
    /// The helper for PAM, if one was started.
    broker: Option<Arc<Broker>>,
    shutdown: watch::Receiver<bool>,
    pub(crate) watch: Arc<Watch>,
    /// What the process was started with.
    started_with: Config,
    live: RwLock<Live>,
    /// What it was made of.
    made_of: Mutex<Made>,
}

struct Made {
    config: Config,
    verifier: Verifier,
}

/// Settings that a reload found changed, as `section.key`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// In force for new connections.
    pub(crate) applied: Vec<String>,
    /// A restart brings them in.
    pub(crate) waiting: Vec<String>,
}

impl Current {
    pub(crate) async fn new(
        config: &Config,
        mail: &Arc<Mail>,
        admission: Admission,
        broker: Option<Arc<Broker>>,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Current, ServeError> {
        let seats = Seats::new(config.limits.connections_per_user);
        let verifier = verifier(&config.login, config)?;
        let watch = Watch::load(mail).await.map_err(std::io::Error::other)?;
        let watch = Arc::new(watch);
        let kept = (&seats, &watch, broker.as_ref());
        let live = make(config, mail, kept, verifier.clone(), &shutdown).await?;
        Ok(Current {
            mail: Arc::clone(mail),
            admission,
            seats,
            broker,
            watch,
            shutdown,
            started_with: config.clone(),
            live: RwLock::new(live),
            made_of: Mutex::new(Made {
                config: config.clone(),
                verifier,
            }),
        })
    }

    /// What a new connection is served with.
    pub(crate) fn live(&self) -> Live {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.clone()
    }

    /// Serves new connections with other settings. Open ones go on with theirs.
    pub(crate) async fn change(&self, config: Config) -> Result<Changed, ServeError> {
        let (changed, known) = {
            let made = self.made_of.lock().unwrap_or_else(PoisonError::into_inner);
            let same = made.config.login == config.login;
            let known = same.then(|| made.verifier.clone());
            let changed = Changed {
                applied: differing(&made.config, &config, false),
                waiting: differing(&self.started_with, &config, true),
            };
            (changed, known)
        };
        // It remembers passwords, so it is kept if it can be.
        let verifier = match known {
            Some(verifier) => verifier,
            None => verifier(&config.login, &config)?,
        };
        let (mail, down) = (&self.mail, &self.shutdown);
        let kept = (&self.seats, &self.watch, self.broker.as_ref());
        let live = make(&config, mail, kept, verifier.clone(), down).await?;
        let limits = &config.limits;
        self.seats.set_max(limits.connections_per_user);
        self.admission
            .set_max(limits.connections, limits.connections_per_address);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        let mut made = self.made_of.lock().unwrap_or_else(PoisonError::into_inner);
        made.config = config;
        made.verifier = verifier;
        Ok(changed)
    }
}

/// The settings that differ: those that need a restart, or the others.
fn differing(old: &Config, new: &Config, need_restart: bool) -> Vec<String> {
    let table = |config: &Config| toml::Table::try_from(config).unwrap_or_default();
    let (old, new) = (table(old), table(new));
    let mut names = Vec::new();
    // A list of tables, not one with keys.
    if !need_restart && old.get("users") != new.get("users") {
        names.push("users".to_owned());
    }
    for (section, keys) in &new {
        for (key, value) in keys.as_table().into_iter().flatten() {
            if old.get(section).and_then(|keys| keys.get(key)) == Some(value) {
                continue;
            }
            let name = format!("{section}.{key}");
            let needs = NEED_RESTART.contains(&section.as_str());
            if (needs || NEED_RESTART.contains(&name.as_str())) == need_restart {
                names.push(name);
            }
        }
    }
    names
}

fn verifier(login: &Login, config: &Config) -> Result<Verifier, PasswordError> {
    let mut options = VerifierOptions {
        cache_for: login.cache.duration(),
        cost: config.cost(),
        ..VerifierOptions::default()
    };
    if login.threads > 0 {
        options.threads = login.threads;
    }
    Verifier::new(options)
}

async fn make(
    config: &Config,
    mail: &Arc<Mail>,
    kept: (&Seats<AccountId>, &Arc<Watch>, Option<&Arc<Broker>>),
    verifier: Verifier,
    shutdown: &watch::Receiver<bool>,
) -> Result<Live, ServeError> {
    let directory = Arc::new(Directory {
        mail: Arc::clone(mail),
        verifier,
        seats: kept.0.clone(),
        scram: scram(config, mail).await?,
    });
    let sources = Sources::new(&config.users, &directory, kept.2).map_err(ServeError::Users)?;
    let users: Arc<dyn Authenticator> = match &sources {
        Some(sources) => Arc::clone(sources) as _,
        None => directory,
    };
    let session = session_env(config, mail, users, kept.1, shutdown.clone())?;
    let lmtp = lmtp_env(config, mail, sources, shutdown.clone());
    let special = config.imap.listeners.iter().map(|listener| {
        let mut special = session.clone();
        let hide = listener.hide.iter().cloned();
        special.hidden_capabilities.extend(hide);
        special.utf8_only |= listener.utf8_only;
        (listener.address, Arc::new(special))
    });
    Ok(Live {
        special: special.collect(),
        session: Arc::new(session),
        lmtp: Arc::new(lmtp),
        handshake_timeout: config.limits.login_timeout.duration(),
    })
}

async fn scram(config: &Config, mail: &Mail) -> Result<Scram, ServeError> {
    let fresh = Verifier::random().map_err(ServeError::Password)?;
    let secret = mail.scram_secret(fresh).await;
    let secret = secret.map_err(|error| ServeError::System(std::io::Error::other(error)))?;
    let hashes = ScramHash::ALL.into_iter();
    Ok(Scram {
        hashes: hashes
            .filter(|hash| config.offers(hash.mechanism()))
            .collect(),
        iterations: config.login.scram_iterations,
        secret: Secret::new(secret),
    })
}

fn session_env(
    config: &Config,
    mail: &Arc<Mail>,
    users: Arc<dyn Authenticator>,
    watch: &Arc<Watch>,
    shutdown: watch::Receiver<bool>,
) -> Result<restante_session::Env, ServeError> {
    let authenticator = Arc::new(Gate::new(users, config, mail, Arc::clone(watch))?);
    let set = &config.limits;
    let size = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    let limits = restante_session::Limits {
        login_timeout: set.login_timeout.duration(),
        idle_timeout: set.idle_timeout.duration(),
        write_timeout: set.write_timeout.duration(),
        idle_keepalive: Some(set.idle_keepalive.duration()).filter(|span| !span.is_zero()),
        login_attempts_max: set.login_attempts,
        line_bytes_max_before_login: size(set.line_size_before_login),
        line_bytes_max: size(set.line_size),
        literal_bytes_max_before_login: size(set.literal_size_before_login),
        literal_bytes_max: size(set.literal_size),
        command_bytes_max: size(set.command_size),
        append_bytes_max: config.mail.message_size_max.0,
        append_messages_max: set.append_messages,
        messages_max: NonZeroU32::new(config.imap.message_limit),
        saved_messages_max: NonZeroU32::new(config.imap.save_limit),
        set_ranges_max: set.set_ranges,
        nesting_max: set.nesting,
        ghosts_max: set.untold_expunges,
        notify_mailboxes_max: set.notify_mailboxes,
        contexts_max: set.contexts,
        context_numbers_max: set.context_messages,
        progress_interval: set.progress_every.duration(),
        annotations_max: set.annotations,
        annotation_bytes_max: size(set.annotation_size),
        ..restante_session::Limits::default()
    };
    let annotations = [
        ("/shared/comment", &config.imap.comment),
        ("/shared/admin", &config.imap.admin),
    ];
    let annotations = annotations
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
    let server_annotations = annotations
        .map(|(entry, value)| (entry.to_owned(), value.clone()))
        .collect();
    let id = [("name", "Restante"), ("version", env!("CARGO_PKG_VERSION"))];
    Ok(restante_session::Env {
        mail: Arc::clone(mail),
        authenticator,
        limits,
        server_id: id
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        allow_plaintext_login: config.login.allow_plaintext,
        hidden_capabilities: config.imap.hidden_capabilities.clone(),
        hidden_from_clients: hidden_from_clients(config),
        referrals: referrals(config),
        mailbox_referrals: mailbox_referrals(config),
        utf8_only: config.imap.utf8_only,
        jmap_url: Some(config.imap.jmap_url.clone()).filter(|url| !url.is_empty()),
        server_annotations,
        sharing: sharing(&config.sharing),
        submission_users: config.imap.submission_users.clone(),
        quota_admins: config.imap.quota_admins.clone(),
        shutdown,
    })
}

fn sharing(set: &crate::config::Sharing) -> restante_session::Sharing {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    restante_session::Sharing {
        other_users: given(&set.other_users),
        shared: given(&set.shared_user).map(|user| (set.shared.clone(), user)),
        groups: set.groups.clone(),
        seen: match set.seen {
            SeenOf::User => restante_session::SeenOf::User,
            SeenOf::Mailbox => restante_session::SeenOf::Mailbox,
        },
    }
}

/// The configuration was checked: every name is one.
fn mailbox_referrals(config: &Config) -> Vec<restante_session::MailboxReferral> {
    let referrals = config.imap.mailbox_referrals.iter();
    let referrals = referrals.filter_map(|referral| {
        Some(restante_session::MailboxReferral {
            mailbox: MailboxName::new(&referral.mailbox).ok()?,
            servers: referral.servers.clone(),
            users: referral.users.clone(),
        })
    });
    referrals.collect()
}

fn referrals(config: &Config) -> Vec<restante_session::Referral> {
    let referrals = config.imap.referrals.iter();
    let referrals = referrals.map(|referral| restante_session::Referral {
        users: referral.users.clone(),
        server: referral.server.clone(),
    });
    referrals.collect()
}

fn hidden_from_clients(config: &Config) -> Vec<restante_session::HiddenFrom> {
    let rules = config.imap.hidden_from.iter();
    let rules = rules.map(|rule| restante_session::HiddenFrom {
        client: rule.client.clone(),
        hide: rule.hide.clone(),
    });
    rules.collect()
}

fn lmtp_env(
    config: &Config,
    mail: &Arc<Mail>,
    sources: Option<Arc<Sources>>,
    shutdown: watch::Receiver<bool>,
) -> lmtp::Env {
    lmtp::Env {
        mail: Arc::clone(mail),
        sources,
        hostname: config.hostname(),
        local_domains: config.local_domains(),
        message_bytes_max: config.mail.message_size_max.0,
        recipients_max: config.limits.lmtp_recipients,
        timeout: config.limits.lmtp_timeout.duration(),
        spool_dir: config.data_dir().join("tmp"),
        shutdown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_needs_a_restart_exists() {
        let config = toml::Table::try_from(Config::default()).unwrap();
        for setting in NEED_RESTART {
            let (section, key) = setting.split_once('.').unwrap_or((setting, ""));
            let keys = config[section].as_table().unwrap();
            assert!(key.is_empty() || keys.contains_key(key), "{setting}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let old = Config::default();
        let mut new = old.clone();
        new.limits.nesting += 1;
        new.mail.quota = Size(1);
        new.server.workers += 1;
        assert_eq!(differing(&old, &new, false), ["limits.nesting"]);
        let text = "[[users]]\nsource = \"directory\"\n";
        new.users = toml::from_str::<Config>(text).unwrap().users;
        assert_eq!(differing(&old, &new, false), ["users", "limits.nesting"]);
        assert_eq!(
            differing(&old, &new, true),
            ["mail.quota", "server.workers"]
        );
    }

    #[tokio::test]
    async fn listeners_can_differ() {
        use restante_mailbox::MailOptions;
        use restante_store::{MemoryOptions, Store};

        let store = Store::memory(MemoryOptions::default());
        let mail = Mail::open(store, MailOptions::default()).await.unwrap();
        let text = "[listen]\nimap = [\"127.0.0.1:1143\"]\n[imap]\nhidden_capabilities = [\"SORT\"]\n\
                    listeners = [{ address = \"127.0.0.1:1143\", hide = [\"NOTIFY\"], utf8_only = true }]\n";
        let config = Config::parse(std::path::Path::new("test"), text).unwrap();
        let (_down, shutdown) = watch::channel(false);
        let current = Current::new(&config, &mail, Admission::new(10, 10), None, shutdown).await;
        let live = current.unwrap().live();
        let there = live.session_at(config.listen.imap[0]);
        assert_eq!(there.hidden_capabilities, ["SORT", "NOTIFY"]);
        assert!(there.utf8_only);
        let elsewhere = live.session_at(config.listen.imaps[0]);
        assert_eq!(elsewhere.hidden_capabilities, ["SORT"]);
        assert!(!elsewhere.utf8_only);
    }
}
