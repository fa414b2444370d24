//! Who guesses passwords waits.
//!
//! Failed logins are counted for a network (an address; of IPv6 its /64), for an account, and for an
//! account from a network. Counts halve with time, and beyond a few free tries each failure doubles the
//! wait before the next try is looked at. Nobody is locked out: from a network that has logged in to an
//! account, only failures from there count, so an attack from elsewhere does not slow the owner. The same
//! wrong password again is a device that was not told the new one, and counts once.
//!
//! What is counted outlives a restart.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restante_mailbox::{Mail, MailError, NoteChange, canonical_user_name};
use serde::{Deserialize, Serialize};

use crate::config::Network;
use crate::net::network;

/// Counts halve in this time.
const HALF_LIFE_MS: f64 = 10.0 * 60_000.0;
/// The wait after the first failure that is not free; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Failures that cost nothing: from an account's network, from a network, of an account.
const FREE: [f64; 3] = [3.0, 10.0, 20.0];
/// Tries at the same moment that are nothing unusual: mail programs open several connections.
const AT_ONCE: u32 = 8;
/// What is remembered at most, of each kind.
const ENTRIES_MAX: usize = 20_000;
/// Accounts whose networks are remembered.
const ACCOUNTS_MAX: usize = 100_000;
/// Networks that are remembered to have logged in to an account.
const KNOWN_MAX: usize = 32;
/// They are forgotten after this time without a login.
const KNOWN_MS: i64 = 90 * 86_400_000;
/// Wrong passwords that are told apart.
const WRONG_MAX: usize = 8;
/// The longest name that is remembered, in bytes.
const NAME_BYTES_MAX: usize = 320;

/// What a count is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// An account from a network.
    Pair(String, IpAddr),
    /// A network, whatever the account.
    Network(IpAddr),
    /// An account, from networks that never logged in to it.
    Account(String),
}

impl Subject {
    fn free(&self) -> f64 {
        FREE[match self {
            Subject::Pair(..) => 0,
            Subject::Network(_) => 1,
            Subject::Account(_) => 2,
        }]
    }

    /// `p`, `n` or `a`, the network, a space, the name.
    fn encode(&self) -> Vec<u8> {
        match self {
            Subject::Pair(name, network) => format!("p{network} {name}"),
            Subject::Network(network) => format!("n{network} "),
            Subject::Account(name) => format!("a {name}"),
        }
        .into_bytes()
    }

