//! `max_inflight`, `max_queue` and `queue_timeout`.

use std::time::{Duration, Instant};

use e2e::{Client, DEADLINE, Launch, ReadError, Request, Watchdog, eventually};

use crate::{
    held::{self, hold, hold_at, release, wait_until_in_flight},
    processes::timed_out,
    watchdog,
};

fn limited(mode: &str, limit: &str) -> Launch {
    watchdog().mode(mode).sh(held::SCRIPT).env("max_inflight", limit)
}

/// The one slot is free: a call is served, and so is the next.
#[track_caller]
fn assert_slot_comes_free(dog: &Watchdog) {
    eventually(DEADLINE, "the slot to come free", || dog.get("/").status() == 200);
    eventually(DEADLINE, "the slot to come free once more", || dog.get("/").status() == 200);
}

#[test]
fn limit_met_answers_429_exactly_as_before() {
    for (mode, limit) in [("classic", 1), ("streaming", 2), ("serializing", 1)] {
        let dog = limited(mode, &limit.to_string()).start();
        let mut calls: Vec<_> = (0..limit).map(|_| hold(&dog)).collect();
        let response = dog.get("/");
        assert_eq!(response.status(), 429);
        assert_eq!(
            response.text(),
            format!("Concurrent request limit exceeded. Max concurrent requests: {limit}\n")
        );
        let content_type = response.header("content-type").unwrap();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
        assert_eq!(response.header("x-openfaas-internal"), Some("faas-middleware"));
        assert_eq!(response.header("retry-after"), None);
        release(&dog);
        for call in &mut calls {
            assert_eq!(call.read_response().text(), "released\n");
        }
        eventually(DEADLINE, "a slot", || dog.get("/").status() == 200);
    }
}

#[test]
fn limit_is_checked_before_the_method() {
    let dog = limited("classic", "1").start();
    assert_eq!(dog.call(&Request::new("OPTIONS", "/")).status(), 405);
    let _held = hold(&dog);
    assert_eq!(dog.call(&Request::new("OPTIONS", "/")).status(), 429);
}

#[test]
fn limit_of_0_and_below_is_no_limit() {
    for limit in ["0", "-1"] {
        let dog = limited("classic", limit).start();
        let mut calls: Vec<_> = (0..3).map(|_| hold(&dog)).collect();
        assert_eq!(dog.get("/").status(), 200);
        release(&dog);
        for call in &mut calls {
            assert_eq!(call.read_response().status(), 200);
        }
    }
}

#[test]
fn slot_is_free_again_after_a_refused_method() {
    let dog = limited("classic", "1").start();
    for _ in 0..3 {
        assert_eq!(dog.call(&Request::new("OPTIONS", "/")).status(), 405);
    }
    assert_slot_comes_free(&dog);
}

#[test]
fn slot_is_free_again_after_a_failing_function() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog()
            .mode(mode)
            .sh(r#"test "$Http_Path" = / || exit 7"#)
            .env("max_inflight", "1")
            .start();
        for _ in 0..3 {
            eventually(DEADLINE, "the failure", || dog.get("/fail").status() == 500);
        }
        assert_slot_comes_free(&dog);
    }
}

#[test]
fn slot_is_free_again_after_a_timeout() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = limited(mode, "1").env("exec_timeout", "200ms").start();
        assert_eq!(dog.get("/hold").status(), timed_out(mode), "{mode}");
        assert_slot_comes_free(&dog);
        dog.wait_until_childless();
    }
}

#[test]
fn slot_is_free_again_after_the_client_left() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = limited(mode, "1").start();
        hold(&dog).reset();
        assert_slot_comes_free(&dog);
        dog.wait_until_childless();
    }
}

