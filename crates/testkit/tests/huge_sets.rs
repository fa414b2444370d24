//! Sets of many ranges in one command line, as clients send what they know (RFC 7162 §4).

use restante_proto::types::{Code, Condition, UidSet, UntaggedData};
use restante_testkit::strict::{Answer, StrictClient};
use restante_testkit::world::{World, WorldOptions};

/// So that every second UID makes a line of 8192 octets.
const MESSAGES: u32 = 3600;

async fn client(world: &World) -> StrictClient {
    let mut client = StrictClient::new(world.connect(true));
    client.response().await.expect("grammar").expect("greeting");
    command(&mut client, "LOGIN alice secret").await;
    client
}

async fn command(client: &mut StrictClient, command: &str) -> Answer {
    let answer = client.command(command).await.expect("grammar");
    let begin = &command[..command.len().min(40)];
    assert!(answer.is_ok(), "{begin}: {:?}", answer.tagged);
    answer
}

fn every_second(first: u32) -> String {
    let numbers: Vec<_> = (first..=MESSAGES)
        .step_by(2)
        .map(|uid| uid.to_string())
        .collect();
    numbers.join(",")
}

fn text(uids: &UidSet) -> String {
    let ranges = uids.ranges.iter().filter_map(|range| range.numbers());
    let ranges: Vec<_> = ranges
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}:{last}"),
        })
        .collect();
    ranges.join(",")
}

/// The UIDs of VANISHED, and the number of FETCH responses.
fn told(answer: &Answer) -> (String, usize) {
    let mut vanished = String::new();
    let mut fetches = 0;
    for data in &answer.data {
        match data {
            UntaggedData::Vanished { earlier, uids } => {
                assert!(earlier);
                vanished = text(uids);
            }
            UntaggedData::Fetch { .. } => fetches += 1,
            _ => {}
        }
    }
    (vanished, fetches)
}

#[tokio::test]
async fn lines_of_many_uids() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", MESSAGES).await.expect("a mailbox");
    let mut client = client(&world).await;
    command(&mut client, "ENABLE QRESYNC").await;
    let selected = command(&mut client, "SELECT INBOX").await;
    let (mut validity, mut since) = (0, 0);
    for status in &selected.statuses {
        match status.code {
            Some(Code::UidValidity(value)) => validity = value.get(),
            Some(Code::HighestModSeq(value)) => since = value.get(),
            _ => {}
        }
    }
    let (odd, even) = (every_second(1), every_second(2));
    assert!(odd.len() > 8192);
    let store = format!("UID STORE {odd} (UNCHANGEDSINCE {since}) +FLAGS.SILENT (\\Deleted)");
    let half = MESSAGES as usize / 2;
    assert_eq!(told(&command(&mut client, &store).await).1, half);
    let expunged = command(&mut client, &format!("UID EXPUNGE {odd}")).await;
    let vanished = expunged.data.iter().find_map(|data| match data {
        UntaggedData::Vanished { uids, .. } => Some(text(uids)),
        _ => None,
    });
    assert_eq!(vanished.as_deref(), Some(odd.as_str()));
    command(&mut client, "UNSELECT").await;

    let known = |sets: &str| format!("SELECT INBOX (QRESYNC ({validity} {since} {sets}))");
    let answer = command(&mut client, &known(&odd)).await;
    assert_eq!(told(&answer), (odd.clone(), 0));
    let answer = command(&mut client, &known(&even)).await;
    assert_eq!(told(&answer), (String::new(), 0));
    // The sample has all messages: the client knows all.
    let sample = format!("1:{MESSAGES} (1:{half} {even})");
    let answer = command(&mut client, &known(&sample)).await;
    assert_eq!(told(&answer), (String::new(), 0));
    let fetch = format!("UID FETCH {odd} (FLAGS) (CHANGEDSINCE {since} VANISHED)");
    assert_eq!(told(&command(&mut client, &fetch).await), (odd, 0));
    let fetch = format!("UID FETCH {even} (FLAGS)");
    assert_eq!(told(&command(&mut client, &fetch).await).1, half);
    world.check().await.expect("a good store");
}

/// What is named many times is answered once; too many ranges, and too long a line, are refused, and the connection
/// goes on.
#[tokio::test]
async fn sets_that_overlap_and_sets_that_are_too_many() {
    let world = World::new(WorldOptions::default()).await;
    world.mailbox("INBOX", 5).await.expect("a mailbox");
    let mut client = client(&world).await;
    command(&mut client, "ENABLE QRESYNC").await;
    let selected = command(&mut client, "SELECT INBOX").await;
    let validity = selected
        .statuses
        .iter()
        .find_map(|status| match status.code {
            Some(Code::UidValidity(value)) => Some(value.get()),
            _ => None,
        });
    let validity = validity.expect("UIDVALIDITY");
    let repeated = |range: &str, times| vec![range; times].join(",");
    for range in ["1:4294967295", "4294967295:1", "*:1", "1:*"] {
        let fetch = format!("UID FETCH {} (FLAGS)", repeated(range, 10_000));
        assert_eq!(told(&command(&mut client, &fetch).await).1, 5, "{range}");
    }
    let store = format!("STORE {} +FLAGS.SILENT ($Work)", repeated("5:1,*", 10_000));
    assert_eq!(told(&command(&mut client, &store).await).1, 5);
    // A sample of all numbers that there can be: the first five match.
    for sample in [
        "1:4294967295 1:4294967295",
        "4294967295:1 4294967295:1",
        "1:3 1:2",
    ] {
        let select = format!("SELECT INBOX (QRESYNC ({validity} 1 1:4294967295 ({sample})))");
        assert_eq!(
            told(&command(&mut client, &select).await),
            (String::new(), 5)
        );
    }
    for command in [
        format!("UID FETCH {} (FLAGS)", repeated("1", 70_000)),
        format!(
            "SELECT INBOX (QRESYNC ({validity} 1 {}))",
            repeated("1", 70_000)
        ),
        format!("UID EXPUNGE {}", repeated("1", 200_000)),
    ] {
        let answer = client.command(&command).await.expect("grammar");
        assert_eq!(
            answer.tagged.condition,
            Condition::Bad,
            "{:?}",
            answer.tagged
        );
    }
    command(&mut client, "CHECK").await;
    world.check().await.expect("a good store");
}
