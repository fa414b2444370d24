//! A running server: everything put together, until it is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restante_auth::password::PasswordError;
use restante_auth::sasl::ScramHash;
use restante_auth::{Secret, Verifier, VerifierOptions};
use restante_mailbox::Mail;
use restante_session::Peer;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::authenticator::{Directory, Scram};
use crate::config::{Config, Size};
use crate::gate::Gate;
use crate::logging::LogLevel;
use crate::net::{Admission, Bound, Refused, Seats, Stream, accept_loop, bind};
use crate::oauth::OAuthError;
use crate::storage::{self, StorageError};
use crate::tls::{CertificateFiles, Certificates, TlsError, server_config};
use crate::{background, control, lmtp, system};

/// How long connections have to end when the server goes down.
const GOODBYE: Duration = Duration::from_secs(10);

/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// Why the server does not run (any more).
#[derive(Debug, Error)]
pub enum ServeError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} for {service}: {source}{}",
        bind_hint(source)
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What for.
        service: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Tokens cannot be checked.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
    /// The control socket cannot be made.
    #[error("cannot listen on the control socket: {0}")]
    Control(#[source] io::Error),
    /// Passwords cannot be checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The system refuses what a server needs.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The store failed while serving; nothing acknowledged is lost.
    #[error(
        "the store failed: {0}. Nothing that was acknowledged is lost. Look at the disk (space, \
         errors in the kernel's log), then start the server again: it recovers by itself"
    )]
    StoreFailed(Arc<str>),
}

fn bind_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (does another server run? choose another port)",
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE, as the systemd unit gives it)"
        }
        _ => "",
    }
}

/// Where a server came from.
#[derive(Debug, Default)]
pub struct Origin {
    /// The file the configuration was read from, if one was named; read again on SIGHUP.
    pub file: Option<PathBuf>,
    /// The log's level, to be changed on SIGHUP.
    pub level: Option<LogLevel>,
}

/// Runs a server until SIGTERM or SIGINT, or until the store fails.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: Config, origin: Origin) -> Result<(), ServeError> {
    system::raise_file_limit();
    system::give_back_large_blocks();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let server = Server::start(&config).await?;
    println!("{}", server.welcome(&config));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %config.data_dir().display(), "ready");
    system::notify("READY=1");
    let store = server.mail.store().clone();
    let mut certificates_due = tokio::time::interval(CERTIFICATES_EVERY);
    let result = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            reason = store.failed() => break Err(ServeError::StoreFailed(reason)),
            _ = hangup.recv() => {
                system::notify("RELOADING=1");
                reload(&origin);
                server.reload_certificates(true);
                system::notify("READY=1");
            }
            _ = certificates_due.tick() => server.reload_certificates(false),
        }
    };
    system::notify("STOPPING=1");
    if let Err(error) = &result {
        tracing::error!(%error, "stopping");
    } else {
        tracing::info!("stopping");
    }
    server.stop().await;
    tracing::info!("stopped");
    result
}

/// Reads the file again for what can be changed in a running server.
fn reload(origin: &Origin) {
    match Config::load(origin.file.as_deref()) {
        Ok(config) => {
            if let Some(level) = &origin.level {
                level.set(&config.log.level);
            }
            tracing::info!("reloaded: log level and certificates (other settings need a restart)");
        }
        Err(error) => tracing::error!(%error, "the configuration is not valid; nothing is changed"),
    }
}

/// The parts of a running server.
struct Server {
    mail: Arc<Mail>,
    certificates: Arc<Certificates>,
    /// Service and address, with the ports that were chosen.
    addresses: Vec<(Service, SocketAddr)>,
    /// Set to true to end everything.
    shutdown: watch::Sender<bool>,
    /// Closed when the last connection has ended.
    connections_end: mpsc::Receiver<()>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Imap,
    Imaps,
    Lmtp,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Imap => "IMAP",
            Service::Imaps => "IMAP over TLS",
            Service::Lmtp => "LMTP",
        }
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    session: Arc<restante_session::Env>,
    lmtp: Arc<lmtp::Env>,
    tls: Arc<rustls::ServerConfig>,
    admission: Admission,
    handshake_timeout: Duration,
    /// Held by every connection, so that their end can be waited for.
    alive: mpsc::Sender<()>,
}

