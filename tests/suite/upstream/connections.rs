//! Connections to the function: kept, lost, many, and of another kind.

use std::{sync::Barrier, thread};

use e2e::{
    DEADLINE, Request, eventually, free_port,
    play::{Play, Step, send, touch, wait},
};

use super::{exists, heads, http, lines, seen};
use crate::{UPSTREAM, watchdog};

#[test]
fn sequential_calls_share_one_connection() {
    let dog = http().start();
    for index in 0..20 {
        // What a client wants of its own connection does not matter.
        let request = Request::post("/", "x");
        let request = if index % 2 == 0 { request.header("Connection", "close") } else { request };
        assert_eq!(dog.call(&request).status(), 200);
    }
    assert_eq!(lines(&dog, "connections").len(), 1);
}

#[test]
fn client_connection_carries_many_calls() {
    let dog = http().start();
    let mut client = dog.connect();
    for index in 0..50 {
        let body = format!("body {index}");
        let response = client.call(&Play::new([Step::Body, Step::Reply]).post(&body));
        assert_eq!(response.text(), body);
    }
}

/// of-watchdog #102: a POST failed with EOF when the function had closed the idle connection.
#[test]
fn posts_survive_a_function_that_closes_after_each_response() {
    let dog = http().start();
    let mut client = dog.connect();
    for index in 0..50 {
        let closed = format!("closed-{index}");
        let play = Play::new([
            Step::Body,
            send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            Step::Close,
            touch(&closed),
        ]);
        let response = client.call(&play.post("x"));
        assert_eq!(response.status(), 200, "call {index}: {}\n{}", response.text(), dog.log());
        // Over the loopback the FIN has arrived once close(2) has returned.
        eventually(DEADLINE, "the close", || exists(&dog, &closed));
    }
    assert_eq!(heads(&dog).len(), 50, "a call was sent twice");
}

#[test]
fn get_on_a_connection_that_dies_is_sent_once_more() {
    let dog = http().start();
    assert_eq!(dog.get("/").status(), 200);
    let play = Play::new([Step::CloseIfReused, Step::Body, Step::Reply]);
    let response = dog.call(&play.get());
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(heads(&dog).len(), 3);
    assert_eq!(lines(&dog, "connections").len(), 2);
}

#[test]
fn get_is_not_sent_a_third_time() {
    let dog = http().start();
    assert_eq!(dog.get("/").status(), 200);
    let response = dog.call(&Play::new([Step::Body, Step::Close]).get());
    assert_eq!(response.status(), 502);
    assert_eq!(heads(&dog).len(), 3);
}

#[test]
fn post_that_the_function_may_have_seen_is_not_sent_again() {
    let dog = http().start();
    assert_eq!(dog.get("/").status(), 200);
    let play = Play::new([Step::CloseIfReused, Step::Body, Step::Reply]);
    let response = dog.call(&play.post("pay"));
    assert_eq!(response.status(), 502, "{}", dog.log());
    assert_eq!(heads(&dog).len(), 2);
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn call_that_the_function_has_worked_on_is_not_sent_again() {
    for (method, pause) in [("DELETE", 0), ("PUT", 0), ("GET", 1000)] {
        let dog = http().start();
        assert_eq!(dog.get("/").status(), 200);
        let play = Play::new([Step::Body, Step::Pause(pause), Step::Close]);
        let response = dog.call(&play.with(Request::new(method, "/")));
        assert_eq!(response.status(), 502, "{method}");
        assert!(response.text().contains("closed the connection"), "{}", response.text());
        assert_eq!(heads(&dog).len(), 2, "{method}");
    }
}

#[test]
fn first_request_of_a_connection_is_not_sent_again() {
    let dog = http().start();
    let response = dog.call(&Play::new([Step::Body, Step::Close]).get());
    assert_eq!(response.status(), 502);
    assert_eq!(heads(&dog).len(), 1);
}

#[test]
fn connection_with_unread_response_bytes_is_not_used_again() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nstray"),
        touch("sent"),
    ]);
    assert_eq!(dog.call(&play.post("x")).text(), "ok");
    eventually(DEADLINE, "the stray bytes", || exists(&dog, "sent"));
    let response = dog.call(&Play::new([Step::Body, Step::Reply]).post("mine"));
    assert_eq!((response.status(), response.text().as_str()), (200, "mine"));
}

const MANY: usize = 64;

#[test]
fn many_calls_run_at_once() {
    let dog = http().start();
    let start = Barrier::new(MANY);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..MANY)
            .map(|index| {
                let (dog, start) = (&dog, &start);
                scope.spawn(move || {
                    let play = Play::new([Step::Body, wait("go"), Step::Reply]);
                    start.wait();
                    dog.call(&play.post(format!("call {index}"))).text()
                })
            })
            .collect();
        eventually(DEADLINE, "all calls to be there", || heads(&dog).len() == MANY);
        super::touch(&dog, "go");
        for (index, call) in calls.into_iter().enumerate() {
            assert_eq!(call.join().unwrap(), format!("call {index}"));
        }
    });
    assert_eq!(lines(&dog, "connections").len(), MANY);
}

#[test]
fn unix_socket_is_served() {
    for prefix in ["unix:", "unix://"] {
        let dog = watchdog().mode("http");
        let socket = dog.temp_dir().join("function.sock").display().to_string();
        let dog = dog
            .fprocess(&format!("{UPSTREAM} {socket}"))
            .env("http_upstream_url", format!("{prefix}{socket}"))
            .start();
        let request = Request::post("/a//b?c", "hello").header("Host", "shop.example");
        let seen = seen(&dog, &request);
        assert_eq!(seen.line, "POST /a//b?c HTTP/1.1");
        assert_eq!(seen.all("host"), ["shop.example"]);
        assert_eq!(seen.body, b"hello");
        assert_eq!(dog.get("/").status(), 200);
        assert_eq!(lines(&dog, "connections").len(), 1);
    }
}

#[test]
fn upstream_by_name_is_served() {
    let port = free_port();
    let dog = watchdog()
        .mode("http")
        .fprocess(&format!("{UPSTREAM} 127.0.0.1:{port}"))
        .env("http_upstream_url", format!("http://localhost:{port}/"))
        .start();
    assert_eq!(dog.get("/x").status(), 200);
}

/// The of-watchdog took `localhost:3000` for a scheme and failed every call.
#[test]
fn upstream_that_is_no_address_fails_the_start() {
    for url in [
        "localhost:3000",
        "127.0.0.1:3000",
        "https://127.0.0.1:3000",
        "ftp://127.0.0.1",
        "http://",
        "unix:relative.sock",
        "",
    ] {
        let mut launch = http().env("http_upstream_url", url);
        let ended = launch.spawn_expecting_exit();
        assert!(ended.code().is_some_and(|code| code != 0), "{url:?}: {ended:?}");
        assert!(ended.stderr.contains("http_upstream_url"), "{url:?}: {}", ended.stderr);
        assert!(!launch.temp_dir().join(".lock").exists(), "{url:?}");
        assert!(!launch.temp_dir().join("pids").exists(), "the function was started for {url:?}");
    }
}

#[test]
fn missing_upstream_fails_the_start() {
    let mut launch = watchdog().mode("http").fprocess("cat");
    let ended = launch.spawn_expecting_exit();
    assert!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains("http_upstream_url"), "{}", ended.stderr);
    assert!(!launch.temp_dir().join(".lock").exists());
}
