//! Processes of the forking modes: started clean, ended as a whole group (TERM, `grace_period`,
//! KILL), reaped, and nothing of a call left behind (reference 2.2 and 3; issue, "Processes").

mod shortage;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use e2e::{Client, DEADLINE, End, Launch, Request, Watchdog, eventually, left_out, procfs};

use crate::watchdog;

const FORKING: [&str; 3] = ["classic", "serializing", "streaming"];

/// Runs `calls`, then waits until the watchdog has no more processes, zombies and descriptors than
/// before.
#[track_caller]
pub(crate) fn leaves_nothing_behind(dog: &Watchdog, calls: impl FnOnce()) {
    let before = dog.open_fds().len();
    calls();
    dog.wait_until_childless();
    eventually(DEADLINE, "the calls' descriptors to be closed", || dog.open_fds().len() <= before);
}

/// Starts a call and waits until its function has written the file `ready`.
fn call_until_ready(dog: &Watchdog) -> Client {
    let ready = dog.temp_dir().join("ready");
    let _ = fs::remove_file(&ready);
    let mut client = dog.connect();
    client.send(Request::post("/", "input").to_bytes());
    eventually(DEADLINE, "the function to be ready", || ready.exists());
    client
}

fn await_file(dog: &Watchdog, name: &str) {
    eventually(DEADLINE, name, || dog.temp_dir().join(name).exists());
}

/// The status that tells of an `exec_timeout` before the first byte.
pub(crate) fn timed_out(mode: &str) -> u16 {
    if mode == "classic" { 408 } else { 504 }
}

/// Tells of TERM by a file, and waits for the file `go` before it ends. Silent: a shell would report
/// the child that TERM killed.
const TIDY: &str = r#"
exec 2>/dev/null
trap 'echo got >"$TMPDIR/term"
while [ ! -e "$TMPDIR/go" ]; do sleep 0.01; done
echo tidy >"$TMPDIR/tidied"
exit' TERM
echo ready >"$TMPDIR/ready"
while :; do sleep 0.05; done"#;

/// Ignores TERM, and so do its children.
const STUBBORN: &str = r#"
trap '' TERM
echo ready >"$TMPDIR/ready"
while :; do sleep 0.05; done"#;

fn patient(mode: &str) -> Launch {
    watchdog().mode(mode).env("grace_period", "60s").env("exec_timeout", "60s")
}

// === the end of a call ===

#[test]
fn exit_status_counts_although_the_parent_ignored_child_signals() {
    let ignore = ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"];
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).sh("cat; exit 3").through(&ignore).start();
        assert_eq!(dog.get("/").status(), 500, "{mode}");
        dog.wait_for_log(|log| log.contains("exit status 3"));
    }
}

#[test]
fn client_leaving_gives_the_function_term_and_time() {
    for mode in FORKING {
        let leave: [fn(Client); 2] = [drop, Client::reset];
        for leave in leave {
            let dog = patient(mode).sh(TIDY).start();
            leaves_nothing_behind(&dog, || {
                leave(call_until_ready(&dog));
                await_file(&dog, "term");
                assert!(!dog.started_processes().is_empty(), "{mode}: killed within its grace");
                fs::write(dog.temp_dir().join("go"), "").expect("a file");
                await_file(&dog, "tidied");
            });
        }
    }
}

#[test]
fn exec_timeout_gives_the_function_term_and_time() {
    for mode in FORKING {
        let dog = patient(mode).sh(TIDY).env("exec_timeout", "2s").start();
        leaves_nothing_behind(&dog, || {
            let mut client = call_until_ready(&dog);
            await_file(&dog, "term");
            assert!(!dog.started_processes().is_empty(), "{mode}: killed within its grace");
            fs::write(dog.temp_dir().join("go"), "").expect("a file");
            await_file(&dog, "tidied");
            assert_eq!(client.read_response().status(), timed_out(mode));
        });
    }
}

