//! The pieces of APPEND, REPLACE and CATENATE between their literals, for the framer
//! (RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 6855, RFC 8508).

use super::parser::{LiteralSpec, Parser, Result};
use super::{DecodeErrorKind, TAG_BYTES_MAX, tag};
use crate::types::{
    AppendData, AppendHead, CatenatePart, DateTime, Flag, LiteralHead, MailboxName, ReplaceTarget,
    Tag,
};

/// Whether `line`, the beginning of a command, is an APPEND, a REPLACE or a UID REPLACE.
pub(crate) fn is_append(line: &[u8]) -> bool {
    begins_with(line, &[b"APPEND", b"REPLACE", b"UID REPLACE"])
}

/// Whether the command in `line` is one of these, as far as it is there.
pub(crate) fn begins_with(line: &[u8], words: &[&[u8]]) -> bool {
    // No tag is longer; a bound keeps this cheap when it is asked after every literal.
    let begin = &line[..line.len().min(TAG_BYTES_MAX + 1)];
    let Some(space) = memchr::memchr(b' ', begin) else {
        return false;
    };
    let verb = &line[space + 1..];
    let begins = |word: &[u8]| {
        verb.get(..word.len())
            .is_some_and(|v| v.eq_ignore_ascii_case(word))
            && verb.get(word.len()).is_some_and(|b| *b == b' ')
    };
    words.iter().any(|word| begins(word))
}

/// What is common to all messages of the command.
#[derive(Clone, Debug)]
pub(crate) struct AppendCommand {
    pub(crate) tag: Tag,
    pub(crate) mailbox: MailboxName,
    pub(crate) replace: Option<ReplaceTarget>,
}

/// What is said before one message.
pub(crate) struct MessageHead {
    pub(crate) flags: Vec<Flag>,
    pub(crate) internal_date: Option<DateTime>,
    pub(crate) data: AppendData,
}

impl AppendCommand {
    pub(crate) fn head(&self, index: u32, message: MessageHead) -> AppendHead {
        AppendHead {
            tag: self.tag.clone(),
            mailbox: self.mailbox.clone(),
            replace: self.replace,
            index,
            flags: message.flags,
            internal_date: message.internal_date,
            data: message.data,
        }
    }
}

/// ```abnf
/// append  = "APPEND" SP mailbox 1*append-message                  ; RFC 3502, RFC 4466
/// replace = "REPLACE" SP seq-number SP mailbox append-message     ; RFC 8508
/// uid     =/ "UID" SP replace
/// ```
/// Up to the first message.
pub(crate) fn command(p: &mut Parser<'_>) -> Result<AppendCommand> {
    let tag = tag(p)?;
    let uid = p.eat_word(b"UID");
    if uid {
        p.space()?;
    }
    let replace = match p.word().as_bytes() {
        b"APPEND" if !uid => None,
        b"REPLACE" => {
            p.space()?;
            Some(if uid {
                ReplaceTarget::Uid(p.set_end()?)
            } else {
                ReplaceTarget::Seq(p.set_end()?)
            })
        }
        _ => return p.syntax("expected APPEND or REPLACE"),
    };
    p.space()?;
    let mailbox = p.mailbox()?;
    Ok(AppendCommand {
        tag,
        mailbox,
        replace,
    })
}

/// ```abnf
/// append-message = append-opts SP append-data
/// append-opts    = [SP flag-list] [SP date-time]
/// append-data    =  literal / literal8
/// append-data    =/ "CATENATE" SP "(" cat-part *(SP cat-part) ")"   ; RFC 4469 §5
/// append-data    =/ "UTF8" SP "(" (literal8 / literal) ")"          ; RFC 6855 §4 has literal8 only
/// ```
/// Up to the literal, or the parenthesis of CATENATE.
pub(crate) fn message(p: &mut Parser<'_>) -> Result<MessageHead> {
    p.space()?;
    let mut flags = Vec::new();
    if p.peek() == Some(b'(') {
        flags = p.flag_list()?;
        p.space()?;
    }
    let mut internal_date = None;
    if p.peek() == Some(b'"') {
        internal_date = Some(p.date_time()?);
        p.space()?;
    }
    let data = match p.peek_word().as_bytes() {
        b"CATENATE" => {
            p.word();
            p.space()?;
            p.open()?;
            AppendData::Catenate
        }
        b"UTF8" => AppendData::Literal(utf8_literal(p)?),
        _ => {
            let spec = p.literal_header()?;
            AppendData::Literal(literal_head(p, spec, false)?)
        }
    };
    Ok(MessageHead {
        flags,
        internal_date,
        data,
    })
}

/// Clients send plain literals here, too.
fn utf8_literal(p: &mut Parser<'_>) -> Result<LiteralHead> {
    p.word();
    p.space()?;
    p.open()?;
    let spec = p.literal_header()?;
    literal_head(p, spec, true)
}

fn literal_head(p: &Parser<'_>, spec: LiteralSpec, utf8: bool) -> Result<LiteralHead> {
    let Some(size) = spec.size else {
        return p.fail(DecodeErrorKind::TooBig, "literal too large");
    };
    Ok(LiteralHead {
        size,
        literal8: spec.literal8,
        utf8,
        synchronizing: spec.synchronizing,
    })
}

/// ```abnf
/// cat-part      =  text-literal / url
/// cat-part      =/ "UTF8" SP "(" (literal8 / literal) ")"          ; RFC 6855 §4 has literal8 only
/// text-literal  = "TEXT" SP literal
/// url           = "URL" SP astring
/// ```
pub(crate) fn catenate_part(p: &mut Parser<'_>) -> Result<CatenatePart> {
    match p.peek_word().as_bytes() {
        b"URL" => {
            p.word();
            p.space()?;
            p.astring_owned().map(CatenatePart::Url)
        }
        b"TEXT" => {
            p.word();
            p.space()?;
            let spec = p.literal_header()?;
            literal_head(p, spec, false).map(CatenatePart::Text)
        }
        b"UTF8" => utf8_literal(p).map(CatenatePart::Text),
        _ => p.syntax("expected URL or TEXT"),
    }
}
