//! An upstream that is a socket in the file system.

use e2e::{
    DEADLINE, Launch, Request, eventually,
    play::{Play, Step, pattern, send, send_chunk},
};

use super::lines;
use crate::{UPSTREAM, watchdog};

fn unix(options: &str) -> Launch {
    let launch = watchdog().mode("http");
    let socket = launch.temp_dir().join("function.sock").display().to_string();
    launch
        .fprocess(format!("{UPSTREAM} {socket} {options}").trim_end())
        .env("http_upstream_url", format!("unix:{socket}"))
}

#[test]
fn ready_only_once_the_socket_listens() {
    let dog = unix("--after listen").start();
    assert_eq!(dog.get("/_/ready").status(), 503);
    assert_eq!(dog.get("/_/health").status(), 200);
    super::touch(&dog, "listen");
    eventually(DEADLINE, "/_/ready to answer 200", || dog.get("/_/ready").status() == 200);
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn socket_that_is_not_there_is_502() {
    let dog = unix("--after never").env("exec_timeout", "500ms").start();
    let response = dog.get("/");
    assert_eq!(response.status(), 502);
    assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
    assert!(!response.text().trim().is_empty());
}

#[test]
fn socket_that_goes_away_is_502() {
    let dog = unix("").start_ready();
    std::fs::remove_file(dog.temp_dir().join("function.sock")).unwrap();
    let response = dog.call(&Play::new([Step::Body, Step::Reply]).post("x"));
    assert_eq!(response.status(), 502, "{}", dog.log());
}

#[test]
fn upgrade_goes_through() {
    let dog = unix("").start_ready();
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        Step::Copy,
    ]);
    let mut client = dog.connect();
    let request = play.get().header("Connection", "Upgrade").header("Upgrade", "x");
    client.send(request.to_bytes());
    assert_eq!(client.read_head().status, 101);
    client.send("ping");
    assert_eq!(client.read_raw(4), b"ping");
}

#[test]
fn event_stream_leaves_as_it_comes() {
    let dog = unix("").start_ready();
    let play = Play::new([
        Step::Body,
        send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        send_chunk("data: 1\n\n"),
        Step::Wait("go".into()),
        send("0\r\n\r\n"),
    ]);
    let mut client = dog.connect();
    client.send(play.get().header("Accept", "text/event-stream").to_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk_data(), b"data: 1\n\n");
    super::touch(&dog, "go");
    assert!(client.read_body().0.is_empty());
}

#[test]
fn function_that_died_is_started_again() {
    let script = "rm -f $TMPDIR/function.sock; exec $UPSTREAM";
    let launch = watchdog().mode("http");
    let socket = launch.temp_dir().join("function.sock").display().to_string();
    let dog = launch
        .env("UPSTREAM", format!("{UPSTREAM} {socket}"))
        .env("http_upstream_url", format!("unix:{socket}"))
        .env("upstream_restart", "true")
        .sh(script)
        .start_ready();
    assert_eq!(dog.call(&Play::new([Step::Body, Step::Exit(1)]).post("x")).status(), 502);
    eventually(DEADLINE, "the next start", || lines(&dog, "pids").len() == 2);
    eventually(DEADLINE, "the function to serve", || dog.call(&Request::get("/")).status() == 200);
}

/// The loop hears that the socket has room again only after a write that found it full.
#[test]
fn request_that_the_function_reads_late_arrives_whole() {
    let body = pattern(4 << 20);
    let dog = unix("").start_ready();
    let mut client = dog.connect();
    for _ in 0..2 {
        let play = Play::new([Step::Pause(100), Step::Body, Step::Reply]);
        let response = client.call(&play.post(&body));
        assert!(response.status() == 200 && response.body == body, "{}", dog.log());
        // The socket takes this one at once.
        let response = client.call(&Play::new([Step::Body, Step::Reply]).post("few"));
        assert_eq!(response.text(), "few");
    }
}
