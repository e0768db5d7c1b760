//! mode=http: connections that stop being HTTP (RFC 9110 section 7.8), web sockets above all.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Client, DEADLINE, Request, Watchdog, eventually,
    play::{Play, Step, answer, send, touch, wait},
};

use crate::upstream::{exists, heads, http};

/// A function that switches, says something at once, and echoes.
fn switch(protocol: &str) -> Play {
    Play::new([
        send(&format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome"
        )),
        Step::Copy,
    ])
}

fn upgrade(protocol: &str, play: &Play) -> Request {
    play.get()
        .header("Connection", "Upgrade")
        .header("Upgrade", protocol)
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
}

/// An open tunnel to a function that echoes.
#[track_caller]
fn open(dog: &Watchdog) -> Client {
    let mut client = dog.connect();
    client.send(upgrade("websocket", &switch("websocket")).to_bytes());
    let head = client.read_head();
    assert_eq!(head.status, 101, "{head:?}\n{}", dog.log());
    assert_eq!(client.read_raw(7), b"welcome");
    client
}

#[track_caller]
fn assert_echoes(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.read_raw(text.len()), text.as_bytes());
}

/// A function that never closes would keep the call for ever.
#[test]
fn tunnel_whose_client_has_left_ends_although_the_function_stays() {
    let dog = http().env("max_inflight", "1").start();
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello"),
        wait("never"),
    ]);
    let mut client = dog.connect();
    client.send(upgrade("x", &play).to_bytes());
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_raw(5), b"hello");
    assert_eq!(dog.get("/").status(), 429);
    drop(client);
    eventually(DEADLINE, "the place to be free", || dog.get("/").status() == 200);
    dog.wait_for_log(|log| log.contains(" - 101 - ContentLength: 5B"));
}

#[test]
fn tunnel_cut_by_a_stop_has_its_line_and_its_bytes() {
    let mut dog =
        http().env("healthcheck_interval", "0").env("write_timeout", "500ms").start_unready();
    eventually(DEADLINE, "the function to be ready", || {
        dog.try_get("/_/ready").is_some_and(|response| response.status() == 200)
    });
    let mut client = open(&dog);
    assert_echoes(&mut client, "0123456789");
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    let lines = dog.access_log_lines();
    let line = lines.iter().find(|line| line.contains(" - 101 - ")).expect("its line");
    assert!(line.contains("ContentLength: 17B") && line.contains("the watchdog stopped"), "{line}");
}

#[test]
fn websocket_is_opened_and_carries_bytes_both_ways() {
    let dog = http().start();
    let mut client = dog.connect();
    client.send(upgrade("websocket", &switch("websocket")).to_bytes());
    let head = client.read_head();
    assert_eq!(head.status, 101);
    assert!(head.says("upgrade", "websocket") && head.says("connection", "upgrade"), "{head:?}");
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(client.read_raw(7), b"welcome");
    for text in ["\u{1}\0frame", "HTTP/1.1 400 no\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        assert_echoes(&mut client, text);
    }
    let seen = heads(&dog).remove(0).to_ascii_lowercase();
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: dghlihnhbxbszsbub25jzq==",
        "sec-websocket-version: 13",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(seen.lines().any(|own| own == line), "{line} in {seen}");
    }
    assert!(!seen.contains("content-length") && !seen.contains("transfer-encoding"), "{seen}");
}

/// The of-watchdog hangs unless `Upgrade` is `websocket` in lower case.
#[test]
fn name_of_the_protocol_may_have_any_case() {
    let dog = http().start();
    for (connection, protocol) in
        [("Upgrade", "WebSocket"), ("upgrade", "WEBSOCKET"), ("keep-alive, Upgrade", "websocket")]
    {
        let request =
            switch("websocket").get().header("Connection", connection).header("Upgrade", protocol);
        let mut client = dog.connect();
        client.send(request.to_bytes());
        assert_eq!(client.read_head().status, 101, "{connection} {protocol}");
        assert_eq!(client.read_raw(7), b"welcome");
        assert_echoes(&mut client, "ping");
    }
}

#[test]
fn any_other_protocol_is_switched_to() {
    let dog = http().start();
    for protocol in ["tcp", "h2c", "SPDY/3.1", "connect-ip"] {
        let mut client = dog.connect();
        client.send(upgrade(protocol, &switch(protocol)).to_bytes());
        let head = client.read_head();
        assert_eq!((head.status, head.header("upgrade")), (101, Some(protocol)));
        assert_eq!(client.read_raw(7), b"welcome");
        assert_echoes(&mut client, "ping");
    }
}

#[test]
fn bytes_right_behind_the_request_head_arrive() {
    let dog = http().start();
    let mut bytes = upgrade("websocket", &switch("websocket")).to_bytes();
    bytes.extend_from_slice(b"eager");
    let mut client = dog.connect();
    client.send(bytes);
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_raw(12), b"welcomeeager");
}

