//! One access line and one count a call, equal to what went over the wire, however it ends
//! (defect 19).

use std::fs;

use e2e::{
    DEADLINE, Launch, Request, Watchdog, eventually,
    play::{Play, Step, send, send_chunk, touch},
};

use crate::{
    held::{self, hold, release},
    upstream::{exists, http, http_with},
    watchdog,
};

/// So far one call came: one line that says `line`, one count of `code` and `method`. A further call
/// makes sure that nothing else comes late.
#[track_caller]
fn assert_accounted(dog: &Watchdog, line: &str, code: u16, method: &str) {
    eventually(DEADLINE, line, || !dog.access_log_lines().is_empty());
    let last = dog.post("/last", "").status();
    let lines = dog.wait_for_access_lines(2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains(line), "{line:?} is not in {:?}", lines[0]);
    assert!(lines[1].contains(&format!("POST /last - {last} - ")), "{lines:?}");
    eventually(DEADLINE, "two counts", || dog.metrics().all_requests() >= 2.0);
    let metrics = dog.metrics();
    let same = if (last, "post") == (code, method) { 2.0 } else { 1.0 };
    let counted = metrics.requests(code, method);
    assert!((counted - same).abs() < f64::EPSILON, "{line}: {code} {method}\n{}", metrics.text);
    assert!((metrics.all_requests() - 2.0).abs() < f64::EPSILON, "{line}\n{}", metrics.text);
}

fn echo(mode: &str) -> Launch {
    watchdog().mode(mode).fprocess("cat").metrics()
}

#[test]
fn requests_that_cannot_be_served_are_accounted_for() {
    let long = "x".repeat(1 << 21);
    let rows: [(&str, String, &str, u16, &str); 9] = [
        (
            "a head too large",
            format!("GET / HTTP/1.1\r\nHost: f\r\nX: {long}\r\n\r\n"),
            "- - - 431 - ",
            431,
            "unknown",
        ),
        (
            "an environment too large",
            format!("GET /e HTTP/1.1\r\nHost: f\r\nX: {}\r\n\r\n", &long[..200_000]),
            "GET /e - 431 - ",
            431,
            "get",
        ),
        (
            "a target too long",
            format!("GET /{} HTTP/1.1\r\nHost: f\r\n\r\n", &long[..100_000]),
            "- - - 414 - ",
            414,
            "unknown",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".into(),
            "- - - 400 - ",
            400,
            "unknown",
        ),
        ("no HTTP", "nonsense\r\n\r\n".into(), "- - - 400 - ", 400, "unknown"),
        ("no Host", "GET /h HTTP/1.1\r\n\r\n".into(), "GET /h - 400 - ", 400, "get"),
        (
            "an expectation",
            "GET /x HTTP/1.1\r\nHost: f\r\nExpect: wonders\r\n\r\n".into(),
            "GET /x - 417 - ",
            417,
            "get",
        ),
        (
            "a method",
            "OPTIONS /m HTTP/1.1\r\nHost: f\r\n\r\n".into(),
            "OPTIONS /m - 405 - ",
            405,
            "options",
        ),
        (
            "a chunk",
            "PUT /c HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n".into(),
            "PUT /c - 400 - ",
            400,
            "put",
        ),
    ];
    for (what, request, line, code, method) in rows {
        let dog = echo("classic").start();
        let response = dog.request(request);
        assert_eq!(response.status(), code, "{what}: {}", response.text());
        assert_accounted(&dog, line, code, method);
    }
}

#[test]
fn slow_senders_are_accounted_for() {
    let rows = [
        ("GET / HTTP/1.1\r\nHo", "- - - 408 - ", "unknown"),
        ("PUT /s HTTP/1.1\r\nHost: f\r\nContent-Length: 9\r\n\r\n", "PUT /s - 408 - ", "put"),
    ];
    for mode in ["classic", "streaming", "serializing"] {
        for (request, line, method) in rows {
            let dog = echo(mode).env("read_timeout", "1s").start();
            assert_eq!(dog.request(request).status(), 408, "{mode}");
            assert_accounted(&dog, line, 408, method);
        }
    }
}

#[test]
fn late_function_is_accounted_for() {
    let script = r#"if [ "$Http_Path" = /late ]; then sleep 1000; fi"#;
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).sh(script).env("write_timeout", "1s").metrics().start();
        assert_eq!(dog.get("/late").status(), 504, "{mode}");
        assert_accounted(&dog, "GET /late - 504 - ", 504, "get");
    }
}

