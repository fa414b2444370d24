//! Decodes one response.

use super::code::code;
use super::cursor::{Cursor, Mode, ResponseDecodeError, Result, lossy};
use super::frame::ResponseFrame;
use super::parts::{capabilities, id, set};
use super::{data, extensions, fetch};
use crate::types::{
    Condition, FetchItem, Response, SeqNum, StatusResponse, Tag, Uid, UntaggedData,
};

/// Decodes a whole response (RFC 9051 §7, §9).
///
/// The data of a literal that was streamed is empty. A lenient decoder gives untagged data that
/// it does not understand as [`UntaggedData::Other`] or [`FetchItem::Other`].
///
/// # Errors
/// The response does not follow the grammar; in lenient mode: it is neither untagged nor a
/// continuation request nor something with a tag and a condition.
pub fn decode_response(
    frame: &ResponseFrame,
    mode: Mode,
) -> std::result::Result<Response, ResponseDecodeError> {
    let c = &mut Cursor::new(frame, mode)?;
    if c.take_if(b'+') {
        return continuation(c).map(Response::Continuation);
    }
    if c.peek() == Some(b'*') {
        c.advance(1);
        c.space()?;
        if let Some(condition) = condition(c) {
            return status(c, None, condition).map(Response::Status);
        }
        return untagged(c).map(Response::Data);
    }
    let tag = c.tag()?;
    let Some(tag) = Tag::new(lossy(tag)) else {
        return c.error("tag");
    };
    c.space()?;
    match condition(c) {
        Some(condition @ (Condition::Ok | Condition::No | Condition::Bad)) => {
            status(c, Some(tag), condition).map(Response::Status)
        }
        _ => c.error("OK, NO or BAD"),
    }
}

/// The beginning of a FETCH response, up to a literal that is being streamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedFetch {
    /// The message, by its number or UID.
    pub message: FetchedMessage,
    /// The items so far. The data of the last one is the literal that follows; it is empty here.
    pub items: Vec<FetchItem>,
}

/// How a FETCH response names its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchedMessage {
    /// FETCH
    Seq(SeqNum),
    /// UIDFETCH (RFC 9586)
    Uid(Uid),
}

/// Decodes what [`ResponseEvent::LiteralStart`](super::ResponseEvent) brings.
///
/// # Errors
/// As [`decode_response`].
pub fn decode_streamed(
    before: &ResponseFrame,
    mode: Mode,
) -> std::result::Result<StreamedFetch, ResponseDecodeError> {
    let c = &mut Cursor::open(before, mode);
    c.byte(b'*', "untagged response")?;
    c.space()?;
    let number = id(c)?;
    c.space()?;
    let message = if c.word("UIDFETCH") {
        FetchedMessage::Uid(Uid(number))
    } else if c.word("FETCH") {
        FetchedMessage::Seq(SeqNum(number))
    } else {
        return c.error("FETCH");
    };
    c.space()?;
    Ok(StreamedFetch {
        message,
        items: fetch::items(c, true)?,
    })
}

/// `continue-req = "+" SP (resp-text / base64) CRLF`, after the `+`.
fn continuation(c: &mut Cursor<'_>) -> Result<Vec<u8>> {
    if !c.take_if(b' ') && !c.lenient() {
        return c.error("space");
    }
    Ok(c.text_rest()?.to_vec())
}

fn condition(c: &mut Cursor<'_>) -> Option<Condition> {
    [
        ("OK", Condition::Ok),
        ("NO", Condition::No),
        ("BAD", Condition::Bad),
        ("BYE", Condition::Bye),
        ("PREAUTH", Condition::PreAuth),
    ]
    .into_iter()
    .find_map(|(word, condition)| c.word(word).then_some(condition))
}

/// `resp-text = ["[" resp-text-code "]" SP] [text]`, after the condition and with its space.
fn status(c: &mut Cursor<'_>, tag: Option<Tag>, condition: Condition) -> Result<StatusResponse> {
    let spaced = c.take_if(b' ') || (c.lenient() && c.at_end());
    if !spaced {
        return c.error("space");
    }
    let mut code_found = None;
    if c.peek() == Some(b'[') {
        let start = c.clone();
        c.advance(1);
        match code(c) {
            Ok(found) => {
                code_found = Some(found);
                // Erratum 7343: servers leave the space out before an empty text.
                if !c.take_if(b' ') && !c.lenient() {
                    return c.error("space");
                }
            }
            // Text that happens to begin with a bracket.
            Err(_) if c.lenient() => *c = start,
            Err(error) => return Err(error),
        }
    }
    let text = lossy(c.text_rest()?);
    Ok(StatusResponse {
        tag,
        condition,
        code: code_found,
        text,
    })
}

