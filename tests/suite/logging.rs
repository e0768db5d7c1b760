//! The access log and the function's own output.

mod reader;

use e2e::{DEADLINE, Launch, Request, Watchdog, eventually, left_out};
use serde_json::Value;

use crate::watchdog;

/// Every line of standard error as a JSON object.
#[track_caller]
fn json_lines(dog: &Watchdog) -> Vec<Value> {
    let log = dog.stderr();
    log.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in the line {line:?}"));
            assert!(value.is_object(), "{line}");
            value
        })
        .collect()
}

/// A field of a JSON line, wherever it stands in it.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.values().find_map(|inner| find(inner, name)))
}

// === the start ===

#[test]
fn start_says_version_mode_program_limits_and_port() {
    let dog = watchdog()
        .mode("streaming")
        .fprocess("cat -u")
        .env("read_timeout", "5s")
        .env("write_timeout", "90")
        .env("exec_timeout", "1m30s")
        .env("healthcheck_interval", "0")
        .start();
    let log = dog.stderr();
    let mut lines = log.lines();
    for expected in [
        "Version: ",
        "Watchdog mode: streaming\tfprocess: \"cat -u\"",
        "Timeouts: read: 5s write: 1m30s hard: 1m30s health: 0s",
        "Listening on port: ",
    ] {
        assert!(lines.any(|line| line.contains(expected)), "{expected:?} is not next in\n{log}");
    }
}

// === the access log ===

#[test]
fn access_line_tells_method_target_status_size_and_duration() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        assert_eq!(dog.post("/some/path?a=1&b=%20", "hello").text(), "hello");
        let lines = dog.wait_for_access_lines(1);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("POST /some/path?a=1&b=%20 - 200 - ContentLength: 5B ("),
            "{mode}: {}",
            lines[0]
        );
        assert!(lines[0].ends_with("s)"), "{mode}: {}", lines[0]);
    }
}

#[test]
fn access_line_tells_the_status_on_the_wire() {
    // Defect 19.
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog()
            .mode(mode)
            .sh(r#"case "$Http_Path" in /fail) exit 3 ;; /slow) sleep 60 ;; esac"#)
            .env("exec_timeout", "300ms")
            .start();
        for (count, path) in ["/", "/fail", "/slow"].into_iter().enumerate() {
            let status = dog.get(path).status();
            let lines = dog.wait_for_access_lines(count + 1);
            assert!(
                lines[count].contains(&format!("GET {path} - {status} - ")),
                "{mode}: {status} became {}",
                lines[count]
            );
        }
    }
}

#[test]
fn access_line_is_written_once_for_a_client_that_left() {
    let dog = watchdog().mode("streaming").sh(crate::held::SCRIPT).start();
    crate::held::hold_at(&dog, "/hold-open").reset();
    dog.wait_until_childless();
    dog.wait_for_access_lines(1);
    assert_eq!(dog.get("/after").status(), 200);
    dog.wait_for_log(|log| log.contains("GET /after"));
    let lines = dog.wait_for_access_lines(2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("GET /hold-open"), "{lines:?}");
}

#[test]
fn access_lines_of_one_connection_come_one_by_one() {
    let dog = watchdog().fprocess("cat").start();
    let mut client = dog.connect();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.call(&Request::post(path, "x")).status(), 200);
    }
    let lines = dog.wait_for_access_lines(3);
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[test]
fn access_log_false_writes_none() {
    let dog = watchdog().mode("streaming").sh("echo done >&2").env("access_log", "false").start();
    assert_eq!(dog.get("/quiet").status(), 200);
    dog.wait_for_log(|log| log.contains("done"));
    assert_eq!(dog.get("/quiet").status(), 200);
    dog.wait_for_log(|log| log.matches("done").count() == 2);
    assert!(!dog.stderr().contains("/quiet"), "{}", dog.stderr());
}

#[test]
fn log_callid_appends_the_id_or_none() {
    let dog = watchdog().fprocess("cat").env("log_callid", "1").start();
    dog.call(&Request::get("/with").header("X-Call-Id", "abc-123"));
    // Another connection has another loop, which may be quicker with its line.
    dog.wait_for_access_lines(1);
    dog.get("/without");
    let lines = dog.wait_for_access_lines(2);
    assert!(lines[0].ends_with("[abc-123]"), "{lines:?}");
    assert!(lines[1].ends_with("[none]"), "{lines:?}");
}

