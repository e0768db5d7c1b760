//! The same bytes, whoever moves them: every test runs with `zero_copy=on`, `off` and `auto`.

mod pipes;

use std::{fs, path::PathBuf, process::Command};

use e2e::{Client, DEADLINE, End, Launch, Request, Watchdog, eventually, left_out, play::pattern};

use crate::watchdog;

mod proxied;

const POLICIES: [&str; 3] = ["on", "off", "auto"];

const MIB: usize = 1 << 20;

/// Enough for `auto` to have measured both ways, and to have used its choice for a while.
const LARGE: usize = 50 * MIB;

/// In functions: waits for the test, and writes the content that the test compares with.
const PREAMBLE: &str = "await() { while [ ! -e \"$TMPDIR/$1\" ]; do sleep 0.01; done; }\n";

fn launch(mode: &str, policy: &str) -> Launch {
    let long = |launch: Launch, name| launch.env(name, "2m");
    let launch = watchdog().mode(mode).env("zero_copy", policy);
    ["exec_timeout", "read_timeout", "write_timeout"].into_iter().fold(launch, long)
}

/// A function whose script finds `content` in `$TMPDIR/content`.
fn function(mode: &str, policy: &str, content: &[u8], script: &str) -> Launch {
    let launch = launch(mode, policy);
    launch.write("content", content);
    launch.sh(&format!("{PREAMBLE}{script}"))
}

fn allow(dog: &Watchdog, name: &str) {
    fs::write(dog.temp_dir().join(name), "").unwrap();
}

fn site(policy: &str, content: &[u8]) -> (Watchdog, PathBuf) {
    let launch = launch("static", policy);
    let root = launch.temp_dir().join("public");
    fs::create_dir(&root).unwrap();
    let file = root.join("large.bin");
    fs::write(&file, content).unwrap();
    (launch.env("static_path", &root).start(), file)
}

#[track_caller]
fn assert_cut(end: &End) {
    assert!(matches!(end, End::Cut(_)), "{end:?}");
}

// === streaming ===

#[test]
fn streamed_output_arrives_byte_for_byte_call_after_call() {
    let content = pattern(LARGE);
    for policy in POLICIES {
        let dog = function("streaming", policy, &content, "cat \"$TMPDIR/content\"").start();
        let mut client = dog.connect();
        for call in 1..=2 {
            let response = client.call(&Request::get("/"));
            assert_eq!(response.status(), 200);
            assert!(response.is_complete(), "{policy}: {:?}", response.end);
            assert!(response.body == content, "{policy}: the bytes of call {call} changed");
        }
        assert_eq!(client.call(&Request::new("HEAD", "/")).status(), 200);
        let response = dog.call(&Request::get("/").http_1_0());
        assert!(response.is_complete() && response.body == content, "{policy}: HTTP/1.0");
        for line in dog.wait_for_access_lines(4) {
            assert!(line.contains("52.43MB") || line.contains("HEAD /"), "{policy}: {line}");
        }
        let told = dog.stderr().matches("zero_copy=auto: large outputs are").count();
        assert_eq!(told, usize::from(policy == "auto"), "{policy}: {}", dog.log());
    }
}

