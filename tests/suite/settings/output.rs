//! Where output goes, and what it is called.

use e2e::{DEADLINE, Request, eventually};

use crate::watchdog;

#[test]
fn write_debug_and_debug_headers_hold_in_serializing_mode() {
    let dog = watchdog()
        .mode("serializing")
        .fprocess("cat")
        .env("write_debug", "true")
        .env("debug_headers", "true")
        .start();
    let request = Request::post("/some/path?key=value", "the body").header("x-one", "a");
    assert_eq!(dog.call(&request).text(), "the body");
    dog.wait_for_stdout(|text| {
        let has = |wanted: &str| text.lines().any(|line| line == wanted);
        text.contains("the body") && has("[in] X-One=[a]") && has("[out] Content-Length=[8]")
    });
    dog.wait_for_log(|log| {
        let said = |name, value| log.lines().any(|l| l.contains(name) && l.contains(value));
        said("Query", "key=value") && said("Path", "/some/path")
    });
}

#[test]
fn content_type_is_that_of_errors_in_streaming_mode_too() {
    let script = r#"case "$Http_Path" in /fail) exit 3 ;; /late) sleep 1000 ;; esac"#;
    let dog = watchdog()
        .mode("streaming")
        .sh(script)
        .env("content_type", "text/css")
        .env("exec_timeout", "2s")
        .start();
    for (path, status) in [("/", 200), ("/fail", 500), ("/late", 504)] {
        let response = dog.get(path);
        assert_eq!(
            (response.status(), response.header("content-type")),
            (status, Some("text/css"))
        );
    }
}

#[test]
fn combined_output_is_another_name_of_combine_output() {
    let script = "echo out; echo err >&2";
    let dog = watchdog().sh(script).env("combined_output", "false").start();
    assert_eq!(dog.get("/").text(), "out\n");
    dog.wait_for_log(|log| log.contains("stderr: err\n"));
    let dog = watchdog().mode("serializing").sh(script).env("combined_output", "true").start();
    assert_eq!(dog.get("/").text(), "out\nerr\n");
}

#[test]
fn prefix_logs_false_leaves_lines_bare_beside_a_json_log() {
    let dog = watchdog()
        .mode("streaming")
        .sh(r#"echo '{"mine":1}' >&2"#)
        .env("log_format", "json")
        .env("prefix_logs", "false")
        .start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.lines().any(|line| line == r#"{"mine":1}"#));
    eventually(DEADLINE, "the access line", || dog.stderr().contains(r#""status":200"#));
    for line in dog.stderr().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn output_that_cannot_be_kept_is_500_and_the_next_call_works() {
    for mode in ["classic", "serializing"] {
        let dog = watchdog()
            .mode(mode)
            .sh(r#"head -c "$Http_Query" /dev/zero"#)
            .env("TMPDIR", "/no/such/directory")
            .env("suppress_lock", "true")
            .env("spool_memory", "1000")
            .start();
        for _ in 0..2 {
            let response = dog.get("/?300000");
            assert_eq!(response.status(), 500, "{mode}");
            assert!(!response.text().trim().is_empty() && response.body.len() < 1000, "{mode}");
            assert_eq!(dog.get("/?1000").body.len(), 1000, "{mode}");
        }
    }
}
