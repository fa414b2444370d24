//! A tour of a server with every call of this library: a smoke test for servers.
//!
//! ```sh
//! cargo run -p restante-client --example tour -- 127.0.0.1:1143 USER PASSWORD [strict] [tls|starttls]
//! ```
//!
//! It works in mailboxes of its own, below "tour", and deletes them at the end. With `strict`,
//! what does not follow the grammar ends it.

use std::env;

use restante_client::types::*;
use restante_client::{
    AppendFrom, AppendMessage, Client, ClientOptions, FetchEvent, Mode, Result, Tls,
};
use tokio::net::TcpStream;

const MESSAGE: &[u8] = b"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\n\
    Subject: tour\r\nDate: Sat, 04 Apr 2026 10:20:30 +0200\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
    Hello\r\n--b\r\nContent-Type: application/octet-stream\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, user, password, words @ ..] = &arguments[..] else {
        eprintln!("tour ADDRESS USER PASSWORD [strict] [tls|starttls]");
        std::process::exit(2);
    };
    let has = |word: &str| words.iter().any(|w| w == word);
    let mode = if has("strict") {
        Mode::Strict
    } else {
        Mode::Lenient
    };
    let tls = Tls::danger_accept_any()?;
    let mut client = if has("tls") {
        let mut client = Client::connect_tls(address, "localhost", &tls).await?;
        client.set_mode(mode);
        client
    } else {
        let options = ClientOptions {
            mode,
            ..ClientOptions::default()
        };
        Client::over(TcpStream::connect(address).await?, options).await?
    };
    if has("starttls") {
        client.starttls("localhost", &tls).await?;
    }
    println!("greeting: {}", client.greeting());
    client.authenticate_plain(user, password).await?;
    println!("capabilities: {}", client.known_capabilities().join(" "));
    mailboxes(&mut client).await?;
    messages(&mut client).await?;
    streams(&mut client).await?;
    idle(&mut client, address, user, password, has("tls"), &tls).await?;
    for name in ["tour/copy", "tour"] {
        client.delete(name).await?;
    }
    println!("unsolicited: {}", client.take_unsolicited().len());
    client.logout().await
}

async fn mailboxes(client: &mut Client) -> Result<()> {
    if client.has("ID") {
        let id = client
            .id(Some(vec![(b"name".to_vec(), Some(b"tour".to_vec()))]))
            .await?;
        println!("id: {}", id.unwrap_or_default().len());
    }
    if client.has("NAMESPACE") {
        println!("namespace: {:?}", client.namespace().await?.personal);
    }
    for name in ["tour/copy", "tour/old", "tour/new", "tour"] {
        drop(client.delete(name).await);
    }
    for name in ["tour", "tour/old", "tour/copy"] {
        client.create(name).await?;
    }
    client.rename("tour/old", "tour/new").await?;
    client.subscribe("tour/new").await?;
    println!("list: {:?}", client.list("", "*").await?.len());
    println!("lsub: {:?}", client.lsub("", "*").await?.len());
    if client.has("LIST-STATUS") {
        let list = List {
            patterns: vec![ListPattern("*".into())],
            returns: Some(ListReturn {
                subscribed: true,
                status: vec![StatusItem::Messages, StatusItem::UidNext],
                ..ListReturn::default()
            }),
            ..List::default()
        };
        let (entries, statuses) = client.list_with(list).await?;
        println!("list-status: {} {}", entries.len(), statuses.len());
    }
    client.unsubscribe("tour/new").await?;
    client.delete("tour/new").await
}

