//! Removal: it waits for every call under way, also where its replica was on its way out before.

use std::time::{Duration, Instant};

use e2e::{
    Client, End, Request,
    gateway::{Function, Gateway, Provider},
};

use crate::gateway;

on_every_provider! {
    removal_waits_for_calls_of_replicas_that_left_before
    removal_during_an_update_waits_for_calls_of_both_versions
    update_waits_for_calls_of_a_replica_that_is_being_parked
    removal_during_a_change_leaves_nothing
    removal_that_waits_outlives_a_gateway_that_is_killed
}

fn version(number: u32) -> Function {
    Function::sh("f", &format!("echo begun; cat; echo version {number}"))
        .env("mode", "streaming")
        .env("VERSION", &number.to_string())
}

#[track_caller]
fn update(gateway: &Gateway, function: &Function) {
    let response = gateway.try_update(function);
    assert_eq!(response.status(), 202, "{}\n{}", response.text(), gateway.log());
}

/// A call that is under way until it is ended.
#[track_caller]
fn call(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send(Request::new("POST", "/function/f").chunked(["x"]).head_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk_data(), b"begun\n");
    client
}

/// Ends it, and looks whether it comes to what it should.
#[track_caller]
fn end(gateway: &Gateway, mut call: Client, version: u32) {
    call.send("3\r\nend\r\n0\r\n\r\n");
    let (rest, end) = call.read_body();
    let expected = format!("endversion {version}\n");
    let rest = String::from_utf8_lossy(&rest);
    assert_eq!((rest.as_ref(), end), (expected.as_str(), End::Complete), "{}", gateway.log());
}

/// Asks for the end of the function without waiting for the answer. Returns when another one was
/// made, started and called since: no replica takes longer to be ended.
#[track_caller]
fn begin_removal(gateway: &Gateway) -> Client {
    let removing = gateway.begin_removal("f");
    make_another(gateway);
    removing
}

#[track_caller]
fn make_another(gateway: &Gateway) {
    gateway.run(&Function::cat("other"));
    assert_eq!(gateway.post("/function/other", "x").text(), "x");
    gateway.remove("other");
}

fn removal_waits_for_calls_of_replicas_that_left_before(provider: Provider) {
    /// What happened to the function just before.
    type Before = fn(&Gateway);
    let gateway = gateway(provider);
    let befores: [Before; 5] = [
        |gateway| update(gateway, &version(2)),
        |gateway| gateway.scale("f", 0),
        |gateway| {
            gateway.scale("f", 0);
            gateway.scale("f", 1);
        },
        |gateway| (2..5).for_each(|number| update(gateway, &version(number))),
        |gateway| {
            for replicas in [0, 1, 0] {
                gateway.scale("f", replicas);
            }
            update(gateway, &version(2));
        },
    ];
    for before in befores {
        gateway.run(&version(1));
        let calls = [call(&gateway), call(&gateway)];
        before(&gateway);
        let mut removing = begin_removal(&gateway);
        let again = gateway.try_deploy(&version(1));
        assert_eq!(again.status(), 409, "{}", again.text());
        for call in calls {
            end(&gateway, call, 1);
        }
        assert_eq!(removing.read_response().status(), 202);
        assert_eq!(gateway.get("/function/f").status(), 404);
        assert_eq!(gateway.replicas_left(), 0);
    }
}

fn removal_during_an_update_waits_for_calls_of_both_versions(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1));
    let first = call(&gateway);
    update(&gateway, &version(2));
    let second = call(&gateway);
    update(&gateway, &version(3));
    let third = call(&gateway);
    let mut removing = begin_removal(&gateway);
    for (number, call) in [(1, first), (2, second), (3, third)] {
        end(&gateway, call, number);
    }
    assert_eq!(removing.read_response().status(), 202);
    assert_eq!(gateway.replicas_left(), 0);
}

fn update_waits_for_calls_of_a_replica_that_is_being_parked(provider: Provider) {
    let gateway = gateway(provider);
    // Its watchdog is not patient with calls when it is asked to end.
    gateway.run(&version(1).env("write_timeout", "100ms"));
    let call = call(&gateway);
    gateway.scale("f", 0);
    update(&gateway, &version(2));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        make_another(&gateway);
    }
    end(&gateway, call, 1);
    assert_eq!(gateway.status("f")["envVars"]["VERSION"], "2");
    e2e::eventually(e2e::DEADLINE, "the old one to be gone", || gateway.replicas_left() == 1);
}

fn removal_during_a_change_leaves_nothing(provider: Provider) {
    let gateway = gateway(provider);
    let (times, step) = if provider == Provider::Docker { (3, 200) } else { (8, 10) };
    for pause in (0..times).map(|n| n * Duration::from_millis(step)) {
        let deployment = version(1).label("com.openfaas.scale.min", "3").deployment(&gateway);
        for method in ["POST", "PUT"] {
            if method == "PUT" {
                gateway.run(&version(1));
            }
            let change = Request::new(method, "/system/functions")
                .header("Authorization", gateway.authorization().unwrap())
                .body(deployment.to_string());
            let mut changing = gateway.connect();
            changing.send(change.to_bytes());
            e2e::eventually(e2e::DEADLINE, "the function to be there", || {
                gateway.system(Request::get("/system/function/f")).status() == 200
            });
            // At another step each time.
            std::thread::sleep(pause);
            gateway.remove("f");
            assert!([202, 409].contains(&changing.read_response().status()));
            make_another(&gateway);
            assert_eq!(gateway.get("/function/f").status(), 404, "{method} {pause:?}");
            assert_eq!(gateway.replicas_left(), 0, "{method} {pause:?}");
        }
    }
}

fn removal_that_waits_outlives_a_gateway_that_is_killed(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1));
    let _call = call(&gateway);
    update(&gateway, &version(2));
    let _removing = begin_removal(&gateway);
    let gateway = gateway.killed_and_restarted();
    e2e::eventually(e2e::DEADLINE, "it to be gone", || {
        gateway.system(Request::get("/system/function/f")).status() == 404
    });
    e2e::eventually(e2e::DEADLINE, "its replicas to end", || gateway.replicas_left() == 0);
    gateway.run(&version(1));
}