    fn decode(key: &[u8]) -> Option<Subject> {
        let key = std::str::from_utf8(key).ok()?;
        let (network, name) = key.get(1..)?.split_once(' ')?;
        Some(match key.as_bytes()[0] {
            b'p' => Subject::Pair(name.to_owned(), network.parse().ok()?),
            b'n' => Subject::Network(network.parse().ok()?),
            b'a' => Subject::Account(name.to_owned()),
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Count {
    failures: f64,
    at_ms: i64,
}

impl Count {
    fn now(self, now_ms: i64) -> f64 {
        let halves = (now_ms - self.at_ms).max(0) as f64 / HALF_LIFE_MS;
        self.failures * (-halves).exp2()
    }

    /// Both numbers, little-endian.
    fn encode(self) -> Vec<u8> {
        [self.failures.to_le_bytes(), self.at_ms.to_le_bytes()].concat()
    }

    fn decode(value: &[u8]) -> Option<Count> {
        let (failures, at) = value.split_first_chunk()?;
        Some(Count {
            failures: f64::from_le_bytes(*failures).clamp(0.0, 1e6),
            at_ms: i64::from_le_bytes(at.try_into().ok()?),
        })
    }
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<Subject, Count>,
    /// The networks that have logged in to an account, and when last.
    known: HashMap<String, Vec<(IpAddr, i64)>>,
    /// Hashes of wrong passwords, by account and network; not kept over a restart.
    wrong: HashMap<(String, IpAddr), Vec<u64>>,
    /// The longest wait by the settings of now.
    longest: Duration,
    /// Tries that are being looked at.
    trying: HashMap<(String, IpAddr), u32>,
    /// What is to be written.
    dirty: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

/// Counts failed logins, and says how long the next one waits.
#[derive(Debug)]
pub(crate) struct Throttle {
    state: Mutex<State>,
    hasher: RandomState,
}

/// A try that is being looked at.
#[derive(Debug)]
pub(crate) struct Trying<'a> {
    throttle: &'a Throttle,
    pair: (String, IpAddr),
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let mut state = self.throttle.lock();
        if let Some(tries) = state.trying.get_mut(&self.pair) {
            *tries -= 1;
            if *tries == 0 {
                state.trying.remove(&self.pair);
            }
        }
    }
}

/// What is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The longest wait; zero: nobody waits.
    pub(crate) longest: Duration,
    /// From here nobody waits: a webmail server, for example.
    pub(crate) exempt: Vec<Network>,
}

/// A count as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleLine {
    /// The user's name, unless it is all users of a network.
    pub user: Option<String>,
    /// The network, unless it is a user from anywhere.
    pub network: Option<IpAddr>,
    /// Failed logins, half as many after each ten minutes.
    pub failures: u32,
    /// How long the next one waits, in milliseconds.
    pub wait_ms: u64,
}

impl Throttle {
    /// With what an earlier process has counted.
    pub(crate) async fn load(mail: &Mail) -> Result<Throttle, MailError> {
        let throttle = Throttle {
            state: Mutex::default(),
            hasher: RandomState::new(),
        };
        let now_ms = mail.now_ms();
        let rows = mail.throttle_rows().await?;
        let mut state = throttle.lock();
        for (key, value) in rows {
            if let Some(name) = key.strip_prefix(b"k") {
                let name = String::from_utf8_lossy(name).into_owned();
                state.known.insert(name, decode_known(&value));
                continue;
            }
            match (Subject::decode(&key), Count::decode(&value)) {
                (Some(subject), Some(count)) if count.now(now_ms) >= 1.0 => {
                    state.counts.insert(subject, count);
                }
                _ => {
                    state.dirty.insert(key, None);
                }
            }
        }
        drop(state);
        Ok(throttle)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a try waits before it is looked at; and what is to be held until it has been, so that many
    /// tries at once wait as those one after the other.
    pub(crate) fn begin(
        &self,
        rules: &Rules,
        user: &str,
        from: IpAddr,
        now_ms: i64,
    ) -> (Duration, Trying<'_>) {
        let pair = (short(user), network(from));
        let at_once = {
            let mut state = self.lock();
            state.longest = rules.longest;
            let tries = state.trying.entry(pair.clone()).or_default();
            *tries += 1;
            *tries
        };
        let wait = match rules.longest.is_zero() || is_exempt(rules, from) {
            true => Duration::ZERO,
            false => self.wait(rules.longest, &pair, at_once, now_ms),
        };
        let throttle = self;
        (wait, Trying { throttle, pair })
    }

    fn wait(
        &self,
        longest: Duration,
        (name, network): &(String, IpAddr),
        at_once: u32,
        now_ms: i64,
    ) -> Duration {
        let state = self.lock();
        let is_known = state.known.get(name).is_some_and(|known| {
            let mut networks = known.iter().map(|(other, _)| other);
            networks.any(|other| other == network)
        });
        let waits = subjects(name, *network).filter_map(|subject| {
            let skipped = match &subject {
                // Behind this machine's own address may be a webmail with all users.
                Subject::Network(network) => network.is_loopback(),
                Subject::Account(_) => is_known,
                Subject::Pair(..) => false,
            };
            let mut failures = state.counts.get(&subject).filter(|_| !skipped)?.now(now_ms);
            if matches!(subject, Subject::Pair(..)) {
                failures += f64::from(at_once.saturating_sub(AT_ONCE));
            }
            Some(wait_for(failures, subject.free(), longest))
        });
        waits.max().unwrap_or_default()
    }

    /// Counts a failure. The password, if one was given, tells whether it is the same as before.
    pub(crate) fn failed(&self, user: &str, from: IpAddr, password: Option<&str>, now_ms: i64) {
        let (name, network) = (short(user), network(from));
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(password) = password {
            let hash = self.hasher.hash_one(password);
            bound(&mut state.wrong, ENTRIES_MAX);
            let wrong = state.wrong.entry((name.clone(), network)).or_default();
            if wrong.contains(&hash) {
                return;
            }
            if wrong.len() >= WRONG_MAX {
                wrong.remove(0);
            }
            wrong.push(hash);
        }
        for subject in subjects(&name, network) {
            if state.counts.len() >= 3 * ENTRIES_MAX {
                state.make_room(now_ms);
            }
            let key = subject.encode();
            let count = state.counts.entry(subject).or_insert(Count {
                failures: 0.0,
                at_ms: now_ms,
            });
            *count = Count {
                failures: count.now(now_ms) + 1.0,
                at_ms: now_ms,
            };
            state.dirty.insert(key, Some(count.encode()));
        }
    }

    /// Notes a login: what failed before from there was the owner.
    pub(crate) fn succeeded(&self, user: &str, from: IpAddr, now_ms: i64) {
        const DAY_MS: i64 = 86_400_000;
        let (name, network) = (short(user), network(from));
        if name.is_empty() {
            return;
        }
        let mut state = self.lock();
        let state = &mut *state;
        let pair = Subject::Pair(name.clone(), network);
        if state.counts.remove(&pair).is_some() {
            state.dirty.insert(pair.encode(), None);
        }
        state.wrong.remove(&(name.clone(), network));
        if !state.known.contains_key(&name) && state.known.len() >= ACCOUNTS_MAX {
            state.forget_owners();
        }
        let known = state.known.entry(name.clone()).or_default();
        match known.iter_mut().find(|(other, _)| *other == network) {
            // Once a day is enough for what is forgotten after months.
            Some((_, at_ms)) if now_ms - *at_ms < DAY_MS => return,
            Some((_, at_ms)) => *at_ms = now_ms,
            None => known.push((network, now_ms)),
        }
        known.retain(|(_, at_ms)| now_ms - at_ms < KNOWN_MS);
        known.sort_by_key(|(_, at_ms)| std::cmp::Reverse(*at_ms));
        known.truncate(KNOWN_MAX);
        let value = encode_known(known);
        state.dirty.insert(known_key(&name), Some(value));
    }

    /// Writes down what has changed.
    pub(crate) async fn save(&self, mail: &Mail) {
        let dirty = std::mem::take(&mut self.lock().dirty);
        let changes: Vec<NoteChange> = dirty.into_iter().collect();
        if let Err(error) = mail.change_throttle_rows(&changes).await {
            tracing::warn!(%error, "what is known of failed logins could not be saved");
        }
    }

    /// What is counted now, the longest wait first.
    pub(crate) fn list(&self, most: usize, now_ms: i64) -> Vec<ThrottleLine> {
        let state = self.lock();
        let line = |(subject, count): (&Subject, &Count)| {
            let failures = count.now(now_ms);
            let (user, network) = match subject {
                Subject::Pair(name, network) => (Some(name.clone()), Some(*network)),
                Subject::Network(network) => (None, Some(*network)),
                Subject::Account(name) => (Some(name.clone()), None),
            };
            let longest = state.longest;
            ThrottleLine {
                user,
                network,
                failures: failures.round() as u32,
                wait_ms: wait_for(failures, subject.free(), longest).as_millis() as u64,
            }
        };
        let mut lines: Vec<_> = state.counts.iter().map(line).collect();
        lines.retain(|line| line.failures > 0);
        lines.sort_by(|a, b| {
            let by_wait = b.wait_ms.cmp(&a.wait_ms);
            by_wait.then(b.failures.cmp(&a.failures))
        });
        lines.truncate(most);
        lines
    }

    /// Forgets what was counted for a user, a network, or for all. Returns how many counts that were.
    pub(crate) fn clear(&self, user: Option<&str>, address: Option<IpAddr>) -> usize {
        let (user, address) = (user.map(short), address.map(network));
        let is_meant = |subject: &Subject| {
            let (name, from) = match subject {
                Subject::Pair(name, from) => (Some(name), Some(from)),
                Subject::Network(from) => (None, Some(from)),
                Subject::Account(name) => (Some(name), None),
            };
            let of = user.as_ref().is_none_or(|user| name == Some(user));
            of && address.as_ref().is_none_or(|address| from == Some(address))
        };
        let mut state = self.lock();
        let state = &mut *state;
        let meant: Vec<_> = state
            .counts
            .keys()
            .filter(|s| is_meant(s))
            .cloned()
            .collect();
        for subject in &meant {
            state.counts.remove(subject);
            state.dirty.insert(subject.encode(), None);
        }
        meant.len()
    }
}

impl State {
    /// Who has not been here for longest is a stranger again: a tenth of all, so that it is seldom done.
    fn forget_owners(&mut self) {
        let mut seen: Vec<_> = self.known.values().map(|known| newest(known)).collect();
        seen.sort_unstable();
        let oldest = seen.get(seen.len() / 10).copied().unwrap_or(0);
        let mut left = seen.len() / 10;
        let dirty = &mut self.dirty;
        self.known.retain(|name, known| {
            let stays = left == 0 || newest(known) > oldest;
            if !stays {
                left -= 1;
                dirty.insert(known_key(name), None);
            }
            stays
        });
    }

