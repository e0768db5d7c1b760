//! Clients that read too slowly: `write_timeout`.

use std::fs;

use e2e::{
    Client, DEADLINE, End, Request, Watchdog, eventually,
    play::{Play, Step, send},
};

use crate::{upstream::http, watchdog};

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

/// Asks for 64 MB with a small window and reads nothing: it is cut, with one line.
#[track_caller]
fn assert_cut(dog: &Watchdog, request: &Request) {
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 4096);
    client.send(request.to_bytes());
    assert_eq!(client.read_head().status, 200);
    // Both the client's and, in http mode, the function's.
    eventually(DEADLINE, "the connections to be given up", || dog.connections() == 0);
    let (size, end) = client.skip_body();
    assert!(size < SIZE && matches!(end, End::Cut(_)), "{size}: {end:?}");
    let lines = dog.wait_for_access_lines(1);
    assert!(lines.len() == 1 && lines[0].contains(" - 200 - "), "{lines:?}");
    assert_eq!(dog.get("/_/health").status(), 200);
}

const SIZE: u64 = 64 << 20;

#[test]
fn client_that_stops_reading_is_cut_in_http_mode_and_the_function_is_told() {
    let dog = http().env("write_timeout", "1s").env("exec_timeout", "60s").start_ready();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let size = usize::try_from(SIZE).unwrap();
    assert_cut(&dog, &Play::new([Step::Body, send(&head), Step::Fill(size)]).get());
}

#[test]
fn client_that_stops_reading_is_cut_in_static_mode() {
    let launch = watchdog().mode("static").env("write_timeout", "1s");
    let root = launch.temp_dir().join("site");
    fs::create_dir(&root).unwrap();
    fs::File::create(root.join("large")).unwrap().set_len(SIZE).unwrap();
    let dog = launch.env("static_path", &root).start();
    assert_cut(&dog, &Request::get("/large"));
}
