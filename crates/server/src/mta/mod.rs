//! What mail servers ask: whether a user may send (Dovecot's authentication protocol, which Postfix and
//! Exim speak), and whether mail for somebody would be taken (Postfix's policy and socketmap protocols).

mod auth;
mod lines;
mod lookup;

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::config::Endpoint;
use crate::live::Current;

/// Connections at once, of each endpoint.
const CONNECTIONS_MAX: usize = 1_000;
/// How long to wait when nothing can be accepted.
const PAUSE: Duration = Duration::from_millis(200);

/// What is asked at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Dovecot's authentication protocol.
    Auth,
    /// Postfix's policy delegation.
    Policy,
    /// Postfix's socketmap.
    Socketmap,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Auth => "authentication for mail servers",
            Service::Policy => "Postfix's policy protocol",
            Service::Socketmap => "Postfix's socketmap protocol",
        })
    }
}

/// An endpoint that is listened on.
#[derive(Debug)]
pub(crate) struct Listening {
    service: Service,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Listens. A Unix socket that nobody listens on any more is replaced; everybody who reaches its directory
/// may connect.
pub(crate) fn listen(service: Service, endpoint: &Endpoint) -> io::Result<Listening> {
    let socket = match endpoint {
        Endpoint::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Socket::Tcp(listener)
        }
        Endpoint::Unix(path) => Socket::Unix(listen_unix(path)?),
    };
    Ok(Listening { service, socket })
}

fn listen_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::UnixListener;
    let bound = UnixListener::bind(path);
    let listener = match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    listener.set_nonblocking(true)?;
    // The directory says who may reach it: Postfix's own is closed to others.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

impl Listening {
    /// Serves until the future is dropped.
    pub(crate) async fn run(self, current: Arc<Current>) {
        let service = self.service;
        let listener = match self.socket {
            Socket::Unix(listener) => UnixListener::from_std(listener).map(Listener::Unix),
            Socket::Tcp(listener) => TcpListener::from_std(listener).map(Listener::Tcp),
        };
        match listener {
            Ok(listener) => accept(service, listener, current).await,
            Err(error) => tracing::error!(%error, %service, "cannot listen"),
        }
    }
}

async fn accept(service: Service, listener: Listener, current: Arc<Current>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted: io::Result<Box<dyn Stream>> = match &listener {
            Listener::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Box::new(stream) as _),
            Listener::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Box::new(stream) as _),
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, %service, "cannot accept");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%service, "connection refused: too many");
            continue;
        };
        let current = Arc::clone(&current);
        tokio::spawn(async move {
            let _place = place;
            let served = match service {
                Service::Auth => auth::serve(stream, &current).await,
                Service::Policy => lookup::policy(stream, &current).await,
                Service::Socketmap => lookup::socketmap(stream, &current).await,
            };
            if let Err(error) = served {
                tracing::info!(%error, %service, "connection ended");
            }
        });
    }
}

#[cfg(test)]
mod tests;
