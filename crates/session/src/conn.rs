//! Reading frames and writing responses over one transport.
//!
//! What an idle connection holds is here, so it is little: no read buffer (reads go through one
//! buffer of the thread, and only what is not yet a whole command is kept) and no write buffer once
//! everything is written.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use restante_auth::sasl::Channel;
use restante_proto::types::LiteralHead;
use tokio::io::{AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

use crate::deflate::Deflate;
use crate::env::Limits;
use crate::io::Io;
use crate::wire::{self, Framing, Input};

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;
/// A write buffer larger than this is given back when it is empty.
const KEPT_BYTES: usize = 1 << 10;

thread_local! {
    /// Every session of this thread reads into it, and takes what is its own out at once.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection.
pub(crate) struct Conn {
    /// None only while TLS is being started.
    io: Option<Box<dyn Io>>,
    framing: Framing,
    /// After COMPRESS.
    deflate: Option<Box<Deflate>>,
    out: Vec<u8>,
    out_bytes: usize,
    stall_timeout: Duration,
    /// When the command that is being read must be there at last.
    deadline: Instant,
    /// The client has ended its sending; noticed while a command runs.
    half_closed: bool,
    /// The client did not go on with a command that it had begun.
    stalled: bool,
}

impl Conn {
    /// `tokens`: the client may log in with one, which makes a long line.
    pub(crate) fn new(io: Box<dyn Io>, limits: &Limits, tokens: bool) -> Conn {
        Conn {
            io: Some(io),
            framing: Framing::new(limits, tokens),
            deflate: None,
            out: Vec::new(),
            out_bytes: limits.out_bytes,
            stall_timeout: limits.write_timeout,
            deadline: Instant::now() + limits.login_timeout,
            half_closed: false,
            stalled: false,
        }
    }

    /// Takes larger commands from now on.
    pub(crate) fn after_login(&mut self, limits: &Limits) {
        self.framing.after_login(limits);
    }

    /// Reads mailbox names as UTF-8, no longer as modified UTF-7.
    pub(crate) fn utf8_names(&mut self, utf8: bool) {
        self.framing.utf8_names(utf8);
    }

    /// Whether nobody on the way can read along.
    pub(crate) fn is_secure(&self) -> bool {
        self.io.as_ref().is_some_and(|io| io.is_secure())
    }

    /// What a login can be bound to.
    pub(crate) fn channel(&self) -> Channel {
        self.io.as_ref().map(|io| io.channel()).unwrap_or_default()
    }

    /// How the connection is secured, for the record.
    pub(crate) fn security(&self) -> Option<String> {
        self.io.as_ref().and_then(|io| io.security())
    }

    /// Whether TLS can be started.
    pub(crate) fn can_starttls(&self) -> bool {
        self.io
            .as_ref()
            .is_some_and(|io| !io.is_secure() && io.can_starttls())
    }

    /// Whether the connection ends because the client did not go on with a command that it had begun.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether input is waiting that is not yet read as a command.
    pub(crate) fn has_input(&self) -> bool {
        self.framing.has_input()
    }

    /// Where responses are written to. Whoever writes much calls [`Conn::flush_if_large`] now and
    /// then.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes out what is collected, if it is much. The client sets the pace: this waits.
    pub(crate) async fn flush_if_large(&mut self) -> io::Result<()> {
        if self.out.len() >= self.out_bytes {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Writes out what is collected.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let io = self.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let out = &self.out;
        let deflate = self.deflate.as_mut();
        let write = async {
            match deflate {
                None => io.write_all(out).await?,
                Some(deflate) => {
                    let mut from = 0;
                    while from < out.len() {
                        let (packed, to) = deflate.pack(out, from)?;
                        io.write_all(&packed).await?;
                        from = to;
                    }
                    deflate.remember(out);
                }
            }
            io.flush().await
        };
        match tokio::time::timeout(self.stall_timeout, write).await {
            Ok(written) => written?,
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "client does not read",
                ));
            }
        }
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES && !self.framing.has_input() {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// The next input that is there as a whole.
    pub(crate) fn buffered(&mut self) -> Option<Input> {
        self.framing.next(&mut self.out)
    }

    /// Waits for bytes and takes them. False: the client has closed the connection. Cancel safe.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        let io = self.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let framing = &mut self.framing;
        if let Some(deflate) = &mut self.deflate {
            return poll_fn(|cx| {
                SCRATCH.with_borrow_mut(|scratch| {
                    loop {
                        // One buffer full at a time, so that the framer's limits hold for what a few
                        // bytes can become.
                        let plain = deflate.unpack(scratch)?;
                        if plain > 0 {
                            framing.push(&scratch[..plain]);
                            return Poll::Ready(Ok(true));
                        }
                        if deflate.input_ended() {
                            return Poll::Ready(Ok(false));
                        }
                        let mut buffer = ReadBuf::new(scratch);
                        ready!(Pin::new(&mut **io).poll_read(cx, &mut buffer))?;
                        if buffer.filled().is_empty() {
                            return Poll::Ready(Ok(false));
                        }
                        deflate.push(buffer.filled());
                    }
                })
            })
            .await;
        }
        poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut **io).poll_read(cx, &mut buffer))?;
                framing.push(buffer.filled());
                Poll::Ready(Ok(!buffer.filled().is_empty()))
            })
        })
        .await
    }

    /// Until when the input of the command that begins now must be there.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether the client is still there, as far as can be seen without waiting: for commands that take
    /// long and write nothing meanwhile. What it sends meanwhile is kept, but little of it.
    ///
    /// A client that has only ended its own sending still waits for the answer. One that is gone looks
    /// the same until it is written to, so it is told something, once.
    pub(crate) async fn is_open(&mut self) -> bool {
        if self.has_input() {
            return true;
        }
        let read = {
            let mut fill = std::pin::pin!(self.fill());
            poll_fn(|cx| {
                Poll::Ready(match fill.as_mut().poll(cx) {
                    Poll::Ready(read) => Some(read),
                    Poll::Pending => None,
                })
            })
            .await
        };
        match read {
            Some(Err(_)) => false,
            Some(Ok(false)) if !self.half_closed => {
                self.half_closed = true;
                self.out.extend_from_slice(b"* OK Still at it\r\n");
                self.flush().await.is_ok()
            }
            Some(Ok(_)) | None => true,
        }
    }

    /// The next input inside a command (a continuation line, a literal): what is collected is written
    /// first. A client that does not go on is given up.
    pub(crate) async fn next(&mut self) -> io::Result<Input> {
        loop {
            if let Some(input) = self.buffered() {
                return Ok(input);
            }
            self.flush().await?;
            let wait = self.deadline.min(Instant::now() + self.stall_timeout);
            match tokio::time::timeout_at(wait, self.fill()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    self.stalled = true;
                    let text = "client does not go on with its command";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
            }
        }
    }

    /// One line that is no command, without its end: a response to a SASL challenge, or DONE.
    pub(crate) async fn read_line(&mut self) -> io::Result<Bytes> {
        self.expect_line();
        match self.next().await? {
            Input::Line(line) => Ok(line),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "line too long")),
        }
    }

    /// The next input is a line, not a command.
    pub(crate) fn expect_line(&mut self) {
        self.framing.expect_line();
    }

    /// Takes the message that was announced: its bytes come as [`Input::Chunk`].
    pub(crate) fn accept(&mut self, literal: Option<LiteralHead>) {
        self.framing.accept();
        if wire::waits(literal) {
            wire::go_ahead(&mut self.out);
        }
    }

    /// Refuses what is left of the APPEND that is going on, if one is: it is skipped and never read
    /// as a command.
    pub(crate) fn refuse(&mut self) {
        self.framing.refuse();
    }

    /// Turns the connection into TLS. What has come in the clear is forgotten.
    pub(crate) async fn start_tls(&mut self, limits: &Limits) -> io::Result<()> {
        self.flush().await?;
        let io = self.io.take().ok_or(io::ErrorKind::NotConnected)?;
        self.framing = self.framing.anew(limits);
        self.io = Some(io.starttls().await?);
        Ok(())
    }

    /// Whether COMPRESS is in force.
    pub(crate) fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// Writes out what is collected, the last that is sent as it is; from then on both directions are
    /// compressed (RFC 4978 §3). What has come after the command already is compressed.
    pub(crate) async fn start_compression(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.deflate = Some(Box::new(Deflate::new(&self.framing.take_buffered())));
        Ok(())
    }

    /// Writes out what is collected, the last that is compressed if COMPRESS was in force; from then
    /// on everything is as before the login (RFC 8437 §4.1).
    pub(crate) async fn after_logout(&mut self, limits: &Limits) -> io::Result<()> {
        self.flush().await?;
        self.framing.after_logout(limits);
        if let Some(deflate) = self.deflate.take() {
            self.framing.push(deflate.rest());
        }
        Ok(())
    }

    /// Writes out what is collected and closes the connection; nobody is waited for for long.
    pub(crate) async fn close(&mut self) {
        self.stall_timeout = self.stall_timeout.min(Duration::from_secs(5));
        let _ = self.flush().await;
        if let Some(io) = self.io.as_mut() {
            let _ = tokio::time::timeout(Duration::from_secs(5), io.shutdown()).await;
        }
    }
}
