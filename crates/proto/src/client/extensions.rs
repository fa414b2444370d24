//! Decodes untagged data of ID, ACL, QUOTA, METADATA, LANGUAGE, URLAUTH, UIDBATCHES.

use super::body_decode::body;
use super::cursor::{Cursor, Result, Value};
use super::data::correlator;
use super::parts::{astring, id, list1, mailbox, many, nstring, owned};
use crate::types::{
    AclEntry, FetchedUrl, IdParameters, MetadataEntry, QuotaLimit, QuotaResource, UntaggedData,
    UrlContent, UrlData,
};

/// `"ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil)` (RFC 2971 §4)
pub(super) fn id_parameters(c: &mut Cursor<'_>) -> Result<IdParameters> {
    c.space()?;
    if c.nil() {
        return Ok(None);
    }
    let pairs = super::parts::list(c, |c| {
        let name = owned(c.string()?);
        c.space()?;
        Ok((name, nstring(c)?))
    })?;
    Ok(Some(pairs))
}

/// `"ACL" SP mailbox *(SP identifier SP rights)` (RFC 4314 §7)
pub(super) fn acl(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let mailbox = mailbox(c)?;
    let entries = many(c, |c| {
        let identifier = astring(c)?;
        c.space()?;
        Ok(AclEntry {
            identifier,
            rights: rights(c)?,
        })
    })?;
    Ok(UntaggedData::Acl { mailbox, entries })
}

/// `rights = astring ;; only lowercase ASCII letters and digits are allowed`
fn rights(c: &mut Cursor<'_>) -> Result<Vec<u8>> {
    let start = c.clone();
    let rights = astring(c)?;
    let allowed = rights
        .iter()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if allowed || c.lenient() {
        Ok(rights)
    } else {
        start.error("rights")
    }
}

/// `"LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)` (RFC 4314 §7)
pub(super) fn list_rights(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let mailbox = mailbox(c)?;
    c.space()?;
    let identifier = astring(c)?;
    c.space()?;
    let required = rights(c)?;
    Ok(UntaggedData::ListRights {
        mailbox,
        identifier,
        required,
        optional: many(c, rights)?,
    })
}

/// `"MYRIGHTS" SP mailbox SP rights` (RFC 4314 §7)
pub(super) fn my_rights(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let mailbox = mailbox(c)?;
    c.space()?;
    Ok(UntaggedData::MyRights {
        mailbox,
        rights: rights(c)?,
    })
}

/// ```abnf
/// quota-response = "QUOTA" SP quota-root-name SP "(" quota-resource *(SP quota-resource) ")"
/// quota-resource = resource-name SP resource-usage SP resource-limit
/// ```
/// RFC 9208 §7. RFC 2087 allowed an empty list, and servers send it for a root without limits.
pub(super) fn quota(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let root = astring(c)?;
    c.space()?;
    let limits = list1(c, |c| {
        let resource = QuotaResource::from_name(c.atom()?);
        c.space()?;
        let usage = c.number64()?;
        c.space()?;
        Ok(QuotaLimit {
            resource,
            usage,
            limit: c.number64()?,
        })
    })?;
    Ok(UntaggedData::Quota { root, limits })
}

/// `"QUOTAROOT" SP mailbox *(SP quota-root-name)` (RFC 9208 §7)
pub(super) fn quota_root(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let mailbox = mailbox(c)?;
    Ok(UntaggedData::QuotaRoot {
        mailbox,
        roots: many(c, astring)?,
    })
}

/// ```abnf
/// metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)
/// entry-values  = "(" entry SP value *(SP entry SP value) ")"
/// value         = nstring / literal8
/// ```
/// RFC 5464 §5
pub(super) fn metadata(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let mailbox = mailbox(c)?;
    c.space()?;
    if c.peek() != Some(b'(') {
        let first = astring(c)?;
        let mut entries = vec![first];
        entries.extend(many(c, astring)?);
        return Ok(UntaggedData::MetadataChanged { mailbox, entries });
    }
    let entries = list1(c, |c| {
        let name = astring(c)?;
        c.space()?;
        let start = c.clone();
        let value = match c.value(true)? {
            super::cursor::Value::Nil => None,
            super::cursor::Value::Bytes(bytes) => Some(owned(bytes)),
            super::cursor::Value::Streamed(_) => return start.error("literal in memory"),
        };
        Ok(MetadataEntry { name, value })
    })?;
    Ok(UntaggedData::Metadata { mailbox, entries })
}

