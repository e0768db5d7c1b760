//! What the function writes beside its responses.

use super::http_sh;

/// of-watchdog #100 and #105, for the other pipe.
#[test]
fn long_line_on_stderr_reaches_the_log_and_the_function_goes_on() {
    let script =
        r"head -c 300000 /dev/zero | tr '\0' x >&2; echo >&2; echo after >&2; exec $UPSTREAM";
    let dog = http_sh(script).env("prefix_logs", "false").start_ready();
    dog.wait_for_log(|log| log.lines().any(|line| line == "after"));
    let log = dog.stderr();
    let pieces = log.lines().filter(|line| line.starts_with('x')).map(str::len);
    let pieces: Vec<usize> = pieces.collect();
    assert_eq!(pieces.iter().sum::<usize>(), 300_000);
    assert!(pieces.iter().all(|length| *length <= 65_536), "{pieces:?}");
    assert_eq!(dog.get("/").status(), 200);
}
