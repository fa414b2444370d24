//! What SEARCH reads: the headers and texts of a message, in order.

use std::ops::Range;

use crate::charset::TextDecoder;
use crate::encoded_word::decode_header;
use crate::header::fields;
use crate::structure::{Kind, Part, Structure};

/// A piece of a message with text to search in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextSource<'a> {
    /// The header of the message; SEARCH TEXT reads it, SEARCH BODY does not.
    Header(Range<u64>),
    /// The header of an embedded message.
    EmbeddedHeader(Range<u64>),
    /// The header of a part.
    MimeHeader(Range<u64>),
    /// The body of a text part.
    Body(&'a Part),
}

impl TextSource<'_> {
    /// Where it lies in the message.
    pub fn range(&self) -> Range<u64> {
        match self {
            TextSource::Header(range)
            | TextSource::EmbeddedHeader(range)
            | TextSource::MimeHeader(range) => range.clone(),
            TextSource::Body(part) => part.body.clone(),
        }
    }
}

impl Structure {
    /// Everything that TEXT searches, in the order of the message.
    ///
    /// Headers are to be decoded by [`decode_header_text`], bodies piece by piece with
    /// [`TextDecoder::for_part`]. HTML is searched as it is written.
    pub fn text_sources(&self) -> impl Iterator<Item = TextSource<'_>> {
        self.parts
            .iter()
            .enumerate()
            .flat_map(move |(index, part)| {
                let range = part.header.clone();
                let is_embedded = index > 0 && self.parts[index - 1].kind == Kind::Message;
                let header = match index {
                    0 => TextSource::Header(range),
                    _ if is_embedded => TextSource::EmbeddedHeader(range),
                    _ => TextSource::MimeHeader(range),
                };
                [
                    Some(header),
                    part.is_searched().then_some(TextSource::Body(part)),
                ]
                .into_iter()
                .flatten()
            })
    }
}

impl TextDecoder {
    /// Decodes a body that is all there.
    pub fn decode(part: &Part, body: &[u8]) -> String {
        let mut out = String::new();
        let mut decoder = TextDecoder::for_part(part);
        decoder.push(body, &mut out);
        decoder.finish(&mut out);
        out
    }
}

/// A header value to search in: decoded (RFC 2047), and with spaces for tabs, because many programs
/// fold with a tab where there was a space.
pub fn decode_header_value(value: &[u8]) -> String {
    let text = decode_header(value);
    match text.contains('\t') {
        true => text.replace('\t', " "),
        false => text,
    }
}

/// A header to search in: one line `Name: value` for each field, as [`decode_header_value`], and
/// the lines that are no field: a body without the blank line before it begins with such.
pub fn decode_header_text(header: &[u8]) -> String {
    let mut out = String::with_capacity(header.len());
    let mut fields = fields(header);
    loop {
        let before = fields.rest();
        let field = fields.next();
        let raw = field.map_or(0, |field| field.raw.len());
        let skipped = &before[..before.len() - fields.rest().len() - raw];
        for line in skipped.split_inclusive(|&byte| byte == b'\n') {
            out.push_str(&decode_header_value(line));
            out.push('\n');
        }
        let Some(field) = field else {
            break;
        };
        out.push_str(&String::from_utf8_lossy(field.name));
        out.push_str(": ");
        out.push_str(&decode_header_value(field.value));
        out.push('\n');
    }
    out
}