/// `response-data = "*" SP (… / mailbox-data / message-data / capability-data / enable-data)`
fn untagged(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    let start = c.clone();
    let data = known(c).and_then(|data| {
        c.finish()?;
        Ok(data)
    });
    match data {
        Err(_) if start.lenient() => Ok(UntaggedData::Other(start.rest().to_vec())),
        data => data,
    }
}

fn known(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    if c.peek().is_some_and(|b| b.is_ascii_digit()) {
        return numbered(c);
    }
    let start = c.clone();
    let word = c.atom()?.to_ascii_uppercase();
    Ok(match &word[..] {
        b"CAPABILITY" => UntaggedData::Capability(capability_data(c)?),
        b"ENABLED" => UntaggedData::Enabled(capabilities(c)?),
        b"ID" => UntaggedData::Id(extensions::id_parameters(c)?),
        b"FLAGS" => data::flags(c)?,
        b"LIST" => UntaggedData::List(data::list_entry(c)?),
        b"LSUB" => UntaggedData::Lsub(data::list_entry(c)?),
        b"XLIST" if c.lenient() => UntaggedData::List(data::list_entry(c)?),
        b"XLIST" => UntaggedData::Xlist(data::list_entry(c)?),
        b"STATUS" => data::status(c)?,
        b"NAMESPACE" => UntaggedData::Namespace(data::namespaces(c)?),
        b"SEARCH" => {
            let (ids, mod_seq) = data::numbers(c)?;
            UntaggedData::Search { ids, mod_seq }
        }
        b"SORT" => {
            let (ids, mod_seq) = data::numbers(c)?;
            UntaggedData::Sort { ids, mod_seq }
        }
        b"THREAD" => UntaggedData::Thread(data::thread(c)?),
        b"ESEARCH" => UntaggedData::Esearch(data::esearch(c)?),
        b"VANISHED" => vanished(c)?,
        b"ACL" => extensions::acl(c)?,
        b"LISTRIGHTS" => extensions::list_rights(c)?,
        b"MYRIGHTS" => extensions::my_rights(c)?,
        b"QUOTA" => extensions::quota(c)?,
        b"QUOTAROOT" => extensions::quota_root(c)?,
        b"METADATA" => extensions::metadata(c)?,
        b"LANGUAGE" => extensions::language(c)?,
        b"COMPARATOR" => extensions::comparator(c)?,
        b"GENURLAUTH" => extensions::gen_url_auth(c)?,
        b"URLFETCH" => extensions::url_fetch(c)?,
        b"UIDBATCHES" => extensions::uid_batches(c)?,
        b"JMAPACCESS" => extensions::jmap_access(c)?,
        _ => return start.error("known response"),
    })
}

/// `capability-data`: IMAP4rev1 or IMAP4rev2 must be among them.
fn capability_data(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    let list = capabilities(c)?;
    let is_imap = |name: &String| {
        name.eq_ignore_ascii_case("IMAP4rev1") || name.eq_ignore_ascii_case("IMAP4rev2")
    };
    if c.lenient() || list.iter().any(is_imap) {
        Ok(list)
    } else {
        c.error("IMAP4rev1 or rev2")
    }
}

/// `number SP "EXISTS" / number SP "RECENT" / message-data`
fn numbered(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    let start = c.clone();
    let number = c.number()?;
    c.space()?;
    if c.word("EXISTS") {
        return Ok(UntaggedData::Exists(number));
    }
    if c.word("RECENT") {
        return Ok(UntaggedData::Recent(number));
    }
    // The others have nz-number or uniqueid: read it again as such.
    let mut again = start;
    let nz = id(&mut again)?;
    if c.word("EXPUNGE") {
        return Ok(UntaggedData::Expunge(SeqNum(nz)));
    }
    if c.word("FETCH") {
        c.space()?;
        return Ok(UntaggedData::Fetch {
            seq: SeqNum(nz),
            items: fetch::items(c, false)?,
        });
    }
    if c.word("UIDFETCH") {
        c.space()?;
        return Ok(UntaggedData::UidFetch {
            uid: Uid(nz),
            items: fetch::items(c, false)?,
        });
    }
    c.error("EXISTS, RECENT, EXPUNGE or FETCH")
}

/// `"VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 §7)
fn vanished(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let earlier = c.peek() == Some(b'(');
    if earlier {
        c.advance(1);
        if !c.word("EARLIER") {
            return c.error("EARLIER");
        }
        c.byte(b')', "end of EARLIER")?;
        c.space()?;
    }
    Ok(UntaggedData::Vanished {
        earlier,
        uids: set(c)?,
    })
}
