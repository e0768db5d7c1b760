//! `Expect: 100-continue` (RFC 9110 section 10.1.1) from end to end.

use std::time::{Duration, Instant};

use e2e::{
    DEADLINE, Request, eventually,
    play::{Play, Step, send},
};

use super::{http, lines};

const REQUEST: &str =
    "POST / HTTP/1.1\r\nHost: function\r\nExpect: 100-continue\r\nContent-Length: 5";

fn head(play: &Play) -> String {
    format!("{REQUEST}\r\n{}: {play}\r\n\r\n", Play::HEADER)
}

#[test]
fn continue_of_the_function_reaches_the_client() {
    let dog = http().start();
    let play = Play::new([send("HTTP/1.1 100 Continue\r\n\r\n"), Step::Body, Step::Reply]);
    let mut client = dog.connect();
    client.send(head(&play));
    assert_eq!(client.read_head().status, 100);
    client.send("hello");
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
}

#[test]
fn refusal_of_the_function_reaches_the_client_without_a_continue() {
    let dog = http().start();
    for (status, reason) in [(417, "Expectation Failed"), (413, "Content Too Large")] {
        let refusal = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
        );
        let play = Play::new([send(&refusal), Step::Eof]);
        let mut client = dog.connect();
        client.send(head(&play));
        let response = client.read_response();
        assert_eq!((response.status(), response.text().as_str()), (status, "no"));
        assert!(response.interim.is_empty(), "{:?}", response.interim);
    }
}

/// The of-watchdog waits 1.5 s for such a function, which is most of them.
#[test]
fn function_that_never_says_continue_gets_the_body_soon() {
    let dog = http().start_ready();
    // Once is enough: a busy machine may be late, but nothing makes a fixed wait shorter.
    let soon = (0..5).any(|_| {
        let mut client = dog.connect();
        let start = Instant::now();
        client.send(head(&Play::new([Step::Body, Step::Reply])));
        assert_eq!(client.read_head().status, 100);
        let waited = start.elapsed();
        client.send("hello");
        let response = client.read_response();
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
        waited < Duration::from_millis(1400)
    });
    assert!(soon, "the body had to wait");
}

#[test]
fn client_that_does_not_wait_is_served() {
    let dog = http().start();
    let request = Play::new([Step::Body, Step::Reply]).post("hello");
    let response = dog.call(&request.header("Expect", "100-continue"));
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
}

#[test]
fn connection_is_usable_after_a_continue() {
    let dog = http().start();
    let play = Play::new([send("HTTP/1.1 100 Continue\r\n\r\n"), Step::Body, Step::Reply]);
    let mut client = dog.connect();
    for _ in 0..3 {
        client.send(head(&play));
        assert_eq!(client.read_head().status, 100);
        client.send("hello");
        assert_eq!(client.read_response().text(), "hello");
    }
    eventually(DEADLINE, "the requests", || lines(&dog, "connections").len() == 1);
}

#[test]
fn other_expectations_are_refused() {
    let dog = http().start();
    let response = dog.call(&Request::post("/", "x").header("Expect", "a-miracle"));
    assert_eq!(response.status(), 417);
}
