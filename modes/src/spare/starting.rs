//! The time in which a spare starts up: it uses a CPU, and is not warm yet.

use std::time::{Duration, Instant};

use crate::process::{Activity, Process};

/// From the start to the first look. Later ones are twice as far apart each time.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// Between looks at most; also what it takes to see in their time that other threads than the
/// first are at work: a tick (times(2)).
const LONGEST_LOOK: Duration = Duration::from_millis(10);
/// A process that works for so long works for itself.
const LONGEST: Duration = Duration::from_secs(10);

/// How a process was found that starts up.
#[derive(Debug)]
pub(super) struct Starting {
    since: Instant,
    last: Option<Activity>,
    pause: Duration,
    next: Instant,
}

impl Starting {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, last: None, pause: FIRST_LOOK, next: now + FIRST_LOOK }
    }

    /// When to look at it again.
    pub(super) fn next_look(&self) -> Instant {
        self.next
    }

    /// Whether `process` waits by now, for its input as one may hope.
    pub(super) fn is_over(&mut self, process: &Process, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let Some(activity) = process.activity() else { return true };
        let far_apart = activity.is_single() || self.pause >= LONGEST_LOOK;
        let waits = self.last.is_some_and(|last| far_apart && activity.waits_since(last));
        self.last = Some(activity);
        self.pause = (self.pause * 2).min(LONGEST_LOOK);
        self.next = now + self.pause;
        waits || now - self.since >= LONGEST
    }
}
