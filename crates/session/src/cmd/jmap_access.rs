//! GETJMAPACCESS (RFC 9698 §4).

use restante_proto::types::UntaggedData;

use crate::cx::Cx;
use crate::reply::{Outcome, Reply, client_bug};
use crate::state::State;

/// Tells where the same mail is to be had by JMAP, to whom the capability was told.
pub(crate) fn run(cx: &mut Cx, state: &State) -> Outcome {
    let is_anonymous = state.login()?.is_anonymous;
    let url = cx.env.jmap_url.clone().filter(|_| !is_anonymous);
    let Some(url) = url else {
        return Err(client_bug("JMAPACCESS is not supported"));
    };
    cx.data(&UntaggedData::JmapAccess(url.into_bytes()));
    Ok(Reply::ok("GETJMAPACCESS completed"))
}
