//! How much may be annotated (RFC 5464 §4.1).

mod common;

use std::sync::Arc;

use restante_mailbox::{Limit, MailError, MetadataEntry};

use common::{Engine, World};

fn entry(number: usize, value: Option<Vec<u8>>) -> MetadataEntry {
    let name = format!("/private/vendor/example/{number}");
    (name.into(), value.map(Arc::from))
}

#[tokio::test]
async fn ten_of_each_of_thousands_of_mailboxes() {
    let world = World::new(Engine::Embedded).await;
    let account = world.account().await;
    for first in (0..20_000).step_by(5_000) {
        let entries = first..first + 5_000;
        let entries = entries.map(|number| entry(number, Some(vec![b'x'])));
        account.set_metadata(None, entries.collect()).await.unwrap();
    }
    let one_more = vec![entry(20_000, Some(vec![b'x']))];
    let refused = account.set_metadata(None, one_more.clone()).await;
    assert!(matches!(refused, Err(MailError::Limit(Limit::Annotations))));
    // What goes makes room for what comes.
    let gone = vec![entry(0, None)];
    account.set_metadata(None, gone).await.unwrap();
    account.set_metadata(None, one_more).await.unwrap();
    assert_eq!(account.tree().await.unwrap().metadata.len(), 20_000);
}

#[tokio::test]
async fn a_value_in_place_of_another_needs_no_room_but_its_own() {
    let world = World::new(Engine::Embedded).await;
    let account = world.account().await;
    let value = |letter| Some(vec![letter; 64 << 10]);
    for number in 0..63 {
        let entries = vec![entry(number, value(b'a'))];
        account.set_metadata(None, entries).await.unwrap();
    }
    let refused = account
        .set_metadata(None, vec![entry(63, value(b'a'))])
        .await;
    assert!(matches!(refused, Err(MailError::Limit(Limit::Annotations))));
    let other = vec![entry(7, value(b'b'))];
    account.set_metadata(None, other).await.unwrap();
    let both = vec![entry(7, None), entry(63, value(b'a'))];
    account.set_metadata(None, both).await.unwrap();
    assert_eq!(account.tree().await.unwrap().metadata.len(), 63);
}
