//! NOTIFY where a transcript cannot go: lost events, annotations, many mailboxes.

use std::sync::Arc;
use std::time::Duration;

use restante_mailbox::MailboxName;
use restante_testkit::world::{World, WorldOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

async fn begin(world: &World, notify: &str) -> DuplexStream {
    let (mut stream, _task) = world.session(true);
    let input = format!("a LOGIN alice secret\r\nb {notify}\r\n");
    stream.write_all(input.as_bytes()).await.expect("it reads");
    let told = read_until(&mut stream, "\r\nb ").await;
    assert!(told.contains("\r\nb OK "), "{told}");
    stream
}

/// What comes until a line has `end`; that line too.
async fn read_until(stream: &mut DuplexStream, end: &str) -> String {
    let mut told = String::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(at) = told.find(end)
            && told[at + end.len()..].contains("\r\n")
        {
            return told;
        }
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut buffer));
        let count = match read.await {
            Ok(count) => count.expect("bytes"),
            Err(_) => panic!("no {end:?} came, but {} bytes", told.len()),
        };
        assert!(count > 0, "closed after {told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

/// A client that does not read misses events; what it is told in the end is how things are.
#[tokio::test]
async fn lost_events_are_made_up_for() {
    let world = World::new(WorldOptions::default()).await;
    for name in ["Foo", "Bar"] {
        world.mailbox(name, 0).await.expect("a mailbox");
    }
    let notify = "NOTIFY SET (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName))";
    let mut stream = begin(&world, notify).await;
    let text = b"Subject: News\r\n\r\nText\r\n";
    for _ in 0..3000 {
        let delivered = world.message("Foo", &[], None, text).await;
        delivered.expect("a message");
    }
    world.message("Bar", &[], None, text).await.expect("one");
    world.mailbox("Baz", 0).await.expect("a mailbox");
    for _ in 0..400 {
        let delivered = world.message("Foo", &[], None, text).await;
        delivered.expect("a message");
    }
    let mut told = read_until(&mut stream, "STATUS Foo (MESSAGES 3400 ").await;
    stream.write_all(b"c NOOP\r\n").await.expect("it reads");
    told += &read_until(&mut stream, "c OK ").await;
    assert!(told.matches("STATUS Foo").count() < 3400, "none was lost");
    assert_eq!(told.matches("STATUS Bar (MESSAGES 1 ").count(), 1);
    assert_eq!(
        told.matches("* LIST (\\HasNoChildren) \"/\" Baz").count(),
        1
    );
}

#[tokio::test]
async fn annotations_are_told_by_name() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("Foo", 0).await.expect("a mailbox");
    let notify = "NOTIFY SET (MAILBOXES (Foo) (MailboxMetadataChange ServerMetadataChange))";
    let mut stream = begin(&world, notify).await;
    let account = world.account("alice").await.expect("an account");
    let entry = || Arc::from("/shared/comment");
    let value = || Some(Arc::from(&b"text"[..]));
    let set = account.set_metadata(None, vec![(entry(), value())]);
    set.await.expect("an annotation");
    read_until(&mut stream, "* METADATA \"\" /shared/comment").await;
    let name = MailboxName::new("Foo").expect("a name");
    let tree = account.tree().await.expect("a tree");
    let foo = tree.get(&name).map(|entry| entry.id);
    // What is taken away is told as well.
    for value in [value(), None] {
        let set = account.set_metadata(foo, vec![(entry(), value)]);
        set.await.expect("an annotation");
        read_until(&mut stream, "* METADATA Foo /shared/comment").await;
    }
    let inbox = tree.get(&MailboxName::inbox()).map(|entry| entry.id);
    let set = account.set_metadata(inbox, vec![(entry(), value())]);
    set.await.expect("an annotation");
    stream.write_all(b"c NOOP\r\n").await.expect("it reads");
    let told = read_until(&mut stream, "c OK ").await;
    assert!(!told.contains("METADATA"), "{told}");
}