    /// Forgets what counts for least, a tenth of all.
    fn make_room(&mut self, now_ms: i64) {
        let mut counts: Vec<_> = self
            .counts
            .values()
            .map(|count| count.now(now_ms))
            .collect();
        counts.sort_by(f64::total_cmp);
        let least = counts.get(counts.len() / 10).copied().unwrap_or(1.0);
        let mut left = counts.len() / 10;
        let dirty = &mut self.dirty;
        self.counts.retain(|subject, count| {
            let stays = left == 0 || count.now(now_ms) > least;
            if !stays {
                left -= 1;
                dirty.insert(subject.encode(), None);
            }
            stays
        });
    }
}

/// What a try counts for. Who gave no name (a token, a certificate) counts for the network only.
fn subjects(name: &str, network: IpAddr) -> impl Iterator<Item = Subject> {
    let named = !name.is_empty();
    let of_name = named.then(|| {
        let pair = Subject::Pair(name.to_owned(), network);
        [pair, Subject::Account(name.to_owned())]
    });
    let of_name = of_name.into_iter().flatten();
    of_name.chain(std::iter::once(Subject::Network(network)))
}

fn is_exempt(rules: &Rules, from: IpAddr) -> bool {
    rules.exempt.iter().any(|network| network.contains(from))
}

fn wait_for(failures: f64, free: f64, longest: Duration) -> Duration {
    if failures < free + 0.5 {
        return Duration::ZERO;
    }
    let doublings = (failures - free - 0.5).min(20.0);
    FIRST_WAIT.mul_f64(doublings.exp2()).min(longest)
}

/// The name of an account as it is counted: whatever was typed, but no longer than names are.
fn short(user: &str) -> String {
    let mut name = canonical_user_name(user.get(..2 * NAME_BYTES_MAX).unwrap_or(user));
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// Keeps a map that anybody can fill within bounds: what goes is arbitrary.
fn bound<K: Eq + Hash + Clone, V>(map: &mut HashMap<K, V>, most: usize) {
    if map.len() >= most {
        let some: Vec<K> = map.keys().take(most / 10).cloned().collect();
        for key in some {
            map.remove(&key);
        }
    }
}

fn newest(known: &[(IpAddr, i64)]) -> i64 {
    known.iter().map(|(_, at_ms)| *at_ms).max().unwrap_or(0)
}

fn known_key(name: &str) -> Vec<u8> {
    format!("k{name}").into_bytes()
}

/// A line each: the network, a space, when.
fn encode_known(known: &[(IpAddr, i64)]) -> Vec<u8> {
    let lines = known
        .iter()
        .map(|(network, at)| format!("{network} {at}\n"));
    lines.collect::<String>().into_bytes()
}

fn decode_known(value: &[u8]) -> Vec<(IpAddr, i64)> {
    let text = String::from_utf8_lossy(value);
    let line = |line: &str| {
        let (network, at) = line.split_once(' ')?;
        Some((network.parse().ok()?, at.parse().ok()?))
    };
    text.lines().filter_map(line).take(KNOWN_MAX).collect()
}

#[cfg(test)]
mod tests;
