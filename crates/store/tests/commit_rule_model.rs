//! A model check of the commit rule (one writer of a tail wins, by compare-and-set) with writers that
//! build on what is not durable yet, a checkpoint and trimming, a deletion, unknown outcomes (the commit
//! happened, did not, or comes later) and a crash. Every order of the steps is looked at, within bounds.
//!
//! The rule for a retry after `Unknown`, which this model is about: *read the tail first, then look for
//! one's own nonce in the log, then build on that tail*. A try at modseq k is decided once the tail that
//! is built on stands at k or beyond: its record is there or never will be. As long as the tail stands
//! below k, the retry replaces the same tail as the lost try, so only one of them can happen. And the
//! log is not trimmed while a command may still have to look.
//!
//! Every part of the rule is left out once, to show that the check would notice.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

/// A part of the rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// A retry does not look for its nonce.
    NoLookUp,
    /// A retry looks before it reads the tail, not after.
    LookUpTooEarly,
    /// The log is trimmed while commands may have to look, and a trimmed record counts as none.
    TrimTooSoon,
    /// The log is trimmed while commands may have to look, and a record that is absent at or below the tail
    /// counts as unknown: that holds, too, it only leaves more open.
    TrimEarly,
    /// The store does not compare the tail.
    NoCondition,
    /// A deletion does not compare the tail, and neither do appends see it.
    BlindDeletion,
    /// Records are trimmed above the newest root.
    TrimAboveRoot,
    /// A writer is answered when its batch is handed over.
    AnswerBeforeDurable,
}

/// 0: no record. Else command * 8 + try + 1.
type Nonce = u8;

/// The row that is compared and replaced. The nonce stands for the chain: a record names its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tail {
    modseq: u8,
    nonce: Nonce,
    root: u8,
    is_deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    parent: Nonce,
    nonce: Nonce,
}

