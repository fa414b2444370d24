//! The client against servers that follow a script, over a pipe in memory.

use restante_client::types::*;
use restante_client::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Each step: what the client must send, and what the server answers.
type Script = Vec<(&'static str, String)>;

async fn serve(mut io: DuplexStream, greeting: &str, script: Script) {
    io.write_all(greeting.as_bytes()).await.unwrap();
    for (expected, answer) in script {
        let mut got = vec![0; expected.len()];
        io.read_exact(&mut got)
            .await
            .unwrap_or_else(|e| panic!("{e} waiting for {expected:?}"));
        assert_eq!(String::from_utf8_lossy(&got), expected);
        io.write_all(answer.as_bytes()).await.unwrap();
        if answer.starts_with("* BYE") {
            return;
        }
    }
    // The client closes first.
    let mut rest = Vec::new();
    drop(io.read_to_end(&mut rest).await);
    assert_eq!(
        String::from_utf8_lossy(&rest),
        "",
        "more than the script has"
    );
}

const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ IDLE] hi\r\n";

async fn client(script: &[(&'static str, &str)]) -> (Client, tokio::task::JoinHandle<()>) {
    with_greeting(GREETING, script).await
}

async fn with_greeting(
    greeting: &'static str,
    script: &[(&'static str, &str)],
) -> (Client, tokio::task::JoinHandle<()>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let script = script.iter().map(|(a, b)| (*a, (*b).to_owned())).collect();
    let server = tokio::spawn(async move { serve(far, greeting, script).await });
    (
        Client::over(near, ClientOptions::default()).await.unwrap(),
        server,
    )
}

/// RFC 9738 §3.1.
#[tokio::test]
async fn a_command_can_be_cut_to_some_messages() {
    let (mut client, server) = client(&[
        (
            "r1 UID SEARCH UIDAFTER 21999 UNDELETED\r\n",
            "* SEARCH 25000 24998 23221\r\n\
             r1 OK [MESSAGELIMIT 1000 23221] SEARCH completed with 1000 partial results\r\n",
        ),
        (
            "r2 UID COPY 18000:21000 Trash\r\n",
            "r2 NO [MESSAGELIMIT 1000 20001] Too many messages to copy\r\n",
        ),
        (
            "r3 NOOP\r\n",
            "* NO [MESSAGELIMIT 1000 23221] Partial\r\nr3 OK done\r\n",
        ),
    ])
    .await;
    let cut = |lowest| {
        Some(MessageLimit {
            limit: 1000,
            lowest: Uid::new(lowest),
        })
    };
    let after = SearchKey::UidAfter(Uid::new(21_999).unwrap());
    let search = Search {
        uid: true,
        returns: None,
        charset: None,
        key: SearchKey::And(vec![after, SearchKey::Undeleted]),
    };
    client.run(CommandBody::Search(search)).await.unwrap();
    assert_eq!(client.take_message_limit(), cut(23_221));
    assert_eq!(client.take_message_limit(), None);
    let copy = CommandBody::Copy {
        set: MessageSet::Uid(UidSet::from_ranges([(
            Uid::new(18_000).unwrap(),
            Uid::new(21_000).unwrap(),
        )])),
        mailbox: MailboxName::new("Trash"),
    };
    assert!(client.run(copy).await.is_err());
    assert_eq!(client.take_message_limit(), cut(20_001));
    client.run(CommandBody::Noop).await.unwrap();
    assert_eq!(client.take_message_limit(), cut(23_221));
    drop(client);
    server.await.unwrap();
}

/// RFC 9698 §5.
#[tokio::test]
async fn asks_where_the_same_mail_is_by_jmap() {
    let (mut client, server) = client(&[
        (
            "r1 GETJMAPACCESS\r\n",
            "* JMAPACCESS \"https://example.com/.well-known/jmap\"\r\nr1 OK done\r\n",
        ),
        ("r2 GETJMAPACCESS\r\n", "r2 BAD What?\r\n"),
    ])
    .await;
    let url = client.jmap_access().await.unwrap();
    assert_eq!(url, "https://example.com/.well-known/jmap");
    assert!(client.jmap_access().await.is_err());
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn asks_for_quotas_and_sets_them() {
    let (mut client, server) = client(&[
        (
            "r1 GETQUOTAROOT INBOX\r\n",
            "* QUOTAROOT INBOX \"#user/alice\" \"!partition/sda4\"\r\n\
             * QUOTA \"#user/alice\" (MESSAGE 42 1000)\r\n\
             * QUOTA \"!partition/sda4\" (STORAGE 104 10923847)\r\n\
             r1 OK Getquotaroot complete\r\n",
        ),
        (
            "r2 GETQUOTA \"\"\r\n",
            "* QUOTA \"\" (MAILBOX 3 9)\r\nr2 OK done\r\n",
        ),
        (
            "r3 SETQUOTA #user/alice (STORAGE 510)\r\n",
            "* QUOTA \"#user/alice\" (STORAGE 58 512)\r\nr3 OK Rounded quota\r\n",
        ),
    ])
    .await;
    let limit = |resource, usage, limit| QuotaLimit {
        resource,
        usage,
        limit,
    };
    let roots = client.quota_roots("INBOX").await.unwrap();
    let expected = [
        ("#user/alice", limit(QuotaResource::Message, 42, 1000)),
        (
            "!partition/sda4",
            limit(QuotaResource::Storage, 104, 10_923_847),
        ),
    ];
    let expected = expected.map(|(name, limit)| QuotaRoot {
        name: name.into(),
        limits: vec![limit],
    });
    assert_eq!(roots, expected);
    let limits = client.quota(b"").await.unwrap();
    assert_eq!(limits, [limit(QuotaResource::Mailbox, 3, 9)]);
    let set = client
        .set_quota(b"#user/alice", vec![(QuotaResource::Storage, 510)])
        .await
        .unwrap();
    assert_eq!(set[0].limits, [limit(QuotaResource::Storage, 58, 512)]);
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn logs_in_and_asks_what_changed() {
    let (mut client, server) = client(&[
        ("r1 LOGIN joe \"se cret\"\r\n", "r1 OK in\r\n"),
        (
            "r2 CAPABILITY\r\n",
            "* CAPABILITY IMAP4rev1 MOVE\r\nr2 OK done\r\n",
        ),
        ("r3 LOGOUT\r\n", "* BYE see you\r\n"),
    ])
    .await;
    assert!(client.has("idle") && client.greeting() == "hi");
    client.login("joe", "se cret").await.unwrap();
    assert!(client.has("MOVE") && !client.has("IDLE"));
    client.logout().await.unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn authenticates_in_one_round_or_two() {
    let (mut client, server) = client(&[(
        "r1 AUTHENTICATE PLAIN AHUAcA==\r\n",
        "r1 OK [CAPABILITY IMAP4rev1 X] in\r\n",
    )])
    .await;
    client.authenticate_plain("u", "p").await.unwrap();
    assert!(client.has("X"));
    drop(client);
    server.await.unwrap();
    let (mut client, server) = with_greeting(
        "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n",
        &[
            ("r1 AUTHENTICATE PLAIN\r\n", "+ \r\n"),
            ("AHUAcA==\r\n", "r1 NO [AUTHENTICATIONFAILED] no\r\n"),
            ("r2 NOOP\r\n", "r2 OK\r\n"),
        ],
    )
    .await;
    let error = client.authenticate_plain("u", "p").await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::AuthenticationFailed));
    assert!(error.is_refusal());
    client.noop().await.unwrap();
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn selects_searches_and_fetches() {
    let (mut client, server) = client(&[
        (
            "r1 SELECT INBOX\r\n",
            "* 3 EXISTS\r\n* 1 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 7] x\r\n\
             * OK [UIDNEXT 12] x\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n\
             r1 OK [READ-WRITE] done\r\n",
        ),
        (
            "r2 SEARCH UNSEEN\r\n",
            "* SEARCH 2 3\r\n* 4 EXISTS\r\nr2 OK done\r\n",
        ),
        (
            "r3 UID SEARCH RETURN (ALL) SEEN\r\n",
            "* ESEARCH (TAG \"r3\") UID ALL 5:7\r\nr3 OK done\r\n",
        ),
        (
            "r4 FETCH 1:* (UID FLAGS BODY.PEEK[])\r\n",
            "* 1 FETCH (UID 5 FLAGS (\\Seen) BODY[] {3}\r\nabc)\r\nr4 OK done\r\n",
        ),
    ])
    .await;
    let selected = client.select("inbox").await.unwrap();
    assert_eq!((selected.exists, selected.recent), (3, Some(1)));
    assert_eq!(selected.uid_next, Uid::new(12));
    assert!(!selected.read_only);
    assert_eq!(
        client.search(SearchKey::Unseen).await.unwrap().numbers(),
        [2, 3]
    );
    assert_eq!(
        client.take_unsolicited(),
        [Untagged::Data(UntaggedData::Exists(4))]
    );
    let returns = SearchReturn {
        all: true,
        ..SearchReturn::default()
    };
    let search = Search {
        uid: true,
        returns: Some(returns),
        charset: None,
        key: SearchKey::Seen,
    };
    assert_eq!(
        client.search_with(search).await.unwrap().numbers(),
        [5, 6, 7]
    );
    let body = FetchAttribute::Section {
        section: Section::default(),
        partial: None,
        peek: true,
    };
    let attributes = vec![FetchAttribute::Uid, FetchAttribute::Flags, body];
    let fetched = client
        .fetch(MessageSet::Seq(SeqSet::all()), attributes)
        .await
        .unwrap();
    assert_eq!(fetched[0].uid(), Uid::new(5));
    assert_eq!(fetched[0].flags(), Some(&[Flag::Seen][..]));
    assert_eq!(fetched[0].message().unwrap(), "abc");
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn streams_bodies_in_chunks() {
    let body = "x".repeat(300_000);
    let answer = format!(
        "* 1 FETCH (UID 5 BODY[] {{300000}}\r\n{body} FLAGS ())\r\n* 2 FETCH (BODY[] \"s\")\r\n\
         r1 OK done\r\n"
    );
    let (mut client, server) = client(&[
        ("r1 FETCH 1:* BODY[]\r\n", &answer),
        ("r2 NOOP\r\n", "r2 OK\r\n"),
    ])
    .await;
    let attributes = vec![FetchAttribute::Section {
        section: Section::default(),
        partial: None,
        peek: false,
    }];
    let modifiers = FetchModifiers::default();
    let fetch = Fetch {
        set: MessageSet::Seq(SeqSet::all()),
        attributes,
        modifiers,
    };
    let mut stream = client.fetch_stream(fetch, Some(1000)).await.unwrap();
    let (mut octets, mut ended, mut messages) = (0, false, Vec::new());
    while let Some(event) = stream.next().await.unwrap() {
        match event {
            FetchEvent::BodyStart { before, size } => {
                assert_eq!((before.uid(), size), (Uid::new(5), 300_000));
            }
            FetchEvent::BodyChunk(chunk) => octets += chunk.len(),
            FetchEvent::BodyEnd => ended = true,
            FetchEvent::Message(message) => messages.push(message),
        }
    }
    drop(stream);
    assert_eq!((octets, ended, messages.len()), (300_000, true, 2));
    assert_eq!(messages[0].flags(), Some(&[][..]));
    assert_eq!(messages[1].message().unwrap(), "s");
    client.noop().await.unwrap();
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn a_stream_dropped_early_leaves_the_connection_usable() {
    let body = "x".repeat(100_000);
    let answer = format!("* 1 FETCH (BODY[] {{100000}}\r\n{body})\r\nr1 OK done\r\n");
    let (mut client, server) = client(&[
        ("r1 FETCH 1 BODY[]\r\n", &answer),
        ("r2 NOOP\r\n", "* 2 EXISTS\r\nr2 OK\r\n"),
    ])
    .await;
    let attributes = vec![FetchAttribute::Section {
        section: Section::default(),
        partial: None,
        peek: false,
    }];
    let set = MessageSet::Seq(SeqSet::single(SeqNum::new(1).unwrap()));
    let fetch = Fetch {
        set,
        attributes,
        modifiers: FetchModifiers::default(),
    };
    let mut stream = client.fetch_stream(fetch, Some(1000)).await.unwrap();
    assert!(matches!(
        stream.next().await.unwrap(),
        Some(FetchEvent::BodyStart { .. })
    ));
    drop(stream);
    client.noop().await.unwrap();
    assert_eq!(
        client.take_unsolicited(),
        [Untagged::Data(UntaggedData::Exists(2))]
    );
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn appends_with_and_without_waiting() {
    let (mut client, server) = client(&[
        (
            "r1 APPEND x (\\Seen) {3+}\r\nabc\r\n",
            "r1 OK [APPENDUID 7 9] done\r\n",
        ),
        (
            "r2 APPEND x {1+}\r\na {2+}\r\nbc\r\n",
            "r2 NO [TRYCREATE] none\r\n",
        ),
    ])
    .await;
    let uid = client
        .append("x", &[Flag::Seen], None, b"abc")
        .await
        .unwrap();
    assert_eq!(uid.unwrap().1, UidSet::single(Uid::new(9).unwrap()));
    let one = |data: &'static [u8]| {
        let size = data.len() as u64;
        AppendFrom {
            message: AppendMessage {
                size,
                ..AppendMessage::default()
            },
            data,
        }
    };
    let error = client
        .append_from("x", [one(b"a"), one(b"bc")])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&Code::TryCreate));
    drop(client);
    server.await.unwrap();
    let (mut client, server) = with_greeting(
        "* OK [CAPABILITY IMAP4rev1] hi\r\n",
        &[
            ("r1 APPEND x {3}\r\n", "* 5 EXISTS\r\n+ go\r\n"),
            ("abc\r\n", "r1 OK done\r\n"),
            ("r2 APPEND x {3}\r\n", "r2 NO [TOOBIG] no\r\n"),
            ("r3 NOOP\r\n", "r3 OK\r\n"),
            ("r4 APPEND x {3}\r\n", "+ go\r\n"),
            ("ab", ""),
        ],
    )
    .await;
    assert_eq!(client.append("x", &[], None, b"abc").await.unwrap(), None);
    let error = client.append("x", &[], None, b"abc").await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::TooBig));
    client.noop().await.unwrap();
    // A reader that ends early.
    let message = AppendMessage {
        size: 3,
        ..AppendMessage::default()
    };
    let short = AppendFrom {
        message,
        data: &b"ab"[..],
    };
    assert!(client.append_from("x", [short]).await.is_err());
    assert!(matches!(client.noop().await, Err(Error::Misuse(_))));
    drop(client);
    server.abort();
}

#[tokio::test]
async fn large_writes_do_not_wait_for_an_unread_answer() {
    // The server writes more than the pipe holds before it reads on.
    let (near, mut far) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move {
        far.write_all(GREETING.as_bytes()).await.unwrap();
        let mut line = vec![0; 10];
        far.read_exact(&mut line).await.unwrap();
        for n in 1..2000 {
            far.write_all(format!("* {n} EXISTS\r\n").as_bytes())
                .await
                .unwrap();
        }
        let mut rest = vec![0; "r1 APPEND x {100000+}\r\n".len() - 10 + 100_000 + 2];
        far.read_exact(&mut rest).await.unwrap();
        far.write_all(b"r1 OK\r\n").await.unwrap();
    });
    let mut client = Client::over(near, ClientOptions::default()).await.unwrap();
    client
        .append("x", &[], None, &vec![b'a'; 100_000])
        .await
        .unwrap();
    assert_eq!(client.take_unsolicited().len(), 1999);
    server.await.unwrap();
}

#[tokio::test]
async fn idles_and_pipelines() {
    let (mut client, server) = client(&[
        ("r1 IDLE\r\n", "+ idling\r\n* 4 EXISTS\r\n* 2 EXPUNGE\r\n"),
        ("DONE\r\n", "* 5 EXISTS\r\nr1 OK done\r\n"),
        ("r2 IDLE\r\n", "+ \r\n* 6 EXISTS\r\n"),
        (
            "DONE\r\nr3 NOOP\r\nr4 CHECK\r\n",
            "r2 OK\r\nr3 OK\r\n* 7 EXISTS\r\nr4 NO busy\r\n",
        ),
    ])
    .await;
    let mut idle = client.idle().await.unwrap();
    assert_eq!(
        idle.next().await.unwrap(),
        Untagged::Data(UntaggedData::Exists(4))
    );
    let expunge = UntaggedData::Expunge(SeqNum::new(2).unwrap());
    assert_eq!(idle.next().await.unwrap(), Untagged::Data(expunge));
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(20), idle.next()).await;
    assert!(nothing.is_err());
    idle.done().await.unwrap();
    assert_eq!(
        client.take_unsolicited(),
        [Untagged::Data(UntaggedData::Exists(5))]
    );
    let mut idle = client.idle().await.unwrap();
    assert_eq!(
        idle.next().await.unwrap(),
        Untagged::Data(UntaggedData::Exists(6))
    );
    drop(idle);
    let noop = client.start(CommandBody::Noop).await.unwrap();
    let check = client.start(CommandBody::Check).await.unwrap();
    assert!(matches!(client.finish(check).await, Err(Error::No(r)) if r.command == "CHECK"));
    assert!(client.is_done(&noop));
    client.finish(noop).await.unwrap();
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn tells_why_the_connection_ended() {
    let (mut client, server) = client(&[("r1 NOOP\r\n", "* BYE [UNAVAILABLE] down\r\n")]).await;
    let noop = client.start(CommandBody::Noop).await.unwrap();
    client.flush().await.unwrap();
    server.await.unwrap();
    let error = client.finish(noop).await.unwrap_err();
    assert!(
        matches!(&error, Error::Bye { text, .. } if text == "down"),
        "{error:?}"
    );
    let (near, mut far) = tokio::io::duplex(1024);
    far.write_all(b"* BYE too many\r\n").await.unwrap();
    assert!(matches!(
        Client::over(near, ClientOptions::default()).await,
        Err(Error::Bye { .. })
    ));
}

#[tokio::test]
async fn starttls_refuses_what_was_put_in_before_the_handshake() {
    let (mut client, server) = client(&[(
        "r1 STARTTLS\r\n",
        "r1 OK go\r\n* CAPABILITY IMAP4rev1 EVIL\r\n",
    )])
    .await;
    let tls = Tls::danger_accept_any().unwrap();
    let error = client.starttls("localhost", &tls).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)));
    server.abort();
}

