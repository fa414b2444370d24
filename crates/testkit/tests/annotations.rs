//! A mailbox that has more annotations than there may be, from before the limit was lowered.

use std::sync::Arc;

use restante_mailbox::MailboxName;
use restante_testkit::strict::StrictClient;
use restante_testkit::world::{World, WorldOptions};

/// They can be changed and taken away; only a new one is too many (RFC 5464 §4.3).
#[tokio::test]
async fn more_than_there_may_be_can_be_changed_and_taken_away() {
    let mut options = WorldOptions::default();
    options.limits.annotations_max = 2;
    let world = World::new(options).await;
    let account = world.account("alice").await.expect("an account");
    let tree = account.tree().await.expect("a tree");
    let inbox = tree.get(&MailboxName::inbox()).map(|entry| entry.id);
    let names = ["a", "b", "c"].map(|name| format!("/private/vendor/example/{name}"));
    let entries = names.map(|name| (name.into(), Some(Arc::from(&b"x"[..]))));
    let set = account.set_metadata(inbox, entries.into());
    set.await.expect("annotations");
    let mut client = StrictClient::new(world.connect(true));
    client.response().await.expect("a greeting");
    for (command, is_done) in [
        ("LOGIN alice secret", true),
        ("SETMETADATA INBOX (/private/vendor/example/a \"y\")", true),
        ("SETMETADATA INBOX (/private/vendor/example/a NIL)", true),
        ("SETMETADATA INBOX (/private/vendor/example/d \"x\")", false),
    ] {
        let answer = client.command(command).await.expect(command);
        assert_eq!(answer.is_ok(), is_done, "{command}: {answer:?}");
    }
    world.check().await.expect("all is well");
}
