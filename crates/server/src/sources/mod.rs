//! Where users come from, if not from the directory alone: sources that are asked in order, each for the
//! users of its domains.
//!
//! The first source that knows a user decides. One that cannot be asked stands in nobody's way who is in
//! another; who is found in none is told that it cannot be found out now, never that the password is
//! wrong. Accounts, app passwords and who is locked out are the directory's for all users.

mod ldap;
pub(crate) mod pam;
mod passwd_file;
mod pool;
mod remembered;
mod sql;
mod template;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use restante_auth::Secret;
use restante_auth::password::PASSWORD_BYTES_MAX;
use restante_auth::sasl::{Credentials, Proof};
use restante_mailbox::{AccountId, Mail, MailError, User, canonical_user_name};
use restante_session::{Authenticator, Identity, LoginError, Offers, Peer, Seat, Verdict};

use crate::admin::check_user_name;
use crate::authenticator::{Directory, admit, make_account, same, unavailable, verify};
use crate::config::{SourceKind, UserSource};

pub(crate) use ldap::check_filter;
use ldap::{Answer, Ldap, Question};
use pam::{Broker, Pam};
use passwd_file::PasswdFile;
use remembered::Remembered;
use sql::Sql;
pub(crate) use sql::{Query, check_database};
pub(crate) use template::{Template, UserName};

/// The sources, in their order.
pub(crate) struct Sources {
    directory: Arc<Directory>,
    chain: Vec<Source>,
    remembered: Remembered,
}

/// One source.
struct Source {
    /// For the log.
    label: String,
    /// In lower case; empty: all.
    domains: Vec<String>,
    make_accounts: bool,
    /// How long it is remembered what it confirmed.
    cache_for: Duration,
    kind: Kind,
}

enum Kind {
    Directory,
    PasswdFile(PasswdFile),
    Sql(Sql),
    Ldap(Box<Ldap>),
    Pam(Pam),
}

/// A source that cannot be asked now, and why.
#[derive(Debug)]
struct Down(String);

/// What a source says of a name and a password.
enum Checked {
    /// They are right; and what the user is called.
    Right(String),
    /// They are right, but the user may not sign in.
    Locked(&'static str),
    /// They are right, but the password is too old.
    Expired,
    /// It is another password.
    Wrong,
    /// It does not know the user, or cannot tell that from a wrong password.
    Unknown,
}

/// What a source says of a name alone.
enum Known {
    /// What the user is called.
    Yes(String),
    Locked(&'static str),
    No,
    /// It would have to see the password.
    CannotTell,
}

/// What the sources say of a recipient of mail.
pub(crate) enum Recipient {
    /// A user with an account.
    User(User),
    /// One who would get an account with this name.
    New(String),
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.chain.iter().map(|source| &source.label);
        f.debug_list().entries(labels).finish()
    }
}

impl Authenticator for Sources {
    /// SCRAM needs keys of everybody, and only the directory has some: clients that choose it do not
    /// fall back to another mechanism.
    fn offers(&self) -> Offers {
        Offers::PASSWORDS
    }

    fn check<'a>(&'a self, credentials: &'a Credentials, peer: &'a Peer) -> Verdict<'a> {
        Box::pin(self.check_now(credentials, peer))
    }

    fn identity<'a>(&'a self, user: &'a str) -> Verdict<'a> {
        Box::pin(self.identity_of(user))
    }

    fn seat(&self, account: AccountId) -> Option<Seat> {
        self.directory.seat(account)
    }
}

impl Sources {
    /// The configured sources, if any are.
    ///
    /// # Errors
    /// What one of them needs is not there; the reason.
    pub(crate) fn new(
        configured: &[UserSource],
        directory: &Arc<Directory>,
        broker: Option<&Arc<Broker>>,
    ) -> Result<Option<Arc<Sources>>, String> {
        if configured.is_empty() {
            return Ok(None);
        }
        let chain: Result<_, _> = configured
            .iter()
            .map(|source| Source::new(source, broker))
            .collect();
        Ok(Some(Arc::new(Sources {
            directory: Arc::clone(directory),
            chain: chain?,
            remembered: Remembered::new().map_err(|error| error.to_string())?,
        })))
    }

