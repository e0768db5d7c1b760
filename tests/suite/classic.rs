//! `mode=classic`: one process a call, the whole request in, the whole output out, and an exit
//! status that decides (reference 1.3, 2.2, 7.2 and 7.5).

mod input;
mod options;
mod spool;

use std::{fs, os::unix::fs::PermissionsExt};

use e2e::{Launch, Request, Response};

use crate::{processes::leaves_nothing_behind, watchdog};

fn classic() -> Launch {
    watchdog().mode("classic")
}

/// Fails for `GET /fail`, sleeps for `/sleep`, else echoes.
const MIXED: &str = r#"
case "$Http_Path" in
/fail) echo output; exit 3 ;;
/sleep) sleep 60 ;;
*) cat ;;
esac"#;

fn seconds(response: &Response) -> Option<f64> {
    response.header("x-duration-seconds")?.parse().ok()
}

// === answers ===

#[test]
fn echo_post_returns_the_body_with_length_and_duration() {
    let dog = classic().fprocess("cat").start();
    let response = dog.post("/", "hello");
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("content-length"), Some("5"));
    assert!(seconds(&response).is_some_and(|seconds| seconds >= 0.0), "{response:?}");
}

#[test]
fn mode_unset_is_classic() {
    // Of the modes only this one refuses OPTIONS.
    let dog = watchdog().fprocess("cat").start();
    assert_eq!(dog.call(&Request::new("OPTIONS", "/")).status(), 405);
}

#[test]
fn allowed_methods_run_the_function() {
    let dog = classic().sh(r#"printf %s "$Http_Method""#).start();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let response = dog.call(&Request::new(method, "/"));
        assert_eq!((response.status(), response.text().as_str()), (200, method));
    }
}

