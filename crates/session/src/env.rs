//! What a session is given: the mail, who may log in, limits, and who is at the other end.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use restante_auth::sasl::{Credentials, ScramHash, ScramKeys};
use restante_mailbox::{AccountId, Mail};
use tokio::sync::watch;

use crate::referral::{MailboxReferral, Referral};

use crate::place::Sharing;

/// Everything that the sessions of one listener share.
#[derive(Clone)]
pub struct Env {
    /// Accounts and mailboxes.
    pub mail: Arc<Mail>,
    /// Who may log in.
    pub authenticator: Arc<dyn Authenticator>,
    /// Limits of a session.
    pub limits: Limits,
    /// What the server says of itself in ID (RFC 2971): field and value.
    pub server_id: Vec<(String, String)>,
    /// Whether a password may be sent over a connection that is not secure (RFC 9051 §11.1).
    pub allow_plaintext_login: bool,
    /// Capabilities that are not shown, whatever else holds; by name, in any case.
    pub hidden_capabilities: Vec<String>,
    /// Capabilities that are not shown to some clients, because they cannot live with them.
    pub hidden_from_clients: Vec<HiddenFrom>,
    /// Users whose mail is on another server (RFC 2221).
    pub referrals: Vec<Referral>,
    /// Mailboxes that are on other servers (RFC 2193).
    pub mailbox_referrals: Vec<MailboxReferral>,
    /// Clients must speak UTF-8: `UTF8=ONLY` is told (RFC 9755 §7).
    pub utf8_only: bool,
    /// The session resource of a JMAP server that gives access to the same mail, with the same ids, to who
    /// has logged in here (RFC 9698).
    pub jmap_url: Option<String>,
    /// The server's shared annotations (RFC 5464 §3.2.1.1): entry and value.
    pub server_annotations: Vec<(String, String)>,
    /// Which mailboxes of others can be seen.
    pub sharing: Sharing,
    /// Users who are mail submission servers: they may fetch what `submit+` URLs name (RFC 4467 §3).
    pub submission_users: Vec<String>,
    /// Users who set the quotas of all (RFC 9208 QUOTASET).
    pub quota_admins: Vec<String>,
    /// Becomes true when the server goes down: sessions say BYE and end.
    pub shutdown: watch::Receiver<bool>,
}

impl Env {
    /// The defaults: `Env { limits, ..Env::new(mail, authenticator, shutdown) }`.
    pub fn new(
        mail: Arc<Mail>,
        authenticator: Arc<dyn Authenticator>,
        shutdown: watch::Receiver<bool>,
    ) -> Env {
        Env {
            mail,
            authenticator,
            limits: Limits::default(),
            server_id: vec![("name".to_owned(), "Restante".to_owned())],
            allow_plaintext_login: false,
            hidden_capabilities: Vec::new(),
            hidden_from_clients: Vec::new(),
            referrals: Vec::new(),
            mailbox_referrals: Vec::new(),
            utf8_only: false,
            jmap_url: None,
            server_annotations: Vec::new(),
            sharing: Sharing::default(),
            submission_users: Vec::new(),
            quota_admins: Vec::new(),
            shutdown,
        }
    }
}

/// Capabilities that clients with a certain name are not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenFrom {
    /// What the `name` that a client gives in ID (RFC 2971) begins with, in any case.
    pub client: String,
    /// The words.
    pub hide: Vec<String>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Its address, if it has one.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl Peer {
    /// Whether what is sent never leaves this machine.
    pub fn is_local(&self) -> bool {
        self.address
            .is_some_and(|address| address.to_canonical().is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}:{}", self.port),
            None => f.write_str("local"),
        }
    }
}

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name as the directory spells it.
    pub name: String,
    /// The user's account.
    pub account: AccountId,
}

/// Why a login failed. The reasons are for the log; no client is told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// Unknown user or wrong password: the same for both (RFC 5530 `AUTHENTICATIONFAILED`).
    Rejected(Cow<'static, str>),
    /// The credentials are right, but this user may not log in, or not act for that other
    /// (`AUTHORIZATIONFAILED`).
    NotAuthorized(Cow<'static, str>),
    /// The password has expired (`EXPIRED`).
    Expired,
    /// A token that does not open this door, with what its client is told to do about it (RFC 7628
    /// §3.2.2; `AUTHENTICATIONFAILED`).
    Token(Box<TokenRefusal>),
    /// It cannot be found out now (`UNAVAILABLE`); the reason is for the log.
    Unavailable(String),
}

impl LoginError {
    /// The reason, for the log.
    pub fn reason(&self) -> Cow<'_, str> {
        match self {
            LoginError::Rejected(reason) | LoginError::NotAuthorized(reason) => {
                Cow::Borrowed(reason)
            }
            LoginError::Expired => Cow::Borrowed("the password has expired"),
            LoginError::Token(refusal) => Cow::Borrowed(&refusal.reason),
            LoginError::Unavailable(reason) => Cow::Borrowed(reason),
        }
    }

    /// [`LoginError::Rejected`] for this reason.
    pub fn rejected(reason: impl Into<Cow<'static, str>>) -> LoginError {
        LoginError::Rejected(reason.into())
    }

    /// [`LoginError::NotAuthorized`] for this reason.
    pub fn not_authorized(reason: impl Into<Cow<'static, str>>) -> LoginError {
        LoginError::NotAuthorized(reason.into())
    }
}

