//! `mode=streaming`: output is on the wire as soon as it is written; a failure has a status before
//! the first byte and cuts the connection after it (reference 2.2, defects 4, 13 and 14, 7.5).

mod broken;
mod input;

use std::fs;

use e2e::{Client, DEADLINE, End, Launch, Piece, Request, Watchdog, eventually};

use crate::{processes::leaves_nothing_behind, watchdog};

fn streaming() -> Launch {
    watchdog().mode("streaming")
}

/// A shell function that waits for a file of the test.
const AWAIT: &str = r#"await() { while [ ! -e "$TMPDIR/$1" ]; do sleep 0.01; done; }
"#;

fn sh(script: &str) -> Watchdog {
    streaming().sh(&format!("{AWAIT}{script}")).start()
}

fn allow(dog: &Watchdog, name: &str) {
    fs::write(dog.temp_dir().join(name), "").expect("a file");
}

/// Whether the server ended it early, as opposed to fallen silent.
fn is_cut(end: &End) -> bool {
    matches!(end, End::Cut(how) if !how.contains("timed out"))
}

/// The text of the next pieces until there are as many bytes as in `expected`.
fn assert_next(client: &mut Client, expected: &str) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(client.read_chunk_data());
    }
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

// === output ===

#[test]
fn echo_post_returns_the_body_complete() {
    let dog = streaming().fprocess("cat").start();
    let response = dog.post("/", "hello");
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert!(response.is_complete());
    assert_eq!(response.header("content-type"), Some("application/octet-stream"));
}

#[test]
fn first_piece_is_visible_before_the_process_ends() {
    // Defect 14: nothing was sent before 2 to 4 KiB or the exit.
    let dog = sh("printf one; await go; printf two");
    let mut client = dog.connect();
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_next(&mut client, "one");
    assert!(!dog.children().is_empty(), "the process still runs");
    allow(&dog, "go");
    assert_next(&mut client, "two");
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
}

#[test]
fn each_piece_leaves_as_it_was_written() {
    let dog = sh("for i in 1 2 3 4 5; do echo piece $i; await $i; done");
    let mut client = dog.connect();
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 200);
    for piece in 1..=5 {
        let expected = format!("piece {piece}\n");
        assert_eq!(String::from_utf8_lossy(&client.read_chunk_data()), expected);
        allow(&dog, &piece.to_string());
    }
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
}

#[test]
fn kept_connection_serves_call_after_call() {
    let dog = streaming().fprocess("cat").start();
    let mut client = dog.connect();
    for body in ["one", "two", "three"] {
        let response = client.call(&Request::post("/", body));
        assert_eq!((response.status(), response.text().as_str()), (200, body));
    }
}

#[test]
fn large_echo_passes_both_ways_at_once() {
    let dog = streaming().fprocess("cat").start();
    let piece: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let length = (piece.len() * 50).to_string();
    let mut client = dog.connect();
    client.send(Request::new("POST", "/").header("Content-Length", length).head_bytes());
    for round in 0..50 {
        client.send(&piece);
        if round == 0 {
            assert_eq!(client.read_head().status, 200);
        }
        let mut got = Vec::new();
        while got.len() < piece.len() {
            got.extend(client.read_chunk_data());
        }
        assert!(got == piece, "round {round} differs");
    }
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
}

#[test]
fn function_that_writes_nothing_gets_200_and_an_empty_body() {
    let dog = streaming().fprocess("true").start();
    let response = dog.post("/", "ignored");
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    assert!(response.is_complete());
}

#[test]
fn http_1_0_call_is_answered_whole_and_closed() {
    let dog = sh("printf one; printf two");
    let response = dog.call(&Request::get("/").http_1_0());
    assert_eq!((response.status(), response.text().as_str()), (200, "onetwo"));
    assert!(response.is_complete(), "{:?}", response.end);
}

