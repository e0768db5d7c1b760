//! Variables whose effect no other suite shows.

mod limits;
mod output;

use e2e::{DEADLINE, Request, eventually, free_port, play::answer};
use rustix::process::Signal;

use crate::{
    UPSTREAM,
    held::{self, hold, release},
    upstream::heads,
    watchdog,
};

#[test]
fn port_is_where_calls_are_served() {
    let port = free_port();
    let dog = watchdog().fprocess("cat").env("port", port.to_string()).start();
    assert_eq!(dog.addr().port(), port);
    assert_eq!(dog.listening_ports(), [port]);
    assert_eq!(dog.post("/", "here").text(), "here");
}

#[test]
fn http_upstream_url_wins_over_upstream_url() {
    let port = free_port();
    let dog = watchdog()
        .mode("http")
        .fprocess(&format!("{UPSTREAM} 127.0.0.1:{port}"))
        .env("upstream_url", format!("http://127.0.0.1:{port}/loses"))
        .env("http_upstream_url", format!("http://127.0.0.1:{port}/wins"))
        .start_ready();
    let done = answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(dog.call(&done.get()).status(), 200);
    assert!(heads(&dog)[0].starts_with("GET /wins/ HTTP/1.1"), "{:?}", heads(&dog));
}

#[test]
fn healthcheck_interval_below_0_ends() {
    let mut dog = watchdog().sh(held::SCRIPT).env("healthcheck_interval", "-1s").start();
    let mut held = hold(&dog);
    dog.signal(Signal::TERM);
    eventually(DEADLINE, "the listener to close", || e2e::Client::try_connect(dog.addr()).is_err());
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
    assert_eq!(dog.wait_exit().code(), Some(0));
}

#[test]
fn cgi_headers_false_gives_the_plain_environment_in_streaming_mode() {
    let dog = watchdog().mode("streaming").fprocess("env").env("cgi_headers", "false").start();
    let text = dog.call(&Request::get("/path?query").header("X-One", "a")).text();
    assert!(text.contains("mode=streaming"), "{text}");
    assert!(!text.contains("Http_"), "{text}");
}

#[test]
fn log_call_id_is_another_name_of_log_callid() {
    let dog = watchdog().fprocess("cat").env("log_call_id", "true").start();
    dog.call(&Request::get("/").header("X-Call-Id", "abc-123"));
    let lines = dog.wait_for_access_lines(1);
    assert!(lines[0].ends_with("[abc-123]"), "{lines:?}");
}
