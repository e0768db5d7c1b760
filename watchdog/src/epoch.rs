//! The time since 1970, told from the clock that calls are measured with.
//!
//! Reading a clock costs as much as writing a header field or two, and a call knows its own
//! beginning and end anyway. So each thread reads both clocks together now and then, and tells one
//! from the other in between.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

thread_local! {
    /// When both were read, and the time since 1970 then.
    static BOTH: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// For so long. A clock that is being corrected gains or loses 50 us meanwhile (adjtimex(2)); one
/// that is set is late by this much.
const TOGETHER: Duration = Duration::from_millis(100);

/// What the clock on the wall showed at an instant that is just over.
#[must_use]
pub fn since_1970(at: Instant) -> Duration {
    if let Some((then, since_1970)) = BOTH.get()
        && let Some(passed) = at.checked_duration_since(then)
        && passed < TOGETHER
    {
        return since_1970 + passed;
    }
    // A clock before 1970 is not set at all.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_1970 = now.saturating_sub(at.elapsed());
    BOTH.set(Some((at, since_1970)));
    since_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_is_believed_only_for_a_while() {
        let other = Duration::from_secs(3600);
        let at = Instant::now();
        BOTH.set(Some((at.checked_sub(TOGETHER / 2).unwrap(), other)));
        assert_eq!(since_1970(at), other + TOGETHER / 2);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for then in [at.checked_sub(TOGETHER), at.checked_add(TOGETHER)] {
            BOTH.set(Some((then.unwrap(), other)));
            // Wide enough for a test that is not given the processor.
            assert!(since_1970(at).abs_diff(now) < Duration::from_secs(60));
        }
    }
}
