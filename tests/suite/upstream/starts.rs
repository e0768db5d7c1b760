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
