//! Decodes untagged data: mailboxes, searches, namespaces.

use std::num::NonZeroU32;

use super::cursor::{Cursor, DEPTH_MAX, Result, lossy};
use super::parts::{
    flag_list, id, list, list1, mailbox, mailbox_text, many, mod_seq, object_id, owned, separator,
    set, tag_string,
};
use crate::types::{
    ChildInfo, Esearch, EsearchCorrelator, ListAttribute, ListEntry, ListExtended, ModSeq,
    NamespaceEntry, Namespaces, PartialRange, PartialResult, ResultChange, StatusItem, StatusValue,
    ThreadNode, UntaggedData,
};

/// `"FLAGS" SP flag-list`, after its word.
pub(super) fn flags(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    flag_list(c).map(UntaggedData::Flags)
}

/// ```abnf
/// mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
///                [SP mbox-list-extended]
/// ```
/// RFC 9051 §9
pub(super) fn list_entry(c: &mut Cursor<'_>) -> Result<ListEntry> {
    c.space()?;
    let start = c.clone();
    let attributes: Vec<_> = list(c, list_attribute)?.into_iter().flatten().collect();
    if !c.lenient() && !attributes_agree(&attributes) {
        return start.error("attributes that can stand together");
    }
    c.space()?;
    let separator = separator(c)?;
    c.space()?;
    let mailbox = mailbox(c)?;
    let extended = if c.more()? {
        list(c, list_extended)?
    } else {
        Vec::new()
    };
    Ok(ListEntry {
        attributes,
        separator,
        mailbox,
        extended,
    })
}

fn list_attribute(c: &mut Cursor<'_>) -> Result<Option<ListAttribute>> {
    if c.lenient() {
        return Ok(ListAttribute::new(&lossy(c.token()?)));
    }
    let start = c.clone();
    c.byte(b'\\', "attribute")?;
    let length = c.atom()?.len() + 1;
    match ListAttribute::new(&lossy(&start.rest()[..length])) {
        Some(attribute) => Ok(Some(attribute)),
        None => start.error("attribute"),
    }
}

/// Each attribute once, at most one of those about selecting, and of those about children.
fn attributes_agree(attributes: &[ListAttribute]) -> bool {
    use ListAttribute as A;
    // There are not so many; and what follows compares each with each.
    if attributes.len() > 64 {
        return false;
    }
    let count = |of: &[A]| attributes.iter().filter(|a| of.contains(a)).count();
    let once = attributes
        .iter()
        .enumerate()
        .all(|(i, a)| !attributes[..i].contains(a));
    // RFC 9051 §7.3.1: \NonExistent implies \Noselect; the grammar has only one of them.
    once && count(&[A::NonExistent, A::NoSelect, A::Marked, A::Unmarked]) <= 1
        && count(&[A::HasChildren, A::HasNoChildren]) <= 1
}

/// `mbox-list-extended-item = mbox-list-extended-item-tag SP tagged-ext-val`
fn list_extended(c: &mut Cursor<'_>) -> Result<ListExtended> {
    let name = owned(c.astring()?);
    c.space()?;
    if name.eq_ignore_ascii_case(b"CHILDINFO") {
        return Ok(ListExtended::ChildInfo(list1(c, child_info)?));
    }
    if name.eq_ignore_ascii_case(b"OLDNAME") {
        c.byte(b'(', "old name in parentheses")?;
        let old = mailbox(c)?;
        c.byte(b')', "end of old name")?;
        return Ok(ListExtended::OldName(old));
    }
    let (before, start) = (c.rest(), c.position());
    c.skip_value()?;
    Ok(ListExtended::Other(
        name,
        before[..c.position() - start].to_vec(),
    ))
}

