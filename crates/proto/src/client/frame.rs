//! Cuts a server's bytes into responses.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use thiserror::Error;

/// What a client accepts from a server before it gives up on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Octets of one line between two literals.
    pub line_bytes_max: usize,
    /// Octets of one literal that is kept in memory.
    pub literal_bytes_max: u64,
    /// Octets of one whole response in memory: lines and literals that are not streamed.
    pub response_bytes_max: usize,
    /// Octets of one literal that is streamed.
    pub streamed_literal_bytes_max: u64,
    /// Body literals of a FETCH response larger than this are handed out in chunks;
    /// `None` keeps all of them in memory.
    pub stream_over: Option<u64>,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            line_bytes_max: 64 << 20,
            literal_bytes_max: 256 << 20,
            response_bytes_max: 512 << 20,
            streamed_literal_bytes_max: 1 << 40,
            stream_over: None,
        }
    }
}

/// Why a server's bytes cannot be cut into responses. The connection is of no use afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResponseFrameError {
    /// A line is longer than [`ResponseLimits::line_bytes_max`].
    #[error("the server sent a line longer than {max} octets")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// A literal is larger than its limit.
    #[error("the server announced a literal of {size} octets, the limit is {max}")]
    LiteralTooLong {
        /// The announced size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A response is larger than [`ResponseLimits::response_bytes_max`].
    #[error("the server sent a response larger than {max} octets")]
    ResponseTooLong {
        /// The limit.
        max: usize,
    },
}

/// One literal of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameLiteral {
    /// Where its `{` (or `~`) stands in the frame.
    pub at: usize,
    /// Where its octets stand in the frame; empty if they were streamed.
    pub data: Range<usize>,
    /// Its announced size in octets.
    pub size: u64,
    /// Whether its octets were handed out as chunks and are not in the frame.
    pub streamed: bool,
}

/// One whole response, as it came, its literals in place and its line end included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseFrame {
    /// The octets.
    pub bytes: Bytes,
    /// The literals in it, in order.
    pub literals: Vec<FrameLiteral>,
}

/// What [`ResponseFramer::next_event`] gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseEvent {
    /// A whole response.
    Frame(ResponseFrame),
    /// A body literal begins; its octets follow as [`ResponseEvent::Chunk`]s and then
    /// [`ResponseEvent::LiteralEnd`]. `before` is the response up to the literal; see
    /// [`decode_streamed`](super::decode_streamed).
    LiteralStart {
        /// The response so far, the literal's header and its CRLF included.
        before: ResponseFrame,
        /// Octets that follow.
        size: u64,
    },
    /// Some octets of the literal.
    Chunk(Bytes),
    /// The literal is complete; the rest of the response follows as a frame of its own,
    /// with the literal marked as streamed.
    LiteralEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Looking for the end of a line.
    Line,
    /// Collecting a literal: octets of it still missing from the buffer.
    Literal { missing: u64 },
    /// Handing out a literal.
    Stream { left: u64 },
}

/// Cuts a server's bytes into responses, incrementally: any split of the bytes gives the same
/// frames (chunks of streamed literals differ).
///
/// Push bytes, then take events until there is none:
///
/// ```
/// use restante_proto::client::{ResponseEvent, ResponseFramer, ResponseLimits};
///
/// let mut framer = ResponseFramer::new(ResponseLimits::default());
/// framer.push(b"* 1 FETCH (BODY[] {3}\r\na\r");
/// assert_eq!(framer.next_event(), Ok(None));
/// framer.push(b"\n)\r\n");
/// let Ok(Some(ResponseEvent::Frame(frame))) = framer.next_event() else { panic!() };
/// assert_eq!(&frame.bytes[..], b"* 1 FETCH (BODY[] {3}\r\na\r\n)\r\n");
/// ```
///
/// Literals are looked for only where the grammar has them: in untagged data, never in the
/// text of a status response or a continuation request (`* OK {3}` is a line).
#[derive(Debug)]
pub struct ResponseFramer {
    limits: ResponseLimits,
    buffer: BytesMut,
    /// The beginning of the current response, up to the last literal that was streamed: the
    /// buffer goes on after it.
    held: Vec<u8>,
    /// Octets of the current response in the buffer that precede the line being scanned.
    line_start: usize,
    /// Octets already searched for a line end.
    scanned: usize,
    state: State,
    literals: Vec<FrameLiteral>,
    /// Whether the current response may hold literals, once its first line is known.
    literals_possible: Option<bool>,
    failed: Option<ResponseFrameError>,
}

