//! GETMETADATA, SETMETADATA (RFC 5464), and the METADATA that LIST can return (RFC 9590).
//!
//! Annotations of mailboxes, and the private ones of the server, lie in the account's log: they follow a
//! mailbox that is renamed and go with one that is deleted. The shared ones of the server are the
//! operator's: clients read them.

use std::borrow::Cow;
use std::sync::Arc;

use restante_mailbox::{
    self as mail, Account, Limit, MailError, MailboxId, MailboxName, Rights, SpecialUse, Tree,
};
use restante_proto::types::{
    self as wire, Code, GetMetadata, MetadataCode, MetadataDepth, MetadataEntry, UntaggedData,
};

use super::filters;
use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::{Place, no_permission};
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::State;

/// The special uses of a mailbox (RFC 6154 §4).
const SPECIAL_USE: &str = "/private/specialuse";

/// The longest name of an entry, in bytes.
const NAME_BYTES_MAX: usize = 1000;

/// GETMETADATA.
pub(crate) async fn get(cx: &mut Cx, state: &mut State, args: GetMetadata) -> Outcome {
    let Annotated {
        tree,
        place,
        is_own,
        ..
    } = annotated(&cx.env, state, &args.mailbox).await?;
    let mut told: Vec<MetadataEntry> = Vec::new();
    let mut longest = None;
    for asked in &args.entries {
        let name = entry(asked, args.depth == MetadataDepth::Zero)?;
        for (name, value) in found(&cx.env, &tree, (place, is_own), &name, args.depth) {
            let size = value.as_ref().map_or(0, |value| value.len() as u64);
            if args.max_size.is_some_and(|most| size > most) {
                longest = longest.max(Some(size));
                continue;
            }
            // What was asked for comes as it was spelled.
            let name = match name.eq_ignore_ascii_case(asked) {
                true => asked.clone(),
                false => name.to_vec(),
            };
            if told.iter().all(|told| told.name != name) {
                let value = value.map(Cow::into_owned);
                told.push(MetadataEntry { name, value });
            }
        }
    }
    tell(cx, &args.mailbox, told);
    let reply = Reply::ok("GETMETADATA completed");
    Ok(match longest {
        // RFC 5464 §4.2.1
        Some(size) => reply.code(Code::Metadata(MetadataCode::LongEntries(size))),
        None => reply,
    })
}

/// SETMETADATA: all entries or none.
pub(crate) async fn set(
    cx: &mut Cx,
    state: &mut State,
    mailbox: wire::MailboxName,
    entries: Vec<MetadataEntry>,
) -> Outcome {
    let most = cx.env.limits.annotation_bytes_max;
    let is_anonymous = state.login()?.is_anonymous;
    let mut changes: Vec<mail::MetadataEntry> = Vec::with_capacity(entries.len());
    for MetadataEntry { name, value } in entries {
        let name = entry(&name, true)?;
        if value.as_ref().is_some_and(|value| value.len() > most) {
            // RFC 5464 §4.3
            let code = Code::Metadata(MetadataCode::MaxSize(most as u64));
            return Err(Reply::no("The value is too large").code(code).into());
        }
        filters::check(&name, value.as_deref(), is_anonymous)?;
        // The last of several values for one entry holds.
        changes.retain(|(before, _)| **before != *name);
        changes.push((name.into(), value.map(Into::into)));
    }
    let Annotated {
        account,
        tree,
        place,
        is_own,
        may_set,
    } = annotated(&cx.env, state, &mailbox).await?;
    if !is_own
        && changes
            .iter()
            .any(|(name, _)| name.starts_with("/private/"))
    {
        // They would be the owner's, not this user's.
        let text = "Only the owner of a mailbox has private annotations of it";
        let code = Code::Metadata(MetadataCode::NoPrivate);
        return Err(Reply::no(text).code(code).into());
    }
    if !may_set {
        return Err(no_permission());
    }
    if place.is_none() && changes.iter().any(|(name, _)| name.starts_with("/shared/")) {
        let text = "Only the operator sets the shared annotations of the server";
        return Err(Reply::no(text).code(Code::NoPerm).into());
    }
    let special_use = match changes.iter().position(|(name, _)| **name == *SPECIAL_USE) {
        Some(at) => {
            let (_, value) = changes.remove(at);
            let id = place.ok_or_else(|| client_bug("The server has no special use"))?;
            Some((id, special_uses(value.as_deref().unwrap_or_default())?))
        }
        None => None,
    };
    let here = |id: &Option<MailboxId>| *id == place;
    let before = tree.metadata.keys().filter(|(id, _)| here(id)).count();
    let new = |(name, value): &&mail::MetadataEntry| {
        value.is_some() && !tree.metadata.contains_key(&(place, name.clone()))
    };
    let new = changes.iter().filter(new).count();
    // There may be more than that already, if the limit was larger.
    if new > 0 && before + new > cx.env.limits.annotations_max {
        return Err(too_many());
    }
    if !changes.is_empty() {
        match account.set_metadata(place, changes).await {
            Err(MailError::Limit(Limit::Annotations)) => return Err(too_many()),
            done => done?,
        }
    }
    if let Some((id, uses)) = special_use {
        for (name, left) in account.set_special_use(id, uses).await? {
            let entry = MetadataEntry {
                name: SPECIAL_USE.into(),
                value: special_use_value(left).map(Cow::into_owned),
            };
            tell(cx, &convert::wire_name(&name), vec![entry]);
        }
    }
    Ok(Reply::ok("SETMETADATA completed"))
}