#[test]
fn output_during_the_grace_period_does_not_kill_the_function() {
    // More than a pipe holds: somebody has to read it, or SIGPIPE or the full pipe ends the tidying.
    let script = r#"
        trap 'echo stopping
        echo stopping >&2
        head -c 200000 /dev/zero
        echo tidy >"$TMPDIR/tidied"
        exit' TERM
        echo ready >"$TMPDIR/ready"
        while :; do sleep 0.05; done"#;
    for mode in FORKING {
        let dog = patient(mode).sh(script).start();
        leaves_nothing_behind(&dog, || {
            drop(call_until_ready(&dog));
            dog.wait_until_childless();
            assert!(dog.temp_dir().join("tidied").exists(), "{mode}: it could not tidy up");
        });
    }
}

#[test]
fn timeout_is_answered_without_waiting_for_the_grace_period() {
    for mode in FORKING {
        let dog = patient(mode).sh(STUBBORN).env("exec_timeout", "500ms").start();
        assert_eq!(dog.get("/").status(), timed_out(mode));
    }
}

#[test]
fn function_that_ignores_term_is_killed_after_the_grace_period() {
    let grace = Duration::from_millis(700);
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(STUBBORN).env("grace_period", "700ms").start();
        leaves_nothing_behind(&dog, || {
            let client = call_until_ready(&dog);
            let left = Instant::now();
            drop(client);
            dog.wait_until_childless();
            assert!(left.elapsed() >= grace, "{mode}: killed after {:?}", left.elapsed());
        });
    }
}

#[test]
fn grace_period_zero_kills_at_once() {
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(STUBBORN).env("grace_period", "0").start();
        leaves_nothing_behind(&dog, || drop(call_until_ready(&dog)));
    }
}

#[test]
fn grandchild_gets_the_same_grace() {
    // The shell in between dies of TERM at once; that must not cost its child the grace period.
    for mode in FORKING {
        let launch = patient(mode);
        let tidy = launch.write("tidy.sh", TIDY);
        let dog = launch.sh(&format!("sh {} & wait", tidy.display())).start();
        leaves_nothing_behind(&dog, || {
            drop(call_until_ready(&dog));
            await_file(&dog, "term");
            fs::write(dog.temp_dir().join("go"), "").expect("a file");
            await_file(&dog, "tidied");
        });
    }
}

#[test]
fn grandchild_that_ignores_term_is_killed_after_the_grace_period() {
    for mode in FORKING {
        let launch = watchdog().mode(mode).env("grace_period", "300ms");
        let stubborn = launch.write("stubborn.sh", STUBBORN);
        let dog = launch.sh(&format!("sh {} & wait", stubborn.display())).start();
        leaves_nothing_behind(&dog, || drop(call_until_ready(&dog)));
    }
}

#[test]
fn function_that_has_stopped_itself_is_ended() {
    let dog = watchdog()
        .mode("classic")
        .sh("kill -STOP $$")
        .env("exec_timeout", "500ms")
        .env("grace_period", "300ms")
        .start();
    leaves_nothing_behind(&dog, || assert_eq!(dog.get("/").status(), 408));
}

#[test]
fn client_leaving_during_the_response_ends_the_function() {
    let dog = watchdog().mode("streaming").fprocess("cat /dev/zero").start();
    let leave: [fn(Client); 2] = [drop, Client::reset];
    for leave in leave {
        leaves_nothing_behind(&dog, || {
            let mut client = dog.connect();
            client.send(Request::get("/").to_bytes());
            assert_eq!(client.read_head().status, 200);
            assert!(!client.read_chunk_data().is_empty());
            leave(client);
        });
    }
}

#[test]
fn client_leaving_a_silent_stream_ends_the_function() {
    let dog = watchdog()
        .mode("streaming")
        .sh(r#"echo first; echo ready >"$TMPDIR/ready"; sleep 60"#)
        .start();
    leaves_nothing_behind(&dog, || {
        let mut client = call_until_ready(&dog);
        assert_eq!(client.read_head().status, 200);
        drop(client);
    });
}

#[test]
fn client_leaving_frees_its_place() {
    for mode in FORKING {
        let script = r#"
            case "$Http_Method" in
            POST) echo ready >"$TMPDIR/ready"; sleep 60 ;;
            esac"#;
        let dog = watchdog().mode(mode).sh(script).env("max_inflight", "1").start();
        for _ in 0..3 {
            let client = call_until_ready(&dog);
            assert_eq!(dog.get("/").status(), 429, "{mode}");
            drop(client);
            eventually(DEADLINE, "a free place", || dog.get("/").status() == 200);
        }
    }
}