#[test]
fn log_callid_is_off_by_default() {
    let dog = watchdog().fprocess("cat").start();
    dog.call(&Request::get("/").header("X-Call-Id", "abc-123"));
    let lines = dog.wait_for_access_lines(1);
    assert!(!lines[0].contains("abc-123"), "{lines:?}");
}

#[test]
fn kube_probe_is_not_logged() {
    for mode in ["classic", "streaming"] {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        dog.call(&Request::get("/probe").header("User-Agent", "kube-probe/1.30"));
        dog.call(&Request::get("/user").header("User-Agent", "not-kube-probe"));
        let lines = dog.wait_for_access_lines(1);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("GET /user"), "{lines:?}");
    }
}

#[test]
fn log_format_json_makes_every_line_an_object() {
    let dog = watchdog()
        .mode("streaming")
        .sh(r#"printf 'tab\there "quoted" \\ back\n' >&2; echo body"#)
        .env("log_format", "json")
        .env("log_callid", "true")
        .start();
    let request = Request::get("/a?b?c=1").header("X-Call-Id", "id \"1\" \\ é");
    assert_eq!(dog.call(&request).status(), 200);
    dog.wait_for_log(|log| log.contains("quoted") && log.contains("b?c=1"));
    eventually(DEADLINE, "a whole last line", || dog.stderr().ends_with('\n'));
    let lines = json_lines(&dog);
    let access: Vec<_> = lines.iter().filter(|line| find(line, "status").is_some()).collect();
    assert_eq!(access.len(), 1, "{lines:?}");
    assert_eq!(find(access[0], "status"), Some(&Value::from(200)));
    assert_eq!(find(access[0], "method"), Some(&Value::from("GET")));
    let told = access[0].to_string();
    assert!(told.contains("/a?b?c=1"), "{told}");
    assert!(
        lines.iter().any(|line| line.to_string().contains(r#"tab\there \"quoted\" \\ back"#)),
        "{lines:?}"
    );
}

/// U+009B is a terminal's ESC [, U+2028 ends a line, and 0x7f rubs out.
#[test]
fn commands_in_a_functions_line_are_escaped_in_json() {
    let dog = watchdog()
        .mode("streaming")
        .sh(r"printf 'a\302\23331m\033[2J\342\200\250\177b\n' >&2")
        .env("log_format", "json")
        .start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.contains("\"stderr\"") && log.ends_with('\n'));
    let commands = |c: char| c != '\n' && (c.is_control() || c == '\u{2028}');
    assert!(!dog.stderr().contains(commands), "{:?}", dog.stderr());
    let expected = Value::from("a\u{9b}31m\u{1b}[2J\u{2028}\u{7f}b");
    assert!(json_lines(&dog).iter().any(|line| find(line, "line") == Some(&expected)));
}

#[test]
fn log_format_unknown_is_reported() {
    let dog = watchdog().fprocess("cat").env("log_format", "xml").start();
    let log = dog.stderr();
    assert!(log.lines().any(|line| line.contains("log_format") && line.contains("xml")), "{log}");
}

// === the function's own lines ===

/// A streaming function, because its standard error always goes to the log.
fn speaking(script: &str) -> Launch {
    watchdog().mode("streaming").sh(script)
}

#[test]
fn prefix_logs_true_names_the_pipe() {
    let dog = speaking("echo hello from the function >&2").start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.contains("stderr: hello from the function\n"));
    // Something, such as the date, stands before it.
    let log = dog.stderr();
    let line = log.lines().find(|line| line.contains("hello")).unwrap();
    assert!(!line.starts_with("stderr:"), "{line}");
}

#[test]
fn prefix_logs_false_leaves_the_line_alone() {
    let dog = speaking("echo hello from the function >&2").env("prefix_logs", "false").start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.contains("\nhello from the function\n"));
    // The watchdog's own lines keep their date.
    let lines = dog.wait_for_access_lines(1);
    assert!(!lines[0].starts_with("GET"), "{lines:?}");
}

#[test]
fn line_longer_than_the_buffer_arrives_whole_and_stops_nothing() {
    // The Go programs stopped reading at such a line.
    let script = "head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo after >&2; echo done";
    for size in [None, Some("100"), Some("-1"), Some("0")] {
        let mut launch = speaking(script).env("prefix_logs", "false");
        if let Some(size) = size {
            launch = launch.env("log_buffer_size", size);
        }
        let dog = launch.start();
        for call in 1..=2 {
            let response = dog.get("/");
            assert_eq!((response.status(), response.text().as_str()), (200, "done\n"));
            dog.wait_for_log(|log| log.matches("after\n").count() == call);
        }
        let log = dog.stderr();
        let pieces = log.lines().filter(|line| line.starts_with('x')).map(str::len);
        let pieces: Vec<usize> = pieces.collect();
        assert_eq!(pieces.iter().sum::<usize>(), 600_000, "log_buffer_size={size:?}");
        let longest = *pieces.iter().max().unwrap();
        match size {
            None => assert!((60_000..=65_536).contains(&longest), "{longest}"),
            Some("100") => assert!((90..=100).contains(&longest), "{longest}"),
            Some("-1") => assert_eq!(longest, 300_000),
            Some(_) => {}
        }
    }
}

