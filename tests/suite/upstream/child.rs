//! The life of the function's process.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use e2e::{
    DEADLINE, Watchdog, eventually,
    play::{Play, Step, answer, touch, wait},
};

use super::{exists, heads, http, http_sh, http_with, lines};

fn await_ready(dog: &Watchdog) {
    eventually(DEADLINE, "/_/ready to answer 200", || dog.get("/_/ready").status() == 200);
}

/// of-watchdog #92 and #144: ready before the function listened, and 500 for the calls that came.
#[test]
fn ready_only_once_the_function_accepts() {
    let dog = http_with("--after listen").start();
    assert_eq!(dog.get("/_/ready").status(), 503);
    assert_eq!(dog.get("/_/health").status(), 200);
    super::touch(&dog, "listen");
    await_ready(&dog);
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn ready_with_ready_path_only_once_the_function_accepts() {
    let dog = http_with("--after listen").env("ready_path", "/up").start();
    assert_eq!(dog.get("/_/ready").status(), 503);
    super::touch(&dog, "listen");
    await_ready(&dog);
}

#[test]
fn early_call_waits_for_the_function() {
    let dog = http_with("--after listen").start();
    let mut client = dog.connect();
    client.send(Play::new([Step::Body, Step::Reply]).post("early").to_bytes());
    assert_eq!(dog.get("/_/ready").status(), 503);
    super::touch(&dog, "listen");
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (200, "early"));
}

#[test]
fn early_call_does_not_wait_for_ever() {
    let dog = http_with("--after never").env("exec_timeout", "300ms").start();
    let response = dog.post("/", "early");
    assert_eq!(response.status(), 502, "{response:?}");
    assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
    assert!(!response.text().trim().is_empty());
}

/// A call in flight when the function does `ending`: 502, then the end of the watchdog.
#[track_caller]
fn dies_with(script: Option<&str>, ending: Step) {
    let mut dog = script.map_or_else(http, http_sh).start();
    let mut waiting = dog.connect();
    waiting.send(Play::new([Step::Body, touch("called"), Step::Eof]).post("x").to_bytes());
    eventually(DEADLINE, "the call", || exists(&dog, "called"));
    assert!(dog.lock_file().exists());
    let response = dog.call(&Play::new([Step::Body, ending]).get());
    assert_eq!(response.status(), 502, "{}", dog.log());
    let response = waiting.read_response();
    assert_eq!(response.status(), 502, "{}", dog.log());
    assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(!dog.lock_file().exists(), "the lock file was left behind");
    assert!(dog.started_processes().is_empty());
}

#[test]
fn death_of_the_function_ends_the_watchdog() {
    dies_with(None, Step::Exit(3));
}

/// The of-watchdog did not notice: health said 200 and every call failed.
#[test]
fn end_of_the_function_with_status_0_ends_the_watchdog() {
    dies_with(None, Step::Exit(0));
}

#[test]
fn death_by_a_signal_ends_the_watchdog() {
    let mut dog = http().start();
    assert_eq!(dog.get("/").status(), 200);
    let pid = dog.children()[0].pid;
    kill(pid);
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(!dog.lock_file().exists());
}

/// What the shell leaves running is ended as well.
#[test]
fn death_of_a_shell_takes_its_group_along() {
    dies_with(Some("sleep 1000 &\n$UPSTREAM; exit 7"), Step::Exit(1));
}

