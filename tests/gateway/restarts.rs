//! The gateway dies: nothing is lost.

use std::time::Duration;

use e2e::{
    Request,
    gateway::{Function, Load, Provider},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::gateway;

on_every_provider! {
    killed_gateway_finds_every_function_again_under_load
    stopped_gateway_finds_every_function_again
    functions_go_on_while_there_is_no_gateway
    gateway_killed_at_any_moment_leaves_nothing_half_done
    acknowledged_scale_outlives_a_gateway_that_is_killed
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
    assert_eq!(pids.len(), 3);
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
    e2e::eventually(e2e::DEADLINE, "all of it to be gone", || gateway.replicas_left() == 0);
}

fn functions_go_on_while_there_is_no_gateway(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    let pids = gateway.replica_pids("f");
    gateway.signal(Signal::KILL);
    gateway.wait_exit();
    assert_eq!(pids.len(), 1);
    assert_eq!((gateway.replica_pids("f"), gateway.running_replicas()), (pids.clone(), 1));
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
    e2e::eventually(e2e::DEADLINE, "all of it to be gone", || gateway.replicas_left() == 0);
}

fn acknowledged_scale_outlives_a_gateway_that_is_killed(provider: Provider) {
    let gateway = gateway(provider);
    gateway.deploy(
        &Function::sh("f", "read -r time; sleep $time").label("com.openfaas.scale.min", "3"),
    );
    gateway.wait_ready("f", 3);
    let under_way = |gateway: &e2e::gateway::Gateway, calls: f64| {
        let labels = [("function_name", "f.openfaas-fn")];
        e2e::eventually(e2e::DEADLINE, "the call to be under way", || {
            gateway.metrics().get("gateway_function_invocation_inflight", &labels) == Some(calls)
        });
    };
    // A call on each replica keeps it from ending.
    let mut calls: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    for (call, count) in calls.iter_mut().zip([1.0, 2.0, 3.0]) {
        call.send(Request::post("/function/f", "60\n").to_bytes());
        under_way(&gateway, count);
    }
    gateway.scale("f", 2);
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.status("f")["replicas"], 2);
    gateway.wait_ready("f", 2);
    let mut call = gateway.connect();
    call.send(Request::post("/function/f", "60\n").to_bytes());
    under_way(&gateway, 1.0);
    gateway.scale("f", 0);
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.status("f")["replicas"], 0);
    e2e::eventually(e2e::DEADLINE, "its replicas to end", || gateway.running_replicas() == 0);
    assert_eq!(gateway.post("/function/f", "0\n").status(), 200);
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
