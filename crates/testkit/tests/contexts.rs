//! Results that are kept up to date equal what the same command finds again, whatever happens.

use std::num::NonZeroU32;
use std::time::Duration;

use restante_proto::types::{Response, UntaggedData};
use restante_testkit::strict::StrictClient;
use restante_testkit::world::{World, WorldOptions};

/// What is kept up to date: the command, and what was told of its result.
struct Kept {
    command: &'static str,
    tag: String,
    result: Vec<NonZeroU32>,
}

const COMMANDS: [&str; 10] = [
    "UID SEARCH RETURN (UPDATE ALL) FLAGGED",
    "SEARCH RETURN (UPDATE ALL) OR SEEN KEYWORD blue",
    "UID SEARCH RETURN (UPDATE ALL) NOT BODY even UNSEEN",
    "SEARCH RETURN (UPDATE ALL) UID 5:* NOT UID *",
    "UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 UNFLAGGED",
    "SORT RETURN (UPDATE ALL) (SUBJECT REVERSE SIZE) UTF-8 OR FLAGGED SEEN",
    "SORT RETURN (UPDATE ALL) (SIZE) UTF-8 ALL",
    "UID SORT RETURN (UPDATE ALL) (FROM) UTF-8 NOT KEYWORD blue",
    "UID SEARCH RETURN (UPDATE ALL) OLDER 5 YOUNGER 20",
    "SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 NOT (YOUNGER 3 UNSEEN) OLDER 2",
];

/// A generator of numbers that anybody can repeat.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) as u32) % below
    }
}

async fn start(world: &World, qresync: bool) -> StrictClient {
    let mut client = StrictClient::new(world.connect(true));
    let greeting = client.response().await.expect("a greeting");
    assert!(matches!(greeting, Some(Response::Status(_))));
    for command in ["LOGIN alice secret", "ENABLE QRESYNC", "SELECT INBOX"] {
        if command.starts_with("ENABLE") && !qresync {
            continue;
        }
        let answer = client.command(command).await.expect(command);
        assert!(answer.is_ok(), "{command}");
    }
    client
}

/// Sends a command, and does to the results what comes.
async fn command(client: &mut StrictClient, kept: &mut [Kept], command: &str) -> Vec<UntaggedData> {
    let answer = client.command(command).await.expect(command);
    for data in &answer.data {
        match data {
            UntaggedData::Esearch(esearch) => {
                let tag = esearch.correlator.tag.as_ref().map(|tag| tag.as_str());
                let of = |kept: &&mut Kept| Some(&*kept.tag) == tag;
                if let Some(kept) = kept.iter_mut().find(of) {
                    for change in &esearch.changes {
                        assert!(change.apply(&mut kept.result, 10_000));
                    }
                }
            }
            UntaggedData::Expunge(number) => {
                let numbered = kept
                    .iter_mut()
                    .filter(|kept| !kept.command.contains("UID S"));
                for kept in numbered {
                    // It left the result before.
                    assert!(kept.result.iter().all(|id| id.get() != number.get()));
                    for id in &mut kept.result {
                        if id.get() > number.get() {
                            *id = NonZeroU32::new(id.get() - 1).expect("not 0");
                        }
                    }
                }
            }
            _ => {}
        }
    }
    answer.data
}

fn result(data: &[UntaggedData]) -> (String, Vec<NonZeroU32>) {
    let found = data.iter().rev().find_map(|data| match data {
        UntaggedData::Esearch(esearch) if esearch.changes.is_empty() => Some(esearch),
        _ => None,
    });
    let esearch = found.expect("an ESEARCH response");
    let tag = esearch.correlator.tag.as_ref().expect("its tag");
    let ranges = esearch.all.iter().flat_map(|all| &all.ranges);
    let numbers = ranges.filter_map(|range| range.numbers());
    let numbers = numbers.flat_map(|(first, last)| first.get()..=last.get());
    (
        tag.as_str().to_owned(),
        numbers.filter_map(NonZeroU32::new).collect(),
    )
}

async fn run(seed: u64, qresync: bool) {
    let mut options = WorldOptions::default();
    options.limit("clock_s", "1782907200").expect("a clock");
    let world = World::new(options).await;
    world.mailbox("INBOX", 6).await.expect("a mailbox");
    let mut watcher = start(&world, qresync).await;
    let mut other = start(&world, false).await;
    let mut kept: Vec<Kept> = Vec::new();
    for asked in COMMANDS {
        // VANISHED has no numbers for this client to count by.
        if qresync && !asked.contains("UID S") {
            continue;
        }
        let data = command(&mut watcher, &mut kept, asked).await;
        let (tag, result) = result(&data);
        kept.push(Kept {
            command: asked,
            tag,
            result,
        });
    }
    let mut dice = Dice(seed);
    for _ in 0..60 {
        for _ in 0..=dice.roll(3) {
            let (first, last) = (1 + dice.roll(20), 1 + dice.roll(20));
            let flag = ["\\Flagged", "\\Seen", "blue", "\\Deleted"][dice.roll(4) as usize];
            let sign = ["+", "-"][dice.roll(2) as usize];
            let does = match dice.roll(9) {
                0..=3 => format!("UID STORE {first}:{last} {sign}FLAGS.SILENT ({flag})"),
                4..=6 => {
                    let name = ["ann", "bob", "zoe"][dice.roll(3) as usize];
                    let body = ["even", "odd", "odd and longer"][dice.roll(3) as usize];
                    let text = format!(
                        "From: {name}@example.org\r\nSubject: {}\r\n\r\n{body}\r\n",
                        dice.roll(5)
                    );
                    format!("APPEND INBOX ({flag}) {{{}+}}\r\n{text}", text.len())
                }
                _ => format!("UID EXPUNGE {first}:{last}"),
            };
            match dice.roll(3) {
                0 => drop(command(&mut watcher, &mut kept, &does).await),
                _ => drop(other.command(&does).await.expect("an answer")),
            }
        }
        world.advance_clock(Duration::from_secs(dice.roll(4).into()));
        // A command that may not tell expunges, and then one that may.
        command(&mut watcher, &mut kept, "FETCH 1:* (UID)").await;
        command(&mut watcher, &mut kept, "NOOP").await;
        for at in 0..kept.len() {
            let again = kept[at].command.replace("UPDATE ", "");
            let data = command(&mut watcher, &mut kept, &again).await;
            let found = result(&data).1;
            assert_eq!(kept[at].result, found, "seed {seed}: {}", kept[at].command);
        }
    }
    world.check().await.expect("the store is sound");
}

#[tokio::test]
async fn results_follow_whatever_happens() {
    for seed in 1..8 {
        run(seed, seed % 2 == 0).await;
    }
}