#[test]
fn function_that_ends_before_it_listens_ends_the_watchdog() {
    let mut dog = http_sh("exit 5").start_unready();
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(!dog.lock_file().exists());
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn restarted_function_serves_again() {
    let dog = http().env("upstream_restart", "true").start();
    for starts in 2..4 {
        let response = dog.call(&Play::new([Step::Body, Step::Exit(1)]).post("x"));
        assert_eq!(response.status(), 502, "{}", dog.log());
        eventually(DEADLINE, "the next start", || lines(&dog, "pids").len() == starts);
        eventually(DEADLINE, "the function to serve", || dog.get("/").status() == 200);
        await_ready(&dog);
    }
    let pids = lines(&dog, "pids");
    assert_eq!(pids.len(), 3);
    assert!(pids[0] != pids[1] && pids[1] != pids[2]);
    assert!(dog.zombies().is_empty());
    dog.assert_runs();
}

#[test]
fn call_that_comes_during_a_restart_waits() {
    let dog = http_with("--after listen").env("upstream_restart", "true").start();
    super::touch(&dog, "listen");
    await_ready(&dog);
    fs::remove_file(dog.temp_dir().join("listen")).unwrap();
    assert_eq!(dog.call(&Play::new([Step::Exit(1)]).post("x")).status(), 502);
    eventually(DEADLINE, "the next start", || dog.get("/_/ready").status() == 503);
    let mut client = dog.connect();
    client.send(Play::new([Step::Body, Step::Reply]).post("early").to_bytes());
    super::touch(&dog, "listen");
    assert_eq!(client.read_response().text(), "early");
}

#[test]
fn restarts_back_off() {
    let script = "echo start >> $TMPDIR/starts; exit 1";
    let start = Instant::now();
    let dog = http_sh(script).env("upstream_restart", "true").start_unready();
    eventually(DEADLINE, "the fourth start", || lines(&dog, "starts").len() >= 4);
    // 100, 200 and 400 ms; a pause that does not grow would be over before.
    assert!(start.elapsed() >= Duration::from_millis(650), "the pauses do not grow");
    dog.assert_runs();
    assert_eq!(dog.get("/_/ready").status(), 503);
}

#[test]
fn watchdog_stops_while_the_function_is_being_restarted() {
    let mut dog = http_sh("exit 1").env("upstream_restart", "true").start_unready();
    dog.wait_for_log(|log| log.matches("ended").count() + log.matches("exit").count() >= 2);
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(!dog.lock_file().exists());
}

/// of-watchdog #26.
#[test]
fn function_that_goes_to_the_background_is_served() {
    let mut dog = http_with("--daemon").start();
    assert_eq!(dog.get("/").status(), 200);
    eventually(DEADLINE, "the first process to be reaped", || dog.children().is_empty());
    for _ in 0..3 {
        assert_eq!(dog.get("/").status(), 200);
    }
    await_ready(&dog);
    dog.assert_runs();
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
}

#[test]
fn end_of_a_background_function_is_noticed() {
    let mut dog = http_with("--daemon").start();
    await_ready(&dog);
    eventually(DEADLINE, "the first process to be reaped", || dog.children().is_empty());
    let response = dog.call(&Play::new([Step::Body, Step::Exit(0)]).post("x"));
    assert_eq!(response.status(), 502);
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(!dog.lock_file().exists());
}

#[test]
fn background_function_of_the_same_group_ends_with_the_watchdog() {
    let mut dog = http_sh("$UPSTREAM >/dev/null 2>&1 & exit 0").start();
    await_ready(&dog);
    assert_eq!(dog.get("/").status(), 200);
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    eventually(DEADLINE, "the end of the function", || dog.started_processes().is_empty());
}

/// Readiness is what the next call would find.
#[test]
fn function_that_stops_listening_is_unready() {
    let dog = http().start();
    await_ready(&dog);
    let play = Play::new([Step::Body, Step::Unlisten, Step::Reply, Step::Close]);
    assert_eq!(dog.call(&play.post("x")).status(), 200);
    assert_eq!(dog.get("/").status(), 502);
    eventually(DEADLINE, "the function to be unready", || dog.get("/_/ready").status() == 503);
    assert_eq!(dog.get("/").status(), 502);
    assert_eq!(dog.get("/_/health").status(), 200);
}

#[test]
fn calls_wait_while_a_function_that_left_with_0_is_started_again() {
    let dog = http().env("upstream_restart", "true").start();
    await_ready(&dog);
    let response = dog.call(&Play::new([Step::Body, Step::Exit(0)]).post("x"));
    assert_eq!(response.status(), 502);
    // Only calls that come before its end is noticed fail: not all those of two seconds.
    let mut failed = 0;
    while dog.get("/after").status() != 200 {
        failed += 1;
        assert!(failed < 20, "{}", dog.log());
    }
}

#[test]
fn stop_does_not_wait_for_what_becomes_of_a_function_that_left_with_0() {
    let mut dog = http().env("upstream_restart", "true").start();
    await_ready(&dog);
    let response = dog.call(&Play::new([Step::Body, Step::Exit(0)]).post("x"));
    assert_eq!(response.status(), 502);
    eventually(DEADLINE, "the function to be unready", || dog.get("/_/ready").status() == 503);
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(!dog.log().contains("starting it again"), "{}", dog.log());
}

/// of-watchdog #101: the function got its signal first, and the calls in flight were lost.
#[test]
fn stop_finishes_the_call_then_signals_the_function() {
    let script = "$UPSTREAM & trap 'echo > $TMPDIR/termed; kill $!; wait; exit' TERM; wait";
    let mut dog = http_sh(script).env("healthcheck_interval", "200ms").start();
    let mut client = dog.connect();
    let play = Play::new([Step::Body, touch("called"), wait("go"), Step::Reply]);
    client.send(play.post("slow").to_bytes());
    eventually(DEADLINE, "the call", || exists(&dog, "called"));
    dog.terminate();
    eventually(DEADLINE, "the listener to close", || e2e::Client::try_connect(dog.addr()).is_err());
    assert!(!exists(&dog, "termed"), "the function was stopped while a call was in flight");
    super::touch(&dog, "go");
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (200, "slow"));
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(exists(&dog, "termed"), "the function was not asked to stop");
    assert!(dog.started_processes().is_empty());
    assert!(!dog.lock_file().exists());
}