    fn serving<'s>(&'s self, name: UserName<'_>) -> impl Iterator<Item = (usize, &'s Source)> {
        let domain = name.domain().to_owned();
        let chain = self.chain.iter().enumerate();
        chain.filter(move |(_, source)| source.serves(&domain))
    }

    async fn check_now(
        &self,
        credentials: &Credentials,
        peer: &Peer,
    ) -> Result<Identity, LoginError> {
        let Proof::Password(password) = &credentials.proof else {
            return Err(LoginError::rejected("not a password"));
        };
        let name = canonical_user_name(&credentials.user);
        let identity = self.by_password(&name, password, peer).await?;
        // Who may act for others is decided above: here it is oneself or nothing.
        match credentials.acting_as.as_deref() {
            Some(other) if !same(other, &identity.name) && !same(other, &name) => {
                Err(LoginError::not_authorized("may not act for another"))
            }
            _ => Ok(identity),
        }
    }

    async fn by_password(
        &self,
        name: &str,
        password: &Secret<String>,
        peer: &Peer,
    ) -> Result<Identity, LoginError> {
        // What nobody can be called, and what is nobody's password, no source gets to see. An empty
        // password, above all: to LDAP it is no password (RFC 4513 §5.1.2).
        if let Err(reason) = check_name(name).and_then(|()| check_password(password)) {
            self.directory.own_password(None, password).await?;
            return Err(LoginError::rejected(format!("{reason:.300}")));
        }
        if let Some(user) = self.directory.user(name).await?
            && self.directory.is_app_password(&user, password).await?
        {
            return self.with_app_password(user).await;
        }
        let peer_address = peer.address;
        let name = UserName::new(name);
        let (mut verdict, mut down, mut asked) = (None, None, false);
        for (index, source) in self.serving(name) {
            asked = true;
            if verdict.is_some() {
                // So that a wrong password takes as long as an unknown user.
                let _ = source.pretend(&self.directory, name, password).await;
                continue;
            }
            let mark = match &source.kind {
                // What it says may depend on where somebody is.
                Kind::Pam(_) => {
                    let shown = Secret::new(format!("{peer_address:?} {}", password.expose()));
                    self.remembered.mark(index, name.full, Some(shown.expose()))
                }
                _ => {
                    let shown = Some(password.expose().as_str());
                    self.remembered.mark(index, name.full, shown)
                }
            };
            if let Some(called) = self.remembered.get(&mark) {
                return self.of_source(source, &called).await;
            }
            match source.check(&self.directory, name, password, peer).await {
                Ok(Checked::Right(called)) => {
                    self.remembered.put(mark, &called, source.cache_for);
                    return self.of_source(source, &called).await;
                }
                Ok(Checked::Locked(reason)) => {
                    verdict = Some(LoginError::not_authorized(format!(
                        "{}: {reason}",
                        source.label
                    )));
                }
                Ok(Checked::Expired) => verdict = Some(LoginError::Expired),
                Ok(Checked::Wrong) => {
                    verdict = Some(LoginError::rejected(format!(
                        "wrong password ({})",
                        source.label
                    )));
                }
                Ok(Checked::Unknown) => {}
                Err(reason) => down = Some(source.down(reason)),
            }
        }
        if !asked {
            self.directory.own_password(None, password).await?;
        }
        let unknown = || LoginError::rejected("unknown user");
        Err(verdict.or(down).unwrap_or_else(unknown))
    }

    /// The account of whom a source has confirmed.
    async fn of_source(&self, source: &Source, name: &str) -> Result<Identity, LoginError> {
        if let Some(user) = self.directory.user(name).await? {
            return admit(user);
        }
        if !source.make_accounts {
            let reason = format!(
                "{name:.100} has no account, and {} makes none",
                source.label
            );
            return Err(LoginError::not_authorized(reason));
        }
        make_account(&self.directory.mail, name).await?;
        match self.directory.user(name).await? {
            Some(user) => admit(user),
            None => Err(LoginError::Unavailable("removed at this moment".to_owned())),
        }
    }

    /// Who has shown an app password, if some source still knows them.
    async fn with_app_password(&self, user: User) -> Result<Identity, LoginError> {
        match self.look_up(&user.name).await? {
            (_, Known::Locked(reason)) => Err(LoginError::not_authorized(reason)),
            (_, Known::Yes(_) | Known::CannotTell) => admit(user),
            (_, Known::No) => Err(LoginError::not_authorized(
                "an app password of somebody whom no source knows",
            )),
        }
    }

    async fn identity_of(&self, user: &str) -> Result<Identity, LoginError> {
        let name = canonical_user_name(user);
        let (source, known) = self.look_up(&name).await?;
        match (source, known) {
            (_, Known::Locked(reason)) => return Err(LoginError::not_authorized(reason)),
            (Some(source), Known::Yes(called)) if source.make_accounts => {
                return self.of_source(source, &called).await;
            }
            (_, Known::Yes(called)) => {
                if let Some(user) = self.directory.user(&called).await? {
                    return admit(user);
                }
            }
            // A token or a certificate may be all that somebody has.
            _ => {
                if let Some(user) = self.directory.user(&name).await? {
                    return admit(user);
                }
            }
        }
        Err(LoginError::rejected(
            "unknown user, or one without an account",
        ))
    }

    /// The first source that knows a name, and what it says.
    async fn look_up(&self, name: &str) -> Result<(Option<&Source>, Known), LoginError> {
        if check_name(name).is_err() {
            return Ok((None, Known::No));
        }
        let name = UserName::new(name);
        let (mut down, mut otherwise) = (None, Known::No);
        for (index, source) in self.serving(name) {
            let mark = self.remembered.mark(index, name.full, None);
            if let Some(called) = self.remembered.get(&mark) {
                return Ok((Some(source), Known::Yes(called)));
            }
            match source.look_up(&self.directory, name).await {
                Ok(Known::No) => {}
                Ok(Known::CannotTell) => otherwise = Known::CannotTell,
                Ok(known) => {
                    if let Known::Yes(called) = &known {
                        self.remembered.put(mark, called, source.cache_for);
                    }
                    return Ok((Some(source), known));
                }
                Err(reason) => down = Some(source.down(reason)),
            }
        }
        match down {
            Some(down) => Err(down),
            None => Ok((None, otherwise)),
        }
    }

    /// Whom mail for this name is for. Who has an account is not asked for elsewhere: mail comes in while
    /// a source is down.
    pub(crate) async fn recipient(&self, name: &str) -> Result<Option<Recipient>, MailError> {
        let mail = &self.directory.mail;
        if let Some(user) = mail.user(name).await? {
            return Ok(Some(Recipient::User(user)));
        }
        let name = canonical_user_name(name);
        let (source, known) = match self.look_up(&name).await {
            Ok(found) => found,
            Err(error) => {
                let reason = error.reason().into();
                return Err(MailError::Unavailable { reason });
            }
        };
        let (Some(source), Known::Yes(called)) = (source, known) else {
            return Ok(None);
        };
        match mail.user(&called).await? {
            Some(user) => Ok(Some(Recipient::User(user))),
            None if source.make_accounts && check_user_name(&called).is_ok() => {
                Ok(Some(Recipient::New(called)))
            }
            None => Ok(None),
        }
    }
}

