//! Checking passwords on a bounded number of threads, with a cache of what was verified.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::Semaphore;

use crate::password::{self, Cost, PASSWORD_BYTES_MAX, PasswordError};
use crate::{Secret, schemes};

/// What a check of a password found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The password is right.
    Right,
    /// The password is wrong, or there is no such user: the two are not told apart, in time
    /// neither.
    Wrong,
    /// Too many checks are waiting; nothing was checked. Not the client's fault.
    Busy,
}

/// How a [`Verifier`] works.
#[derive(Debug, Clone)]
pub struct VerifierOptions {
    /// How many hashes are computed at the same time.
    pub threads: usize,
    /// How many checks may wait for a thread before [`Outcome::Busy`].
    pub waiting_max: usize,
    /// How long a verified password is remembered; zero turns the cache off.
    pub cache_for: Duration,
    /// How many verified passwords are remembered.
    pub cache_entries_max: usize,
    /// The cost of new hashes, and of the check made for a user who does not exist.
    pub cost: Cost,
}

impl Default for VerifierOptions {
    fn default() -> Self {
        VerifierOptions {
            threads: std::thread::available_parallelism().map_or(2, |n| n.get()),
            waiting_max: 512,
            cache_for: Duration::from_secs(600),
            cache_entries_max: 20_000,
            cost: Cost::default(),
        }
    }
}

/// Checks passwords against stored ones. A cheap clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    options: VerifierOptions,
    running: Arc<Semaphore>,
    /// Running and waiting.
    admitted: Arc<Semaphore>,
    /// Against which a password is checked when there is no such user.
    nobody: String,
    /// Key of the cache, new in each process: a copy of the cache alone tells nothing.
    key: hmac::Key,
    cache: Mutex<HashMap<[u8; 32], Instant>>,
    computed: AtomicU64,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Makes a verifier. Computes one hash, so it takes a few tens of milliseconds.
    pub fn new(options: VerifierOptions) -> Result<Verifier, PasswordError> {
        let key = Verifier::random()?;
        let threads = options.threads.max(1);
        Ok(Verifier(Arc::new(Inner {
            nobody: password::hash("nobody has this password", options.cost)?,
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(Semaphore::new(threads.saturating_add(options.waiting_max))),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            cache: Mutex::new(HashMap::new()),
            computed: AtomicU64::new(0),
            options,
        })))
    }

    /// Random bytes of the system, for a key.
    ///
    /// # Errors
    /// [`PasswordError::Random`].
    pub fn random() -> Result<[u8; 32], PasswordError> {
        let mut bytes = [0u8; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PasswordError::Random)?;
        Ok(bytes)
    }

    /// The cost of new hashes.
    pub fn cost(&self) -> Cost {
        self.0.options.cost
    }

    /// Checks `password` against the stored hash ([`schemes`]); `None` for a user that does not exist or
    /// has no password: the same work is done and the answer is [`Outcome::Wrong`].
    ///
    /// A change of the stored hash needs no notice: the cache is keyed by it too.
    pub async fn verify(&self, stored: Option<&str>, password: &Secret<String>) -> Outcome {
        match stored {
            Some(stored) => self.work(stored, true, password).await,
            None => self.work(&self.0.nobody, false, password).await,
        }
    }

    /// Does the work of a check against this hash, for a user who does not exist where users have such
    /// hashes. Never [`Outcome::Right`].
    pub async fn pretend(&self, stored: &str, password: &Secret<String>) -> Outcome {
        self.work(stored, false, password).await
    }

    async fn work(&self, stored: &str, real: bool, password: &Secret<String>) -> Outcome {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Outcome::Wrong;
        }
        let inner = &self.0;
        let mark = inner.mark(stored, password.expose());
        if real && inner.remembered(&mark) {
            return Outcome::Right;
        }
        let Ok(_admitted) = Arc::clone(&inner.admitted).try_acquire_owned() else {
            return Outcome::Busy;
        };
        let Ok(running) = Arc::clone(&inner.running).acquire_owned().await else {
            return Outcome::Busy;
        };
        // Others with the same password may have been faster (a client that opens ten
        // connections at once).
        if real && inner.remembered(&mark) {
            return Outcome::Right;
        }
        inner.computed.fetch_add(1, Ordering::Relaxed);
        let (stored, password) = (Secret::new(stored.to_owned()), password.clone());
        let check = tokio::task::spawn_blocking(move || {
            // The permit stays with the work, also when the caller has gone away.
            let _running = running;
            schemes::verify(password.expose(), stored.expose())
        });
        match check.await {
            Ok(true) if real => {
                inner.remember(mark);
                Outcome::Right
            }
            Ok(_) => Outcome::Wrong,
            Err(_) => Outcome::Busy,
        }
    }

    /// How many checks were not answered from the cache, those for nobody included.
    pub fn computed(&self) -> u64 {
        self.0.computed.load(Ordering::Relaxed)
    }

    /// Hashes a new password on the same bounded threads.
    pub async fn hash(&self, password: Secret<String>) -> Result<String, PasswordError> {
        let cost = self.0.options.cost;
        let hash = self.run(move || password::hash(password.expose(), cost));
        hash.await.unwrap_or(Err(PasswordError::Random))
    }

    /// Does other costly work with a password on the same bounded threads. `None`: it was not done.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let running = Arc::clone(&self.0.running).acquire_owned().await.ok()?;
        let work = tokio::task::spawn_blocking(move || {
            let _running = running;
            work()
        });
        work.await.ok()
    }
}

