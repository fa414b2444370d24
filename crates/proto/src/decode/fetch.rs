//! FETCH attributes (RFC 9051 §6.4.5, §9).

use super::parser::{Parser, Result};
use crate::types::{FetchAttribute, Partial, Section, SectionPart, SectionText};

/// Parts of parts of parts: more numbers than this name nothing.
const SECTION_PARTS_MAX: usize = 1000;

/// ```abnf
/// "ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")"
/// ```
pub(super) fn attributes(p: &mut Parser<'_>) -> Result<Vec<FetchAttribute>> {
    use FetchAttribute::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    if p.peek() == Some(b'(') {
        return p.list(false, attribute);
    }
    let start = p.position();
    match p.word().as_bytes() {
        b"ALL" => Ok(vec![Flags, InternalDate, Rfc822Size, Envelope]),
        b"FAST" => Ok(vec![Flags, InternalDate, Rfc822Size]),
        b"FULL" => Ok(vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
        _ => {
            p.rewind(start);
            Ok(vec![attribute(p)?])
        }
    }
}

/// ```abnf
/// fetch-att =  "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822.SIZE" /
///              "BODY" ["STRUCTURE"] / "UID" / "BODY" section [partial] /
///              "BODY.PEEK" section [partial] / "BINARY" [".PEEK"] section-binary [partial] /
///              "BINARY.SIZE" section-binary
/// fetch-att =/ "RFC822" [".HEADER" / ".TEXT"]                     ; RFC 3501 §9
/// fetch-att =/ "RFC822.PEEK"                                      ; RFC 1730 §9
/// fetch-att =/ "MODSEQ"                                           ; RFC 7162 §7
/// fetch-att =/ "EMAILID" / "THREADID"                             ; RFC 8474 §7
/// fetch-att =/ "SAVEDATE"                                         ; RFC 8514 §5
/// fetch-att =/ "PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]  ; RFC 8970 §6
/// ```
pub(super) fn attribute(p: &mut Parser<'_>) -> Result<FetchAttribute> {
    Ok(match p.word().as_bytes() {
        b"FLAGS" => FetchAttribute::Flags,
        b"UID" => FetchAttribute::Uid,
        b"ENVELOPE" => FetchAttribute::Envelope,
        b"INTERNALDATE" => FetchAttribute::InternalDate,
        b"RFC822.SIZE" => FetchAttribute::Rfc822Size,
        b"BODYSTRUCTURE" => FetchAttribute::BodyStructure,
        b"BODY.PEEK" => section_attribute(p, true)?,
        b"BODY" if p.peek() == Some(b'[') => section_attribute(p, false)?,
        b"BODY" => FetchAttribute::Body,
        b"MODSEQ" => FetchAttribute::ModSeq,
        b"RFC822" => FetchAttribute::Rfc822,
        b"RFC822.PEEK" => FetchAttribute::Rfc822Peek,
        b"RFC822.HEADER" => FetchAttribute::Rfc822Header,
        b"RFC822.TEXT" => FetchAttribute::Rfc822Text,
        b"BINARY" => binary_attribute(p, false)?,
        b"BINARY.PEEK" => binary_attribute(p, true)?,
        b"BINARY.SIZE" => FetchAttribute::BinarySize(section_binary(p)?),
        b"EMAILID" => FetchAttribute::EmailId,
        b"THREADID" => FetchAttribute::ThreadId,
        b"SAVEDATE" => FetchAttribute::SaveDate,
        b"PREVIEW" => preview(p)?,
        _ => return p.syntax("unknown FETCH attribute"),
    })
}

fn preview(p: &mut Parser<'_>) -> Result<FetchAttribute> {
    let mut lazy = false;
    // A space and a "(" can also begin the FETCH modifiers: look at the word.
    let start = p.position();
    if p.eat(b' ') && p.eat(b'(') && p.peek_word().as_bytes() == b"LAZY" {
        p.rewind(start + 1);
        p.list(false, |p| {
            lazy = true;
            if p.eat_word(b"LAZY") {
                Ok(())
            } else {
                p.syntax("unknown PREVIEW modifier")
            }
        })?;
    } else {
        p.rewind(start);
    }
    Ok(FetchAttribute::Preview { lazy })
}

fn section_attribute(p: &mut Parser<'_>, peek: bool) -> Result<FetchAttribute> {
    let section = section(p)?;
    Ok(FetchAttribute::Section {
        section,
        partial: partial(p)?,
        peek,
    })
}

fn binary_attribute(p: &mut Parser<'_>, peek: bool) -> Result<FetchAttribute> {
    let part = section_binary(p)?;
    Ok(FetchAttribute::Binary {
        part,
        partial: partial(p)?,
        peek,
    })
}

/// ```abnf
/// section      = "[" [section-spec] "]"
/// section-spec = section-msgtext / (section-part ["." section-text])
/// ```
pub(crate) fn section(p: &mut Parser<'_>) -> Result<Section> {
    p.expect(b'[', "expected \"[\"")?;
    let part = section_part(p)?;
    let text = if p.peek() == Some(b']') {
        None
    } else {
        Some(section_text(p, !part.is_empty())?)
    };
    p.expect(b']', "expected \"]\"")?;
    Ok(Section { part, text })
}

/// ```abnf
/// section-part = nz-number *("." nz-number)
/// ```
/// Takes the dot after it too if a text follows.
fn section_part(p: &mut Parser<'_>) -> Result<SectionPart> {
    let mut part = Vec::new();
    while p.peek().is_some_and(|b| b.is_ascii_digit()) {
        if part.len() == SECTION_PARTS_MAX {
            return p.syntax("too many part numbers");
        }
        part.push(p.nz_number()?);
        if !p.eat(b'.') {
            return Ok(part);
        }
    }
    if !part.is_empty() && p.peek() == Some(b']') {
        return p.syntax("expected a part number or a text");
    }
    Ok(part)
}

/// ```abnf
/// section-binary = "[" [section-part] "]"
/// ```
pub(crate) fn section_binary(p: &mut Parser<'_>) -> Result<SectionPart> {
    p.expect(b'[', "expected \"[\"")?;
    let part = section_part(p)?;
    p.expect(b']', "expected \"]\"")?;
    Ok(part)
}

/// ```abnf
/// section-text    = section-msgtext / "MIME"
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// header-list     = "(" header-fld-name *(SP header-fld-name) ")"
/// ```
fn section_text(p: &mut Parser<'_>, has_part: bool) -> Result<SectionText> {
    let not = match p.word().as_bytes() {
        b"HEADER" => return Ok(SectionText::Header),
        b"TEXT" => return Ok(SectionText::Text),
        b"MIME" if has_part => return Ok(SectionText::Mime),
        b"MIME" => return p.syntax("MIME needs a part number"),
        b"HEADER.FIELDS" => false,
        b"HEADER.FIELDS.NOT" => true,
        _ => return p.syntax("unknown section"),
    };
    p.space()?;
    let names = p.list(false, Parser::astring_owned)?;
    Ok(SectionText::HeaderFields { names, not })
}

/// ```abnf
/// partial = "<" number64 "." nz-number64 ">"
/// ```
/// and without a length for everything from there, as other servers take it.
fn partial(p: &mut Parser<'_>) -> Result<Option<Partial>> {
    if !p.eat(b'<') {
        return Ok(None);
    }
    let offset = p.number64()?;
    if p.eat(b'>') {
        let length = i64::MAX as u64;
        return Ok(Some(Partial { offset, length }));
    }
    p.expect(b'.', "expected \".\"")?;
    let length = p.number64()?;
    if length == 0 {
        return p.syntax("expected a length above zero");
    }
    p.expect(b'>', "expected \">\"")?;
    Ok(Some(Partial { offset, length }))
}
