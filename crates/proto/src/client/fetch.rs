//! Decodes the data items of a FETCH response.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::body_decode::{body, envelope};
use super::cursor::{Cursor, Result, Value};
use super::parts::{astring, date_time, flag_list, id, list1, mod_seq, nstring, object_id};
use crate::types::{FetchItem, Section, SectionPart, SectionText, is_atom_char};

/// `msg-att = "(" (msg-att-dynamic / msg-att-static) *(SP …) ")"` (RFC 9051 §9)
///
/// If `open`, the list may end in the middle, after a literal that is being streamed.
pub(super) fn items(c: &mut Cursor<'_>, open: bool) -> Result<Vec<FetchItem>> {
    c.byte(b'(', "list of data items")?;
    let mut items = Vec::new();
    if c.lenient() {
        c.skip_spaces();
        if c.take_if(b')') {
            return Ok(items);
        }
    }
    loop {
        items.push(item(c)?);
        if open && c.at_end() {
            return Ok(items);
        }
        if !c.more()? {
            break;
        }
    }
    c.byte(b')', "end of data items")?;
    Ok(items)
}

fn item(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let start = c.clone();
    match known_item(c) {
        Err(_) if start.lenient() => {
            *c = start;
            other_item(c)
        }
        result => result,
    }
}

/// An item that is unknown, or malformed: its name and its value as they stand.
fn other_item(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let before = c.rest();
    let name = c.token()?.to_vec();
    let name_end = c.position();
    if c.take_if(b']') && c.peek() == Some(b'<') {
        drop(c.token());
    }
    if matches!(c.peek(), None | Some(b')')) {
        return Ok(FetchItem::Other(name, Vec::new()));
    }
    let start = c.position();
    c.skip_value()?;
    let offset = start - (name_end - name.len());
    let length = c.position() - start;
    let value = before.get(offset..offset + length).unwrap_or_default();
    Ok(FetchItem::Other(name, value.trim_ascii_start().to_vec()))
}

fn known_item(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let rest = c.rest();
    let length = rest
        .iter()
        .position(|&b| !is_atom_char(b) || b == b'[')
        .unwrap_or(rest.len());
    let start = c.clone();
    // The names that are known are not longer; this is done for every item of every message.
    let mut name = [0; 16];
    let Some(name) = name.get_mut(..length) else {
        return c.error("data item");
    };
    name.copy_from_slice(&rest[..length]);
    name.make_ascii_uppercase();
    c.advance(length);
    if c.peek() == Some(b'[') {
        return match &*name {
            b"BODY" => body_section(c),
            b"BINARY" => binary(c),
            b"BINARY.SIZE" => {
                let part = section_part_in_brackets(c)?;
                c.space()?;
                Ok(FetchItem::BinarySize(part, u64::from(c.number()?)))
            }
            _ => start.error("data item"),
        };
    }
    if c.lenient() && matches!(c.peek(), None | Some(b')')) {
        // An item without a value: RFC822 of one large server.
        return Ok(match &*name {
            b"RFC822" => FetchItem::Rfc822(None),
            b"RFC822.HEADER" => FetchItem::Rfc822Header(None),
            b"RFC822.TEXT" => FetchItem::Rfc822Text(None),
            _ => return c.error("value"),
        });
    }
    c.space()?;
    Ok(match &*name {
        b"FLAGS" => FetchItem::Flags(flag_list(c)?),
        b"UID" => FetchItem::Uid(id(c)?),
        b"MODSEQ" => {
            c.byte(b'(', "modification sequence in parentheses")?;
            let mod_seq = mod_seq(c, false)?;
            c.byte(b')', "end of modification sequence")?;
            FetchItem::ModSeq(mod_seq)
        }
        b"INTERNALDATE" => FetchItem::InternalDate(date_time(c)?),
        b"RFC822.SIZE" => FetchItem::Rfc822Size(c.number64()?),
        b"ENVELOPE" => FetchItem::Envelope(Box::new(envelope(c)?)),
        b"BODY" => FetchItem::Body(Box::new(body(c)?)),
        b"BODYSTRUCTURE" => FetchItem::BodyStructure(Box::new(body(c)?)),
        b"RFC822" => FetchItem::Rfc822(data(c, false)?),
        b"RFC822.HEADER" => FetchItem::Rfc822Header(data(c, false)?),
        b"RFC822.TEXT" => FetchItem::Rfc822Text(data(c, false)?),
        b"EMAILID" => FetchItem::EmailId(object_id(c)?),
        b"THREADID" if c.nil() => FetchItem::ThreadId(None),
        b"THREADID" => FetchItem::ThreadId(Some(object_id(c)?)),
        b"SAVEDATE" if c.nil() => FetchItem::SaveDate(None),
        b"SAVEDATE" => FetchItem::SaveDate(Some(date_time(c)?)),
        b"PREVIEW" => FetchItem::Preview(nstring(c)?),
        _ => return start.error("data item"),
    })
}