impl Recipient {
    /// The user's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Recipient::User(user) => &user.name,
            Recipient::New(name) => name,
        }
    }

    /// The user, made if there is none yet.
    pub(crate) async fn user(self, mail: &Mail) -> Result<User, MailError> {
        let name = match self {
            Recipient::User(user) => return Ok(user),
            Recipient::New(name) => name,
        };
        match mail.user_add(&name, None).await {
            Ok(user) => {
                tracing::info!(user = %name, "account made at the first delivery");
                Ok(user)
            }
            // Another delivery was faster.
            Err(MailError::UserExists) => mail.user(&name).await?.ok_or(MailError::NoSuchUser),
            Err(error) => Err(error),
        }
    }
}

impl Source {
    fn new(configured: &UserSource, broker: Option<&Arc<Broker>>) -> Result<Source, String> {
        let template = |text: &Option<String>| Template::parse(text.as_deref().unwrap_or("%u"));
        let mut label = configured.source.name().to_owned();
        let kind = match configured.source {
            SourceKind::Directory => Kind::Directory,
            SourceKind::PasswdFile => {
                let file = configured.file();
                label = format!("{label} {}", file.display());
                Kind::PasswdFile(PasswdFile::new(file, template(&configured.name)?))
            }
            SourceKind::Sql => Kind::Sql(Sql::new(configured)?),
            SourceKind::Pam => {
                label = format!("{label} {}", configured.service());
                Kind::Pam(Pam::new(configured, template(&configured.name)?, broker)?)
            }
            SourceKind::Ldap => Kind::Ldap(Box::new(Ldap::new(configured)?)),
        };
        let domains = configured.domains.iter();
        Ok(Source {
            label,
            domains: domains.map(|domain| domain.to_lowercase()).collect(),
            make_accounts: configured.make_accounts,
            cache_for: configured.cache(),
            kind,
        })
    }

