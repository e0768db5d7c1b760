//! Numbers of replicas: up, down, to none and back.

use std::thread;

use e2e::{
    Request,
    gateway::{Function, Gateway, Load, Provider},
};

use crate::gateway;

on_every_provider! {
    replicas_come_and_go
    function_without_replicas_wakes_when_it_is_called
    many_callers_wake_a_function_once
    idle_function_loses_its_last_replica_and_wakes
    scaling_down_under_load_loses_no_call
}

fn replicas_come_and_go(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for replicas in [3, 1, 5, 2] {
        gateway.scale("f", replicas);
        gateway.wait_ready("f", replicas.into());
        assert_eq!(gateway.status("f")["replicas"], replicas);
        assert_eq!(gateway.post("/function/f", "x").text(), "x");
    }
    // Those that went are gone.
    e2e::eventually(e2e::DEADLINE, "two to be left", || gateway.running_replicas() == 2);
}

fn function_without_replicas_wakes_when_it_is_called(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("A", "1"));
    gateway.scale("f", 0);
    gateway.wait_ready("f", 0);
    let status = gateway.status("f");
    assert_eq!((&status["replicas"], &status["envVars"]["A"]), (&0.into(), &"1".into()));
    e2e::eventually(e2e::DEADLINE, "its processes to end", || gateway.running_replicas() == 0);
    let response = gateway.post("/function/f", "wake");
    assert_eq!((response.status(), response.text().as_str()), (200, "wake"));
    assert_eq!(gateway.status("f")["availableReplicas"], 1);
    // Asleep, it is still known after a restart.
    gateway.scale("f", 0);
    e2e::eventually(e2e::DEADLINE, "its processes to end once more", || {
        gateway.running_replicas() == 0
    });
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.status("f")["replicas"], 0);
    assert_eq!(gateway.post("/function/f", "again").text(), "again");
}

fn many_callers_wake_a_function_once(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.scale("f", 0);
    gateway.wait_ready("f", 0);
    let addr = gateway.addr();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            thread::spawn(move || {
                e2e::Client::connect(addr).call(&Request::post("/function/f", "x")).status()
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), 200);
    }
    assert_eq!(gateway.status("f")["replicas"], 1);
}

fn idle(name: &str) -> Function {
    Function::cat(name)
        .label("com.openfaas.scale.zero", "true")
        .label("com.openfaas.scale.zero-duration", "1s")
}

fn asleep(gateway: &Gateway, name: &str) {
    e2e::eventually(2 * e2e::DEADLINE, "it to fall asleep", || {
        gateway.status(name)["availableReplicas"] == 0
    });
}

fn idle_function_loses_its_last_replica_and_wakes(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&idle("f"));
    gateway.run(&Function::cat("g"));
    asleep(&gateway, "f");
    assert_eq!(gateway.status("g")["availableReplicas"], 1);
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
    asleep(&gateway, "f");
}

fn scaling_down_under_load_loses_no_call(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.scale("f", 4);
    gateway.wait_ready("f", 4);
    let load =
        Load::start(gateway.addr(), &Request::post("/function/f", "x"), 4, |text| text == "x");
    load.wait_for(50);
    for replicas in [1, 3, 0] {
        gateway.scale("f", replicas);
        load.wait_for(50);
    }
    let (calls, failures) = load.stop();
    assert!(
        failures.is_empty(),
        "{} of {calls} failed: {:?}\n{}",
        failures.len(),
        failures[0],
        gateway.log()
    );
}
