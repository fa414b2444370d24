//! The client library's calls for extensions, against the server, by the letter of the grammar.

use std::num::NonZeroU32;

use restante_client::types::*;
use restante_client::{Catenated, Client, ClientOptions, Mode, Untagged};
use restante_testkit::world::{World, WorldOptions};

async fn client(world: &World) -> Client {
    let options = ClientOptions {
        mode: Mode::Strict,
        ..ClientOptions::default()
    };
    let mut client = Client::over(world.connect(true), options).await.unwrap();
    client.login("alice", "secret").await.unwrap();
    client
}

async fn world() -> World {
    let world = World::new(WorldOptions::default()).await;
    for (subject, more) in [
        ("b", "Message-ID: <1@x>\r\n"),
        ("a", "Message-ID: <2@x>\r\n"),
        ("Re: b", "Message-ID: <3@x>\r\nReferences: <1@x>\r\n"),
    ] {
        let text = format!("Subject: {subject}\r\n{more}\r\nThe text\r\n");
        let put = world.message("INBOX", &[], None, text.as_bytes()).await;
        put.unwrap();
    }
    world
}

fn numbers(ids: &[NonZeroU32]) -> Vec<u32> {
    ids.iter().map(|id| id.get()).collect()
}

#[tokio::test]
async fn sorts_and_threads() {
    let world = world().await;
    let mut client = client(&world).await;
    client.select("INBOX").await.unwrap();
    let sort = Sort {
        uid: true,
        returns: None,
        criteria: vec![SortCriterion {
            reverse: true,
            key: SortKey::Subject,
        }],
        charset: "UTF-8".to_owned(),
        key: SearchKey::All,
    };
    let sorted = client.sort(sort.clone()).await.unwrap();
    assert_eq!(
        (numbers(&sorted.ids), sorted.esearch),
        (vec![1, 3, 2], None)
    );
    let returns = Some(SearchReturn {
        all: true,
        count: true,
        ..SearchReturn::default()
    });
    let sorted = client.sort(Sort { returns, ..sort }).await.unwrap();
    assert_eq!(numbers(&sorted.ids), [1, 3, 2]);
    assert_eq!(sorted.esearch.unwrap().count, Some(3));
    let thread = Thread {
        uid: true,
        algorithm: ThreadAlgorithm::References,
        charset: "UTF-8".to_owned(),
        key: SearchKey::All,
    };
    let threads = client.thread(thread).await.unwrap();
    let ids: Vec<_> = threads
        .iter()
        .map(|root| (root.id.unwrap().get(), root.children.len()))
        .collect();
    assert_eq!(ids, [(1, 1), (2, 0)]);
}

#[tokio::test]
async fn asks_for_batches() {
    let world = world().await;
    let mut client = client(&world).await;
    client.select("INBOX").await.unwrap();
    let size = |size| NonZeroU32::new(size).unwrap();
    let ranges = client.uid_batches(size(2000), None).await.unwrap();
    let ranges: Vec<_> = ranges.iter().map(|(a, b)| (a.get(), b.get())).collect();
    assert_eq!(ranges, [(3, 1)]);
    assert!(client.uid_batches(size(1), None).await.is_err());
}

#[tokio::test]
async fn is_notified() {
    let world = world().await;
    let mut client = client(&world).await;
    client.create("Other").await.unwrap();
    client.select("Other").await.unwrap();
    let new = NotifyEvent::MessageNew(Vec::new());
    let groups = vec![EventGroup {
        mailboxes: MailboxFilter::Personal,
        events: NotifyEvents::Events(vec![new, NotifyEvent::Named(EventName::MessageExpunge)]),
    }];
    let status = false;
    client.notify(Notify::Set { status, groups }).await.unwrap();
    drop(client.take_unsolicited());
    let put = world
        .message("INBOX", &[], None, b"Subject: c\r\n\r\n")
        .await;
    put.unwrap();
    client.noop().await.unwrap();
    let told = client.take_unsolicited();
    let is_status = |one: &Untagged| matches!(one, Untagged::Data(UntaggedData::Status { .. }));
    assert!(told.iter().any(is_status), "{told:?}");
    client.notify(Notify::None).await.unwrap();
}

#[tokio::test]
async fn has_messages_put_together() {
    let world = world().await;
    let mut client = client(&world).await;
    client.select("INBOX").await.unwrap();
    let parts = [
        Catenated::Url("/INBOX/;UID=2/;SECTION=HEADER"),
        Catenated::Text(b"Another text\r\n"),
    ];
    let placed = client
        .append_catenate("INBOX", &[Flag::Draft], None, &parts)
        .await
        .unwrap();
    assert!(placed.is_some());
    let set = MessageSet::Uid(UidSet::from_ranges([(
        Uid::new(4).unwrap(),
        Uid::new(4).unwrap(),
    )]));
    let whole = FetchAttribute::Section {
        section: Section::default(),
        peek: true,
        partial: None,
    };
    let fetched = client.fetch(set, vec![whole]).await.unwrap();
    let message = fetched.iter().find_map(|one| one.message()).unwrap();
    assert_eq!(
        &message[..],
        b"Subject: a\r\nMessage-ID: <2@x>\r\n\r\nAnother text\r\n"
    );
    let wrong = [Catenated::Url("/INBOX/;UID=77")];
    let refused = client.append_catenate("INBOX", &[], None, &wrong).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused.code(), Some(Code::BadUrl(_))), "{refused}");
    client.noop().await.unwrap();
    assert!(
        client
            .append_catenate("INBOX", &[], None, &[])
            .await
            .is_err()
    );
    client.noop().await.unwrap();
}

/// Large answers and large commands, both ways, and back to a plain connection for the next user.
#[tokio::test]
async fn compresses() {
    let world = world().await;
    world.user("bob", "secret").await.unwrap();
    let mut client = client(&world).await;
    client.enable(&["IMAP4rev2"]).await.unwrap();
    client.compress().await.unwrap();
    assert!(client.compress().await.is_err());
    let mut text = b"Subject: long\r\n\r\n".to_vec();
    for number in 0_u32..200_000 {
        text.extend_from_slice(format!("{}\r\n", number.wrapping_mul(2_654_435_761)).as_bytes());
    }
    client.append("INBOX", &[], None, &text).await.unwrap();
    let selected = client.select("INBOX").await.unwrap();
    assert_eq!(selected.exists, 4);
    let set = || MessageSet::Seq(SeqSet::all());
    let whole = FetchAttribute::Section {
        section: Section::default(),
        peek: true,
        partial: None,
    };
    let fetched = client.fetch(set(), vec![whole]).await.unwrap();
    let last = fetched.last().and_then(|one| one.message()).unwrap();
    assert!(last[..] == text[..], "{} octets", last.len());
    client.unauthenticate().await.unwrap();
    client.login("bob", "secret").await.unwrap();
    let selected = client.select("INBOX").await.unwrap();
    assert_eq!(selected.exists, 0);
    client.compress().await.unwrap();
    client.noop().await.unwrap();
    client.logout().await.unwrap();
}