/// The special uses in the value of the entry, as CREATE would take them.
fn special_uses(value: &[u8]) -> Result<SpecialUse, Failure> {
    let mut uses = SpecialUse::NONE;
    let words = value.split(|byte| *byte == b' ');
    for word in words.filter(|word| !word.is_empty()) {
        let word = std::str::from_utf8(word).ok();
        match word.and_then(SpecialUse::from_name) {
            Some(SpecialUse::ALL | SpecialUse::FLAGGED) | None => {
                let reply = Reply::no("Not a special use of a mailbox here");
                return Err(reply.code(Code::UseAttr).into());
            }
            Some(one) => uses = uses | one,
        }
    }
    Ok(uses)
}

/// Special uses as LIST has them, with spaces between; none for none.
fn special_use_value<'a>(uses: SpecialUse) -> Option<Cow<'a, [u8]>> {
    let names: Vec<&str> = uses.names().collect();
    (!names.is_empty()).then(|| Cow::Owned(names.join(" ").into_bytes()))
}

/// METADATA after a LIST response (RFC 9590 §3).
pub(crate) fn tell_listed(
    cx: &mut Cx,
    tree: &Tree,
    is_own: bool,
    (mailbox, id): (&MailboxName, MailboxId),
    entries: &[Vec<u8>],
) -> Result<(), Failure> {
    let mut told = Vec::with_capacity(entries.len());
    for asked in entries {
        let name = entry(asked, true)?;
        for (_, value) in found(
            &cx.env,
            tree,
            (Some(id), is_own),
            &name,
            MetadataDepth::Zero,
        ) {
            told.push(MetadataEntry {
                name: asked.clone(),
                value: value.map(Cow::into_owned),
            });
        }
    }
    tell(cx, &convert::wire_name(mailbox), told);
    Ok(())
}

/// Checks names before anything is told.
pub(crate) fn check_names(entries: &[Vec<u8>]) -> Result<(), Failure> {
    entries
        .iter()
        .try_for_each(|name| entry(name, true).map(|_| ()))
}

fn tell(cx: &mut Cx, mailbox: &wire::MailboxName, entries: Vec<MetadataEntry>) {
    if !entries.is_empty() {
        let mailbox = mailbox.clone();
        cx.data(&UntaggedData::Metadata { mailbox, entries });
    }
}

fn too_many() -> Failure {
    Reply::no("There are too many annotations")
        .code(Code::Metadata(MetadataCode::TooMany))
        .into()
}

/// What is annotated.
struct Annotated {
    account: Arc<Account>,
    tree: Arc<Tree>,
    /// The mailbox; none is the server, whose name is empty.
    place: Option<MailboxId>,
    is_own: bool,
    /// Whether this user may change the shared annotations.
    may_set: bool,
}