#[tokio::test]
async fn speaks_tls_with_the_roots_it_is_given() {
    use std::sync::Arc;

    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certified.cert.der().clone()], key.into())
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    for (tls, good) in [
        (
            Tls::with_roots(certified.cert.pem().as_bytes()).unwrap(),
            true,
        ),
        (Tls::danger_accept_any().unwrap(), true),
        (other_root(), false),
    ] {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let acceptor = acceptor.clone();
        let server = tokio::spawn(async move {
            far.write_all(GREETING.as_bytes()).await?;
            let mut line = [0; 13];
            far.read_exact(&mut line).await?;
            far.write_all(b"r1 OK\r\n").await?;
            let mut io = acceptor.accept(far).await?;
            let mut line = [0; 9];
            io.read_exact(&mut line).await?;
            io.write_all(b"r2 OK\r\n").await?;
            io.flush().await
        });
        let mut client = Client::over(near, ClientOptions::default()).await.unwrap();
        let result = client.starttls("localhost", &tls).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
        if good {
            assert!(client.known_capabilities().is_empty());
            client.noop().await.unwrap();
            server.await.unwrap().unwrap();
        }
    }
}

fn other_root() -> Tls {
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Tls::with_roots(other.cert.pem().as_bytes()).unwrap()
}

/// The dialogue of RFC 5267 §4.3, and a sorted result of message numbers.
#[tokio::test]
async fn results_are_kept_up_to_date() {
    let (mut client, server) = client(&[
        (
            "r1 UID SEARCH RETURN (ALL UPDATE) DELETED\r\n",
            "* ESEARCH (TAG \"r1\") UID ALL 3:4,9\r\nr1 OK will notify\r\n",
        ),
        (
            "r2 SORT RETURN (ALL UPDATE) (SUBJECT) UTF-8 ALL\r\n",
            "* ESEARCH (TAG \"r2\") ALL 3,1,2\r\nr2 OK will notify\r\n",
        ),
        (
            "r3 NOOP\r\n",
            "* ESEARCH (TAG \"r2\") REMOVEFROM (2 1)\r\n* 1 EXPUNGE\r\n\
             * ESEARCH (TAG \"r1\") UID REMOVEFROM (0 4) ADDTO (0 5)\r\n* 3 EXISTS\r\n\
             * ESEARCH (TAG \"r2\") ADDTO (1 3)\r\nr3 OK\r\n",
        ),
        (
            "r4 UID SEARCH RETURN (ALL UPDATE) SEEN\r\n",
            "* ESEARCH (TAG \"r4\") UID\r\n* NO [NOUPDATE \"r4\"] Too many\r\nr4 OK\r\n",
        ),
        ("r5 CANCELUPDATE \"r1\" \"r2\"\r\n", "r5 OK no more\r\n"),
    ])
    .await;
    let search = |key| Search {
        uid: true,
        returns: None,
        charset: None,
        key,
    };
    let ids =
        |result: &LiveResult| -> Vec<u32> { result.ids().iter().map(|id| id.get()).collect() };
    let mut deleted = client
        .search_live(search(SearchKey::Deleted))
        .await
        .unwrap();
    assert_eq!(ids(&deleted), [3, 4, 9]);
    let sort = Sort {
        uid: false,
        returns: None,
        criteria: vec![SortCriterion {
            reverse: false,
            key: SortKey::Subject,
        }],
        charset: "UTF-8".to_owned(),
        key: SearchKey::All,
    };
    let mut sorted = client.sort_live(sort).await.unwrap();
    assert_eq!(ids(&sorted), [3, 1, 2]);
    client.noop().await.unwrap();
    for untagged in client.take_unsolicited() {
        deleted.take(&untagged);
        sorted.take(&untagged);
    }
    assert_eq!(ids(&deleted), [3, 5, 9]);
    assert_eq!(ids(&sorted), [3, 2, 1]);
    assert!(deleted.is_live() && sorted.is_live());
    let refused = client.search_live(search(SearchKey::Seen)).await.unwrap();
    assert!(!refused.is_live() && refused.ids().is_empty());
    client.cancel_update(&[deleted, sorted]).await.unwrap();
    drop(client);
    server.await.unwrap();
}

