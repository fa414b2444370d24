//! The cache of the client library's example is the mailbox, whatever others do between its visits.

#[path = "../../client/examples/cache.rs"]
mod example;

use example::Cache;
use restante_client::types::*;
use restante_client::{Client, ClientOptions, Mode};
use restante_testkit::world::{World, WorldOptions};

async fn login(world: &World) -> Client {
    let options = ClientOptions {
        mode: Mode::Strict,
        ..ClientOptions::default()
    };
    let mut client = Client::over(world.connect(true), options)
        .await
        .expect("a greeting");
    client.login("alice", "secret").await.expect("logs in");
    client
}

/// Everything, asked for anew.
async fn all(client: &mut Client) -> Cache {
    let mut cache = Cache::default();
    cache.sync(client, "INBOX").await.expect("syncs");
    cache
}

#[tokio::test]
async fn a_cache_that_visits_now_and_then_is_the_mailbox() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 20).await.expect("messages");
    let (mut reader, mut writer) = (login(&world).await, login(&world).await);
    reader.enable(&["QRESYNC"]).await.expect("enables");
    writer.enable(&["QRESYNC"]).await.expect("enables");
    writer.select("INBOX").await.expect("selects");
    let mut cache = Cache::default();
    let mut random = 7u32;
    for round in 0..40 {
        cache.sync(&mut reader, "INBOX").await.expect("syncs");
        assert_eq!(cache, all(&mut reader).await, "round {round}");
        reader.unselect().await.expect("unselects");
        for _ in 0..round % 4 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let uid = Uid::new(1 + random % 30).expect("a UID");
            let set = MessageSet::Uid(UidSet::single(uid));
            let done = match random >> 29 {
                0 | 1 => world.mailbox("INBOX", 1).await.map_err(|e| panic!("{e}")),
                2 => {
                    let store = writer.store(set, StoreAction::Add, &[Flag::Deleted]).await;
                    store.expect("stores");
                    writer.expunge(None).await.map(drop)
                }
                3 | 4 => writer
                    .store(set, StoreAction::Add, &[Flag::Seen])
                    .await
                    .map(drop),
                _ => writer
                    .store(set, StoreAction::Remove, &[Flag::Seen])
                    .await
                    .map(drop),
            };
            done.expect("is done");
        }
    }
    // Another mailbox under the same name.
    writer.unselect().await.expect("unselects");
    writer.create("Other").await.expect("creates");
    let mut other = Cache::default();
    other.sync(&mut reader, "Other").await.expect("syncs");
    reader.unselect().await.expect("unselects");
    writer.delete("Other").await.expect("deletes");
    writer.create("Other").await.expect("creates");
    world.mailbox("Other", 3).await.expect("messages");
    other.sync(&mut reader, "Other").await.expect("syncs");
    assert_eq!(other.messages.len(), 3);
}
