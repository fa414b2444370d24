//! ID (RFC 2971 §3.1).

use restante_proto::types::IdParameters;

use crate::cx::Cx;
use crate::reply::{Outcome, Reply};

/// Tells what the server is; what the client is goes to the log, shortened.
pub(crate) fn run(cx: &mut Cx, parameters: IdParameters) -> Outcome {
    if let Some(parameters) = parameters {
        let mut client = String::new();
        for (field, value) in parameters.iter().take(30) {
            let value = value.as_deref().unwrap_or_default();
            let field = String::from_utf8_lossy(field);
            let value = String::from_utf8_lossy(&value[..value.len().min(200)]);
            client.push_str(&format!("{field}={value:?} "));
        }
        tracing::debug!(peer = %cx.peer, client = client.trim_end(), "client id");
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
