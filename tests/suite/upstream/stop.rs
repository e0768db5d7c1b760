//! From SIGTERM to the end of the function, while calls are in flight.

use std::time::{Duration, Instant};

use e2e::{
    Client, DEADLINE, End, Watchdog, eventually,
    play::{Play, Step, send, send_chunk, touch, wait},
};

use super::{exists, http};

/// A call that is in flight until the test creates the file `go`.
#[track_caller]
fn busy(dog: &Watchdog) -> Client {
    let mut client = dog.connect();
    let play = Play::new([Step::Body, touch("called"), wait("go"), Step::Reply]);
    client.send(play.post("slow").to_bytes());
    eventually(DEADLINE, "the call", || exists(dog, "called"));
    client
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A stream that has begun; `rest` comes behind its first event.
#[track_caller]
fn stream(dog: &Watchdog, rest: impl IntoIterator<Item = Step>) -> Client {
    let mut steps = vec![Step::Body, send(HEAD), send_chunk("data: 1\n\n")];
    steps.extend(rest);
    let mut client = dog.connect();
    client.send(Play::new(steps).get().header("Accept", "text/event-stream").to_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk_data(), b"data: 1\n\n");
    client
}

#[track_caller]
fn assert_ends(mut dog: Watchdog) {
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(!dog.lock_file().exists());
    assert_eq!(dog.started_processes(), []);
}

#[test]
fn new_calls_are_served_while_one_is_in_flight() {
    let dog = http().env("healthcheck_interval", "60s").start_ready();
    let mut slow = busy(&dog);
    dog.terminate();
    eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
    for _ in 0..3 {
        assert_eq!(dog.get("/").status(), 200);
    }
    super::touch(&dog, "go");
    assert_eq!(slow.read_response().text(), "slow");
    assert_ends(dog);
}

#[test]
fn event_stream_finishes_within_write_timeout() {
    let dog = http().env("healthcheck_interval", "100ms").start_ready();
    let mut client = stream(&dog, [wait("go"), send_chunk("data: 2\n\n"), send("0\r\n\r\n")]);
    dog.terminate();
    eventually(DEADLINE, "the listener to close", || Client::try_connect(dog.addr()).is_err());
    super::touch(&dog, "go");
    assert_eq!(client.read_body(), (b"data: 2\n\n".to_vec(), End::Complete));
    assert_ends(dog);
}

#[test]
fn event_stream_is_cut_after_write_timeout() {
    let dog = http().env("healthcheck_interval", "100ms").env("write_timeout", "1s").start_ready();
    let mut client = stream(&dog, [Step::Eof]);
    let start = Instant::now();
    dog.terminate();
    let (rest, end) = client.read_body();
    assert!(rest.is_empty() && matches!(end, End::Cut(_)), "{end:?}");
    assert!(start.elapsed() >= Duration::from_secs(1), "it did not wait");
    assert_ends(dog);
}