    fn serves(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|served| served == domain)
    }

    fn down(&self, Down(reason): Down) -> LoginError {
        tracing::warn!(source = %self.label, reason, "a source of users cannot be asked");
        LoginError::Unavailable(format!("{}: {reason}", self.label))
    }

    async fn check(
        &self,
        directory: &Directory,
        name: UserName<'_>,
        password: &Secret<String>,
        peer: &Peer,
    ) -> Result<Checked, Down> {
        match &self.kind {
            Kind::Directory => {
                let user = directory.user(name.full).await?;
                // One who is somebody only elsewhere has no password here.
                let user = user.filter(|user| user.password.is_some());
                let right = directory.own_password(user.as_ref(), password).await?;
                Ok(match user {
                    Some(user) if right => Checked::Right(user.name),
                    Some(_) => Checked::Wrong,
                    None => Checked::Unknown,
                })
            }
            Kind::PasswdFile(file) => {
                let table = file.table().await?;
                let entry = file.find(&table, name);
                let stored = entry.and_then(|entry| entry.stored.as_deref());
                let decoy = file.decoy(&table, name);
                let right = verify(&directory.verifier, stored, decoy, password).await?;
                Ok(match entry {
                    None => Checked::Unknown,
                    Some(_) if !right => Checked::Wrong,
                    Some(entry) if entry.locked => Checked::Locked("nologin"),
                    Some(entry) if !entry.allows(peer.address) => {
                        Checked::Locked("not from this address (allow_nets)")
                    }
                    Some(_) => Checked::Right(name.full.to_owned()),
                })
            }
            Kind::Sql(sql) => {
                let row = sql.find(name).await?;
                let stored = row.as_ref().and_then(|row| row.stored.as_ref());
                let (stored, decoy) = (stored.map(|one| one.expose().as_str()), sql.decoy());
                let decoy = decoy.as_ref().map(|one| one.expose().as_str());
                let right = verify(&directory.verifier, stored, decoy, password).await?;
                Ok(match row {
                    None => Checked::Unknown,
                    Some(_) if !right => Checked::Wrong,
                    Some(row) if row.disabled => Checked::Locked("disabled"),
                    Some(row) => Checked::Right(row.called(name)),
                })
            }
            Kind::Pam(pam) => pam.check(name, password, peer.address).await,
            Kind::Ldap(ldap) => Ok(match ldap.ask(name, Question::Password(password)).await? {
                Answer::Yes(called) => Checked::Right(called),
                Answer::Wrong => Checked::Wrong,
                Answer::Unknown | Answer::CannotTell => Checked::Unknown,
            }),
        }
    }

    /// Does the work of a check that does not matter any more.
    async fn pretend(
        &self,
        directory: &Directory,
        name: UserName<'_>,
        password: &Secret<String>,
    ) -> Result<(), Down> {
        match &self.kind {
            Kind::Directory => {
                directory.own_password(None, password).await?;
            }
            Kind::PasswdFile(file) => {
                let table = file.table().await?;
                let decoy = file.decoy(&table, name);
                verify(&directory.verifier, None, decoy, password).await?;
            }
            Kind::Sql(sql) => {
                sql.find(name).await?;
                let decoy = sql.decoy();
                let decoy = decoy.as_ref().map(|one| one.expose().as_str());
                verify(&directory.verifier, None, decoy, password).await?;
            }
            Kind::Pam(pam) => pam.pretend(password).await?,
            Kind::Ldap(ldap) => {
                ldap.ask(name, Question::Pretence(password)).await?;
            }
        }
        Ok(())
    }

    async fn look_up(&self, directory: &Directory, name: UserName<'_>) -> Result<Known, Down> {
        match &self.kind {
            Kind::Directory => {
                let user = directory.user(name.full).await?;
                let user = user.filter(|user| user.password.is_some());
                Ok(user.map_or(Known::No, |user| Known::Yes(user.name)))
            }
            Kind::PasswdFile(file) => {
                let table = file.table().await?;
                Ok(match file.find(&table, name) {
                    None => Known::No,
                    Some(entry) if entry.locked => Known::Locked("nologin"),
                    Some(_) => Known::Yes(name.full.to_owned()),
                })
            }
            Kind::Sql(sql) => Ok(match sql.find(name).await? {
                None => Known::No,
                Some(row) if row.disabled => Known::Locked("disabled"),
                Some(row) => Known::Yes(row.called(name)),
            }),
            Kind::Pam(_) => Ok(Known::CannotTell),
            Kind::Ldap(ldap) => Ok(match ldap.ask(name, Question::Exists).await? {
                Answer::Yes(called) => Known::Yes(called),
                Answer::Wrong | Answer::Unknown => Known::No,
                Answer::CannotTell => Known::CannotTell,
            }),
        }
    }
}

impl From<LoginError> for Down {
    fn from(error: LoginError) -> Down {
        Down(error.reason().into_owned())
    }
}

impl From<MailError> for Down {
    fn from(error: MailError) -> Down {
        unavailable(error).into()
    }
}

/// Says what is wrong with a name that no source is asked for.
fn check_name(name: &str) -> Result<(), String> {
    check_user_name(name)?;
    match name.starts_with('@') || name.ends_with('@') {
        true => Err(format!("{name}: half an address")),
        false => Ok(()),
    }
}

/// Says what is wrong with a password that is nobody's.
fn check_password(password: &Secret<String>) -> Result<(), String> {
    let password = password.expose();
    if password.is_empty() {
        Err("the password is empty".to_owned())
    } else if password.len() > PASSWORD_BYTES_MAX || password.contains('\0') {
        Err("nobody has such a password: it is too long, or has a NUL".to_owned())
    } else {
        Ok(())
    }
}
