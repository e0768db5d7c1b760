//! A busy loop does not interrupt who gives it work.
//!
//! A thread that wakes may take the CPU of whoever runs there. So the first of many requests that a
//! client on the same machine, or a proxy, has to send at once switches it out, and what follows comes
//! one by one: two switches a request, and neither side ever finds a batch. With `SCHED_BATCH`
//! (sched(7)) a loop that wakes waits for its waker to sleep: a small static file costs 0.84 times the
//! processor time at c=64 (docs/performance.md). Where another process is between, as with a proxied
//! function, it makes no difference.
//!
//! Beside others that compute it would wait for the end of their turn, 3 ms, for a single call, too. So
//! only a loop that is busy itself has that policy, and its requests wait for each other anyway.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modes::process::{Policy, used};

/// How long a loop is watched before it is judged.
const WINDOW: Duration = Duration::from_millis(20);

/// What a loop has used, and what it has come to.
#[derive(Debug)]
pub(super) struct Diligence(Mutex<State>);

#[derive(Debug)]
struct State {
    policy: Policy,
    /// When the window began, and what the thread had used of a CPU then.
    since: Instant,
    used: Duration,
}

impl Diligence {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            policy: Policy::Other,
            since: Instant::now(),
            used: Duration::ZERO,
        }))
    }

    /// Judges the calling thread, always the same one, which is about to wait for work.
    pub(super) fn judge(&self) {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = now.saturating_duration_since(state.since);
        if window < WINDOW {
            return;
        }
        let used = used();
        let next = next(state.policy, window, used.saturating_sub(state.used));
        // Who may not change it goes on as they were.
        if next != state.policy && next.enter().is_ok() {
            state.policy = next;
        }
        (state.since, state.used) = (now, used);
    }
}

/// From an eighth of a CPU to below a sixteenth.
fn next(policy: Policy, window: Duration, used: Duration) -> Policy {
    match policy {
        Policy::Other if used >= window / 8 => Policy::Batch,
        Policy::Batch if used < window / 16 => Policy::Other,
        as_before => as_before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_between_busy_and_idle_stays_as_it_is() {
        let after = |policy, used| next(policy, WINDOW, Duration::from_micros(used));
        assert_eq!(after(Policy::Other, 2_499), Policy::Other);
        assert_eq!(after(Policy::Other, 2_500), Policy::Batch);
        assert_eq!(after(Policy::Batch, 1_250), Policy::Batch);
        assert_eq!(after(Policy::Batch, 1_249), Policy::Other);
    }
}
