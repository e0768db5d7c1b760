//! Clients that send too slowly: `read_timeout`.

use std::time::{Duration, Instant};

use e2e::{ReadError, Request};

use super::assert_serves;
use crate::watchdog;

#[test]
fn head_that_does_not_arrive_is_given_up_after_read_timeout() {
    let dog = watchdog().fprocess("cat").env("read_timeout", "300ms").start();
    let mut client = dog.connect();
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHo");
    match client.try_read_response(false) {
        Ok(response) => assert_eq!(response.status(), 408),
        Err(error) => assert_eq!(error, ReadError::Closed),
    }
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_serves(&dog);
}

#[test]
fn head_of_a_later_request_is_given_up_after_read_timeout_too() {
    let dog = watchdog().fprocess("cat").env("read_timeout", "300ms").start();
    let mut client = dog.connect();
    assert_eq!(client.call(&Request::post("/", "one")).text(), "one");
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nHo");
    match client.try_read_response(false) {
        Ok(response) => assert_eq!(response.status(), 408),
        Err(error) => assert_eq!(error, ReadError::Closed),
    }
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn head_that_drips_in_is_given_up_after_read_timeout() {
    let dog = watchdog().fprocess("cat").env("read_timeout", "400ms").start();
    let mut client = dog.connect();
    let head = format!("GET / HTTP/1.1\r\nHost: f\r\nX: {}\r\n\r\n", "v".repeat(1000));
    let sent = client.send_slowly(head, 1, Duration::from_millis(20));
    match client.try_read_response(false) {
        Ok(response) => assert_eq!(response.status(), 408),
        Err(error) => assert!(sent.is_err() || error != ReadError::TimedOut, "{error:?}"),
    }
    assert_serves(&dog);
}

#[test]
fn body_that_does_not_arrive_answers_408() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).fprocess("cat").env("read_timeout", "300ms").start();
        let mut client = dog.connect();
        let start = Instant::now();
        // Nothing of the body, so that streaming mode has nothing to answer with either.
        client.send("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 10\r\n\r\n");
        let response = client.read_response();
        assert_eq!(response.status(), 408, "{mode}");
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(client.is_closed_by_server());
        dog.wait_until_childless();
        assert_serves(&dog);
    }
}

#[test]
fn body_that_stops_half_way_answers_408_in_classic_mode() {
    let dog = watchdog().fprocess("cat").env("read_timeout", "300ms").start();
    for request in [
        "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        assert_eq!(dog.request(request).status(), 408);
    }
    dog.wait_until_childless();
    assert_serves(&dog);
}

#[test]
fn body_that_keeps_coming_may_take_longer_than_read_timeout() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).fprocess("cat").env("read_timeout", "1s").start();
        let mut client = dog.connect();
        client.send("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 15\r\n\r\n");
        client.send_slowly("123456789012345", 1, Duration::from_millis(90)).unwrap();
        let response = client.read_response();
        assert_eq!(response.status(), 200, "{mode}");
        assert_eq!(response.text(), "123456789012345");
    }
}

#[test]
fn running_call_may_take_longer_than_read_timeout() {
    let dog = watchdog().sh("cat; sleep 0.6; echo slept").env("read_timeout", "200ms").start();
    assert_eq!(dog.post("/", "x").text(), "xslept\n");
    assert_eq!(dog.get("/").text(), "slept\n");
}
