//! The settings: names, meanings and defaults, in one table.
//!
//! Each setting is written once, here. The structs, the defaults and the commented example all
//! come from this table. Add a setting by adding a line; its doc comment is what the operator reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::{Endpoint, Network, Size, Span};
use super::users::UserSource;

/// One section of the file, as the example shows it.
pub(super) struct SectionDoc {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) keys: &'static [(&'static str, &'static [&'static str])],
}

macro_rules! sections {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident: $type:ident {
            $( $(#[doc = $doc:literal])* $key:ident: $value:ty = $default:expr, )*
        }
    )*) => {
        /// The whole configuration. A file sets what differs from the defaults.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            $( $(#[doc = $section_doc])* pub $section: $type, )*
            /// Where users come from; none: the directory.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub users: Vec<UserSource>,
        }

        $(
            $(#[doc = $section_doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub struct $type {
                $( $(#[doc = $doc])* pub $key: $value, )*
            }

            impl Default for $type {
                fn default() -> Self {
                    $type { $( $key: $default, )* }
                }
            }
        )*

        pub(super) const SECTIONS: &[SectionDoc] = &[
            $( SectionDoc {
                name: stringify!($section),
                doc: &[$($section_doc),*],
                keys: &[$( (stringify!($key), &[$($doc),*]), )*],
            }, )*
        ];
    };
}

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().filter_map(|text| text.parse().ok()).collect()
}

