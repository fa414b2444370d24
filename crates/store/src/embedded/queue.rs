//! What waits for the committer: batches in turns by account.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use crate::{
    batch::{Batch, CommitNumber},
    error::CommitError,
};

/// The most bytes of batches and blobs in one group, unless one batch alone has more.
const GROUP_BYTES_MAX: u64 = 4 << 20;
/// The most batches in one group.
const GROUP_BATCHES_MAX: usize = 1000;

pub(crate) type Answer = oneshot::Sender<Result<CommitNumber, CommitError>>;

pub(crate) type RollAnswer = oneshot::Sender<Result<Sealed, CommitError>>;

/// Up to where the log is in sealed segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) segment: u32,
    pub(crate) commit: u64,
}

/// A batch that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) batch: Batch,
    pub(crate) answer: Answer,
}

impl Pending {
    /// The bytes it puts into a group, about.
    pub(crate) fn bytes(&self) -> u64 {
        let blobs: u64 = self
            .batch
            .blobs
            .iter()
            .filter_map(|b| b.bytes())
            .map(|b| b.len() as u64)
            .sum();
        blobs + self.batch.op_bytes() as u64
    }
}

/// What the committer has to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Group(Vec<Pending>),
    /// Seal the segment in use, and say its number (for backups).
    Roll(RollAnswer),
    /// The time that it asked for is there.
    Timeout,
    /// Finish in good order.
    Close,
    /// End at once; nobody has a handle any more.
    Abandon,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    turns: HashMap<u32, VecDeque<Pending>>,
    /// The turns that have something, in the order of their turns.
    order: VecDeque<u32>,
    rolls: VecDeque<RollAnswer>,
    refuse: Option<CommitError>,
    closing: bool,
    abandoned: bool,
    sleeping: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch into the order.
    pub(crate) fn submit(
        &self,
        batch: Batch,
    ) -> Result<oneshot::Receiver<Result<CommitNumber, CommitError>>, CommitError> {
        let (answer, receiver) = oneshot::channel();
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(error) = &state.refuse {
            return Err(error.clone());
        }
        if state.closing {
            return Err(CommitError::Closed);
        }
        let turn = batch.turn;
        let waiting = state.turns.entry(turn).or_default();
        if waiting.is_empty() {
            state.order.push_back(turn);
        }
        waiting.push_back(Pending { batch, answer });
        self.wake(guard);
        Ok(receiver)
    }

    /// Asks for the segment in use to be sealed.
    pub(crate) fn roll(
        &self,
    ) -> Result<oneshot::Receiver<Result<Sealed, CommitError>>, CommitError> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state();
        if let Some(error) = &state.refuse {
            return Err(error.clone());
        }
        if state.closing {
            return Err(CommitError::Closed);
        }
        state.rolls.push_back(answer);
        self.wake(state);
        Ok(receiver)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::take(&mut state.sleeping);
        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
    }

    /// Refuses everything that waits and everything to come.
    pub(crate) fn refuse(&self, reason: &Arc<str>) {
        let mut state = self.state();
        let error = CommitError::Refused {
            reason: reason.clone(),
        };
        state.refuse = Some(error.clone());
        state.order.clear();
        let waiting = std::mem::take(&mut state.turns);
        let rolls = std::mem::take(&mut state.rolls);
        drop(state);
        for pending in waiting.into_values().flatten() {
            let _ = pending.answer.send(Err(error.clone()));
        }
        for roll in rolls {
            let _ = roll.send(Err(error.clone()));
        }
    }

    /// Takes nothing more; what waits is still done.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closing = true;
        self.wake(state);
    }

    /// Takes nothing more; what waits is dropped.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.closing = true;
        state.abandoned = true;
        self.wake(state);
    }

    /// Whether nothing more is taken.
    pub(crate) fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// Waits for work, at most until `deadline`.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Work {
        let mut state = self.state();
        loop {
            if state.abandoned {
                return Work::Abandon;
            }
            if let Some(answer) = state.rolls.pop_front() {
                return Work::Roll(answer);
            }
            if !state.order.is_empty() {
                return Work::Group(state.take_group());
            }
            if state.closing {
                return Work::Close;
            }
            state.sleeping = true;
            state = match deadline {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.sleeping = false;
                        return Work::Timeout;
                    }
                    self.wake
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl State {
    /// One batch of each turn, round and round, until the group is full.
    fn take_group(&mut self) -> Vec<Pending> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(turn) = self.order.pop_front() {
            let Some(waiting) = self.turns.get_mut(&turn) else {
                continue;
            };
            let next = waiting.front().map_or(0, Pending::bytes);
            let full = bytes + next > GROUP_BYTES_MAX || group.len() >= GROUP_BATCHES_MAX;
            if full && !group.is_empty() {
                self.order.push_front(turn);
                break;
            }
            if let Some(pending) = waiting.pop_front() {
                bytes += next;
                group.push(pending);
            }
            if waiting.is_empty() {
                self.turns.remove(&turn);
            } else {
                self.order.push_back(turn);
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_by_account() {
        let queue = Queue::default();
        for key in 0..3u8 {
            let mut batch = Batch::new(1);
            batch.put(vec![1, key], vec![]);
            drop(queue.submit(batch));
        }
        drop(queue.submit(Batch::new(2)));
        let Work::Group(group) = queue.next(None) else {
            panic!("no group")
        };
        let turns: Vec<u32> = group.iter().map(|pending| pending.batch.turn).collect();
        assert_eq!(turns, [1, 2, 1, 1]);
        let keys: Vec<u8> = group
            .iter()
            .filter_map(|p| p.batch.put.first())
            .map(|put| put.key[1])
            .collect();
        assert_eq!(keys, [0, 1, 2], "one account's batches keep their order");
        queue.close();
        assert!(matches!(queue.next(None), Work::Close));
        assert!(matches!(
            queue.submit(Batch::new(1)),
            Err(CommitError::Closed)
        ));
    }
}
