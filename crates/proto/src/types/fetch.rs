//! FETCH: what is asked and what is answered (RFC 9051 §6.4.5, §7.5.2).

use std::num::NonZeroU32;

use bytes::Bytes;

use super::body::{BodyStructure, Envelope};
use super::date::DateTime;
use super::flag::Flag;
use super::numbers::{ModSeq, Uid};
use super::strings::ObjectId;

/// The numbers that name a body part, from the top: `1.2.3`. Empty names the message itself.
pub type SectionPart = Vec<NonZeroU32>;

/// What a FETCH asks for. The macros ALL, FAST and FULL are expanded by the decoder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchAttribute {
    /// ENVELOPE
    Envelope,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Rfc822Size,
    /// RFC822 (RFC 3501 §6.4.5): sets \Seen
    Rfc822,
    /// RFC822.PEEK (RFC 1730 §6.4.5): RFC822 that does not set \Seen; Outlook still sends it
    Rfc822Peek,
    /// RFC822.HEADER (RFC 3501 §6.4.5): does not set \Seen
    Rfc822Header,
    /// RFC822.TEXT (RFC 3501 §6.4.5): sets \Seen
    Rfc822Text,
    /// BODY without a section: the structure without extension data
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// UID
    Uid,
    /// BODY[…] and BODY.PEEK[…]
    Section {
        /// What stands in the brackets.
        section: Section,
        /// The part of it that is asked for.
        partial: Option<Partial>,
        /// Does not set \Seen.
        peek: bool,
    },
    /// BINARY[…] and BINARY.PEEK[…] (RFC 3516): decoded content
    Binary {
        /// The body part.
        part: SectionPart,
        /// The part of it that is asked for.
        partial: Option<Partial>,
        /// Does not set \Seen.
        peek: bool,
    },
    /// BINARY.SIZE[…]: length of the decoded content
    BinarySize(SectionPart),
    /// MODSEQ (RFC 7162 §3.1.5)
    ModSeq,
    /// EMAILID (RFC 8474 §5.1)
    EmailId,
    /// THREADID (RFC 8474 §5.2)
    ThreadId,
    /// SAVEDATE (RFC 8514 §4.2)
    SaveDate,
    /// PREVIEW (RFC 8970 §3)
    Preview {
        /// LAZY: NIL will do if there is none at hand.
        lazy: bool,
    },
}

/// What stands in the brackets of BODY[…].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Section {
    /// The body part; empty for the message itself.
    pub part: SectionPart,
    /// What of it; `None` for all of it.
    pub text: Option<SectionText>,
}

/// The text part of a section (RFC 9051 §9, section-text).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SectionText {
    /// HEADER
    Header,
    /// HEADER.FIELDS and HEADER.FIELDS.NOT
    HeaderFields {
        /// The field names as written; at least one.
        names: Vec<Vec<u8>>,
        /// HEADER.FIELDS.NOT
        not: bool,
    },
    /// TEXT
    Text,
    /// MIME; never without a part
    Mime,
}

/// A part of a section: `<offset.length>` (RFC 9051 §6.4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Partial {
    /// The first byte, from 0.
    pub offset: u64,
    /// How many bytes at most; never 0.
    pub length: u64,
}

/// A data item of a FETCH response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchItem {
    /// FLAGS
    Flags(Vec<Flag>),
    /// UID
    Uid(Uid),
    /// MODSEQ
    ModSeq(ModSeq),
    /// INTERNALDATE
    InternalDate(DateTime),
    /// RFC822.SIZE
    Rfc822Size(u64),
    /// ENVELOPE
    Envelope(Box<Envelope>),
    /// BODY: the structure without extension data
    Body(Box<BodyStructure>),
    /// BODYSTRUCTURE
    BodyStructure(Box<BodyStructure>),
    /// BODY[…]
    Section {
        /// What stands in the brackets.
        section: Section,
        /// Where the bytes begin, if a part of it was asked for.
        origin: Option<u64>,
        /// The bytes; `None` is NIL.
        data: Option<Bytes>,
    },
    /// RFC822
    Rfc822(Option<Bytes>),
    /// RFC822.HEADER
    Rfc822Header(Option<Bytes>),
    /// RFC822.TEXT
    Rfc822Text(Option<Bytes>),
    /// BINARY[…]
    Binary {
        /// The body part.
        part: SectionPart,
        /// Where the bytes begin, if the server says so (RFC 3516 §4.3; erratum 7246).
        origin: Option<u64>,
        /// The bytes; `None` is NIL.
        data: Option<Bytes>,
    },
    /// BINARY.SIZE[…]
    BinarySize(SectionPart, u64),
    /// EMAILID
    EmailId(ObjectId),
    /// THREADID; `None` is NIL
    ThreadId(Option<ObjectId>),
    /// SAVEDATE; `None` is NIL
    SaveDate(Option<DateTime>),
    /// PREVIEW; `None` is NIL
    Preview(Option<Vec<u8>>),
    /// An item that this library does not know: its name, and its value as the bytes on the wire.
    Other(Vec<u8>, Vec<u8>),
}