impl Record {
    /// Which command's message it appends.
    fn command(self) -> usize {
        usize::from((self.nonce - 1) / 8)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Batch {
    by: By,
    base: Tail,
    next: Tail,
    record: Option<Record>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum By {
    Command(usize),
    Checkpoint,
    Deletion,
}

/// A process: the tail that it read, and what it has handed over on top of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    durable: Option<Tail>,
    flight: Vec<Tail>,
}

impl Node {
    fn forget(&mut self) {
        *self = Self::default();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// To be built, for the first time or again.
    Ready,
    Waiting,
    /// OK, with this record.
    Acknowledged(Nonce),
    /// NO: it did not happen.
    Refused,
    /// "Nobody knows"; or its client went down with the process.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Command {
    phase: Phase,
    tries: u8,
    /// Tries of which nobody knows: modseq and nonce.
    unknown: Vec<(u8, Nonce)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    // The store.
    tail: Tail,
    /// Modseq and record, not trimmed.
    log: Vec<(u8, Record)>,
    queue: VecDeque<Batch>,
    /// Answered `Unknown`, may still happen.
    late: Vec<Batch>,
    // The processes.
    nodes: [Node; 2],
    commands: [Command; COMMANDS],
    // What happened, for the invariants only: the log as if it were never trimmed.
    history: Vec<(u8, Record)>,
    happened_after_deletion: bool,
    // What may still go wrong.
    tries: u8,
    unknowns_left: u8,
    crashes_left: u8,
    checkpoints_left: u8,
    deletions_left: u8,
}

/// Commands 0 and 1 are sent to process 0, so that one may build on the other; command 2 to process 1.
const COMMANDS: usize = 3;
const NODE_OF: [usize; COMMANDS] = [0, 0, 1];

/// How much happens. Everything at once is too much; each of these looks at some of it together.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    commands: &'static [usize],
    tries: u8,
    unknowns: u8,
    crashes: u8,
    checkpoints: u8,
    deletions: u8,
}

/// Two processes and outcomes that nobody knows, with trimming.
const RIVALS: Bounds = Bounds {
    commands: &[0, 2],
    tries: 3,
    unknowns: 2,
    crashes: 0,
    checkpoints: 1,
    deletions: 0,
};
/// A writer that builds on another's commit, and a rival.
const PIPELINE: Bounds = Bounds {
    commands: &[0, 1, 2],
    tries: 3,
    unknowns: 1,
    crashes: 1,
    checkpoints: 0,
    deletions: 0,
};
/// Crash, deletion, trimming.
const MISHAPS: Bounds = Bounds {
    commands: &[0, 2],
    tries: 2,
    unknowns: 1,
    crashes: 1,
    checkpoints: 1,
    deletions: 1,
};
const ALL_BOUNDS: [Bounds; 3] = [RIVALS, PIPELINE, MISHAPS];

#[derive(Clone, Copy, Debug)]
enum Step {
    ReadTail(usize),
    LookUp(usize),
    Submit(usize),
    Evaluate(Outcome),
    LateArrives(usize),
    Checkpoint,
    Trim,
    Delete,
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    UnknownApplied,
    UnknownLost,
    UnknownLate,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        Self {
            tail: Tail {
                modseq: 0,
                nonce: 0,
                root: 0,
                is_deleted: false,
            },
            log: Vec::new(),
            queue: VecDeque::new(),
            late: Vec::new(),
            nodes: Default::default(),
            commands: std::array::from_fn(|c| Command {
                phase: match bounds.commands.contains(&c) {
                    true => Phase::Ready,
                    false => Phase::Unknown,
                },
                tries: 0,
                unknown: Vec::new(),
            }),
            history: Vec::new(),
            happened_after_deletion: false,
            tries: bounds.tries,
            unknowns_left: bounds.unknowns,
            crashes_left: bounds.crashes,
            checkpoints_left: bounds.checkpoints,
            deletions_left: bounds.deletions,
        }
    }

    fn steps(&self, broken: Broken) -> Vec<Step> {
        let mut steps = Vec::new();
        for (n, node) in self.nodes.iter().enumerate() {
            let is_needed =
                |(c, command): (usize, &Command)| NODE_OF[c] == n && command.phase == Phase::Ready;
            if node.durable.is_none() && self.commands.iter().enumerate().any(is_needed) {
                steps.push(Step::ReadTail(n));
            }
        }
        for (c, command) in self.commands.iter().enumerate() {
            if command.phase != Phase::Ready {
                continue;
            }
            let durable = self.nodes[NODE_OF[c]].durable;
            let undecided = |at: u8| command.unknown.iter().any(|(k, _)| *k <= at);
            match broken {
                Broken::NoLookUp => {}
                Broken::LookUpTooEarly if undecided(u8::MAX) => {
                    steps.push(Step::LookUp(c));
                    continue;
                }
                Broken::LookUpTooEarly => {}
                _ if durable.is_some_and(|tail| undecided(tail.modseq)) => {
                    steps.push(Step::LookUp(c));
                    continue;
                }
                _ => {}
            }
            if durable.is_some() {
                steps.push(Step::Submit(c));
            }
        }
        if !self.queue.is_empty() {
            steps.push(Step::Evaluate(Outcome::Answered));
            if self.unknowns_left > 0 {
                steps.extend(
                    [
                        Outcome::UnknownApplied,
                        Outcome::UnknownLost,
                        Outcome::UnknownLate,
                    ]
                    .map(Step::Evaluate),
                );
            }
        }
        steps.extend((0..self.late.len()).map(Step::LateArrives));
        if self.checkpoints_left > 0 && self.tail.modseq > 0 && !self.tail.is_deleted {
            steps.push(Step::Checkpoint);
        }
        if self.may_trim(broken) {
            steps.push(Step::Trim);
        }
        if self.deletions_left > 0 {
            steps.push(Step::Delete);
        }
        if self.crashes_left > 0 {
            steps.push(Step::Crash);
        }
        steps
    }

    fn trim_to(&self, broken: Broken) -> u8 {
        match broken {
            Broken::TrimAboveRoot if self.tail.root > 0 => self.tail.modseq,
            _ => self.tail.root,
        }
    }

    fn may_trim(&self, broken: Broken) -> bool {
        let end = self.trim_to(broken);
        let has_some = self.log.first().is_some_and(|(modseq, _)| *modseq <= end);
        // No command lives longer than half the grace, and nothing younger than the grace is trimmed.
        let is_open = |command: &Command| match command.phase {
            Phase::Waiting => true,
            Phase::Ready => command.tries > 0,
            _ => false,
        };
        let is_early = matches!(broken, Broken::TrimTooSoon | Broken::TrimEarly);
        has_some && (is_early || !self.commands.iter().any(is_open))
    }

    fn step(&mut self, step: Step, broken: Broken) {
        match step {
            Step::ReadTail(node) => {
                self.nodes[node].durable = Some(self.tail);
            }
            Step::LookUp(command) => self.look_up(command, broken),
            Step::Submit(command) => self.submit(command, broken),
            Step::Evaluate(outcome) => self.evaluate(outcome, broken),
            Step::LateArrives(index) => {
                let batch = self.late.remove(index);
                self.apply(batch, broken);
            }
            Step::Checkpoint => {
                self.checkpoints_left -= 1;
                let base = self.tail;
                let next = Tail {
                    root: base.modseq,
                    ..base
                };
                self.queue.push_back(Batch {
                    by: By::Checkpoint,
                    base,
                    next,
                    record: None,
                });
            }
            Step::Trim => {
                let end = self.trim_to(broken);
                self.log.retain(|(modseq, _)| *modseq > end);
            }
            Step::Delete => {
                self.deletions_left -= 1;
                let base = self.tail;
                let next = Tail {
                    is_deleted: true,
                    ..base
                };
                self.queue.push_back(Batch {
                    by: By::Deletion,
                    base,
                    next,
                    record: None,
                });
            }
            Step::Crash => {
                self.crashes_left -= 1;
                self.queue.clear();
                self.nodes.iter_mut().for_each(Node::forget);
                for command in &mut self.commands {
                    let has_begun = command.tries > 0;
                    if has_begun && matches!(command.phase, Phase::Ready | Phase::Waiting) {
                        command.phase = Phase::Unknown;
                    }
                }
            }
        }
    }

    fn look_up(&mut self, c: usize, broken: Broken) {
        let durable = self.nodes[NODE_OF[c]].durable;
        let log = &self.log;
        let command = &mut self.commands[c];
        for (modseq, nonce) in std::mem::take(&mut command.unknown) {
            match log.iter().find(|(at, _)| *at == modseq) {
                Some((_, record)) if record.nonce == nonce => {
                    command.phase = Phase::Acknowledged(nonce);
                }
                // Another record is there.
                Some(_) => {}
                None if broken == Broken::LookUpTooEarly || broken == Broken::TrimTooSoon => {}
                // Still to come, perhaps: the retry stands in its way.
                None if durable.is_none_or(|tail| tail.modseq < modseq) => {
                    command.unknown.push((modseq, nonce));
                }
                None => command.phase = Phase::Unknown,
            }
        }
    }

    fn submit(&mut self, c: usize, broken: Broken) {
        let node = &mut self.nodes[NODE_OF[c]];
        let Some(durable) = node.durable else { return };
        let base = node.flight.last().copied().unwrap_or(durable);
        let command = &mut self.commands[c];
        if base.is_deleted || command.tries == self.tries {
            command.phase = match command.unknown.is_empty() {
                true => Phase::Refused,
                false => Phase::Unknown,
            };
            return;
        }
        let nonce = c as u8 * 8 + command.tries + 1;
        command.tries += 1;
        let next = Tail {
            modseq: base.modseq + 1,
            nonce,
            ..base
        };
        command.phase = match broken {
            Broken::AnswerBeforeDurable => Phase::Acknowledged(nonce),
            _ => Phase::Waiting,
        };
        node.flight.push(next);
        self.queue.push_back(Batch {
            by: By::Command(c),
            base,
            next,
            record: Some(Record {
                parent: base.nonce,
                nonce,
            }),
        });
    }

    /// The store takes the next batch; its writer is answered.
    fn evaluate(&mut self, outcome: Outcome, broken: Broken) {
        let Some(batch) = self.queue.pop_front() else {
            return;
        };
        let mut applied = None;
        match outcome {
            Outcome::Answered => applied = Some(self.apply(batch, broken)),
            Outcome::UnknownApplied => _ = self.apply(batch, broken),
            Outcome::UnknownLost => {}
            Outcome::UnknownLate => self.late.push(batch),
        }
        if outcome != Outcome::Answered {
            self.unknowns_left -= 1;
        }
        let By::Command(c) = batch.by else { return };
        let node = &mut self.nodes[NODE_OF[c]];
        let command = &mut self.commands[c];
        if applied == Some(true) {
            if node.flight.first() == Some(&batch.next) {
                node.flight.remove(0);
                node.durable = Some(batch.next);
            }
            if command.phase == Phase::Waiting {
                command.phase = Phase::Acknowledged(batch.next.nonce);
            }
            return;
        }
        node.forget();
        if command.phase == Phase::Waiting {
            command.phase = Phase::Ready;
            if applied.is_none() && broken != Broken::NoLookUp {
                command.unknown.push((batch.next.modseq, batch.next.nonce));
            }
        }
    }

    /// Whether the condition held.
    fn apply(&mut self, batch: Batch, broken: Broken) -> bool {
        let is_compared = match broken {
            Broken::NoCondition => false,
            Broken::BlindDeletion => batch.by != By::Deletion,
            _ => true,
        };
        let mut there = self.tail;
        if broken == Broken::BlindDeletion {
            // The state lies in a row of its own, which appends do not compare.
            there.is_deleted = batch.base.is_deleted;
        }
        if is_compared && there != batch.base {
            return false;
        }
        let was_deleted = self.tail.is_deleted;
        match (broken, batch.by) {
            (Broken::BlindDeletion, By::Deletion) => self.tail.is_deleted = true,
            (Broken::BlindDeletion, _) => {
                self.tail = Tail {
                    is_deleted: was_deleted,
                    ..batch.next
                };
            }
            _ => self.tail = batch.next,
        }
        if let Some(record) = batch.record {
            self.happened_after_deletion |= was_deleted;
            self.log.push((batch.next.modseq, record));
            self.history.push((batch.next.modseq, record));
        }
        true
    }

    /// What must hold in every state.
    fn violation(&self) -> Option<&'static str> {
        let mut before = (0, 0);
        for (modseq, record) in &self.history {
            if *modseq <= before.0 {
                return Some("modseqs ascend");
            }
            if *modseq != before.0 + 1 || record.parent != before.1 {
                return Some("the chain has no gap");
            }
            before = (*modseq, record.nonce);
        }
        if before != (self.tail.modseq, self.tail.nonce) {
            return Some("the tail is where the log ends");
        }
        // What a reader sees: the root, and the records after it.
        let after_root = self.log.iter().filter(|(at, _)| *at > self.tail.root);
        if !after_root
            .map(|(at, _)| *at)
            .eq(self.tail.root + 1..=self.tail.modseq)
        {
            return Some("root and log give the mailbox");
        }
        if self.happened_after_deletion {
            return Some("nothing happens in a deleted mailbox");
        }
        for (c, command) in self.commands.iter().enumerate() {
            let mut records = self.history.iter().filter(|(_, r)| r.command() == c);
            let record = records.next();
            if records.next().is_some() {
                return Some("no message comes twice");
            }
            match (command.phase, record) {
                (Phase::Acknowledged(nonce), record)
                    if record.is_none_or(|(_, r)| r.nonce != nonce) =>
                {
                    return Some("what was acknowledged is there");
                }
                (Phase::Refused, Some(_)) => return Some("what was refused is not there"),
                _ => {}
            }
        }
        None
    }
}

