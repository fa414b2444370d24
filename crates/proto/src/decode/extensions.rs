//! Commands of extensions that need no file of their own.

use super::parser::{Parser, Result};
use super::{fetch, mailbox_argument, search};
use crate::types::{
    CommandBody, EsearchCommand, EventGroup, EventName, GetMetadata, MailboxFilter, MailboxName,
    MetadataDepth, MetadataEntry, Notify, NotifyEvent, NotifyEvents, QuotaResource, RightsChange,
    SearchScope, SetAcl, SetQuota, UrlData, UrlFetch,
};

/// The command named `word`, if it is one of these.
pub(super) fn command(word: &[u8], p: &mut Parser<'_>) -> Result<Option<CommandBody>> {
    Ok(Some(match word {
        b"SORT" => search::sort(p, false)?,
        b"THREAD" => search::thread(p, false)?,
        b"ESEARCH" => esearch(p)?,
        b"NOTIFY" => notify(p)?,
        b"COMPRESS" => compress(p)?,
        b"CANCELUPDATE" => CommandBody::CancelUpdate(strings(p)?),
        b"GETQUOTA" => CommandBody::GetQuota(one_string(p)?),
        b"GETQUOTAROOT" => CommandBody::GetQuotaRoot(mailbox_argument(p)?),
        b"SETQUOTA" => set_quota(p)?,
        b"SETACL" => set_acl(p)?,
        b"DELETEACL" => {
            let (mailbox, identifier) = mailbox_and_string(p)?;
            CommandBody::DeleteAcl {
                mailbox,
                identifier,
            }
        }
        b"GETACL" => CommandBody::GetAcl(mailbox_argument(p)?),
        b"LISTRIGHTS" => {
            let (mailbox, identifier) = mailbox_and_string(p)?;
            CommandBody::ListRights {
                mailbox,
                identifier,
            }
        }
        b"MYRIGHTS" => CommandBody::MyRights(mailbox_argument(p)?),
        b"GETMETADATA" => get_metadata(p)?,
        b"SETMETADATA" => set_metadata(p)?,
        b"UIDBATCHES" => uid_batches(p)?,
        b"UNAUTHENTICATE" => CommandBody::Unauthenticate,
        b"LANGUAGE" => CommandBody::Language(strings_if_any(p)?),
        b"COMPARATOR" => CommandBody::Comparator(strings_if_any(p)?),
        b"GENURLAUTH" => gen_url_auth(p)?,
        b"RESETKEY" => reset_key(p)?,
        b"URLFETCH" => url_fetch(p)?,
        b"GETJMAPACCESS" => CommandBody::GetJmapAccess,
        _ => return Ok(None),
    }))
}

fn one_string(p: &mut Parser<'_>) -> Result<Vec<u8>> {
    p.space()?;
    p.astring_owned()
}

fn strings(p: &mut Parser<'_>) -> Result<Vec<Vec<u8>>> {
    p.space()?;
    p.until_end(Parser::astring_owned)
}

fn strings_if_any(p: &mut Parser<'_>) -> Result<Vec<Vec<u8>>> {
    if p.only_spaces_left() {
        Ok(Vec::new())
    } else {
        strings(p)
    }
}

fn mailbox_and_string(p: &mut Parser<'_>) -> Result<(MailboxName, Vec<u8>)> {
    Ok((mailbox_argument(p)?, one_string(p)?))
}

/// ```abnf
/// id            = "ID" SP id-params-list                          ; RFC 2971 §4
/// id-params-list = "(" *(string SP nstring) ")" / nil
/// ```
pub(super) fn id(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    if p.eat_word(b"NIL") {
        return Ok(CommandBody::Id(None));
    }
    let pair = |p: &mut Parser<'_>| {
        let field = p.string()?.into_owned();
        p.space()?;
        Ok((field, p.nstring()?))
    };
    p.list(true, pair).map(|pairs| CommandBody::Id(Some(pairs)))
}

/// ```abnf
/// compress  = "COMPRESS" SP algorithm                             ; RFC 4978 §5
/// algorithm = "DEFLATE"
/// ```
fn compress(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    if p.eat_word(b"DEFLATE") {
        Ok(CommandBody::CompressDeflate)
    } else {
        p.syntax("unknown compression")
    }
}