sections! {
    /// Where the server keeps its data and what it is called.
    server: Server {
        /// The data directory. Empty: /var/lib/restante if it exists and is ours, otherwise
        /// restante-data in the current directory.
        data: PathBuf = PathBuf::new(),
        /// The host name in greetings and in the self-signed certificate. Empty: the system's.
        hostname: String = String::new(),
        /// Threads that serve connections. 0: one for each core that the process may use.
        workers: usize = 0,
    }

    /// What the process may do. It binds its addresses and reads its certificates first, then gives up
    /// what it needs no more.
    service: Service {
        /// The user to become, if the server is started as root. It needs the data directory for itself,
        /// and must be able to read what a reload reads: this file, certificates, secrets.
        user: String = String::new(),
        /// The group. Empty: the user's.
        group: String = String::new(),
        /// auto: where the kernel can, the process sees no files but the data directory, those that are
        /// named here and the system's libraries (Landlock), and cannot do what no mail server does, such
        /// as starting programs (seccomp). off: it can do whatever its user can.
        sandbox: Sandbox = Sandbox::Auto,
        /// Directories that the server may write to beside the data directory, for `restante backup`.
        writable: Vec<PathBuf> = Vec::new(),
    }

    /// Addresses to listen on. An empty list turns a service off. [::] is IPv6 and IPv4.
    listen: Listen {
        /// IMAP that begins in plain text and offers STARTTLS.
        imap: Vec<SocketAddr> = addresses(&["[::]:1143"]),
        /// IMAP inside TLS.
        imaps: Vec<SocketAddr> = addresses(&["[::]:1993"]),
        /// LMTP for the mail server that delivers here. There is no login: keep it on loopback
        /// or on a network that only the mail server reaches.
        lmtp: Vec<SocketAddr> = addresses(&["127.0.0.1:1124"]),
        /// Where mail servers ask whether somebody may send: Dovecot's authentication protocol, as
        /// Postfix (smtpd_sasl_type = dovecot) and Exim speak it. Paths of Unix sockets, or addresses
        /// such as "127.0.0.1:1125" that only the mail server reaches.
        auth: Vec<Endpoint> = Vec::new(),
        /// Where Postfix asks at RCPT whether a user is unknown or full (check_policy_service).
        policy: Vec<Endpoint> = Vec::new(),
        /// Where Postfix looks up whether there is a user for an address (socketmap).
        socketmap: Vec<Endpoint> = Vec::new(),
        /// HTTP for the challenges of [acme], and nothing else: ["[::]:80"].
        http: Vec<SocketAddr> = Vec::new(),
        /// Load balancers in front of IMAP, which tell who the client is by the PROXY protocol (version 1
        /// or 2): networks such as ["192.0.2.0/28"]. Connections from there must begin with it.
        proxy_from: Vec<Network> = Vec::new(),
    }

    /// Certificates. A changed file is noticed within a minute, or at once by `restante reload`.
    tls: Tls {
        /// The certificate chain in PEM. Empty: a self-signed one, made in DATA/tls.
        certificate: PathBuf = PathBuf::new(),
        /// The private key in PEM.
        key: PathBuf = PathBuf::new(),
        /// More certificates, for other names: a client that asks for one of a certificate's names (SNI)
        /// gets that one. As { certificate = "FILE", key = "FILE" }.
        certificates: Vec<NamedCertificate> = Vec::new(),
        /// The oldest version of TLS that is spoken: 1.2 or 1.3.
        min_version: TlsVersion = TlsVersion::Tls12,
        /// The authorities of client certificates, in PEM: who has one signs in with EXTERNAL. Empty:
        /// none are asked for.
        client_ca: PathBuf = PathBuf::new(),
    }

    /// A certificate from an ACME authority such as Let's Encrypt, ordered and renewed by the server and kept
    /// in DATA/tls/acme. Until there is one, clients get the one of [tls]. `restante reload` has what failed
    /// tried again at once.
    acme: Acme {
        /// The names that the certificate is for. Empty: no ACME.
        domains: Vec<String> = Vec::new(),
        /// You agree to the authority's terms of service.
        agree_terms: bool = false,
        /// Mail addresses that the authority may write to.
        contact: Vec<String> = Vec::new(),
        /// The authority's directory. To try it out: https://acme-staging-v02.api.letsencrypt.org/directory
        directory: String = "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
        /// Certificates to trust for the authority's own address, in PEM. Empty: the system's.
        ca_file: PathBuf = PathBuf::new(),
        /// How the authority sees that the domains are yours. http-01: it asks at port 80 of each, which must
        /// lead to listen.http. tls-alpn-01: it asks at port 443, which must lead to listen.imaps.
        challenge: AcmeChallenge = AcmeChallenge::Http01,
        /// Where the authority binds accounts to its customers (external account binding): the identifier of
        /// the key that it gave you. Needed once, to make the account.
        eab_key_id: String = String::new(),
        /// A file with that key (HMAC), in base64url, as the authority gave it.
        eab_key_file: PathBuf = PathBuf::new(),
    }

    /// Signing in.
    login: Login {
        /// Allow passwords without TLS from other machines. (From this machine they are always
        /// allowed.)
        allow_plaintext: bool = false,
        /// What it costs to check a password (argon2id): memory in KiB, passes, lanes.
        argon2_memory_kib: u32 = 19_456,
        /// Passes over the memory.
        argon2_iterations: u32 = 2,
        /// Lanes.
        argon2_parallelism: u32 = 1,
        /// Passwords checked at the same time. 0: one for each core.
        threads: usize = 0,
        /// How long a correct password is remembered (as a keyed hash, in memory only), so that
        /// clients that sign in all the time cost little. 0s: not at all.
        cache: Span = Span(600),
        /// Ways to sign in that are offered, where they are possible: PLAIN (and LOGIN), SCRAM-SHA-1,
        /// SCRAM-SHA-256 (and -PLUS), EXTERNAL, OAUTHBEARER (and XOAUTH2), ANONYMOUS.
        mechanisms: Vec<String> =
            ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER"].map(str::to_owned).to_vec(),
        /// How often SCRAM hashes a password. More is better against who steals the data, and slower
        /// for phones. Keys are made anew when a user signs in with PLAIN after a change.
        scram_iterations: u32 = 15_000,
        /// The user as whom ANONYMOUS signs in.
        anonymous_user: String = String::new(),
        /// The longest wait for who guesses passwords: waits grow with failed logins from a network, to an
        /// account, and to an account from a network. 0s: nobody waits.
        throttle: Span = Span(10),
        /// Networks from which nobody waits, such as that of a webmail server: ["192.0.2.8/32"].
        throttle_exempt: Vec<Network> = Vec::new(),
        /// Users who may sign in as others: as OTHER*NAME with their own password, or with an
        /// authorization identity. As { name = "migration", users = ["*@example.org"] }; "*" is all.
        masters: Vec<Master> = Vec::new(),
        /// What stands between the two names.
        master_separator: String = "*".to_owned(),
    }

    /// Signing in with OAuth 2.0 access tokens (OAUTHBEARER, XOAUTH2).
    oauth: OAuth {
        /// The issuer, as its tokens name it: https://login.example.org. Empty: no tokens. Its keys are
        /// found by its OpenID configuration or RFC 8414 metadata.
        issuer: String = String::new(),
        /// Audiences that tokens must name one of.
        audience: Vec<String> = Vec::new(),
        /// Scopes that tokens must have, all of them, separated by spaces.
        scope: String = String::new(),
        /// The claim that is the user's name: email, preferred_username, sub, …
        claim: String = "email".to_owned(),
        /// Domains that are taken off the claim: ada@example.org is the user ada.
        strip_domains: Vec<String> = Vec::new(),
        /// Make an account for who signs in for the first time.
        create_accounts: bool = false,
        /// For tokens that are no JWT: the client by which the issuer is asked (RFC 7662).
        client_id: String = String::new(),
        /// The file with that client's secret.
        client_secret_file: PathBuf = PathBuf::new(),
        /// Take only JWTs that say that they are access tokens (RFC 9068).
        require_at_jwt: bool = false,
        /// How wrong clocks may be.
        leeway: Span = Span(60),
        /// How long the issuer is waited for.
        timeout: Span = Span(5),
        /// Certificates to trust, in PEM. Empty: the system's.
        ca_file: PathBuf = PathBuf::new(),
    }

    /// Delivery and storage of mail.
    mail: Mail {
        /// Domains whose addresses may be looked up by the part before the @, too. Empty:
        /// localhost and the host name.
        local_domains: Vec<String> = Vec::new(),
        /// The largest message that is accepted, by LMTP and IMAP (announced as APPENDLIMIT).
        message_size_max: Size = Size(100 << 20),
        /// The quota of users who have none of their own. 0 B: none.
        quota: Size = Size(0),
        /// The most messages of users who have no limit of their own. 0: no limit.
        quota_messages: u64 = 0,
        /// The most mailboxes, INBOX and those of `mailboxes` among them. 0: no limit.
        quota_mailboxes: u64 = 0,
        /// What a new account has beside INBOX. A name of a special use (Drafts, Sent, Junk, Trash,
        /// Archive, Important, Memos, Scheduled, Snoozed) makes the mailbox that clients use so.
        mailboxes: Vec<String> =
            ["Drafts", "Sent", "Junk", "Trash", "Archive"].map(str::to_owned).to_vec(),
        /// How long expunged messages can still be brought back.
        retention: Span = Span(14 * 86_400),
        /// How much of them is kept for each user, outside the quota. Above it the oldest are given up
        /// before their time, but not before the grace is over. 0 B: no cap.
        retained_size_max: Size = Size(10 << 30),
        /// How long bytes that nothing refers to are kept before they are deleted for good.
        grace: Span = Span(86_400),
        /// Memory for the index's cache of blocks.
        store_cache: Size = Size(32 << 20),
        /// Memory for what mailboxes hold (17 bytes for each message that was looked at), of all users.
        mailbox_cache: Size = Size(64 << 20),
        /// Memory for the envelopes and structures of messages, of all users.
        email_cache: Size = Size(64 << 20),
        /// Memory for what SEARCH, SORT and THREAD compare (addresses, subjects, dates, header
        /// fields that were searched), of all users. What does not fit is read anew each time: large mailboxes that
        /// are searched often want more.
        search_cache: Size = Size(128 << 20),
    }

    /// Limits on what one client can ask for.
    limits: Limits {
        /// Connections in all, of every kind.
        connections: usize = 20_000,
        /// Connections from one address (IPv6: one /64). This machine's own are not limited.
        connections_per_address: usize = 1_000,
        /// IMAP connections of one user.
        connections_per_user: usize = 100,
        /// Time to sign in after connecting.
        login_timeout: Span = Span(60),
        /// Time without a command before a client is signed out (RFC 9051 wants 30m or more).
        idle_timeout: Span = Span(1_860),
        /// Time for a client to take what it is sent.
        write_timeout: Span = Span(300),
        /// How often an idling client is sent a sign of life, for firewalls that forget
        /// connections. It wakes phones. 0s: never.
        idle_keepalive: Span = Span(1_440),
        /// Wrong passwords on one connection.
        login_attempts: u32 = 5,
        /// The longest command line before the login, without literals. Where OAuth tokens are taken, they may
        /// have 16 KiB.
        line_size_before_login: Size = Size(8 << 10),
        /// The longest command line after the login. Clients expect 64 KiB.
        line_size: Size = Size(256 << 10),
        /// The largest literal before the login.
        literal_size_before_login: Size = Size(4 << 10),
        /// The largest literal that is not a message.
        literal_size: Size = Size(512 << 10),
        /// The largest command with its literals, without messages.
        command_size: Size = Size(1 << 20),
        /// Messages in one APPEND.
        append_messages: u32 = 1_000,
        /// Ranges in one set of messages.
        set_ranges: usize = 65_536,
        /// Nesting of parentheses in a command.
        nesting: usize = 32,
        /// Expunged messages that a client cannot be told of yet, before it is disconnected.
        untold_expunges: usize = 50_000,
        /// Mailboxes that one client's NOTIFY watches for messages, besides the selected one.
        notify_mailboxes: usize = 10_000,
        /// Results of searches and sorts that are kept up to date for one client (CONTEXT).
        contexts: usize = 10,
        /// Messages, and ranges of them, in all of these but the first.
        context_messages: usize = 1_000_000,
        /// A command that takes longer tells the client its progress (INPROGRESS), and again so often.
        progress_every: Span = Span(12),
        /// Annotations (METADATA) of one mailbox, or of the server for one user; at least 10.
        annotations: usize = 100,
        /// The largest value of an annotation.
        annotation_size: Size = Size(64 << 10),
        /// Recipients of one message in LMTP.
        lmtp_recipients: usize = 1_000,
        /// Time an LMTP client may be silent.
        lmtp_timeout: Span = Span(600),
    }

    /// What IMAP clients are shown.
    imap: Imap {
        /// Capabilities that are switched off: not shown, and refused. For example ["NOTIFY"].
        hidden_capabilities: Vec<String> = Vec::new(),
        /// Capabilities that some clients are not shown, and refused, because they break with them: by what
        /// the name begins with that they give (ID).
        hidden_from: Vec<HiddenFrom> = vec![HiddenFrom {
            client: "Microsoft Office 365".to_owned(),
            hide: vec!["UIDONLY".to_owned()],
        }],
        /// What is otherwise on single addresses of listen.imap and listen.imaps. As { address =
        /// "[::]:1143", hide = ["COMPRESS=DEFLATE"], utf8_only = true }; both of the last two may be left
        /// out.
        listeners: Vec<ImapListener> = Vec::new(),
        /// Users whose mail is on another server, where their clients are sent once they have signed in (RFC 2221).
        /// As { users = ["bob", "*@example.org"], server = "imap://imap2.example.org/" }.
        referrals: Vec<ImapReferral> = Vec::new(),
        /// Mailboxes that are on other servers, with all below them, under the same name there; the best server first
        /// (RFC 2193). Everybody's, or those of `users`. As { mailbox = "Archive/Old", servers =
        /// ["imap://imap2.example.org/"], users = ["*@example.org"] }.
        mailbox_referrals: Vec<ImapMailboxReferral> = Vec::new(),
        /// Serve only clients that enable UTF8=ACCEPT (RFC 9755 UTF8=ONLY). Many do not.
        utf8_only: bool = false,
        /// The session resource of a JMAP server for the same mail (RFC 9698), if there is one where who signs
        /// in here can sign in as well and every message and mailbox has the same id:
        /// "https://jmap.example.org/session".
        jmap_url: String = String::new(),
        /// Messages in one SEARCH, FETCH, STORE, COPY, MOVE, THREAD, APPEND or UID EXPUNGE (RFC 9738). Clients that
        /// do not know MESSAGELIMIT see no more than so many of a larger mailbox. 0: no limit, otherwise at least
        /// 1000.
        message_limit: u32 = 0,
        /// The same for COPY and APPEND alone (SAVELIMIT).
        save_limit: u32 = 0,
        /// Users who are mail submission servers (BURL): they may fetch what URLs name that were authorized for
        /// submission.
        submission_users: Vec<String> = Vec::new(),
        /// Users who may set the quota of everybody (QUOTASET), as `restante user quota` does.
        quota_admins: Vec<String> = Vec::new(),
        /// A note about this server for its users (METADATA /shared/comment).
        comment: String = String::new(),
        /// How to reach its administrator, as a URI (METADATA /shared/admin): "mailto:postmaster@example.org".
        admin: String = String::new(),
    }

    /// Mailboxes that users share with each other by access rights (ACL).
    sharing: Sharing {
        /// What comes before the names of other users' mailboxes. "": they cannot be seen.
        other_users: String = "Other Users".to_owned(),
        /// A user whose mailboxes, as far as rights to them are granted, are those of all. "": there are none.
        shared_user: String = String::new(),
        /// What comes before the names of those.
        shared: String = "Shared".to_owned(),
        /// Groups of users, who can be granted rights together as "$" and the name: { staff = ["ann", "bob"] }.
        groups: BTreeMap<String, Vec<String>> = BTreeMap::new(),
        /// Whose \Seen is in mailboxes that others share with a user: "user" (each user has their own, as in
        /// their own mailboxes), or "mailbox" (all have one, as they have all other flags).
        seen: SeenOf = SeenOf::User,
    }

    /// The log goes to standard error.
    log: Log {
        /// error, warn, info, debug, trace; or filters such as "info,restante_session=debug".
        level: String = "info".to_owned(),
        /// human, json, or auto: human on a terminal, otherwise json.
        format: LogFormat = LogFormat::Auto,
    }
}