#[test]
fn head_runs_the_function_and_gives_no_body() {
    let dog = sh(r#"echo output; echo "$Http_Method" >"$TMPDIR/ran""#);
    let mut client = dog.connect();
    let response = client.call(&Request::new("HEAD", "/"));
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    let ran = || fs::read_to_string(dog.temp_dir().join("ran")).unwrap_or_default();
    eventually(DEADLINE, "the function to end", || ran() == "HEAD\n");
    // A body that was sent all the same would be taken for the next response.
    assert_eq!(client.call(&Request::get("/")).text(), "output\n");
}

#[test]
fn any_method_runs_the_function() {
    let dog = streaming().sh(r#"printf %s "$Http_Method""#).start();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "TRACE"] {
        let response = dog.call(&Request::new(method, "/"));
        assert_eq!((response.status(), response.text().as_str()), (200, method));
    }
}

#[test]
fn content_type_is_the_configured_one_whatever_the_request() {
    let dog = streaming().fprocess("cat").env("content_type", "text/event-stream").start();
    let request = Request::post("/", "<html>").header("Content-Type", "text/html");
    assert_eq!(dog.call(&request).header("content-type"), Some("text/event-stream"));
}

#[test]
fn stderr_becomes_log_lines() {
    let dog = sh("echo out; echo first >&2; echo second >&2");
    assert_eq!(dog.get("/").text(), "out\n");
    dog.wait_for_log(|log| log.contains("stderr: first") && log.contains("stderr: second"));
}

// === failure before the first byte ===

#[test]
fn exit_status_before_the_first_byte_gives_500_with_a_text() {
    // Defect 13: all of these were 200.
    let dog = sh("cat >/dev/null; exit 3");
    for body in ["", "some input"] {
        let response = dog.post("/", body);
        assert_eq!(response.status(), 500);
        assert!(response.text().contains("exit status 3"), "{}", response.text());
        assert!(response.is_complete());
    }
}

#[test]
fn signal_before_the_first_byte_gives_500_naming_it() {
    let dog = sh("kill -KILL $$");
    let response = dog.get("/");
    assert_eq!(response.status(), 500);
    assert!(response.text().contains("signal: killed"), "{}", response.text());
}

#[test]
fn failure_after_closing_stdout_without_a_byte_gives_500() {
    // The end of output is not the first byte: the exit still decides.
    let dog = sh("exec >&-; await go; exit 3");
    let mut client = dog.connect();
    client.send(Request::get("/").to_bytes());
    eventually(DEADLINE, "the process to start", || !dog.children().is_empty());
    allow(&dog, "go");
    assert_eq!(client.read_response().status(), 500);
}

#[test]
fn function_that_cannot_start_gives_500_with_a_text() {
    // Defect 13: this was a 200 with an empty body.
    let dog = streaming().fprocess("/no/such/program").start();
    for body in ["", "some input"] {
        let response = dog.post("/", body);
        assert_eq!(response.status(), 500);
        assert!(response.text().contains("/no/such/program"), "{}", response.text());
    }
}

#[test]
fn exec_timeout_before_the_first_byte_gives_504_with_a_text() {
    let dog = streaming().fprocess("sleep 60").env("exec_timeout", "400ms").start();
    leaves_nothing_behind(&dog, || {
        let response = dog.get("/");
        assert_eq!(response.status(), 504);
        assert!(!response.body.is_empty());
    });
}

#[test]
fn head_of_a_failing_function_gives_the_failures_status() {
    let dog = sh("exit 3");
    let response = dog.call(&Request::new("HEAD", "/"));
    assert_eq!((response.status(), response.text().as_str()), (500, ""));
}

// === X-Timeout ===

#[test]
fn x_timeout_shortens_exec_timeout() {
    let dog = streaming().fprocess("sleep 60").env("exec_timeout", "60s").start();
    let response = dog.call(&Request::get("/").header("X-Timeout", "300ms"));
    assert_eq!(response.status(), 504);
    dog.wait_until_childless();
}

#[test]
fn x_timeout_shortens_a_stream() {
    let dog = streaming().sh("echo partial; sleep 60").env("exec_timeout", "60s").start();
    let response = dog.call(&Request::get("/").header("X-Timeout", "3s"));
    assert_eq!(response.status(), 200);
    assert!(is_cut(&response.end), "{:?}", response.end);
}

#[test]
fn x_timeout_that_is_zero_negative_junk_or_longer_is_ignored() {
    // Defect 4: zero and negative values switched exec_timeout off.
    let dog = streaming().fprocess("sleep 60").env("exec_timeout", "1s").start();
    let values = ["0", "0s", "-0s", "-1s", "-1", "junk", "", "1h", "99999999999h", "1s1", "5 s"];
    let clients: Vec<_> = values
        .iter()
        .map(|value| {
            let mut client = dog.connect();
            client.send(Request::get("/").header("X-Timeout", value).to_bytes());
            (value, client)
        })
        .collect();
    for (value, mut client) in clients {
        let started = std::time::Instant::now();
        assert_eq!(client.read_response().status(), 504, "{value:?}");
        assert!(started.elapsed() < DEADLINE, "{value:?}");
    }
    dog.wait_until_childless();
}

#[test]
fn x_timeout_that_is_not_a_shorter_time_does_not_end_a_call_early() {
    let dog = streaming().sh("sleep 0.2; echo done").start();
    for value in ["0", "0s", "-1s", "junk", "", "1h"] {
        let response = dog.call(&Request::get("/").header("X-Timeout", value));
        assert_eq!((response.status(), response.text().as_str()), (200, "done\n"), "{value:?}");
    }
}
