//! Talking to the server, or to its data.

use std::future::Future;

use restante_server::admin::{Reply, Request};
use restante_server::{Admin, AdminError};

use crate::Place;

/// Runs a command's future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime could not be started: {error}"))?
        .block_on(future)
}

/// Sends one request and closes again.
pub(crate) async fn call(place: &Place, request: Request) -> Result<Reply, String> {
    let config = place.load()?;
    let mut admin = Admin::open(&config).await.map_err(text)?;
    let reply = admin.call(request).await;
    admin.close().await;
    reply.map_err(text)
}

pub(crate) fn text(error: AdminError) -> String {
    error.to_string()
}

/// `restante status`.
pub(crate) fn status(place: &Place) -> Result<(), String> {
    block_on(async {
        let data = place.load()?.data_dir();
        let admin = Admin::connect(&data).await.map_err(text)?;
        let mut admin =
            admin.ok_or_else(|| format!("{}: no server runs on this data", data.display()))?;
        match admin.call(Request::Status {}).await.map_err(text)? {
            Reply::Status {
                version,
                pid,
                connections,
            } => {
                println!("Restante {version} runs (process {pid}), {connections} connections");
                Ok(())
            }
            _ => Err("an unexpected answer".to_owned()),
        }
    })
}

/// `restante reload`.
pub(crate) fn reload(place: &Place) -> Result<(), String> {
    match block_on(call(place, Request::Reload {}))? {
        Reply::Reloaded { text } => println!("Reloaded: {text}"),
        _ => return Err("an unexpected answer".to_owned()),
    }
    Ok(())
}
