//! As the first process of a container: PID 1 of a PID namespace of its own.

use std::{
    process::{Command, Stdio},
    sync::OnceLock,
};

use e2e::{
    DEADLINE, Launch, Watchdog, eventually, left_out,
    play::{Play, Step},
    procfs::{self, Process},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    held::{self, hold, release},
    upstream::http,
    watchdog,
};

const UNSHARE: [&str; 4] = ["unshare", "--pid", "--fork", "--mount-proc"];

/// Whether this machine lets us make PID namespaces; says so when it does not.
fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let possible = Command::new(UNSHARE[0])
            .args(&UNSHARE[1..])
            .arg("true")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !possible {
            left_out("the tests of suite/init.rs (PID 1) need unshare(1) and root");
        }
        possible
    })
}

fn as_init(launch: Launch) -> Launch {
    launch.through(&UNSHARE)
}

/// The watchdog itself: the only child of `unshare`.
#[track_caller]
fn init_of(dog: &Watchdog) -> Process {
    let children = dog.children();
    assert_eq!(children.len(), 1, "{children:?}");
    children.into_iter().next().unwrap()
}

fn signal(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn init_serves_calls() {
    if !is_possible() {
        return;
    }
    for mode in ["classic", "streaming"] {
        let dog = as_init(watchdog().mode(mode).fprocess("cat")).start();
        assert_eq!(dog.post("/", "hello").text(), "hello");
    }
}

#[test]
fn init_reaps_orphans() {
    if !is_possible() {
        return;
    }
    // The grandchild leaves group and session where it can, and dies after its parent.
    let script = r#"
detach=$(command -v setsid) || detach=
$detach sh -c 'while [ ! -e "$TMPDIR/go" ]; do sleep 0.02; done' >/dev/null 2>&1 </dev/null &
echo ok"#;
    let dog = as_init(watchdog().mode("classic").sh(script)).start();
    let init = init_of(&dog);
    let before = procfs::descendants(init.pid).len();
    for _ in 0..3 {
        assert_eq!(dog.get("/").text(), "ok\n");
    }
    std::fs::write(dog.temp_dir().join("go"), "").unwrap();
    eventually(DEADLINE, "every orphan to end and be reaped", || {
        procfs::descendants(init.pid).len() == before
    });
    assert_eq!(dog.zombies(), []);
}

#[test]
fn init_forwards_sigterm_and_exits_0() {
    if !is_possible() {
        return;
    }
    for signal_sent in [Signal::TERM, Signal::INT] {
        let mut dog = as_init(watchdog().fprocess("cat")).start();
        signal(&init_of(&dog), signal_sent);
        let ended = dog.wait_exit();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(!dog.lock_file().exists());
    }
}

#[test]
fn init_lets_a_call_in_flight_finish() {
    if !is_possible() {
        return;
    }
    let mut dog = as_init(watchdog().mode("classic").sh(held::SCRIPT)).start();
    let mut held = hold(&dog);
    signal(&init_of(&dog), Signal::TERM);
    eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
    assert_eq!(dog.wait_exit().code(), Some(0));
}

#[test]
fn init_passes_the_exit_code_on() {
    if !is_possible() {
        return;
    }
    let ended = as_init(watchdog().mode("nonsense").fprocess("cat")).spawn_expecting_exit();
    let outside = watchdog().mode("nonsense").fprocess("cat").spawn_expecting_exit();
    assert_eq!(ended.code(), outside.code(), "{ended:?}");
    let ended = as_init(watchdog().fprocess("cat"))
        .env("strict_config", "true")
        .env("read_timeout", "soon")
        .spawn_expecting_exit();
    assert_eq!(ended.code(), Some(2), "{ended:?}");
}

#[test]
fn init_takes_every_signal_of_a_stop() {
    if !is_possible() {
        return;
    }
    for signal_sent in [Signal::HUP, Signal::QUIT] {
        let mut dog = as_init(watchdog().sh(held::SCRIPT)).start();
        let mut held = hold(&dog);
        signal(&init_of(&dog), signal_sent);
        eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
        release(&dog);
        assert_eq!(held.read_response().text(), "released\n", "{signal_sent:?}");
        assert_eq!(dog.wait_exit().code(), Some(0), "{signal_sent:?}");
    }
}

#[test]
fn init_stops_the_function_that_stays() {
    if !is_possible() {
        return;
    }
    let mut dog = as_init(http()).start_ready();
    assert_eq!(dog.post("/", "x").status(), 200);
    signal(&init_of(&dog), Signal::TERM);
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert_eq!(dog.started_processes(), []);
}

#[test]
fn init_passes_on_that_the_function_died() {
    if !is_possible() {
        return;
    }
    let mut dog = as_init(http()).start_ready();
    assert_eq!(dog.call(&Play::new([Step::Body, Step::Exit(3)]).post("x")).status(), 502);
    assert_eq!(dog.wait_exit().code(), Some(1));
    assert_eq!(dog.started_processes(), []);
}