async fn messages(client: &mut Client) -> Result<()> {
    let date = DateTime::new(1_775_290_830, 120).ok();
    let uid = client
        .append("tour", &[Flag::Seen, Flag::Draft], date, MESSAGE)
        .await?;
    println!("append: {uid:?}");
    if client.has("MULTIAPPEND") {
        let one = || AppendFrom {
            message: AppendMessage {
                size: MESSAGE.len() as u64,
                ..AppendMessage::default()
            },
            data: MESSAGE,
        };
        let uids = client.append_from("tour", [one(), one()]).await?;
        println!("multiappend: {uids:?}");
    } else {
        client.append("tour", &[], None, MESSAGE).await?;
        client.append("tour", &[], None, MESSAGE).await?;
    }
    println!(
        "status: {:?}",
        client.status("tour", &[StatusItem::Messages]).await?
    );
    let selected = client.select("tour").await?;
    assert_eq!(selected.exists, 3);
    let body = |text| FetchAttribute::Section {
        section: Section { part: vec![], text },
        partial: None,
        peek: true,
    };
    let names = vec![b"Subject".to_vec(), b"From".to_vec()];
    let all = || MessageSet::Seq(SeqSet::all());
    let attributes = vec![
        FetchAttribute::Uid,
        FetchAttribute::Flags,
        FetchAttribute::InternalDate,
        FetchAttribute::Rfc822Size,
        FetchAttribute::Envelope,
        FetchAttribute::Body,
        FetchAttribute::BodyStructure,
        body(None),
        body(Some(SectionText::HeaderFields { names, not: false })),
    ];
    let fetched = client.fetch(all(), attributes).await?;
    assert_eq!(fetched.len(), 3);
    assert!(
        fetched
            .iter()
            .all(|f| f.message().is_some_and(|m| &m[..] == MESSAGE))
    );
    assert!(
        fetched
            .iter()
            .all(|f| f.size() == Some(MESSAGE.len() as u64))
    );
    println!(
        "envelope: {:?}",
        fetched[0].envelope().map(|e| e.subject.clone())
    );
    let found = client.search(SearchKey::And(vec![
        SearchKey::Subject(b"tour".to_vec()),
        SearchKey::Not(Box::new(SearchKey::Seen)),
    ]));
    assert_eq!(found.await?.numbers(), [2, 3]);
    if client.has("ESEARCH") {
        let returns = SearchReturn {
            count: true,
            all: true,
            ..SearchReturn::default()
        };
        let search = Search {
            uid: true,
            returns: Some(returns),
            charset: None,
            key: SearchKey::All,
        };
        let found = client.search_with(search).await?;
        assert_eq!(found.esearch.as_ref().and_then(|e| e.count), Some(3));
        assert_eq!(found.numbers().len(), 3);
    }
    let stored = client
        .store(all(), StoreAction::Add, &[Flag::Flagged])
        .await?;
    println!("store: {}", stored.fetched.len());
    if client.has("CONDSTORE") {
        let store = Store {
            set: all(),
            unchanged_since: Some(ModSeq(1)),
            action: StoreAction::Add,
            silent: true,
            flags: vec![Flag::Answered],
        };
        let stored = client.store_with(store).await?;
        println!("conditional store: {:?}", stored.modified);
    }
    println!("copy: {:?}", client.copy(all(), "tour/copy").await?);
    let first = || MessageSet::Seq(SeqSet::single(SeqNum(std::num::NonZeroU32::MIN)));
    if client.has("MOVE") {
        println!(
            "move: {:?}",
            client.move_messages(first(), "tour/copy").await?
        );
    }
    client
        .store(first(), StoreAction::Add, &[Flag::Deleted])
        .await?;
    println!("expunge: {:?}", client.expunge(None).await?);
    client.close().await
}

async fn streams(client: &mut Client) -> Result<()> {
    let large = [MESSAGE, &b"x".repeat(300_000)[..]].concat();
    let message = AppendMessage {
        size: large.len() as u64,
        ..AppendMessage::default()
    };
    client
        .append_from(
            "tour",
            [AppendFrom {
                message,
                data: &large[..],
            }],
        )
        .await?;
    let selected = client.examine("tour").await?;
    let attributes = vec![FetchAttribute::Section {
        section: Section::default(),
        partial: None,
        peek: true,
    }];
    let last = SeqNum::new(selected.exists)
        .map(SeqSet::single)
        .unwrap_or_default();
    let set = MessageSet::Seq(last);
    let fetch = Fetch {
        set,
        attributes,
        modifiers: FetchModifiers::default(),
    };
    let mut stream = client.fetch_stream(fetch, Some(4096)).await?;
    let mut octets = 0;
    while let Some(event) = stream.next().await? {
        if let FetchEvent::BodyChunk(chunk) = event {
            octets += chunk.len();
        }
    }
    drop(stream);
    assert_eq!(octets, large.len());
    println!("streamed: {octets} octets");
    if client.has("UNSELECT") {
        client.unselect().await?;
    }
    // Several commands under way at once.
    let started = [
        client.start(CommandBody::Noop).await?,
        client.start(CommandBody::Capability).await?,
        client.start(CommandBody::Noop).await?,
    ];
    for one in started {
        client.finish(one).await?;
    }
    println!("pipelined");
    Ok(())
}

async fn idle(
    client: &mut Client,
    address: &str,
    user: &str,
    password: &str,
    with_tls: bool,
    tls: &Tls,
) -> Result<()> {
    client.select("tour").await?;
    let mut other = if with_tls {
        Client::connect_tls(address, "localhost", tls).await?
    } else {
        Client::connect(address).await?
    };
    other.login(user, password).await?;
    let mut idle = client.idle().await?;
    other.append("tour", &[], None, MESSAGE).await?;
    println!("idle: {:?}", idle.next().await?);
    idle.done().await?;
    other.logout().await?;
    client.close().await
}