/// What a client is told whose token was refused, and why it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRefusal {
    /// Why, for the log.
    pub reason: String,
    /// Whether the token is good but does not allow to read mail (`insufficient_scope`).
    pub lacks_scope: bool,
    /// The scope that is needed.
    pub scope: String,
    /// Where the issuer describes itself (RFC 8414), so that the client can get another token.
    pub configuration: String,
}

/// A login as it happened.
#[derive(Debug)]
pub struct LoginSeen<'a> {
    /// The user's name; of a failed login as it was claimed.
    pub user: &'a str,
    /// The account, if somebody was let in.
    pub account: Option<AccountId>,
    /// The client.
    pub peer: &'a Peer,
    /// The mechanism.
    pub how: &'static str,
    /// How the connection was secured, if it was.
    pub security: Option<String>,
    /// What the client said of itself before (ID).
    pub client: Option<&'a str>,
    /// Why nobody was let in.
    pub failure: Option<&'a LoginError>,
}

/// What an [`Authenticator`] can check: what none of its users can do is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offers {
    /// Passwords in plain text: LOGIN, PLAIN.
    pub passwords: bool,
    /// SCRAM-SHA-1.
    pub scram_sha1: bool,
    /// SCRAM-SHA-256.
    pub scram_sha256: bool,
    /// OAuth 2.0 tokens.
    pub tokens: bool,
    /// TLS client certificates.
    pub certificates: bool,
    /// Nobody in particular.
    pub anonymous: bool,
}

impl Offers {
    /// Passwords in plain text and nothing else.
    pub const PASSWORDS: Offers = Offers {
        passwords: true,
        scram_sha1: false,
        scram_sha256: false,
        tokens: false,
        certificates: false,
        anonymous: false,
    };
}

/// A session's place among those of its user, held as long as the session lasts.
#[derive(Clone, Default)]
pub struct Seat(Option<Arc<dyn Any + Send + Sync>>);

impl Seat {
    /// A place that is given back when `held` is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Seat {
        Seat(Some(Arc::new(held)))
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.0.is_some()).finish()
    }
}

/// The future of an [`Authenticator`]'s answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, LoginError>> + Send + 'a>>;

/// The future of [`Authenticator::check`].
pub type Verdict<'a> = Answer<'a, Identity>;

/// Checks credentials. Costly work (hashing) is its own business: it runs elsewhere and is bounded.
pub trait Authenticator: Send + Sync {
    /// What can be checked at all. Asked whenever capabilities are told, so it must be quick.
    fn offers(&self) -> Offers {
        Offers::PASSWORDS
    }

    /// Checks what a LOGIN or a SASL exchange claims. Every login that offers a proof, right or wrong,
    /// comes through here once; an exchange that breaks off before that (malformed, a wrong channel
    /// binding) does not.
    fn check<'a>(&'a self, credentials: &'a Credentials, peer: &'a Peer) -> Verdict<'a>;

    /// The SCRAM keys of a user. One who does not exist, or has none, gets
    /// [`ScramKeys::of_nobody`]: nothing tells a client which it is.
    fn scram_keys<'a>(
        &'a self,
        user: &'a str,
        hash: ScramHash,
        peer: &'a Peer,
    ) -> Answer<'a, ScramKeys> {
        let _ = (user, hash, peer);
        Box::pin(async { Err(LoginError::rejected("there are no SCRAM keys here")) })
    }

    /// The user of this name, for whom something else has vouched already: a token, a certificate, a
    /// master user. [`LoginError::Rejected`] if there is none, [`LoginError::NotAuthorized`] if they
    /// may not log in.
    fn identity<'a>(&'a self, user: &'a str) -> Verdict<'a> {
        let _ = user;
        Box::pin(async { Err(LoginError::rejected("users cannot be looked up here")) })
    }

    /// A login was let in or failed: for who keeps a record. Must be quick.
    fn seen(&self, login: &LoginSeen<'_>) {
        let _ = login;
    }

    /// What the client of a login says of itself (ID), if it says it after the login.
    fn client_told(&self, account: AccountId, peer: &Peer, client: &str) {
        let _ = (account, peer, client);
    }

    /// A place for one more session of this user, or `None` if there are too many. It is given back
    /// when the session ends.
    fn seat(&self, account: AccountId) -> Option<Seat> {
        let _ = account;
        Some(Seat::default())
    }
}

