//! Calls that are in flight when the function dies.

use e2e::{
    DEADLINE, End, eventually,
    play::{Play, Step, send, send_chunk, touch, wait},
};

use super::{exists, http, lines};

/// Two calls wait, one of them makes the function die: neither waits for the next start.
#[test]
fn calls_in_flight_are_502_when_the_function_is_restarted() {
    let dog = http().env("upstream_restart", "true").start_ready();
    let mut waiting = dog.connect();
    waiting.send(Play::new([Step::Body, touch("called"), Step::Eof]).post("x").to_bytes());
    eventually(DEADLINE, "the call", || exists(&dog, "called"));
    assert_eq!(dog.call(&Play::new([Step::Body, Step::Exit(1)]).post("x")).status(), 502);
    let response = waiting.read_response();
    assert_eq!(response.status(), 502);
    assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
    eventually(DEADLINE, "the next start", || lines(&dog, "pids").len() == 2);
    eventually(DEADLINE, "the function to serve", || dog.get("/").status() == 200);
}

#[test]
fn chunked_response_in_flight_is_cut() {
    for restart in ["false", "true"] {
        let dog = http().env("upstream_restart", restart).start_ready();
        let head = send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let play = Play::new([Step::Body, head, send_chunk("hello"), wait("die"), Step::Exit(0)]);
        let mut client = dog.connect();
        client.send(play.get().to_bytes());
        assert_eq!(client.read_head().status, 200);
        assert_eq!(client.read_chunk_data(), b"hello");
        super::touch(&dog, "die");
        let (rest, end) = client.read_body();
        assert!(rest.is_empty() && matches!(end, End::Cut(_)), "{restart}: {end:?}");
    }
}

#[test]
fn one_process_serves_many_calls() {
    let dog = http().start_ready();
    for _ in 0..30 {
        assert_eq!(dog.get("/").status(), 200);
    }
    assert_eq!(lines(&dog, "pids").len(), 1);
}
