//! Updates: no call is lost, and what fails changes nothing.

use std::thread;

use e2e::{
    Request,
    gateway::{Function, Load, Provider},
};

use crate::gateway;

on_every_provider! {
    update_replaces_the_function
    rolling_update_under_load_loses_no_call
    failed_update_leaves_the_old_version_serving_and_says_why
    update_that_cannot_be_is_refused_and_changes_nothing
    two_updates_at_once_leave_one_of_them
    two_deployments_at_once_make_one_function
    removal_during_an_update_leaves_nothing
    calls_under_way_end_on_the_version_they_began_with
}

fn version(number: u32) -> Function {
    Function::sh("f", &format!("echo version {number}")).env("VERSION", &number.to_string())
}

#[track_caller]
fn update(gateway: &e2e::gateway::Gateway, function: &Function) {
    let response = gateway.try_update(function);
    assert_eq!(response.status(), 202, "{}\n{}", response.text(), gateway.log());
}

fn update_replaces_the_function(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1).label("old", "1"));
    let created = gateway.status("f")["createdAt"].clone();
    update(&gateway, &version(2));
    assert_eq!(gateway.get("/function/f").text(), "version 2\n");
    let status = gateway.status("f");
    assert_eq!(
        (&status["envVars"]["VERSION"], &status["availableReplicas"]),
        (&"2".into(), &1.into())
    );
    assert!(status["labels"].is_null(), "{status}");
    assert_ne!(status["createdAt"], created);
    // The same once more is no mistake.
    update(&gateway, &version(2));
    assert_eq!(gateway.get("/function/f").text(), "version 2\n");
}

fn rolling_update_under_load_loses_no_call(provider: Provider) {
    let gateway = gateway(provider);
    gateway.deploy(&version(1).label("com.openfaas.scale.min", "2"));
    gateway.wait_ready("f", 2);
    let load = Load::start(gateway.addr(), &Request::get("/function/f"), 4, |text| {
        text.starts_with("version ")
    });
    load.wait_for(50);
    for number in 2..5 {
        update(&gateway, &version(number).label("com.openfaas.scale.min", "2"));
        assert_eq!(gateway.get("/function/f").text(), format!("version {number}\n"));
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
    gateway.wait_ready("f", 2);
}

fn failed_update_leaves_the_old_version_serving_and_says_why(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1));
    let load =
        Load::start(gateway.addr(), &Request::get("/function/f"), 2, |text| text == "version 1\n");
    let broken = Function::sh("f", "echo the wheel came off >&2; exit 3")
        .env("mode", "http")
        .env("http_upstream_url", "http://127.0.0.1:1");
    let refused = gateway.try_update(&broken);
    assert!(refused.status() >= 400, "{}", refused.status());
    assert!(refused.text().contains("the wheel came off"), "{}", refused.text());
    load.wait_for(20);
    let (_, failures) = load.stop();
    assert!(failures.is_empty(), "{:?}", failures[0]);
    let status = gateway.status("f");
    assert_eq!(
        (&status["envVars"]["VERSION"], &status["availableReplicas"]),
        (&"1".into(), &1.into())
    );
    // And after a restart.
    let gateway = gateway.killed_and_restarted();
    gateway.wait_ready("f", 1);
    assert_eq!(gateway.get("/function/f").text(), "version 1\n");
    // The next one is as good as any.
    update(&gateway, &version(2));
    assert_eq!(gateway.get("/function/f").text(), "version 2\n");
}

fn update_that_cannot_be_is_refused_and_changes_nothing(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1));
    for function in [
        version(2).secret("missing"),
        version(2).set("image", "/nowhere/at/all:no".into()),
        version(2).env("exec_timeout", "soon").env("mode", "no-such-mode"),
        version(2).set("limits", serde_json::json!({ "memory": "x" })),
    ] {
        let response = gateway.try_update(&function);
        assert!(
            (400..600).contains(&response.status()) && response.status() != 404,
            "{}: {}",
            response.status(),
            response.text()
        );
        assert!(!response.text().trim().is_empty());
        assert_eq!(gateway.status("f")["envVars"]["VERSION"], "1");
        assert_eq!(gateway.get("/function/f").text(), "version 1\n");
    }
}

fn two_updates_at_once_leave_one_of_them(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1));
    let load = Load::start(gateway.addr(), &Request::get("/function/f"), 2, |text| {
        text.starts_with("version")
    });
    let statuses: Vec<_> = thread::scope(|scope| {
        let updates: Vec<_> = (2..6)
            .map(|number| {
                let gateway = &gateway;
                scope.spawn(move || gateway.try_update(&version(number)).status())
            })
            .collect();
        updates.into_iter().map(|update| update.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| [202, 409, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&202), "{statuses:?}");
    load.wait_for(10);
    let (_, failures) = load.stop();
    assert!(failures.is_empty(), "{:?}", failures[0]);
    let status = gateway.status("f");
    let serving = status["envVars"]["VERSION"].as_str().unwrap();
    assert_eq!(gateway.get("/function/f").text(), format!("version {serving}\n"));
    assert_eq!(status["availableReplicas"], 1);
}

fn two_deployments_at_once_make_one_function(provider: Provider) {
    let gateway = gateway(provider);
    let mut statuses: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (1..5)
            .map(|number| {
                let gateway = &gateway;
                scope.spawn(move || gateway.try_deploy(&version(number)).status())
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409, 409, 409]);
    gateway.wait_ready("f", 1);
    let serving = gateway.status("f")["envVars"]["VERSION"].as_str().unwrap().to_owned();
    assert_eq!(gateway.get("/function/f").text(), format!("version {serving}\n"));
    assert_eq!(gateway.json("/system/functions").as_array().unwrap().len(), 1);
}

fn removal_during_an_update_leaves_nothing(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&version(1));
    let never = Function::sh("f", "sleep 1000")
        .env("mode", "http")
        .env("http_upstream_url", "http://127.0.0.1:1");
    thread::scope(|scope| {
        let updating = scope.spawn(|| gateway.try_update(&never).status());
        // The new version has started, and is not ready.
        e2e::eventually(e2e::DEADLINE, "the new version to start", || {
            provider == Provider::Docker || gateway.replica_pids("f").len() == 2
        });
        gateway.remove("f");
        assert!(updating.join().unwrap() >= 400);
    });
    assert_eq!(gateway.get("/function/f").status(), 404);
    e2e::eventually(e2e::DEADLINE, "everything to be gone", || {
        gateway.started_processes().is_empty()
    });
    gateway.run(&version(2));
    assert_eq!(gateway.get("/function/f").text(), "version 2\n");
}

fn calls_under_way_end_on_the_version_they_began_with(provider: Provider) {
    let gateway = gateway(provider);
    let slow = |number: u32| {
        Function::sh("f", &format!("echo begun; cat; echo version {number}"))
            .env("mode", "streaming")
    };
    gateway.run(&slow(1));
    let mut client = gateway.connect();
    client.send(Request::new("POST", "/function/f").chunked(["x"]).head_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk_data(), b"begun\n");
    update(&gateway, &slow(2));
    assert_eq!(gateway.post("/function/f", "").text(), "begun\nversion 2\n");
    client.send("3\r\nend\r\n0\r\n\r\n");
    let (rest, end) = client.read_body();
    assert_eq!(
        (String::from_utf8_lossy(&rest).as_ref(), end),
        ("endversion 1\n", e2e::End::Complete)
    );
}