/// Capabilities that some clients are not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiddenFrom {
    /// What the client's name begins with.
    pub client: String,
    /// The words.
    pub hide: Vec<String>,
}

/// Users whose mail is on another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImapReferral {
    /// Names and `*@DOMAIN`.
    pub users: Vec<String>,
    /// The server.
    pub server: String,
}

/// A mailbox that is on other servers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImapMailboxReferral {
    /// Its name.
    pub mailbox: String,
    /// The servers.
    pub servers: Vec<String>,
    /// Whose: names and `*@DOMAIN`; none: everybody's.
    #[serde(default)]
    pub users: Vec<String>,
}

/// What is otherwise on one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImapListener {
    /// The address, as `listen` has it.
    pub address: SocketAddr,
    /// Capabilities that are switched off there.
    #[serde(default)]
    pub hide: Vec<String>,
    /// Whether only UTF-8 is spoken there.
    #[serde(default)]
    pub utf8_only: bool,
}

/// A certificate for some names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedCertificate {
    /// The chain in PEM.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// How an ACME authority sees that a domain is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcmeChallenge {
    /// RFC 8555 §8.3.
    #[serde(rename = "http-01")]
    Http01,
    /// RFC 8737.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// Whether the process gives up what it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// As far as the kernel can.
    #[default]
    Auto,
    /// Not at all.
    Off,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246), and 1.3.
    #[serde(rename = "1.2")]
    Tls12,
    /// 1.3 (RFC 8446) only.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A user who may sign in as others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Master {
    /// The user's name.
    pub name: String,
    /// As whom: names, `*` and `*@DOMAIN`.
    pub users: Vec<String>,
}

impl Master {
    /// Whether this user may sign in as that one. Both names are in their canonical form.
    pub fn may_act_as(&self, user: &str) -> bool {
        self.users
            .iter()
            .any(|pattern| match pattern.strip_prefix('*') {
                Some("") => true,
                Some(end) => user.ends_with(&end.to_lowercase()),
                None => restante_mailbox::canonical_user_name(pattern) == user,
            })
    }
}

/// Whose `\Seen` is in shared mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenOf {
    /// Each user's own.
    #[default]
    User,
    /// The mailbox's.
    Mailbox,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, otherwise JSON.
    #[default]
    Auto,
    /// A line for people.
    Human,
    /// One JSON object a line.
    Json,
}
