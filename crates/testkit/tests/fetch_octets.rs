//! Octets of messages that are larger than what is read at once, and of messages that are damaged.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_proto::types::{Code, Condition, FetchItem, UntaggedData};
use restante_store::{EmbeddedOptions, Store};
use restante_testkit::strict::{Answer, StrictClient};
use restante_testkit::world::{World, WorldOptions};

async fn client(world: &World) -> StrictClient {
    let mut client = StrictClient::new(world.connect(true));
    client.response().await.expect("grammar").expect("greeting");
    for command in ["LOGIN alice secret", "EXAMINE INBOX"] {
        let answer = client.command(command).await.expect("grammar");
        assert!(answer.is_ok(), "{command}");
    }
    client
}

/// The octets of every item of an answer, in order.
fn octets(answer: &Answer) -> Vec<Vec<u8>> {
    let items = answer.data.iter().flat_map(|data| match data {
        UntaggedData::Fetch { items, .. } => items.as_slice(),
        _ => &[],
    });
    items
        .filter_map(|item| match item {
            FetchItem::Section { data, .. } | FetchItem::Binary { data, .. } => {
                Some(data.as_deref().unwrap_or_default().to_vec())
            }
            FetchItem::Rfc822(data) => Some(data.as_deref().unwrap_or_default().to_vec()),
            _ => None,
        })
        .collect()
}

/// Numbers that look like chance, the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

fn lines(count: usize) -> String {
    (0..count)
        .map(|line| format!("This is line {line} of a text.\r\n"))
        .collect()
}

fn wrapped(octets: &[u8]) -> String {
    let text = STANDARD.encode(octets);
    let lines = text.as_bytes().chunks(76);
    lines
        .map(|line| format!("{}\r\n", String::from_utf8_lossy(line)))
        .collect()
}

#[tokio::test]
async fn every_part_of_a_large_message_is_what_it_was() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 0).await.expect("a mailbox");
    let mut chance = Chance(7);
    let data: Vec<u8> = (0..200_000).map(|_| chance.below(256) as u8).collect();
    let (text, encoded) = (lines(5000), wrapped(&data));
    let encoded = encoded.trim_end();
    let quoted = text.replace("line", "=6Cine");
    let header = format!(
        "Subject: large\r\nX-Long: {}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        "x".repeat(100_000)
    );
    let message = format!(
        "{header}--b\r\n\r\n{text}\r\n--b\r\nContent-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--b\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}\r\n--b--\r\n"
    );
    let bytes = message.as_bytes();
    world
        .message("INBOX", &[], None, bytes)
        .await
        .expect("it is taken");
    let mut client = client(&world).await;
    let wanted: [(&str, &[u8]); 9] = [
        ("BODY.PEEK[]", bytes),
        ("BODY.PEEK[HEADER]", header.as_bytes()),
        ("BODY.PEEK[TEXT]", &bytes[header.len()..]),
        ("BODY.PEEK[1]", text.as_bytes()),
        ("BODY.PEEK[2]", encoded.as_bytes()),
        (
            "BODY.PEEK[HEADER.FIELDS (Subject)]",
            b"Subject: large\r\n\r\n",
        ),
        ("BINARY.PEEK[1]", text.as_bytes()),
        ("BINARY.PEEK[2]", &data),
        ("BINARY.PEEK[3]", text.as_bytes()),
    ];
    for (name, whole) in wanted {
        let answer = client
            .command(&format!("FETCH 1 {name}"))
            .await
            .expect("grammar");
        assert!(octets(&answer) == [whole], "{name}: {:?}", answer.tagged);
        for _ in 0..8 {
            let (offset, length) = (
                chance.below(whole.len() + 10),
                1 + chance.below(whole.len()),
            );
            let command = format!("FETCH 1 {name}<{offset}.{length}>");
            let answer = client.command(&command).await.expect("grammar");
            let start = offset.min(whole.len());
            let part = &whole[start..(start + length).min(whole.len())];
            assert!(octets(&answer) == [part], "{command}: {:?}", answer.tagged);
        }
    }
    // Piece by piece, forwards and once back to the beginning.
    let mut pieces = Vec::new();
    for offset in (0..data.len()).step_by(30_000) {
        let command = format!("FETCH 1 BINARY.PEEK[2]<{offset}.30000>");
        let answer = client.command(&command).await.expect("grammar");
        pieces.extend(octets(&answer).concat());
    }
    assert!(pieces == data);
    let first = "FETCH 1 BINARY.PEEK[2]<0.10>";
    let answer = client.command(first).await.expect("grammar");
    assert_eq!(octets(&answer), [&data[..10]]);
    let answer = client
        .command("FETCH 1 (BINARY.SIZE[2] BINARY.SIZE[3])")
        .await
        .expect("grammar");
    let UntaggedData::Fetch { items, .. } = &answer.data[0] else {
        panic!("no FETCH: {answer:?}");
    };
    let sizes: Vec<u64> = items
        .iter()
        .filter_map(|item| match item {
            FetchItem::BinarySize(_, size) => Some(*size),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [data.len() as u64, text.len() as u64]);
}

