//! How many calls run at once, how many wait, and how long.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// `max_inflight`, `max_queue`, `queue_timeout`.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Calls that run at once; `None` for any number.
    pub max_inflight: Option<NonZeroUsize>,
    /// Calls that may wait for one of those to end.
    pub max_queue: usize,
    /// How long one waits.
    pub queue_timeout: Duration,
}

/// Gives out permits to call.
#[derive(Debug)]
pub struct Limiter {
    config: Config,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to call; gives its place back when dropped, on whatever path that is.
#[derive(Debug)]
pub struct Permit {
    _place: Option<OwnedSemaphorePermit>,
}

/// All places are taken, and the queue is full or was too slow: 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Concurrent request limit exceeded. Max concurrent requests: {0}")]
pub struct Exceeded(pub NonZeroUsize);

impl Limiter {
    /// A limiter with all its places free.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let places = config.max_inflight.map_or(0, usize::from).min(Semaphore::MAX_PERMITS);
        Self { config, permits: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0) }
    }

    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.config.max_inflight.is_some()
    }

    /// Whether a call would have to wait now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.config.max_inflight.is_some() && self.permits.available_permits() == 0
    }

    /// A place, at once or after waiting for one; first come, first served.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub async fn enter(&self) -> Result<Permit, Exceeded> {
        let Some(limit) = self.config.max_inflight else { return Ok(Permit { _place: None }) };
        if let Ok(place) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Permit { _place: Some(place) });
        }
        let _waiting =
            Waiting::join(&self.waiting, self.config.max_queue).ok_or(Exceeded(limit))?;
        let place = Arc::clone(&self.permits).acquire_owned();
        match timeout(self.config.queue_timeout, place).await {
            Ok(Ok(place)) => Ok(Permit { _place: Some(place) }),
            Ok(Err(_)) | Err(_) => Err(Exceeded(limit)),
        }
    }
}

/// A place in the queue, left when the wait is over or given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let join = |waiting| (waiting < most).then_some(waiting + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, join).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(max_queue: usize, queue_timeout: Duration) -> Limiter {
        Limiter::new(Config { max_inflight: NonZeroUsize::new(1), max_queue, queue_timeout })
    }

    #[tokio::test(start_paused = true)]
    async fn one_runs_one_waits_the_third_is_refused() {
        let limiter = Arc::new(limiter(1, Duration::from_secs(5)));
        let first = limiter.enter().await.unwrap();
        let second = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.enter().await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(limiter.is_full());
        let error = limiter.enter().await.unwrap_err().to_string();
        assert_eq!(error, "Concurrent request limit exceeded. Max concurrent requests: 1");
        drop(first);
        assert!(second.await.unwrap());
        assert!(limiter.enter().await.is_ok(), "all places must be free again");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_and_frees_its_place_in_the_queue() {
        let limiter = limiter(1, Duration::from_secs(5));
        let first = limiter.enter().await.unwrap();
        for _ in 0..3 {
            assert!(limiter.enter().await.is_err());
        }
        drop(first);
        assert!(limiter.enter().await.is_ok());
    }
}
