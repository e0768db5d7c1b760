//! `mode=serializing`: one process a call, the whole output at once, of-watchdog's headers and
//! status codes (reference 2.2, 7.2 and 7.5).

use e2e::{Client, Launch, Request};

use crate::{processes::leaves_nothing_behind, watchdog};

fn serializing() -> Launch {
    watchdog().mode("serializing")
}

/// One path for each way a call can go.
const MIXED: &str = r#"
case "$Http_Path" in
/fail) echo output; exit 3 ;;
/silent) exit 3 ;;
/killed) kill -KILL $$ ;;
/sleep) sleep 60 ;;
/nothing) ;;
*) cat ;;
esac"#;

#[test]
fn echo_post_returns_the_body() {
    let dog = serializing().fprocess("cat").start();
    let response = dog.post("/", "hello");
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("content-length"), Some("5"));
}

#[test]
fn stderr_is_logged_unless_combine_output_asks_for_it() {
    let script = "echo out; echo problem >&2";
    let dog = serializing().sh(script).start();
    assert_eq!(dog.get("/").text(), "out\n");
    dog.wait_for_log(|log| log.contains("stderr: problem"));
    let dog = serializing().sh(script).env("combine_output", "true").start();
    assert_eq!(dog.get("/").text(), "out\nproblem\n");
}

#[test]
fn any_method_runs_the_function() {
    let dog = serializing().sh(r#"printf %s "$Http_Method" | tee "$TMPDIR/method""#).start();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PURGE", "TRACE"] {
        let response = dog.call(&Request::new(method, "/"));
        assert_eq!(response.status(), 200, "{method}");
        let body = if method == "HEAD" { "" } else { method };
        assert_eq!(response.text(), body);
        let ran = std::fs::read_to_string(dog.temp_dir().join("method")).expect("it ran");
        assert_eq!(ran, method);
    }
}

#[test]
fn content_type_is_the_same_whatever_the_request_and_the_outcome() {
    for configured in [None, Some("text/csv")] {
        let mut launch = serializing().sh(MIXED).env("exec_timeout", "1s");
        if let Some(configured) = configured {
            launch = launch.env("content_type", configured);
        }
        let dog = launch.start();
        let expected = configured.unwrap_or("application/octet-stream");
        for path in ["/", "/nothing", "/fail", "/sleep"] {
            let request = Request::post(path, "<html>").header("Content-Type", "text/html");
            let response = dog.call(&request);
            assert_eq!(response.header("content-type"), Some(expected), "{path}");
        }
    }
}

#[test]
fn duration_header_is_there_whatever_the_outcome() {
    let dog = serializing().sh(MIXED).env("exec_timeout", "1s").start();
    for (path, status) in [("/", 200), ("/fail", 500), ("/killed", 500), ("/sleep", 504)] {
        let response = dog.get(path);
        assert_eq!(response.status(), status, "{path}");
        let seconds = response.header("x-duration-seconds").unwrap_or_default();
        assert!(seconds.parse::<f64>().is_ok(), "{path}: {seconds:?}");
    }
}

#[test]
fn function_that_writes_nothing_gets_200_and_an_empty_body() {
    let dog = serializing().fprocess("true").start();
    let response = dog.post("/", "ignored");
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    assert_eq!(response.header("content-length"), Some("0"));
}

#[test]
fn exit_status_gives_500_that_begins_with_its_text() {
    let dog = serializing().sh(MIXED).start();
    for path in ["/fail", "/silent"] {
        let response = dog.get(path);
        assert_eq!(response.status(), 500);
        assert!(response.text().starts_with("exit status 3"), "{}", response.text());
    }
}

#[test]
fn function_killed_by_a_signal_gives_500_naming_it() {
    let dog = serializing().sh(MIXED).start();
    let response = dog.get("/killed");
    assert_eq!(response.status(), 500);
    assert!(response.text().starts_with("signal: killed"), "{}", response.text());
}

#[test]
fn function_that_cannot_start_gives_500_with_a_text() {
    let dog = serializing().fprocess("/no/such/program").start();
    for body in ["", "some input"] {
        let response = dog.post("/", body);
        assert_eq!(response.status(), 500);
        assert!(response.text().contains("/no/such/program"), "{}", response.text());
    }
}

