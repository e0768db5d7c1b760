//! How long one call may take.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::error::Error;

/// A point in time at which a call is ended, and how long that was.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// `allowed` from now.
    #[must_use]
    pub fn after(allowed: Duration) -> Self {
        Self { at: Instant::now() + allowed, allowed }
    }

    /// What is left of it; zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// How long it was from its start.
    #[must_use]
    pub fn allowed(&self) -> Duration {
        self.allowed
    }

    /// Runs `work`, but no longer than the deadline if there is one.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and `work`'s own.
    pub async fn bound<T>(
        deadline: Option<Self>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(deadline) = deadline else { return work.await };
        let bounded = timeout_at(deadline.at, pin!(work)).await;
        bounded.unwrap_or(Err(deadline.passed()))
    }

    /// For a body that outlives the call's function.
    pub(crate) fn timer(self) -> Timer {
        Timer { deadline: self, sleep: Box::pin(sleep_until(self.at)) }
    }

    fn passed(self) -> Error {
        Error::TimedOut(self.allowed)
    }
}

/// A [`Deadline`] that can be polled.
pub(crate) struct Timer {
    deadline: Deadline,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// `Some` once the deadline has passed.
    pub(crate) fn poll_passed(&mut self, cx: &mut std::task::Context<'_>) -> Option<Error> {
        self.sleep.as_mut().poll(cx).is_ready().then(|| self.deadline.passed())
    }
}
