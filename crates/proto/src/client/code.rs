//! Decodes response codes.

use super::cursor::{Cursor, Result, lossy};
use super::parts::{
    capabilities, id, list, list1, many, mod_seq, object_id, owned, permanent_flag, set,
};
use crate::types::{Atom, Code, CopyUid, EventName, MetadataCode, Tag, UrlMechanism};

/// `resp-text-code` (RFC 9051 §9 and the extensions), after its bracket and up to the closing
/// one, which is taken too.
pub(super) fn code(c: &mut Cursor<'_>) -> Result<Code> {
    let start = c.clone();
    let known = known_code(c).and_then(|code| {
        c.byte(b']', "end of response code")?;
        Ok(code)
    });
    match known {
        Err(_) if start.lenient() => {
            *c = start;
            let code = other_code(c)?;
            c.byte(b']', "end of response code")?;
            Ok(code)
        }
        result => result,
    }
}

/// `atom [SP 1*<any TEXT-CHAR except "]">]`
fn other_code(c: &mut Cursor<'_>) -> Result<Code> {
    let start = c.clone();
    let Some(name) = Atom::new(lossy(c.atom()?)) else {
        return start.error("response code");
    };
    if !c.take_if(b' ') {
        return Ok(Code::Other(name, None));
    }
    Ok(Code::Other(name, Some(up_to_bracket(c)?)))
}

/// `1*<any TEXT-CHAR except "]">`
fn up_to_bracket(c: &mut Cursor<'_>) -> Result<Vec<u8>> {
    let rest = c.rest();
    let length = rest.iter().position(|&b| b == b']').unwrap_or(rest.len());
    if length == 0
        || rest[..length]
            .iter()
            .any(|b| matches!(b, 0 | b'\r' | b'\n'))
    {
        return c.error("text of response code");
    }
    c.advance(length);
    Ok(rest[..length].to_vec())
}

/// The codes that are a word and nothing else.
const PLAIN: [(&[u8], Code); 37] = [
    (b"ALERT", Code::Alert),
    (b"ALREADYEXISTS", Code::AlreadyExists),
    (b"AUTHENTICATIONFAILED", Code::AuthenticationFailed),
    (b"AUTHORIZATIONFAILED", Code::AuthorizationFailed),
    (b"BADCOMPARATOR", Code::BadComparator),
    (b"CANNOT", Code::Cannot),
    (b"CLIENTBUG", Code::ClientBug),
    (b"CLOSED", Code::Closed),
    (b"COMPRESSIONACTIVE", Code::CompressionActive),
    (b"CONTACTADMIN", Code::ContactAdmin),
    (b"CORRUPTION", Code::Corruption),
    (b"EXPIRED", Code::Expired),
    (b"EXPUNGEISSUED", Code::ExpungeIssued),
    (b"HASCHILDREN", Code::HasChildren),
    (b"INUSE", Code::InUse),
    (b"LIMIT", Code::Limit),
    (b"NOMODSEQ", Code::NoModSeq),
    (b"NONEXISTENT", Code::NonExistent),
    (b"NOPERM", Code::NoPerm),
    (b"NOTIFICATIONOVERFLOW", Code::NotificationOverflow),
    (b"NOTSAVED", Code::NotSaved),
    (b"OVERQUOTA", Code::OverQuota),
    (b"PARSE", Code::Parse),
    (b"PRIVACYREQUIRED", Code::PrivacyRequired),
    (b"READ-ONLY", Code::ReadOnly),
    (b"READ-WRITE", Code::ReadWrite),
    (b"SERVERBUG", Code::ServerBug),
    (b"TOOBIG", Code::TooBig),
    (b"TOOFEW", Code::TooFew),
    (b"TOOMANY", Code::TooMany),
    (b"TRYCREATE", Code::TryCreate),
    (b"UIDNOTSTICKY", Code::UidNotSticky),
    (b"UIDREQUIRED", Code::UidRequired),
    (b"UNAVAILABLE", Code::Unavailable),
    (b"UNKNOWN-CTE", Code::UnknownCte),
    (b"USEATTR", Code::UseAttr),
    (b"INPROGRESS", Code::InProgress(None)),
];

/// The known codes that are never a word alone.
const WITH_ARGUMENT: [&[u8]; 16] = [
    b"APPENDUID",
    b"BADEVENT",
    b"BADURL",
    b"CAPABILITY",
    b"COPYUID",
    b"HIGHESTMODSEQ",
    b"MAILBOXID",
    b"MESSAGELIMIT",
    b"METADATA",
    b"MODIFIED",
    b"NOUPDATE",
    b"PERMANENTFLAGS",
    b"UIDNEXT",
    b"UIDVALIDITY",
    b"UNSEEN",
    b"URLMECH",
];

