//! Whatever a client sends after its login: what the property test and the fuzz target of the same have in common.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::strict::StrictClient;
use crate::world::{World, WorldOptions};

/// How long a dialogue may take: it waits for nothing but its own input.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends octets in pieces of such sizes, taken in turn, to a session of its own with a few messages, and reads what
/// comes. `first` are commands that come before them and are answered.
///
/// # Errors
/// What is wrong, in words: the session does not end, or by a panic; a response is not grammatical; the store is
/// damaged.
pub async fn survive(first: &[&str], input: &[u8], sizes: &[usize]) -> Result<(), String> {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 4).await?;
    let (mut stream, task) = world.session(true);
    let mut all = first.concat().into_bytes();
    all.extend_from_slice(input);
    let mut rest = &all[..];
    for size in sizes.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        if now.is_empty() || stream.write_all(now).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
        rest = later;
    }
    // The session may have ended already.
    let _ = stream.shutdown().await;
    let mut client = StrictClient::new(stream);
    let read = async {
        let mut responses = 0;
        while client.response().await?.is_some() {
            responses += 1;
        }
        Ok::<usize, String>(responses)
    };
    let responses = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| "it neither answers nor ends")?
        .map_err(|error| format!("not grammatical: {error}"))?;
    if responses <= first.len() {
        return Err(format!("only {responses} responses"));
    }
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(())) => {}
        end => return Err(format!("the session ends, and without a panic: {end:?}")),
    }
    world.check().await
}