/// ```abnf
/// esearch             = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts]
///                       SP search-program                         ; RFC 7377 §4
/// esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"
/// source-mbox         = filter-mailboxes *(SP filter-mailboxes)
/// ```
pub(super) fn esearch(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    let mut scope = None;
    if p.eat_word(b"IN") {
        p.space()?;
        let mailboxes = p.list(false, |p| {
            if p.peek() == Some(b'(') {
                return p.syntax("unknown ESEARCH scope option");
            }
            match mailbox_filter(p)? {
                // RFC 7377 §4 forbids it.
                MailboxFilter::SelectedDelayed => p.syntax("selected-delayed is for NOTIFY"),
                filter => Ok(filter),
            }
        })?;
        p.space()?;
        scope = Some(SearchScope { mailboxes });
    }
    let returns = search::return_options(p)?;
    let (charset, key) = search::program(p)?;
    Ok(CommandBody::Esearch(EsearchCommand {
        scope,
        returns,
        charset,
        key,
    }))
}

/// ```abnf
/// filter-mailboxes       = filter-mailboxes-selected / filter-mailboxes-other
/// filter-mailboxes-other =  "inboxes" / "personal" / "subscribed" /
///                           ("subtree" SP one-or-more-mailbox) /
///                           ("mailboxes" SP one-or-more-mailbox)
/// filter-mailboxes-other =/ ("subtree-one" SP one-or-more-mailbox)
/// filter-mailboxes-selected = "selected" / "selected-delayed"
/// ```
fn mailbox_filter(p: &mut Parser<'_>) -> Result<MailboxFilter> {
    Ok(match p.word().as_bytes() {
        b"SELECTED" => MailboxFilter::Selected,
        b"SELECTED-DELAYED" => MailboxFilter::SelectedDelayed,
        b"INBOXES" => MailboxFilter::Inboxes,
        b"PERSONAL" => MailboxFilter::Personal,
        b"SUBSCRIBED" => MailboxFilter::Subscribed,
        b"SUBTREE" => MailboxFilter::Subtree(one_or_more_mailboxes(p)?),
        b"SUBTREE-ONE" => MailboxFilter::SubtreeOne(one_or_more_mailboxes(p)?),
        b"MAILBOXES" => MailboxFilter::Mailboxes(one_or_more_mailboxes(p)?),
        _ => return p.syntax("unknown choice of mailboxes"),
    })
}

/// `one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"`
fn one_or_more_mailboxes(p: &mut Parser<'_>) -> Result<Vec<MailboxName>> {
    p.space()?;
    if p.peek() == Some(b'(') {
        p.list(false, Parser::mailbox)
    } else {
        Ok(vec![p.mailbox()?])
    }
}

/// ```abnf
/// notify      = "NOTIFY" SP (notify-set / "NONE")                 ; RFC 5465 §8
/// notify-set  = "SET" [SP "STATUS"] SP event-group *(SP event-group)
/// event-group = "(" filter-mailboxes SP events ")"
/// ```
fn notify(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    match p.word().as_bytes() {
        b"NONE" => return Ok(CommandBody::Notify(Notify::None)),
        b"SET" => p.space()?,
        _ => return p.syntax("expected SET or NONE"),
    }
    let status = p.eat_word(b"STATUS");
    if status {
        p.space()?;
    }
    let groups = p.until_end(|p| {
        p.open()?;
        let mailboxes = mailbox_filter(p)?;
        p.space()?;
        let events = events(p)?;
        p.close()?;
        Ok(EventGroup { mailboxes, events })
    })?;
    Ok(CommandBody::Notify(Notify::Set { status, groups }))
}

/// ```abnf
/// events        = ("(" event *(SP event) ")") / "NONE"
/// message-event = ("MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"]) / "MessageExpunge" /
///                 "FlagChange" / "AnnotationChange"
/// ```
/// The examples of RFC 5465 have no parentheses around the events, and clients copy them: both are taken.
fn events(p: &mut Parser<'_>) -> Result<NotifyEvents> {
    if p.eat_word(b"NONE") {
        return Ok(NotifyEvents::None);
    }
    if p.peek() == Some(b'(') {
        return p.list(false, event).map(NotifyEvents::Events);
    }
    let mut events = vec![event(p)?];
    while p.eat(b' ') {
        events.push(event(p)?);
    }
    Ok(NotifyEvents::Events(events))
}