impl Inner {
    /// HMAC(process key, length of hash ‖ hash ‖ password): tells whether this very pair was
    /// verified, without holding the password.
    fn mark(&self, phc: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(phc.len() as u64).to_be_bytes());
        context.update(phc.as_bytes());
        context.update(password.as_bytes());
        let mut mark = [0u8; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn remembered(&self, mark: &[u8; 32]) -> bool {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(mark).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, mark: [u8; 32]) {
        if self.options.cache_for.is_zero() || self.options.cache_entries_max == 0 {
            return;
        }
        let now = Instant::now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= self.options.cache_entries_max {
            cache.retain(|_, until| *until > now);
        }
        if cache.len() >= self.options.cache_entries_max {
            // All are fresh. A hash map's order is arbitrary: drop about half.
            let mut keep = false;
            cache.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        cache.insert(mark, now + self.options.cache_for);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
    };

    fn verifier(options: VerifierOptions) -> Verifier {
        Verifier::new(VerifierOptions {
            cost: CHEAP,
            ..options
        })
        .unwrap()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn cached(verifier: &Verifier) -> usize {
        verifier.0.cache.lock().unwrap().len()
    }

    #[tokio::test]
    async fn right_wrong_and_nobody() {
        let verifier = verifier(VerifierOptions::default());
        let phc = verifier.hash(secret("open")).await.unwrap();
        assert_eq!(
            verifier.verify(Some(&phc), &secret("open")).await,
            Outcome::Right
        );
        assert_eq!(
            verifier.verify(Some(&phc), &secret("shut")).await,
            Outcome::Wrong
        );
        assert_eq!(verifier.verify(None, &secret("open")).await, Outcome::Wrong);
    }

    /// The password of the dummy hash lets nobody in, and is not cached as verified.
    #[tokio::test]
    async fn nobody_has_no_password() {
        let verifier = verifier(VerifierOptions::default());
        for _ in 0..2 {
            let outcome = verifier
                .verify(None, &secret("nobody has this password"))
                .await;
            assert_eq!(outcome, Outcome::Wrong);
        }
        assert_eq!(cached(&verifier), 0);
    }

    #[tokio::test]
    async fn a_new_hash_makes_the_cache_useless() {
        let verifier = verifier(VerifierOptions::default());
        let old = verifier.hash(secret("old")).await.unwrap();
        assert_eq!(
            verifier.verify(Some(&old), &secret("old")).await,
            Outcome::Right
        );
        assert_eq!(cached(&verifier), 1);
        let new = verifier.hash(secret("new")).await.unwrap();
        assert_eq!(
            verifier.verify(Some(&new), &secret("old")).await,
            Outcome::Wrong
        );
    }

    #[tokio::test]
    async fn a_remembered_password_costs_no_hash() {
        let verifier = verifier(VerifierOptions {
            threads: 1,
            ..Default::default()
        });
        let phc = verifier.hash(secret("open")).await.unwrap();
        assert_eq!(
            verifier.verify(Some(&phc), &secret("open")).await,
            Outcome::Right
        );
        // The only thread is taken; a cached check does not need it.
        let _taken = verifier.0.running.acquire().await.unwrap();
        assert_eq!(
            verifier.verify(Some(&phc), &secret("open")).await,
            Outcome::Right
        );
    }

    #[tokio::test]
    async fn a_flood_is_told_that_we_are_busy() {
        let options = VerifierOptions {
            threads: 1,
            waiting_max: 0,
            ..Default::default()
        };
        let verifier = verifier(options);
        let _taken = verifier.0.admitted.acquire().await.unwrap();
        assert_eq!(verifier.verify(None, &secret("x")).await, Outcome::Busy);
    }

    #[tokio::test]
    async fn the_cache_is_bounded_and_can_be_off() {
        let off = VerifierOptions {
            cache_for: Duration::ZERO,
            ..Default::default()
        };
        let verifier = verifier(off);
        verifier.0.remember([0; 32]);
        assert_eq!(cached(&verifier), 0);
        let small = Verifier::new(VerifierOptions {
            cache_entries_max: 10,
            cost: CHEAP,
            ..Default::default()
        })
        .unwrap();
        for n in 0..100u8 {
            small.0.remember([n; 32]);
            assert!(cached(&small) <= 10);
            assert!(small.0.remembered(&[n; 32]));
        }
    }
}