#[test]
fn slot_is_free_again_after_the_client_left_while_uploading() {
    for mode in ["classic", "streaming", "serializing"] {
        // A function that waits for all of it.
        let dog = watchdog().mode(mode).fprocess("cat").env("max_inflight", "1").start();
        let mut client = dog.connect();
        client.send("POST /x HTTP/1.1\r\nHost: f\r\nContent-Length: 100\r\n\r\nhalf");
        eventually(DEADLINE, "the upload to start", || !dog.children().is_empty());
        assert_eq!(dog.get("/").status(), 429, "{mode}");
        client.reset();
        assert_slot_comes_free(&dog);
        dog.wait_until_childless();
    }
}

#[test]
fn slot_is_free_again_after_aborted_streams() {
    // Defect 3: each aborted stream took one slot for ever.
    let dog = watchdog()
        .mode("streaming")
        .sh(r#"if [ "$Http_Path" = / ]; then exit; fi; while :; do echo line; sleep 0.02; done"#)
        .env("max_inflight", "1")
        .start();
    for _ in 0..3 {
        let mut client = dog.connect();
        eventually(DEADLINE, "the stream to be let in", || {
            client = dog.connect();
            client.send(Request::get("/stream").to_bytes());
            client.read_head().status == 200
        });
        assert_eq!(client.read_chunk_data(), b"line\n");
        client.reset();
    }
    assert_slot_comes_free(&dog);
    dog.wait_until_childless();
}

#[test]
fn slot_is_held_until_the_stream_ends() {
    let dog = limited("streaming", "1").start();
    let mut stream = hold_at(&dog, "/hold-open");
    assert_eq!(stream.read_head().status, 200);
    assert_eq!(stream.read_chunk_data(), b"opened\n");
    assert_eq!(dog.get("/").status(), 429);
    release(&dog);
    assert_eq!(stream.read_body().0, b"released\n");
    assert_slot_comes_free(&dog);
}

// === waiting instead of an immediate 429 ===

/// One slot and one place to wait for it.
fn queued() -> Watchdog {
    let launch = limited("classic", "1").env("max_queue", "1").env("queue_timeout", "60s");
    launch.metrics().start()
}

/// Whether a call that was sent gets no answer for a while.
fn waits(client: &mut Client) -> bool {
    client.set_patience(Duration::from_millis(300));
    let waits = client.try_read_head().is_err_and(|error| error == ReadError::TimedOut);
    client.set_patience(DEADLINE);
    waits
}

#[test]
fn queue_lets_a_call_wait_for_the_slot() {
    let dog = queued();
    let mut first = hold(&dog);
    let mut second = dog.connect();
    second.send(Request::get("/second").to_bytes());
    wait_until_in_flight(&dog, 2.0);
    assert!(waits(&mut second), "the second call was answered");
    assert_eq!(dog.get("/third").status(), 429);
    release(&dog);
    assert_eq!(first.read_response().text(), "released\n");
    assert_eq!(second.read_response().text(), "quick\n");
    assert_slot_comes_free(&dog);
}

#[test]
fn queue_timeout_answers_429_and_not_before() {
    let dog = limited("classic", "1").env("max_queue", "5").env("queue_timeout", "300ms").start();
    let mut first = hold(&dog);
    let start = Instant::now();
    let response = dog.get("/second");
    assert_eq!(response.status(), 429);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(response.header("x-openfaas-internal"), Some("faas-middleware"));
    release(&dog);
    assert_eq!(first.read_response().status(), 200);
    assert_slot_comes_free(&dog);
}

#[test]
fn queue_place_is_free_again_after_the_waiting_client_left() {
    let dog = queued();
    let mut first = hold(&dog);
    for _ in 0..3 {
        let mut waiting = dog.connect();
        waiting.send(Request::get("/leaves").to_bytes());
        wait_until_in_flight(&dog, 2.0);
        assert_eq!(dog.get("/").status(), 429, "the queue has one place");
        waiting.reset();
        wait_until_in_flight(&dog, 1.0);
    }
    let mut second = dog.connect();
    second.send(Request::get("/second").to_bytes());
    wait_until_in_flight(&dog, 2.0);
    assert!(waits(&mut second), "the place in the queue is gone");
    release(&dog);
    assert_eq!(first.read_response().status(), 200);
    assert_eq!(second.read_response().text(), "quick\n");
}