fn child_info(c: &mut Cursor<'_>) -> Result<ChildInfo> {
    // The options are always quoted (RFC 9051 §9).
    let option = if c.lenient() {
        c.astring()?
    } else {
        c.quoted()?
    };
    Ok(if option.eq_ignore_ascii_case(b"SUBSCRIBED") {
        ChildInfo::Subscribed
    } else if option.eq_ignore_ascii_case(b"SPECIAL-USE") {
        ChildInfo::SpecialUse
    } else {
        ChildInfo::Other(lossy(&option))
    })
}

/// `"STATUS" SP mailbox SP "(" [status-att-list] ")"`
pub(super) fn status(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let mailbox = mailbox(c)?;
    c.space()?;
    let values = list(c, status_value)?.into_iter().flatten().collect();
    Ok(UntaggedData::Status { mailbox, values })
}

/// `status-att-val`; lenient: `None` for what is unknown or makes no sense (UIDVALIDITY 0).
fn status_value(c: &mut Cursor<'_>) -> Result<Option<StatusValue>> {
    let name = lossy(c.token()?);
    c.space()?;
    let item = StatusItem::ALL
        .into_iter()
        .find(|i| i.name().eq_ignore_ascii_case(&name));
    let start = c.clone();
    let value = match item {
        Some(item) => known_status_value(c, item),
        None => c.error("status item"),
    };
    match value {
        Err(_) if c.lenient() => {
            *c = start;
            c.skip_value()?;
            Ok(None)
        }
        value => value.map(Some),
    }
}

fn known_status_value(c: &mut Cursor<'_>, item: StatusItem) -> Result<StatusValue> {
    Ok(match item {
        StatusItem::Messages => StatusValue::Messages(c.number()?),
        StatusItem::Recent => StatusValue::Recent(c.number()?),
        StatusItem::UidNext => StatusValue::UidNext(id(c)?),
        StatusItem::UidValidity => StatusValue::UidValidity(id(c)?),
        StatusItem::Unseen => StatusValue::Unseen(c.number()?),
        StatusItem::Deleted => StatusValue::Deleted(c.number()?),
        StatusItem::DeletedStorage => StatusValue::DeletedStorage(c.number64()?),
        StatusItem::Size => StatusValue::Size(c.number64()?),
        StatusItem::HighestModSeq => StatusValue::HighestModSeq(mod_seq(c, true)?),
        StatusItem::AppendLimit if c.nil() => StatusValue::AppendLimit(None),
        StatusItem::AppendLimit => StatusValue::AppendLimit(Some(c.number64()?)),
        StatusItem::MailboxId => StatusValue::MailboxId(object_id(c)?),
    })
}

/// ```abnf
/// mailbox-data =/ "SEARCH" [1*(SP nz-number) SP search-sort-mod-seq]
/// search-sort-mod-seq = "(" "MODSEQ" SP mod-sequence-value ")"
/// ```
/// RFC 7162 §7; without the MODSEQ, RFC 3501 and RFC 5256 (SORT).
pub(super) fn numbers(c: &mut Cursor<'_>) -> Result<(Vec<NonZeroU32>, Option<ModSeq>)> {
    let mut ids = Vec::new();
    while c.more()? {
        if c.take_if(b'(') {
            if !c.word("MODSEQ") {
                return c.error("MODSEQ");
            }
            c.space()?;
            let mod_seq = mod_seq(c, false)?;
            c.byte(b')', "end of MODSEQ")?;
            return Ok((ids, Some(mod_seq)));
        }
        ids.push(id(c)?);
    }
    Ok((ids, None))
}

/// ```abnf
/// esearch-response  = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
/// search-correlator = SP "(" one-correlator *(SP one-correlator) ")"
/// ```
/// RFC 9051 §9, RFC 7377 §4
pub(super) fn esearch(c: &mut Cursor<'_>) -> Result<Esearch> {
    let mut result = Esearch::default();
    let mut more = c.more()?;
    if more && c.peek() == Some(b'(') {
        result.correlator = correlator(c)?;
        more = c.more()?;
    }
    if more && c.word("UID") {
        result.uid = true;
        more = c.more()?;
    }
    while more {
        return_data(c, &mut result)?;
        more = c.more()?;
    }
    Ok(result)
}