#[test]
fn stop_ends_a_shell_wrapped_function() {
    let mut dog = http_sh("sleep 1000 & $UPSTREAM; true").start();
    assert_eq!(dog.get("/").status(), 200);
    assert!(dog.started_processes().len() >= 3);
    let start = Instant::now();
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(15), "an idle watchdog waited");
    assert!(dog.started_processes().is_empty());
}

#[test]
fn function_that_ignores_the_stop_is_killed() {
    let mut dog = http_sh("trap '' TERM; exec $UPSTREAM").env("grace_period", "200ms").start();
    assert_eq!(dog.get("/").status(), 200);
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
    assert!(dog.started_processes().is_empty());
}

#[test]
fn function_inherits_the_environment() {
    let script = "env > $TMPDIR/env; exec $UPSTREAM";
    let dog = http_sh(script).env("MY_SETTING", "a b=c").start();
    assert_eq!(dog.get("/").status(), 200);
    let environment = fs::read_to_string(dog.temp_dir().join("env")).unwrap();
    assert!(environment.lines().any(|line| line == "MY_SETTING=a b=c"), "{environment}");
    assert!(!environment.contains("Http_"), "{environment}");
}

#[test]
fn input_of_the_function_stays_open() {
    // A server that ends when its input does.
    let mut dog = http_sh("$UPSTREAM & cat > /dev/null; kill $!; exit 9").start();
    assert_eq!(dog.get("/").status(), 200);
    assert_eq!(dog.get("/").status(), 200);
    dog.assert_runs();
    dog.terminate();
    assert_eq!(dog.wait_exit().code(), Some(0));
}

#[test]
fn output_lines_reach_the_log() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        Step::Stdout(b"said on stdout\n".to_vec()),
        Step::Stderr(b"said on stderr\n".to_vec()),
        Step::Reply,
    ]);
    assert_eq!(dog.call(&play.post("x")).status(), 200);
    dog.wait_for_stdout(|text| text.lines().any(|line| line.ends_with("stdout: said on stdout")));
    dog.wait_for_log(|text| text.lines().any(|line| line.ends_with("stderr: said on stderr")));
}

#[test]
fn output_lines_are_bare_without_prefix() {
    let dog = http().env("prefix_logs", "false").start();
    let play = Play::new([Step::Body, Step::Stdout(b"{\"a\":1}\n".to_vec()), Step::Reply]);
    assert_eq!(dog.call(&play.post("x")).status(), 200);
    dog.wait_for_stdout(|text| text.lines().any(|line| line == "{\"a\":1}"));
}

/// of-watchdog #100 and #105: after a line of more than 64 KiB nothing was read any more, and the
/// function blocked.
#[test]
fn long_line_reaches_the_log_and_the_function_goes_on() {
    const SIZE: usize = 300_000;
    let dog = http().start();
    for round in 1..=3 {
        let play = Play::new([Step::Body, Step::LongLine(SIZE), Step::Reply]);
        assert_eq!(dog.call(&play.post("x")).status(), 200);
        // "stdout" and a path may hold an x too, but no thousand of them in a row.
        dog.wait_for_stdout(|text| count_long(text) == round * SIZE);
    }
    let play = Play::new([Step::Stdout(b"still here\n".to_vec()), Step::Reply]);
    assert_eq!(dog.call(&play.get()).status(), 200);
    dog.wait_for_stdout(|text| text.contains("still here"));
}

fn count_long(text: &str) -> usize {
    text.split(|c| c != 'x').map(str::len).filter(|&length| length > 1000).sum()
}

#[test]
fn flood_of_output_does_not_hold_the_function() {
    let script = "(i=0; while [ $i -lt 2000 ]; do \
                  echo 0123456789012345678901234567890123456789012345678901234567890123456789; \
                  i=$((i+1)); done) & exec $UPSTREAM";
    let dog = http_sh(script).start();
    let calls: Vec<u16> = (0..10)
        .map(|_| dog.call(&answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").get()).status())
        .collect();
    assert_eq!(calls, [200; 10]);
    dog.wait_for_stdout(|text| text.matches("0123456789\n").count() == 2000);
}

#[test]
fn calls_in_flight_at_the_death_do_not_hang() {
    let mut dog = http().start();
    let heads_before = heads(&dog).len();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut client = dog.connect();
            client.send(Play::new([Step::Body, Step::Eof]).post("x").to_bytes());
            client
        })
        .collect();
    eventually(DEADLINE, "the calls", || heads(&dog).len() == heads_before + 8);
    let pid = dog.children()[0].pid;
    let killer = thread::spawn(move || kill(pid));
    for mut client in waiting {
        assert_eq!(client.read_response().status(), 502);
    }
    killer.join().unwrap();
    assert_eq!(dog.wait_exit().code(), Some(1));
}
