//! Peak memory stays under 32 MB whatever passes through (issue, "Modes"). Sizes are as small as
//! they can be and still tell: a program that holds bodies would need all of it.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use e2e::{Client, DEADLINE, End, Launch, Request, Watchdog, eventually};

use crate::watchdog;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Gigabytes may take their time on a shared machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Nothing here is about time.
fn patient(mode: &str) -> Launch {
    watchdog()
        .mode(mode)
        .env("exec_timeout", "10m")
        .env("read_timeout", "10m")
        .env("write_timeout", "10m")
}

#[track_caller]
fn assert_small(dog: &Watchdog) {
    let peak = dog.peak_rss_kb();
    assert!(peak > 0, "{}", dog.log());
    assert!(peak < 32 * 1024, "peak memory {peak} kB");
}

/// A response of this many zero bytes, thrown away as it comes.
fn respond(mode: &str, size: u64) {
    let dog = patient(mode).fprocess(&format!("head -c {size} /dev/zero")).start();
    let mut client = dog.connect();
    client.set_patience(PATIENCE);
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.skip_body(), (size, End::Complete));
    assert_small(&dog);
}

/// A connection gives its buffers back when it rests. Opening these takes longer than it takes a connection to rest,
/// for each has a process started.
#[test]
fn idle_connection_costs_less_than_14_kb() {
    const CONNECTIONS: u64 = 500;
    let dog = patient("classic").fprocess("cat").start();
    let connect = || {
        let mut client = dog.connect();
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_response().status(), 200);
        client
    };
    let _first = connect();
    let before = dog.peak_rss_kb();
    let _idle: Vec<Client> = (0..CONNECTIONS).map(|_| connect()).collect();
    let each = dog.peak_rss_kb().saturating_sub(before) / CONNECTIONS;
    assert!(each < 14, "{each} kB a connection");
}

/// A request of this many zero bytes, counted by the function.
fn receive(mode: &str, size: u64) {
    let dog = patient(mode).fprocess("wc -c").start();
    let mut client = dog.connect();
    client.set_patience(PATIENCE);
    client.send(Request::new("POST", "/").header("Content-Length", size.to_string()).head_bytes());
    let piece = vec![0; 1 << 20];
    for _ in 0..size / MIB {
        client.send(&piece);
    }
    let response = client.read_response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().trim(), size.to_string());
    assert_small(&dog);
}

#[test]
fn classic_response_of_1_gib_keeps_memory_small() {
    respond("classic", GIB);
}

#[test]
fn classic_request_of_1_gib_keeps_memory_small() {
    receive("classic", GIB);
}

#[test]
fn serializing_response_of_256_mib_keeps_memory_small() {
    respond("serializing", 256 * MIB);
}

#[test]
fn serializing_request_of_256_mib_keeps_memory_small() {
    receive("serializing", 256 * MIB);
}

#[test]
fn streaming_response_of_256_mib_keeps_memory_small() {
    respond("streaming", 256 * MIB);
}

#[test]
fn streaming_request_of_256_mib_keeps_memory_small() {
    receive("streaming", 256 * MIB);
}

#[test]
fn chunked_request_of_128_mib_keeps_memory_small() {
    let dog = patient("classic").fprocess("wc -c").start();
    let mut client = dog.connect();
    client.set_patience(PATIENCE);
    client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
    let chunk = [b"100000\r\n".as_slice(), &vec![0; 1 << 20], b"\r\n"].concat();
    for _ in 0..128 {
        client.send(&chunk);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_response().text().trim(), (128 * MIB).to_string());
    assert_small(&dog);
}

#[test]
fn marshalled_request_of_64_mib_keeps_memory_small() {
    let dog = patient("classic").fprocess("wc -c").env("marshal_request", "true").start();
    let mut client = dog.connect();
    client.set_patience(PATIENCE);
    let length = (64 * MIB).to_string();
    client.send(Request::new("POST", "/").header("Content-Length", length).head_bytes());
    let piece = vec![0; 1 << 20];
    for _ in 0..64 {
        client.send(&piece);
    }
    let size: u64 = client.read_response().text().trim().parse().expect("a count");
    assert!(size > 64 * MIB * 4 / 3, "{size}");
    assert_small(&dog);
}

#[test]
fn failed_classic_response_of_64_mib_keeps_memory_small() {
    let size = 64 * MIB;
    let dog = patient("classic").sh(&format!("head -c {size} /dev/zero; exit 3")).start();
    let mut client = dog.connect();
    client.set_patience(PATIENCE);
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 500);
    assert_eq!(client.skip_body(), (size + "exit status 3\n".len() as u64, End::Complete));
    assert_small(&dog);
}

#[test]
fn eight_responses_of_32_mib_at_once_keep_memory_small() {
    let dog = patient("classic")
        .fprocess(&format!("head -c {} /dev/zero", 32 * MIB))
        .env("spool_memory", "100000")
        .start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = dog.connect();
                client.set_patience(PATIENCE);
                client.send(Request::get("/").to_bytes());
                assert_eq!(client.read_head().status, 200);
                assert_eq!(client.skip_body(), (32 * MIB, End::Complete));
            });
        }
    });
    assert_small(&dog);
}

/// Bytes a process has written so far (proc(5), `/proc/PID/io`).
fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Waits until `count` stays as it is: whoever counts up is blocked.
fn eventually_still(what: &str, mut count: impl FnMut() -> u64) -> u64 {
    let (mut last, mut same) = (0, 0);
    eventually(DEADLINE, what, || {
        let now = count();
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same >= 10
    });
    last
}

#[test]
fn slow_reader_of_an_endless_stream_blocks_the_function_and_keeps_memory_small() {
    let dog = patient("streaming").fprocess("cat /dev/zero").start();
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 64 * 1024);
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 200);
    let function = dog.children().first().expect("it runs").pid;
    let mut read = 0;
    for stop in 1..=4 {
        while read < stop * 2 * MIB {
            read += client.read_chunk_data().len() as u64;
        }
        let written = eventually_still("the function to be blocked", || written(function));
        // What the kernel's buffers of a pipe and a socket hold, with a margin.
        assert!(written < read + 16 * MIB, "{written} bytes written, {read} read");
    }
    assert_small(&dog);
    drop(client);
    dog.wait_until_childless();
}

#[test]
fn function_that_does_not_read_blocks_the_client_and_keeps_memory_small() {
    let script = r#"while [ ! -e "$TMPDIR/go" ]; do sleep 0.01; done; exec wc -c"#;
    let size = 128 * MIB;
    for mode in ["classic", "streaming"] {
        let dog = patient(mode).sh(script).start();
        let mut client = dog.connect();
        client.set_patience(PATIENCE);
        let head = Request::new("POST", "/").header("Content-Length", size.to_string());
        client.send(head.head_bytes());
        let sent = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let piece = vec![0; 64 * 1024];
                while sent.load(Ordering::Relaxed) < size {
                    client.send(&piece);
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            });
            let taken =
                eventually_still("the client to be blocked", || sent.load(Ordering::Relaxed));
            fs::write(dog.temp_dir().join("go"), "").expect("a file");
            assert!(taken < 32 * MIB, "{mode}: {taken} bytes were taken");
        });
        assert_eq!(client.read_response().text().trim(), size.to_string(), "{mode}");
        assert_small(&dog);
    }
}