pub(super) fn correlator(c: &mut Cursor<'_>) -> Result<EsearchCorrelator> {
    let mut correlator = EsearchCorrelator::default();
    for () in list1(c, |c| {
        if c.word("TAG") {
            c.space()?;
            correlator.tag = tag_string(c)?;
        } else if c.word("MAILBOX") {
            c.space()?;
            correlator.mailbox = Some(mailbox(c)?);
        } else if c.word("UIDVALIDITY") {
            c.space()?;
            correlator.uid_validity = Some(id(c)?);
        } else {
            return c.error("correlator");
        }
        Ok(())
    })? {}
    Ok(correlator)
}

/// `search-return-data`
fn return_data(c: &mut Cursor<'_>, result: &mut Esearch) -> Result<()> {
    let start = c.clone();
    let name = c.token()?.to_ascii_uppercase();
    c.space()?;
    match &name[..] {
        b"MIN" => result.min = Some(id(c)?),
        b"MAX" => result.max = Some(id(c)?),
        b"ALL" => result.all = Some(set(c)?),
        b"COUNT" => result.count = Some(c.number()?),
        b"MODSEQ" => result.mod_seq = Some(mod_seq(c, false)?),
        b"RELEVANCY" => {
            result.relevancy = Some(list(c, |c| {
                let start = c.clone();
                match u8::try_from(c.number()?) {
                    Ok(score @ 1..=100) => Ok(score),
                    _ => start.error("score from 1 to 100"),
                }
            })?);
        }
        b"PARTIAL" => {
            c.byte(b'(', "PARTIAL in parentheses")?;
            let range = partial_range(c)?;
            c.space()?;
            let ids = if c.nil() { None } else { Some(set(c)?) };
            c.byte(b')', "end of PARTIAL")?;
            result.partial = Some(PartialResult { range, ids });
        }
        b"ADDTO" => result.changes.extend(changes(c, true)?),
        b"REMOVEFROM" => result.changes.extend(changes(c, false)?),
        _ if c.lenient() => c.skip_value()?,
        _ => return start.error("search return data"),
    }
    Ok(())
}

/// ```abnf
/// partial-range-first = nz-number ":" nz-number
/// partial-range-last  = MINUS nz-number ":" MINUS nz-number
/// ```
/// RFC 9394 §4
fn partial_range(c: &mut Cursor<'_>) -> Result<PartialRange> {
    let last = c.take_if(b'-');
    let a = id(c)?;
    c.byte(b':', "range")?;
    if last {
        c.byte(b'-', "minus")?;
    }
    let b = id(c)?;
    Ok(if last {
        PartialRange::Last(a, b)
    } else {
        PartialRange::First(a, b)
    })
}

/// `"(" context-position SP sequence-set *(SP context-position SP sequence-set) ")"`
fn changes(c: &mut Cursor<'_>, add: bool) -> Result<Vec<ResultChange>> {
    list1(c, |c| {
        let position = c.number()?;
        c.space()?;
        let ids = set(c)?;
        Ok(ResultChange { add, position, ids })
    })
}

/// How many messages of a thread may stand below one another. Deeper ones are answers of the
/// deepest one allowed (lenient), or an error. Lists nest at most [`DEPTH_MAX`] deep.
const THREAD_DEPTH_MAX: usize = 400;

/// ```abnf
/// thread-data    = "THREAD" [SP 1*thread-list]
/// thread-list    = "(" (thread-members / thread-nested) ")"
/// thread-members = nz-number *(SP nz-number) [SP thread-nested]
/// thread-nested  = 2*thread-list
/// ```
/// RFC 5256 §5
pub(super) fn thread(c: &mut Cursor<'_>) -> Result<Vec<ThreadNode>> {
    let mut threads = Vec::new();
    if !c.more()? {
        return Ok(threads);
    }
    while c.peek() == Some(b'(') {
        threads.push(thread_list(c, 0, 0)?);
        if c.lenient() {
            c.skip_spaces();
        }
    }
    if threads.is_empty() {
        c.error("thread")
    } else {
        Ok(threads)
    }
}