fn event(p: &mut Parser<'_>) -> Result<NotifyEvent> {
    let name = p.atom()?;
    let known = EventName::ALL
        .into_iter()
        .find(|known| name.is(known.name()));
    Ok(match known {
        Some(EventName::MessageNew) => {
            let start = p.position();
            if p.eat(b' ') && p.peek() == Some(b'(') {
                NotifyEvent::MessageNew(p.list(false, fetch::attribute)?)
            } else {
                p.rewind(start);
                NotifyEvent::MessageNew(Vec::new())
            }
        }
        Some(known) => NotifyEvent::Named(known),
        None => NotifyEvent::Other(name),
    })
}

/// ```abnf
/// setquota       = "SETQUOTA" SP quota-root-name SP setquota-list ; RFC 9208 §7
/// setquota-list  = "(" [setquota-resource *(SP setquota-resource)] ")"
/// setquota-resource = resource-name SP resource-limit
/// ```
fn set_quota(p: &mut Parser<'_>) -> Result<CommandBody> {
    let root = one_string(p)?;
    p.space()?;
    let limits = p.list(true, |p| {
        let resource = QuotaResource::from_name(p.atom()?.as_str().as_bytes());
        p.space()?;
        Ok((resource, p.number64()?))
    })?;
    Ok(CommandBody::SetQuota(SetQuota { root, limits }))
}

/// ```abnf
/// setacl     = "SETACL" SP mailbox SP identifier SP mod-rights    ; RFC 4314 §7
/// mod-rights = astring
/// ```
fn set_acl(p: &mut Parser<'_>) -> Result<CommandBody> {
    let (mailbox, identifier) = mailbox_and_string(p)?;
    let mut rights = one_string(p)?;
    let change = match rights.first() {
        Some(b'+') => RightsChange::Add,
        Some(b'-') => RightsChange::Remove,
        _ => RightsChange::Replace,
    };
    if change != RightsChange::Replace {
        rights.remove(0);
    }
    // RFC 4314 §3.1: upper-case rights are an error.
    if !rights
        .iter()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    {
        return p.syntax("rights are lower-case letters and digits");
    }
    Ok(CommandBody::SetAcl(SetAcl {
        mailbox,
        identifier,
        change,
        rights,
    }))
}

/// ```abnf
/// getmetadata         = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
/// getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
/// getmetadata-option  = "MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity")
/// entries             = entry / "(" entry *(SP entry) ")"
/// ```
/// The examples of RFC 5464 §4.2 have the options after the mailbox; both are taken.
fn get_metadata(p: &mut Parser<'_>) -> Result<CommandBody> {
    let (mut max_size, mut depth) = (None, None);
    let mut options = |p: &mut Parser<'_>| {
        p.list(false, |p| {
            match p.word().as_bytes() {
                b"MAXSIZE" if max_size.is_none() => {
                    p.space()?;
                    max_size = Some(p.number64()?);
                }
                b"DEPTH" if depth.is_none() => {
                    p.space()?;
                    depth = Some(match p.word().as_bytes() {
                        b"0" => MetadataDepth::Zero,
                        b"1" => MetadataDepth::One,
                        b"INFINITY" => MetadataDepth::Infinity,
                        _ => return p.syntax("expected 0, 1 or infinity"),
                    });
                }
                _ => return p.syntax("unknown GETMETADATA option, or twice the same"),
            }
            Ok(())
        })?;
        p.space()
    };
    p.space()?;
    if p.peek() == Some(b'(') {
        options(p)?;
    }
    let mailbox = p.mailbox()?;
    p.space()?;
    // An entry begins with "/", so a letter begins an option.
    if p.peek() == Some(b'(') && p.peek_at(1).is_some_and(|b| b.is_ascii_alphabetic()) {
        options(p)?;
    }
    let entries = if p.peek() == Some(b'(') {
        p.list(false, entry)?
    } else {
        vec![entry(p)?]
    };
    Ok(CommandBody::GetMetadata(GetMetadata {
        mailbox,
        max_size,
        depth: depth.unwrap_or(MetadataDepth::Zero),
        entries,
    }))
}

