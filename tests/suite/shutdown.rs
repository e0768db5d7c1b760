//! From SIGTERM or SIGINT to exit code 0.

mod backlog;
mod signals;

use std::time::{Duration, Instant};

use e2e::{Client, DEADLINE, End, Launch, Piece, Request, Watchdog, eventually};
use rustix::process::Signal;

use crate::{
    held::{self, hold, hold_at, release, wait_until_in_flight},
    watchdog,
};

fn holding(mode: &str) -> Launch {
    watchdog().mode(mode).sh(held::SCRIPT)
}

#[track_caller]
fn assert_clean_exit(dog: &mut Watchdog) {
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(!dog.lock_file().exists(), "the lock file is still there");
    eventually(DEADLINE, "the end of every process", || dog.started_processes().is_empty());
}

#[track_caller]
fn wait_until_listener_is_closed(dog: &Watchdog) {
    eventually(DEADLINE, "the listener to close", || Client::try_connect(dog.addr()).is_err());
}

#[test]
fn idle_watchdog_exits_at_once() {
    for (mode, signal) in [
        ("classic", Signal::TERM),
        ("streaming", Signal::INT),
        ("serializing", Signal::HUP),
        ("classic", Signal::QUIT),
    ] {
        // Both intervals keep their 30 s: waiting for either would break the deadline.
        let mut dog = holding(mode).start();
        assert_eq!(dog.get("/").status(), 200);
        dog.signal(signal);
        let start = Instant::now();
        assert_clean_exit(&mut dog);
        assert!(start.elapsed() < Duration::from_secs(10), "{mode}");
    }
}

/// An otherwise idle watchdog has this connection when it is told to stop.
#[track_caller]
fn assert_exits_at_once_in_spite_of(prepare: impl FnOnce(&mut Client)) {
    let mut dog = holding("classic").start();
    let mut client = dog.connect();
    prepare(&mut client);
    // This connection comes later, so the server knows the other one by now.
    assert_eq!(dog.get("/_/health").status(), 200);
    dog.terminate();
    let start = Instant::now();
    assert_clean_exit(&mut dog);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(client.is_closed_by_server());
}

#[test]
fn connection_between_two_calls_does_not_hold_up_the_exit() {
    assert_exits_at_once_in_spite_of(|client| {
        assert_eq!(client.call(&Request::get("/")).status(), 200);
    });
}

#[test]
fn connection_that_has_sent_nothing_does_not_hold_up_the_exit() {
    assert_exits_at_once_in_spite_of(|_| {});
}

#[test]
fn connection_with_half_a_head_does_not_hold_up_the_exit() {
    assert_exits_at_once_in_spite_of(|client| client.send("GET / HTTP/1.1\r\nHo"));
}

#[test]
fn stopping_watchdog_is_unready_at_once() {
    let mut dog = holding("streaming").start();
    let mut held = hold(&dog);
    let mut kept = dog.connect();
    assert_eq!(kept.call(&Request::get("/")).status(), 200);
    dog.terminate();
    eventually(DEADLINE, "503 from both", || {
        ["/_/health", "/_/ready"].iter().all(|path| {
            dog.try_get(path)
                .is_some_and(|response| response.status() == 503 && response.body.is_empty())
        })
    });
    eventually(DEADLINE, "the lock file to go", || !dog.lock_file().exists());
    // Unready is not shut: a router may not have heard of it yet.
    let response = kept.call(&Request::get("/"));
    assert_eq!((response.status(), response.text().as_str()), (200, "quick\n"));
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
    assert_clean_exit(&mut dog);
}

#[test]
fn busy_watchdog_serves_new_calls_until_the_last_one_ended() {
    for mode in ["classic", "streaming"] {
        let mut dog = holding(mode).env("healthcheck_interval", "60s").start();
        let mut held = hold(&dog);
        dog.terminate();
        eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
        for _ in 0..3 {
            assert_eq!(dog.get("/").text(), "quick\n");
        }
        dog.assert_runs();
        release(&dog);
        assert_eq!(held.read_response().text(), "released\n");
        // Long before the interval is over.
        assert_clean_exit(&mut dog);
    }
}

#[test]
fn listener_closes_after_healthcheck_interval_and_the_call_still_ends_well() {
    for mode in ["classic", "streaming"] {
        let mut dog = holding(mode).env("healthcheck_interval", "300ms").start();
        let mut held = hold(&dog);
        dog.terminate();
        wait_until_listener_is_closed(&dog);
        dog.assert_runs();
        release(&dog);
        let response = held.read_response();
        assert_eq!(response.text(), "released\n");
        assert!(response.is_complete());
        assert!(response.head.says("connection", "close"), "{mode}: {:?}", response.head);
        assert_clean_exit(&mut dog);
    }
}