/// A quick hash of many small fields (in the manner of FNV-1a), for many states in a debug build.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

#[derive(Default)]
struct Explored {
    states: usize,
    /// How often each outcome was reached at an end, to see that the bounds leave room for it.
    acknowledged_all: usize,
    acknowledged_after_unknown: usize,
    trimmed: usize,
    violation: Option<(&'static str, Vec<Step>)>,
}

/// More than any bounds give.
const STATES_MAX: usize = 2_000_000;

/// Looks at all states, nearest first.
fn explore(bounds: Bounds, broken: Broken) -> Explored {
    let mut seen: HashMap<World, usize, BuildHasherDefault<Quick>> = HashMap::default();
    let mut came: Vec<(usize, Option<Step>)> = vec![(0, None)];
    let mut next = VecDeque::from([(World::new(bounds), 0)]);
    seen.insert(World::new(bounds), 0);
    let mut explored = Explored::default();
    while let Some((world, index)) = next.pop_front() {
        assert!(seen.len() < STATES_MAX, "{bounds:?}: too many states");
        explored.states += 1;
        let is_acknowledged = |c: &Command| matches!(c.phase, Phase::Acknowledged(_));
        explored.acknowledged_all += usize::from(world.commands.iter().all(is_acknowledged));
        let has_looked = |c: &Command| is_acknowledged(c) && c.tries == 1;
        explored.acknowledged_after_unknown +=
            usize::from(world.unknowns_left == 0 && world.commands.iter().any(has_looked));
        explored.trimmed += usize::from(world.log.len() < world.history.len());
        if let Some(violation) = world.violation() {
            let mut steps = Vec::new();
            let mut at = index;
            while let (from, Some(step)) = came[at] {
                steps.push(step);
                at = from;
            }
            steps.reverse();
            explored.violation = Some((violation, steps));
            return explored;
        }
        for step in world.steps(broken) {
            let mut after = world.clone();
            after.step(step, broken);
            if !seen.contains_key(&after) {
                came.push((index, Some(step)));
                seen.insert(after.clone(), came.len() - 1);
                next.push_back((after, came.len() - 1));
            }
        }
    }
    explored
}

#[test]
fn the_commit_rule_holds_in_every_order_of_events() {
    let mut all = Explored::default();
    for bounds in ALL_BOUNDS {
        let explored = explore(bounds, Broken::Nothing);
        println!("{} states of {bounds:?}", explored.states);
        if let Some((what, steps)) = explored.violation {
            panic!("{what} does not hold after {steps:#?}");
        }
        all.states += explored.states;
        all.acknowledged_all += explored.acknowledged_all;
        all.acknowledged_after_unknown += explored.acknowledged_after_unknown;
        all.trimmed += explored.trimmed;
    }
    assert!(all.states > 20_000, "{} states", all.states);
    assert!(all.acknowledged_all > 100);
    assert!(all.acknowledged_after_unknown > 100);
    assert!(all.trimmed > 100);
}

/// What is absent at or below the tail is unknown, never "it did not happen": with that, nothing depends on how long the
/// log is kept.
#[test]
fn a_log_that_is_trimmed_early_leaves_more_unknown_and_doubles_nothing() {
    let explored = explore(RIVALS, Broken::TrimEarly);
    if let Some((what, steps)) = explored.violation {
        panic!("{what} does not hold after {steps:#?}");
    }
    assert!(explored.trimmed > 100);
}

#[test]
fn a_rule_that_is_broken_is_noticed() {
    for (bounds, broken, noticed) in [
        (RIVALS, Broken::NoLookUp, "no message comes twice"),
        (RIVALS, Broken::LookUpTooEarly, "no message comes twice"),
        (RIVALS, Broken::TrimTooSoon, "no message comes twice"),
        (RIVALS, Broken::NoCondition, "modseqs ascend"),
        (
            MISHAPS,
            Broken::BlindDeletion,
            "nothing happens in a deleted mailbox",
        ),
        (
            RIVALS,
            Broken::TrimAboveRoot,
            "root and log give the mailbox",
        ),
        (
            MISHAPS,
            Broken::AnswerBeforeDurable,
            "what was acknowledged is there",
        ),
    ] {
        let explored = explore(bounds, broken);
        let (what, steps) = explored
            .violation
            .unwrap_or_else(|| panic!("{broken:?} is not noticed"));
        println!("{broken:?}: {what}, after {} steps: {steps:?}", steps.len());
        assert_eq!(what, noticed, "{broken:?}");
    }
}
