//! `/_/health`, `/_/ready` and the lock file behind them.

use std::fs;

use e2e::{
    DEADLINE, Request, eventually,
    play::{Play, Step},
};

use crate::{
    held::{self, hold, hold_at, release},
    watchdog,
};

// === /_/health ===

#[test]
fn health_get_answers_200_ok() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).fprocess("false").start();
        let response = dog.get("/_/health");
        assert_eq!((response.status(), response.text().trim()), (200, "OK"));
    }
}

#[test]
fn health_other_methods_answer_405() {
    let dog = watchdog().fprocess("cat").start();
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = dog.call(&Request::new(method, "/_/health"));
        assert_eq!(response.status(), 405, "{method}");
    }
}

#[test]
fn health_with_a_query_is_still_health() {
    let dog = watchdog().fprocess("false").start();
    assert_eq!(dog.get("/_/health?probe=1").status(), 200);
}

#[test]
fn health_with_a_slash_behind_it_is_the_function() {
    let dog = watchdog().sh(r#"printf '%s' "$Http_Path""#).start();
    assert_eq!(dog.get("/_/health/").text(), "/_/health/");
    assert_eq!(dog.get("/_/healthy").text(), "/_/healthy");
}

#[test]
fn health_without_the_lock_file_answers_503_until_it_is_back() {
    let dog = watchdog().mode("streaming").fprocess("cat").start();
    assert!(dog.lock_file().exists());
    fs::remove_file(dog.lock_file()).unwrap();
    for path in ["/_/health", "/_/ready"] {
        let response = dog.get(path);
        assert_eq!((response.status(), response.text().as_str()), (503, ""));
    }
    // The function itself is not shut off by it.
    assert_eq!(dog.post("/", "on").text(), "on");
    fs::write(dog.lock_file(), "").unwrap();
    for path in ["/_/health", "/_/ready"] {
        assert_eq!(dog.get(path).status(), 200, "{path}");
    }
}

#[test]
fn health_with_suppress_lock_answers_200_without_a_lock_file() {
    // Defect 15.
    for mode in ["classic", "streaming"] {
        let dog = watchdog().mode(mode).fprocess("cat").env("suppress_lock", "true").start();
        assert_eq!(dog.get("/_/health").status(), 200);
        assert!(!dog.lock_file().exists());
    }
    let dog = watchdog().mode("streaming").fprocess("cat").env("suppress_lock", "true").start();
    assert_eq!(dog.get("/_/ready").status(), 200);
}

#[test]
fn health_at_the_limit_answers_200() {
    let dog = watchdog().sh(held::SCRIPT).env("max_inflight", "1").start();
    let _held = hold(&dog);
    assert_eq!(dog.get("/").status(), 429);
    assert_eq!(dog.get("/_/health").status(), 200);
}

#[test]
fn lock_file_is_empty_and_removed_at_the_end() {
    let mut dog = watchdog().fprocess("cat").start();
    assert_eq!(fs::read(dog.lock_file()).unwrap(), b"");
    dog.terminate();
    dog.wait_exit();
    assert!(!dog.lock_file().exists());
}

#[test]
fn lock_file_of_a_predecessor_is_taken_over() {
    let launch = watchdog().fprocess("cat");
    launch.write(".lock", "");
    let dog = launch.start();
    assert!(dog.lock_file().exists());
}

// === /_/ready ===

#[test]
fn ready_get_answers_200_without_a_body() {
    let dog = watchdog().mode("streaming").fprocess("false").start();
    let response = dog.get("/_/ready");
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
}

#[test]
fn ready_at_the_limit_answers_429() {
    let dog = watchdog().mode("streaming").sh(held::SCRIPT).env("max_inflight", "1").start();
    assert_eq!(dog.get("/_/ready").status(), 200);
    let mut held = hold(&dog);
    let response = dog.get("/_/ready");
    assert_eq!((response.status(), response.text().as_str()), (429, ""));
    release(&dog);
    assert_eq!(held.read_response().status(), 200);
    eventually(DEADLINE, "/_/ready to answer 200 again", || dog.get("/_/ready").status() == 200);
}

const READY_SCRIPT: &str = r#"
case "$Http_Path" in
/deep/check)
    echo "$Http_Method $Http_Path $Http_X_Probe" >> "$TMPDIR/seen"
    echo secret
    if [ -e "$TMPDIR/bad" ]; then exit 3; fi ;;
*) echo other ;;
esac
"#;

#[test]
fn ready_path_asks_the_function_and_keeps_its_body() {
    // Defect 8: the body was given to anyone who asked.
    for mode in ["serializing", "classic"] {
        let dog = watchdog().mode(mode).sh(READY_SCRIPT).env("ready_path", "/deep/check").start();
        let response = dog.call(&Request::get("/_/ready").header("X-Probe", "mine"));
        assert_eq!((response.status(), response.text().as_str()), (200, ""));
        let seen = fs::read_to_string(dog.temp_dir().join("seen")).unwrap();
        assert_eq!(seen, "GET /deep/check mine\n");

        fs::write(dog.temp_dir().join("bad"), "").unwrap();
        let response = dog.get("/_/ready");
        assert!(response.status() >= 500, "{mode}: {}", response.status());
        assert_eq!(response.text(), "");
        fs::remove_file(dog.temp_dir().join("bad")).unwrap();
        assert_eq!(dog.get("/_/ready").status(), 200);
    }
}

