//! Processes of the forking modes: started clean, ended as a whole group (TERM, `grace_period`,
//! KILL), reaped, and nothing of a call left behind (reference 2.2 and 3; issue, "Processes").

mod grandchildren;
mod input;
mod many;
mod shortage;
mod start;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use e2e::{Client, DEADLINE, Launch, Request, Watchdog, eventually};

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
