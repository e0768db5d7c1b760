//! The server's side of HTTP/1.1: what it accepts, what it refuses, and how long it waits.

use std::time::{Duration, Instant};

use e2e::{Client, DEADLINE, End, Launch, ReadError, Request, Watchdog, eventually};

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

// === malformed requests ===

#[test]
fn malformed_request_answers_400_and_closes() {
    let dog = cat();
    for bytes in [
        "nonsense\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: f\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: f\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nName : value\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nX: a\0b\r\n\r\n",
        "G@T( / HTTP/1.1\r\nHost: f\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: 1a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    ] {
        let mut client = dog.connect();
        client.send(bytes);
        let response = client.read_response();
        assert_eq!(response.status(), 400, "{bytes:?}");
        assert!(client.is_closed_by_server(), "{bytes:?}");
    }
    assert_serves(&dog);
}

#[test]
fn bytes_of_another_protocol_are_refused() {
    let dog = cat();
    for bytes in [
        // HTTP/2 with prior knowledge, a TLS hello, and noise.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\0\0\0\0\0\0\0\0".as_slice(),
    ] {
        let mut client = dog.connect();
        client.send(bytes);
        client.half_close();
        match client.try_read_response(false) {
            Ok(response) => {
                assert!(matches!(response.status(), 400 | 505), "{bytes:?}: {:?}", response.head);
            }
            Err(error) => assert_ne!(error, ReadError::TimedOut, "{bytes:?}"),
        }
    }
    assert_serves(&dog);
}

#[test]
fn host_missing_answers_400() {
    let dog = cat();
    assert_eq!(dog.request("GET / HTTP/1.1\r\n\r\n").status(), 400);
    assert_eq!(dog.request("GET /_/health HTTP/1.1\r\n\r\n").status(), 400);
    // HTTP/1.0 knows no Host.
    assert_eq!(dog.request("GET / HTTP/1.0\r\n\r\n").status(), 200);
}

#[test]
fn host_that_is_none_answers_400() {
    let dog = cat();
    for host in ["a b", "a/b", "@c", "u@c", "a\"b", "a,b c", "a?b", "a#b", "\u{fc}"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(dog.request(bytes).status(), 400, "{host:?}");
    }
    for host in ["", "f", "f:80", "127.0.0.1:8080", "[::1]:8080", "a_b.c-d", "xn--a"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(dog.request(bytes).status(), 200, "{host:?}");
    }
}

#[test]
fn target_that_is_neither_path_nor_url_answers_400() {
    let dog = cat();
    assert_eq!(dog.request("GET noslash HTTP/1.1\r\nHost: f\r\n\r\n").status(), 400);
    assert_eq!(dog.request("GET f:80 HTTP/1.1\r\nHost: f\r\n\r\n").status(), 400);
}

#[test]
fn host_given_twice_answers_400() {
    let dog = cat();
    for second in ["f", "other"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: f\r\nHost: {second}\r\n\r\n");
        assert_eq!(dog.request(bytes).status(), 400);
    }
}

#[test]
fn content_lengths_in_conflict_answer_400() {
    let dog = cat();
    for lengths in ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6"] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: f\r\n{lengths}\r\n\r\nhello!");
        assert_eq!(dog.request(bytes).status(), 400, "{lengths}");
    }
    assert_serves(&dog);
}

#[test]
fn content_length_beside_chunked_cannot_smuggle_a_request() {
    let dog = cat();
    let mut client = dog.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n",
    );
    // Refusing it and believing the chunks alone are both right (RFC 9112 section 6.3).
    let response = client.read_response();
    match response.status() {
        400 => {}
        200 => assert_eq!(response.text(), ""),
        other => panic!("status {other}"),
    }
    assert_serves(&dog);
}

#[test]
fn transfer_encoding_unknown_is_refused() {
    let dog = cat();
    for encoding in ["gzip", "chunked, gzip", "gzip, chunked", "identity"] {
        let bytes =
            format!("POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n");
        let status = dog.request(bytes).status();
        assert!(matches!(status, 400 | 501), "{encoding}: {status}");
    }
    assert_serves(&dog);
}