#[test]
fn ready_path_in_streaming_mode_reports_a_failing_function() {
    let dog = watchdog().mode("streaming").sh("exit 3").env("ready_path", "/check").start();
    let response = dog.get("/_/ready");
    assert!(response.status() >= 500, "{}", response.status());
    assert_eq!(response.text(), "");
}

#[test]
fn ready_path_takes_no_slot_of_the_limiter() {
    let dog = watchdog()
        .mode("streaming")
        .sh(held::SCRIPT)
        .env("ready_path", "/hold-ready")
        .env("max_inflight", "1")
        .start();
    let mut probe = hold_at_ready(&dog);
    assert_eq!(dog.get("/").status(), 200);
    release(&dog);
    assert_eq!(probe.read_response().status(), 200);
}

#[test]
fn ready_path_that_hangs_is_not_ready_after_the_time_limit() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog()
            .mode(mode)
            .sh("sleep 1000")
            .env("ready_path", "/check")
            .env("write_timeout", "500ms")
            .env("grace_period", "50ms")
            .start();
        let response = dog.get("/_/ready");
        assert_eq!((response.status(), response.text().as_str()), (503, ""), "{mode}");
        dog.wait_until_childless();
    }
}

#[test]
fn ready_path_that_never_ends_its_answer_is_not_ready() {
    let dog = crate::upstream::http()
        .env("ready_path", "/")
        .env("exec_timeout", "1s")
        .env("write_timeout", "1s")
        .start();
    eventually(DEADLINE, "the function to be ready", || dog.get("/_/ready").status() == 200);
    let endless = Play::new([
        Step::Body,
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n".into()),
        Step::Wait("never".into()),
    ]);
    let probe = endless.with(Request::get("/_/ready").header("Accept", "text/event-stream"));
    let response = dog.call(&probe);
    assert_eq!((response.status(), response.text().as_str()), (503, ""));
}

#[test]
fn probe_is_no_reason_to_stay_when_the_watchdog_stops() {
    let mut dog = watchdog()
        .mode("streaming")
        .sh(held::SCRIPT)
        .env("ready_path", "/hold-ready")
        .env("exec_timeout", "60s")
        .env("write_timeout", "60s")
        .env("grace_period", "50ms")
        .start();
    let mut probe = hold_at_ready(&dog);
    dog.terminate();
    assert_eq!(probe.read_response().status(), 503);
    assert_eq!(dog.wait_exit().code(), Some(0));
}

fn hold_at_ready(dog: &e2e::Watchdog) -> e2e::Client {
    let mut client = dog.connect();
    client.send(Request::get("/_/ready").to_bytes());
    eventually(DEADLINE, "the probe to reach the function", || held::held(dog) > 0);
    client
}

#[test]
fn probes_are_neither_counted_nor_logged() {
    let dog =
        watchdog().mode("streaming").fprocess("cat").env("ready_path", "/check").metrics().start();
    assert_eq!(dog.get("/_/health").status(), 200);
    assert_eq!(dog.get("/_/ready").status(), 200);
    assert_eq!(dog.post("/mark", "x").status(), 200);
    eventually(DEADLINE, "the count of the call", || dog.metrics().requests(200, "post") > 0.0);
    let metrics = dog.metrics();
    assert!((metrics.all_requests() - 1.0).abs() < f64::EPSILON, "{}", metrics.text);
    let lines = dog.wait_for_access_lines(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("POST /mark"), "{lines:?}");
}

#[test]
fn client_that_leaves_the_probe_ends_the_probes_process() {
    let dog =
        watchdog().mode("streaming").sh(held::SCRIPT).env("ready_path", "/hold-ready").start();
    hold_at_ready(&dog).reset();
    dog.wait_until_childless();
    // And an ordinary call is held and ended the same way.
    hold_at(&dog, "/hold").reset();
    dog.wait_until_childless();
}

#[test]
fn lock_file_follows_no_link_and_waits_for_no_reader() {
    for odd in ["link", "fifo", "directory"] {
        let mut launch = watchdog().fprocess("cat");
        let lock = launch.temp_dir().join(".lock");
        let victim = launch.write("victim", "precious");
        match odd {
            "link" => std::os::unix::fs::symlink(&victim, &lock).unwrap(),
            "fifo" => {
                let made = std::process::Command::new("mkfifo").arg(&lock).status().unwrap();
                assert!(made.success());
            }
            _ => fs::create_dir(&lock).unwrap(),
        }
        let ended = launch.spawn_expecting_exit();
        assert_eq!(ended.code(), Some(1), "{odd}");
        assert!(ended.stderr.contains("cannot write the lock file"), "{odd}: {}", ended.stderr);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{odd}");
    }
}

#[test]
fn one_probe_of_the_function_runs_at_a_time() {
    let dog =
        watchdog().mode("streaming").sh(held::SCRIPT).env("ready_path", "/hold-ready").start();
    let mut first = hold_at_ready(&dog);
    let mut others: Vec<_> = (0..5)
        .map(|_| {
            let mut client = dog.connect();
            client.send(Request::get("/_/ready").to_bytes());
            client
        })
        .collect();
    // Once health has answered on a connection made after them, they have been seen, too.
    assert_eq!(dog.get("/_/health").status(), 200);
    assert_eq!(dog.children().len(), 1);
    release(&dog);
    assert_eq!(first.read_response().status(), 200);
    for client in &mut others {
        assert_eq!(client.read_response().status(), 200);
    }
}