impl Server {
    async fn start(config: &Config) -> Result<Server, ServeError> {
        // Before the store is opened, which may take a while: a wrong address shows at once. Clients
        // can connect when all is there.
        let bound = bind_all(config)?;
        let data = config.data_dir();
        let mail = storage::open(config).await?;
        let files = if config.tls.certificate.as_os_str().is_empty() {
            CertificateFiles::self_signed(&data)
        } else {
            CertificateFiles {
                certificate: config.tls.certificate.clone(),
                key: config.tls.key.clone(),
                self_signed: false,
            }
        };
        let certificates = Arc::new(Certificates::open(files, &config.hostname())?);
        let tls = server_config(Arc::clone(&certificates))?;
        let control = control::listen(&data).map_err(ServeError::Control)?;
        let limits = &config.limits;
        let admission = Admission::new(limits.connections, limits.connections_per_address);
        let (shutdown, down) = watch::channel(false);
        let (alive, connections_end) = mpsc::channel(1);
        let shared = Shared {
            session: Arc::new(session_env(config, &mail, down.clone()).await?),
            lmtp: Arc::new(lmtp_env(config, &mail, down.clone())),
            tls,
            admission: admission.clone(),
            handshake_timeout: limits.login_timeout.duration(),
            alive,
        };
        let mut tasks = background::start(&mail, &down);
        let mut addresses = Vec::new();
        for (service, address, bound) in bound {
            let listener = bound
                .listen()
                .map_err(|source| cannot_listen(service, address, source))?;
            tracing::info!(address = %listener.address, "listening for {}", service.name());
            addresses.push((service, listener.address));
            let (shared, down) = (shared.clone(), down.clone());
            tasks.push(tokio::spawn(accept_loop(
                listener,
                is_down(down),
                move |stream, peer| {
                    accepted(&shared, service, stream, peer);
                },
            )));
        }
        let (for_control, down) = (Arc::clone(&mail), down);
        tasks.push(tokio::spawn(async move {
            tokio::select! {
                () = control.run(for_control, admission) => {}
                () = is_down(down) => {}
            }
        }));
        Ok(Server {
            mail,
            certificates,
            addresses,
            shutdown,
            connections_end,
            tasks,
        })
    }

    /// What a person who started the server needs to know.
    fn welcome(&self, config: &Config) -> String {
        let data = config.data_dir();
        let mut lines = vec![format!(
            "Restante {} is running.",
            env!("CARGO_PKG_VERSION")
        )];
        for (service, address) in &self.addresses {
            let what = match service {
                Service::Imap => "IMAP with STARTTLS",
                Service::Imaps => "IMAP over TLS",
                Service::Lmtp => "LMTP (mail comes in here, from your mail server)",
            };
            lines.push(format!("  {what}: {address}"));
        }
        let flag = if config.server.data.as_os_str().is_empty() {
            String::new()
        } else {
            format!(" --data {}", data.display())
        };
        lines.push(format!(
            "Add a user (in another terminal):\n  restante user add ada@example.org{flag}"
        ));
        let tls_port = self
            .addresses
            .iter()
            .find(|(service, _)| *service == Service::Imaps);
        if let Some((_, address)) = tls_port {
            lines.push(format!(
                "Then connect a mail program: server {}, port {}, SSL/TLS, the user's name and password.",
                config.hostname(),
                address.port()
            ));
        }
        if self.certificates.files().self_signed {
            lines.push(format!(
                "The certificate is self-signed ({}); mail programs will ask once whether to trust it.",
                self.certificates.files().certificate.display()
            ));
        }
        lines.join("\n")
    }

    fn reload_certificates(&self, always: bool) {
        match self.certificates.reload(always) {
            Ok(true) => tracing::info!(
                file = %self.certificates.files().certificate.display(),
                "certificate loaded"
            ),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the certificate could not be loaded; the old one stays in use");
            }
        }
    }

    /// Says goodbye to everybody, waits a little, and closes the store.
    async fn stop(mut self) {
        let _ = self.shutdown.send(true);
        for task in self.tasks.drain(..) {
            let _ = timeout(GOODBYE, task).await;
        }
        if timeout(GOODBYE, self.connections_end.recv()).await.is_err() {
            tracing::warn!("connections that did not end are cut off");
        }
        self.mail.store().close().await;
    }
}

fn bind_all(config: &Config) -> Result<Vec<(Service, SocketAddr, Bound)>, ServeError> {
    let listen = &config.listen;
    let services = [
        (Service::Imap, &listen.imap),
        (Service::Imaps, &listen.imaps),
        (Service::Lmtp, &listen.lmtp),
    ];
    let mut all = Vec::new();
    for (service, addresses) in services {
        for address in addresses {
            let bound = bind(*address).map_err(|e| cannot_listen(service, *address, e))?;
            all.push((service, *address, bound));
        }
    }
    Ok(all)
}

