//! COPY to another user's mailbox that fails after its first commit.

use restante_mailbox::{MailboxName, Uid};
use restante_proto::types::UntaggedData;
use restante_testkit::strict::StrictClient;
use restante_testkit::world::{World, WorldOptions};

/// What went there is taken back: COPY does all or nothing (RFC 9051 §6.4.7).
#[tokio::test]
async fn what_was_copied_before_the_failure_is_taken_back() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 2500).await.expect("a mailbox");
    world.user("bob", "secret").await.expect("a user");
    let bob = world.account("bob").await.expect("bob");
    let inbox = bob.mailbox(&MailboxName::inbox()).await.expect("his INBOX");
    // There are UIDs for one commit, not for the second.
    let almost_the_last = Uid::new(u32::MAX - 1500).expect("a UID");
    inbox.raise_uid_next(almost_the_last).await.expect("raised");

    let mut alice = StrictClient::new(world.connect(true));
    alice.response().await.expect("a greeting");
    let answer = alice.command("LOGIN alice secret").await.expect("LOGIN");
    assert!(answer.is_ok());
    let answer = alice.command("SETACL INBOX bob lrste").await.expect("ACL");
    assert!(answer.is_ok());

    let mut client = StrictClient::new(world.connect(true));
    client.response().await.expect("a greeting");
    for command in ["LOGIN bob secret", "SELECT \"Other Users/alice/INBOX\""] {
        assert!(client.command(command).await.expect(command).is_ok());
    }
    for command in ["COPY 1:* INBOX", "MOVE 1:* INBOX"] {
        let answer = client.command(command).await.expect(command);
        assert!(!answer.is_ok(), "{command}: {answer:?}");
        let expunged = |data: &UntaggedData| matches!(data, UntaggedData::Expunge(_));
        assert!(!answer.data.iter().any(expunged), "{command}");
        let tail = inbox.tail().await.expect("its tail");
        assert!(tail.uid_next > almost_the_last, "nothing was copied");
        assert_eq!(tail.messages, 0, "{command}");
        assert_eq!(tail.size, 0, "{command}");
    }
    world.check().await.expect("all is well");
}