/// ```abnf
/// entry = astring      ; slash-separated path, MUST NOT contain "*" or "%"   RFC 5464 §5
/// ```
fn entry(p: &mut Parser<'_>) -> Result<Vec<u8>> {
    let name = p.astring_owned()?;
    if name.first() != Some(&b'/') || name.iter().any(|b| matches!(b, b'*' | b'%')) {
        return p.syntax("not the name of an entry");
    }
    Ok(name)
}

/// ```abnf
/// setmetadata  = "SETMETADATA" SP mailbox SP entry-values         ; RFC 5464 §5
/// entry-values = "(" entry-value *(SP entry-value) ")"
/// entry-value  = entry SP value
/// value        = nstring / literal8
/// ```
fn set_metadata(p: &mut Parser<'_>) -> Result<CommandBody> {
    let mailbox = mailbox_argument(p)?;
    p.space()?;
    let entries = p.list(false, |p| {
        let name = entry(p)?;
        p.space()?;
        Ok(MetadataEntry {
            name,
            value: p.nstring()?,
        })
    })?;
    Ok(CommandBody::SetMetadata { mailbox, entries })
}

/// ```abnf
/// message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]   ; RFC 10022 §4
/// ```
fn uid_batches(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    let size = p.nz_number()?;
    let mut batches = None;
    if !p.only_spaces_left() {
        p.space()?;
        let first = p.nz_number()?;
        p.expect(b':', "expected \":\"")?;
        batches = Some((first, p.nz_number()?));
    }
    Ok(CommandBody::UidBatches { size, batches })
}

/// ```abnf
/// genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)          ; RFC 4467 §9
/// ```
fn gen_url_auth(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    p.until_end(|p| {
        let url = p.astring_owned()?;
        p.space()?;
        Ok((url, p.atom()?))
    })
    .map(CommandBody::GenUrlAuth)
}

/// ```abnf
/// urlfetch         = "URLFETCH" 1*(SP url-fetch-arg)               ; RFC 5524 §5
/// url-fetch-arg    = url-full / "(" url-full *(SP url-fetch-param) ")"
/// url-fetch-param  = "BODY" / "BINARY" / "BODYPARTSTRUCTURE" / atom
/// ```
fn url_fetch(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    p.until_end(|p| {
        let mut fetch = UrlFetch::default();
        if !p.eat(b'(') {
            fetch.url = p.astring_owned()?;
            return Ok(fetch);
        }
        fetch.url = p.astring_owned()?;
        while p.eat(b' ') {
            let word = p.word();
            let data = match word.as_bytes() {
                b"BODYPARTSTRUCTURE" if !fetch.structure => {
                    fetch.structure = true;
                    continue;
                }
                b"BODY" => UrlData::Body,
                b"BINARY" => UrlData::Binary,
                _ => return p.syntax("unknown parameter of a URL, or twice the same"),
            };
            // RFC 5524 §3.1: not twice, and not both.
            if fetch.data.replace(data).is_some() {
                return p.syntax("more than one of BODY and BINARY");
            }
        }
        p.expect(b')', "expected \")\"")?;
        Ok(fetch)
    })
    .map(CommandBody::UrlFetch)
}

/// ```abnf
/// resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]              ; RFC 4467 §9
/// ```
fn reset_key(p: &mut Parser<'_>) -> Result<CommandBody> {
    if p.only_spaces_left() {
        return Ok(CommandBody::ResetKey {
            mailbox: None,
            mechanisms: Vec::new(),
        });
    }
    let mailbox = Some(mailbox_argument(p)?);
    let mut mechanisms = Vec::new();
    if !p.only_spaces_left() {
        p.space()?;
        mechanisms = p.until_end(Parser::atom)?;
    }
    Ok(CommandBody::ResetKey {
        mailbox,
        mechanisms,
    })
}