#[test]
fn chunk_that_is_malformed_answers_400_in_classic_mode() {
    let dog = cat();
    let response = dog.request(
        "POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    );
    assert_eq!(response.status(), 400);
    dog.wait_until_childless();
    assert_serves(&dog);
}

// === the size of the head ===

fn with_headers(count: usize, size: usize) -> Request {
    (0..count).fold(Request::post("/", "body"), |request, number| {
        request.header(&format!("X-Header-{number}"), "v".repeat(size))
    })
}

#[test]
fn headers_200_are_accepted_and_reach_the_function() {
    for mode in ["classic", "streaming"] {
        let dog =
            watchdog().mode(mode).sh(r"cat >/dev/null; env | grep -c ^Http_X_Header_").start();
        let response = dog.call(&with_headers(200, 10));
        assert_eq!((response.status(), response.text().trim()), (200, "200"));
    }
}

#[test]
fn header_block_just_below_1_mib_is_accepted() {
    // The environment of a process has its own limits, which are another suite's matter.
    let dog = watchdog().mode("classic").fprocess("cat").env("cgi_headers", "false").start();
    for (count, size) in [(200, 5_150), (10, 103_000)] {
        let request = with_headers(count, size);
        let head = request.head_bytes().len();
        assert!((1_000_000..1_048_576).contains(&head), "{head}");
        let response = dog.call(&request);
        assert_eq!((response.status(), response.text().as_str()), (200, "body"));
    }
}

#[test]
fn header_block_beyond_1_mib_answers_431() {
    let dog = cat();
    for (count, size) in [(200, 8_000), (2, 800_000), (1, 2_000_000)] {
        let response = dog.request(with_headers(count, size).to_bytes());
        assert_eq!(response.status(), 431, "{count} headers of {size}");
    }
    assert_serves(&dog);
}

#[test]
fn headers_600_answer_431_in_every_mode() {
    for mode in ["classic", "streaming", "serializing", "http", "static"] {
        let launch = match mode {
            "http" => crate::upstream::http(),
            "static" => {
                let launch = watchdog().mode(mode);
                let root = launch.temp_dir().to_owned();
                launch.env("static_path", root)
            }
            mode => watchdog().mode(mode).fprocess("cat"),
        };
        let dog = launch.start_ready();
        assert_eq!(dog.call(&with_headers(600, 1)).status(), 431, "{mode}");
        assert_eq!(dog.get("/_/health").status(), 200, "{mode}");
    }
}

#[test]
fn header_block_without_an_end_takes_bounded_memory() {
    let dog = cat();
    let before = dog.peak_rss_kb();
    for _ in 0..2 {
        let mut client = dog.connect();
        client.send("GET / HTTP/1.1\r\nHost: f\r\n");
        let line = format!("X-A: {}\r\n", "v".repeat(8_000)).repeat(100);
        // Sixteen megabytes, unless the server has had enough before.
        for _ in 0..20 {
            if client.try_send(&line).is_err() {
                break;
            }
        }
        if let Ok(head) = client.try_read_head() {
            assert_eq!(head.status, 431);
        }
    }
    let grown = dog.peak_rss_kb() - before;
    assert!(grown < 16_000, "it grew by {grown} kB");
    assert_serves(&dog);
}

#[test]
fn target_of_60_kb_is_served_or_refused_with_414() {
    let dog = telling("streaming").start();
    let query = "q".repeat(60_000);
    let response = dog.get(&format!("/p?{query}"));
    assert_eq!(response.status(), 200);
    assert_eq!(response.text(), format!("GET /p?{query}"));
    let status = dog.get(&format!("/{}", "p".repeat(200_000))).status();
    assert!(matches!(status, 400 | 414 | 431), "{status}");
    assert_eq!(dog.get("/p").status(), 200);
}

// === slow senders ===

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

// === slow readers ===

#[test]
fn client_that_stops_reading_is_cut_after_write_timeout() {
    for (mode, script) in
        [("streaming", "yes | head -c 100000000"), ("classic", "head -c 12000000 /dev/zero")]
    {
        let dog = watchdog()
            .mode(mode)
            .sh(script)
            .env("exec_timeout", "60s")
            // Classic mode has to make and keep all of the output in this time, too.
            .env("write_timeout", "3s")
            .start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 4096);
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200, "{mode}");
        // Not reading on: the connection goes away, and with it the process.
        dog.wait_until_childless();
        eventually(DEADLINE, "the connection to be given up", || dog.connections() == 0);
        let (_, end) = client.skip_body();
        assert!(matches!(end, End::Cut(_)), "{mode}: {end:?}");
        assert_eq!(dog.get("/_/health").status(), 200);
    }
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

