//! COMPRESS=DEFLATE where a transcript cannot go: what comes in one write with the command, bombs,
//! streams that end as no RFC allows.

use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use restante_testkit::world::{World, WorldOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

const START: &[u8] = b"a LOGIN alice secret\r\nb COMPRESS DEFLATE\r\n";
const LAST_PLAIN: &str = "b OK DEFLATE active\r\n";

fn deflate(plain: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut packed = Vec::with_capacity(plain.len() + 1024);
    Compress::new(Compression::default(), false)
        .compress_vec(plain, &mut packed, flush)
        .expect("packs");
    packed
}

/// Everything until the server closes: what came plain, and what came compressed.
async fn read_all(stream: &mut DuplexStream) -> (String, String) {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all));
    read.await.expect("it ends").expect("bytes");
    let start = all
        .windows(LAST_PLAIN.len())
        .position(|window| window == LAST_PLAIN.as_bytes())
        .expect("an OK in plain")
        + LAST_PLAIN.len();
    let mut plain = Vec::with_capacity(1 << 20);
    let mut inflate = Decompress::new(false);
    inflate
        .decompress_vec(&all[start..], &mut plain, FlushDecompress::Sync)
        .expect("DEFLATE");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&all[..start]), text(&plain))
}

#[tokio::test]
async fn what_follows_the_command_in_one_write_is_compressed() {
    let world = World::new(WorldOptions::default()).await;
    let (mut stream, task) = world.session(true);
    let mut input = START.to_vec();
    input.extend(deflate(b"c NOOP\r\nd LOGOUT\r\n", FlushCompress::Sync));
    stream.write_all(&input).await.expect("it reads");
    let (_, told) = read_all(&mut stream).await;
    assert!(told.starts_with("c OK "), "{told}");
    assert!(told.contains("\r\nd OK LOGOUT"), "{told}");
    task.await.expect("no panic");
}

#[tokio::test]
async fn a_client_may_end_its_stream_or_just_go() {
    let world = World::new(WorldOptions::default()).await;
    for flush in [FlushCompress::Finish, FlushCompress::Partial] {
        let (mut stream, task) = world.session(true);
        let mut input = START.to_vec();
        input.extend(deflate(b"c NOOP\r\n", flush));
        stream.write_all(&input).await.expect("it reads");
        stream.shutdown().await.expect("it closes");
        let (_, told) = read_all(&mut stream).await;
        assert!(told.starts_with("c OK "), "{told}");
        task.await.expect("no panic");
    }
}

/// 64 MiB of one line come in 64 KiB: the framer's limit ends it long before.
#[tokio::test]
async fn a_bomb_is_an_overlong_line() {
    let world = World::new(WorldOptions::default()).await;
    let (mut stream, task) = world.session(true);
    stream.write_all(START).await.expect("it reads");
    let mut plain = b"c NOOP ".to_vec();
    plain.resize(64 << 20, b'x');
    plain.extend_from_slice(b"\r\nd LOGOUT\r\n");
    let packed = deflate(&plain, FlushCompress::Sync);
    assert!(packed.len() < 128 << 10);
    let _ = stream.write_all(&packed).await;
    let (_, told) = read_all(&mut stream).await;
    assert!(!told.contains("c OK"), "{told}");
    assert!(told.contains("BAD") || told.contains("BYE"), "{told}");
    task.await.expect("no panic");
}

#[tokio::test]
async fn what_is_no_deflate_ends_the_session() {
    let world = World::new(WorldOptions::default()).await;
    let (mut stream, task) = world.session(true);
    stream.write_all(START).await.expect("it reads");
    stream.write_all(&[0xff; 100]).await.expect("it reads");
    read_all(&mut stream).await;
    task.await.expect("no panic");
}

/// RFC 8437 §3, §4.1: the client's compression ends with UNAUTHENTICATE's CRLF, and it need not wait
/// for the answer.
#[tokio::test]
async fn plain_commands_may_follow_unauthenticate_at_once() {
    let world = World::new(WorldOptions::default()).await;
    for flush in [FlushCompress::Sync, FlushCompress::Finish] {
        let (mut stream, task) = world.session(true);
        let mut input = START.to_vec();
        input.extend(deflate(b"c NOOP\r\nd UNAUTHENTICATE\r\n", flush));
        input.extend_from_slice(b"e LOGIN alice secret\r\nf LOGOUT\r\n");
        stream.write_all(&input).await.expect("it reads");
        let mut all = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all));
        read.await.expect("it ends").expect("bytes");
        let told = String::from_utf8_lossy(&all);
        assert!(
            told.contains("\ne OK ") || told.contains("e OK ["),
            "{told}"
        );
        assert!(told.contains("\r\nf OK LOGOUT"), "{told}");
        task.await.expect("no panic");
    }
}
