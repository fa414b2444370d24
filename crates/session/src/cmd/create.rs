//! CREATE (RFC 9051 §6.3.4; RFC 6154 §3; RFC 8474 §4.1).

use restante_mailbox::{Rights, SpecialUse};
use restante_proto::types::{self as wire, Code, ListAttribute, MailboxName};

use crate::convert;
use crate::cx::Cx;
use crate::place::{Place, no_permission};
use crate::reply::{Outcome, Reply};
use crate::state::State;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    mailbox: MailboxName,
    special_use: Vec<wire::SpecialUse>,
) -> Outcome {
    let login = state.login()?;
    let mut uses = SpecialUse::NONE;
    for special_use in special_use {
        match SpecialUse::from_name(special_use.name()) {
            // These two are views of other mailboxes' messages, which there are none of here.
            Some(SpecialUse::ALL | SpecialUse::FLAGGED) | None => {
                return Ok(Reply::no("Not a special use of a mailbox here").code(Code::UseAttr));
            }
            Some(one) => uses = uses | one,
        }
    }
    let name = convert::new_mailbox_name(&mailbox)?;
    let place = Place::of(&cx.env, login, &name).await?;
    let tree = place.account.tree().await?;
    if !place.rights_above(&tree).contains(Rights::CREATE) {
        return Err(no_permission());
    }
    if !place.is_own() && !uses.is_empty() {
        let reply = Reply::no("A special use is for mailboxes of one's own");
        return Ok(reply.code(Code::UseAttr));
    }
    let id = place.account.create(&place.name, uses).await?;
    let id = convert::mailbox_id(place.account.id(), id).object_id();
    // The client must know under which name the mailbox came to be, if it is another.
    let special = uses.names().filter_map(wire::SpecialUse::from_name);
    let attributes = special.map(ListAttribute::SpecialUse).collect();
    convert::tell_name(cx, attributes, &mailbox, &name);
    let reply = Reply::ok("CREATE completed");
    Ok(match id {
        Some(id) => reply.code(Code::MailboxId(id)),
        None => reply,
    })
}
