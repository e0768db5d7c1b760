//! Nobody reads the log, or nobody can.

use e2e::Watchdog;

use crate::watchdog;

/// 5 MB of lines on standard error, far more than the pipe to the reader of the log holds.
const NOISE: &str = r"
line=0123456789012345678901234567890123456789012345678901234567890123456789012345678
yes $line | head -n 64000 >&2
echo done";

/// It serves, and it ends when it is told to.
#[track_caller]
fn assert_serves_and_ends(mut dog: Watchdog) {
    for _ in 0..2 {
        let response = dog.get("/");
        assert_eq!((response.status(), response.text().as_str()), (200, "done\n"));
        assert_eq!(dog.get("/_/health").status(), 200);
    }
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
}

#[test]
fn reader_of_the_log_that_stops_stops_nothing() {
    for prefix in ["true", "false"] {
        let dog = watchdog().mode("streaming").sh(NOISE).env("prefix_logs", prefix).start();
        dog.stop_reading_output(true);
        assert_serves_and_ends(dog);
    }
}

#[test]
fn log_that_is_closed_stops_nothing() {
    for closed in ["exec \"$0\" \"$@\" 2>&-", "exec \"$0\" \"$@\" >&- 2>&- <&-"] {
        let launch = watchdog().mode("streaming").sh(NOISE);
        assert_serves_and_ends(launch.through(&["sh", "-c", closed]).start_mute());
    }
}