fn known_code(c: &mut Cursor<'_>) -> Result<Code> {
    let start = c.clone();
    let name = c.atom()?.to_ascii_uppercase();
    if c.peek() == Some(b']') {
        if let Some((_, code)) = PLAIN.iter().find(|(word, _)| *word == &name[..]) {
            return Ok(code.clone());
        }
        return match &name[..] {
            b"BADCHARSET" => Ok(Code::BadCharset(Vec::new())),
            word if WITH_ARGUMENT.contains(&word) => c.error("space"),
            _ => {
                *c = start;
                other_code(c)
            }
        };
    }
    if &name[..] == b"CAPABILITY" {
        return Ok(Code::Capability(capabilities(c)?));
    }
    c.space()?;
    Ok(match &name[..] {
        b"APPENDUID" => {
            let uid_validity = id(c)?;
            c.space()?;
            Code::AppendUid {
                uid_validity,
                uids: set(c)?,
            }
        }
        b"COPYUID" => {
            let uid_validity = id(c)?;
            c.space()?;
            let source = set(c)?;
            c.space()?;
            Code::CopyUid(CopyUid {
                uid_validity,
                source,
                destination: set(c)?,
            })
        }
        b"BADCHARSET" => Code::BadCharset(list1(c, charset)?),
        b"PERMANENTFLAGS" => {
            Code::PermanentFlags(list(c, permanent_flag)?.into_iter().flatten().collect())
        }
        b"UIDNEXT" => Code::UidNext(id(c)?),
        b"UIDVALIDITY" => Code::UidValidity(id(c)?),
        b"UNSEEN" => Code::Unseen(id(c)?),
        b"HIGHESTMODSEQ" => Code::HighestModSeq(mod_seq(c, false)?),
        b"MODIFIED" => Code::Modified(set(c)?),
        b"MAILBOXID" => Code::MailboxId(object_id(c)?),
        b"BADURL" => Code::BadUrl(up_to_bracket(c)?),
        b"REFERRAL" => Code::Referral(up_to_bracket(c)?),
        b"NOUPDATE" => Code::NoUpdate(owned(c.quoted()?)),
        b"METADATA" => Code::Metadata(metadata(c)?),
        b"BADEVENT" => Code::BadEvent(list1(c, event)?.into_iter().flatten().collect()),
        b"UNDEFINED-FILTER" => Code::UndefinedFilter(c.atom()?.to_vec()),
        b"URLMECH" => Code::UrlMech(url_mechanisms(c)?),
        b"INPROGRESS" => Code::InProgress(Some(in_progress(c)?)),
        b"MESSAGELIMIT" => {
            let limit = id(c)?;
            let lowest = if c.more()? { Some(id(c)?) } else { None };
            Code::MessageLimit { limit, lowest }
        }
        word if PLAIN.iter().any(|(plain, _)| *plain == word) => {
            return c.error("end of response code");
        }
        _ => {
            *c = start;
            return other_code(c);
        }
    })
}

/// `charset = atom / quoted`
fn charset(c: &mut Cursor<'_>) -> Result<String> {
    if c.peek() == Some(b'"') {
        Ok(lossy(&c.quoted()?))
    } else {
        c.atom_string()
    }
}

/// RFC 5464 §5
fn metadata(c: &mut Cursor<'_>) -> Result<MetadataCode> {
    if c.word("TOOMANY") {
        return Ok(MetadataCode::TooMany);
    }
    if c.word("NOPRIVATE") {
        return Ok(MetadataCode::NoPrivate);
    }
    let long = c.word("LONGENTRIES");
    if !long && !c.word("MAXSIZE") {
        return c.error("METADATA response code");
    }
    c.space()?;
    let size = u64::from(c.number()?);
    Ok(if long {
        MetadataCode::LongEntries(size)
    } else {
        MetadataCode::MaxSize(size)
    })
}

/// `event-name` (RFC 5465 §8); `None` for one that is not known.
fn event(c: &mut Cursor<'_>) -> Result<Option<EventName>> {
    let start = c.clone();
    let name = c.atom_string()?;
    let event = EventName::ALL
        .into_iter()
        .find(|e| e.name().eq_ignore_ascii_case(&name));
    if event.is_none() && !c.lenient() {
        return start.error("event name");
    }
    Ok(event)
}

/// `"INTERNAL" *(SP mechanism ["=" base64])` (RFC 4467 §9): those after INTERNAL.
fn url_mechanisms(c: &mut Cursor<'_>) -> Result<Vec<UrlMechanism>> {
    if c.word("INTERNAL") {
        many(c, url_mechanism)
    } else {
        c.error("INTERNAL")
    }
}

fn url_mechanism(c: &mut Cursor<'_>) -> Result<UrlMechanism> {
    let start = c.clone();
    let atom = c.atom()?;
    let (name, data) = match atom.iter().position(|&b| b == b'=') {
        Some(at) => (&atom[..at], Some(atom[at + 1..].to_vec())),
        None => (atom, None),
    };
    match Atom::new(lossy(name)) {
        Some(mechanism) => Ok(UrlMechanism { mechanism, data }),
        None => start.error("mechanism"),
    }
}

/// ```abnf
/// inprogress-tag   = quoted / nil
/// inprogress-state = nil SP nil / number SP nil / number SP nz-number
/// ```
/// RFC 9585 §5
fn in_progress(c: &mut Cursor<'_>) -> Result<(Option<Tag>, Option<u32>, Option<u32>)> {
    c.byte(b'(', "INPROGRESS list")?;
    let start = c.clone();
    let tag = if c.nil() {
        None
    } else {
        Some(lossy(&c.quoted()?))
    };
    let tag = match tag.map(Tag::new) {
        None => None,
        Some(Some(tag)) => Some(tag),
        Some(None) => return start.error("tag"),
    };
    c.space()?;
    let progress = if c.nil() { None } else { Some(c.number()?) };
    c.space()?;
    let goal = if c.nil() {
        None
    } else if progress.is_some() || c.lenient() {
        Some(c.nz_number()?)
    } else {
        return c.error("NIL");
    };
    c.byte(b')', "end of INPROGRESS list")?;
    Ok((tag, progress, goal))
}
