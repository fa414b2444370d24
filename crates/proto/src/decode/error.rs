//! What is wrong with a command.

use std::fmt;

use crate::types::Tag;

/// Why a command cannot be decoded or framed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message} (at byte {position})")]
pub struct DecodeError {
    /// The sort of the error, for the choice of the response.
    pub kind: DecodeErrorKind,
    /// What was expected or refused, in words for the client. Never holds client bytes.
    pub message: &'static str,
    /// Where: bytes from the start of the command, literals counted as they came.
    pub position: usize,
}

/// The sort of a [`DecodeError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DecodeErrorKind {
    /// Not grammatical: BAD.
    Syntax,
    /// The command is not known: BAD.
    UnknownCommand,
    /// A mailbox name cannot be decoded: NO `[CANNOT]` or BAD.
    MailboxName,
    /// A special use is not known: NO `[USEATTR]` (RFC 6154 §3).
    SpecialUse,
    /// A number is larger than the grammar allows: BAD.
    Number,
    /// A limit of this server was passed: BAD or NO `[LIMIT]`.
    Limit,
    /// An announced literal is larger than allowed: NO `[TOOBIG]` or BAD.
    TooBig,
    /// An announced literal is larger than allowed, and a value of SETMETADATA: NO `[METADATA MAXSIZE]` (RFC
    /// 5464 §4.3).
    AnnotationTooBig,
    /// A literal announced more bytes than there are. Never leaves this crate.
    Incomplete,
}

/// A command that cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandError {
    /// The tag, if at least that could be read. Without it the response is an untagged BAD.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub error: DecodeError,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for CommandError {}
