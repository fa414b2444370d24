//! What stands before the message literal of APPEND, REPLACE and CATENATE.
//!
//! These commands are not decoded as a whole: the framer streams the message, and tells these
//! heads first, so that a session can refuse before the client sends.

use super::date::DateTime;
use super::flag::Flag;
use super::mailbox_name::MailboxName;
use super::numbers::{SeqNum, Uid};
use super::sets::SetEnd;
use super::strings::Tag;

/// Everything said before one message of an APPEND (RFC 9051 §6.3.12), a MULTIAPPEND (RFC 3502)
/// or a REPLACE (RFC 8508).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendHead {
    /// The tag of the command.
    pub tag: Tag,
    /// The destination; the same for every message of a MULTIAPPEND.
    pub mailbox: MailboxName,
    /// The message that is replaced, if the command is REPLACE.
    pub replace: Option<ReplaceTarget>,
    /// Which message of the command this is, from 0.
    pub index: u32,
    /// The flags of the new message.
    pub flags: Vec<Flag>,
    /// The internal date of the new message.
    pub internal_date: Option<DateTime>,
    /// What follows.
    pub data: AppendData,
}

/// The message that REPLACE replaces (RFC 8508 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplaceTarget {
    /// REPLACE
    Seq(SetEnd<SeqNum>),
    /// UID REPLACE
    Uid(SetEnd<Uid>),
}

/// How a message is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AppendData {
    /// As one literal.
    Literal(LiteralHead),
    /// In parts (RFC 4469), each told by an event of its own.
    Catenate,
}

/// A literal as announced, before its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiteralHead {
    /// Its length in bytes.
    pub size: u64,
    /// `~{…}`: may hold NUL (RFC 3516 §4.4, RFC 9051 §4.3).
    pub literal8: bool,
    /// Wrapped in `UTF8 (…)` (RFC 6855 §4).
    pub utf8: bool,
    /// The client waits for a continuation request before it sends.
    pub synchronizing: bool,
}

/// A part of a CATENATE (RFC 4469 §3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CatenatePart {
    /// Bytes of another message, by IMAP URL (RFC 5092).
    Url(Vec<u8>),
    /// Bytes that follow as a literal.
    Text(LiteralHead),
}
