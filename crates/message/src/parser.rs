//! The parser: octets in pieces of any size, to the part tree.
//!
//! One pass, no recursion. Header text is copied as it goes by (bounded); of bodies only line
//! feeds are counted and delimiter lines looked at, so a body costs what `memchr` costs.

use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memmem};

use crate::content;
use crate::limits::Limits;
use crate::message::{Capture, Message};
use crate::structure::Kind;

/// A longer line is no delimiter: RFC 2046 §5.1.1 allows 70 octets of boundary.
const DELIMITER_LINE_MAX: usize = 2048;
/// Small enough that the second look at the same octets finds them in the cache.
const STEP: usize = 64 << 10;
/// Text parts of which the beginning is kept, so that an empty first one has a successor.
const CAPTURES: usize = 3;

static DELIMITER_START: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(b"\n--"));

/// Parses a whole message under the default limits. Never fails.
pub fn parse(bytes: &[u8]) -> Message {
    parse_with(bytes, Limits::default())
}

/// Parses a whole message under these limits. Never fails.
pub fn parse_with(bytes: &[u8], limits: Limits) -> Message {
    let mut parser = Parser::new(limits);
    parser.push(bytes);
    parser.finish()
}

/// A parser that is given the message piece by piece, in bounded memory.
///
/// Any split of the octets gives the same result.
///
/// ```
/// let mut parser = restante_message::Parser::new(Default::default());
/// parser.push(b"Subject: a\r\n\r");
/// parser.push(b"\nhello\r\n");
/// let message = parser.finish();
/// assert_eq!(message.structure().root().body, 14..21);
/// ```
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    message: Message,
    /// The parts that are not finished, outermost first.
    open: Vec<Open>,
    /// How many of `open` have a boundary.
    boundaries: usize,
    state: State,
    /// Octets consumed.
    at: u64,
    /// Line feeds consumed.
    lines: u64,
    /// The last octets consumed.
    last: [u8; 2],
    /// Where the line began that is being looked at, and the length of the line break before it.
    line_start: u64,
    line_break: u64,
    /// That line as far as it came, if it came in several pieces.
    line: Vec<u8>,
    /// The line is longer than any delimiter; `line` has not all of it.
    line_is_long: bool,
    /// Where the text kept of that line begins, if it is a header line.
    line_kept_at: usize,
}

/// A part whose end was not seen.
#[derive(Debug)]
struct Open {
    part: usize,
    /// The boundary of a multipart whose close delimiter was not seen.
    boundary: Option<Box<[u8]>>,
    is_digest: bool,
    lines_before_body: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the header of the innermost open part, at the start of a line.
    Header,
    /// In a header line whose beginning is in `line`.
    HeaderLine,
    /// In a body, preamble or epilogue, at the start of a line.
    LineStart,
    /// In a line there that may be a delimiter; its beginning is in `line`.
    Candidate,
    /// In a line that is no delimiter.
    MidLine,
}

impl Parser {
    /// A parser at the beginning of a message.
    pub fn new(limits: Limits) -> Parser {
        let mut parser = Parser {
            limits,
            message: Message::empty(limits),
            open: Vec::new(),
            boundaries: 0,
            state: State::Header,
            at: 0,
            lines: 0,
            last: [0; 2],
            line_start: 0,
            line_break: 0,
            line: Vec::new(),
            line_is_long: false,
            line_kept_at: 0,
        };
        parser.open_part(0);
        parser
    }

    /// Takes the next octets of the message.
    pub fn push(&mut self, bytes: &[u8]) {
        for step in bytes.chunks(STEP) {
            let before = self.at;
            let mut from = 0;
            while from < step.len() {
                let rest = &step[from..];
                from += match self.state {
                    State::Header => self.header_lines(rest),
                    State::HeaderLine => self.header_line_rest(rest),
                    State::LineStart => self.body_line(rest),
                    State::Candidate => self.candidate_rest(rest),
                    State::MidLine => self.skip_lines(rest),
                };
            }
            self.capture(step, before);
        }
    }

    /// Ends the message.
    pub fn finish(mut self) -> Message {
        if matches!(self.state, State::HeaderLine | State::Candidate) {
            self.delimiter_in_pieces();
        }
        self.line_start = self.at;
        self.line_break = 0;
        self.end_headers();
        self.close_to(0);
        self.message.structure.size = self.at;
        for capture in &mut self.message.captures {
            let octets = self.message.structure.parts[capture.part].octets();
            capture
                .bytes
                .truncate(usize::try_from(octets).unwrap_or(usize::MAX));
        }
        self.message
    }

    /// Counts these octets as read; the caller counts the line feeds.
    fn consume(&mut self, bytes: &[u8]) -> usize {
        match bytes {
            [] => {}
            [one] => self.last = [self.last[1], *one],
            [.., before, one] => self.last = [*before, *one],
        }
        self.at += bytes.len() as u64;
        bytes.len()
    }

