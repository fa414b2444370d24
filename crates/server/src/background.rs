//! What is done beside serving: checkpoints, retention, the store's upkeep.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use restante_mailbox::Mail;
use restante_store::Budget;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::gate::Watch;

/// How often it is asked which checkpoints are due.
const CHECKPOINTS_EVERY: Duration = Duration::from_secs(1);

/// Checkpoints in one go.
const CHECKPOINTS_MAX: usize = 64;

/// How often the store is looked after.
const STORE_EVERY: Duration = Duration::from_secs(30);

/// How often what is past its retention time is deleted, at most and at least.
const RETENTION_EVERY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// The first time after a start, when clients have come back.
const RETENTION_AFTER: Duration = Duration::from_secs(300);

/// How often what was seen of logins is written down.
const LOGINS_EVERY: Duration = Duration::from_secs(5);

/// Starts the background tasks; they end when `down` turns true.
pub(crate) fn start(
    mail: &Arc<Mail>,
    logins: &Arc<Watch>,
    down: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let retention_every = retention_every(mail.options().grace);
    let spawn = |task: Task, mail: &Arc<Mail>| {
        let (mail, logins, down) = (Arc::clone(mail), Arc::clone(logins), down.clone());
        tokio::spawn(async move {
            match task {
                Task::Checkpoints => {
                    every(CHECKPOINTS_EVERY, CHECKPOINTS_EVERY, down, || {
                        checkpoints(&mail)
                    })
                    .await;
                }
                Task::Store => every(STORE_EVERY, STORE_EVERY, down, || store(&mail)).await,
                Task::Logins => {
                    every(LOGINS_EVERY, LOGINS_EVERY, down, || logins.save(&mail)).await
                }
                Task::Retention => {
                    let first = retention_every.min(RETENTION_AFTER);
                    every(first, retention_every, down, || retention(&mail)).await;
                }
            }
        })
    };
    [
        Task::Checkpoints,
        Task::Store,
        Task::Retention,
        Task::Logins,
    ]
    .map(|task| spawn(task, mail))
    .into()
}

/// An email is deleted when it was found dead twice, a grace apart: who wants the space back soon must not
/// wait for an hour twice.
fn retention_every(grace: Duration) -> Duration {
    let (least, most) = RETENTION_EVERY;
    (grace / 2).clamp(least, most)
}

/// Which task.
enum Task {
    Checkpoints,
    Store,
    Retention,
    Logins,
}

async fn every<F: Future<Output = ()>>(
    first: Duration,
    then: Duration,
    mut down: watch::Receiver<bool>,
    step: impl Fn() -> F,
) {
    let mut wait = first;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = down.wait_for(|down| *down) => return,
        }
        wait = then;
        // A step that takes long must not hold up the end: what it leaves undone is done later.
        tokio::select! {
            () = step() => {}
            _ = down.wait_for(|down| *down) => return,
        }
    }
}

async fn checkpoints(mail: &Mail) {
    if let Err(error) = mail.checkpoint_step(CHECKPOINTS_MAX).await {
        tracing::warn!(%error, "a checkpoint could not be written");
    }
    mail.memory_step();
}

async fn store(mail: &Mail) {
    match mail.maintain(Budget::default()).await {
        Ok(report) => tracing::debug!(?report, "upkeep of the store"),
        Err(error) => tracing::error!(%error, "upkeep of the store failed"),
    }
}

async fn retention(mail: &Mail) {
    match mail.retention().await {
        Ok(report) => tracing::info!(
            emails = report.emails,
            bytes = report.email_bytes,
            mailboxes = report.mailboxes,
            accounts = report.accounts,
            above_cap_bytes = report.above_cap_bytes,
            "retention"
        ),
        Err(error) => tracing::error!(%error, "retention failed"),
    }
}
