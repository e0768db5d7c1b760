//! Starts that fail.

use std::{fs, net::TcpListener};

use e2e::{Ended, Launch, free_port};

use super::http_sh;
use crate::watchdog;

/// Stays whatever happens to the watchdog.
const FUNCTION: &str = "sleep 1000";

/// The watchdog ends with 1, leaves no lock file, and the function is gone as well.
#[track_caller]
fn assert_fails_alone(mut launch: Launch) -> Ended {
    let ended = launch.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(!ended.stderr.trim().is_empty(), "a silent failure");
    assert!(!launch.temp_dir().join(".lock").is_file(), "the lock file was left behind");
    assert_eq!(ended.left_behind, [], "{}", ended.stderr);
    ended
}

#[test]
fn function_that_does_not_exist_fails_the_start() {
    for restart in ["false", "true"] {
        let launch = watchdog()
            .mode("http")
            .fprocess("/no/such/program")
            .env("http_upstream_url", format!("http://127.0.0.1:{}", free_port()))
            .env("upstream_restart", restart);
        let ended = assert_fails_alone(launch);
        assert!(ended.stderr.contains("/no/such/program"), "{}", ended.stderr);
    }
}

#[test]
fn port_that_is_taken_leaves_no_function_behind() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for variable in ["port", "metrics_port"] {
        let ended = assert_fails_alone(http_sh(FUNCTION).env(variable, &port));
        assert!(ended.stderr.contains(&port), "{}", ended.stderr);
    }
}

#[test]
fn lock_file_that_cannot_be_written_leaves_no_function_behind() {
    let launch = http_sh(FUNCTION);
    fs::create_dir(launch.temp_dir().join(".lock")).unwrap();
    let ended = assert_fails_alone(launch);
    assert!(ended.stderr.contains(".lock"), "{}", ended.stderr);
}

#[test]
fn last_words_of_the_function_reach_the_log() {
    let script = "echo last words >&2; printf unterminated; printf unterminated >&2; exit 5";
    for _ in 0..5 {
        let mut dog = http_sh(script).start_unready();
        let ended = dog.wait_exit();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("stderr: last words\n"), "{}", ended.stderr);
        assert!(ended.stderr.contains("stderr: unterminated\n"), "{}", ended.stderr);
        assert!(ended.stdout.contains("stdout: unterminated\n"), "{}", ended.stdout);
    }
}

#[test]
fn last_lines_are_written_to_the_last() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 5";
    let mut dog = http_sh(script).env("prefix_logs", "false").start_unready();
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(1));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3000, "{:?}", lines.last());
    assert_eq!(lines.last(), Some(&"line 2999"));
}
