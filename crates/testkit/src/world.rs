//! A server in memory for one test.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restante_auth::sasl::{Credentials, Proof, ScramHash, ScramKeys};
use restante_mailbox::{
    Append, CheckScope, DateTime, FlagNames, Mail, MailError, MailOptions, MailboxName,
    ManualClock, QuotaLimits, Rights, RightsChange, SpecialUse,
};
use restante_session::{
    Answer, Authenticator, Channel, ClientCertificate, Env, Identity, Limits, LoginError, Offers,
    Peer, PlainIo, Sharing, TokenRefusal, Verdict, serve,
};
use restante_store::{MemoryOptions, Store};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::tls::Tls;

/// What a world is made with.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// The limits of its sessions. Failed logins are answered without delay unless a test sets one.
    pub limits: Limits,
    /// Capabilities that are switched off.
    pub hidden_capabilities: Vec<String>,
    /// Capabilities that are hidden from alice.
    pub hidden_from_alice: Vec<String>,
    /// Where the mail of users is that is not here.
    pub referrals: Vec<restante_session::Referral>,
    /// Mailboxes that are on other servers.
    pub mailbox_referrals: Vec<restante_session::MailboxReferral>,
    /// Whether only UTF-8 is spoken.
    pub utf8_only: bool,
    /// Where the same mail is to be had by JMAP.
    pub jmap_url: Option<String>,
    /// What an account may hold.
    pub quota: QuotaLimits,
    /// What its users can log in with.
    pub offers: Offers,
    /// What logins on secure connections can be bound to.
    pub channel: Channel,
    /// Which mailboxes of others can be seen.
    pub sharing: Sharing,
    /// The operator's annotations.
    pub server_annotations: Vec<(String, String)>,
    /// A clock of the mailboxes that stands still until it is moved.
    pub clock: Option<ManualClock>,
    /// Put TLS under the connections that count as secure, so that reads and writes come in records.
    pub tls: bool,
}

impl Default for WorldOptions {
    fn default() -> WorldOptions {
        let limits = Limits {
            login_delay: Duration::ZERO,
            ..Limits::default()
        };
        WorldOptions {
            limits,
            hidden_capabilities: Vec::new(),
            hidden_from_alice: Vec::new(),
            referrals: Vec::new(),
            mailbox_referrals: Vec::new(),
            utf8_only: false,
            jmap_url: None,
            quota: QuotaLimits::default(),
            offers: Offers::PASSWORDS,
            channel: Channel::default(),
            sharing: Sharing::default(),
            clock: None,
            server_annotations: vec![(
                "/shared/comment".to_owned(),
                "A world for tests".to_owned(),
            )],
            tls: false,
        }
    }
}

impl WorldOptions {
    /// Lets users log in with something else than passwords: `scram`, `tokens`, `certificates`,
    /// `anonymous`, or nothing of it with `nothing`; `binding` gives connections a channel binding and
    /// `certificate` a client certificate for alice.
    fn offer(&mut self, what: &str) -> Result<(), String> {
        let offers = &mut self.offers;
        match what {
            "nothing" => *offers = Offers::default(),
            "scram" => (offers.scram_sha1, offers.scram_sha256) = (true, true),
            "tokens" => offers.tokens = true,
            "certificates" => offers.certificates = true,
            "anonymous" => offers.anonymous = true,
            "binding" => self.channel.exporter = Some(vec![7; 32]),
            "certificate" => {
                self.channel.certificate = Some(ClientCertificate {
                    names: vec!["alice".to_owned()],
                    ..ClientCertificate::default()
                });
            }
            other => return Err(format!("nothing to offer as {other}")),
        }
        Ok(())
    }