impl ResponseFramer {
    /// A framer at the start of a connection.
    pub fn new(limits: ResponseLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            held: Vec::new(),
            line_start: 0,
            scanned: 0,
            state: State::Line,
            literals: Vec::new(),
            literals_possible: None,
            failed: None,
        }
    }

    /// Takes bytes from the server.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer that [`push`](Self::push) appends to, for readers that append by themselves.
    /// Only append to it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Octets received and not yet given out.
    pub fn pending(&self) -> usize {
        self.held.len() + self.buffer.len()
    }

    /// Takes back all bytes that are not part of a response given out, for a change of the
    /// stream below (STARTTLS must find none; COMPRESS hands them to the inflater).
    pub fn take_pending(&mut self) -> Bytes {
        self.held.clear();
        self.line_start = 0;
        self.scanned = 0;
        self.literals.clear();
        self.literals_possible = None;
        self.state = State::Line;
        self.buffer.split().freeze()
    }

    /// Changes from which size on body literals are streamed, from the next literal on.
    pub fn stream_over(&mut self, octets: Option<u64>) {
        self.limits.stream_over = octets;
    }

    /// The next event, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// A limit was passed. The error is repeated by every later call.
    pub fn next_event(&mut self) -> Result<Option<ResponseEvent>, ResponseFrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn advance(&mut self) -> Result<Option<ResponseEvent>, ResponseFrameError> {
        loop {
            match self.state {
                State::Stream { left: 0 } => {
                    self.state = State::Line;
                    return Ok(Some(ResponseEvent::LiteralEnd));
                }
                State::Stream { left } => return Ok(self.take_chunk(left)),
                State::Literal { missing } => {
                    let there = self.buffer.len().saturating_sub(self.scanned) as u64;
                    let took = there.min(missing);
                    // `took` is at most what is in the buffer: it fits a usize.
                    self.scanned += took as usize;
                    if took < missing {
                        self.state = State::Literal {
                            missing: missing - took,
                        };
                        return Ok(None);
                    }
                    self.state = State::Line;
                    self.line_start = self.scanned;
                }
                State::Line => {
                    let Some(end) = self.find_line_end()? else {
                        return Ok(None);
                    };
                    if let Some(event) = self.line(end)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// The index after the line's LF, or `None` if it has not come.
    fn find_line_end(&mut self) -> Result<Option<usize>, ResponseFrameError> {
        let found = memchr(b'\n', &self.buffer[self.scanned..]);
        let length = match found {
            Some(at) => self.scanned + at + 1 - self.line_start,
            None => self.buffer.len() - self.line_start,
        };
        if length > self.limits.line_bytes_max {
            return Err(ResponseFrameError::LineTooLong {
                max: self.limits.line_bytes_max,
            });
        }
        match found {
            Some(_) => {
                self.scanned = self.line_start + length;
                self.check_size(self.scanned)?;
                Ok(Some(self.scanned))
            }
            None => {
                self.scanned = self.buffer.len();
                Ok(None)
            }
        }
    }

    /// Checks the size of the response if it has so many octets in the buffer.
    fn check_size(&self, size: usize) -> Result<(), ResponseFrameError> {
        if size.saturating_add(self.held.len()) > self.limits.response_bytes_max {
            return Err(ResponseFrameError::ResponseTooLong {
                max: self.limits.response_bytes_max,
            });
        }
        Ok(())
    }

    /// A line is complete up to `end`: it ends the response, or a literal follows.
    fn line(&mut self, end: usize) -> Result<Option<ResponseEvent>, ResponseFrameError> {
        let line = &self.buffer[self.line_start..end];
        let possible = *self
            .literals_possible
            .get_or_insert_with(|| may_hold_literals(line));
        let header = if possible { literal_header(line) } else { None };
        let Some(header) = header else {
            let bytes = self.take_response(end);
            let literals = std::mem::take(&mut self.literals);
            self.literals_possible = None;
            return Ok(Some(ResponseEvent::Frame(ResponseFrame {
                bytes,
                literals,
            })));
        };
        let in_fetch = !self.held.is_empty() || is_fetch(&self.buffer[..end]);
        let streamed = self
            .limits
            .stream_over
            .is_some_and(|over| header.size > over)
            && self.literals.len() < STREAMED_MAX
            && in_fetch
            && is_body_position(&line[..header.at]);
        let max = if streamed {
            self.limits.streamed_literal_bytes_max
        } else {
            self.limits.literal_bytes_max
        };
        let too_long = ResponseFrameError::LiteralTooLong {
            size: header.size,
            max,
        };
        if header.size > max {
            return Err(too_long);
        }
        let base = self.held.len();
        let at = base + self.line_start + header.at;
        if streamed {
            let bytes = self.take_response(end);
            let data = bytes.len()..bytes.len();
            self.literals.push(FrameLiteral {
                at,
                data,
                size: header.size,
                streamed,
            });
            self.held.extend_from_slice(&bytes);
            self.state = State::Stream { left: header.size };
            let before = ResponseFrame {
                bytes,
                literals: self.literals.clone(),
            };
            return Ok(Some(ResponseEvent::LiteralStart {
                before,
                size: header.size,
            }));
        }
        let data_end = usize::try_from(header.size)
            .ok()
            .and_then(|size| end.checked_add(size));
        let Some(data_end) = data_end else {
            return Err(too_long);
        };
        self.check_size(data_end)?;
        let data = base + end..base + data_end;
        self.literals.push(FrameLiteral {
            at,
            data,
            size: header.size,
            streamed,
        });
        self.state = State::Literal {
            missing: header.size,
        };
        Ok(None)
    }

    /// Takes the response up to `end` out of the buffer.
    fn take_response(&mut self, end: usize) -> Bytes {
        self.line_start = 0;
        self.scanned = 0;
        let last = self.buffer.split_to(end);
        if self.held.is_empty() {
            return last.freeze();
        }
        self.held.extend_from_slice(&last);
        Bytes::from(std::mem::take(&mut self.held))
    }

    /// Takes octets of a streamed literal, which are all that is in the buffer.
    fn take_chunk(&mut self, left: u64) -> Option<ResponseEvent> {
        let take = (self.buffer.len() as u64).min(left);
        if take == 0 {
            return None;
        }
        self.state = State::Stream { left: left - take };
        // `take` is at most what is in the buffer: it fits a usize.
        Some(ResponseEvent::Chunk(
            self.buffer.split_to(take as usize).freeze(),
        ))
    }
}

/// How many literals of one response may be streamed. Each brings the response so far again, so
/// without a bound the work would grow with their square.
const STREAMED_MAX: usize = 1000;

struct LiteralHeader {
    at: usize,
    size: u64,
}

/// Whether a response that begins with this line may hold literals: untagged data may, status
/// responses (tagged or not) and continuation requests may not.
fn may_hold_literals(line: &[u8]) -> bool {
    // Some servers put NUL octets before a response; they are skipped by the decoder too.
    let start = line.iter().position(|&b| b != 0).unwrap_or(line.len());
    let Some(rest) = line[start..].strip_prefix(b"* ") else {
        return false;
    };
    let word_end = rest
        .iter()
        .position(|b| !b.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let word = &rest[..word_end];
    !["OK", "NO", "BAD", "BYE", "PREAUTH"]
        .iter()
        .any(|s| word.eq_ignore_ascii_case(s.as_bytes()))
}

/// `{n}` at the end of a line, also `{n+}` and `~{n}`, which some servers send.
fn literal_header(line: &[u8]) -> Option<LiteralHeader> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let digits = inner
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    if digits == 0 || digits > 20 {
        return None;
    }
    let open = inner.len().checked_sub(digits + 1)?;
    if inner[open] != b'{' {
        return None;
    }
    let mut size = 0u64;
    for &digit in &inner[open + 1..] {
        size = size.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    let at = if open > 0 && inner[open - 1] == b'~' {
        open - 1
    } else {
        open
    };
    Some(LiteralHeader { at, size })
}

/// Whether a response is `* n FETCH` or `* n UIDFETCH`.
fn is_fetch(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"* ") else {
        return false;
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let word = &rest[digits..rest.len().min(digits + 10)];
    digits > 0
        && (word
            .get(..7)
            .is_some_and(|w| w.eq_ignore_ascii_case(b" FETCH "))
            || word.eq_ignore_ascii_case(b" UIDFETCH "))
}

/// Whether the text before a literal says that the literal is a body section.
fn is_body_position(before: &[u8]) -> bool {
    let Some(item) = before.strip_suffix(b" ") else {
        return false;
    };
    let ends = |word: &[u8]| {
        item.len() > word.len() && item[item.len() - word.len()..].eq_ignore_ascii_case(word)
    };
    matches!(item.last(), Some(b']' | b'>'))
        || ends(b"RFC822")
        || ends(b"RFC822.TEXT")
        || ends(b"RFC822.HEADER")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8], split: usize, limits: ResponseLimits) -> Vec<ResponseEvent> {
        let mut framer = ResponseFramer::new(limits);
        let mut events = Vec::new();
        for part in bytes.chunks(split) {
            framer.push(part);
            while let Some(event) = framer.next_event().unwrap() {
                match (events.last_mut(), event) {
                    (Some(ResponseEvent::Chunk(a)), ResponseEvent::Chunk(b)) => {
                        *a = Bytes::from([&a[..], &b[..]].concat());
                    }
                    (_, event) => events.push(event),
                }
            }
        }
        assert_eq!(framer.pending(), 0, "split {split}");
        events
    }

    const STREAM: &[u8] =
        b"* OK hi {3}\r\n* 1 FETCH (BODY[] {5}\r\na\r\nb\n BODY[TEXT]<0> ~{0}\r\n)\r\n\
        + {2}\r\n* LIST () \"/\" {3}\r\na b\r\na1 OK done\r\n";

    #[test]
    fn any_split_gives_the_same_frames() {
        let whole = frames(STREAM, STREAM.len(), ResponseLimits::default());
        assert_eq!(whole.len(), 5);
        let ResponseEvent::Frame(fetch) = &whole[1] else {
            panic!()
        };
        assert_eq!(fetch.literals.len(), 2);
        assert_eq!(&fetch.bytes[fetch.literals[0].data.clone()], b"a\r\nb\n");
        for split in 1..STREAM.len() {
            assert_eq!(
                frames(STREAM, split, ResponseLimits::default()),
                whole,
                "split {split}"
            );
        }
    }

    #[test]
    fn streams_body_literals_in_chunks() {
        let limits = ResponseLimits {
            stream_over: Some(4),
            ..ResponseLimits::default()
        };
        let whole = frames(STREAM, STREAM.len(), limits.clone());
        for split in 1..STREAM.len() {
            assert_eq!(
                frames(STREAM, split, limits.clone()),
                whole,
                "split {split}"
            );
        }
        assert!(
            matches!(&whole[1], ResponseEvent::LiteralStart { before, size: 5 }
            if &before.bytes[..] == b"* 1 FETCH (BODY[] {5}\r\n")
        );
        assert_eq!(
            whole[2],
            ResponseEvent::Chunk(Bytes::from_static(b"a\r\nb\n"))
        );
        assert_eq!(whole[3], ResponseEvent::LiteralEnd);
        let ResponseEvent::Frame(rest) = &whole[4] else {
            panic!()
        };
        assert_eq!(
            &rest.bytes[..],
            b"* 1 FETCH (BODY[] {5}\r\n BODY[TEXT]<0> ~{0}\r\n)\r\n"
        );
        assert!(rest.literals[0].streamed && !rest.literals[1].streamed);
    }

    #[test]
    fn limits_end_the_connection_and_stay() {
        let limits = ResponseLimits {
            line_bytes_max: 40,
            literal_bytes_max: 10,
            response_bytes_max: 60,
            ..ResponseLimits::default()
        };
        let mut framer = ResponseFramer::new(limits.clone());
        framer.push(&[b'x'; 41]);
        assert!(matches!(
            framer.next_event(),
            Err(ResponseFrameError::LineTooLong { max: 40 })
        ));
        framer.push(b"\r\n* OK\r\n");
        assert!(framer.next_event().is_err());
        let mut framer = ResponseFramer::new(limits.clone());
        framer.push(b"* 1 FETCH (BODY[] {11}\r\n");
        assert!(matches!(
            framer.next_event(),
            Err(ResponseFrameError::LiteralTooLong { .. })
        ));
        let mut framer = ResponseFramer::new(limits.clone());
        framer.push(b"* 1 FETCH ({99999999999999999999}\r\n");
        // Not a number that fits: no literal, and so a line. The decoder refuses it.
        assert!(matches!(
            framer.next_event(),
            Ok(Some(ResponseEvent::Frame(_)))
        ));
        let mut framer = ResponseFramer::new(limits);
        for _ in 0..5 {
            framer.push(b"* 1 FETCH ({9}\r\n123456789");
        }
        assert!(matches!(
            framer.next_event(),
            Err(ResponseFrameError::ResponseTooLong { .. })
        ));
    }
}