#[test]
fn twenty_background_children_are_all_ended() {
    let script = r#"
        i=0
        while [ $i -lt 10 ]; do sleep 60 & sh -c 'sleep 60 & sleep 60 & wait' & i=$((i+1)); done
        echo ready >"$TMPDIR/ready"
        wait"#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        leaves_nothing_behind(&dog, || {
            let client = call_until_ready(&dog);
            eventually(DEADLINE, "all of them to run", || {
                let all = dog.started_processes();
                all.iter().filter(|process| process.name == "sleep").count() == 30
            });
            drop(client);
        });
    }
}

#[test]
fn function_that_kills_its_own_group_hurts_nobody_else() {
    let dog = watchdog().mode("classic").sh("kill -KILL 0").start();
    for _ in 0..3 {
        let response = dog.get("/");
        assert_eq!((response.status(), response.text().as_str()), (500, "signal: killed\n"));
    }
}

// === input that breaks off ===

#[test]
fn truncated_input_is_never_shown_to_the_function_as_complete() {
    // Defect 13: a function took half an upload for a whole one and stored it.
    type Stop = (&'static str, fn(Client), u32);
    let stop: [Stop; 4] = [
        ("a client that leaves", drop, 10),
        ("a client that is gone", Client::reset, 10),
        (
            "a malformed chunk",
            |mut client| {
                client.send("ZZ\r\n");
                assert_eq!(client.read_response().status(), 400);
            },
            10,
        ),
        // Each of these takes the whole of read_timeout, in which the function has to start.
        (
            "a client that falls silent",
            |mut client| assert_eq!(client.read_response().status(), 408),
            2,
        ),
    ];
    for mode in FORKING {
        let dog = watchdog()
            .mode(mode)
            .sh(r#"head -c 6 >"$TMPDIR/ready"; cat >/dev/null; echo stored >"$TMPDIR/stored""#)
            .env("read_timeout", "2s")
            .start();
        for (what, stop, rounds) in stop {
            for _ in 0..rounds {
                let ready = dog.temp_dir().join("ready");
                let _ = fs::remove_file(&ready);
                let mut client = dog.connect();
                client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
                client.send("6\r\na part\r\n");
                eventually(DEADLINE, "the function to have a part", || {
                    fs::read(&ready).is_ok_and(|part| part == b"a part")
                });
                stop(client);
                dog.wait_until_childless();
                let stored = dog.temp_dir().join("stored");
                assert!(!stored.exists(), "{mode}: {what} was taken for the end of the input");
            }
        }
    }
}

// === grandchildren ===

#[test]
fn grandchild_with_its_own_output_neither_delays_the_answer_nor_survives_it() {
    let script = "sleep 60 </dev/null >/dev/null 2>&1 & echo answer";
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        leaves_nothing_behind(&dog, || {
            let response = dog.post("/", "input");
            assert_eq!((response.status(), response.text().as_str()), (200, "answer\n"), "{mode}");
            assert!(response.is_complete());
        });
    }
}

#[test]
fn grandchild_that_keeps_stderr_open_does_not_delay_the_answer() {
    // Streaming and serializing log standard error, which is no part of the answer.
    let script = "sleep 60 </dev/null >/dev/null & echo answer";
    for mode in ["serializing", "streaming"] {
        let dog = watchdog().mode(mode).sh(script).start();
        leaves_nothing_behind(&dog, || {
            let response = dog.get("/");
            assert_eq!((response.status(), response.text().as_str()), (200, "answer\n"), "{mode}");
        });
    }
}

#[test]
fn grandchild_with_a_session_of_its_own_survives() {
    let script = r#"
        command -v setsid >/dev/null || { echo missing; exit; }
        setsid sh -c 'echo $$ >"$TMPDIR/new"; mv "$TMPDIR/new" "$TMPDIR/daemon"; exec sleep 60' \
            </dev/null >/dev/null 2>&1 &
        while [ ! -e "$TMPDIR/daemon" ]; do sleep 0.01; done
        echo answer"#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        let answer = dog.get("/").text();
        if answer == "missing\n" {
            left_out("the tests of daemons need setsid(1) of util-linux");
            return;
        }
        assert_eq!(answer, "answer\n", "{mode}");
        // Whatever ends a call's group is over when its leader is reaped.
        eventually(DEADLINE, "the leader to be reaped", || dog.children().is_empty());
        let daemon = fs::read_to_string(dog.temp_dir().join("daemon")).expect("written above");
        let daemon = procfs::read(daemon.trim().parse().expect("a number"));
        assert!(daemon.is_some_and(|daemon| daemon.state != 'Z'), "{mode}: it was ended");
    }
}

