//! Warm spares: processes that wait for a call keep every promise of a process that was started for
//! it, and are nowhere seen but in metrics (issue 3, "Warm spares").

use std::{collections::HashSet, fs, thread, time::Duration};

use e2e::{Client, DEADLINE, End, Launch, Request, Watchdog, eventually};
use rustix::process::Signal;

use crate::{REFUSE, watchdog};

const FORKING: [&str; 3] = ["classic", "serializing", "streaming"];

/// Says its number, then repeats its input.
const ECHO: &str = "echo $$; cat";

fn with_spares(mode: &str, count: usize) -> Launch {
    watchdog()
        .mode(mode)
        .env("cgi_headers", "false")
        .env("warm_spares", count.to_string())
        .metrics()
}

fn total(dog: &Watchdog, event: &str) -> u32 {
    let value = dog.metrics().get("watchdog_spares_total", &[("event", event)]);
    whole(value.expect("a series for each event"))
}

fn idle(dog: &Watchdog) -> u32 {
    whole(dog.metrics().get("watchdog_spares_idle", &[]).expect("a gauge"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn whole(value: f64) -> u32 {
    value as u32
}

#[track_caller]
fn await_spares(dog: &Watchdog, count: u32) {
    eventually(DEADLINE, "the spares", || idle(dog) == count);
}

/// Starts it and waits until all spares wait.
fn started(launch: Launch, count: u32) -> Watchdog {
    let dog = launch.start();
    await_spares(&dog, count);
    dog
}

/// The processes that wait now.
fn waiting(dog: &Watchdog) -> HashSet<u32> {
    dog.children().iter().filter(|child| child.state != 'Z').map(|child| child.pid).collect()
}

fn first_number(text: &str) -> u32 {
    let line = text.lines().next().expect("a line");
    line.parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

// === a call ===

#[test]
fn call_gets_a_process_that_was_there_before() {
    for way in [&[][..], &[REFUSE, "38", "435", "--"]] {
        for mode in FORKING {
            let dog = started(with_spares(mode, 2).through(way).sh(ECHO), 2);
            let mut calls = 0;
            for size in [5, 0, 4097, 300_000] {
                let body = vec![b'x'; size];
                let before = waiting(&dog);
                let response = dog.post("/", &body);
                let text = response.text();
                assert_eq!(response.status(), 200, "{mode}");
                assert!(before.contains(&first_number(&text)), "{mode}: a new process");
                let (_, rest) = text.split_once('\n').expect("a line");
                assert!(rest.as_bytes() == body, "{mode}: another input");
                calls += 1;
                await_spares(&dog, 2);
            }
            assert_eq!(
                ["hit", "miss", "started", "expired", "failed"].map(|event| total(&dog, event)),
                [calls, 0, calls + 2, 0, 0],
                "{mode}"
            );
        }
    }
}

#[test]
fn input_reaches_a_spare_as_it_arrives() {
    for mode in FORKING {
        let script = r#"head -c 6 >"$TMPDIR/part"; mv "$TMPDIR/part" "$TMPDIR/first"; cat"#;
        let dog = started(with_spares(mode, 1).sh(script), 1);
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
        client.send("6\r\na part\r\n");
        eventually(DEADLINE, "the first part", || dog.temp_dir().join("first").exists());
        client.send("5\r\n rest\r\n0\r\n\r\n");
        let response = client.read_response();
        assert_eq!((response.status(), response.text().as_str()), (200, " rest"), "{mode}");
        assert_eq!(total(&dog, "hit"), 1, "{mode}");
    }
}

#[test]
fn marshalled_request_reaches_a_spare() {
    let dog = started(with_spares("classic", 1).env("marshal_request", "true").fprocess("cat"), 1);
    let text = dog.call(&Request::post("/", "input").header("x-name", "value")).text();
    assert!(text.contains(r#""X-Name":["value"]"#) && text.contains("aW5wdXQ="), "{text}");
    assert_eq!(total(&dog, "hit"), 1);
}

#[test]
fn calls_beyond_the_spares_start_a_process_of_their_own() {
    for mode in FORKING {
        let dog = started(with_spares(mode, 2).sh(ECHO), 2);
        thread::scope(|scope| {
            for caller in 0..12 {
                let dog = &dog;
                scope.spawn(move || {
                    for call in 0..5 {
                        let body = format!("{caller} {call}");
                        let response = dog.post("/", &body);
                        assert_eq!(response.status(), 200, "{mode}");
                        let text = response.text();
                        assert_eq!(text.lines().nth(1), Some(body.as_str()), "{mode}: {text}");
                    }
                });
            }
        });
        assert_eq!(total(&dog, "hit") + total(&dog, "miss"), 60, "{mode}");
        assert!(total(&dog, "miss") > 0, "{mode}: two spares cannot serve twelve callers");
        await_spares(&dog, 2);
        eventually(DEADLINE, "only the spares to be left", || dog.children().len() == 2);
        assert_eq!(total(&dog, "started"), total(&dog, "hit") + 2, "{mode}");
    }
}

#[test]
fn exit_of_a_spare_decides_the_answer() {
    for mode in FORKING {
        for (script, text) in
            [("cat; exit 3", "exit status 3"), ("cat; kill -KILL $$", "signal: killed")]
        {
            let dog = started(with_spares(mode, 1).sh(script), 1);
            // Without output, so that streaming can still say it.
            let response = dog.post("/", "");
            assert_eq!(response.status(), 500, "{mode}");
            assert!(response.text().starts_with(text), "{mode}: {}", response.text());
            assert_eq!((total(&dog, "hit"), total(&dog, "failed")), (1, 0), "{mode}");
        }
    }
}

#[test]
fn exec_timeout_counts_from_the_call_and_ends_the_whole_group() {
    for mode in FORKING {
        let script = r#"sleep 60 & read -r line; case "$line" in wait) sleep 60 ;; esac
            kill %1 2>/dev/null; kill $! ; echo quick"#;
        let launch = with_spares(mode, 1).sh(script).env("exec_timeout", "1s");
        let dog = started(launch.env("grace_period", "200ms"), 1);
        let old = waiting(&dog);
        // Older than exec_timeout allows a call to be.
        thread::sleep(Duration::from_millis(1200));
        assert_eq!(waiting(&dog), old, "{mode}: a spare was taken for a call that is late");
        let response = dog.post("/", "go on\n");
        assert_eq!((response.status(), response.text().as_str()), (200, "quick\n"), "{mode}");
        await_spares(&dog, 1);
        let late = dog.post("/", "wait\n");
        assert_eq!(late.status(), if mode == "classic" { 408 } else { 504 }, "{mode}");
        await_spares(&dog, 1);
        // The spare and its own background child.
        eventually(DEADLINE, "the groups of both calls to end", || {
            dog.started_processes().len() == 2 && dog.children().len() == 1
        });
    }
}

#[test]
fn client_leaving_ends_the_spare_it_got() {
    for mode in FORKING {
        let script = r#"read -r line; echo ready >"$TMPDIR/ready"; sleep 60"#;
        let dog = started(with_spares(mode, 2).sh(script), 2);
        // Those of event loops come with the first connections.
        let is_a_calls = |name: &String| name.starts_with("pipe:") || name.contains("pidfd");
        let held = || dog.open_fds().iter().filter(|name| is_a_calls(name)).count();
        let descriptors = held();
        for leave in [drop as fn(Client), Client::reset] {
            let ready = dog.temp_dir().join("ready");
            let _ = fs::remove_file(&ready);
            let mut client = dog.connect();
            client.send(Request::post("/", "line\n").to_bytes());
            eventually(DEADLINE, "the function to be ready", || ready.exists());
            leave(client);
            eventually(DEADLINE, "the end of the call's process", || {
                dog.started_processes().len() == 2 && dog.children().len() == 2
            });
        }
        eventually(DEADLINE, "the calls' descriptors to be closed", || {
            held() <= descriptors && dog.connections() == 0
        });
    }
}

#[test]
fn function_that_got_a_spare_has_no_descriptor_but_its_three() {
    for mode in FORKING {
        let script = "cat >/dev/null; ls -l /proc/self/fd | wc -l";
        let dog = started(with_spares(mode, 4).sh(script), 4);
        let expected = (5 + crate::processes::passed_on().len()).to_string();
        for _ in 0..6 {
            assert_eq!(dog.post("/", "input").text().trim(), expected, "{mode}");
        }
    }
}

#[test]
fn stream_from_a_spare_is_cut_when_it_fails() {
    let dog = started(with_spares("streaming", 1).sh("cat; exit 3"), 1);
    let response = dog.post("/", "input");
    assert_eq!((response.status(), response.text().as_str()), (200, "input"));
    assert!(matches!(response.end, End::Cut(_)), "{:?}", response.end);
}

// === what a spare writes ===

#[test]
fn what_a_spare_wrote_before_its_call_belongs_to_that_call_only() {
    for mode in FORKING {
        let script = "echo out $$; echo err $$ >&2; cat";
        let dog = started(with_spares(mode, 3).sh(script), 3);
        for _ in 0..8 {
            let text = dog.post("/", "input").text();
            let number = text.split_whitespace().nth(1).expect("a number");
            if mode == "classic" {
                assert_eq!(text, format!("out {number}\nerr {number}\ninput"));
            } else {
                assert_eq!(text, format!("out {number}\ninput"), "{mode}");
                dog.wait_for_log(|log| log.contains(&format!("stderr: err {number}\n")));
            }
        }
    }
}

// === spares that end without a call ===

#[test]
fn spare_that_ends_early_is_replaced_with_pauses_and_calls_are_served() {
    for mode in FORKING {
        let launch = with_spares(mode, 2);
        let broken = launch.write("broken", "");
        let script = r#"[ -e "$TMPDIR/broken" ] && { echo the reason; exit 3; }; cat"#;
        let dog = launch.sh(script).start();
        eventually(DEADLINE, "early ends", || total(&dog, "failed") >= 3);
        dog.wait_for_log(|log| log.contains("exit status 3"));
        dog.wait_for_stdout(|log| log.contains("stdout: the reason\n"));
        assert_eq!(dog.get("/_/ready").status(), 200, "{mode}: calls are served in any case");
        let response = dog.post("/", "input");
        assert_eq!(response.status(), if mode == "streaming" { 200 } else { 500 }, "{mode}");
        // Pauses double from 100 ms on: far fewer than two every few milliseconds.
        let failed = total(&dog, "failed");
        thread::sleep(Duration::from_secs(1));
        assert!(total(&dog, "failed") - failed <= 6, "{mode}: no back-off");
        fs::remove_file(broken).expect("our file");
        await_spares(&dog, 2);
        let hits = total(&dog, "hit");
        assert_eq!(dog.post("/", "input").text(), "input", "{mode}");
        assert_eq!(total(&dog, "hit"), hits + 1, "{mode}");
    }
}

#[test]
fn dead_spare_is_never_handed_out() {
    for mode in FORKING {
        let dog = started(with_spares(mode, 3).sh(ECHO), 3);
        for _ in 0..5 {
            let killed = waiting(&dog);
            for pid in &killed {
                let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a number");
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            // One that dies just as it is handed out is a call whose process was killed.
            eventually(DEADLINE, "their end", || waiting(&dog).is_disjoint(&killed));
            let response = dog.post("/", "input");
            assert_eq!(response.status(), 200, "{mode}: {}", response.text());
        }
        await_spares(&dog, 3);
        assert!(total(&dog, "failed") > 0, "{mode}");
        assert!(dog.zombies().is_empty(), "{mode}");
    }
}

#[test]
fn old_spares_are_replaced_without_ever_acting() {
    for mode in FORKING {
        let script = r#"echo waited; cat >"$TMPDIR/input"; echo acted >"$TMPDIR/acted""#;
        let launch = with_spares(mode, 2).sh(script).env("warm_spares_max_age", "1s");
        let dog = started(launch, 2);
        let first = waiting(&dog);
        eventually(DEADLINE, "both to be replaced", || {
            total(&dog, "expired") >= 2 && waiting(&dog).is_disjoint(&first)
        });
        dog.wait_for_stdout(|log| log.contains("stdout: waited\n"));
        await_spares(&dog, 2);
        assert_eq!(total(&dog, "failed"), 0, "{mode}");
        assert!(!dog.temp_dir().join("acted").exists(), "{mode}: it took the end for its input");
    }
}

#[test]
fn program_that_is_missing_makes_no_spares_and_no_noise() {
    let dog = with_spares("classic", 4).fprocess("/no/such/program").start();
    eventually(DEADLINE, "the first failure", || total(&dog, "failed") >= 1);
    assert_eq!(dog.get("/_/ready").status(), 200);
    assert_eq!(dog.get("/").status(), 500);
    assert_eq!(total(&dog, "started"), 0);
    thread::sleep(Duration::from_secs(1));
    assert!(total(&dog, "failed") <= 6, "no back-off");
}

// === the end of the watchdog ===

#[test]
fn spares_end_with_a_watchdog_that_stops_and_never_act() {
    for mode in FORKING {
        let script = r#"cat >/dev/null; echo acted >"$TMPDIR/acted"; sleep 60"#;
        let mut dog = started(with_spares(mode, 4).sh(script), 4);
        dog.terminate();
        assert_eq!(dog.wait_exit().code(), Some(0), "{mode}");
        assert!(dog.started_processes().is_empty(), "{mode}: {:?}", dog.started_processes());
        assert!(!dog.temp_dir().join("acted").exists(), "{mode}: it took the end for its input");
    }
}

#[test]
fn spares_are_killed_with_a_watchdog_that_is_killed() {
    for mode in FORKING {
        // Without the kill they would outlive the end of their input.
        let mut dog = started(with_spares(mode, 4).sh("trap '' TERM; cat; exec sleep 60"), 4);
        dog.signal(Signal::KILL);
        assert_eq!(dog.wait_exit().signal(), Some(9), "{mode}");
        eventually(DEADLINE, "the spares to end", || {
            dog.started_processes().iter().all(|process| process.name == "cat")
        });
        eventually(DEADLINE, "all to end", || dog.started_processes().is_empty());
    }
}

#[test]
fn spares_are_no_calls() {
    for mode in FORKING {
        let dog = started(with_spares(mode, 3).env("max_inflight", "1").fprocess("cat"), 3);
        let metrics = dog.metrics();
        assert!(metrics.all_requests() == 0.0, "{mode}: {}", metrics.text);
        assert_eq!(metrics.get("http_requests_in_flight", &[]), Some(0.0), "{mode}");
        assert!(dog.access_log_lines().is_empty(), "{mode}");
        eventually(DEADLINE, "the limit not to be met", || dog.get("/_/ready").status() == 200);
        assert_eq!(dog.post("/", "input").text(), "input", "{mode}");
    }
}

#[test]
fn ready_when_the_spares_have_started_up() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    // Works until the gate opens, then waits for its input.
    let script = r#"while [ ! -e "$GATE" ]; do :; done; exec cat"#;
    let launch = with_spares("classic", 1).env("GATE", gate.to_str().unwrap());
    let dog = started(launch.sh(script), 1);
    assert_eq!(dog.get("/_/ready").status(), 503, "it is at work still");
    fs::write(&gate, "").unwrap();
    eventually(DEADLINE, "the spare to have started up", || dog.get("/_/ready").status() == 200);
    assert_eq!(dog.post("/", "input").text(), "input");
}

#[test]
fn metrics_do_not_mention_spares_where_there_are_none() {
    let dog = watchdog().mode("classic").fprocess("cat").metrics().start();
    assert!(!dog.metrics().text.contains("spares"));
}

// === refusals ===

#[test]
fn spares_are_refused_where_they_cannot_be() {
    let cases = [
        ("classic", &[][..], "cgi_headers, which is the default"),
        ("streaming", &[("cgi_headers", "true")], "cgi_headers, which is on"),
        ("serializing", &[], "set cgi_headers=false"),
        (
            "http",
            &[("cgi_headers", "false"), ("http_upstream_url", "http://127.0.0.1:1")],
            "mode=http",
        ),
        ("static", &[("cgi_headers", "false")], "mode=static"),
    ];
    for (mode, variables, reason) in cases {
        let mut launch = watchdog().mode(mode).fprocess("cat").env("warm_spares", "2");
        for (name, value) in variables {
            launch = launch.env(name, value);
        }
        let ended = launch.spawn_expecting_exit();
        assert_eq!(ended.code(), Some(2), "{mode}: {}", ended.stderr);
        assert!(ended.stderr.contains("warm_spares"), "{mode}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{mode}: {}", ended.stderr);
    }
    for junk in ["65", "-1", "many"] {
        let launch = watchdog().mode("classic").fprocess("cat").env("warm_spares", junk);
        let dog = launch.start();
        dog.wait_for_log(|log| log.contains("warm_spares") && log.contains(junk));
        assert!(dog.children().is_empty());
    }
}
