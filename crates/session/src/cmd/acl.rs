//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §3).
//!
//! An owner has all rights to a mailbox, whatever is set: they are listed first, and cannot be taken.

use restante_auth::prepare;
use restante_mailbox::{Rights, RightsChange, canonical_identifier};
use restante_proto::types::{
    self as wire, AclEntry, Code, MailboxName, RightsChange as WireChange, SetAcl, UntaggedData,
};

use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::place::Place;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::State;

/// The rights of which MYRIGHTS needs one (RFC 4314 §4).
fn any() -> Rights {
    Rights::LOOKUP
        | Rights::READ
        | Rights::INSERT
        | Rights::CREATE
        | Rights::DELETE
        | Rights::ADMINISTER
}

/// SETACL.
pub(crate) async fn set(cx: &mut Cx, state: &mut State, args: SetAcl) -> Outcome {
    let mut rights = Rights::NONE;
    for letter in args.rights.iter().map(|byte| char::from(*byte)) {
        // RFC 4314 §3.1: an unknown right is BAD, never passed over.
        let unknown = || client_bug(format!("There is no right {letter:?}"));
        rights = rights | Rights::from_letter(letter).ok_or_else(unknown)?;
    }
    let change = match args.change {
        WireChange::Add => RightsChange::Add(rights),
        WireChange::Remove => RightsChange::Remove(rights),
        WireChange::Replace => RightsChange::Replace(rights),
    };
    change_rights(&cx.env, state, &args.mailbox, &args.identifier, change).await?;
    Ok(Reply::ok("SETACL completed"))
}

/// DELETEACL.
pub(crate) async fn delete(
    cx: &mut Cx,
    state: &mut State,
    mailbox: MailboxName,
    identifier: Vec<u8>,
) -> Outcome {
    let nothing = RightsChange::Replace(Rights::NONE);
    change_rights(&cx.env, state, &mailbox, &identifier, nothing).await?;
    Ok(Reply::ok("DELETEACL completed"))
}

async fn change_rights(
    env: &Env,
    state: &State,
    mailbox: &MailboxName,
    identifier: &[u8],
    change: RightsChange,
) -> Result<(), Failure> {
    let identifier = canonical(env, identifier).await?;
    let place = place(env, state, mailbox).await?;
    let (_, entry, _) = place.entry(Rights::ADMINISTER).await?;
    if identifier.trim_start_matches('-') == &*place.owner {
        let keeps_all = match change {
            RightsChange::Add(_) => !identifier.starts_with('-'),
            RightsChange::Replace(rights) => rights == Rights::ALL && !identifier.starts_with('-'),
            RightsChange::Remove(rights) => rights.is_empty(),
        };
        return match keeps_all {
            true => Ok(()),
            false => Err(Reply::no("The owner of a mailbox has all rights to it")
                .code(Code::Cannot)
                .into()),
        };
    }
    Ok(place.account.set_acl(entry.id, &identifier, change).await?)
}

/// GETACL.
pub(crate) async fn get(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let place = place(&cx.env, state, &mailbox).await?;
    let (tree, entry, _) = place.entry(Rights::ADMINISTER).await?;
    let line = |identifier: &str, rights: Rights| AclEntry {
        identifier: identifier.as_bytes().to_vec(),
        rights: rights.letters().into_bytes(),
    };
    let mut entries = vec![line(&place.owner, Rights::ALL)];
    let others = tree.acl(entry.id).into_iter().flatten();
    entries.extend(others.map(|(identifier, rights)| line(identifier, *rights)));
    cx.data(&UntaggedData::Acl { mailbox, entries });
    Ok(Reply::ok("GETACL completed"))
}

/// LISTRIGHTS: each right can be granted for itself.
pub(crate) async fn list(
    cx: &mut Cx,
    state: &mut State,
    mailbox: MailboxName,
    identifier: Vec<u8>,
) -> Outcome {
    let canonical = canonical(&cx.env, &identifier).await?;
    let place = place(&cx.env, state, &mailbox).await?;
    place.entry(Rights::ADMINISTER).await?;
    let all = Rights::ALL.letters();
    let (required, optional) = match canonical.strip_prefix('-') {
        // Nothing can be taken from the owner.
        Some(denied) if denied == &*place.owner => (Vec::new(), Vec::new()),
        _ if canonical == *place.owner => (all.into_bytes(), Vec::new()),
        _ => (Vec::new(), all.bytes().map(|letter| vec![letter]).collect()),
    };
    cx.data(&UntaggedData::ListRights {
        mailbox,
        identifier,
        required,
        optional,
    });
    Ok(Reply::ok("LISTRIGHTS completed"))
}

/// MYRIGHTS.
pub(crate) async fn mine(cx: &mut Cx, state: &mut State, mailbox: MailboxName) -> Outcome {
    let place = place(&cx.env, state, &mailbox).await?;
    let (_, _, rights) = place.entry(any()).await?;
    tell(cx, mailbox, rights);
    Ok(Reply::ok("MYRIGHTS completed"))
}

/// Writes the MYRIGHTS response.
pub(crate) fn tell(cx: &mut Cx, mailbox: MailboxName, rights: Rights) {
    let rights = rights.letters().into_bytes();
    cx.data(&UntaggedData::MyRights { mailbox, rights });
}

async fn place(env: &Env, state: &State, mailbox: &wire::MailboxName) -> Result<Place, Failure> {
    let name = convert::mailbox_name(mailbox)?;
    Place::of(env, state.login()?, &name).await
}

/// The form in which an identifier is kept. A user's name is what the user logs in by. Another one that SASLprep
/// refuses, or of which it leaves nothing, is BAD (RFC 4314 §3). The signs before a name are no part of it: they would
/// break its rule of directions.
async fn canonical(env: &Env, identifier: &[u8]) -> Result<String, Failure> {
    let unprepared = || client_bug("This cannot be an identifier");
    let identifier = std::str::from_utf8(identifier).map_err(|_| unprepared())?;
    let name = identifier.trim_start_matches(['-', '$']);
    let signs = &identifier[..identifier.len() - name.len()];
    let canonical = if !name.is_empty() && env.mail.user(name).await?.is_some() {
        canonical_identifier(identifier)
    } else {
        let prepared = prepare(name).ok_or_else(unprepared)?;
        canonical_identifier(&format!("{signs}{}", prepared.expose()))
    };
    canonical.ok_or_else(|| {
        Reply::no("This cannot be the name of a user or group")
            .code(Code::Cannot)
            .into()
    })
}
