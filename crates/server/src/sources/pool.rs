//! Connections to a source: so many at the same time, kept for the next who asks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Down;

/// So long after it could not be connected to, a source is not tried again: those whom it delays are
/// mostly others' users.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Pool<C> {
    permits: Semaphore,
    state: Mutex<State<C>>,
}

struct State<C> {
    idle: Vec<C>,
    failed: Option<(Instant, String)>,
}

impl<C> Pool<C> {
    pub(super) fn new(connections: usize) -> Pool<C> {
        Pool {
            permits: Semaphore::new(connections),
            state: Mutex::new(State {
                idle: Vec::new(),
                failed: None,
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to use one connection.
    pub(super) async fn permit(&self) -> Result<SemaphorePermit<'_>, Down> {
        if let Some((at, reason)) = &self.state().failed
            && at.elapsed() < PAUSE
        {
            return Err(Down(format!("{reason} (a moment ago)")));
        }
        let permit = self.permits.acquire().await;
        permit.map_err(|error| Down(error.to_string()))
    }

    /// A connection that was used before.
    pub(super) fn take(&self) -> Option<C> {
        self.state().idle.pop()
    }

    pub(super) fn put(&self, connection: C) {
        let mut state = self.state();
        state.failed = None;
        state.idle.push(connection);
    }

    /// Notes that no connection can be had.
    pub(super) fn failed(&self, reason: String) -> Down {
        let mut state = self.state();
        // What is left of them is of no use either.
        state.idle.clear();
        state.failed = Some((Instant::now(), reason.clone()));
        Down(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_and_none_for_a_while_after_a_failure() {
        let pool = Pool::new(1);
        let permit = pool.permit().await.unwrap();
        assert_eq!(pool.take(), None);
        pool.put(7);
        let second = tokio::time::timeout(Duration::from_millis(20), pool.permit());
        assert!(second.await.is_err());
        drop(permit);
        assert!(pool.permit().await.is_ok());
        assert_eq!(pool.take(), Some(7));
        pool.put(8);
        let Down(reason) = pool.failed("refused".to_owned());
        assert_eq!((reason.as_str(), pool.take()), ("refused", None));
        let Down(reason) = pool.permit().await.unwrap_err();
        assert_eq!(reason, "refused (a moment ago)");
        tokio::time::sleep(PAUSE).await;
        assert!(pool.permit().await.is_ok());
    }
}
