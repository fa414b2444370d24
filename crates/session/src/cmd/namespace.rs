//! NAMESPACE (RFC 9051 §6.3.10; RFC 2342).

use restante_proto::types::mutf7;
use restante_proto::types::{NamespaceEntry, Namespaces, UntaggedData};

use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::Login;

pub(crate) fn run(cx: &mut Cx, _login: &Login) -> Outcome {
    let namespaces = namespaces(cx);
    cx.data(&UntaggedData::Namespace(namespaces));
    Ok(Reply::ok("NAMESPACE completed"))
}

/// Tells the namespaces if any has a name in the language of the client (RFC 5255 §3.2).
pub(super) fn tell_translated(cx: &mut Cx) {
    let namespaces = namespaces(cx);
    let all = [
        &namespaces.personal,
        &namespaces.other_users,
        &namespaces.shared,
    ];
    if all
        .iter()
        .any(|list| list.iter().any(|entry| !entry.extensions.is_empty()))
    {
        cx.data(&UntaggedData::Namespace(namespaces));
    }
}

/// One personal namespace without a prefix; others' mailboxes and shared ones below theirs.
fn namespaces(cx: &Cx) -> Namespaces {
    let sharing = &cx.env.sharing;
    let other_users = sharing.other_users.iter();
    let shared = sharing.shared.iter();
    Namespaces {
        personal: vec![entry(cx, "")],
        other_users: other_users
            .map(|prefix| entry(cx, &format!("{prefix}/")))
            .collect(),
        shared: shared
            .map(|(prefix, _)| entry(cx, &format!("{prefix}/")))
            .collect(),
    }
}

/// A namespace, with its name in the language of the client (RFC 5255 §3.4).
fn entry(cx: &Cx, prefix: &str) -> NamespaceEntry {
    let translation = cx.language.namespace(prefix).map(|name| {
        let encoded = mutf7::encode(&name).into_owned();
        (b"TRANSLATION".to_vec(), vec![encoded.into_bytes()])
    });
    NamespaceEntry {
        prefix: prefix.to_owned(),
        separator: Some('/'),
        extensions: translation.into_iter().collect(),
    }
}