/// `"LANGUAGE" SP "(" lang-tag-quoted *(SP lang-tag-quoted) ")"` (RFC 5255 §3.5)
pub(super) fn language(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    list1(c, astring).map(UntaggedData::Language)
}

/// `"COMPARATOR" SP comp-sel-quoted [SP "(" comp-id-quoted *(SP comp-id-quoted) ")"]`
/// (RFC 5255 §4.10)
pub(super) fn comparator(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let active = astring(c)?;
    let matching = if c.more()? {
        list1(c, astring)?
    } else {
        Vec::new()
    };
    Ok(UntaggedData::Comparator { active, matching })
}

/// `"GENURLAUTH" 1*(SP url-full)` (RFC 4467 §9)
pub(super) fn gen_url_auth(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    let urls = many(c, astring)?;
    if urls.is_empty() {
        c.error("URL")
    } else {
        Ok(UntaggedData::GenUrlAuth(urls))
    }
}

/// ```abnf
/// urlfetch-data = "URLFETCH" 1*(SP url-full SP (nstring / url-metadata-el *(SP url-metadata-el)))
/// ```
/// RFC 4467 §9, RFC 5524 §5
pub(super) fn url_fetch(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    let urls = many(c, |c| {
        let url = astring(c)?;
        c.space()?;
        let content = match c.peek() {
            Some(b'(') => url_items(c)?,
            _ => UrlContent::Plain(nstring(c)?),
        };
        Ok(FetchedUrl { url, content })
    })?;
    if urls.is_empty() {
        c.error("URL")
    } else {
        Ok(UntaggedData::UrlFetch(urls))
    }
}

/// ```abnf
/// url-metadata    = 1*(SP "(" url-metadata-el ")")
/// url-metadata-el = "BODYPARTSTRUCTURE" SP body / "BODY" SP nstring / "BINARY" SP (nstring / literal8)
/// ```
/// RFC 5524 §5
fn url_items(c: &mut Cursor<'_>) -> Result<UrlContent> {
    let (mut structure, mut data) = (None, None);
    loop {
        c.byte(b'(', "item of a URL")?;
        let start = c.clone();
        match &c.token()?.to_ascii_uppercase()[..] {
            b"BODYPARTSTRUCTURE" => {
                c.space()?;
                structure = Some(Box::new(body(c)?));
            }
            b"BODY" => {
                c.space()?;
                data = Some((UrlData::Body, octets(c, false)?));
            }
            b"BINARY" => {
                c.space()?;
                data = Some((UrlData::Binary, octets(c, true)?));
            }
            _ => return start.error("BODYPARTSTRUCTURE, BODY or BINARY"),
        }
        c.byte(b')', "end of an item")?;
        let mut next = c.clone();
        if next.peek() != Some(b' ') || next.space().is_err() || next.peek() != Some(b'(') {
            return Ok(UrlContent::Items { structure, data });
        }
        *c = next;
    }
}

fn octets(c: &mut Cursor<'_>, binary: bool) -> Result<Option<Vec<u8>>> {
    Ok(match c.value(binary)? {
        Value::Nil => None,
        Value::Bytes(bytes) => Some(bytes.to_vec()),
        // Only those of FETCH are streamed.
        Value::Streamed(_) => return c.error("literal in memory"),
    })
}

/// `"UIDBATCHES" search-correlator [SP uid-range *("," uid-range)]` (RFC 10022 §4)
pub(super) fn uid_batches(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    let start = c.clone();
    let Some(tag) = correlator(c)?.tag else {
        return start.error("tag");
    };
    let mut ranges = Vec::new();
    if c.more()? {
        loop {
            let first = id(c)?;
            c.byte(b':', "range")?;
            ranges.push((first, id(c)?));
            if !c.take_if(b',') {
                break;
            }
        }
    }
    Ok(UntaggedData::UidBatches { tag, ranges })
}

/// `"JMAPACCESS" SP quoted` (RFC 9698 §4)
pub(super) fn jmap_access(c: &mut Cursor<'_>) -> Result<UntaggedData> {
    c.space()?;
    c.quoted().map(|url| UntaggedData::JmapAccess(owned(url)))
}