#[test]
fn log_buffer_size_below_0_keeps_a_line_in_one_piece() {
    let dog = speaking("head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2")
        .env("prefix_logs", "false")
        .env("log_buffer_size", "-1")
        .start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.lines().any(|line| line.len() == 200_000));
}

#[test]
fn last_line_without_an_end_is_not_lost() {
    let dog = speaking("echo whole >&2; printf unterminated >&2").start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.contains("unterminated\n"));
}

#[test]
fn bytes_that_are_no_text_pass() {
    let dog = speaking(r"printf 'before\377\000after\n' >&2").start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.contains("before") && log.contains("after"));
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn bytes_that_are_no_text_stay_valid_json() {
    let dog =
        speaking(r"printf 'before\377\033[1m\000after\n' >&2").env("log_format", "json").start();
    assert_eq!(dog.get("/").status(), 200);
    dog.wait_for_log(|log| log.contains("after"));
    eventually(DEADLINE, "a whole last line", || dog.stderr().ends_with('\n'));
    json_lines(&dog);
}

#[test]
fn megabytes_on_stderr_never_block_the_function() {
    let script = "head -c 500000 /dev/zero | tr '\\0' '\\n' | sed s/^/noise/ >&2; echo done";
    for mode in ["streaming", "serializing"] {
        let dog = watchdog().mode(mode).sh(script).env("prefix_logs", "false").start();
        let response = dog.get("/");
        assert_eq!((response.status(), response.text().as_str()), (200, "done\n"));
    }
}

#[test]
fn lines_of_several_calls_are_never_mixed() {
    let script = r#"
i=0
while [ $i -lt 50 ]; do printf 'aaaaaaaaaa-%s-bbbbbbbbbb\n' "$$" >&2; i=$((i+1)); done"#;
    let dog = speaking(script).env("prefix_logs", "false").start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(dog.get("/").status(), 200));
        }
    });
    dog.wait_for_log(|log| log.matches("bbbbbbbbbb\n").count() == 200);
    for line in dog.stderr().lines().filter(|line| line.contains("aaaa")) {
        assert_eq!(line.matches("aaaaaaaaaa").count(), 1, "{line}");
        assert!(line.starts_with('a') && line.ends_with('b'), "{line}");
    }
}

#[test]
fn daemon_that_keeps_stderr_open_is_still_heard() {
    let dog = speaking(
        r#"
command -v setsid >/dev/null || { echo missing; exit; }
setsid sh -c ': >"$TMPDIR/gone"; while [ ! -e "$TMPDIR/go" ]; do sleep 0.02; done; echo late >&2' \
    >/dev/null </dev/null &
while [ ! -e "$TMPDIR/gone" ]; do sleep 0.02; done
echo early"#,
    )
    .start();
    let answer = dog.get("/").text();
    if answer == "missing\n" {
        left_out("the tests of daemons need setsid(1) of util-linux");
        return;
    }
    assert_eq!(answer, "early\n");
    std::fs::write(dog.temp_dir().join("go"), "").unwrap();
    dog.wait_for_log(|log| log.contains("stderr: late\n"));
    dog.wait_for_access_lines(1);
    dog.wait_until_childless();
}

#[test]
fn flood_of_short_lines_stops_nothing_else() {
    for (mode, combine) in [("streaming", "true"), ("classic", "false")] {
        let dog = watchdog()
            .mode(mode)
            .env("combine_output", combine)
            .env("grace_period", "100ms")
            .sh("yes '' >&2")
            .start();
        let mut call = dog.connect();
        call.send(Request::get("/flood").to_bytes());
        eventually(DEADLINE, "the flood", || !dog.children().is_empty());
        for _ in 0..3 {
            let mut client = dog.connect();
            client.set_patience(std::time::Duration::from_secs(5));
            assert_eq!(client.call(&Request::get("/_/health")).status(), 200, "{mode}");
        }
        call.reset();
        dog.wait_until_childless();
    }
}
