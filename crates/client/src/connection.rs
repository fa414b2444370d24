//! Bytes to responses and back, over any stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFrame, ResponseFramer, ResponseLimits, StreamedFetch,
    decode_response, decode_streamed,
};
use restante_proto::types::Response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::deflate::Deflate;
use crate::error::{Error, Result};

/// A stream to a server: TCP, TLS, a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What comes from a server.
#[derive(Debug)]
pub(crate) enum Incoming {
    Response(Response),
    BodyStart(StreamedFetch, u64),
    BodyChunk(Bytes),
    BodyEnd,
}

/// How much is read ahead while a write waits, in octets.
const READ_AHEAD_MAX: usize = 4 << 20;
const READ_SIZE: usize = 64 << 10;

pub(crate) struct Connection {
    io: Box<dyn Io>,
    framer: ResponseFramer,
    pub(crate) mode: Mode,
    /// What the next flush sends.
    out: Vec<u8>,
    /// The same as it goes over the wire, and how much of it has gone.
    wire: Vec<u8>,
    written: usize,
    /// COMPRESS is active.
    deflate: Option<Box<Deflate>>,
    eof: bool,
}

/// Empties a buffer; one that has become large is given back.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 1 << 20 {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

impl Connection {
    pub(crate) fn new(io: Box<dyn Io>, mode: Mode, limits: ResponseLimits) -> Self {
        Self {
            io,
            framer: ResponseFramer::new(limits),
            mode,
            out: Vec::new(),
            wire: Vec::new(),
            written: 0,
            deflate: None,
            eof: false,
        }
    }

    /// Whether octets came that belong to no response yet given out.
    pub(crate) fn has_pending(&self) -> bool {
        self.framer.pending() > 0
    }

    pub(crate) fn stream_over(&mut self, octets: Option<u64>) {
        self.framer.stream_over(octets);
    }

    /// From here on both sides compress what they send (RFC 4978 §3).
    pub(crate) fn start_deflate(&mut self) -> Result<()> {
        let begun = self.framer.take_pending();
        self.deflate = Some(Box::new(Deflate::new()));
        self.take_in(&begun)
    }

    /// Compression ends on both sides (RFC 8437 §4).
    pub(crate) fn end_deflate(&mut self) {
        self.deflate = None;
    }

    /// Takes in what came from the server.
    fn take_in(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.deflate {
            None => self.framer.push(bytes),
            Some(deflate) => {
                deflate.unpack(bytes, |plain| self.framer.push(plain))?;
                // Nothing more can come.
                self.eof |= deflate.is_ended();
            }
        }
        Ok(())
    }

    /// Puts another stream in place of the one there is.
    pub(crate) fn replace_io(&mut self, io: Box<dyn Io>) -> Box<dyn Io> {
        std::mem::replace(&mut self.io, io)
    }

    /// Queues bytes for the next [`flush`](Self::flush).
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes what is queued. Meanwhile it reads, so that a server that waits for its output to
    /// be taken goes on. Safe to cancel.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        match &mut self.deflate {
            Some(deflate) if !self.out.is_empty() => deflate.pack(&self.out, &mut self.wire)?,
            Some(_) => {}
            None if self.wire.is_empty() => std::mem::swap(&mut self.out, &mut self.wire),
            None => self.wire.extend_from_slice(&self.out),
        }
        empty(&mut self.out);
        let result = poll_fn(|cx| self.poll_write_out(cx)).await;
        self.written = 0;
        empty(&mut self.wire);
        result
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.written < self.wire.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.wire[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::Closed)),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    if self.framer.pending() >= READ_AHEAD_MAX || self.eof {
                        return Poll::Pending;
                    }
                    let mut space = [0u8; 8192];
                    let mut buffer = ReadBuf::new(&mut space);
                    match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                        Poll::Ready(Ok(())) => {
                            self.eof = buffer.filled().is_empty();
                            self.take_in(buffer.filled())?;
                        }
                    }
                }
            }
        }
        Pin::new(&mut self.io).poll_flush(cx).map_err(Error::from)
    }

    /// The next event of the framer. Safe to cancel.
    async fn event(&mut self) -> Result<ResponseEvent> {
        loop {
            if let Some(event) = self.framer.next_event()? {
                return Ok(event);
            }
            if self.eof {
                return Err(Error::Closed);
            }
            let mut packed = BytesMut::new();
            let buffer = match self.deflate {
                None => self.framer.buffer(),
                Some(_) => &mut packed,
            };
            buffer.reserve(READ_SIZE);
            let read = self.io.read_buf(buffer).await;
            if !packed.is_empty() {
                self.take_in(&packed)?;
            }
            self.eof = match read {
                Ok(read) => read == 0,
                // Many servers and clients leave TLS without its closing alert.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => true,
                Err(error) => return Err(error.into()),
            };
        }
    }

    /// The next response as bytes. Chunks of streamed literals are left out.
    pub(crate) async fn frame(&mut self) -> Result<ResponseFrame> {
        loop {
            if let ResponseEvent::Frame(frame) = self.event().await? {
                return Ok(frame);
            }
        }
    }

    /// The next thing that came. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Incoming> {
        Ok(match self.event().await? {
            ResponseEvent::Frame(frame) => Incoming::Response(decode_response(&frame, self.mode)?),
            ResponseEvent::LiteralStart { before, size } => {
                Incoming::BodyStart(decode_streamed(&before, self.mode)?, size)
            }
            ResponseEvent::Chunk(chunk) => Incoming::BodyChunk(chunk),
            ResponseEvent::LiteralEnd => Incoming::BodyEnd,
        })
    }
}