/// RFC 5255 §4.7.
#[tokio::test]
async fn comparators_are_chosen() {
    let (mut client, server) = client(&[
        (
            "r1 COMPARATOR \"cz;*\" i;basic\r\n",
            "* COMPARATOR i;basic\r\nr1 OK Will use i;basic for collation\r\n",
        ),
        (
            "r2 COMPARATOR\r\n",
            "* COMPARATOR i;basic (i;basic i;octet)\r\nr2 OK\r\n",
        ),
        (
            "r3 COMPARATOR x\r\n",
            "r3 NO [BADCOMPARATOR] None of them\r\n",
        ),
    ])
    .await;
    let chosen = client.comparator(&["cz;*", "i;basic"]).await.unwrap();
    assert_eq!(chosen.active, "i;basic");
    let now = client.comparator(&[]).await.unwrap();
    assert_eq!(now.matching, ["i;basic", "i;octet"]);
    let refused = client.comparator(&["x"]).await.unwrap_err();
    assert!(matches!(refused, Error::No(refusal) if refusal.code == Some(Code::BadComparator)));
    drop(client);
    server.await.unwrap();
}

/// RFC 6203 §6.
#[tokio::test]
async fn what_is_relevant_has_scores() {
    let (mut client, server) = client(&[(
        "r1 UID SORT RETURN (ALL RELEVANCY) (RELEVANCY) UTF-8 FUZZY TEXT Helo\r\n",
        "* ESEARCH (TAG \"r1\") UID ALL 5,10,1:2 RELEVANCY (99 42 4 3)\r\nr1 OK Sort completed.\r\n",
    )])
    .await;
    let found = client
        .relevant(SearchKey::Text(b"Helo".to_vec()))
        .await
        .unwrap();
    let found: Vec<(u32, u8)> = found
        .iter()
        .map(|(uid, score)| (uid.get(), *score))
        .collect();
    assert_eq!(found, [(5, 99), (10, 42), (1, 4), (2, 3)]);
    drop(client);
    server.await.unwrap();
}

