//! A connection that reads replies as cheaply as they can be read: it counts lines and skips
//! literals, and looks into few of them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use memchr::{memchr, memmem};
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};

use crate::tls;

/// How long a server may be silent before the run fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to a server, IMAP or LMTP.
pub(crate) struct Conn {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    out: Vec<u8>,
    capabilities: String,
    /// Whether literals are looked at: then their hashes are noted.
    hashing: Option<Vec<u64>>,
    /// Whether untagged responses are kept.
    keeping: Option<Vec<u8>>,
    /// Something was sent, and nothing came since.
    waiting: bool,
}

/// What a command brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Untagged lines with `FETCH`.
    pub(crate) fetches: u64,
    /// Those of them without literals that say `\Seen`.
    pub(crate) seen: u64,
    /// The number of the last `EXISTS`.
    pub(crate) exists: Option<u64>,
    /// Messages that went, by `EXPUNGE` or `VANISHED`.
    pub(crate) gone: u64,
    /// Lines with `LIST` and with `STATUS`.
    pub(crate) lists: u64,
    pub(crate) statuses: u64,
    /// The last MESSAGES of a STATUS response that has only that.
    pub(crate) status: Option<u64>,
    /// How many numbers a SEARCH, SORT or THREAD response had, and their sum.
    pub(crate) found: u64,
    pub(crate) found_sum: u64,
    /// Octets received.
    pub(crate) octets: u64,
}

impl Conn {
    /// Connects; nothing is read yet.
    pub(crate) fn open(address: &str, with_tls: bool, buffer: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = if with_tls {
            let config = Arc::clone(tls::config()?);
            let name = tls::any_name()?;
            let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
            Stream::Tls(Box::new(StreamOwned::new(connection, stream)))
        } else {
            Stream::Plain(stream)
        };
        Ok(Self {
            stream,
            buffer: vec![0; buffer],
            start: 0,
            end: 0,
            out: Vec::new(),
            capabilities: String::new(),
            hashing: None,
            keeping: None,
            waiting: true,
        })
    }

    /// Whether it is in TLS 1.3, by a handshake that resumed nothing. (A server may ask for another key first: Cyrus
    /// takes P-256 alone.)
    pub(crate) fn is_new_tls13(&self) -> bool {
        let Stream::Tls(stream) = &self.stream else {
            return false;
        };
        stream.conn.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && matches!(
                stream.conn.handshake_kind(),
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
            )
    }

    /// Connects, reads the greeting, logs in.
    pub(crate) fn login(
        address: &str,
        with_tls: bool,
        user: &str,
        password: &str,
        buffer: usize,
    ) -> io::Result<Self> {
        let mut conn = Self::open(address, with_tls, buffer)?;
        conn.greeted(user, password)?;
        conn.reply()?;
        Ok(conn)
    }

    /// Reads the greeting and sends LOGIN.
    pub(crate) fn greeted(&mut self, user: &str, password: &str) -> io::Result<()> {
        let greeting = self.line()?;
        if !greeting.starts_with(b"* OK") && !greeting.starts_with(b"* PREAUTH") {
            return Err(unexpected("greeting", &greeting));
        }
        self.send(format_args!("LOGIN {} {}", quoted(user), quoted(password)))
    }

    /// Asks what the server can do; see [`Conn::can`].
    pub(crate) fn ask_capabilities(&mut self) -> io::Result<()> {
        let (answer, _) = self.command_kept(format_args!("CAPABILITY"))?;
        self.capabilities = String::from_utf8_lossy(&answer).to_ascii_uppercase();
        Ok(())
    }

    /// Whether the server said that it can do this.
    pub(crate) fn can(&self, word: &str) -> bool {
        self.capabilities.split_whitespace().any(|w| w == word)
    }

    /// As [`Conn::command`], with the untagged responses.
    pub(crate) fn command_kept(
        &mut self,
        command: std::fmt::Arguments<'_>,
    ) -> io::Result<(Vec<u8>, Counts)> {
        self.send(command)?;
        let mut kept = Vec::new();
        let counts = self.reply_kept(&mut kept)?;
        Ok((kept, counts))
    }

    /// As [`Conn::command`], with the hash of each literal.
    pub(crate) fn command_hashed(
        &mut self,
        command: std::fmt::Arguments<'_>,
    ) -> io::Result<(Vec<u64>, Counts)> {
        self.send(command)?;
        let mut hashes = Vec::new();
        let counts = self.reply_hashed(&mut hashes)?;
        Ok((hashes, counts))
    }

