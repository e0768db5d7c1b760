//! The access line of a response that was cut says how many bytes of its body went out
//! (defect 19).

use std::fs;

use e2e::{
    Client, DEADLINE, Launch, Request, Watchdog, eventually,
    play::{Play, Step, send},
};

use crate::{upstream::http, watchdog};

const SIZE: u64 = 64 << 20;

fn json(launch: Launch) -> Launch {
    launch.env("log_format", "json")
}

/// The bytes and the error of the only call.
#[track_caller]
fn line(dog: &Watchdog) -> (u64, String) {
    let is_call = |line: &&str| line.contains(r#""message":"call""#);
    dog.wait_for_log(|log| log.lines().any(|line| is_call(&line)));
    let log = dog.stderr();
    let lines: Vec<_> = log.lines().filter(is_call).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    (line["bytes"].as_u64().unwrap(), line["error"].as_str().unwrap_or_default().to_owned())
}

/// The bytes of a body of which the end may be missing, without chunk sizes.
fn payload(raw: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(raw);
    let head = text.find("\r\n\r\n").unwrap() + 4;
    let mut rest = &raw[head..];
    if !text[..head].to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return rest.len() as u64;
    }
    let mut bytes = 0;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = size.min(rest.len() - end - 2);
        bytes += data as u64;
        rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
    }
    bytes
}

/// Asks with a small window and reads nothing until it is cut: what arrives after all was counted.
#[track_caller]
fn assert_counted(what: &str, launch: Launch, request: &Request) {
    let dog = json(launch).env("write_timeout", "1s").env("exec_timeout", "60s").start();
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 4096);
    client.send(request.to_bytes());
    let (bytes, error) = line(&dog);
    assert!(error.contains("write_timeout"), "{what}: {error}");
    let received = payload(&client.read_raw_to_end());
    assert!(received > 0 && received < SIZE, "{what}: {received}");
    assert_eq!(bytes, received, "{what}");
}

fn site() -> Launch {
    let launch = watchdog().mode("static");
    let root = launch.temp_dir().join("site");
    fs::create_dir(&root).unwrap();
    fs::File::create(root.join("large")).unwrap().set_len(SIZE).unwrap();
    launch.env("static_path", &root)
}

#[test]
fn bytes_of_a_response_cut_by_write_timeout_are_those_that_arrive() {
    for zero_copy in ["auto", "on", "off"] {
        let output = |mode| {
            let script = format!("exec head -c {SIZE} /dev/zero");
            let launch = watchdog().mode(mode).sh(&script).env("zero_copy", zero_copy);
            launch.env("spool_memory", "1MB")
        };
        assert_counted("streaming", output("streaming"), &Request::get("/"));
        assert_counted("static", site().env("zero_copy", zero_copy), &Request::get("/large"));
    }
}

#[test]
fn bytes_of_a_proxied_response_cut_by_write_timeout_are_those_that_arrive() {
    let size = usize::try_from(SIZE).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let play = Play::new([Step::Body, send(&head), Step::Fill(size)]);
    assert_counted("http", http(), &play.get());
}

#[test]
fn bytes_of_a_response_whose_client_resets_are_those_that_were_sent() {
    let dogs = [
        (json(site()), Request::get("/large")),
        (
            json(watchdog().mode("classic").sh("exec head -c 20000000 /dev/zero"))
                .env("spool_memory", "40MB"),
            Request::get("/"),
        ),
        (
            json(watchdog().mode("streaming").sh("exec head -c 64000000 /dev/zero")),
            Request::get("/"),
        ),
    ];
    for (launch, request) in dogs {
        let dog = launch.start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 4096);
        client.send(request.to_bytes());
        client.read_raw(5000);
        client.reset();
        let (bytes, error) = line(&dog);
        assert!(error.contains("the client left"), "{error}");
        // A head is shorter than 1000 bytes, and the client had no room for so much.
        assert!((4000..400_000).contains(&bytes), "{bytes}");
        eventually(DEADLINE, "the connection to be given up", || dog.connections() == 0);
    }
}