/// Changes one octet of the first file below `directory` that has `mark`.
fn damage(directory: &Path, mark: &[u8]) {
    let mut directories = vec![directory.to_path_buf()];
    let mut done = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).expect("a file");
            if let Some(at) = bytes.windows(mark.len()).position(|part| part == mark) {
                bytes[at] ^= 1;
                fs::write(&path, bytes).expect("written");
                done += 1;
            }
        }
    }
    assert!(done > 0, "the mark is in no file");
}

#[tokio::test]
async fn damaged_messages_leave_the_others_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = EmbeddedOptions::default();
    options.segment_bytes = 4 << 20;
    let store = Store::open(directory.path(), options)
        .await
        .expect("a store");
    let world = World::on(store, WorldOptions::default()).await;
    world.mailbox("INBOX", 0).await.expect("a mailbox");
    let head = "Subject: x\r\nContent-Type: application/octet-stream\r\n\r\n";
    let good = format!("{head}good\r\n");
    let small = format!("{head}MARK-OF-THE-SMALL-ONE\r\n");
    let middle = format!("{head}{}MARK-OF-THE-MIDDLE-ONE\r\n", lines(5000));
    let large = format!(
        "{head}{}MARK-OF-THE-LARGE-ONE\r\n{}",
        lines(20_000),
        lines(60_000)
    );
    for message in [&good, &small, &middle, &large, &good] {
        world
            .message("INBOX", &[], None, message.as_bytes())
            .await
            .expect("it is taken");
    }
    for mark in [
        "MARK-OF-THE-SMALL-ONE",
        "MARK-OF-THE-MIDDLE-ONE",
        "MARK-OF-THE-LARGE-ONE",
    ] {
        damage(directory.path(), mark.as_bytes());
    }
    let mut client = client(&world).await;
    let answer = client
        .command("FETCH 1:* (UID BODY.PEEK[])")
        .await
        .expect("grammar");
    assert_eq!(answer.tagged.condition, Condition::No);
    assert_eq!(answer.tagged.code, Some(Code::Corruption));
    assert_eq!(answer.data.len(), 5, "all are told");
    let octets = octets(&answer);
    let lengths: Vec<usize> = octets.iter().map(Vec::len).collect();
    // Of the small one nothing could be sent; what was announced of the others was.
    assert_eq!(lengths, [good.len(), middle.len(), large.len(), good.len()]);
    assert_eq!(octets[0], good.as_bytes());
    assert_eq!(octets[3], good.as_bytes());
    assert!(large.as_bytes().starts_with(&octets[2][..500_000]));
    assert!(octets[2].ends_with(&large.as_bytes()[large.len() - 500_000..]));
    assert!(
        client
            .command("FETCH 1:* ENVELOPE")
            .await
            .expect("grammar")
            .is_ok()
    );
}

/// Where the messages lie is known of many at once, and then remembered: it makes no difference.
#[tokio::test]
async fn many_messages_at_once_are_as_one_by_one() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 0).await.expect("a mailbox");
    let message = |n: usize| {
        let text = lines(n % 7);
        format!("Subject: number {n}\r\nX-{n}: a\r\n b\r\nTO: x\r\n\r\n{text}")
    };
    for n in 1..=70 {
        let text = message(n);
        let taken = world.message("INBOX", &[], None, text.as_bytes()).await;
        taken.expect("it is taken");
    }
    let mut client = client(&world).await;
    let items = [
        "BODY.PEEK[]",
        "BODY.PEEK[HEADER.FIELDS (To x-7 \"subject\" X-70)]",
        "BODY.PEEK[HEADER.FIELDS.NOT (To x-7)]",
        "BODY.PEEK[HEADER.FIELDS (To)]<3.10>",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[TEXT]<10.40>",
        "(BODY.PEEK[HEADER] BODY.PEEK[] ENVELOPE)",
        "BODY.PEEK[1]",
        "BINARY.PEEK[1]",
    ];
    for item in items {
        let mut expected = Vec::new();
        for n in 1..=70 {
            let answer = client.command(&format!("FETCH {n} {item}")).await;
            expected.extend(octets(&answer.expect("grammar")));
        }
        assert!(expected.len() >= 70, "{item}");
        // The second time from memory; in between others of the same block.
        for set in ["1:70", "20:40", "1:70"] {
            let answer = client.command(&format!("FETCH {set} {item}")).await;
            let answer = answer.expect("grammar");
            assert!(answer.is_ok(), "{item}");
            let each = expected.len() / 70;
            let range = if set == "1:70" { 0..70 } else { 19..40 };
            let range = range.start * each..range.end * each;
            assert_eq!(octets(&answer), expected[range], "{item} of {set}");
        }
    }
    let whole = client
        .command("FETCH 1:70 BODY.PEEK[]")
        .await
        .expect("grammar");
    for (n, text) in octets(&whole).into_iter().enumerate() {
        assert_eq!(text, message(n + 1).as_bytes());
    }
}
