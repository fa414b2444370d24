//! A running server: everything put together, until it is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restante_auth::password::PasswordError;
use restante_mailbox::Mail;
use restante_session::Peer;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{Config, Network};
use crate::live::{Current, Live};
use crate::logging::LogLevel;
use crate::net::{Admission, Bound, Refused, Stream, accept_loop, bind, client_behind};
use crate::oauth::OAuthError;
use crate::service::{HOW_TO_READ, ServiceError};
use crate::sources::pam;
use crate::storage::{self, StorageError};
use crate::tls::{CertificateSet, Configured, TlsError, TlsSetup};
use crate::{acme, background, control, lmtp, mta, sandbox, service, system, tls};

/// How long connections have to end when the server goes down.
const GOODBYE: Duration = Duration::from_secs(10);

/// How long checkpoints are written when the server goes down.
const LAST_CHECKPOINTS: Duration = Duration::from_secs(1);

/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// Why the server does not run (any more).
#[derive(Debug, Error)]
pub enum ServeError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The process cannot be who it should be.
    #[error(transparent)]
    Service(#[from] ServiceError),
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
    /// A socket for mail servers cannot be listened on.
    #[error("cannot listen on {endpoint} for {service}: {source}")]
    Endpoint {
        /// Where.
        endpoint: String,
        /// What for.
        service: String,
        /// The cause.
        source: io::Error,
    },
    /// Tokens cannot be checked.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
    /// A source of users lacks what it needs.
    #[error("{0}")]
    Users(String),
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
            " (ports below 1024 need CAP_NET_BIND_SERVICE, as the systemd unit gives it, or a start as \
             root with [service] user)"
        }
        _ => "",
    }
}

/// Where a server came from, to look there again on SIGHUP and `restante reload`.
pub struct Origin {
    /// The configuration file, whether there is one or not.
    pub file: PathBuf,
    /// Reads the configuration again, with what the command line changes of it.
    pub load: Box<dyn Fn() -> Result<Config, String> + Send + Sync>,
    /// The log's level.
    pub level: Option<LogLevel>,
}

/// Asks the running server to read its configuration again; the answer is what came of it, for people.
pub(crate) type ReloadAsked = oneshot::Sender<Result<String, String>>;

/// A server that has what it needs of the system, and is no more than it needs to be.
pub struct Prepared {
    bound: Vec<(Service, SocketAddr, Bound)>,
    mail_servers: Vec<mta::Listening>,
    certificates: Configured,
    pam: Option<pam::Started>,
}

/// Takes addresses and reads certificates, as root if the process is; then becomes the service's user and
/// enters the sandbox. For the time before there are other threads: some of it holds only for the thread
/// that does it, and those that it starts.
///
/// # Errors
/// See [`ServeError`].
pub fn prepare(config: &Config, origin: &Origin) -> Result<Prepared, ServeError> {
    system::raise_file_limit();
    system::keep_to_itself();
    system::give_back_large_blocks();
    let user = service::prepare(config)?;
    let prepared = Prepared {
        bound: bind_all(config)?,
        mail_servers: listen_to_mail_servers(config)?,
        certificates: Configured::read(config)?,
        pam: pam::Started::new(config)?,
    };
    service::give_up(user.as_ref())?;
    sandbox::enter(&origin.file, config);
    for (key, file, error) in service::unreadable(config) {
        tracing::warn!(key, file = %file.display(), %error, "a reload will not be able to read this: {HOW_TO_READ}");
    }
    Ok(prepared)
}

/// Runs a server until SIGTERM or SIGINT, or until the store fails.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: Config, origin: Origin, prepared: Prepared) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut server = Server::start(&config, prepared).await?;
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
                let _ = server.reload(&origin).await;
            }
            Some(answer) = server.reload_asked.recv() => {
                let _ = answer.send(server.reload(&origin).await);
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

/// The parts of a running server.
struct Server {
    mail: Arc<Mail>,
    certificates: Arc<CertificateSet>,
    /// Service and address, with the ports that were chosen.
    addresses: Vec<(Service, SocketAddr)>,
    /// Set to true to end everything.
    shutdown: watch::Sender<bool>,
    /// Closed when the last connection has ended.
    connections_end: mpsc::Receiver<()>,
    tasks: Vec<JoinHandle<()>>,
    current: Arc<Current>,
    reload_asked: mpsc::Receiver<ReloadAsked>,
    /// Told to order a certificate without waiting longer.
    acme_now: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Imap,
    Imaps,
    Lmtp,
    /// For ACME challenges only.
    Http,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Imap => "IMAP",
            Service::Imaps => "IMAP over TLS",
            Service::Lmtp => "LMTP",
            Service::Http => "ACME challenges",
        }
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    current: Arc<Current>,
    tls: Arc<TlsSetup>,
    challenges: Arc<acme::Challenges>,
    admission: Admission,
    /// Load balancers.
    proxy_from: Arc<[Network]>,
    /// Held by every connection, so that their end can be waited for.
    alive: mpsc::Sender<()>,
}

