//! How sessions end: shutdown of the server, clients that do not read, clients that vanish.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_testkit::strict::StrictClient;
use restante_testkit::world::{World, WorldOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn ends(task: tokio::task::JoinHandle<()>) {
    let end = tokio::time::timeout(Duration::from_secs(60), task).await;
    end.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn shutdown_is_told_in_every_state() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 1).await.expect("a message");
    let inputs = [
        "",
        "a LOGIN alice secret\r\n",
        "a LOGIN alice secret\r\nb SELECT INBOX\r\n",
        "a LOGIN alice secret\r\nb SELECT INBOX\r\nc IDLE\r\n",
        "a LOGIN alice secret\r\nb NOO",
    ];
    let mut sessions = Vec::new();
    for input in inputs {
        let (mut stream, task) = world.session(true);
        stream.write_all(input.as_bytes()).await.expect("it reads");
        sessions.push((stream, task));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.shut_down();
    for (mut stream, task) in sessions {
        let mut told = String::new();
        stream.read_to_string(&mut told).await.expect("text");
        let last = told.lines().last().unwrap_or_default();
        assert!(last.starts_with("* BYE [UNAVAILABLE] "), "{told}");
        ends(task).await;
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let mut options = WorldOptions::default();
    options.limits.write_timeout = Duration::from_millis(100);
    let world = World::new(options).await;
    let (mut stream, task) = world.session(true);
    let mut input = "a LOGIN alice secret\r\n".to_owned();
    // More answers than all buffers between the two can hold.
    input.extend((0..4000).map(|_| "b CAPABILITY\r\n"));
    let write = stream.write_all(input.as_bytes());
    let written = tokio::time::timeout(Duration::from_secs(60), write).await;
    written.expect("it takes the commands or ends").ok();
    ends(task).await;
}

#[tokio::test]
async fn who_vanishes_is_forgotten() {
    let world = World::new(WorldOptions::default()).await;
    for input in [
        "",
        "a LOGIN alice",
        "a LOGIN alice secret\r\nb IDLE\r\n",
        "a AUTHENTICATE PLAIN\r\n",
    ] {
        let (mut stream, task) = world.session(true);
        stream.write_all(input.as_bytes()).await.expect("it reads");
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(stream);
        ends(task).await;
    }
}

#[tokio::test]
async fn a_delivery_is_announced_at_once() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 1).await.expect("a message");
    let mut client = StrictClient::new(world.connect(true));
    client.response().await.expect("a greeting");
    for command in ["LOGIN alice secret", "SELECT INBOX"] {
        assert!(client.command(command).await.expect("an answer").is_ok());
    }
    client.send("i IDLE").await.expect("it is sent");
    client.response().await.expect("+ idling");
    let mut fastest = Duration::MAX;
    // The machine may be busy; it is not all the time.
    for _ in 0..500 {
        world
            .message("INBOX", &[], None, b"Subject: x\r\n\r\ny")
            .await
            .expect("it is delivered");
        let delivered = Instant::now();
        // EXISTS, and in IMAP4rev1 RECENT.
        client.response().await.expect("EXISTS");
        fastest = fastest.min(delivered.elapsed());
        client.response().await.expect("RECENT");
        if fastest < Duration::from_millis(5) {
            return;
        }
    }
    panic!("{fastest:?}");
}

/// A client may end its sending right after its last command: it is answered all the same.
#[tokio::test]
async fn a_client_that_ends_its_sending_is_answered() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 4).await.expect("messages");
    let (mut stream, task) = world.session(true);
    let commands = "x LOGIN alice secret\r\ny SELECT INBOX\r\nz SEARCH BODY Text\r\n";
    stream.write_all(commands.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("ended");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("* SEARCH 1 2 3 4\r\nz OK"), "{answer}");
    ends(task).await;
}

