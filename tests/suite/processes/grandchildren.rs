//! Children of a function's process.

use std::{
    fs,
    time::{Duration, Instant},
};

use e2e::{DEADLINE, End, eventually, left_out, procfs};

use crate::watchdog;

use super::{FORKING, call_until_ready, leaves_nothing_behind, timed_out};

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