/// A list at `depth` messages below the root and inside `nesting` other lists.
fn thread_list(c: &mut Cursor<'_>, depth: usize, nesting: usize) -> Result<ThreadNode> {
    if nesting > DEPTH_MAX {
        return c.error("thread of bounded depth");
    }
    c.byte(b'(', "thread")?;
    let mut members = Vec::new();
    let mut children = Vec::new();
    while c.peek().is_some_and(|b| b.is_ascii_digit()) {
        members.push(id(c)?);
        if !c.more()? {
            break;
        }
    }
    if !c.lenient() && depth + members.len() > THREAD_DEPTH_MAX {
        return c.error("thread of bounded depth");
    }
    let below = (depth + members.len().max(1)).min(THREAD_DEPTH_MAX);
    while c.peek() == Some(b'(') {
        children.push(thread_list(c, below, nesting + 1)?);
        if c.lenient() {
            c.skip_spaces();
        }
    }
    if !c.lenient() && (children.len() == 1 || members.len() + children.len() == 0) {
        return c.error("message or two threads");
    }
    c.byte(b')', "end of thread")?;
    // Fold the chain from its end; what is deeper than allowed becomes a row of siblings.
    let excess = (depth + members.len()).saturating_sub(THREAD_DEPTH_MAX);
    let tail = members.split_off(members.len().saturating_sub(excess));
    let mut below: Vec<ThreadNode> = tail
        .into_iter()
        .map(|id| ThreadNode {
            id: Some(id),
            children: Vec::new(),
        })
        .collect();
    below.append(&mut children);
    let Some(last) = members.pop() else {
        return Ok(ThreadNode {
            id: None,
            children: below,
        });
    };
    let mut node = ThreadNode {
        id: Some(last),
        children: below,
    };
    while let Some(id) = members.pop() {
        node = ThreadNode {
            id: Some(id),
            children: vec![node],
        };
    }
    Ok(node)
}

/// `"NAMESPACE" SP namespace SP namespace SP namespace`
pub(super) fn namespaces(c: &mut Cursor<'_>) -> Result<Namespaces> {
    c.space()?;
    let personal = namespace(c)?;
    c.space()?;
    let other_users = namespace(c)?;
    c.space()?;
    Ok(Namespaces {
        personal,
        other_users,
        shared: namespace(c)?,
    })
}

/// `namespace = nil / "(" 1*namespace-descr ")"`
fn namespace(c: &mut Cursor<'_>) -> Result<Vec<NamespaceEntry>> {
    if c.nil() {
        return Ok(Vec::new());
    }
    c.byte(b'(', "namespace or NIL")?;
    let mut entries = Vec::new();
    while entries.is_empty() || c.peek() == Some(b'(') {
        entries.push(namespace_description(c)?);
        if c.lenient() {
            c.skip_spaces();
        }
    }
    c.byte(b')', "end of namespace")?;
    Ok(entries)
}

/// ```abnf
/// namespace-descr = "(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil)
///                   *(SP string SP "(" string *(SP string) ")") ")"
/// ```
fn namespace_description(c: &mut Cursor<'_>) -> Result<NamespaceEntry> {
    c.byte(b'(', "namespace")?;
    let prefix = mailbox_text(c)?;
    c.space()?;
    let separator = separator(c)?;
    let extensions = many(c, |c| {
        let name = owned(c.string()?);
        c.space()?;
        Ok((name, list1(c, |c| c.string().map(owned))?))
    })?;
    c.byte(b')', "end of namespace")?;
    Ok(NamespaceEntry {
        prefix,
        separator,
        extensions,
    })
}