/// The longest token that OAUTHBEARER takes fits in a line, with the command and after it; a longer one is no
/// reason to keep reading. Where no tokens are taken, lines before the login are short.
#[tokio::test]
async fn a_token_may_be_long() {
    let mut options = WorldOptions::default();
    options.offers.tokens = true;
    let world = World::new(options).await;
    let answer = async |world: &World, bytes: usize, initial: bool| {
        let begin = "n,,\x01auth=Bearer good\x01x=";
        let rest = "a".repeat(bytes - begin.len() - 2);
        let response = STANDARD.encode(format!("{begin}{rest}\x01\x01"));
        let (mut stream, task) = world.session(true);
        let input = match initial {
            true => format!("x AUTHENTICATE OAUTHBEARER {response}\r\n"),
            false => format!("x AUTHENTICATE OAUTHBEARER\r\n{response}\r\n"),
        };
        // What is too long may not be read to its end.
        let _ = stream.write_all(input.as_bytes()).await;
        let _ = stream.write_all(b"y LOGOUT\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        ends(task).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    for initial in [true, false] {
        let longest = answer(&world, 16 << 10, initial).await;
        assert!(longest.contains("x OK [CAPABILITY"), "{longest}");
        let longer = answer(&world, 30 << 10, initial).await;
        assert!(!longer.contains("x OK"), "{longer}");
        let world = World::new(WorldOptions::default()).await;
        let passwords = answer(&world, 16 << 10, initial).await;
        assert!(!passwords.contains("x OK"), "{passwords}");
    }
}

/// A line of 8,000 octets is taken before the login as well (RFC 2683 §3.2.1.5); one that is too long is a BAD, and the
/// next one is a command again.
#[tokio::test]
async fn lines_of_8000_octets_are_taken() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 1).await.expect("a message");
    let line = |begin: &str, of: &str, end: &str, octets: usize| {
        let fill = of.repeat((octets - begin.len() - end.len()) / of.len());
        format!("{begin}{fill}{end}\r\n")
    };
    let input = [
        line("a LOGIN alice ", "x", "", 8_000),
        line("b LOGIN alice ", "x", "", 9_000),
        "c LOGIN alice secret\r\nd SELECT INBOX\r\n".to_owned(),
        line("e FETCH 1", ",1", " (UID)", 64 << 10),
        line("f FETCH 1", ",1", " (UID)", 300 << 10),
        "g LOGOUT\r\n".to_owned(),
    ];
    let (mut stream, task) = world.session(true);
    stream
        .write_all(input.concat().as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let begins = [
        "a NO [AUTHENTICATIONFAILED] ",
        "b BAD [LIMIT] ",
        "c OK ",
        "d OK ",
    ];
    let rest = [
        "* 1 FETCH (UID 1)",
        "e OK ",
        "f BAD [LIMIT] ",
        "* BYE ",
        "g OK ",
    ];
    let mut lines = answer.lines();
    for begin in begins.iter().chain(&rest) {
        assert!(
            lines.any(|line| line.starts_with(begin)),
            "{begin}: {answer}"
        );
    }
    ends(task).await;
}

/// A search that reads much gives way: on a single thread another session is answered in the middle of it.
#[tokio::test(flavor = "current_thread")]
async fn a_search_holds_up_nobody() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 1).await.expect("a message");
    let text = format!("Subject: x\r\n\r\n{}", "lines of words\r\n".repeat(1 << 16));
    for _ in 0..24 {
        let added = world.message("INBOX", &[], None, text.as_bytes());
        added.await.expect("a message");
    }
    let mut searcher = StrictClient::new(world.connect(true));
    let mut other = StrictClient::new(world.connect(true));
    for client in [&mut searcher, &mut other] {
        client.response().await.expect("a greeting");
        for command in ["LOGIN alice secret", "SELECT INBOX"] {
            assert!(client.command(command).await.expect("an answer").is_ok());
        }
    }
    searcher.send("s SEARCH BODY nothing").await.expect("sent");
    assert!(other.command("NOOP").await.expect("an answer").is_ok());
    let found = tokio::time::timeout(Duration::ZERO, searcher.response()).await;
    assert!(found.is_err(), "the other had to wait: {found:?}");
    searcher.response().await.expect("SEARCH");
    searcher.response().await.expect("OK");
}