    /// Changes one limit by its name; times are in milliseconds.
    ///
    /// # Errors
    /// There is no such limit, or the value is no number.
    pub fn limit(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "hidden_capability" => {
                self.hidden_capabilities.push(value.to_owned());
                return Ok(());
            }
            "hidden_from_alice" => {
                self.hidden_from_alice.push(value.to_owned());
                return Ok(());
            }
            "referral" => {
                let (user, server) = value.split_once('@').ok_or("USER@SERVER")?;
                self.referrals.push(restante_session::Referral {
                    users: vec![user.to_owned()],
                    server: server.to_owned(),
                });
                return Ok(());
            }
            "mailbox_referral" => {
                let (mailbox, servers) = value.split_once('@').ok_or("MAILBOX@SERVER,SERVER")?;
                let mailbox = MailboxName::new(mailbox).map_err(|e| e.to_string())?;
                self.mailbox_referrals
                    .push(restante_session::MailboxReferral {
                        mailbox,
                        servers: servers.split(',').map(str::to_owned).collect(),
                        users: Vec::new(),
                    });
                return Ok(());
            }
            "server_annotation" => {
                let (name, value) = value.split_once('=').ok_or("NAME=VALUE")?;
                self.server_annotations
                    .push((name.to_owned(), value.to_owned()));
                return Ok(());
            }
            "clock_s" => {
                let seconds: i64 = value.parse().map_err(|_| "seconds since 1970")?;
                self.clock = Some(ManualClock::new(seconds * 1000));
                return Ok(());
            }
            "jmap_url" => {
                self.jmap_url = Some(value.to_owned());
                return Ok(());
            }
            "offers" => return self.offer(value),
            "other_users" => {
                self.sharing.other_users = (value != "none").then(|| value.to_owned());
                return Ok(());
            }
            "shared_user" => {
                self.sharing.shared = Some(("Shared".to_owned(), value.to_owned()));
                return Ok(());
            }
            "seen" => {
                self.sharing.seen = match value {
                    "user" => restante_session::SeenOf::User,
                    "mailbox" => restante_session::SeenOf::Mailbox,
                    _ => return Err("user or mailbox".to_owned()),
                };
                return Ok(());
            }
            "group" => {
                let (group, members) = value.split_once('=').ok_or("GROUP=NAME,NAME")?;
                let members = members.split(',').map(str::to_owned).collect();
                self.sharing.groups.insert(group.to_owned(), members);
                return Ok(());
            }
            _ => {}
        }
        let number: u32 = value
            .parse()
            .map_err(|_| format!("not a number: {value}"))?;
        let time = Duration::from_millis(number.into());
        let size = number as usize;
        let limits = &mut self.limits;
        match name {
            "utf8_only" => self.utf8_only = number > 0,
            "quota_bytes" => self.quota.bytes = Some(number.into()),
            "quota_messages" => self.quota.messages = Some(number.into()),
            "quota_mailboxes" => self.quota.mailboxes = Some(number.into()),
            "login_timeout" => limits.login_timeout = time,
            "idle_timeout" => limits.idle_timeout = time,
            "write_timeout" => limits.write_timeout = time,
            "idle_keepalive" => limits.idle_keepalive = Some(time),
            "progress_interval" => limits.progress_interval = time,
            "login_delay" => limits.login_delay = time,
            "login_attempts_max" => limits.login_attempts_max = number,
            "bad_commands_max" => limits.bad_commands_max = number,
            "line_bytes_max_before_login" => limits.line_bytes_max_before_login = size,
            "line_bytes_max" => limits.line_bytes_max = size,
            "literal_bytes_max_before_login" => limits.literal_bytes_max_before_login = size,
            "literal_bytes_max" => limits.literal_bytes_max = size,
            "command_bytes_max" => limits.command_bytes_max = size,
            "append_bytes_max" => limits.append_bytes_max = number.into(),
            "append_messages_max" => limits.append_messages_max = number,
            "message_limit" => limits.messages_max = NonZeroU32::new(number),
            "save_limit" => limits.saved_messages_max = NonZeroU32::new(number),
            "notify_mailboxes_max" => limits.notify_mailboxes_max = size,
            "contexts_max" => limits.contexts_max = size,
            "context_numbers_max" => limits.context_numbers_max = size,
            "ghosts_max" => limits.ghosts_max = size,
            "annotations_max" => limits.annotations_max = size,
            "annotation_bytes_max" => limits.annotation_bytes_max = size,
            other => return Err(format!("no limit {other}")),
        }
        Ok(())
    }
}