impl Server {
    async fn start(config: &Config, prepared: Prepared) -> Result<Server, ServeError> {
        // Addresses were taken before the store is opened, which may take a while: a wrong one shows at
        // once. Clients can connect when all is there.
        let Prepared {
            bound,
            mail_servers,
            certificates,
            pam,
        } = prepared;
        let data = config.data_dir();
        let mail = storage::open(config).await?;
        let certificates = Arc::new(certificates.complete(config)?);
        let tls = Arc::new(tls::setup(Arc::clone(&certificates), config)?);
        let control = control::listen(&data).map_err(ServeError::Control)?;
        let limits = &config.limits;
        let admission = Admission::new(limits.connections, limits.connections_per_address);
        let (shutdown, down) = watch::channel(false);
        let (alive, connections_end) = mpsc::channel(1);
        let broker = pam.map(pam::Broker::new).transpose()?.map(Arc::new);
        let (gate, to_go) = (admission.clone(), down.clone());
        let current = Current::new(config, &mail, gate, broker, to_go).await?;
        let current = Arc::new(current);
        let shared = Shared {
            current: Arc::clone(&current),
            tls,
            challenges: Arc::clone(certificates.challenges()),
            admission: admission.clone(),
            proxy_from: config.listen.proxy_from.clone().into(),
            alive,
        };
        let mut tasks = background::start(&mail, &current.watch, &down);
        let acme_now = Arc::new(Notify::new());
        let keeper = acme::Keeper::new(config, &certificates, &acme_now);
        tasks.extend(keeper.map(|keeper| tokio::spawn(keeper.run(down.clone()))));
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
                    accepted(&shared, (service, address), stream, peer);
                },
            )));
        }
        for listening in mail_servers {
            let (current, down) = (Arc::clone(&current), down.clone());
            tasks.push(tokio::spawn(async move {
                tokio::select! {
                    () = listening.run(current) => {}
                    () = is_down(down) => {}
                }
            }));
        }
        let (for_control, down) = (Arc::clone(&mail), down);
        let (ask_reload, reload_asked) = mpsc::channel(1);
        let watch = Arc::clone(&current.watch);
        tasks.push(tokio::spawn(async move {
            tokio::select! {
                () = control.run(for_control, admission, watch, ask_reload) => {}
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
            current,
            reload_asked,
            acme_now,
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
                Service::Http => "HTTP for ACME challenges",
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
        let files = self.certificates.default_files();
        if files.self_signed {
            lines.push(format!(
                "The certificate is self-signed ({}); mail programs will ask once whether to trust it.",
                files.certificate.display()
            ));
        }
        lines.join("\n")
    }

    /// Reads the configuration again, and serves new connections with what can be changed without a
    /// restart. Says what came of it. If the file is not valid, nothing is changed.
    async fn reload(&self, origin: &Origin) -> Result<String, String> {
        system::notify("RELOADING=1");
        let outcome = self.reload_now(origin).await;
        match &outcome {
            Ok(done) => tracing::info!("reloaded: {done}"),
            Err(error) => tracing::error!(%error, "not reloaded; nothing is changed"),
        }
        system::notify("READY=1");
        outcome
    }

    async fn reload_now(&self, origin: &Origin) -> Result<String, String> {
        let config = (origin.load)()?;
        // Certificates that cannot be read stay as they are.
        let closed = |(key, _, error): &(&str, PathBuf, io::Error)| {
            error.kind() == io::ErrorKind::PermissionDenied && !key.starts_with("tls.")
        };
        if let Some((key, file, error)) = service::unreadable(&config).into_iter().find(closed) {
            let file = file.display();
            return Err(format!("{key}: {file}: {error} ({HOW_TO_READ})"));
        }
        let level = config.log.level.clone();
        let changed = self.current.change(config).await;
        let changed = changed.map_err(|error| error.to_string())?;
        if let Some(handle) = &origin.level {
            handle.set(&level);
        }
        self.reload_certificates(true);
        self.acme_now.notify_one();
        let list = |names: &[String]| match names {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        let mut done = format!(
            "certificates; changed for new connections: {}",
            list(&changed.applied)
        );
        if !changed.waiting.is_empty() {
            done.push_str("; only a restart changes: ");
            done.push_str(&changed.waiting.join(", "));
        }
        Ok(done)
    }

    fn reload_certificates(&self, always: bool) {
        for one in self.certificates.all() {
            match one.reload(always) {
                Ok(true) => {
                    tracing::info!(file = %one.files().certificate.display(), "certificate loaded");
                }
                Ok(false) => {}
                Err(error) => {
                    let hint = match error.is_permission() {
                        true => HOW_TO_READ,
                        false => "the server looks again when the file changes",
                    };
                    tracing::error!(%error, hint, "the certificate could not be loaded; the old one stays in use");
                }
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
        self.current.watch.save(&self.mail).await;
        // Without them the next start only has more to read.
        if let Err(error) = self.mail.checkpoint_warm(LAST_CHECKPOINTS).await {
            tracing::warn!(%error, "not all mailboxes could be written down");
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
        (Service::Http, &listen.http),
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

fn listen_to_mail_servers(config: &Config) -> Result<Vec<mta::Listening>, ServeError> {
    let listen = &config.listen;
    let all = [
        (mta::Service::Auth, &listen.auth),
        (mta::Service::Policy, &listen.policy),
        (mta::Service::Socketmap, &listen.socketmap),
    ];
    let mut listening = Vec::new();
    for (service, endpoints) in all {
        for endpoint in endpoints {
            let cannot = |source| ServeError::Endpoint {
                endpoint: endpoint.to_string(),
                service: service.to_string(),
                source,
            };
            listening.push(mta::listen(service, endpoint).map_err(cannot)?);
            tracing::info!(%endpoint, "listening for {service}");
        }
    }
    Ok(listening)
}

fn cannot_listen(service: Service, address: SocketAddr, source: io::Error) -> ServeError {
    ServeError::Listen {
        address,
        service: service.name(),
        source,
    }
}

async fn is_down(mut down: watch::Receiver<bool>) {
    // An error means that the server is gone.
    let _ = down.wait_for(|down| *down).await;
}

/// Starts the task of a connection, after finding out who it is if a load balancer stands between.
fn accepted(
    shared: &Shared,
    listener: (Service, SocketAddr),
    mut tcp: TcpStream,
    peer: SocketAddr,
) {
    let is_balancer = shared.proxy_from.iter().any(|net| net.contains(peer.ip()));
    if matches!(listener.0, Service::Lmtp | Service::Http) || !is_balancer {
        return begin(shared, listener, tcp, peer);
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        match client_behind(&mut tcp, peer).await {
            Ok(client) => begin(&shared, listener, tcp, client),
            Err(error) => tracing::warn!(
                balancer = %peer,
                %error,
                "connection ended: listen.proxy_from says that it begins with a PROXY header"
            ),
        }
    });
}

/// Starts the task of a connection, or refuses it.
fn begin(
    shared: &Shared,
    (service, address): (Service, SocketAddr),
    tcp: TcpStream,
    peer: SocketAddr,
) {
    let place = match shared.admission.admit(peer.ip()) {
        Ok(place) => place,
        Err(refused) => return refuse(service, &tcp, peer, refused),
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let _place = place;
        let Shared {
            current,
            tls,
            alive,
            challenges,
            ..
        } = shared;
        if service == Service::Http {
            return acme::answer(tcp, &challenges).await;
        }
        drop(challenges);
        let live = current.live();
        drop(current);
        let session = live.session_at(address);
        let Live {
            lmtp,
            handshake_timeout,
            ..
        } = live;
        let _alive = alive;
        let stream = Stream::Plain(tcp, Some(tls));
        match service {
            Service::Lmtp => Box::pin(lmtp::serve(stream, lmtp, Some(peer.ip()))).await,
            Service::Imap => imap(stream, session, peer).await,
            Service::Http => {}
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
        Service::Http => b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n",
        Service::Lmtp => b"421 4.3.2 Too many connections, try again\r\n",
    };
    let _ = tcp.try_write(line);
}
