//! The engine goes away and comes back, beneath a gateway that stays.

use e2e::{
    Request,
    gateway::{Engine, Function, Provider},
};
use rustix::process::Signal;

use crate::launch;

on_docker! {
    engine_that_restarts_is_survived
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