/// A server in memory: dropped with the test.
pub struct World {
    mail: Arc<Mail>,
    env: Arc<Env>,
    users: Arc<Users>,
    shutdown: watch::Sender<bool>,
    clock: Option<ManualClock>,
    channel: Channel,
    tls: Option<Tls>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A world with the user `alice`, whose password is `secret`.
    ///
    /// # Panics
    /// The store in memory cannot be opened.
    pub async fn new(options: WorldOptions) -> World {
        World::on(Store::memory(MemoryOptions::default()), options).await
    }

    /// The same on a store that is empty.
    ///
    /// # Panics
    /// The store cannot be opened.
    pub async fn on(store: Store, options: WorldOptions) -> World {
        let mut mail_options = MailOptions::default();
        mail_options.quota = options.quota;
        if let Some(clock) = &options.clock {
            mail_options.clock = Arc::new(clock.clone());
        }
        let mail = Mail::open(store, mail_options)
            .await
            .expect("an empty store opens");
        let users = Arc::new(Users {
            offers: options.offers,
            ..Users::default()
        });
        let (shutdown, down) = watch::channel(false);
        let env = Arc::new(Env {
            limits: options.limits,
            hidden_capabilities: options.hidden_capabilities,
            hidden_from_clients: vec![restante_session::HiddenFrom {
                client: "Microsoft Office 365".to_owned(),
                hide: vec!["UIDONLY".to_owned()],
            }],
            referrals: options.referrals,
            mailbox_referrals: options.mailbox_referrals,
            utf8_only: options.utf8_only,
            jmap_url: options.jmap_url,
            server_annotations: options.server_annotations,
            sharing: options.sharing,
            submission_users: vec!["submit".to_owned(), "submitserver".to_owned()],
            quota_admins: vec!["admin".to_owned()],
            ..Env::new(mail.clone(), users.clone(), down)
        });
        let tls = options.tls.then(Tls::new).transpose();
        let world = World {
            mail,
            env,
            users,
            shutdown,
            clock: options.clock,
            channel: options.channel,
            tls: tls.expect("a certificate can be made"),
        };
        world
            .user("alice", "secret")
            .await
            .expect("alice can be made");
        let alice = world.account("alice").await.expect("alice is there").id();
        let hidden = world
            .mail
            .set_hidden_words(alice, &options.hidden_from_alice);
        hidden.await.expect("words can be hidden");
        world
    }

    /// Moves the clock of the mailboxes, if it stands still otherwise.
    pub fn advance_clock(&self, by: Duration) -> bool {
        if let Some(clock) = &self.clock {
            clock.advance(by);
        }
        self.clock.is_some()
    }

    /// The mail of this world.
    pub fn mail(&self) -> &Arc<Mail> {
        &self.mail
    }