fn cannot_listen(service: Service, address: SocketAddr, source: io::Error) -> ServeError {
    ServeError::Listen {
        address,
        service: service.name(),
        source,
    }
}

async fn scram(config: &Config, mail: &Mail) -> Result<Scram, ServeError> {
    let fresh = Verifier::random().map_err(ServeError::Password)?;
    let secret = mail.scram_secret(fresh).await;
    let secret = secret.map_err(|error| ServeError::System(io::Error::other(error)))?;
    let hashes = ScramHash::ALL.into_iter();
    Ok(Scram {
        hashes: hashes
            .filter(|hash| config.offers(hash.mechanism()))
            .collect(),
        iterations: config.login.scram_iterations,
        secret: Secret::new(secret),
    })
}

async fn session_env(
    config: &Config,
    mail: &Arc<Mail>,
    shutdown: watch::Receiver<bool>,
) -> Result<restante_session::Env, ServeError> {
    let mut options = VerifierOptions {
        cache_for: config.login.cache.duration(),
        cost: config.cost(),
        ..VerifierOptions::default()
    };
    if config.login.threads > 0 {
        options.threads = config.login.threads;
    }
    let directory = Arc::new(Directory {
        mail: Arc::clone(mail),
        verifier: Verifier::new(options)?,
        seats: Seats::new(config.limits.connections_per_user),
        scram: scram(config, mail).await?,
    });
    let authenticator = Arc::new(Gate::new(directory, config, mail)?);
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
        set_ranges_max: set.set_ranges,
        nesting_max: set.nesting,
        ghosts_max: set.untold_expunges,
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
        server_annotations,
        shutdown,
    })
}

fn lmtp_env(config: &Config, mail: &Arc<Mail>, shutdown: watch::Receiver<bool>) -> lmtp::Env {
    lmtp::Env {
        mail: Arc::clone(mail),
        hostname: config.hostname(),
        local_domains: config.local_domains(),
        message_bytes_max: config.mail.message_size_max.0,
        recipients_max: config.limits.lmtp_recipients,
        timeout: config.limits.lmtp_timeout.duration(),
        spool_dir: config.data_dir().join("tmp"),
        shutdown,
    }
}

async fn is_down(mut down: watch::Receiver<bool>) {
    // An error means that the server is gone.
    let _ = down.wait_for(|down| *down).await;
}

/// Starts the task of a connection, or refuses it.
fn accepted(shared: &Shared, service: Service, tcp: TcpStream, peer: SocketAddr) {
    let place = match shared.admission.admit(peer.ip()) {
        Ok(place) => place,
        Err(refused) => return refuse(service, &tcp, peer, refused),
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let _place = place;
        let Shared {
            session,
            lmtp,
            tls,
            handshake_timeout,
            alive,
            ..
        } = shared;
        let _alive = alive;
        let stream = Stream::Plain(tcp, Some(tls));
        match service {
            Service::Lmtp => Box::pin(lmtp::serve(stream, lmtp, Some(peer.ip()))).await,
            Service::Imap => imap(stream, session, peer).await,
            Service::Imaps => {
                // Boxed, so that the handshake's state is not kept as long as the connection.
                let handshake = Box::pin(timeout(handshake_timeout, stream.into_tls())).await;
                match handshake {
                    Ok(Ok(stream)) => imap(stream, session, peer).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                }
            }
        }
    });
}

fn imap(
    stream: Stream,
    session: Arc<restante_session::Env>,
    peer: SocketAddr,
) -> impl Future<Output = ()> {
    let peer = Peer {
        address: Some(peer.ip()),
        port: peer.port(),
    };
    restante_session::serve(Box::new(stream), session, peer)
}

/// Tells a client that there is no room, if it can be told without waiting.
fn refuse(service: Service, tcp: &TcpStream, peer: SocketAddr, refused: Refused) {
    let limit = match refused {
        Refused::Total => "limits.connections",
        Refused::Address => "limits.connections_per_address",
    };
    tracing::warn!(%peer, limit, "connection refused: too many");
    let line: &[u8] = match service {
        // RFC 9051 §7.1.5; the code is of RFC 5530.
        Service::Imap => b"* BYE [LIMIT] Too many connections\r\n",
        Service::Imaps => b"",
        Service::Lmtp => b"421 4.3.2 Too many connections, try again\r\n",
    };
    let _ = tcp.try_write(line);
}