#[test]
fn refused_for_the_limit_is_accounted_for() {
    let dog =
        watchdog().mode("classic").sh(held::SCRIPT).env("max_inflight", "1").metrics().start();
    let mut held = hold(&dog);
    assert_eq!(dog.get("/many").status(), 429);
    let lines = dog.wait_for_access_lines(1);
    assert!(lines[0].contains("GET /many - 429 - "), "{lines:?}");
    release(&dog);
    assert_eq!(held.read_response().status(), 200);
    assert_eq!(dog.wait_for_access_lines(2).len(), 2);
}

#[test]
fn failure_behind_the_head_is_accounted_for_with_what_was_sent_and_why() {
    let script = r#"if [ "$Http_Path" = /breaks ]; then echo 12345; exit 3; fi"#;
    let dog = watchdog().mode("streaming").sh(script).metrics().start();
    let response = dog.get("/breaks");
    assert_eq!((response.status(), response.is_complete()), (200, false));
    assert_accounted(&dog, "GET /breaks - 200 - ContentLength: 6B (", 200, "get");
    assert!(dog.access_log_lines()[0].contains("exit status 3"), "{:?}", dog.access_log_lines());
}

#[test]
fn break_of_the_function_is_accounted_for_with_what_was_sent_and_why() {
    let dog = http().metrics().start_ready();
    let play = Play::new([
        Step::Body,
        send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        send_chunk("12345"),
        Step::Close,
    ]);
    let response = dog.call(&play.with(Request::get("/breaks")));
    assert_eq!((response.status(), response.is_complete()), (200, false));
    assert_accounted(&dog, "GET /breaks - 200 - ContentLength: 5B (", 200, "get");
    let line = &dog.access_log_lines()[0];
    assert!(!line.ends_with("s)"), "no reason in {line}");
}

/// Defect 2: such a call was a 200 in log and metrics.
#[test]
fn stream_and_upgrade_without_a_function_are_accounted_for() {
    for (name, value) in [("Accept", "text/event-stream"), ("Upgrade", "websocket")] {
        let dog = http_with("--after never").env("exec_timeout", "500ms").metrics().start();
        let mut request = Request::get("/gone").header(name, value);
        if name == "Upgrade" {
            request = request.header("Connection", "Upgrade");
        }
        assert_eq!(dog.call(&request).status(), 502, "{value}");
        assert_accounted(&dog, "GET /gone - 502 - ", 502, "get");
    }
}

#[test]
fn responses_without_a_body_are_accounted_for_with_0_bytes() {
    let launch = watchdog().mode("static").metrics();
    fs::create_dir(launch.temp_dir().join("site")).unwrap();
    launch.write("site/page.txt", "some text");
    let site = launch.temp_dir().join("site");
    let dog = launch.env("static_path", site).start();
    assert_eq!(dog.call(&Request::new("HEAD", "/page.txt")).header("content-length"), Some("9"));
    assert_accounted(&dog, "HEAD /page.txt - 200 - ContentLength: 0B (", 200, "head");
    let tag = dog.get("/page.txt").header("etag").unwrap().to_owned();
    // Another connection has another loop, which may be quicker with its line.
    dog.wait_for_access_lines(3);
    let response = dog.call(&Request::get("/page.txt").header("If-None-Match", tag));
    assert_eq!(response.status(), 304);
    let lines = dog.wait_for_access_lines(4);
    assert!(lines[2].contains("GET /page.txt - 200 - ContentLength: 9B ("), "{lines:?}");
    assert!(lines[3].contains("GET /page.txt - 304 - ContentLength: 0B ("), "{lines:?}");
}

/// of-watchdog #136: a client that left became "killed due to `exec_timeout`".
#[test]
fn client_that_left_is_accounted_for_as_such() {
    let play = Play::new([Step::Body, touch("called"), Step::Eof]);
    let forked = r#": >"$TMPDIR/called"; sleep 1000"#;
    for mode in ["http", "classic", "streaming", "serializing"] {
        let launch = if mode == "http" { http() } else { watchdog().mode(mode).sh(forked) };
        let dog = launch.env("exec_timeout", "10m").metrics().start_ready();
        let mut client = dog.connect();
        client.send(play.with(Request::get("/left")).to_bytes());
        eventually(DEADLINE, "the call", || exists(&dog, "called"));
        drop(client);
        let lines = dog.wait_for_access_lines(1);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("GET /left - 499 - "), "{mode}: {lines:?}");
        assert!(lines[0].contains("client left"), "{mode}: {lines:?}");
        for lie in ["timeout", "took longer"] {
            assert!(!dog.stderr().contains(lie), "{mode}: {}", dog.log());
        }
        eventually(DEADLINE, "the count", || dog.metrics().requests(499, "get") >= 1.0);
        assert!((dog.metrics().all_requests() - 1.0).abs() < f64::EPSILON, "{mode}");
    }
}
