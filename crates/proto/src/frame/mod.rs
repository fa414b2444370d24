//! Cuts a client's byte stream into commands, under limits.
//!
//! The framer is pure state: bytes in by [`push`](Framer::push), events out by
//! [`next`](Framer::next). However the bytes are split, the events say the same. It knows lines,
//! literals and where the message of APPEND, REPLACE and CATENATE stands: such a message is
//! streamed as it comes and never held. When it has told all that has come and nothing is left, it
//! holds no memory. A command's bytes are the framer's own, until it is used again.
//!
//! ```
//! use restante_proto::frame::{Event, Framer, Limits};
//!
//! let mut framer = Framer::new(Limits::after_login());
//! framer.push(b"a1 NOOP\r\na2 APPEND INBOX {5+}\r\nhel");
//! assert_eq!(framer.next(), Some(Event::Command(b"a1 NOOP")));
//! let Some(Event::Message(head)) = framer.next() else { panic!() };
//! assert!(head.mailbox.is_inbox());
//! framer.accept();
//! assert_eq!(framer.next(), Some(Event::Chunk("hel".into())));
//! framer.push(b"lo\r\n");
//! assert_eq!(framer.next(), Some(Event::Chunk("lo".into())));
//! assert_eq!(framer.next(), Some(Event::LiteralEnd));
//! assert_eq!(framer.next(), Some(Event::AppendEnd));
//! assert_eq!(framer.next(), None);
//! ```

mod append;
mod event;

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

use self::append::Append;
pub use self::event::{Event, Limits};
use crate::decode::append::{begins_with, is_append};
use crate::decode::parser::{LiteralSpec, literal_at_end};
use crate::decode::{CommandError, DecodeError, DecodeErrorKind, tag_of};
use crate::types::{LiteralHead, Tag};

/// Bytes at the end of a line that may be the beginning of a literal header.
const HEADER_BYTES_MAX: usize = 32;

/// The largest non-synchronizing literal of LITERAL- (RFC 7888 §5).
const LITERAL_MINUS_MAX: u64 = 4096;

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// In a command, or between two.
    Command,
    /// Between the literals of an APPEND.
    Append,
    /// Waiting for accept or refuse of this literal, or of a CATENATE (`None`).
    Decide(Option<LiteralHead>),
    /// In an accepted literal.
    Stream { left: u64 },
    /// In a refused literal; the budget is for what comes after it.
    Skip { left: u64, budget: u64 },
    /// In the rest of a refused command.
    Discard { budget: u64 },
    /// To be told that it is over.
    Bye(DecodeError),
    /// Over.
    Dead,
}

/// What the framer found; a command's bytes stand at the beginning of the buffer yet.
enum Found {
    /// A command, or the expected line, of so many bytes.
    Command(usize),
    Line(usize),
    Event(Event<'static>),
}

/// A complete line at the beginning of the buffer (after literals of the same command).
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Where its content ends.
    content: usize,
    /// Where the next line, or the literal, begins.
    next: usize,
    literal: Option<LiteralSpec>,
}

