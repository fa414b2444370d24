//! A mailbox that has more annotations than there may be, from before the limit was lowered.

use std::sync::Arc;

use restante_mailbox::{MailError, MailboxName, SpecialUse};
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

/// All names and annotations of an account are in one value of the store: there are never too many for it, however
/// long they are.
#[tokio::test]
async fn long_names_have_a_limit_before_the_store_has() {
    let world = World::new(WorldOptions::default()).await;
    let account = world.account("alice").await.expect("an account");
    let mut refused = false;
    for number in 0..120 {
        let name = MailboxName::new(&format!("m{number}")).expect("a name");
        let entry = account
            .create(&name, SpecialUse::NONE)
            .await
            .expect("a mailbox");
        let names = (0..100).map(|n| format!("/private/{}/{n}", "x".repeat(980)));
        let entries = names.map(|name| (name.into(), Some(Arc::from(&b""[..]))));
        match account.set_metadata(Some(entry), entries.collect()).await {
            Ok(()) => {}
            Err(MailError::Limit(_)) => refused = true,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused);
    let mut refused = false;
    for number in 0..4000 {
        let name = format!("{}{number}", "y".repeat(900));
        match account
            .subscribe(&MailboxName::new(&name).expect("a name"))
            .await
        {
            Ok(()) => {}
            Err(MailError::Limit(_)) => {
                refused = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused);
    for number in 0..200 {
        let name = MailboxName::new(&format!("n{number}")).expect("a name");
        let made = account.create(&name, SpecialUse::NONE).await;
        made.expect("mailboxes can still be made");
    }
    world.check().await.expect("all is well");
}
