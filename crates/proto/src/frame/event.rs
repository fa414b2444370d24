//! What a client may send, and what the framer tells.

use std::fmt;

use bytes::Bytes;

use crate::decode::{CommandError, DecodeError, DecodeOptions};
use crate::types::{AppendHead, CatenatePart};

/// What a client may send. All sizes are bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// One line without its end.
    pub line_max: usize,
    /// The lines and literals of one command together, a streamed message not counted.
    pub command_max: usize,
    /// A literal that is not a message.
    pub literal_max: u64,
    /// What is skipped after a command was refused in the middle; beyond it the connection ends.
    pub skip_max: u64,
    /// Refuse non-synchronizing literals over 4096 bytes (LITERAL-, RFC 7888 §5).
    pub literal_minus: bool,
    /// How APPEND heads are decoded; use the same for [`decode`](crate::decode::decode).
    pub decode: DecodeOptions,
}

impl Limits {
    /// For clients nobody knows yet.
    pub fn before_login() -> Self {
        Self {
            line_max: 16 << 10,
            command_max: 32 << 10,
            literal_max: 8 << 10,
            skip_max: 64 << 10,
            literal_minus: false,
            decode: DecodeOptions {
                items_max: 256,
                depth_max: 10,
                ..DecodeOptions::default()
            },
        }
    }

    /// For clients that have logged in.
    pub fn after_login() -> Self {
        Self {
            line_max: 256 << 10,
            command_max: 1 << 20,
            literal_max: 512 << 10,
            skip_max: 256 << 20,
            literal_minus: false,
            decode: DecodeOptions::default(),
        }
    }
}

/// What the framer found. Its `Debug` form has no bytes of commands: they may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole command with its literals, without the last line end: decode it. The bytes are the framer's.
    Command(&'a [u8]),
    /// The line that [`Framer::expect_line`](super::Framer::expect_line) asked for, without its end.
    Line(&'a [u8]),
    /// The client waits with a literal that is welcome: send a continuation request.
    Continue,
    /// A message of APPEND or REPLACE begins. Answer with [`Framer::accept`](super::Framer::accept) (and, if the literal
    /// is synchronizing, a continuation request) or with [`Framer::refuse`](super::Framer::refuse) (and a tagged NO).
    Message(AppendHead),
    /// A part of a CATENATE. A text is to be answered like a message.
    Catenate(CatenatePart),
    /// Bytes of the accepted literal; never empty.
    Chunk(Bytes),
    /// The accepted literal is complete.
    LiteralEnd,
    /// All parts of the CATENATE are there.
    CatenateEnd,
    /// The command that began with [`Event::Message`] is complete: do it and answer.
    AppendEnd,
    /// A command is refused: answer BAD, or NO where the kind says so. The framer finds the next
    /// command by itself. An APPEND that was going on is over.
    Error(CommandError),
    /// The client cannot be followed any more: answer BYE and close. Nothing comes after it.
    Bye(DecodeError),
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(bytes) => write!(f, "Command({} bytes)", bytes.len()),
            Self::Line(bytes) => write!(f, "Line({} bytes)", bytes.len()),
            Self::Continue => f.write_str("Continue"),
            Self::Message(head) => f.debug_tuple("Message").field(head).finish(),
            Self::Catenate(part) => f.debug_tuple("Catenate").field(part).finish(),
            Self::Chunk(bytes) => write!(f, "Chunk({} bytes)", bytes.len()),
            Self::LiteralEnd => f.write_str("LiteralEnd"),
            Self::CatenateEnd => f.write_str("CatenateEnd"),
            Self::AppendEnd => f.write_str("AppendEnd"),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
            Self::Bye(error) => f.debug_tuple("Bye").field(error).finish(),
        }
    }
}