#[test]
fn connection_that_was_idle_is_closed_with_the_listener() {
    let mut dog = holding("classic").env("healthcheck_interval", "0").start();
    let mut held = hold(&dog);
    let mut kept = dog.connect();
    assert_eq!(kept.call(&Request::get("/")).status(), 200);
    dog.terminate();
    assert!(kept.is_closed_by_server());
    release(&dog);
    assert_eq!(held.read_response().status(), 200);
    assert_clean_exit(&mut dog);
}

#[test]
fn healthcheck_interval_0_closes_the_listener_at_once_and_ends() {
    // Defect 9: it never ended.
    let mut dog = holding("classic").env("healthcheck_interval", "0").start();
    let mut held = hold(&dog);
    dog.terminate();
    wait_until_listener_is_closed(&dog);
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
    assert_clean_exit(&mut dog);

    let mut idle = holding("classic").env("healthcheck_interval", "0").start();
    idle.terminate();
    assert_clean_exit(&mut idle);
}

#[test]
fn stream_longer_than_the_drain_limit_is_cut_and_its_processes_killed() {
    let mut dog = holding("streaming")
        .env("healthcheck_interval", "100ms")
        .env("write_timeout", "2s")
        .env("grace_period", "200ms")
        .start();
    let mut stream = hold_at(&dog, "/hold-open");
    assert_eq!(stream.read_head().status, 200);
    assert_eq!(stream.read_chunk_data(), b"opened\n");
    dog.terminate();
    let start = Instant::now();
    match stream.read_piece() {
        Piece::End(End::Cut(_)) => {}
        other => panic!("the client must see that it was cut: {other:?}"),
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_clean_exit(&mut dog);
}

#[test]
fn function_that_ignores_sigterm_does_not_outlive_the_watchdog() {
    let mut dog = watchdog()
        .mode("streaming")
        .sh("trap '' TERM; echo started; while :; do sleep 0.05; done")
        .env("healthcheck_interval", "0")
        .env("write_timeout", "2s")
        .env("grace_period", "200ms")
        .start();
    let mut stream = dog.connect();
    stream.send(Request::get("/").to_bytes());
    assert_eq!(stream.read_head().status, 200);
    dog.terminate();
    assert_clean_exit(&mut dog);
}

#[test]
fn queued_call_is_served_after_the_listener_closed() {
    let mut dog = holding("classic")
        .env("max_inflight", "1")
        .env("max_queue", "1")
        .env("queue_timeout", "30s")
        .env("healthcheck_interval", "200ms")
        .metrics()
        .start();
    let mut held = hold(&dog);
    let mut queued = dog.connect();
    queued.send(Request::get("/").to_bytes());
    wait_until_in_flight(&dog, 2.0);
    dog.terminate();
    wait_until_listener_is_closed(&dog);
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
    let response = queued.read_response();
    assert_eq!((response.status(), response.text().as_str()), (200, "quick\n"));
    assert_clean_exit(&mut dog);
}

#[test]
fn upload_in_flight_is_finished() {
    let mut dog =
        watchdog().mode("classic").fprocess("cat").env("healthcheck_interval", "100ms").start();
    let mut client = dog.connect();
    client.send("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 10\r\n\r\nhello");
    eventually(DEADLINE, "the function to start", || !dog.started_processes().is_empty());
    dog.terminate();
    wait_until_listener_is_closed(&dog);
    client.send("world");
    assert_eq!(client.read_response().text(), "helloworld");
    assert_clean_exit(&mut dog);
}

#[test]
fn log_tells_the_steps() {
    let mut dog = holding("classic").env("healthcheck_interval", "100ms").start();
    let mut held = hold(&dog);
    dog.terminate();
    dog.wait_for_log(|log| log.contains("SIGTERM"));
    wait_until_listener_is_closed(&dog);
    dog.wait_for_log(|log| log.contains("No new connections allowed"));
    release(&dog);
    assert_eq!(held.read_response().status(), 200);
    assert_clean_exit(&mut dog);
}

#[test]
fn idle_static_watchdog_exits_at_once() {
    let launch = watchdog().mode("static");
    launch.write("page.txt", "text");
    let root = launch.temp_dir().to_owned();
    let mut dog = launch.env("static_path", root).start();
    assert_eq!(dog.get("/page.txt").text(), "text");
    dog.terminate();
    let start = Instant::now();
    assert_clean_exit(&mut dog);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