/// The framer of one connection.
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    /// How many bytes at the beginning of the buffer were told and are to be dropped.
    told: usize,
    /// Where the current line begins in the buffer: after the command's last literal. May lie
    /// beyond what has come.
    line_start: usize,
    /// There is no line end between `line_start` and here.
    scanned: usize,
    state: State,
    append: Option<Box<Append>>,
    expect_line: bool,
    /// The last command was an empty line: those that follow it are dropped.
    after_empty: bool,
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer")
            .field("state", &self.state)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl Framer {
    /// A framer at the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            told: 0,
            line_start: 0,
            scanned: 0,
            state: State::Command,
            append: None,
            expect_line: false,
            after_empty: false,
        }
    }

    /// Changes the limits, from the next event on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Says that mailbox names are UTF-8 from now on (or not any more).
    pub fn set_utf8(&mut self, utf8: bool) {
        self.limits.decode.utf8 = utf8;
    }

    /// Adds received bytes. Take all events first: what is pushed is held until then.
    pub fn push(&mut self, bytes: &[u8]) {
        self.drop_told();
        if self.state != State::Dead {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes are held.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.told
    }

    /// Whether nothing is held and no command has begun.
    pub fn is_idle(&self) -> bool {
        self.buffered() == 0 && self.state == State::Command && self.line_start == 0
    }

    /// Takes what has come and is not understood yet. Before TLS these bytes must be thrown away
    /// (RFC 9051 §6.2.1); with COMPRESS they belong to the compressed stream.
    pub fn take_buffered(&mut self) -> Bytes {
        self.drop_told();
        self.reset_line();
        std::mem::take(&mut self.buffer).freeze()
    }

    /// Says that the next line is no command but `DONE` or part of an authentication exchange.
    /// Holds for one line: it comes as [`Event::Line`], or [`Event::Error`] if it is too long.
    pub fn expect_line(&mut self) {
        self.expect_line = true;
    }

    /// Takes the literal (or CATENATE) that was just told. Its bytes follow as chunks.
    pub fn accept(&mut self) {
        match self.state {
            State::Decide(Some(literal)) => self.state = State::Stream { left: literal.size },
            State::Decide(None) => self.state = State::Append,
            _ => {}
        }
    }

    /// Refuses the APPEND that is going on, at any time: what is left of it is skipped, and never
    /// read as a command. The caller answers it with a tagged response.
    pub fn refuse(&mut self) {
        self.drop_told();
        let append = self.append.take();
        let budget = self.limits.skip_max;
        match self.state {
            State::Decide(Some(literal)) => {
                self.skip_literal(Some(literal.size), literal.synchronizing, budget);
            }
            State::Decide(None) | State::Append => match append.and_then(|append| append.line) {
                Some(line) => self.drop_line(line),
                None => {
                    // The rest of an inline literal may still be on its way.
                    let left = self.line_start.saturating_sub(self.buffer.len()) as u64;
                    self.buffer_to_line_start();
                    self.state = State::Skip { left, budget };
                }
            },
            State::Stream { left } => self.skip_literal(Some(left), false, budget),
            _ => {}
        }
    }

    /// The next event, or `None` if more bytes (or an answer to the last event) are needed.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Event<'_>> {
        self.drop_told();
        match self.step() {
            Some(Found::Command(len)) => Some(Event::Command(&self.buffer[..len])),
            Some(Found::Line(len)) => Some(Event::Line(&self.buffer[..len])),
            Some(Found::Event(event)) => Some(event),
            None => {
                self.release();
                None
            }
        }
    }

    /// Drops what was told by the last event.
    fn drop_told(&mut self) {
        self.buffer.advance(std::mem::take(&mut self.told));
    }

    /// Holds no memory where nothing is left.
    fn release(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
    }

    // Inline, as the two below: to hand a line or a command from one to the other costs more than to find it.
    #[inline(always)]
    fn step(&mut self) -> Option<Found> {
        loop {
            match self.state {
                State::Command if self.expect_line && self.line_start == 0 => {
                    let line = match self.read_line()? {
                        Ok(line) => line,
                        Err(error) => {
                            self.expect_line = false;
                            return Some(self.refuse_line(error, None));
                        }
                    };
                    self.expect_line = false;
                    return Some(Found::Line(self.tell_line(line)));
                }
                State::Command => {
                    if self.after_empty {
                        self.skip_empty_lines();
                    }
                    let line = match self.read_line()? {
                        Ok(line) => line,
                        Err(error) => return Some(self.refuse_line(error, None)),
                    };
                    if let Some(event) = self.command_line(line) {
                        return Some(event);
                    }
                }
                State::Append => {
                    let line = match self.append.as_mut().and_then(|append| append.line.take()) {
                        Some(line) => line,
                        None => match self.read_line()? {
                            Ok(line) => line,
                            Err(error) => return Some(self.refuse_line(error, None)),
                        },
                    };
                    if let Some(event) = self.append_line(line) {
                        return Some(event);
                    }
                }
                State::Decide(_) | State::Dead => return None,
                State::Stream { left: 0 } => {
                    self.state = State::Append;
                    return Some(Found::Event(Event::LiteralEnd));
                }
                State::Stream { left } => {
                    let len = self.available(left)?;
                    self.state = State::Stream {
                        left: left - len as u64,
                    };
                    let chunk = self.buffer.split_to(len).freeze();
                    return Some(Found::Event(Event::Chunk(chunk)));
                }
                State::Skip { left: 0, budget } => self.state = State::Discard { budget },
                State::Skip { left, budget } => {
                    let len = self.available(left)?;
                    self.buffer.advance(len);
                    self.state = State::Skip {
                        left: left - len as u64,
                        budget,
                    };
                }
                State::Discard { budget } => self.discard(budget)?,
                State::Bye(_) => {
                    let State::Bye(error) = std::mem::replace(&mut self.state, State::Dead) else {
                        return None;
                    };
                    self.append = None;
                    self.take_buffered();
                    return Some(Found::Event(Event::Bye(error)));
                }
            }
        }
    }

    /// How many of the next `wanted` bytes are there; `None` if there are none.
    fn available(&self, wanted: u64) -> Option<usize> {
        let len = self
            .buffer
            .len()
            .min(usize::try_from(wanted).unwrap_or(usize::MAX));
        (len > 0).then_some(len)
    }

    fn reset_line(&mut self) {
        (self.line_start, self.scanned) = (0, 0);
    }

    /// Drops what stands before the current line.
    fn buffer_to_line_start(&mut self) {
        let len = self.line_start.min(self.buffer.len());
        self.buffer.advance(len);
        self.reset_line();
    }

    /// The line that begins at `line_start`, if it has come; an error if it is refused.
    #[inline(always)]
    fn read_line(&mut self) -> Option<Result<Line, DecodeError>> {
        if self.buffer.len() < self.line_start {
            return None;
        }
        let line_max = self.limits.line_max;
        let from = self.scanned.max(self.line_start);
        let Some(end) = memchr(b'\n', &self.buffer[from..]) else {
            self.scanned = self.buffer.len();
            // One byte more may be a CR.
            let too_long = self.buffer.len() - self.line_start > line_max + 1;
            return too_long.then(|| Err(error(DecodeErrorKind::Limit, "line too long", line_max)));
        };
        let end = from + end;
        let mut content = end;
        if content > self.line_start && self.buffer[content - 1] == b'\r' {
            content -= 1;
        }
        let line = &self.buffer[self.line_start..content];
        if line.len() > line_max {
            return Some(Err(error(
                DecodeErrorKind::Limit,
                "line too long",
                line_max,
            )));
        }
        if let Some(at) = memchr(0, line) {
            let position = self.line_start + at;
            return Some(Err(error(
                DecodeErrorKind::Syntax,
                "NUL is never allowed",
                position,
            )));
        }
        let literal = literal_at_end(line).map(|(spec, _)| spec);
        Some(Ok(Line {
            content,
            next: end + 1,
            literal,
        }))
    }

    /// Tells the command (or single line) that ends with `line`; gives its length.
    fn tell_line(&mut self, line: Line) -> usize {
        self.told = line.next;
        self.reset_line();
        line.content
    }

    /// Drops empty lines: of any number of them the first is told, so that a flood costs little and
    /// gets one answer.
    fn skip_empty_lines(&mut self) {
        let mut len = 0;
        loop {
            match &self.buffer[len..] {
                [b'\r', b'\n', ..] => len += 2,
                [b'\n', ..] => len += 1,
                // What this becomes is not known yet.
                [] | [b'\r'] => break,
                _ => {
                    self.after_empty = false;
                    break;
                }
            }
        }
        self.buffer.advance(len);
        self.scanned = 0;
    }

    #[inline(always)]
    fn command_line(&mut self, line: Line) -> Option<Found> {
        self.after_empty = line.content == 0;
        if is_append(&self.buffer[..line.content]) {
            return self.append_begins(line);
        }
        match line.literal {
            None => Some(Found::Command(self.tell_line(line))),
            Some(spec) => self.inline_literal(spec, line),
        }
    }

    /// A literal that is a part of the command and not a message.
    fn inline_literal(&mut self, spec: LiteralSpec, line: Line) -> Option<Found> {
        let fits = |size: &u64| *size <= self.limits.literal_max;
        let end = spec
            .size
            .filter(fits)
            .and_then(|size| usize::try_from(size).ok());
        let end = end.and_then(|size| line.next.checked_add(size));
        let Some(end) = end.filter(|end| *end <= self.limits.command_max) else {
            let is_alone = !spec.size.as_ref().is_some_and(fits);
            let kind = match is_alone && begins_with(&self.buffer, &[b"SETMETADATA"]) {
                true => DecodeErrorKind::AnnotationTooBig,
                false => DecodeErrorKind::TooBig,
            };
            let error = error(kind, "literal too large", line.content);
            return Some(self.refuse_line(error, Some(line)));
        };
        if let Some(error) = self.literal_minus_error(spec.size, spec.synchronizing, line.content) {
            return Some(self.refuse_line(error, Some(line)));
        }
        (self.line_start, self.scanned) = (end, end);
        spec.synchronizing.then_some(Found::Event(Event::Continue))
    }

    fn literal_minus_error(
        &self,
        size: Option<u64>,
        synchronizing: bool,
        position: usize,
    ) -> Option<DecodeError> {
        let over = size.is_none_or(|size| size > LITERAL_MINUS_MAX);
        let refused = self.limits.literal_minus && !synchronizing && over;
        let message = "non-synchronizing literal over 4096 bytes";
        refused.then(|| error(DecodeErrorKind::TooBig, message, position))
    }

    /// Refuses the command, of which `line` is the last known (or is still coming).
    fn refuse_line(&mut self, error: DecodeError, line: Option<Line>) -> Found {
        let tag = match self.append.take() {
            Some(append) => Some(append.command.tag),
            None => self.tag_of_buffer(),
        };
        match line {
            Some(line) => self.drop_line(line),
            None => {
                self.buffer_to_line_start();
                self.state = State::Discard {
                    budget: self.limits.skip_max,
                };
            }
        }
        Found::Event(Event::Error(CommandError { tag, error }))
    }

    /// The tag of the command in the buffer, wherever the bytes that came end.
    fn tag_of_buffer(&self) -> Option<Tag> {
        let begin = &self.buffer[..self.buffer.len().min(self.limits.line_max + 1)];
        tag_of(begin).filter(|tag| tag.as_str().len() < begin.len())
    }

    /// Drops what has come of a refused command up to the end of `line`.
    fn drop_line(&mut self, line: Line) {
        self.buffer.advance(line.next.min(self.buffer.len()));
        self.reset_line();
        match line.literal {
            None => self.state = State::Command,
            Some(spec) => {
                self.skip_literal(spec.size, spec.synchronizing, self.limits.skip_max);
            }
        }
    }

    /// Goes on after the header of a refused literal.
    fn skip_literal(&mut self, size: Option<u64>, synchronizing: bool, budget: u64) {
        self.state = if synchronizing {
            // The client has been told NO and sends no literal (RFC 9051 §4.3). If it did not
            // wait, what it has sent could only be taken for commands.
            if self.buffer.is_empty() {
                State::Command
            } else {
                State::Bye(error(
                    DecodeErrorKind::Syntax,
                    "literal sent without waiting",
                    0,
                ))
            }
        } else {
            match size.and_then(|left| Some((left, budget.checked_sub(left)?))) {
                Some((left, budget)) => State::Skip { left, budget },
                None => State::Bye(error(DecodeErrorKind::TooBig, "literal too large", 0)),
            }
        };
    }

    /// Looks for the end of a refused command.
    fn discard(&mut self, budget: u64) -> Option<()> {
        let over = || State::Bye(error(DecodeErrorKind::Limit, "too much data to skip", 0));
        match memchr(b'\n', &self.buffer) {
            Some(end) => {
                let mut content = end;
                if content > 0 && self.buffer[content - 1] == b'\r' {
                    content -= 1;
                }
                let literal = literal_at_end(&self.buffer[..content]).map(|(spec, _)| spec);
                self.buffer.advance(end + 1);
                match (budget.checked_sub(end as u64), literal) {
                    (None, _) => self.state = over(),
                    // A synchronizing literal ends it: the client waits and gets the NO.
                    (Some(budget), Some(spec)) if !spec.synchronizing => {
                        self.skip_literal(spec.size, false, budget);
                    }
                    _ => self.state = State::Command,
                }
                Some(())
            }
            None => {
                // What is kept may be the beginning of a literal header.
                let len = self.buffer.len().saturating_sub(HEADER_BYTES_MAX);
                match budget.checked_sub(len as u64) {
                    None => {
                        self.state = over();
                        Some(())
                    }
                    Some(budget) => {
                        self.buffer.advance(len);
                        self.state = State::Discard { budget };
                        None
                    }
                }
            }
        }
    }
}

fn error(kind: DecodeErrorKind, message: &'static str, position: usize) -> DecodeError {
    DecodeError {
        kind,
        message,
        position,
    }
}
