//! The server's side of HTTP/1.1: what it accepts, what it refuses, and how long it waits.

mod expect;
mod head_size;
mod malformed;
mod slow_readers;
mod slow_senders;
mod targets;

use std::time::{Duration, Instant};

use e2e::{Client, DEADLINE, Launch, Request, Watchdog, eventually};

use crate::watchdog;

fn cat() -> Watchdog {
    watchdog().mode("classic").fprocess("cat").start()
}

/// A function that answers with what it was told about the request.
fn telling(mode: &str) -> Launch {
    watchdog().mode(mode).sh(r#"cat >/dev/null; printf '%s' "$Http_Method $Http_Path?$Http_Query""#)
}

/// The next call on a new connection works.
#[track_caller]
fn assert_serves(dog: &Watchdog) {
    let response = dog.post("/", "next");
    assert_eq!((response.status(), response.text().as_str()), (200, "next"));
}

// === connections ===

#[test]
fn idle_connection_lives_longer_than_read_timeout() {
    let dog = watchdog().fprocess("cat").env("read_timeout", "1s").start();
    let mut client = dog.connect();
    assert_eq!(client.call(&Request::post("/", "one")).text(), "one");
    // The pause is the subject of the test.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(client.call(&Request::post("/", "two")).text(), "two");
}

#[test]
fn idle_timeout_closes_an_idle_connection_and_not_before() {
    let dog = watchdog().fprocess("cat").env("idle_timeout", "1s").start();
    for request in [Request::post("/", "one"), Request::get("/_/health")] {
        let mut client = dog.connect();
        let start = Instant::now();
        assert_eq!(client.call(&request).status(), 200);
        assert!(client.is_closed_by_server(), "after {request:?}");
        assert!(start.elapsed() >= Duration::from_secs(1), "after {request:?}");
    }
}

#[test]
fn read_timeout_closes_a_connection_that_never_says_anything() {
    let dog = watchdog().fprocess("cat").env("read_timeout", "400ms").start();
    let start = Instant::now();
    let mut client = dog.connect();
    assert!(client.is_closed_by_server());
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert_eq!(dog.access_log_lines(), [""; 0]);
}

#[test]
fn upload_that_nobody_reads_does_not_cost_its_client_the_answer() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).sh("head -c 1000000 /dev/zero").start();
        for _ in 0..3 {
            let mut client = dog.connect();
            let mut sender = client.twin();
            let sending = std::thread::spawn(move || sender.try_send(upload(8_000_000)));
            let response = client.read_response();
            assert_eq!((response.status(), response.body.len()), (200, 1_000_000), "{mode}");
            sending.join().unwrap().expect("the upload is taken to its end");
        }
    }
    // Refusals, too.
    let dog = watchdog().fprocess("cat").start();
    let mut client = dog.connect();
    let refused = String::from_utf8(upload(8_000_000)).unwrap().replacen("POST", "PURGE", 1);
    client.send(refused);
    assert_eq!(client.read_response().status(), 405);
}

fn upload(length: usize) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

