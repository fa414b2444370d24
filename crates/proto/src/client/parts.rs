//! Productions that many responses share: sets, mailbox names, flags, dates, identifiers.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::cursor::{Cursor, Result, lossy};
use crate::types::{
    Date, DateTime, Flag, MailboxName, ModSeq, Month, Number, NumberSet, ObjectId, PermanentFlag,
    SetEnd, SetRange, Tag,
};

/// `"(" [item *(SP item)] ")"`
pub(super) fn list<T>(
    c: &mut Cursor<'_>,
    item: impl FnMut(&mut Cursor<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    c.byte(b'(', "list")?;
    if c.lenient() {
        c.skip_spaces();
    }
    if c.take_if(b')') {
        return Ok(Vec::new());
    }
    list_rest(c, item)
}

/// `"(" item *(SP item) ")"`
pub(super) fn list1<T>(
    c: &mut Cursor<'_>,
    item: impl FnMut(&mut Cursor<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    if c.lenient() {
        return list(c, item);
    }
    c.byte(b'(', "list")?;
    list_rest(c, item)
}

fn list_rest<T>(
    c: &mut Cursor<'_>,
    mut item: impl FnMut(&mut Cursor<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut items = vec![item(c)?];
    while c.more()? {
        items.push(item(c)?);
    }
    c.byte(b')', "end of list")?;
    Ok(items)
}

/// `*(SP item)`
pub(super) fn many<T>(
    c: &mut Cursor<'_>,
    mut item: impl FnMut(&mut Cursor<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while c.more()? {
        items.push(item(c)?);
    }
    Ok(items)
}

/// `nz-number` as any of the types that wrap one.
pub(super) fn id<N: Number>(c: &mut Cursor<'_>) -> Result<N> {
    let at = c.clone();
    match NonZeroU32::new(c.nz_number()?) {
        Some(number) => Ok(N::from_nonzero(number)),
        None => at.error("number above zero"),
    }
}

/// `uid-set`: a `sequence-set` without `*` and `$`, as responses have it.
pub(super) fn set<N: Number>(c: &mut Cursor<'_>) -> Result<NumberSet<N>> {
    let mut ranges = Vec::new();
    loop {
        let first = set_end(c)?;
        let last = if c.take_if(b':') { set_end(c)? } else { first };
        ranges.push(SetRange { first, last });
        if !c.take_if(b',') {
            return Ok(NumberSet {
                ranges,
                saved: false,
            });
        }
    }
}

fn set_end<N: Number>(c: &mut Cursor<'_>) -> Result<SetEnd<N>> {
    if c.lenient() && c.take_if(b'*') {
        return Ok(SetEnd::Star);
    }
    id(c).map(SetEnd::Number)
}

/// `mod-sequence-value`, or `mod-sequence-valzer` if `zero`.
pub(super) fn mod_seq(c: &mut Cursor<'_>, zero: bool) -> Result<ModSeq> {
    let at = c.clone();
    match c.number64()? {
        0 if !zero && !c.lenient() => at.error("modification sequence above zero"),
        value => Ok(ModSeq(value)),
    }
}

/// `mailbox = "INBOX" / astring`
pub(super) fn mailbox(c: &mut Cursor<'_>) -> Result<MailboxName> {
    let at = c.clone();
    let name = c.astring()?;
    match mailbox_name(&name, c) {
        Some(name) => Ok(name),
        None => at.error("mailbox name"),
    }
}

/// A name in the encoding in force. Lenient: what is not in that encoding is taken as UTF-8.
fn mailbox_name(name: &[u8], c: &Cursor<'_>) -> Option<MailboxName> {
    let decoded = if c.mode.utf8() {
        MailboxName::from_utf8(name)
    } else {
        MailboxName::from_mutf7(name)
    };
    match decoded {
        Ok(name) => Some(name),
        Err(_) if c.lenient() => Some(MailboxName::new(lossy(name))),
        Err(_) => None,
    }
}

/// A string that is a mailbox name or a part of one, such as a namespace's prefix.
pub(super) fn mailbox_text(c: &mut Cursor<'_>) -> Result<String> {
    let at = c.clone();
    let name = c.string()?;
    match mailbox_name(&name, c) {
        // INBOX alone would lose its case; a prefix is never compared with it.
        Some(name) if name.is_inbox() => Ok("INBOX".to_owned()),
        Some(name) => Ok(name.as_str().to_owned()),
        None => at.error("mailbox name"),
    }
}

/// `DQUOTE QUOTED-CHAR DQUOTE / nil`
pub(super) fn separator(c: &mut Cursor<'_>) -> Result<Option<char>> {
    if c.nil() {
        return Ok(None);
    }
    let at = c.clone();
    let quoted = if c.lenient() {
        c.astring()?
    } else {
        c.quoted()?
    };
    let text = lossy(&quoted);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(separator), None) => Ok(Some(separator)),
        // Some servers send "" for a flat hierarchy.
        (None, _) if c.lenient() => Ok(None),
        (Some(separator), Some(_)) if c.lenient() => Ok(Some(separator)),
        _ => at.error("hierarchy separator"),
    }
}

/// `flag-fetch / flag`: `None` for something lenient mode drops.
pub(super) fn flag(c: &mut Cursor<'_>) -> Result<Option<Flag>> {
    Ok(match permanent_flag(c)? {
        Some(PermanentFlag::Flag(flag)) => Some(flag),
        Some(PermanentFlag::Wildcard) if c.lenient() => None,
        Some(PermanentFlag::Wildcard) => return c.error("flag"),
        None => None,
    })
}

/// `flag-perm = flag / "\*"`
pub(super) fn permanent_flag(c: &mut Cursor<'_>) -> Result<Option<PermanentFlag>> {
    if c.lenient() {
        return Ok(lenient_flag(&lossy(c.flag_token()?)));
    }
    let at = c.clone();
    let backslash = c.take_if(b'\\');
    if backslash && c.take_if(b'*') {
        return Ok(Some(PermanentFlag::Wildcard));
    }
    let atom = c.atom()?;
    let flag = if backslash {
        Flag::system(atom).or_else(|| Flag::new(&lossy(at.rest().get(..=atom.len())?)))
    } else {
        Flag::new(&lossy(atom))
    };
    match flag {
        Some(flag) => Ok(Some(PermanentFlag::Flag(flag))),
        None => at.error("flag"),
    }
}

/// Flags that are no atoms exist (`a/b[1]`, raw UTF-8); they cannot be sent back and are dropped.
fn lenient_flag(text: &str) -> Option<PermanentFlag> {
    if text == "\\*" {
        return Some(PermanentFlag::Wildcard);
    }
    Flag::new(text).map(PermanentFlag::Flag)
}

/// `"(" [flag *(SP flag)] ")"`
pub(super) fn flag_list(c: &mut Cursor<'_>) -> Result<Vec<Flag>> {
    Ok(list(c, flag)?.into_iter().flatten().collect())
}

/// `capability`s up to the end, or up to a bracket.
pub(super) fn capabilities(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    many(c, |c| c.atom_string())
}

/// `"(" objectid ")"` (RFC 8474 §7)
pub(super) fn object_id(c: &mut Cursor<'_>) -> Result<ObjectId> {
    c.byte(b'(', "object identifier in parentheses")?;
    let at = c.clone();
    let Some(id) = ObjectId::new(c.atom_string()?) else {
        return at.error("object identifier");
    };
    c.byte(b')', "end of object identifier")?;
    Ok(id)
}

/// `tag-string = astring`
pub(super) fn tag_string(c: &mut Cursor<'_>) -> Result<Option<Tag>> {
    let at = c.clone();
    let tag = Tag::new(lossy(&c.astring()?));
    if tag.is_none() && !c.lenient() {
        return at.error("tag");
    }
    Ok(tag)
}

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
pub(super) fn date_time(c: &mut Cursor<'_>) -> Result<DateTime> {
    let at = c.clone();
    let text = if c.lenient() {
        c.string()?
    } else {
        c.quoted()?
    };
    let parsed = parse_date_time(&text);
    // Lenient: days without their leading space.
    let parsed = match parsed {
        None if c.lenient() => parse_date_time(&[b" ", &text[..]].concat()),
        parsed => parsed,
    };
    match parsed {
        Some(moment) => Ok(moment),
        None => at.error("date-time"),
    }
}

fn parse_date_time(text: &[u8]) -> Option<DateTime> {
    fn number(digits: &[u8]) -> Option<u16> {
        digits.iter().try_fold(0u16, |value, b| {
            b.is_ascii_digit().then(|| value * 10 + u16::from(b - b'0'))
        })
    }
    let two = |at: usize| number(&text[at..at + 2]).and_then(|n| u8::try_from(n).ok());
    let separators = [
        (2, b'-'),
        (6, b'-'),
        (11, b' '),
        (14, b':'),
        (17, b':'),
        (20, b' '),
    ];
    if text.len() != 26 || separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let day = if text[0] == b' ' {
        u8::try_from(number(&text[1..2])?).ok()?
    } else {
        two(0)?
    };
    let date = Date::new(number(&text[7..11])?, Month::from_name(&text[3..6])?, day).ok()?;
    let zone = i16::from(two(22)?) * 60 + i16::from(two(24)?);
    let zone = match text[21] {
        b'+' => zone,
        b'-' => -zone,
        _ => return None,
    };
    DateTime::from_local(date, (two(12)?, two(15)?, two(18)?), zone).ok()
}

/// `string`s and `astring`s as owned bytes.
pub(super) fn owned(bytes: Bytes) -> Vec<u8> {
    bytes.into()
}

/// `astring` as owned bytes.
pub(super) fn astring(c: &mut Cursor<'_>) -> Result<Vec<u8>> {
    c.astring().map(owned)
}

/// `nstring` as owned bytes.
pub(super) fn nstring(c: &mut Cursor<'_>) -> Result<Option<Vec<u8>>> {
    Ok(c.nstring()?.map(owned))
}