#[test]
fn streamed_output_is_whole_for_a_slow_reader() {
    let content = pattern(8 * MIB);
    for policy in POLICIES {
        let dog = function("streaming", policy, &content, "cat \"$TMPDIR/content\"").start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        let mut body = Vec::new();
        for _ in 0..10 {
            body.extend(client.read_chunk_data());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (rest, end) = client.read_body();
        body.extend(rest);
        assert_eq!(end, End::Complete, "{policy}");
        assert!(body == content, "{policy}");
        let peak = dog.peak_rss_kb();
        assert!(peak < 32 * 1024, "{policy}: {peak} kB of memory");
    }
}

#[test]
fn everything_a_function_wrote_has_left_when_it_stalls() {
    let content = pattern(MIB);
    let script = "for part in 0 1 2 3; do \
                  dd if=\"$TMPDIR/content\" bs=262144 skip=$part count=1 2>/dev/null; \
                  await go$part; done";
    for policy in POLICIES {
        let dog = function("streaming", policy, &content, script).start();
        let mut client = dog.connect();
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        let mut body = Vec::new();
        for part in 1..=4 {
            // The function goes on only when the client has all that it wrote so far.
            while body.len() < part * 262_144 {
                body.extend(client.read_chunk_data());
            }
            assert_eq!(body.len(), part * 262_144, "{policy}");
            allow(&dog, &format!("go{}", part - 1));
        }
        assert_eq!(client.read_body(), (Vec::new(), End::Complete), "{policy}");
        assert!(body == content, "{policy}");
    }
}

#[test]
fn reader_that_leaves_ends_the_call_and_leaves_nothing_behind() {
    let content = pattern(LARGE);
    for policy in POLICIES {
        let dog = function("streaming", policy, &content, "cat \"$TMPDIR/content\"").start();
        assert!(dog.get("/").body == content);
        dog.wait_until_childless();
        let before = dog.open_fds().len();
        for _ in 0..5 {
            let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
            client.send(Request::get("/").to_bytes());
            client.read_head();
            client.read_chunk_data();
            client.reset();
        }
        dog.wait_until_childless();
        let lines = dog.wait_for_access_lines(6);
        let left = lines.iter().filter(|line| line.contains("the client left")).count();
        assert_eq!(left, 5, "{policy}: {lines:?}");
        eventually(DEADLINE, "every descriptor to be closed", || dog.open_fds().len() <= before);
        assert!(dog.get("/").body == content, "{policy}");
    }
}

#[test]
fn call_that_takes_too_long_is_cut_while_its_output_waits_in_the_pipe() {
    let content = pattern(LARGE);
    for policy in POLICIES {
        let dog = function("streaming", policy, &content, "cat \"$TMPDIR/content\"; sleep 60")
            .env("exec_timeout", "1s")
            .env("write_timeout", "20s")
            .start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        // The socket is full, so a piece is under way when the time is up.
        dog.wait_until_childless();
        let (body, end) = client.read_body();
        assert_cut(&end);
        assert!(content.starts_with(&body), "{policy}: only bytes of the function");
        let lines = dog.wait_for_access_lines(1);
        assert!(lines[0].contains("the call took longer than 1s"), "{policy}: {lines:?}");
    }
}

#[test]
fn failure_behind_a_large_output_cuts_it_after_its_last_byte() {
    let content = pattern(3 * MIB);
    for policy in POLICIES {
        let dog =
            function("streaming", policy, &content, "cat \"$TMPDIR/content\"; exit 3").start();
        let mut client = dog.connect();
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        let (body, end) = client.read_body();
        assert_cut(&end);
        assert!(body == content, "{policy}: {} bytes", body.len());
    }
}

// === static files ===

#[test]
fn file_and_ranges_arrive_byte_for_byte_in_a_pipeline() {
    let content = pattern(5 * MIB + 7);
    for policy in POLICIES {
        let (dog, _) = site(policy, &content);
        let last = content.len() - 1;
        let ranges = [
            (0, last),
            (1, 2),
            (0, 65_534),
            (0, 65_535),
            (7, 65_543),
            (MIB - 1, 3 * MIB),
            (4 * MIB, last),
            (last, last),
        ];
        let requests = ranges.map(|(first, last)| {
            let range = format!("bytes={first}-{last}");
            Request::get("/large.bin").header("Range", range).to_bytes()
        });
        let mut client = dog.connect();
        // All at once: the answers come one behind the other.
        client.send(requests.concat());
        for (first, last) in ranges {
            let response = client.read_response();
            assert_eq!(response.status(), 206);
            assert!(response.body == content[first..=last], "{policy}: {first}-{last}");
        }
        for _ in 0..3 {
            let response = client.call(&Request::get("/large.bin"));
            assert!(response.status() == 200 && response.body == content, "{policy}");
            let head = client.call(&Request::new("HEAD", "/large.bin"));
            assert_eq!(head.header("content-length"), Some("5242887"));
        }
        let slow = &mut Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        assert!(slow.call(&Request::get("/large.bin")).body == content, "{policy}");
        let old = dog.call(&Request::get("/large.bin").http_1_0());
        assert!(old.is_complete() && old.body == content, "{policy}");
    }
}

#[test]
fn file_cut_short_while_it_is_sent_cuts_the_connection_and_is_logged() {
    let content = pattern(LARGE);
    for policy in POLICIES {
        let (dog, file) = site(policy, &content);
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        client.send(Request::get("/large.bin").to_bytes());
        assert_eq!(client.read_head().status, 200);
        fs::File::options().write(true).open(&file).unwrap().set_len(1000).unwrap();
        let (body, end) = client.read_body();
        assert_cut(&end);
        // What it holds is the file's of that moment: the kernel sends the pages, not a copy.
        assert!(body.len() < content.len(), "{policy}");
        let line = dog.wait_for_access_lines(1).remove(0);
        assert!(line.contains("the file behind a response"), "{policy}: {line}");
        eventually(DEADLINE, "the shorter file to be served", || {
            dog.get("/large.bin").body == content[..1000]
        });
    }
}

#[test]
fn last_range_of_a_file_cut_short_is_no_success() {
    // What the socket has not taken is in hyper's queue, and the body gone, when it is noticed.
    let content = pattern(MIB);
    for policy in ["on", "auto"] {
        let (dog, file) = site(policy, &content);
        fs::File::options().write(true).open(&file).unwrap().set_len(64 * MIB as u64).unwrap();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        let range = format!("bytes={}-", 60 * MIB);
        client.send(Request::get("/large.bin").header("Range", &range).to_bytes());
        assert_eq!(client.read_head().status, 206);
        fs::File::options().write(true).open(&file).unwrap().set_len(1000).unwrap();
        let (_, end) = client.read_body();
        assert_cut(&end);
        let line = dog.wait_for_access_lines(1).remove(0);
        assert!(line.contains("sending the file behind a response"), "{policy}: {line}");
    }
}

#[test]
fn reader_that_leaves_is_logged_with_what_it_took() {
    let content = pattern(LARGE);
    for policy in POLICIES {
        let (dog, _) = site(policy, &content);
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        client.send(Request::get("/large.bin").to_bytes());
        client.read_head();
        client.reset();
        let line = dog.wait_for_access_lines(1).remove(0);
        assert!(line.contains("the client left"), "{policy}: {line}");
        assert!(!line.contains("52.43MB"), "{policy}: {line}");
    }
}

// === spooled output ===

#[test]
fn output_that_went_to_a_file_arrives_byte_for_byte() {
    let content = pattern(20 * MIB);
    for policy in POLICIES {
        for mode in ["classic", "serializing"] {
            let script = "cat \"$TMPDIR/content\"; exit \"${Http_X_Exit:-0}\"";
            let dog = function(mode, policy, &content, script).env("spool_memory", "100k").start();
            let mut client = dog.connect();
            for _ in 0..2 {
                let response = client.call(&Request::get("/"));
                assert_eq!(response.header("content-length"), Some("20971520"));
                assert!(response.body == content, "{policy} {mode}");
            }
            let failed = client.call(&Request::get("/").header("X-Exit", "3"));
            assert_eq!(failed.status(), 500);
            assert!(failed.body.starts_with(b"exit status 3\n"), "{policy} {mode}");
            assert!(failed.body.ends_with(&content), "{policy} {mode}");
            let peak = dog.peak_rss_kb();
            assert!(peak < 32 * 1024, "{policy} {mode}: {peak} kB of memory");
        }
    }
}

#[test]
fn spooled_output_is_whole_for_a_slow_reader_and_gone_with_one_that_leaves() {
    let content = pattern(20 * MIB);
    for policy in POLICIES {
        let dog = function("classic", policy, &content, "cat \"$TMPDIR/content\"")
            .env("spool_memory", "100k")
            .start();
        assert!(dog.get("/").body == content, "{policy}");
        let before = dog.open_fds().len();
        let slow = || {
            let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
            client.send(Request::get("/").to_bytes());
            assert_eq!(client.read_head().status, 200);
            client
        };
        slow().reset();
        let mut client = slow();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (body, end) = client.read_body();
        assert!(end == End::Complete && body == content, "{policy}");
        drop(client);
        let lines = dog.wait_for_access_lines(3);
        let left = lines.iter().filter(|line| line.contains("the client left")).count();
        assert_eq!(left, 1, "{policy}: {lines:?}");
        eventually(DEADLINE, "the file to be closed", || dog.open_fds().len() <= before);
    }
}

// === system calls ===

/// The system calls that move bytes by themselves.
const MOVES: [&str; 2] = ["sendfile", "splice"];

/// With a trace of [`MOVES`] that tells what the descriptors are.
fn traced(launch: Launch) -> (Launch, PathBuf) {
    let trace = launch.temp_dir().join("trace");
    let filter = format!("--trace={}", MOVES.join(","));
    let path = trace.to_str().unwrap().to_owned();
    (launch.through(&["strace", "-f", "-yy", &filter, "-o", &path]), trace)
}

/// Which of [`MOVES`] the watchdog makes for `GET /large.bin`.
fn moving_calls(launch: Launch) -> Vec<&'static str> {
    let (launch, trace) = traced(launch);
    let dog = launch.start();
    assert_eq!(dog.get("/large.bin").status(), 200);
    let trace = fs::read_to_string(trace).unwrap();
    MOVES.into_iter().filter(|call| trace.contains(&format!("{call}("))).collect()
}

fn tracing_is_possible() -> bool {
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let is_possible = traces.is_ok_and(|traced| traced.status.success());
    if !is_possible {
        left_out("the test of system calls needs strace, and the right to trace");
    }
    is_possible
}

#[test]
fn kernel_moves_the_bytes_when_it_is_told_to() {
    if !tracing_is_possible() {
        return;
    }
    let content = pattern(4 * MIB);
    for (policy, streamed, sent) in [
        ("on", &["splice"][..], &["sendfile"][..]),
        ("off", &[], &[]),
        ("auto", &["splice"], &["sendfile"]),
    ] {
        let streaming = function("streaming", policy, &content, "cat \"$TMPDIR/content\"");
        assert_eq!(moving_calls(streaming), streamed, "{policy}");
        let classic = function("classic", policy, &content, "cat \"$TMPDIR/content\"");
        assert_eq!(moving_calls(classic.env("spool_memory", "0")), sent, "{policy}");
        let site = launch("static", policy);
        site.write("large.bin", &content);
        let root = site.temp_dir().to_owned();
        assert_eq!(moving_calls(site.env("static_path", root)), sent, "{policy}");
    }
}