    /// As [`Conn::reply`], with the untagged responses.
    pub(crate) fn reply_kept(&mut self, kept: &mut Vec<u8>) -> io::Result<Counts> {
        kept.clear();
        self.keeping = Some(std::mem::take(kept));
        let counts = self.reply();
        *kept = self.keeping.take().unwrap_or_default();
        counts
    }

    /// As [`Conn::reply`], with the hash of each literal.
    pub(crate) fn reply_hashed(&mut self, hashes: &mut Vec<u64>) -> io::Result<Counts> {
        hashes.clear();
        self.hashing = Some(std::mem::take(hashes));
        let counts = self.reply();
        *hashes = self.hashing.take().unwrap_or_default();
        counts
    }

    /// Queues bytes.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes what was queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(&self.out)?,
            Stream::Tls(stream) => {
                stream.write_all(&self.out)?;
                stream.flush()?;
            }
        }
        self.out.clear();
        self.waiting = true;
        Ok(())
    }

    /// Sends a command with the tag `t`.
    pub(crate) fn send(&mut self, command: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.queue_command(command);
        self.flush()
    }

    /// Queues a command with the tag `t`.
    pub(crate) fn queue_command(&mut self, command: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = write!(self.out, "t {command}\r\n");
    }

    /// Sends a command with the tag `t` and reads its reply.
    pub(crate) fn command(&mut self, command: std::fmt::Arguments<'_>) -> io::Result<Counts> {
        self.send(command)?;
        self.reply()
    }

    /// Reads up to a tagged OK.
    pub(crate) fn reply(&mut self) -> io::Result<Counts> {
        let mut counts = Counts::default();
        loop {
            let (from, to) = self.next_line()?;
            counts.octets += (to - from) as u64;
            let line = &self.buffer[from..to];
            if let (Some(kept), Some(b'*')) = (&mut self.keeping, line.first()) {
                kept.extend_from_slice(line);
            }
            match line.first() {
                Some(b'*') => {
                    if let Some(size) = literal_size(line) {
                        let fetch = is_fetch(line);
                        counts.octets += self.finish_literals(size)?;
                        counts.fetches += u64::from(fetch);
                    } else if is_fetch(line) {
                        counts.fetches += 1;
                        counts.seen += u64::from(memmem::find(line, b"\\Seen").is_some());
                    } else {
                        counts.note(line);
                    }
                }
                Some(b't') if line.starts_with(b"t OK") => return Ok(counts),
                _ => return Err(unexpected("OK", line)),
            }
        }
    }

    /// Skips a literal and the rest of its response, with further literals.
    fn finish_literals(&mut self, mut size: u64) -> io::Result<u64> {
        let mut octets = 0;
        loop {
            octets += size;
            if self.hashing.is_some() || self.keeping.is_some() {
                self.look_at(size)?;
            } else {
                self.skip(size)?;
            }
            let (from, to) = self.next_line()?;
            octets += (to - from) as u64;
            if let Some(kept) = &mut self.keeping {
                kept.extend_from_slice(&self.buffer[from..to]);
            }
            match literal_size(&self.buffer[from..to]) {
                Some(next) => size = next,
                None => return Ok(octets),
            }
        }
    }

    /// Keeps a literal, or its hash.
    fn look_at(&mut self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        while self.end - self.start < size {
            self.fill()?;
        }
        let literal = &self.buffer[self.start..self.start + size];
        if let Some(hashes) = &mut self.hashing {
            hashes.push(hash(literal));
        }
        if let Some(kept) = &mut self.keeping {
            kept.extend_from_slice(literal);
        }
        self.start += size;
        Ok(())
    }

    /// Reads a continuation request.
    pub(crate) fn continuation(&mut self) -> io::Result<()> {
        loop {
            let line = self.line()?;
            match line.first() {
                Some(b'+') => return Ok(()),
                Some(b'*') => {}
                _ => return Err(unexpected("+", &line)),
            }
        }
    }

    /// One line, its end included.
    pub(crate) fn line(&mut self) -> io::Result<Vec<u8>> {
        let (from, to) = self.next_line()?;
        Ok(self.buffer[from..to].to_vec())
    }

    fn next_line(&mut self) -> io::Result<(usize, usize)> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[searched..self.end]) {
                let from = self.start;
                self.start = searched + at + 1;
                return Ok((from, self.start));
            }
            let offset = self.end - self.start;
            self.fill()?;
            searched = self.start + offset;
        }
    }

    fn skip(&mut self, mut octets: u64) -> io::Result<()> {
        loop {
            let there = (self.end - self.start) as u64;
            let take = there.min(octets);
            self.start += take as usize;
            octets -= take;
            if octets == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// A server that leaves TCP_NODELAY out would else wait 40 ms for every second segment: that
    /// would be the client's kernel in its figures. The first segment of a reply is acknowledged
    /// with the next command, as it is for all clients: a segment of its own for that would cost
    /// both sides about 2 µs. The option holds for one read only.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(self.socket()).set_tcp_quickack(true);
    }

    /// Reads more; makes room for it first.
    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        if !std::mem::take(&mut self.waiting) {
            self.acknowledge_at_once();
        }
        let space = &mut self.buffer[self.end..];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(space)?,
            Stream::Tls(stream) => stream.read(space)?,
        };
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed",
            ));
        }
        self.end += read;
        Ok(())
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Counts {
    /// Takes what an untagged line without literals says.
    fn note(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let Some(rest) = line.strip_prefix(b"* ") else {
            return;
        };
        if let Some(exists) = rest.strip_suffix(b" EXISTS") {
            self.exists = number(exists);
        } else if rest.ends_with(b" EXPUNGE") {
            self.gone += 1;
        } else if let Some(uids) = rest.strip_prefix(b"VANISHED ") {
            if !uids.starts_with(b"(EARLIER)") {
                self.gone += count_set(uids);
            }
        } else if rest.starts_with(b"LIST ") {
            self.lists += 1;
        } else if rest.starts_with(b"STATUS ") {
            self.statuses += 1;
            self.status = memmem::find(rest, b"(MESSAGES ")
                .and_then(|at| number(rest[at + 10..].strip_suffix(b")")?));
        } else if [&b"SEARCH"[..], b"SORT", b"THREAD"]
            .iter()
            .any(|word| rest.starts_with(word))
        {
            for digits in rest
                .split(|byte| !byte.is_ascii_digit())
                .filter(|d| !d.is_empty())
            {
                self.found += 1;
                self.found_sum += number(digits).unwrap_or(0);
            }
        }
    }
}

