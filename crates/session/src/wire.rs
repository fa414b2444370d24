//! The protocol crate's framer, decoder and encoder, as a session uses them.

use bytes::Bytes;
use restante_auth::sasl::TOKEN_BYTES_MAX;
use restante_proto::decode::{CommandError, DecodeErrorKind, DecodeOptions, decode};
use restante_proto::frame::{self, Event, Framer};
use restante_proto::types::{
    AppendHead, CatenatePart, Code, Command, LiteralHead, MetadataCode, Tag,
};

use crate::env::Limits;
use crate::reply::Reply;

/// What a client sent, as a whole.
#[derive(Debug)]
pub(crate) enum Input {
    /// A command.
    Command(Box<Command>),
    /// APPEND or REPLACE begins (or the next message of a MULTIAPPEND): nothing follows before
    /// [`Conn::accept`](crate::conn::Conn::accept) or [`Conn::refuse`](crate::conn::Conn::refuse).
    Append(Box<AppendHead>),
    /// A part of a CATENATE; the bytes of a text follow when it is accepted.
    Catenate(CatenatePart),
    /// Bytes of the message that was accepted.
    Chunk(Bytes),
    /// The literal is complete.
    LiteralEnd,
    /// The CATENATE is complete.
    CatenateEnd,
    /// The APPEND is complete.
    AppendEnd,
    /// The line that [`Conn::expect_line`](crate::conn::Conn::expect_line) asked for.
    Line(Bytes),
    /// A command that is none; the reply has its tag if it could be read. An APPEND that was going on
    /// is over.
    Bad(Option<Tag>, Reply),
    /// The client cannot be followed any more.
    Bye(&'static str),
}

/// AUTHENTICATE with the longest token, in base64.
const TOKEN_LINE_BYTES: usize = TOKEN_BYTES_MAX.div_ceil(3) * 4 + 256;

/// Input of one connection, from bytes to commands.
pub(crate) struct Framing {
    // Boxed: an idle connection needs little of it, and it is moved with the session's future.
    framer: Box<Framer>,
    beginning: Beginning,
    /// The largest value of an annotation; none before the login.
    annotation_bytes_max: Option<u64>,
    /// Tokens are taken for a login.
    tokens: bool,
}

/// How a connection began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// Nothing has come yet.
    Awaited,
    /// As IMAP may begin.
    Imap,
    /// With another protocol: what follows must never be read as commands.
    Foreign(&'static str),
}

impl Beginning {
    /// Looks at the first bytes. A browser that was led here sends a whole request at once, and in the
    /// end of it may be what somebody else wants to have read as commands.
    fn of(bytes: &[u8]) -> Beginning {
        const VERBS: [&[u8]; 9] = [
            b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"TRACE",
        ];
        // A handshake record of any version (RFC 8446 §5.1).
        if bytes.starts_with(&[0x16, 0x03]) {
            return Beginning::Foreign("TLS is not spoken here from the start: use STARTTLS");
        }
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let is_verb = line
            .split(|byte| *byte == b' ')
            .next()
            .is_some_and(|word| VERBS.contains(&word));
        if is_verb && memchr::memmem::find(line, b" HTTP/").is_some() {
            return Beginning::Foreign("This is IMAP, not HTTP");
        }
        Beginning::Imap
    }
}

impl Framing {
    pub(crate) fn new(limits: &Limits, tokens: bool) -> Framing {
        Framing {
            framer: Box::new(Framer::new(Framing::before_login(limits, tokens))),
            beginning: Beginning::Awaited,
            annotation_bytes_max: None,
            tokens,
        }
    }

    /// As at the beginning, with nothing of what has come.
    pub(crate) fn anew(&self, limits: &Limits) -> Framing {
        Framing::new(limits, self.tokens)
    }

    /// The longest response of a mechanism has to fit in a line (RFC 4959 §6). Only tokens are long.
    fn before_login(limits: &Limits, tokens: bool) -> frame::Limits {
        let line_max = limits.line_bytes_max_before_login;
        let command_max = limits.command_bytes_max.min(4 * line_max);
        let longest = if tokens { TOKEN_LINE_BYTES } else { 0 };
        frame::Limits {
            line_max: line_max.max(longest),
            command_max: command_max.max(longest),
            literal_max: limits.literal_bytes_max_before_login as u64,
            decode: DecodeOptions {
                depth_max: limits.nesting_max,
                ..DecodeOptions::default()
            },
            ..frame::Limits::before_login()
        }
    }