/// Whether who has these rights to a mailbox may read what is annotated to it (RFC 5464 §3.3).
pub(crate) fn may_read(rights: Rights) -> bool {
    let any_of = Rights::READ | Rights::SEEN | Rights::WRITE | Rights::INSERT | Rights::POST;
    rights.contains(Rights::LOOKUP) && rights.intersects(any_of)
}

async fn annotated(
    env: &Env,
    state: &State,
    mailbox: &wire::MailboxName,
) -> Result<Annotated, Failure> {
    let login = state.login()?;
    if mailbox.as_str().is_empty() {
        return Ok(Annotated {
            account: login.account.clone(),
            tree: login.account.tree().await?,
            place: None,
            is_own: true,
            may_set: true,
        });
    }
    let name = convert::mailbox_name(mailbox)?;
    let place = Place::of(env, login, &name).await?;
    let (tree, entry, rights) = place.entry(Rights::LOOKUP).await?;
    if !may_read(rights) {
        return Err(no_permission());
    }
    // To change what others read asks for more than to read it.
    let may_set = Rights::WRITE | Rights::INSERT;
    Ok(Annotated {
        is_own: place.is_own(),
        account: place.account,
        tree,
        place: Some(entry.id),
        may_set: rights.intersects(may_set),
    })
}

/// The name of an entry as it is kept: in lower case, since case says nothing (RFC 5464 §3.2). Only a
/// `whole` name has a value.
fn entry(name: &[u8], whole: bool) -> Result<String, Failure> {
    let bad = || client_bug("This is not the name of an annotation");
    let fits = |byte: &u8| (0x20..0x7f).contains(byte) && !b"*%".contains(byte);
    if name.len() > NAME_BYTES_MAX || !name.iter().all(fits) {
        return Err(bad());
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let mut parts = name.split('/');
    let scope = (parts.next(), parts.next());
    if !matches!(scope, (Some(""), Some("private" | "shared"))) {
        return Err(bad());
    }
    let rest: Vec<&str> = parts.collect();
    // At least two components, and four below a vendor.
    let needed = match rest.first() {
        Some(&"vendor") => 3,
        _ => 1,
    };
    if rest.contains(&"") || (whole && rest.len() < needed) {
        return Err(bad());
    }
    Ok(name)
}

/// The name of an entry, and its value.
type Found<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

/// An entry and those below it, with their values. One that has none is found with no value where it alone
/// is asked for.
fn found<'a>(
    env: &'a Env,
    tree: &'a Tree,
    (place, is_own): (Option<MailboxId>, bool),
    name: &'a str,
    depth: MetadataDepth,
) -> Vec<Found<'a>> {
    let fits = |entry: &str| {
        let Some(below) = entry.strip_prefix(name) else {
            return false;
        };
        match (below.strip_prefix('/'), depth) {
            (_, _) if below.is_empty() => true,
            (Some(below), MetadataDepth::One) => !below.contains('/'),
            (Some(_), MetadataDepth::Infinity) => true,
            _ => false,
        }
    };
    let mut found: Vec<Found<'_>> = Vec::new();
    if place.is_none() {
        let own = env.server_annotations.iter();
        let own = own.filter(|(entry, _)| fits(entry));
        found.extend(own.map(|(entry, value)| (entry.as_bytes(), Some(value.as_bytes().into()))));
    }
    let (_, mailbox) = place.and_then(|id| tree.by_id(id)).unzip();
    if let Some(value) = mailbox.and_then(|mailbox| special_use_value(mailbox.special_use))
        && is_own
        && fits(SPECIAL_USE)
    {
        found.push((SPECIAL_USE.as_bytes(), Some(value)));
    }
    let from = (place, Arc::from(name));
    let kept = tree.metadata.range(from..);
    let kept = kept.take_while(|((id, entry), _)| *id == place && entry.starts_with(name));
    // The private ones are the owner's.
    let visible = |entry: &str| is_own || entry.starts_with("/shared/");
    let kept =
        kept.filter(|((_, entry), _)| fits(entry) && visible(entry) && **entry != *SPECIAL_USE);
    found.extend(kept.map(|((_, entry), value)| (entry.as_bytes(), Some(value[..].into()))));
    if found.is_empty() && depth == MetadataDepth::Zero {
        found.push((name.as_bytes(), None));
    }
    found
}
