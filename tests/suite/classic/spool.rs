//! `spool_memory` and `spool_limit`: where output waits until the exit decides.

use std::fs;

use e2e::{DEADLINE, Request, eventually};

use super::classic;
use crate::processes::leaves_nothing_behind;

#[test]
fn output_above_spool_memory_arrives_whole_and_leaves_no_file() {
    let dog = classic().fprocess("cat").env("spool_memory", "1000").start();
    for size in [999, 1000, 1001, 70_000, 600_000] {
        let body: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        let response = dog.post("/", &body);
        assert_eq!(response.status(), 200);
        assert_eq!(response.header("content-length"), Some(size.to_string().as_str()));
        assert!(response.body == body, "{size} bytes differ");
    }
    let left: Vec<_> = fs::read_dir(dog.temp_dir())
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name != ".lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn output_above_spool_memory_is_in_a_file_that_has_no_name() {
    // A pipe holds 64 KiB, so the watchdog has the rest once all of it is written.
    let script = r#"head -c 300000 /dev/zero; : >"$TMPDIR/written"
while [ ! -e "$TMPDIR/go" ]; do sleep 0.02; done"#;
    for (memory, in_a_file) in [("1000", true), ("10MiB", false)] {
        let dog = classic().sh(script).env("spool_memory", memory).start();
        let mut client = dog.connect();
        client.send(Request::get("/").to_bytes());
        eventually(DEADLINE, "the output", || dog.temp_dir().join("written").exists());
        let directory = dog.temp_dir().to_string_lossy().into_owned();
        let is_spooled = || {
            let files = dog.open_fds();
            files.iter().any(|file| file.starts_with(&directory) && file.ends_with(" (deleted)"))
        };
        if in_a_file {
            eventually(DEADLINE, "a file for the output", is_spooled);
        } else {
            assert!(!is_spooled(), "{:?}", dog.open_fds());
        }
        fs::write(dog.temp_dir().join("go"), "").expect("a file");
        assert_eq!(client.read_response().body.len(), 300_000);
    }
}

#[test]
fn failure_after_output_above_spool_memory_keeps_the_output() {
    let dog = classic().sh("head -c 300000 /dev/zero; exit 3").env("spool_memory", "1000").start();
    let response = dog.get("/");
    assert_eq!(response.status(), 500);
    assert!(response.text().starts_with("exit status 3\n\0"), "{:?}", &response.text()[..20]);
    assert_eq!(response.body.len(), "exit status 3\n".len() + 300_000);
}

#[test]
fn output_above_spool_limit_gives_500_naming_it() {
    let dog = classic()
        .sh(r#"head -c "$Http_Query" /dev/zero"#)
        .env("spool_memory", "1000")
        .env("spool_limit", "2000")
        .start();
    assert_eq!(dog.get("/?2000").body.len(), 2000);
    let response = dog.get("/?2001");
    assert_eq!(response.status(), 500);
    assert!(response.text().contains("spool_limit"), "{}", response.text());
    assert_eq!(dog.get("/?5").body.len(), 5);
}

#[test]
fn output_without_end_is_stopped_at_spool_limit() {
    let dog = classic().fprocess("cat /dev/zero").env("spool_limit", "3000000").start();
    leaves_nothing_behind(&dog, || {
        let response = dog.get("/");
        assert_eq!(response.status(), 500);
        assert!(response.text().contains("spool_limit"), "{}", response.text());
    });
}