#[test]
fn slow_client_that_reads_all_the_time_is_not_cut_by_write_timeout() {
    for mode in ["streaming", "classic"] {
        let dog = watchdog()
            .mode(mode)
            .sh("head -c 30000000 /dev/zero")
            .env("write_timeout", "2s")
            .env("exec_timeout", "0")
            .start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        client.send(Request::get("/").to_bytes());
        let start = Instant::now();
        // Three times as long as a client may take nothing.
        while start.elapsed() < Duration::from_secs(6) {
            client.read_raw(40_000);
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(dog.access_log_lines(), [""; 0], "{mode}: it must not be over");
    }
}

#[test]
fn client_that_leaves_unread_bytes_behind_is_noticed() {
    for behind in ["X", "GET / HTTP/1.1\r\nHost: f\r\n\r\n"] {
        let dog = watchdog().mode("streaming").sh("sleep 1000").start();
        let mut client = dog.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: f\r\n\r\n{behind}"));
        eventually(DEADLINE, "the call to run", || !dog.children().is_empty());
        client.reset();
        dog.wait_until_childless();
        let lines = dog.wait_for_access_lines(1);
        assert!(lines[0].contains(" - 499 - "), "{lines:?}");
    }
}

#[test]
fn call_is_over_when_the_kernel_has_taken_it_and_not_before() {
    let dog = watchdog()
        .sh("head -c 12000000 /dev/zero")
        .env("spool_memory", "20MB")
        .env("idle_timeout", "300ms")
        .metrics()
        .start();
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
    client.send(Request::get("/").to_bytes());
    let head = client.read_head();
    assert_eq!(head.status, 200);
    eventually(DEADLINE, "the function to end", || dog.children().is_empty());
    // Well beyond idle_timeout: the connection is not idle.
    for _ in 0..10 {
        client.read_raw(50_000);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(dog.metrics().get("http_requests_in_flight", &[]), Some(1.0));
    assert_eq!(dog.access_log_lines(), [""; 0]);
    client.reset();
    let lines = dog.wait_for_access_lines(1);
    assert!(lines[0].contains("the client left before it had everything"), "{lines:?}");
}

#[test]
fn http_2_is_answered_with_505_once() {
    let dog = watchdog().fprocess("cat").metrics().start();
    let mut fresh = dog.connect();
    let mut used = dog.connect();
    assert_eq!(used.call(&Request::post("/", "x")).status(), 200);
    for client in [&mut fresh, &mut used] {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(client.read_response().status(), 505);
        assert!(client.is_closed_by_server());
    }
    eventually(DEADLINE, "the count", || dog.metrics().requests(505, "unknown") > 1.0);
    assert!((dog.metrics().all_requests() - 3.0).abs() < f64::EPSILON);
}

#[test]
fn keep_alive_serves_several_calls_of_different_kinds() {
    let dog =
        watchdog().mode("streaming").sh(r#"test "$Http_Path" = /fail && exit 3; cat"#).start();
    let mut client = dog.connect();
    for number in 0..5 {
        let body = format!("call {number}");
        assert_eq!(client.call(&Request::post("/", &body)).text(), body);
        let chunks = Request::new("PUT", "/").chunked(["a", "bb", "ccc"]);
        assert_eq!(client.call(&chunks).text(), "abbccc");
        let head = client.call(&Request::new("HEAD", "/"));
        assert_eq!((head.status(), head.body.len()), (200, 0));
        assert_eq!(client.call(&Request::get("/fail")).status(), 500);
    }
}

#[test]
fn connection_close_is_honoured() {
    let dog = cat();
    let mut client = dog.connect();
    let response = client.call(&Request::post("/", "x").header("Connection", "close"));
    assert_eq!(response.text(), "x");
    assert!(response.head.says("connection", "close"));
    assert!(client.is_closed_by_server());
}

#[test]
fn body_the_function_did_not_read_leaves_the_connection_in_order() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).sh("exec 0<&-; echo short").start();
        let mut client = dog.connect();
        let body = vec![b'x'; 1_000_000];
        let mut sent = client.try_send(Request::post("/", &body).to_bytes());
        let response = client.read_response();
        assert_eq!(response.status(), 200, "{mode}");
        assert_eq!(response.text(), "short\n");
        // The server may either take the rest or close, but never read the rest as a request.
        if sent.is_ok() {
            sent = client.try_send(Request::get("/").to_bytes());
        }
        if sent.is_ok()
            && let Ok(second) = client.try_read_response(false)
        {
            assert_eq!(second.status(), 200, "{mode}");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let dog = telling("classic").start();
    let mut client = dog.connect();
    let mut bytes = Request::get("/1").to_bytes();
    bytes.extend(Request::post("/2", "body").to_bytes());
    bytes.extend(Request::post("/3", "").to_bytes());
    bytes.extend(Request::get("/4").to_bytes());
    client.send(bytes);
    for expected in ["GET /1?", "POST /2?", "POST /3?", "GET /4?"] {
        assert_eq!(client.read_response().text(), expected);
    }
}

#[test]
fn client_that_closes_while_it_waits_has_left() {
    // A FIN cannot tell a client that left from one that only sends no more (RFC 9112 section 9.6):
    // the first is common and costs a process, the second is not.
    let dog = watchdog().sh(crate::held::SCRIPT).start();
    drop(crate::held::hold(&dog));
    dog.wait_until_childless();
    let half_closed = crate::held::hold(&dog);
    half_closed.half_close();
    dog.wait_until_childless();
}

#[test]
fn http_1_0_gets_a_response_it_understands() {
    for mode in ["classic", "streaming"] {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        let mut client = dog.connect();
        let response = client.call(&Request::post("/", "old").http_1_0());
        assert_eq!((response.status(), response.text().as_str()), (200, "old"));
        assert_eq!(response.header("transfer-encoding"), None, "{mode}");
        assert!(client.is_closed_by_server());
    }
}

#[test]
fn http_1_0_with_keep_alive_may_go_on() {
    let dog = cat();
    let mut client = dog.connect();
    let request = Request::post("/", "old").http_1_0().header("Connection", "keep-alive");
    let response = client.call(&request);
    assert_eq!(response.text(), "old");
    if response.head.says("connection", "keep-alive") {
        assert_eq!(client.call(&request).text(), "old");
    }
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        let mut client = dog.connect();
        client.send(Request::post("/", "body").header("Expect", "100-continue").head_bytes());
        assert_eq!(client.read_head().status, 100, "{mode}");
        client.send("body");
        let response = client.read_response();
        assert_eq!((response.status(), response.text().as_str()), (200, "body"));
    }
}

#[test]
fn many_connections_at_once_are_all_served() {
    let dog = cat();
    let mut clients: Vec<_> = (0..100).map(|_| dog.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate().rev() {
        let body = number.to_string();
        assert_eq!(client.call(&Request::post("/", &body)).text(), body);
    }
    drop(clients);
    eventually(DEADLINE, "the descriptors to be closed", || dog.connections() == 0);
}

#[test]
fn clients_that_leave_at_any_moment_leak_no_descriptor() {
    let dog = cat();
    assert_serves(&dog);
    let request = Request::post("/", "hello").to_bytes();
    let quiet = dog.open_fds().len();
    for length in (0..request.len()).step_by(7) {
        let mut client = dog.connect();
        client.send(&request[..length]);
        client.reset();
        let mut client = dog.connect();
        client.send(&request[..length]);
        drop(client);
    }
    eventually(DEADLINE, "the descriptors to be closed", || dog.open_fds().len() <= quiet);
    dog.wait_until_childless();
    assert_serves(&dog);
}
