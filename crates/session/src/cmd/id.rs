//! ID (RFC 2971 §3.1).

use restante_proto::types::IdParameters;

use crate::cx::Cx;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// What is kept of what a client says of itself, in bytes.
const CLIENT_BYTES_MAX: usize = 300;

/// Tells what the server is; what the client is goes to the log, shortened.
pub(crate) fn run(cx: &mut Cx, state: &mut State, parameters: IdParameters) -> Outcome {
    if let Some(parameters) = parameters {
        cx.client = rule_for(cx, &parameters);
        let mut client = String::new();
        for (field, value) in parameters.iter().take(30) {
            let value = value.as_deref().unwrap_or_default();
            let field = String::from_utf8_lossy(field);
            let value = String::from_utf8_lossy(&value[..value.len().min(200)]);
            client.push_str(&format!("{field}={value:?} "));
        }
        let client = client.trim_end();
        tracing::debug!(peer = %cx.peer, client, "client id");
        let end = client.floor_char_boundary(CLIENT_BYTES_MAX);
        let client = &client[..client.len().min(end)];
        match state {
            State::NotAuthenticated(guest) => guest.client = Some(client.into()),
            _ => {
                if let Ok(login) = state.login() {
                    let authenticator = &cx.env.authenticator;
                    authenticator.client_told(login.account.id(), &cx.peer, client);
                }
            }
        }
    }
    let id = cx
        .env
        .server_id
        .iter()
        .map(|(field, value)| (field.clone().into_bytes(), Some(value.clone().into_bytes())))
        .collect();
    cx.data(&restante_proto::types::UntaggedData::Id(Some(id)));
    Ok(Reply::ok("ID completed"))
}

/// Which clients' rule is for one that says this of itself: the first that fits.
fn rule_for(cx: &Cx, parameters: &[(Vec<u8>, Option<Vec<u8>>)]) -> Option<u16> {
    let name = parameters
        .iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(b"name"))?;
    let name = name.1.as_deref()?.to_ascii_lowercase();
    let is_for = |client: &str| name.starts_with(client.to_ascii_lowercase().as_bytes());
    let rules = &cx.env.hidden_from_clients;
    let rule = rules.iter().position(|rule| is_for(&rule.client))?;
    u16::try_from(rule).ok()
}