    /// What its sessions share.
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// Makes a user.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn user(&self, name: &str, password: &str) -> Result<(), String> {
        let user = self.mail.user_add(name, None).await.map_err(describe)?;
        let identity = Identity {
            name: name.to_owned(),
            account: user.account,
        };
        self.users
            .lock()
            .insert(name.to_owned(), (password.to_owned(), identity));
        Ok(())
    }

    /// A user's password.
    pub fn password(&self, name: &str) -> Option<String> {
        self.users
            .lock()
            .get(name)
            .map(|(password, _)| password.clone())
    }

    /// Makes sure that alice has a mailbox and puts so many small messages into it. `NAME\Junk` makes
    /// it with the special use `\Junk`.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn mailbox(&self, name: &str, messages: u32) -> Result<(), String> {
        let (name, special_use) = match name.split_once('\\') {
            Some((name, word)) => (name, SpecialUse::from_name(&format!("\\{word}"))),
            None => (name, Some(SpecialUse::NONE)),
        };
        let special_use = special_use.ok_or("no such special use")?;
        let account = self.account("alice").await?;
        let canonical = MailboxName::new(name).map_err(|error| error.to_string())?;
        match account.create(&canonical, special_use).await {
            Ok(_) | Err(MailError::AlreadyExists) => {}
            Err(error) => return Err(describe(error)),
        }
        for number in 1..=messages {
            let text = format!(
                "From: Alice <alice@example.org>\r\nTo: Bob <bob@example.org>\r\n\
                 Subject: Message {number}\r\nDate: Wed, 1 Jul 2026 12:00:00 +0000\r\n\
                 Message-ID: <{number}.{name}@example.org>\r\n\r\nText {number}\r\n",
            );
            self.message(
                name,
                &[],
                Some("01-Jul-2026 12:00:00 +0000"),
                text.as_bytes(),
            )
            .await?;
        }
        Ok(())
    }

    /// Grants a user all rights to all mailboxes that alice has.
    ///
    /// # Panics
    /// There is no such user.
    pub async fn share_all(&self, with: &str) {
        let account = self.account("alice").await.expect("alice");
        let tree = account.tree().await.expect("a tree");
        for entry in tree.mailboxes.values() {
            let all = RightsChange::Add(Rights::ALL);
            account.set_acl(entry.id, with, all).await.expect("rights");
        }
    }

    /// Puts a message into a mailbox of alice.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn message(
        &self,
        mailbox: &str,
        flags: &[String],
        date: Option<&str>,
        text: &[u8],
    ) -> Result<(), String> {
        let account = self.account("alice").await?;
        let name = MailboxName::new(mailbox).map_err(|error| error.to_string())?;
        let mailbox = account.mailbox(&name).await.map_err(describe)?;
        let email = account.new_email_from(text).await.map_err(describe)?;
        let internal_date = match date {
            Some(date) => parse_date(date).ok_or_else(|| format!("no date: {date}"))?,
            None => DateTime::utc(1_782_907_200),
        };
        let flags = flag_names(flags)?;
        mailbox
            .append(vec![Append {
                email,
                flags,
                internal_date,
            }])
            .await
            .map_err(describe)?;
        Ok(())
    }

    /// The account of a user.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn account(&self, name: &str) -> Result<Arc<restante_mailbox::Account>, String> {
        let account = self
            .users
            .lock()
            .get(name)
            .map(|(_, identity)| identity.account);
        let account = account.ok_or_else(|| format!("no user {name}"))?;
        self.mail.account(account).await.map_err(describe)
    }

    /// A new connection to this server. Without `secure`, it is neither TLS nor from this machine.
    pub fn connect(&self, secure: bool) -> DuplexStream {
        self.session(secure).0
    }

    /// As [`World::connect`], with the task that serves it: it ends with the session, and a panic in
    /// the session is its error.
    pub fn session(&self, secure: bool) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(64 << 10);
        let address = Some(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
        let peer = Peer {
            address,
            port: 4321,
        };
        let env = self.env.clone();
        let Some(tls) = self.tls.clone().filter(|_| secure) else {
            let channel = match secure {
                true => self.channel.clone(),
                false => Channel::default(),
            };
            let io = Box::new(PlainIo::new(server, secure).with_channel(channel));
            return (client, tokio::spawn(serve(io, env, peer)));
        };
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn(tls.clone().forward(server, near));
        let channel = self.channel.clone();
        let task = tokio::spawn(async move {
            if let Ok(stream) = tls.accept(far).await {
                let io = PlainIo::new(stream, true).with_channel(channel);
                serve(Box::new(io), env, peer).await;
            }
        });
        (client, task)
    }

    /// Tells all sessions that the server goes down.
    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Checks that everything derived in the store is what its logs say, and that every message can
    /// be read.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn check(&self) -> Result<(), String> {
        let report = self
            .mail
            .check(CheckScope::All, true)
            .await
            .map_err(describe)?;
        match report.problems.as_slice() {
            [] => Ok(()),
            problems => Err(format!("check found: {problems:?}")),
        }
    }
}

fn describe(error: MailError) -> String {
    error.to_string()
}

fn flag_names(flags: &[String]) -> Result<FlagNames, String> {
    let mut names = FlagNames::default();
    for flag in flags {
        let system = restante_mailbox::Flags::SYSTEM_NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(flag));
        match system {
            Some((bit, _)) => names.system = names.system | *bit,
            None if flag.starts_with('\\') => return Err(format!("no flag {flag}")),
            None => names.keywords.push(flag.as_str().into()),
        }
    }
    Ok(names)
}

