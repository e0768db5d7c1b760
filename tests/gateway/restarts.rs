//! The gateway dies, functions die: nothing is lost.

use std::time::Duration;

use e2e::{
    Request,
    gateway::{Function, Load, Provider},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::gateway;

on_every_provider! {
    killed_gateway_finds_every_function_again_under_load
    stopped_gateway_finds_every_function_again
    functions_go_on_while_there_is_no_gateway
    gateway_killed_at_any_moment_leaves_nothing_half_done
    crashed_function_is_started_again
    function_that_crashes_again_and_again_is_tried_less_often
    replicas_that_died_without_a_gateway_come_back
    second_gateway_with_the_same_data_is_refused
}

fn killed_gateway_finds_every_function_again_under_load(provider: Provider) {
    let gateway = gateway(provider);
    gateway.make_namespace("other");
    for name in ["a", "b"] {
        gateway.run(&Function::cat(name).env("NAME", name).label("l", name));
        gateway.run(&Function::cat(name).namespace("other"));
    }
    gateway.scale("b", 3);
    gateway.wait_ready("b", 3);
    let listed = |gateway: &e2e::gateway::Gateway| -> Vec<Value> {
        let namespaces = ["openfaas-fn", "other"];
        let lists =
            namespaces.map(|name| gateway.json(&format!("/system/functions?namespace={name}")));
        let mut all: Vec<_> =
            lists.iter().flat_map(|list| list.as_array().unwrap().clone()).collect();
        for one in &mut all {
            one.as_object_mut().unwrap().remove("invocationCount");
        }
        all
    };
    let before = listed(&gateway);
    let pids = gateway.replica_pids("b");
    let load =
        Load::start(gateway.addr(), &Request::post("/function/b", "x"), 4, |text| text == "x");
    load.wait_for(50);
    let gateway = gateway.killed_and_restarted();
    let _ = load.stop();
    for (name, replicas) in [("a", 1), ("b", 3), ("a.other", 1), ("b.other", 1)] {
        gateway.wait_ready(name, replicas);
        assert_eq!(gateway.post(&format!("/function/{name}"), "x").text(), "x");
    }
    assert_eq!(listed(&gateway), before);
    assert_eq!(gateway.replica_pids("b"), pids, "replicas were started anew");
}

fn stopped_gateway_finds_every_function_again(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.run(&Function::cat("asleep"));
    gateway.scale("asleep", 0);
    gateway.wait_ready("asleep", 0);
    let gateway = gateway.stopped_and_restarted();
    gateway.wait_ready("f", 1);
    assert_eq!(gateway.status("asleep")["replicas"], 0);
    for name in ["f", "asleep"] {
        assert_eq!(gateway.post(&format!("/function/{name}"), "x").text(), "x");
    }
    gateway.remove("asleep");
    // It can be changed and removed as before.
    gateway.scale("f", 2);
    gateway.wait_ready("f", 2);
    gateway.remove("f");
    e2e::eventually(e2e::DEADLINE, "all of it to be gone", || {
        gateway.started_processes().is_empty()
    });
}

fn functions_go_on_while_there_is_no_gateway(provider: Provider) {
    if provider == Provider::Docker {
        return;
    }
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    let pids = gateway.replica_pids("f");
    gateway.signal(Signal::KILL);
    gateway.wait_exit();
    let left: Vec<_> = gateway.started_processes().iter().map(|one| i64::from(one.pid)).collect();
    assert_eq!(left, pids);
    let gateway = gateway.killed_and_restarted();
    gateway.wait_ready("f", 1);
    assert_eq!(gateway.replica_pids("f"), pids);
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
}

fn gateway_killed_at_any_moment_leaves_nothing_half_done(provider: Provider) {
    let mut gateway = gateway(provider);
    for round in 0..8_u64 {
        let name = format!("f{round}");
        let deployment = Function::cat(&name).deployment(&gateway).to_string();
        let request = Request::post("/system/functions", deployment)
            .header("Authorization", gateway.authorization().unwrap());
        let mut client = gateway.connect();
        client.send(request.to_bytes());
        // Another moment each time.
        std::thread::sleep(Duration::from_millis(round * 5));
        gateway = gateway.killed_and_restarted();
        let path = format!("/system/function/{name}");
        match gateway.system(Request::get(&path)).status() {
            // It is there, and works.
            200 => assert_eq!(gateway.post(&format!("/function/{name}"), "x").text(), "x"),
            // It is not, and can be deployed.
            404 => gateway.run(&Function::cat(&name)),
            other => panic!("{other}"),
        }
        gateway.remove(&name);
    }
    e2e::eventually(e2e::DEADLINE, "all of it to be gone", || {
        gateway.started_processes().is_empty()
    });
}

/// Kills what runs the function, as a crash would.
fn crash(gateway: &e2e::gateway::Gateway, name: &str) {
    for pid in gateway.replica_pids(name) {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn crashed_function_is_started_again(provider: Provider) {
    if provider == Provider::Docker {
        // Killing a container is a suite of its own.
        return;
    }
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for _ in 0..2 {
        let before = gateway.replica_pids("f");
        crash(&gateway, "f");
        // Whoever calls now waits, and is answered.
        let response = gateway.post("/function/f", "x");
        assert!([200, 502].contains(&response.status()), "{}", response.text());
        e2e::eventually(e2e::DEADLINE, "another process", || {
            let now = gateway.replica_pids("f");
            now.len() == 1 && now != before
        });
        gateway.wait_ready("f", 1);
        assert_eq!(gateway.post("/function/f", "x").text(), "x");
    }
}

fn function_that_crashes_again_and_again_is_tried_less_often(provider: Provider) {
    let gateway = gateway(provider);
    let dies = Function::sh("f", "echo dying >&2; exit 1")
        .env("mode", "http")
        .env("http_upstream_url", "http://127.0.0.1:1");
    gateway.deploy(&dies);
    let starts = || {
        gateway
            .logs("f", "")
            .iter()
            .filter(|line| line["text"].as_str().unwrap().ends_with("dying"))
            .count()
    };
    e2e::eventually(e2e::DEADLINE, "three starts", || starts() >= 3);
    let before = starts();
    std::thread::sleep(Duration::from_secs(2));
    let more = starts() - before;
    assert!(more <= 4, "{more} starts in 2 s");
    assert_eq!(gateway.status("f")["availableReplicas"], 0);
    let problem = gateway.status("f")["problem"].as_str().unwrap_or_default().to_owned();
    assert!(!problem.is_empty(), "nobody learns why: {}", gateway.status("f"));
    gateway.remove("f");
}

fn replicas_that_died_without_a_gateway_come_back(provider: Provider) {
    if provider == Provider::Docker {
        return;
    }
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.signal(Signal::KILL);
    gateway.wait_exit();
    crash(&gateway, "f");
    e2e::eventually(e2e::DEADLINE, "everything to be dead", || {
        gateway.started_processes().is_empty()
    });
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
    gateway.wait_ready("f", 1);
}

fn second_gateway_with_the_same_data_is_refused(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    let data = gateway.data().display().to_string();
    let second = crate::launch(provider).env("data_dir", &data);
    let ended = second.spawn_expecting_exit();
    assert_ne!(ended.code(), Some(0));
    assert!(
        ended.stderr.contains("another gateway") && ended.stderr.contains(&data),
        "{}",
        ended.stderr
    );
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
}