    /// As at the beginning; what has come stays.
    pub(crate) fn after_logout(&mut self, limits: &Limits) {
        self.annotation_bytes_max = None;
        self.framer
            .set_limits(Framing::before_login(limits, self.tokens));
        self.framer.set_utf8(false);
    }

    pub(crate) fn after_login(&mut self, limits: &Limits) {
        let utf8 = self.framer.limits().decode.utf8;
        let messages = u64::from(limits.append_messages_max).max(1);
        self.annotation_bytes_max = Some(limits.annotation_bytes_max as u64);
        self.framer.set_limits(frame::Limits {
            line_max: limits.line_bytes_max,
            command_max: limits.command_bytes_max,
            literal_max: limits.literal_bytes_max as u64,
            // A refused message is still taken off the wire; absurd ones end the connection.
            skip_max: limits
                .append_bytes_max
                .saturating_mul(messages.min(4))
                .max(1 << 20),
            literal_minus: false,
            decode: DecodeOptions {
                utf8,
                items_max: limits.set_ranges_max,
                depth_max: limits.nesting_max,
            },
        });
    }

    pub(crate) fn utf8_names(&mut self, utf8: bool) {
        self.framer.set_utf8(utf8);
    }

    pub(crate) fn has_input(&self) -> bool {
        self.framer.buffered() > 0
    }

    /// Takes what has come and is not yet read as a command.
    pub(crate) fn take_buffered(&mut self) -> Bytes {
        self.framer.take_buffered()
    }

    pub(crate) fn expect_line(&mut self) {
        self.framer.expect_line();
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.beginning == Beginning::Awaited && !bytes.is_empty() {
            self.beginning = Beginning::of(bytes);
        }
        self.framer.push(bytes);
    }

    pub(crate) fn accept(&mut self) {
        self.framer.accept();
    }

    pub(crate) fn refuse(&mut self) {
        self.framer.refuse();
    }

    /// The next input that is there as a whole. Where the client waits for a go-ahead, it is written
    /// to `out`.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Option<Input> {
        if let Beginning::Foreign(text) = self.beginning {
            return Some(Input::Bye(text));
        }
        let options = self.framer.limits().decode;
        Some(match self.framer.next()? {
            Event::Continue => {
                go_ahead(out);
                return self.next(out);
            }
            Event::Command(bytes) => match decode(bytes, &options) {
                Ok(command) => Input::Command(Box::new(command)),
                Err(error) => self.bad(error),
            },
            Event::Line(line) => Input::Line(Bytes::copy_from_slice(line)),
            Event::Message(head) => Input::Append(Box::new(head)),
            Event::Catenate(part) => Input::Catenate(part),
            Event::Chunk(bytes) => Input::Chunk(bytes),
            Event::LiteralEnd => Input::LiteralEnd,
            Event::CatenateEnd => Input::CatenateEnd,
            Event::AppendEnd => Input::AppendEnd,
            Event::Error(error) => self.bad(error),
            Event::Bye(error) => Input::Bye(error.message),
        })
    }

    fn bad(&self, CommandError { tag, error }: CommandError) -> Input {
        let reply = match error.kind {
            DecodeErrorKind::MailboxName => Reply::no(error.message).code(Code::Cannot),
            DecodeErrorKind::SpecialUse => Reply::no(error.message).code(Code::UseAttr),
            // RFC 5464 §4.3
            DecodeErrorKind::AnnotationTooBig if let Some(most) = self.annotation_bytes_max => {
                let code = Code::Metadata(MetadataCode::MaxSize(most));
                Reply::no("The value is too large").code(code)
            }
            DecodeErrorKind::TooBig | DecodeErrorKind::AnnotationTooBig => {
                Reply::bad(error.message).code(Code::TooBig)
            }
            DecodeErrorKind::Limit => Reply::bad(error.message).code(Code::Limit),
            DecodeErrorKind::UnknownCommand => Reply::bad(error.message),
            DecodeErrorKind::Syntax | DecodeErrorKind::Number | DecodeErrorKind::Incomplete => {
                Reply::bad(error.to_string())
            }
        };
        Input::Bad(tag, reply)
    }
}

/// The continuation request before a literal (RFC 9051 §7.6).
pub(crate) fn go_ahead(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+ OK\r\n");
}

/// Whether a literal waits for a go-ahead.
pub(crate) fn waits(literal: Option<LiteralHead>) -> bool {
    literal.is_some_and(|literal| literal.synchronizing)
}