#[test]
fn refused_upgrade_is_an_ordinary_response() {
    let dog = http().start();
    let mut client = dog.connect();
    let refusal = answer("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    let response = client.call(&upgrade("websocket", &refusal));
    assert_eq!((response.status(), response.text().as_str()), (426, "no"));
    // The connection is still HTTP.
    assert_eq!(client.call(&Request::get("/")).status(), 200);
    let ignored = answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let response = client.call(&upgrade("websocket", &ignored));
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
}

#[test]
fn large_traffic_arrives_whole() {
    let dog = http().start();
    let mut client = open(&dog);
    let data = e2e::play::pattern(200_000);
    for _ in 0..20 {
        client.send(&data);
        assert!(client.read_raw(data.len()) == data, "the bytes changed");
    }
}

#[test]
fn tunnel_outlives_every_timeout() {
    let dog = http()
        .env("exec_timeout", "700ms")
        .env("write_timeout", "700ms")
        .env("read_timeout", "700ms")
        .start_ready();
    let start = Instant::now();
    let mut client = open(&dog);
    while start.elapsed() < Duration::from_millis(1500) {
        assert_echoes(&mut client, "still here");
        thread::sleep(Duration::from_millis(20));
    }
    // And a stretch of silence.
    thread::sleep(Duration::from_millis(1500));
    assert_echoes(&mut client, "and here");
}

#[test]
fn client_that_leaves_closes_the_side_of_the_function() {
    let dog = http().start();
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        Step::Eof,
        touch("left"),
    ]);
    let mut client = dog.connect();
    client.send(upgrade("x", &play).to_bytes());
    assert_eq!(client.read_head().status, 101);
    drop(client);
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
}

#[test]
fn function_that_leaves_closes_the_side_of_the_client() {
    let dog = http().start();
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbye"),
        Step::Close,
    ]);
    let mut client = dog.connect();
    client.send(upgrade("x", &play).to_bytes());
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_raw(3), b"bye");
    client.half_close();
    assert!(client.is_closed_by_server());
}

#[test]
fn half_closed_tunnel_still_carries_the_other_direction() {
    let dog = http().start();
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        Step::Eof,
        send("after the end"),
        Step::Close,
    ]);
    let mut client = dog.connect();
    client.send(upgrade("x", &play).to_bytes());
    assert_eq!(client.read_head().status, 101);
    client.send("question");
    client.half_close();
    assert_eq!(client.read_raw(13), b"after the end");
    assert!(client.is_closed_by_server());
}

#[test]
fn tunnel_is_counted_and_logged_once_with_101() {
    let dog = http().metrics().start();
    let mut client = open(&dog);
    assert_echoes(&mut client, "ping");
    client.half_close();
    assert!(client.is_closed_by_server());
    eventually(DEADLINE, "the call to be counted", || dog.metrics().requests(101, "get") >= 1.0);
    let lines = dog.wait_for_access_lines(1);
    assert!(lines.len() == 1 && lines[0].contains("GET / - 101 - "), "{lines:?}");
    assert!((dog.metrics().all_requests() - 1.0).abs() < f64::EPSILON);
    eventually(DEADLINE, "nothing in flight", || {
        dog.metrics().get("http_requests_in_flight", &[]) == Some(0.0)
    });
}

#[test]
fn tunnel_holds_its_place_until_it_closes() {
    let dog = http().env("max_inflight", "1").start();
    for round in 0..3 {
        let mut client = open(&dog);
        assert_eq!(dog.get("/").status(), 429);
        assert_echoes(&mut client, "ping");
        assert_eq!(dog.get("/").status(), 429);
        if round == 0 {
            client.reset();
        } else {
            drop(client);
        }
        eventually(DEADLINE, "the place to be free", || dog.get("/").status() == 200);
    }
}

#[test]
fn closed_tunnels_leave_no_descriptors() {
    let dog = http().start();
    eventually(DEADLINE, "/_/ready to answer 200", || dog.get("/_/ready").status() == 200);
    // Tunnels never become idle connections, so nothing of them may be left.
    let before = dog.open_fds().len();
    for _ in 0..10 {
        drop(open(&dog));
    }
    eventually(DEADLINE, "every descriptor to be closed", || dog.open_fds().len() <= before);
}

/// The of-watchdog does not wait for open tunnels.
#[test]
fn stop_waits_for_open_tunnels() {
    let mut dog = http().env("healthcheck_interval", "50ms").start();
    let mut client = open(&dog);
    dog.terminate();
    eventually(DEADLINE, "the listener to close", || Client::try_connect(dog.addr()).is_err());
    assert_echoes(&mut client, "still open");
    dog.assert_runs();
    drop(client);
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(dog.started_processes().is_empty());
}

#[test]
fn stop_does_not_wait_longer_than_write_timeout_for_tunnels() {
    let mut dog =
        http().env("healthcheck_interval", "50ms").env("write_timeout", "1s").start_ready();
    let mut client = open(&dog);
    let start = Instant::now();
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_secs(1), "it did not wait");
    assert!(client.is_closed_by_server());
    assert!(dog.started_processes().is_empty());
}

#[test]
fn death_of_the_function_closes_its_tunnels() {
    let mut dog = http().start();
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        wait("die"),
        Step::Exit(1),
    ]);
    let mut client = dog.connect();
    client.send(upgrade("x", &play).to_bytes());
    assert_eq!(client.read_head().status, 101);
    crate::upstream::touch(&dog, "die");
    assert!(client.is_closed_by_server());
    assert_eq!(dog.wait_exit().code(), Some(1));
}
