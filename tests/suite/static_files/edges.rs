//! Ranges that are not served, files that shrink, and calls beyond the limit.

use std::fs::{self, File};

use e2e::{Client, DEADLINE, End, Launch, Request, Watchdog, eventually};

use super::put;
use crate::watchdog;

/// A file that no kernel buffer holds.
const LARGE: u64 = 64 << 20;

fn with_large(prepare: impl FnOnce(Launch) -> Launch) -> Watchdog {
    let launch = prepare(watchdog().mode("static"));
    let root = launch.temp_dir().join("site");
    fs::create_dir(&root).unwrap();
    File::create(root.join("large")).unwrap().set_len(LARGE).unwrap();
    put(&root, "small.txt", "small");
    launch.env("static_path", root).start()
}

/// A download whose client has read nothing but the head.
#[track_caller]
fn download(dog: &Watchdog) -> Client {
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
    client.send(Request::get("/large").to_bytes());
    let head = client.read_head();
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    client
}

#[test]
fn several_ranges_give_the_whole_file() {
    let dog = with_large(|launch| launch);
    for ranges in ["bytes=0-0,2-3", "bytes=0-0, -1", "bytes=3-3,0-1"] {
        let response = dog.call(&Request::get("/small.txt").header("Range", ranges));
        assert_eq!((response.status(), response.text().as_str()), (200, "small"), "{ranges}");
        assert_eq!(response.header("content-range"), None, "{ranges}");
    }
}

#[test]
fn file_that_shrinks_while_it_is_served_cuts_the_response() {
    let dog = with_large(|launch| launch);
    let mut client = download(&dog);
    let file = dog.temp_dir().join("site").join("large");
    File::options().write(true).open(file).unwrap().set_len(1000).unwrap();
    let (size, end) = client.skip_body();
    assert!(size < LARGE && matches!(end, End::Cut(_)), "{size} {end:?}");
    assert_eq!(dog.get("/small.txt").text(), "small");
    let lines = dog.wait_for_access_lines(2);
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn limit_holds_for_files() {
    let dog = with_large(|launch| launch.env("max_inflight", "1"));
    for _ in 0..3 {
        let client = download(&dog);
        let response = dog.get("/small.txt");
        assert_eq!(response.status(), 429);
        assert_eq!(response.header("x-openfaas-internal"), Some("faas-middleware"));
        client.reset();
        eventually(DEADLINE, "the place to be free", || dog.get("/small.txt").status() == 200);
    }
}
