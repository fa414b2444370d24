//! Lines of a mail server, none longer than it needs.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};

use super::Stream;

/// The longest line; a token with its base64 fits.
const LINE_BYTES_MAX: u64 = 96 << 10;

/// A connection that is read by lines.
pub(super) struct Lines(pub(super) BufStream<Box<dyn Stream>>);

impl Lines {
    pub(super) fn new(stream: Box<dyn Stream>) -> Lines {
        Lines(BufStream::with_capacity(1 << 10, 1 << 10, stream))
    }

    /// The next line without its end; `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).await?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return match line.is_empty() {
                true => Ok(None),
                false => Err(invalid("a line that does not end")),
            };
        }
        line.pop_if(|last| *last == b'\r');
        String::from_utf8(line)
            .map(Some)
            .map_err(|_| invalid("a line that is not UTF-8"))
    }

    /// Writes at once.
    pub(super) async fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        self.0.flush().await
    }
}

pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
