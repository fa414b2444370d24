//! What is done beside serving: the store's upkeep.

use std::sync::Arc;
use std::time::Duration;

use restante_mailbox::Mail;
use restante_store::Budget;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often the store is looked after.
const STORE_EVERY: Duration = Duration::from_secs(30);

/// Starts the background tasks; they end when `down` turns true.
pub(crate) fn start(mail: &Arc<Mail>, down: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    vec![tokio::spawn(maintain_store(Arc::clone(mail), down.clone()))]
}

async fn maintain_store(mail: Arc<Mail>, mut down: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(STORE_EVERY) => {}
            _ = down.wait_for(|down| *down) => return,
        }
        if let Err(error) = mail.store().maintain(Budget::default()).await {
            tracing::error!(%error, "upkeep of the store failed");
        }
    }
}
