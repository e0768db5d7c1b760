//! How long one call may take.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
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
        Self::since(Instant::now().into_std(), allowed)
    }

    /// `allowed` from then.
    #[must_use]
    pub fn since(start: std::time::Instant, allowed: Duration) -> Self {
        Self { at: Instant::from_std(start) + allowed, allowed }
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

    /// What `work` comes to, or `None` when the deadline passes first.
    pub(crate) async fn limit<T>(self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.at, work).await.ok()
    }

    /// Whether it has passed.
    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.at
    }

    /// What a call ends with that has gone past it.
    pub(crate) fn passed(self) -> Error {
        Error::TimedOut(self.allowed)
    }
}

/// A timer that lasts longer than a call. Making, and taking out of the runtime's wheel, a timer
/// for each call would be a notable part of a short one; most deadlines are never met, so this one
/// stays where an earlier call put it and moves on only when it goes off too early.
#[derive(Debug, Default)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// `Some` once the deadline has passed; else the task is woken when it does.
    pub fn poll_passed(&mut self, deadline: Deadline, cx: &mut Context<'_>) -> Option<Error> {
        self.poll(deadline.at, cx).is_ready().then(|| deadline.passed())
    }

    /// Ready once it is `at`; else the task is woken then.
    pub fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// A [`Deadline`] that can be polled.
pub(crate) struct Timer {
    deadline: Deadline,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// `Some` once the deadline has passed.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        self.sleep.as_mut().poll(cx).is_ready().then(|| self.deadline.passed())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn passed(alarm: &mut Alarm, deadline: Deadline) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        alarm.poll_passed(deadline, &mut cx).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn one_alarm_serves_deadlines_in_any_order() {
        let mut alarm = Alarm::default();
        let late = Deadline::after(Duration::from_secs(30));
        assert!(!passed(&mut alarm, late));
        let soon = Deadline::after(Duration::from_secs(1));
        assert!(!passed(&mut alarm, soon));
        tokio::time::advance(Duration::from_millis(1100)).await;
        assert!(passed(&mut alarm, soon));
        assert!(!passed(&mut alarm, late));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(passed(&mut alarm, late));
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_left_by_an_earlier_call_wakes_a_later_one_in_time() {
        let mut alarm = Alarm::default();
        assert!(!passed(&mut alarm, Deadline::after(Duration::from_secs(1))));
        let deadline = Deadline::after(Duration::from_secs(3));
        let waited = Instant::now();
        let late = std::future::poll_fn(|cx| match alarm.poll_passed(deadline, cx) {
            Some(late) => Poll::Ready(late),
            None => Poll::Pending,
        });
        assert!(matches!(late.await, Error::TimedOut(_)));
        assert_eq!(waited.elapsed().as_secs(), 3);
    }
}