/// `nstring`, and `literal8` if `binary`. Of a streamed literal nothing is left here.
fn data(c: &mut Cursor<'_>, binary: bool) -> Result<Option<Bytes>> {
    Ok(match c.value(binary || c.lenient())? {
        Value::Nil => None,
        Value::Bytes(bytes) => Some(bytes),
        Value::Streamed(_) => Some(Bytes::new()),
    })
}

/// `"BODY" section ["<" number ">"] SP nstring`
fn body_section(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let section = section(c)?;
    let origin = origin(c)?;
    c.space()?;
    // With IMAP4rev2 or BINARY a server may use literal8 only in BINARY (RFC 9051 §9).
    Ok(FetchItem::Section {
        section,
        origin,
        data: data(c, false)?,
    })
}

/// `"BINARY" section-binary SP (nstring / literal8)`
fn binary(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let part = section_part_in_brackets(c)?;
    // RFC 3516 §4.3 has an origin here, RFC 9051's grammar does not (erratum 7246).
    let origin = origin(c)?;
    c.space()?;
    Ok(FetchItem::Binary {
        part,
        origin,
        data: data(c, true)?,
    })
}

fn origin(c: &mut Cursor<'_>) -> Result<Option<u64>> {
    if !c.take_if(b'<') {
        return Ok(None);
    }
    let origin = c.number64()?;
    c.byte(b'>', "end of origin")?;
    Ok(Some(origin))
}

/// `section-binary = "[" [section-part] "]"`
fn section_part_in_brackets(c: &mut Cursor<'_>) -> Result<SectionPart> {
    c.byte(b'[', "section")?;
    let mut part = SectionPart::new();
    if c.peek() != Some(b']') {
        section_part(c, &mut part)?;
    }
    c.byte(b']', "end of section")?;
    Ok(part)
}

/// `section-part = nz-number *("." nz-number)`: tells whether a `.` and no number follows.
fn section_part(c: &mut Cursor<'_>, part: &mut SectionPart) -> Result<bool> {
    loop {
        part.push(id::<NonZeroU32>(c)?);
        if !c.take_if(b'.') {
            return Ok(false);
        }
        if !c.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Ok(true);
        }
    }
}

/// ```abnf
/// section      = "[" [section-spec] "]"
/// section-spec = section-msgtext / (section-part ["." section-text])
/// section-text = section-msgtext / "MIME"
/// ```
fn section(c: &mut Cursor<'_>) -> Result<Section> {
    c.byte(b'[', "section")?;
    let mut section = Section::default();
    let text = if c.peek().is_some_and(|b| b.is_ascii_digit()) {
        section_part(c, &mut section.part)?
    } else {
        c.peek() != Some(b']')
    };
    if text {
        section.text = Some(section_text(c, !section.part.is_empty())?);
    }
    c.byte(b']', "end of section")?;
    Ok(section)
}

/// ```abnf
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// header-list     = "(" header-fld-name *(SP header-fld-name) ")"
/// ```
fn section_text(c: &mut Cursor<'_>, in_part: bool) -> Result<SectionText> {
    let not = c.word("HEADER.FIELDS.NOT");
    if not || c.word("HEADER.FIELDS") {
        c.space()?;
        return Ok(SectionText::HeaderFields {
            names: list1(c, astring)?,
            not,
        });
    }
    if c.word("HEADER") {
        return Ok(SectionText::Header);
    }
    if c.word("TEXT") {
        return Ok(SectionText::Text);
    }
    if in_part && c.word("MIME") {
        return Ok(SectionText::Mime);
    }
    c.error("section text")
}