/// How many numbers a set such as `3:5,9` has.
fn count_set(set: &[u8]) -> u64 {
    let range = |range: &[u8]| {
        let mut ends = range.split(|&byte| byte == b':').filter_map(number);
        let first = ends.next()?;
        let last = ends.next().unwrap_or(first);
        Some(first.abs_diff(last) + 1)
    };
    set.split(|&byte| byte == b',').filter_map(range).sum()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What tells one message's bytes from another's.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Whether `needles` stand in `text`, one after the other; else the first that does not.
pub(crate) fn in_order(
    text: &[u8],
    needles: impl IntoIterator<Item = String>,
) -> Result<(), String> {
    let mut at = 0;
    for needle in needles {
        match memmem::find(&text[at..], needle.as_bytes()) {
            Some(found) => at += found + needle.len(),
            None => return Err(needle),
        }
    }
    Ok(())
}

/// A string in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(crate) fn unexpected(wanted: &str, got: &[u8]) -> io::Error {
    let got = &got[..got.len().min(200)];
    io::Error::other(format!(
        "{wanted} expected, got {:?}",
        String::from_utf8_lossy(got)
    ))
}

/// `{n}` at the end of a line.
fn literal_size(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}\r\n")?;
    let open = memchr::memrchr(b'{', inner)?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// `* n FETCH (`
fn is_fetch(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else {
        return false;
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(b" FETCH (")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(literal_size(b"* 1 FETCH (BODY[] {12}\r\n"), Some(12));
        assert_eq!(literal_size(b"* OK {x}\r\n"), None);
        assert!(is_fetch(b"* 12 FETCH (UID 5)\r\n"));
        assert!(!is_fetch(b"* OK 12 FETCH (\r\n"));
    }

    #[test]
    fn lines_are_counted() {
        let mut counts = Counts::default();
        for line in [
            &b"* 7 EXISTS\r\n"[..],
            b"* 3 EXPUNGE\r\n",
            b"* VANISHED 3:5,9\r\n",
            b"* VANISHED (EARLIER) 1:2\r\n",
            b"* THREAD (1 2)((3)(10 4))\r\n",
            b"* SEARCH 5\r\n",
            b"* STATUS \"a box\" (MESSAGES 12)\r\n",
        ] {
            counts.note(line);
        }
        assert_eq!(counts.exists, Some(7));
        assert_eq!((counts.statuses, counts.status), (1, Some(12)));
        assert_eq!(counts.gone, 5);
        assert_eq!((counts.found, counts.found_sum), (6, 25));
    }

    #[test]
    fn needles_have_an_order() {
        let needles = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        assert_eq!(in_order(b"one two", needles(&["one", "two"])), Ok(()));
        assert_eq!(
            in_order(b"one two", needles(&["two", "one"])),
            Err("one".into())
        );
    }
}
