//! The engine goes away and comes back, or says nothing, beneath a gateway that stays.

use std::{
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Request,
    gateway::{Engine, Function, Provider},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{door::Door, launch};

on_docker! {
    engine_that_restarts_is_survived
    start_that_waits_for_a_silent_engine_obeys_a_signal
    usage_that_a_silent_engine_does_not_tell_is_left_out
}

fn engine_that_restarts_is_survived(provider: Provider) {
    let Some(mut engine) = Engine::start("kennel-e2e/function:latest") else { return };
    let gateway = launch(provider).env("docker_host", &engine.host()).start();
    gateway.run(&Function::cat("f").env("A", "1"));
    gateway.run(&Function::cat("asleep"));
    gateway.scale("asleep", 0);
    gateway.wait_ready("asleep", 0);
    // In order: its containers end with it. Killed: whatever becomes of them.
    for signal in [Signal::TERM, Signal::KILL] {
        assert_eq!(gateway.post("/function/f", "before").text(), "before");
        engine.end(signal);
        // What it knows it still tells; what it cannot do it says.
        assert_eq!(gateway.status("f")["envVars"]["A"], "1");
        let refused = gateway.try_deploy(&Function::cat("g"));
        assert_eq!(refused.status(), 503, "{}", refused.text());
        assert!(refused.text().contains("/s"), "the socket is not named: {}", refused.text());
        engine.start_again();
        e2e::eventually(3 * e2e::DEADLINE, "the function to answer again", || {
            let response = gateway.post("/function/f", "after");
            assert!([200, 502, 503].contains(&response.status()), "{}", response.text());
            response.text() == "after"
        });
        e2e::eventually(3 * e2e::DEADLINE, "a deployment", || {
            gateway.try_deploy(&Function::cat("g")).status() == 202
        });
        assert_eq!(gateway.post("/function/g", "new").text(), "new");
        gateway.remove("g");
        assert_eq!(gateway.status("asleep")["replicas"], 0);
    }
    assert_eq!(gateway.post("/function/asleep", "awake").text(), "awake");
    // Its events are heard again: what dies comes back.
    gateway.run(&Function::sh(
        "dies",
        "read -r line; [ \"$line\" = die ] && kill -9 $PPID; echo \"$line\"",
    ));
    assert_eq!(gateway.post("/function/dies", "die\n").status(), 502);
    e2e::eventually(e2e::DEADLINE, "an answer", || {
        gateway.call(&Request::post("/function/dies", "live\n")).text() == "live\n"
    });
    // Before the engine that has its containers.
    drop(gateway);
}

fn start_that_waits_for_a_silent_engine_obeys_a_signal(provider: Provider) {
    let launch = launch(provider);
    let door = Door::open(launch.temp_dir());
    door.shut(true);
    let launch = launch.env("docker_host", &door.host());
    thread::scope(|scope| {
        let ended = scope.spawn(|| launch.spawn_expecting_exit());
        e2e::eventually(e2e::DEADLINE, "a question", || door.waiting() > 0);
        let home = format!("HOME={}", launch.temp_dir().display());
        for process in e2e::procfs::with_environment(&home) {
            let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
        }
        // Sooner than it gives up by itself.
        let ended = ended.join().unwrap();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("SIGTERM"), "{}", ended.stderr);
    });
    door.shut(false);
}

fn usage_that_a_silent_engine_does_not_tell_is_left_out(provider: Provider) {
    let launch = launch(provider);
    let door = Door::open(launch.temp_dir());
    let gateway = launch.env("docker_host", &door.host()).start();
    gateway.run(&Function::cat("f"));
    door.shut(true);
    let begun = Instant::now();
    let status = gateway.json("/system/function/f?usage=1");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(status["usage"].is_null(), "{status}");
    assert_eq!(status["availableReplicas"], 1);
    door.shut(false);
    e2e::eventually(e2e::DEADLINE, "its usage", || {
        gateway.status("f")["usage"]["totalMemoryBytes"].as_f64().is_some_and(|bytes| bytes > 0.0)
    });
}
