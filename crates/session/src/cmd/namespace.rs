//! NAMESPACE (RFC 9051 §6.3.10; RFC 2342).

use restante_proto::types::{NamespaceEntry, Namespaces, UntaggedData};

use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::Login;

/// One personal namespace without a prefix; there are no others yet.
pub(crate) fn run(cx: &mut Cx, _login: &Login) -> Outcome {
    let personal = NamespaceEntry {
        prefix: String::new(),
        separator: Some('/'),
        extensions: Vec::new(),
    };
    cx.data(&UntaggedData::Namespace(Namespaces {
        personal: vec![personal],
        other_users: Vec::new(),
        shared: Vec::new(),
    }));
    Ok(Reply::ok("NAMESPACE completed"))
}