#[test]
fn grandchild_that_keeps_stdout_open_holds_the_answer_until_exec_timeout() {
    for mode in FORKING {
        let dog =
            watchdog().mode(mode).sh("sleep 60 & echo answer").env("exec_timeout", "1s").start();
        leaves_nothing_behind(&dog, || {
            let asked = Instant::now();
            let response = dog.get("/");
            assert!(asked.elapsed() >= Duration::from_secs(1), "{mode}: not held");
            if mode == "streaming" {
                assert_eq!((response.status(), response.text().as_str()), (200, "answer\n"));
                assert!(matches!(response.end, End::Cut(_)), "{:?}", response.end);
            } else {
                assert_eq!(response.status(), timed_out(mode));
            }
        });
    }
}

#[test]
fn grandchild_that_answers_after_its_parent_is_waited_for() {
    let script = r#"(while [ ! -e "$TMPDIR/go" ]; do sleep 0.01; done; echo late) &
        echo ready >"$TMPDIR/ready""#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        let mut client = call_until_ready(&dog);
        fs::write(dog.temp_dir().join("go"), "").expect("a file");
        let response = client.read_response();
        assert_eq!((response.status(), response.text().as_str()), (200, "late\n"), "{mode}");
    }
}

// === the start ===

#[test]
fn child_leads_a_process_group_of_its_own() {
    let script = "read -r pid name state parent group rest </proc/self/stat; echo $pid $group";
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        let text = dog.get("/").text();
        let (pid, group) = text.trim().split_once(' ').expect("two numbers");
        assert_eq!(pid, group, "{mode}");
        assert_ne!(group, dog.pid().to_string());
    }
}

/// Descriptors above the usual three that this process passes on: whoever started the tests left
/// them open without `O_CLOEXEC` (proc(5), `/proc/PID/fdinfo`).
pub(crate) fn passed_on() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fdinfo").expect("proc").flatten();
    let passed_on = |path: &Path| {
        let info = fs::read_to_string(path).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u64::from_str_radix(flags.trim(), 8).ok());
        flags.is_some_and(|flags| flags & 0o2_000_000 == 0)
    };
    entries
        .filter(|entry| passed_on(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|descriptor| !["0", "1", "2"].contains(&descriptor.as_str()))
        .collect()
}

#[test]
fn child_has_no_descriptor_but_its_three_even_among_many() {
    let foreign = passed_on();
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("ls /proc/self/fd").start();
        let look = || {
            let text = dog.post("/", "input").text();
            let mut seen: Vec<&str> = text.lines().collect();
            seen.retain(|descriptor| !foreign.iter().any(|other| other == descriptor));
            // The fourth is the directory that is being listed.
            assert!(seen.starts_with(&["0", "1", "2"]) && seen.len() == 4, "{mode}: {seen:?}");
        };
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| (0..8).for_each(|_| look()));
            }
        });
    }
}