#[test]
fn exec_timeout_gives_504_with_a_text_and_the_next_call_works() {
    // The program that is replaced answers 500 "signal: killed"; 7.5 decides for 504.
    let dog = serializing().sh(MIXED).env("exec_timeout", "1s").start();
    leaves_nothing_behind(&dog, || {
        let response = dog.get("/sleep");
        assert_eq!(response.status(), 504);
        assert!(!response.body.is_empty());
    });
    assert_eq!(dog.post("/", "next").text(), "next");
}

#[test]
fn x_timeout_shortens_exec_timeout() {
    let dog = serializing().sh(MIXED).start();
    assert_eq!(dog.call(&Request::get("/sleep").header("X-Timeout", "300ms")).status(), 504);
    dog.wait_until_childless();
}

#[test]
fn input_that_is_not_read_leaves_no_zombie_and_no_descriptor_in_60_calls() {
    // Defect 12: one in five was a 500 "broken pipe" and a zombie, and each leaked a goroutine.
    let dog = serializing().sh("exec <&-; echo done").start();
    let request = Request::post("/", vec![b'x'; 1 << 20]).to_bytes();
    leaves_nothing_behind(&dog, || {
        for call in 0..60 {
            let response = dog.request(&request);
            let answer = (response.status(), response.text());
            assert_eq!(answer, (200, "done\n".to_owned()), "call {call}");
        }
    });
    assert!(dog.zombies().is_empty());
}

#[test]
fn stderr_becomes_log_lines() {
    let dog = serializing().sh("echo out; echo first >&2; echo second >&2").start();
    assert_eq!(dog.get("/").text(), "out\n");
    dog.wait_for_log(|log| log.contains("stderr: first") && log.contains("stderr: second"));
}

#[test]
fn malformed_chunk_gives_400_and_the_next_call_works() {
    let dog = serializing().fprocess("cat").start();
    leaves_nothing_behind(&dog, || {
        let head = Request::new("POST", "/").chunked([""; 0]).head_bytes();
        let response = dog.request([&head, b"ZZ\r\nhello\r\n".as_slice()].concat());
        assert_eq!(response.status(), 400);
    });
    assert_eq!(dog.post("/", "next").text(), "next");
}

#[test]
fn body_that_stops_arriving_gives_408() {
    let dog = serializing().fprocess("cat").env("read_timeout", "400ms").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").header("Content-Length", "9").head_bytes());
        client.send("some");
        assert_eq!(client.read_response().status(), 408);
    });
}

#[test]
fn client_that_leaves_during_its_upload_leaves_no_process_behind() {
    let dog = serializing().fprocess("cat").start();
    let leave: [fn(Client); 2] = [drop, Client::reset];
    for leave in leave {
        leaves_nothing_behind(&dog, || {
            let mut client = dog.connect();
            client.send(Request::new("POST", "/").header("Content-Length", "99").head_bytes());
            client.send("a part");
            leave(client);
        });
    }
}

#[test]
fn output_above_spool_memory_arrives_whole_and_above_spool_limit_fails() {
    let dog = serializing()
        .sh(r#"head -c "$Http_Query" /dev/zero"#)
        .env("spool_memory", "1000")
        .env("spool_limit", "400000")
        .start();
    let response = dog.get("/?400000");
    assert_eq!((response.status(), response.body.len()), (200, 400_000));
    let response = dog.get("/?400001");
    assert_eq!(response.status(), 500);
    assert!(response.text().contains("spool_limit"), "{}", response.text());
}

#[test]
fn cgi_headers_false_gives_the_plain_environment() {
    let dog = serializing().fprocess("env").env("cgi_headers", "false").start();
    let text = dog.call(&Request::get("/x?y").header("X-Z", "z")).text();
    assert!(text.lines().all(|line| !line.starts_with("Http_")), "{text}");
}

#[test]
fn marshal_request_gives_the_request_as_json() {
    let dog = serializing().fprocess("cat").env("marshal_request", "true").start();
    assert_eq!(
        dog.call(&Request::post("/", "hello").header("A", "1")).text(),
        r#"{"header":{"A":["1"],"Content-Length":["5"]},"body":{"raw":"aGVsbG8="}}"#
    );
}