// === methods and targets ===

#[test]
fn head_has_no_body_in_streaming_mode_and_is_refused_in_classic() {
    let dog = telling("streaming").start();
    let response = dog.call(&Request::new("HEAD", "/x"));
    assert_eq!((response.status(), response.body.len()), (200, 0));
    let dog = telling("classic").start();
    assert_eq!(dog.call(&Request::new("HEAD", "/x")).status(), 405);
}

#[test]
fn options_star_answers_200_and_other_stars_400() {
    let dog = telling("streaming").start();
    let response = dog.call(&Request::new("OPTIONS", "*"));
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    assert_eq!(dog.call(&Request::get("*")).status(), 400);
}

#[test]
fn connect_answers_404() {
    let dog = telling("streaming").start();
    let response = dog.call(&Request::new("CONNECT", "example.com:443"));
    assert_eq!(response.status(), 404);
}

#[test]
fn target_in_absolute_form_is_served_by_its_path() {
    let dog = telling("streaming").start();
    let response = dog.get("http://function/some/path?q=1");
    assert_eq!(response.text(), "GET /some/path?q=1");
}

#[test]
fn path_reaches_the_function_untouched() {
    // Defect 17: such paths were redirected.
    for mode in ["classic", "streaming"] {
        let dog = telling(mode).start();
        for (target, path) in [
            ("//", "//"),
            ("//a//b", "//a//b"),
            ("/a/../b", "/a/../b"),
            ("/./a/.", "/./a/."),
            ("/..", "/.."),
            ("/a%2Fb", "/a/b"),
            ("/%2F%2F", "///"),
            ("/%2e%2e/x", "/../x"),
            ("/a%20b", "/a b"),
            ("/a+b", "/a+b"),
            ("/;p=1,2", "/;p=1,2"),
            ("/%C3%A9", "/é"),
        ] {
            let response = dog.get(target);
            assert_eq!(response.status(), 200, "{mode} {target}");
            assert_eq!(response.text(), format!("GET {path}?"), "{mode} {target}");
        }
    }
}

#[test]
fn path_with_bytes_that_are_no_utf8_reaches_the_function() {
    let dog = telling("streaming").start();
    let response = dog.get("/%FF%FE");
    assert_eq!(response.status(), 200);
    assert_eq!(response.body, b"GET /\xFF\xFE?");
}

#[test]
fn path_with_raw_bytes_above_ascii_has_a_clear_status() {
    let dog = telling("streaming").start();
    let response = dog.request(b"GET /\xC3\xA9\xFF HTTP/1.1\r\nHost: f\r\n\r\n");
    assert!(matches!(response.status(), 200 | 400), "{:?}", response.head);
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn path_with_nul_answers_400() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = telling(mode).start();
        assert_eq!(dog.get("/a%00b").status(), 400, "{mode}");
        assert_eq!(dog.get("/").status(), 200, "{mode}");
    }
}

#[test]
fn query_reaches_the_function_raw() {
    let dog = telling("streaming").start();
    for query in ["a=1&b=2", "%zz", "%20+", "a=%00", "?", "x=/../"] {
        let response = dog.get(&format!("/p?{query}"));
        assert_eq!(response.text(), format!("GET /p?{query}"));
    }
}

#[test]
fn path_with_percent_and_no_digits_has_a_clear_status() {
    let dog = telling("streaming").start();
    for target in ["/%zz", "/%", "/a%4"] {
        let status = dog.get(target).status();
        assert!(matches!(status, 200 | 400), "{target}: {status}");
    }
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn every_response_has_a_date() {
    let dog = cat();
    for path in ["/", "/_/health", "/%00"] {
        assert!(dog.get(path).header("date").is_some(), "{path}");
    }
}