#[test]
fn other_methods_get_405_and_run_nothing() {
    let dog = classic().sh(r#"echo ran >"$TMPDIR/ran""#).start();
    for method in ["HEAD", "OPTIONS", "TRACE", "PURGE", "post"] {
        let response = dog.call(&Request::new(method, "/"));
        assert_eq!((response.status(), response.text().as_str()), (405, ""), "{method}");
        assert_eq!(seconds(&response), None, "{method}");
    }
    let ran = dog.temp_dir().join("ran");
    assert!(!ran.exists(), "a refused method ran the function");
    assert_eq!(dog.get("/").status(), 200);
    assert!(ran.exists());
}

#[test]
fn refused_method_with_a_body_leaves_the_connection_usable_or_closed() {
    let dog = classic().fprocess("cat").start();
    let mut client = dog.connect();
    let refused = client.call(&Request::new("OPTIONS", "/").body("twelve bytes"));
    assert_eq!(refused.status(), 405);
    if client.try_send(Request::post("/", "next").to_bytes()).is_ok()
        && let Ok(next) = client.try_read_response(false)
    {
        assert_eq!((next.status(), next.text().as_str()), (200, "next"));
    }
}

#[test]
fn large_echo_passes_both_ways_at_once() {
    // Far above what two pipes hold: whoever feeds first and reads later never ends.
    let dog = classic().fprocess("cat").start();
    let body: Vec<u8> = (0..8_u32 << 20).map(|i| (i % 251) as u8).collect();
    let response = dog.post("/", &body);
    assert_eq!(response.status(), 200);
    assert!(response.body == body, "{} bytes came back", response.body.len());
}

#[test]
fn chunked_request_arrives_whole() {
    let dog = classic().fprocess("cat").start();
    let response = dog.call(&Request::new("POST", "/").chunked(["a", "bc", "def"]));
    assert_eq!((response.status(), response.text().as_str()), (200, "abcdef"));
}

#[test]
fn http_1_0_call_is_answered_and_closed() {
    let dog = classic().fprocess("cat").start();
    let mut client = dog.connect();
    let response = client.call(&Request::post("/", "old").http_1_0());
    assert_eq!((response.status(), response.text().as_str()), (200, "old"));
    assert_eq!(response.header("content-length"), Some("3"));
    assert!(client.is_closed_by_server());
}

#[test]
fn kept_connection_serves_call_after_call() {
    let dog = classic().sh(MIXED).start();
    let mut client = dog.connect();
    for body in ["one", "two", "three"] {
        assert_eq!(client.call(&Request::post("/", body)).text(), body);
        assert_eq!(client.call(&Request::get("/fail")).status(), 500);
    }
}

#[test]
fn function_that_writes_nothing_gets_200_and_an_empty_body() {
    let dog = classic().fprocess("true").start();
    let response = dog.post("/", "ignored");
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    assert_eq!(response.header("content-length"), Some("0"));
}

// === content type ===

fn content_type_of(launch: Launch, request: &Request) -> Option<String> {
    let response = launch.start().call(request);
    assert_eq!(response.status(), 200);
    response.header("content-type").map(str::to_owned)
}

#[test]
fn content_type_configured_wins_over_the_requests() {
    let launch = classic().fprocess("cat").env("content_type", "text/csv");
    let request = Request::post("/", "<html>").header("Content-Type", "application/json");
    assert_eq!(content_type_of(launch, &request).as_deref(), Some("text/csv"));
}

#[test]
fn content_type_of_the_request_is_used_when_none_is_configured() {
    let request = Request::post("/", "<html>").header("Content-Type", "application/json");
    let content_type = content_type_of(classic().fprocess("cat"), &request);
    assert_eq!(content_type.as_deref(), Some("application/json"));
}

#[test]
fn content_type_is_sniffed_when_nobody_names_one() {
    let dog = classic().fprocess("cat").start();
    for (body, content_type) in [
        (&b"<!DOCTYPE html><p>x"[..], "text/html; charset=utf-8"),
        (b"  <html>", "text/html; charset=utf-8"),
        (b"plain words\n", "text/plain; charset=utf-8"),
        // Go's sniffer, which the callers know, has no rule for JSON.
        (b"{\"a\": 1}", "text/plain; charset=utf-8"),
        (b"<?xml version=\"1.0\"?>", "text/xml; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"\x00\x01\x02", "application/octet-stream"),
    ] {
        let response = dog.post("/", body);
        assert_eq!(response.status(), 200);
        assert_eq!(response.header("content-type"), Some(content_type), "{body:?}");
    }
}

#[test]
fn content_type_of_an_empty_body_is_absent() {
    let content_type = content_type_of(classic().fprocess("true"), &Request::get("/"));
    assert_eq!(content_type, None);
}

// === failures of the function ===

#[test]
fn exit_status_gives_500_with_its_text_before_the_output() {
    let dog = classic().sh("echo output; exit 3").env("content_type", "application/json").start();
    let response = dog.post("/", "");
    assert_eq!(response.status(), 500);
    assert_eq!(response.text(), "exit status 3\noutput\n");
    let content_type = response.header("content-type").unwrap_or_default();
    assert!(content_type.starts_with("text/plain"), "{content_type}");
    assert_eq!(response.header("content-length"), Some("21"));
    assert_eq!(seconds(&response), None, "the duration is a header of 200s only");
}

#[test]
fn exit_status_without_output_gives_500_with_its_text() {
    let dog = classic().sh("exit 255").start();
    let response = dog.get("/");
    assert_eq!((response.status(), response.text().as_str()), (500, "exit status 255\n"));
}

#[test]
fn function_killed_by_a_signal_gives_500_naming_it() {
    let dog = classic().sh(r#"kill -s "$Http_Query" $$"#).start();
    for (signal, text) in [("KILL", "signal: killed\n"), ("TERM", "signal: terminated\n")] {
        let response = dog.get(&format!("/?{signal}"));
        assert_eq!((response.status(), response.text().as_str()), (500, text));
    }
}

#[test]
fn function_that_cannot_start_gives_500_with_a_text_each_time() {
    let launch = classic();
    let plain = launch.write("plain", "#!/bin/sh\n");
    let orphan = launch.write("orphan", "#!/no/such/interpreter\n");
    fs::set_permissions(&orphan, fs::Permissions::from_mode(0o755)).expect("chmod");
    for program in [
        "/no/such/program",
        "no-such-program-in-path",
        plain.to_str().expect("UTF-8"),
        orphan.to_str().expect("UTF-8"),
    ] {
        let dog = classic().fprocess(program).start();
        for body in ["", "some input"] {
            let response = dog.post("/", body);
            assert_eq!(response.status(), 500, "{program}");
            assert!(!response.text().trim().is_empty(), "{program}: an error without a text");
            assert_eq!(seconds(&response), None);
        }
        dog.assert_runs();
    }
}

#[test]
fn function_that_cannot_start_with_write_debug_gives_500() {
    // The program that is replaced panics here (reference 1.3), which also leaks a limiter slot.
    let dog = classic()
        .fprocess("/no/such/program")
        .env("write_debug", "true")
        .env("max_inflight", "1")
        .start();
    for _ in 0..3 {
        assert_eq!(dog.post("/", "x").status(), 500);
    }
}

#[test]
fn exec_timeout_gives_408_and_the_next_call_works() {
    let dog = classic().sh(MIXED).env("exec_timeout", "1s").start();
    leaves_nothing_behind(&dog, || {
        let response = dog.get("/sleep");
        assert_eq!((response.status(), response.text().as_str()), (408, "Killed process.\n"));
        assert_eq!(seconds(&response), None);
    });
    assert_eq!(dog.post("/", "next").text(), "next");
}

#[test]
fn exec_timeout_while_the_body_still_arrives_gives_408() {
    let dog = classic().fprocess("cat").env("exec_timeout", "400ms").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").header("Content-Length", "9").head_bytes());
        client.send("some");
        assert_eq!(client.read_response().status(), 408);
    });
}

#[test]
fn x_timeout_shortens_exec_timeout() {
    let dog = classic().sh(MIXED).env("exec_timeout", "60s").start();
    let response = dog.call(&Request::get("/sleep").header("X-Timeout", "300ms"));
    assert_eq!((response.status(), response.text().as_str()), (408, "Killed process.\n"));
    dog.wait_until_childless();
}

#[test]
fn write_timeout_before_the_head_gives_504_and_ends_the_call() {
    let dog = classic().sh(MIXED).env("write_timeout", "500ms").start();
    leaves_nothing_behind(&dog, || {
        let response = dog.get("/sleep");
        assert_eq!(response.status(), 504);
        assert!(!response.body.is_empty());
    });
    assert_eq!(dog.get("/").status(), 200);
}

// === output ===

#[test]
fn failed_call_has_its_reason_in_the_log() {
    let dog = classic().sh("exit 3").start();
    assert_eq!(dog.get("/").status(), 500);
    let lines = dog.wait_for_access_lines(1);
    assert!(lines[0].ends_with(": the function failed: exit status 3"), "{lines:?}");
}

#[test]
fn missing_program_is_told_without_the_machines_path() {
    let dog = classic().fprocess("no-such-program-anywhere").start();
    let text = dog.get("/").text();
    assert!(text.contains("no-such-program-anywhere") && !text.contains("/bin"), "{text}");
    assert!(dog.log().contains("/bin"), "the start says where it looked: {}", dog.log());
}

#[test]
fn combine_output_by_default_puts_stderr_into_the_body_in_order() {
    let dog = classic().sh("echo one; echo two >&2; echo three").start();
    assert_eq!(dog.get("/").text(), "one\ntwo\nthree\n");
}

#[test]
fn combine_output_false_logs_stderr() {
    let dog = classic()
        .sh("echo out; echo first >&2; printf last >&2")
        .env("combine_output", "false")
        .start();
    let response = dog.get("/");
    assert_eq!((response.status(), response.text().as_str()), (200, "out\n"));
    dog.wait_for_log(|log| log.contains("stderr: first") && log.contains("last"));
}

#[test]
fn combine_output_false_keeps_stderr_out_of_a_failed_calls_body() {
    let dog =
        classic().sh("echo out; echo problem >&2; exit 3").env("combine_output", "false").start();
    let response = dog.get("/");
    assert_eq!((response.status(), response.text().as_str()), (500, "exit status 3\nout\n"));
    dog.wait_for_log(|log| log.contains("stderr: problem"));
}