    /// The blank line at the end of a header was read.
    fn end_header_here(&mut self) {
        self.start_line();
        self.end_header(self.at);
    }

    /// A new line begins in a body.
    fn start_line(&mut self) {
        self.state = State::LineStart;
        self.line_start = self.at;
        self.line_break = if self.last == *b"\r\n" { 2 } else { 1 };
    }

    /// Reads whole header lines; `rest` is at the start of one.
    fn header_lines(&mut self, rest: &[u8]) -> usize {
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &rest[start..]) {
            let end = start + length + 1;
            let line = &rest[start..end];
            if matches!(line, b"\n" | b"\r\n") {
                self.message.keep_header(&rest[..end]);
                self.lines += 1;
                let used = self.consume(&rest[..end]);
                self.end_header_here();
                return used;
            }
            if let Some((index, close)) = self.delimiter(line) {
                self.message.keep_header(&rest[..start]);
                self.line_start = self.at + start as u64;
                self.line_break = 0;
                let used = self.consume(&rest[..end]);
                self.delimit(index, close);
                self.lines += 1;
                return used;
            }
            self.lines += 1;
            start = end;
        }
        self.message.keep_header(&rest[..start]);
        if start < rest.len() {
            self.line_start = self.at + start as u64;
            self.line_break = 0;
            self.line_kept_at = self.message.headers.len();
            self.message.keep_header(&rest[start..]);
            self.begin_pieces(&rest[start..]);
            self.state = State::HeaderLine;
        }
        self.consume(rest)
    }

    /// Reads on in a header line that began in an earlier piece.
    fn header_line_rest(&mut self, rest: &[u8]) -> usize {
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let piece = &rest[..end];
        self.message.keep_header(piece);
        self.add_piece(piece);
        let used = self.consume(piece);
        if piece.ends_with(b"\n") {
            if !self.delimiter_in_pieces() {
                self.state = State::Header;
                if matches!(&self.line[..], b"\n" | b"\r\n") {
                    self.lines += 1;
                    self.end_header_here();
                    return used;
                }
            }
            self.lines += 1;
        }
        used
    }

    /// Looks whether the body line that begins here is a delimiter.
    fn body_line(&mut self, rest: &[u8]) -> usize {
        let may_be_delimiter = matches!(rest, [b'-'] | [b'-', b'-', ..]) && self.boundaries > 0;
        if !may_be_delimiter {
            self.state = State::MidLine;
            return 0;
        }
        let window = &rest[..rest.len().min(DELIMITER_LINE_MAX)];
        let Some(length) = memchr(b'\n', window) else {
            if rest.len() >= DELIMITER_LINE_MAX {
                self.state = State::MidLine;
                return 0;
            }
            self.begin_pieces(rest);
            self.state = State::Candidate;
            return self.consume(rest);
        };
        let line = &rest[..=length];
        let used = self.consume(line);
        match self.delimiter(line) {
            Some((index, close)) => self.delimit(index, close),
            None => self.start_line(),
        }
        self.lines += 1;
        used
    }

    /// Reads on in a body line that may be a delimiter and began in an earlier piece.
    fn candidate_rest(&mut self, rest: &[u8]) -> usize {
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let piece = &rest[..end];
        self.add_piece(piece);
        let used = self.consume(piece);
        if piece.ends_with(b"\n") {
            if !self.delimiter_in_pieces() {
                self.start_line();
            }
            self.lines += 1;
        }
        used
    }

    /// Reads body lines up to one that may be a delimiter.
    fn skip_lines(&mut self, rest: &[u8]) -> usize {
        let found = if self.boundaries == 0 {
            None
        } else {
            DELIMITER_START.find(rest)
        };
        let end = match found {
            Some(at) => at + 1,
            // The next piece may begin with the second hyphen.
            None if rest.ends_with(b"\n-") => rest.len() - 1,
            None => rest.len(),
        };
        let read = &rest[..end];
        self.lines += memchr_iter(b'\n', read).count() as u64;
        let used = self.consume(read);
        if read.ends_with(b"\n") {
            self.start_line();
        }
        used
    }

    fn begin_pieces(&mut self, piece: &[u8]) {
        self.line.clear();
        self.line_is_long = false;
        self.add_piece(piece);
    }

    fn add_piece(&mut self, piece: &[u8]) {
        if self.line.len() + piece.len() > DELIMITER_LINE_MAX {
            self.line_is_long = true;
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    /// If the line read in pieces is a delimiter, ends the parts before it.
    fn delimiter_in_pieces(&mut self) -> bool {
        if self.line_is_long {
            return false;
        }
        let Some((index, close)) = self.delimiter(&self.line) else {
            return false;
        };
        if self.state == State::HeaderLine {
            self.message.headers.truncate(self.line_kept_at);
        }
        self.delimit(index, close);
        true
    }

    /// Which open part this line delimits, innermost first, and whether it closes it.
    ///
    /// `delimiter transport-padding CRLF` (RFC 2046 §5.1.1): only a whole line counts, not one
    /// that merely begins with the boundary.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        if self.boundaries == 0 || line.len() > DELIMITER_LINE_MAX {
            return None;
        }
        let line = line.strip_prefix(b"--")?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let padding = line
            .iter()
            .rev()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let line = &line[..line.len() - padding];
        let closed = line.strip_suffix(b"--");
        self.open
            .iter()
            .enumerate()
            .rev()
            .find_map(|(index, open)| {
                let boundary = open.boundary.as_deref()?;
                if line == boundary {
                    Some((index, false))
                } else if closed == Some(boundary) {
                    Some((index, true))
                } else {
                    None
                }
            })
    }

    /// A delimiter of `open[index]` was read; it began at `line_start`.
    fn delimit(&mut self, index: usize, close: bool) {
        self.end_headers();
        self.close_to(index + 1);
        if close {
            self.open[index].boundary = None;
            self.boundaries -= 1;
            self.start_line();
        } else {
            self.open_part(self.at);
        }
    }

    /// Begins a part whose header starts here.
    fn open_part(&mut self, start: u64) {
        let part = self.message.add_part(start);
        self.open.push(Open {
            part,
            boundary: None,
            is_digest: false,
            lines_before_body: 0,
        });
        self.state = State::Header;
        if self.message.structure.parts.len() >= self.limits.parts as usize {
            // The last part that is allowed: everything that follows is its.
            self.boundaries = 0;
            self.open.iter_mut().for_each(|open| open.boundary = None);
        }
    }

    /// The headers that are open end at `line_start`: a delimiter or the end of the message.
    fn end_headers(&mut self) {
        while matches!(self.state, State::Header | State::HeaderLine) {
            self.end_header(self.line_start);
        }
    }

    /// The header of the innermost open part ends at `end`: decides what the part is.
    fn end_header(&mut self, end: u64) {
        self.state = State::LineStart;
        let depth = self.open.len();
        let in_digest = depth >= 2 && self.open[depth - 2].is_digest;
        let lines = self.lines;
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.lines_before_body = lines;
        let index = open.part;
        self.message.index_header();
        let content = content::interpret(self.message.fields_of(index), in_digest);
        let parts = self.message.structure.parts.len();
        let may_nest =
            depth < self.limits.depth as usize && parts < self.limits.parts.max(1) as usize;
        let kind = match content.kind {
            Kind::Multipart | Kind::Message if !may_nest => Kind::Leaf,
            kind => kind,
        };
        let part = &mut self.message.structure.parts[index];
        part.header.end = end;
        part.body = end..end;
        part.kind = kind;
        part.encoding = content.encoding;
        part.media_type = content.media_type;
        part.charset = content.charset;
        match kind {
            Kind::Multipart => {
                open.is_digest = part.media_type == "multipart/digest";
                open.boundary = content.boundary;
                self.boundaries += 1;
            }
            Kind::Message => self.open_part(end),
            Kind::Leaf => {
                let captures = &mut self.message.captures;
                if part.is_text() && !content.is_attachment && captures.len() < CAPTURES {
                    captures.push(Capture {
                        part: index,
                        bytes: Vec::new(),
                    });
                }
            }
        }
    }

    /// Ends the open parts from this one on before the line break that precedes `line_start`.
    fn close_to(&mut self, index: usize) {
        // Where the innermost body has just begun the line break is the end of its header.
        let innermost = self.open.last().map_or(0, |open| open.part);
        let body_start = self.message.structure.parts[innermost].body.start;
        let (mut end, mut line_feeds) = (self.line_start, self.lines);
        if self.line_break > 0 && body_start < self.line_start {
            end = end.saturating_sub(self.line_break);
            line_feeds = line_feeds.saturating_sub(1);
        }
        while self.open.len() > index {
            let Some(open) = self.open.pop() else { return };
            self.boundaries -= usize::from(open.boundary.is_some());
            let part = &mut self.message.structure.parts[open.part];
            part.body.end = end;
            part.lines = line_feeds.saturating_sub(open.lines_before_body);
            if part.kind == Kind::Multipart && self.message.structure.parts.len() == open.part + 1 {
                // `1*body` (RFC 9051 §9): a multipart has at least one part.
                self.message.add_part(end);
            }
            self.message.structure.parts[open.part].end = self.message.structure.parts.len() as u32;
        }
    }

    /// Keeps the beginning of the first text parts.
    fn capture(&mut self, step: &[u8], before: u64) {
        let limit = self.limits.preview_bytes as usize;
        for capture in &mut self.message.captures {
            let start = self.message.structure.parts[capture.part].body.start;
            let wanted = limit.saturating_sub(capture.bytes.len());
            let next = start + capture.bytes.len() as u64;
            let Some(skip) = next
                .checked_sub(before)
                .and_then(|skip| usize::try_from(skip).ok())
            else {
                continue;
            };
            if let Some(rest) = step.get(skip..) {
                capture
                    .bytes
                    .extend_from_slice(&rest[..rest.len().min(wanted)]);
            }
        }
    }
}
