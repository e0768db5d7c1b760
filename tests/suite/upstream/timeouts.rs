//! Calls that take too long.

use std::time::{Duration, Instant};

use e2e::{
    DEADLINE, Response, Watchdog, eventually,
    play::{Play, Step, send, touch},
};

use super::{assert_duration, exists, http};

/// A function that never answers; it says when it was left.
fn silence() -> Play {
    Play::new([Step::Body, touch("called"), Step::Eof, touch("left")])
}

#[track_caller]
fn assert_late(dog: &Watchdog, response: &Response) {
    assert_eq!(response.status(), 504, "{}", dog.log());
    assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
    assert!(!response.text().trim().is_empty(), "a body that says why");
    assert_duration(response);
}

/// Nobody asks a body whether it is late while the client takes nothing.
#[test]
fn exec_timeout_ends_a_call_whose_client_takes_nothing() {
    let dog =
        http().env("exec_timeout", "2s").env("write_timeout", "0").env("max_inflight", "1").start();
    eventually(DEADLINE, "the function to be ready", || dog.get("/_/ready").status() == 200);
    let length = 64 << 20;
    let play = Play::new([
        Step::Body,
        send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")),
        Step::Fill(length),
    ]);
    let mut client = e2e::Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
    client.send(play.get().to_bytes());
    assert_eq!(client.read_head().status, 200);
    eventually(DEADLINE, "the place to be free", || dog.get("/").status() == 200);
    dog.wait_for_log(|log| log.contains("took longer than 2s"));
}

#[test]
fn exec_timeout_is_504_and_ends_the_call_upstream() {
    let dog = http().env("exec_timeout", "300ms").start_ready();
    let start = Instant::now();
    let response = dog.call(&silence().post("x"));
    assert_late(&dog, &response);
    assert!(start.elapsed() >= Duration::from_millis(300));
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
    assert_eq!(dog.get("/").status(), 200);
}

/// The head of a stream has to be in time, like any other.
#[test]
fn exec_timeout_holds_for_the_head_of_a_stream() {
    let dog = http().env("exec_timeout", "300ms").start_ready();
    for (name, value) in [
        ("Accept", "text/event-stream"),
        ("Accept", "application/x-ndjson"),
        ("Upgrade", "websocket"),
    ] {
        let mut request = silence().get().header(name, value);
        if name == "Upgrade" {
            request = request.header("Connection", "Upgrade");
        }
        assert_late(&dog, &dog.call(&request));
    }
}

#[test]
fn write_timeout_bounds_the_time_to_the_head() {
    let dog = http().env("write_timeout", "300ms").start_ready();
    assert_late(&dog, &dog.call(&silence().get()));
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
}

#[test]
fn x_timeout_shortens() {
    let dog = http().env("exec_timeout", "1h").env("write_timeout", "1h").start_ready();
    for value in ["300ms", "0.2s", "100000us"] {
        assert_late(&dog, &dog.call(&silence().get().header("X-Timeout", value)));
    }
}

/// Defect 4: `X-Timeout: 0s` switched `exec_timeout` off.
#[test]
fn x_timeout_neither_lengthens_nor_disables() {
    let dog = http().env("exec_timeout", "200ms").env("write_timeout", "1h").start_ready();
    for value in ["0s", "0", "-1s", "-5", "1h", "soon", "", "1e9"] {
        assert_late(&dog, &dog.call(&silence().get().header("X-Timeout", value)));
    }
}

#[test]
fn late_calls_are_counted_and_logged_as_504() {
    let dog = http().metrics().env("exec_timeout", "200ms").start_ready();
    assert_late(&dog, &dog.call(&silence().get()));
    let lines = dog.wait_for_access_lines(1);
    assert!(lines[0].contains("GET / - 504 - "), "{lines:?}");
    eventually(DEADLINE, "the call to be counted", || dog.metrics().requests(504, "get") >= 1.0);
}

#[test]
fn exec_timeout_cuts_a_response_of_known_length() {
    let dog = http().env("exec_timeout", "1s").start_ready();
    let head = send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let response = dog.call(&Play::new([Step::Body, head, Step::Eof]).get());
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert!(!response.is_complete());
}

#[test]
fn zero_exec_timeout_is_no_limit() {
    let dog = http().env("exec_timeout", "0").start_ready();
    let play = Play::new([Step::Body, Step::Pause(300), Step::Reply]);
    assert_eq!(dog.call(&play.post("x")).text(), "x");
}

#[test]
fn stalled_request_body_is_408() {
    let dog = http().env("read_timeout", "300ms").start_ready();
    let mut client = dog.connect();
    client.send(silence().post("12345").head_bytes());
    client.send("123");
    let response = client.read_response();
    assert_eq!(response.status(), 408, "{}", dog.log());
    assert!(!response.text().is_empty());
    assert!(client.is_closed_by_server());
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn slow_request_body_that_makes_progress_is_served() {
    let dog = http().env("read_timeout", "2s").start_ready();
    let mut client = dog.connect();
    client.send(Play::new([Step::Body, Step::Reply]).post("0123456789").head_bytes());
    // Three seconds in all, and far less than two from one byte to the next.
    client.send_slowly("0123456789", 1, Duration::from_millis(300)).unwrap();
    assert_eq!(client.read_response().text(), "0123456789");
}