/// Limits of one session. The server's configuration fills it; the defaults suit a server with
/// thousands of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time from the greeting to the login.
    pub login_timeout: Duration,
    /// Inactivity after the login, at least 30 minutes (RFC 9051 §5.4); also in IDLE.
    pub idle_timeout: Duration,
    /// A client that for this long takes nothing of what it is sent, or sends nothing more of a
    /// command that it began, is cut off.
    pub write_timeout: Duration,
    /// In IDLE, `* OK Still here` after this much silence, for middleboxes that forget connections;
    /// `None`: never. It wakes phones, so keep it above 20 minutes.
    pub idle_keepalive: Option<Duration>,
    /// Failed logins on one connection, then BYE.
    pub login_attempts_max: u32,
    /// The first failed login is answered after this long, each further one after twice as long.
    pub login_delay: Duration,
    /// Commands before the login that are not understood, then BYE.
    pub bad_commands_max: u32,
    /// The longest command line before the login, without literals.
    pub line_bytes_max_before_login: usize,
    /// The longest command line after the login; clients expect 64 KiB at least.
    pub line_bytes_max: usize,
    /// The largest literal before the login.
    pub literal_bytes_max_before_login: usize,
    /// The largest literal that is not a message, after the login.
    pub literal_bytes_max: usize,
    /// The largest command, its literals included, without messages.
    pub command_bytes_max: usize,
    /// The largest message that APPEND takes (RFC 7889 APPENDLIMIT).
    pub append_bytes_max: u64,
    /// The most messages in one APPEND (RFC 3502), and the most bytes they may have together.
    pub append_messages_max: u32,
    /// Messages in one SEARCH, FETCH, STORE, COPY, MOVE, APPEND or UID EXPUNGE (RFC 9738 MESSAGELIMIT); `None`
    /// is no limit.
    pub messages_max: Option<NonZeroU32>,
    /// Messages in one COPY or APPEND (RFC 9738 SAVELIMIT); `None` is no limit.
    pub saved_messages_max: Option<NonZeroU32>,
    /// Ranges in one sequence set.
    pub set_ranges_max: usize,
    /// Nesting of parentheses and of search keys.
    pub nesting_max: usize,
    /// Expunged messages whose expunge could not be told yet; past it the session ends with BYE.
    pub ghosts_max: usize,
    /// Mailboxes besides the selected one that NOTIFY watches for messages.
    pub notify_mailboxes_max: usize,
    /// Results that are kept up to date (RFC 5267), at least 1.
    pub contexts_max: usize,
    /// Numbers and ranges kept for all of these but the first.
    pub context_numbers_max: usize,
    /// A command that takes longer tells its progress so often (RFC 9585).
    pub progress_interval: Duration,
    /// Annotations (RFC 5464) of one mailbox, or of the server for one user.
    pub annotations_max: usize,
    /// The largest value of an annotation, at least 1024 bytes (RFC 5464 §4.1).
    pub annotation_bytes_max: usize,
    /// Bytes collected before they are written to the client.
    pub out_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            login_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(31 * 60),
            write_timeout: Duration::from_secs(5 * 60),
            idle_keepalive: Some(Duration::from_secs(24 * 60)),
            login_attempts_max: 5,
            login_delay: Duration::from_millis(500),
            bad_commands_max: 10,
            line_bytes_max_before_login: 8 << 10,
            line_bytes_max: 256 << 10,
            literal_bytes_max_before_login: 4 << 10,
            literal_bytes_max: 512 << 10,
            command_bytes_max: 1 << 20,
            append_bytes_max: 50 << 20,
            append_messages_max: 1000,
            messages_max: None,
            saved_messages_max: None,
            set_ranges_max: 64 << 10,
            nesting_max: 32,
            ghosts_max: 50_000,
            notify_mailboxes_max: 10_000,
            contexts_max: 10,
            context_numbers_max: 1_000_000,
            progress_interval: Duration::from_secs(12),
            annotations_max: 100,
            annotation_bytes_max: 64 << 10,
            out_bytes: 32 << 10,
        }
    }
}