#[test]
fn child_starts_with_sigpipe_at_its_default_and_nothing_blocked() {
    let script = r#"
        while read -r name value; do
            case "$name" in SigIgn:|SigBlk:) echo "$name$value" ;; esac
        done </proc/self/status"#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        let text = dog.get("/").text();
        let mask = |name: &str| {
            let hex = text.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
            u64::from_str_radix(hex, 16).expect("hexadecimal")
        };
        assert_eq!(mask("SigBlk:"), 0, "{mode}");
        // signal(7): SIGPIPE is 13, and its bit the 13th.
        assert_eq!(mask("SigIgn:") & (1 << 12), 0, "{mode}");
    }
}

#[test]
fn pipeline_whose_reader_ends_early_stays_quiet() {
    // With SIGPIPE ignored `yes` would complain, and the complaint be part of the answer.
    let dog = watchdog().mode("classic").sh("yes | head -n 1").start();
    assert_eq!(dog.get("/").text(), "y\n");
}

#[test]
fn child_inherits_directory_and_umask() {
    let dog = watchdog()
        .mode("classic")
        .sh("pwd; umask")
        .through(&["sh", "-c", r#"cd / && umask 027 && exec "$0" "$@""#])
        .start();
    assert_eq!(dog.get("/").text(), "/\n0027\n");
}

#[test]
fn child_without_a_request_body_reads_an_empty_input() {
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("wc -c").start();
        assert_eq!(dog.get("/").text().trim(), "0", "{mode}");
        assert_eq!(dog.post("/", "").text().trim(), "0", "{mode}");
        let chunked = Request::new("POST", "/").chunked([""; 0]);
        assert_eq!(dog.call(&chunked).text().trim(), "0", "{mode}");
    }
}

#[test]
fn fprocess_json_array_is_the_exact_argument_list() {
    let dog =
        watchdog().mode("classic").fprocess(r#"["printf","<%s>","two  words","","'q'"]"#).start();
    assert_eq!(dog.get("/").text(), "<two  words><><'q'>");
}

#[test]
fn fprocess_with_two_spaces_has_an_empty_argument() {
    let dog = watchdog().mode("classic").fprocess("printf <%s> a  b").start();
    assert_eq!(dog.get("/").text(), "<a><><b>");
}

// === many ===

#[test]
fn sixty_four_concurrent_calls_get_their_own_answers() {
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        leaves_nothing_behind(&dog, || {
            thread::scope(|scope| {
                for call in 0..64 {
                    let dog = &dog;
                    scope.spawn(move || {
                        let body = format!("call {call} ").repeat(1000);
                        let response = dog.post("/", &body);
                        assert_eq!(response.status(), 200, "{mode}");
                        assert!(response.text() == body, "{mode}: call {call} got another answer");
                    });
                }
            });
        });
    }
}

#[test]
fn calls_of_every_outcome_leave_nothing_behind() {
    let script = r#"
        case "$Http_Path" in
        /fail) exit 3 ;;
        /kill) kill -KILL $$ ;;
        /sleep) sleep 60 ;;
        /orphan) sleep 60 </dev/null >/dev/null 2>&1 & ;;
        /noise) echo noise >&2 ;;
        *) cat ;;
        esac"#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).env("exec_timeout", "1s").start();
        leaves_nothing_behind(&dog, || {
            thread::scope(|scope| {
                for path in ["/fail", "/kill", "/sleep", "/orphan", "/noise", "/"] {
                    let dog = &dog;
                    scope.spawn(move || {
                        for _ in 0..5 {
                            let _ = dog.post(path, "input");
                        }
                    });
                }
            });
        });
        assert!(dog.zombies().is_empty(), "{mode}: {:?}", dog.zombies());
        assert_eq!(dog.post("/", "next").text(), "next");
    }
}

#[test]
fn client_leaving_at_any_moment_leaves_nothing_behind() {
    let request = Request::post("/", vec![b'x'; 100_000]).to_bytes();
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        leaves_nothing_behind(&dog, || {
            for sent in [1, 20, 60, 90, 5_000, 70_000, request.len()] {
                for leave in [drop as fn(Client), Client::reset] {
                    let mut client = dog.connect();
                    client.send(&request[..sent]);
                    leave(client);
                }
            }
        });
        assert_eq!(dog.post("/", "next").text(), "next");
    }
}