/// `17-Jul-2026 02:44:25 -0700`
fn parse_date(text: &str) -> Option<DateTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_whitespace();
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let mut date = date.split('-');
    let day: i64 = date.next()?.parse().ok()?;
    let month = i64::try_from(MONTHS.find(date.next()?)? / 3 + 1).ok()?;
    let year: i64 = date.next()?.parse().ok()?;
    let mut time = time.split(':').map(|part| part.parse::<i64>().ok());
    let seconds = time.next()?? * 3600 + time.next()?? * 60 + time.next()??;
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let zone: i64 = zone.get(1..)?.parse().ok()?;
    let zone_min = sign * (zone / 100 * 60 + zone % 100);
    // Days since 1970 of the proleptic Gregorian calendar.
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day
            - 1
            - 719_468;
    let unix_s = days * 86_400 + seconds - zone_min * 60;
    Some(DateTime {
        unix_s,
        zone_min: i16::try_from(zone_min).ok()?,
    })
}

/// Passwords in memory; one that is `expired` has, and where it is `down`, it cannot be checked. The token `good` is alice's, and so is a certificate with her name.
#[derive(Default)]
struct Users {
    known: Mutex<HashMap<String, (String, Identity)>>,
    offers: Offers,
}

impl Users {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (String, Identity)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<(String, Identity), LoginError> {
        let found = self.lock().get(name).cloned();
        found.ok_or(LoginError::rejected("unknown user"))
    }

    fn check_now(&self, credentials: &Credentials) -> Result<Identity, LoginError> {
        let identity = match &credentials.proof {
            Proof::Password(password) => {
                let (right, identity) = self.find(&credentials.user)?;
                match (*password.expose() == right, right.as_str()) {
                    (_, "down") => return Err(LoginError::Unavailable("it is down".to_owned())),
                    (false, _) => return Err(LoginError::rejected("wrong password")),
                    (true, "expired") => return Err(LoginError::Expired),
                    (true, _) => identity,
                }
            }
            Proof::Scram(proof) if proof.is_right() => self.find(&credentials.user)?.1,
            Proof::Scram(_) => return Err(LoginError::rejected("wrong password")),
            Proof::Token(token) if token.expose() == "down" => {
                return Err(LoginError::Unavailable("the issuer is down".to_owned()));
            }
            Proof::Token(token) if token.expose() != "good" => {
                return Err(LoginError::Token(Box::new(TokenRefusal {
                    reason: "not a token of this world".to_owned(),
                    lacks_scope: token.expose() == "narrow",
                    scope: "mail".to_owned(),
                    configuration: "https://id.example/.well-known/openid-configuration".to_owned(),
                })));
            }
            Proof::Certificate(certificate) => {
                let name = certificate.names.first().map_or("", String::as_str);
                self.find(name)?.1
            }
            _ => self.find("alice")?.1,
        };
        match credentials.acting_as.as_deref() {
            Some(other) if other != identity.name => {
                Err(LoginError::not_authorized("may not act for another"))
            }
            _ => Ok(identity),
        }
    }
}

impl Authenticator for Users {
    fn offers(&self) -> Offers {
        self.offers
    }

    fn check<'a>(&'a self, credentials: &'a Credentials, _peer: &'a Peer) -> Verdict<'a> {
        Box::pin(async { self.check_now(credentials) })
    }

    fn identity<'a>(&'a self, user: &'a str) -> Verdict<'a> {
        Box::pin(async { Ok(self.find(user)?.1) })
    }

    fn scram_keys<'a>(
        &'a self,
        user: &'a str,
        hash: ScramHash,
        _peer: &'a Peer,
    ) -> Answer<'a, ScramKeys> {
        Box::pin(async move {
            let found = self.find(user).ok();
            let salt = [1; 16];
            let keys = found.and_then(|(password, _)| {
                ScramKeys::derive_with_salt(hash, &password, &salt, 4096).ok()
            });
            Ok(keys.unwrap_or_else(|| ScramKeys::of_nobody(hash, b"secret", user, 4096)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(
            parse_date("01-Jan-1970 00:00:00 +0000"),
            Some(DateTime::utc(0))
        );
        let date = parse_date("17-Jul-1996 02:44:25 -0700").expect("a date");
        assert_eq!((date.unix_s, date.zone_min), (837_596_665, -420));
        assert_eq!(parse_date("soon"), None);
    }
}
