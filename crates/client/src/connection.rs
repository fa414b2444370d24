//! Bytes to responses and back, over any stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFrame, ResponseFramer, ResponseLimits, StreamedFetch,
    decode_response, decode_streamed,
};
use restante_proto::types::Response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

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
    out: Vec<u8>,
    eof: bool,
}

impl Connection {
    pub(crate) fn new(io: Box<dyn Io>, mode: Mode, limits: ResponseLimits) -> Self {
        Self {
            io,
            framer: ResponseFramer::new(limits),
            mode,
            out: Vec::new(),
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

    /// Puts another stream in place of the one there is.
    pub(crate) fn replace_io(&mut self, io: Box<dyn Io>) -> Box<dyn Io> {
        std::mem::replace(&mut self.io, io)
    }

    /// Queues bytes for the next [`flush`](Self::flush).
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes what is queued. Meanwhile it reads, so that a server that waits for its output to
    /// be taken goes on.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let mut done = 0;
        let result = poll_fn(|cx| self.poll_write_out(cx, &mut done)).await;
        if self.out.capacity() > 1 << 20 {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
        result
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>, done: &mut usize) -> Poll<Result<()>> {
        while *done < self.out.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out[*done..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::Closed)),
                Poll::Ready(Ok(written)) => *done += written,
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
                            self.framer.push(buffer.filled());
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
            let buffer = self.framer.buffer();
            buffer.reserve(READ_SIZE);
            let read = self.io.read_buf(buffer).await;
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
