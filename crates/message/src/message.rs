//! A parsed message: the part tree and the header text it was read from.

use std::borrow::Cow;
use std::ops::Range;

use crate::known::{self, Known, KnownFields};
use crate::limits::Limits;
use crate::structure::{Encoding, Kind, Part, Structure};

/// What [`Parser`](crate::Parser) makes of a message: everything that a mailbox keeps about it
/// can be asked for without the octets of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub(crate) structure: Structure,
    /// The headers of all parts, one after the other.
    pub(crate) headers: Vec<u8>,
    /// Where in `headers` the header of each part begins; it ends where the next begins.
    pub(crate) header_starts: Vec<u32>,
    /// The fields of these headers that we read, as positions in `headers`.
    known: Vec<Known>,
    /// Where in `known` those of each part begin.
    known_starts: Vec<u32>,
    pub(crate) captures: Vec<Capture>,
    pub(crate) limits: Limits,
}

/// The beginning of the body of a text part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    pub(crate) part: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn empty(limits: Limits) -> Message {
        Message {
            structure: Structure {
                parts: Vec::new(),
                size: 0,
            },
            headers: Vec::new(),
            header_starts: Vec::new(),
            known: Vec::new(),
            known_starts: Vec::new(),
            captures: Vec::new(),
            limits,
        }
    }

    /// Appends header text of the newest part, as far as the limit allows.
    pub(crate) fn keep_header(&mut self, bytes: &[u8]) {
        let room = (self.limits.header_bytes as usize).saturating_sub(self.headers.len());
        self.headers
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Adds a part that is empty for now, with the defaults of RFC 2045 §5.2.
    pub(crate) fn add_part(&mut self, start: u64) -> usize {
        let index = self.structure.parts.len();
        self.structure.parts.push(Part {
            header: start..start,
            body: start..start,
            lines: 0,
            kind: Kind::Leaf,
            encoding: Encoding::SevenBit,
            media_type: Cow::Borrowed("text/plain"),
            charset: None,
            end: index as u32 + 1,
        });
        self.header_starts.push(self.headers.len() as u32);
        self.known_starts.push(self.known.len() as u32);
        index
    }

    /// Finds the fields of the newest part, whose header is complete.
    pub(crate) fn index_header(&mut self) {
        let start = self.header_starts.last().map_or(0, |&start| start as usize);
        known::find(&self.headers, start, &mut self.known);
    }

    /// The fields of a part that we read.
    pub(crate) fn fields_of(&self, index: usize) -> KnownFields<'_> {
        let at = |index| {
            self.known_starts
                .get(index)
                .map_or(self.known.len(), |&at| at as usize)
        };
        KnownFields {
            known: &self.known[at(index)..at(index + 1)],
            text: &self.headers,
        }
    }

    /// The part tree.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The part tree alone.
    pub fn into_structure(self) -> Structure {
        self.structure
    }

    /// The header of the message, blank line included (cut at [`Limits::header_bytes`]).
    pub fn header(&self) -> &[u8] {
        self.header_of(0)
    }

    /// The header of the part with this index in [`Structure::parts`]; empty if there is none.
    pub fn header_of(&self, index: usize) -> &[u8] {
        &self.headers[self.header_range(index)]
    }

    fn header_range(&self, index: usize) -> Range<usize> {
        let at = |index| {
            self.header_starts
                .get(index)
                .map_or(self.headers.len(), |&at| at as usize)
        };
        at(index)..at(index + 1)
    }
}
