//! A path in `http_upstream_url` goes before that of every request.

use e2e::{
    Launch, Request, free_port,
    play::{Play, Step, answer, send},
};

use super::{heads, http};
use crate::{UPSTREAM, watchdog};

fn based() -> Launch {
    let port = free_port();
    watchdog()
        .mode("http")
        .fprocess(&format!("{UPSTREAM} 127.0.0.1:{port}"))
        .env("http_upstream_url", format!("http://127.0.0.1:{port}/base"))
}

/// The of-watchdog forgot it for these.
#[test]
fn streams_and_upgrades_have_it() {
    let dog = based().start_ready();
    let done = answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let accepting = |kind: &str| done.with(Request::get("/x?y=z")).header("Accept", kind);
    assert_eq!(dog.call(&accepting("text/event-stream")).status(), 200);
    assert_eq!(dog.call(&accepting("application/x-ndjson")).status(), 200);
    let play = Play::new([
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        Step::Close,
    ]);
    let upgrade = play.with(Request::get("/x?y=z"));
    let mut client = dog.connect();
    client.send(upgrade.header("Connection", "Upgrade").header("Upgrade", "x").to_bytes());
    assert_eq!(client.read_head().status, 101);
    let heads = heads(&dog);
    assert_eq!(heads.len(), 3);
    for head in heads {
        assert!(head.starts_with("GET /base/x?y=z HTTP/1.1\r\n"), "{head}");
    }
}

/// The of-watchdog failed every probe: it took the name for a port.
#[test]
fn ready_path_without_a_slash_is_a_path() {
    let dog = http().env("ready_path", "ready").start_ready();
    let heads = heads(&dog);
    assert!(heads.iter().all(|head| head.starts_with("GET /ready HTTP/1.1\r\n")), "{heads:?}");
    assert!(!heads.is_empty());
}