/// RFC 5255 §3.2.
#[tokio::test]
async fn languages_are_chosen() {
    let (mut client, server) = client(&[
        (
            "r1 LANGUAGE\r\n",
            "* LANGUAGE (EN DE IT i-default)\r\nr1 OK Supported languages have been enumerated\r\n",
        ),
        (
            "r2 LANGUAGE de-AT en\r\n",
            "* LANGUAGE (DE)\r\nr2 OK Sprachwechsel durch LANGUAGE-Befehl ausgeführt\r\n",
        ),
        (
            "r3 LANGUAGE MUL\r\n",
            "r3 NO Diese Sprache wird nicht unterstützt\r\n",
        ),
    ])
    .await;
    let all = client.language(&[]).await.unwrap();
    assert_eq!(all, ["EN", "DE", "IT", "i-default"]);
    assert_eq!(client.language(&["de-AT", "en"]).await.unwrap(), ["DE"]);
    let Err(Error::No(refusal)) = client.language(&["MUL"]).await else {
        panic!("refused")
    };
    assert_eq!(refusal.text, "Diese Sprache wird nicht unterstützt");
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn access_rights() {
    let (mut client, server) = client(&[
        ("r1 SETACL Team bob +lr\r\n", "r1 OK\r\n"),
        (
            "r2 GETACL Team\r\n",
            "* ACL Team ann lrswipkxtea bob lr\r\nr2 OK\r\n",
        ),
        (
            "r3 MYRIGHTS Team\r\n",
            "* MYRIGHTS Team lrswipkxtea\r\nr3 OK\r\n",
        ),
        (
            "r4 LISTRIGHTS Team bob\r\n",
            "* LISTRIGHTS Team bob l rs w\r\nr4 OK\r\n",
        ),
        ("r5 DELETEACL Team bob\r\n", "r5 OK\r\n"),
    ])
    .await;
    let add = RightsChange::Add;
    client.set_acl("Team", "bob", add, "lr").await.unwrap();
    let acl = client.acl("Team").await.unwrap();
    assert_eq!(acl.len(), 2);
    assert_eq!(
        (&acl[1].identifier[..], &acl[1].rights[..]),
        (&b"bob"[..], &b"lr"[..])
    );
    assert_eq!(client.my_rights("Team").await.unwrap(), "lrswipkxtea");
    let listed = client.list_rights("Team", "bob").await.unwrap();
    assert_eq!(listed.required, "l");
    assert_eq!(listed.optional, ["rs", "w"]);
    client.delete_acl("Team", "bob").await.unwrap();
    drop(client);
    server.await.unwrap();
}

/// RFC 4467 §7.
#[tokio::test]
async fn urls_are_authorized_and_fetched() {
    let (mut client, server) = client(&[
        (
            "r1 GENURLAUTH imap://joe@h/INBOX/;uid=20;urlauth=anonymous INTERNAL\r\n",
            "* GENURLAUTH \"imap://joe@h/INBOX/;uid=20;urlauth=anonymous:internal:91\"\r\nr1 OK\r\n",
        ),
        (
            "r2 URLFETCH imap://a@h/x/;uid=1 imap://b@h/x/;uid=2\r\n",
            "* URLFETCH imap://b@h/x/;uid=2 {4}\r\na\r\nb \"imap://a@h/x/;uid=1\" NIL\r\nr2 OK\r\n",
        ),
        ("r3 RESETKEY INBOX\r\n", "r3 OK [URLMECH INTERNAL] mechs\r\n"),
        ("r4 RESETKEY\r\n", "r4 OK All keys removed\r\n"),
    ])
    .await;
    let urls = client
        .authorize_urls(&["imap://joe@h/INBOX/;uid=20;urlauth=anonymous"])
        .await
        .unwrap();
    assert_eq!(
        urls,
        ["imap://joe@h/INBOX/;uid=20;urlauth=anonymous:internal:91"]
    );
    let found = client.fetch_urls(&["imap://a@h/x/;uid=1", "imap://b@h/x/;uid=2"]);
    let found = found.await.unwrap();
    assert_eq!(found[0], None);
    assert_eq!(found[1].as_deref(), Some(&b"a\r\nb"[..]));
    client.reset_url_key(Some("INBOX")).await.unwrap();
    client.reset_url_key(None).await.unwrap();
    drop(client);
    server.await.unwrap();
}

/// RFC 5524 §4.
#[tokio::test]
async fn urls_are_fetched_decoded() {
    let (mut client, server) = client(&[(
        "r1 URLFETCH (imap://a@h/x/;uid=1 BODYPARTSTRUCTURE BINARY)\r\n",
        "* URLFETCH imap://a@h/x/;uid=1 (BODYPARTSTRUCTURE (\"IMAGE\" \"PNG\" NIL NIL NIL \"BINARY\" 3)) \
         (BINARY ~{3}\r\na\0b)\r\nr1 OK\r\n",
    )])
    .await;
    let wanted = UrlFetch {
        structure: true,
        data: Some(UrlData::Binary),
        ..UrlFetch::simple("imap://a@h/x/;uid=1")
    };
    let found = client.fetch_urls_with(vec![wanted]).await.unwrap();
    let [
        UrlContent::Items {
            structure: Some(_),
            data,
        },
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!(data, &Some((UrlData::Binary, Some(b"a\0b".to_vec()))));
    drop(client);
    server.await.unwrap();
}

/// RFC 4469 §3, to a server that wants to be asked before each literal.
#[tokio::test]
async fn a_message_of_parts_is_sent_part_by_part() {
    let (mut client, server) = with_greeting(
        "* OK [CAPABILITY IMAP4rev1 CATENATE] hi\r\n",
        &[
            (
                "r1 APPEND Drafts (\\Draft) CATENATE (URL /INBOX/;UID=2 TEXT {3}\r\n",
                "+ go on\r\n",
            ),
            ("abc URL \"/Two words/;UID=3\" TEXT {1}\r\n", "+ go on\r\n"),
            ("d)\r\n", "r1 OK [APPENDUID 1 7] done\r\n"),
            (
                "r2 APPEND Drafts CATENATE (TEXT {2}\r\n",
                "r2 NO [TRYCREATE] no\r\n",
            ),
            ("r3 NOOP\r\n", "r3 OK done\r\n"),
        ],
    )
    .await;
    let parts = [
        Catenated::Url("/INBOX/;UID=2"),
        Catenated::Text(b"abc"),
        Catenated::Url("/Two words/;UID=3"),
        Catenated::Text(b"d"),
    ];
    let placed = client
        .append_catenate("Drafts", &[Flag::Draft], None, &parts)
        .await
        .unwrap();
    assert_eq!(placed.unwrap().0.get(), 1);
    let text = [Catenated::Text(b"ab")];
    let refused = client.append_catenate("Drafts", &[], None, &text).await;
    assert_eq!(refused.unwrap_err().code(), Some(&Code::TryCreate));
    client.noop().await.unwrap();
    drop(client);
    server.await.unwrap();
}

/// A server that ends its compressed stream has said all that it says.
#[tokio::test]
async fn the_end_of_the_compressed_stream_is_the_end() {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move {
        far.write_all(GREETING.as_bytes()).await.unwrap();
        let mut command = [0; 21];
        far.read_exact(&mut command).await.unwrap();
        assert_eq!(&command, b"r1 COMPRESS DEFLATE\r\n");
        far.write_all(b"r1 OK go\r\n").await.unwrap();
        let mut packed = Vec::with_capacity(100);
        flate2::Compress::new(flate2::Compression::fast(), false)
            .compress_vec(b"* OK more\r\n", &mut packed, flate2::FlushCompress::Finish)
            .unwrap();
        far.write_all(&packed).await.unwrap();
        // It does not close the connection by itself.
        far
    });
    let mut client = Client::over(near, ClientOptions::default()).await.unwrap();
    client.compress().await.unwrap();
    assert!(client.noop().await.is_err());
    drop(server.await.unwrap());
}
