//! The byte stream under a session.
//!
//! A session knows no sockets: the server hands it anything that reads and writes. What only a
//! transport can do (TLS after `STARTTLS`) is a method here, so that tests run over a plain
//! in-memory duplex.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use restante_auth::sasl::Channel;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The future of [`Io::starttls`].
pub type StartTls = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// A transport: a byte stream that may be able to turn itself into TLS.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether what is sent cannot be read on the way (TLS, or a transport that never leaves the
    /// machine and is as good).
    fn is_secure(&self) -> bool;

    /// Whether [`Io::starttls`] can succeed.
    fn can_starttls(&self) -> bool {
        false
    }

    /// What a login can be bound to, and the client's certificate. Made when it is asked for, so that
    /// a connection carries none of it.
    fn channel(&self) -> Channel {
        Channel::default()
    }

    /// How the connection is secured, for the record: `TLSv1_3 TLS13_AES_256_GCM_SHA384`.
    fn security(&self) -> Option<String> {
        None
    }

    /// Performs the TLS handshake as the server and returns the stream on top of it.
    ///
    /// # Errors
    /// The handshake failed or this transport has no TLS; the connection is then over.
    fn starttls(self: Box<Self>) -> StartTls {
        Box::pin(async {
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "no TLS on this transport",
            ))
        })
    }
}

/// Any byte stream as a transport without `STARTTLS`.
#[derive(Debug)]
pub struct PlainIo<T> {
    stream: T,
    secure: bool,
    channel: Channel,
}

impl<T> PlainIo<T> {
    /// Wraps a stream; `secure` as in [`Io::is_secure`].
    pub fn new(stream: T, secure: bool) -> PlainIo<T> {
        PlainIo {
            stream,
            secure,
            channel: Channel::default(),
        }
    }

    /// With something that logins can be bound to.
    pub fn with_channel(self, channel: Channel) -> PlainIo<T> {
        PlainIo { channel, ..self }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PlainIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PlainIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for PlainIo<T> {
    fn is_secure(&self) -> bool {
        self.secure
    }

    fn channel(&self) -> Channel {
        self.channel.clone()
    }
}
