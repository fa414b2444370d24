//! What sources have confirmed, for a short time. What they refused is never remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use restante_auth::Verifier;
use restante_auth::password::PasswordError;

const ENTRIES_MAX: usize = 20_000;

/// A keyed hash of what was confirmed.
pub(super) type Mark = [u8; 32];

pub(super) struct Remembered {
    /// New in each process: a copy of the marks alone tells nothing.
    key: hmac::Key,
    /// Until when, and what the user is called.
    entries: Mutex<HashMap<Mark, (Instant, String)>>,
}

impl Remembered {
    pub(super) fn new() -> Result<Remembered, PasswordError> {
        Ok(Remembered {
            key: hmac::Key::new(hmac::HMAC_SHA256, &Verifier::random()?),
            entries: Mutex::default(),
        })
    }

    /// The mark of a name at a source, with a password or by itself.
    pub(super) fn mark(&self, source: usize, name: &str, password: Option<&str>) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(source as u64).to_be_bytes());
        context.update(&(name.len() as u64).to_be_bytes());
        context.update(name.as_bytes());
        if let Some(password) = password {
            context.update(b"=");
            context.update(password.as_bytes());
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    pub(super) fn get(&self, mark: &Mark) -> Option<String> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, name) = entries.get(mark)?;
        (*until > Instant::now()).then(|| name.clone())
    }

    pub(super) fn put(&self, mark: Mark, name: &str, time: Duration) {
        if time.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, (until, _)| *until > now);
        }
        if entries.len() >= ENTRIES_MAX {
            // All are fresh: what is forgotten is asked for again.
            entries.clear();
        }
        entries.insert(mark, (now + time, name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_confirmed_and_not_for_long() {
        let remembered = Remembered::new().unwrap();
        let mark = remembered.mark(0, "ada", Some("secret"));
        for other in [
            remembered.mark(1, "ada", Some("secret")),
            remembered.mark(0, "ada", Some("secre")),
            remembered.mark(0, "ada", None),
            remembered.mark(0, "ad", Some("asecret")),
            Remembered::new().unwrap().mark(0, "ada", Some("secret")),
        ] {
            assert_ne!(mark, other);
        }
        remembered.put(mark, "ada", Duration::ZERO);
        assert_eq!(remembered.get(&mark), None);
        remembered.put(mark, "ada", Duration::from_secs(60));
        assert_eq!(remembered.get(&mark).as_deref(), Some("ada"));
        remembered.put(mark, "ada", Duration::from_nanos(1));
        assert_eq!(remembered.get(&mark), None);
        for number in 0..2 * ENTRIES_MAX {
            let mut mark = [0; 32];
            mark[..8].copy_from_slice(&number.to_be_bytes());
            remembered.put(mark, "x", Duration::from_secs(60));
        }
        assert!(remembered.entries.lock().unwrap().len() <= ENTRIES_MAX);
    }
}
