//! Waiting for a condition.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything that should happen may take before the test fails. Generous, because test
/// machines are slow and shared; nothing ever waits for it when things go well.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Polls `condition` until it is true.
///
/// # Panics
/// When it is still false after `deadline`; `what` completes the sentence "gave up waiting for".
#[track_caller]
pub fn eventually(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition() {
        assert!(start.elapsed() < deadline, "gave up waiting for {what} after {deadline:?}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
