//! A connection's byte stream, with or without TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use restante_session::{Channel, Io, StartTls};
use rustls::server::{Acceptor, ClientHello};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::channel;
use crate::acme::ACME_TLS;
use crate::tls::TlsSetup;

/// TCP, possibly with TLS on it. What is not needed while a client idles is behind a pointer.
pub(crate) enum Stream {
    /// Plain text; with what it takes to begin TLS, if that is offered.
    Plain(TcpStream, Option<Arc<TlsSetup>>),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>, Option<Arc<CertifiedKey>>),
}

impl Stream {
    /// Performs the handshake as the server. A plain stream without a TLS configuration, and one
    /// that is inside TLS already, cannot.
    pub(crate) async fn into_tls(self) -> io::Result<Stream> {
        match self {
            Stream::Plain(tcp, Some(setup)) => {
                let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
                if is_challenge(&start.client_hello()) {
                    // RFC 8737 §3: the handshake is the answer, and nothing follows.
                    let challenge = Arc::clone(&setup.challenge);
                    start.into_stream(challenge).await?.shutdown().await?;
                    return Err(io::Error::other("an ACME challenge was answered"));
                }
                let config = Arc::clone(&setup.usual);
                // What the resolver gives a moment later in the handshake: logins are bound to it.
                let certificate = config.cert_resolver.resolve(start.client_hello());
                let stream = start
                    .into_stream_with(config, |connection| {
                        // What the client does not take is held up in the session, not copied here.
                        connection.set_buffer_limit(Some(16 * 1024));
                    })
                    .await?;
                Ok(Stream::Tls(Box::new(stream), certificate))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "TLS cannot begin here",
            )),
        }
    }
}

/// Whether this is an ACME authority, which offers one protocol.
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(ACME_TLS) && offered.next().is_none())
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain(tcp, _) => {
                let $stream = Pin::new(tcp);
                $call
            }
            Stream::Tls(tls, _) => {
                let $stream = Pin::new(tls.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}

impl Io for Stream {
    fn is_secure(&self) -> bool {
        matches!(self, Stream::Tls(..))
    }

    fn can_starttls(&self) -> bool {
        matches!(self, Stream::Plain(_, Some(_)))
    }

    fn channel(&self) -> Channel {
        match self {
            Stream::Plain(..) => Channel::default(),
            Stream::Tls(tls, certificate) => channel(tls.get_ref().1, certificate.as_deref()),
        }
    }

    fn security(&self) -> Option<String> {
        let Stream::Tls(tls, _) = self else {
            return None;
        };
        let connection = tls.get_ref().1;
        let version = connection.protocol_version()?;
        let suite = connection.negotiated_cipher_suite()?.suite();
        Some(format!("{version:?} {suite:?}"))
    }

    fn starttls(self: Box<Self>) -> StartTls {
        Box::pin(async move {
            let stream: Box<dyn Io> = Box::new(self.into_tls().await?);
            Ok(stream)
        })
    }
}
