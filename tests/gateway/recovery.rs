//! Functions die, of whatever: they are started again, and somebody says why.

use std::time::{Duration, Instant};

use e2e::{
    Request,
    gateway::{Function, Provider},
};

use crate::{gateway, launch};

on_every_provider! {
    crashed_function_is_started_again
    killed_replica_is_started_again
    replica_out_of_memory_is_started_again_and_says_why
    replicas_that_died_without_a_gateway_come_back
    function_that_crashes_again_and_again_is_tried_less_often
}

fn crashed_function_is_started_again(provider: Provider) {
    let gateway = gateway(provider);
    // From within: its watchdog goes down with it.
    gateway.run(&Function::sh(
        "f",
        "read -r line; [ \"$line\" = die ] && kill -9 $PPID; echo \"$line\"",
    ));
    for _ in 0..2 {
        let before = gateway.replica_pids("f");
        assert_eq!(before.len(), 1);
        assert_eq!(gateway.post("/function/f", "die\n").status(), 502);
        // Whoever calls now waits, and is answered.
        e2e::eventually(e2e::DEADLINE, "an answer", || {
            let response = gateway.post("/function/f", "live\n");
            assert!([200, 502].contains(&response.status()), "{}", response.text());
            response.text() == "live\n"
        });
        assert_ne!(gateway.replica_pids("f"), before);
    }
}

fn killed_replica_is_started_again(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for _ in 0..2 {
        let before = gateway.replica_pids("f");
        let killed = Instant::now();
        gateway.kill_replicas("f");
        e2e::eventually(e2e::DEADLINE, "another process", || {
            let now = gateway.replica_pids("f");
            now.len() == 1 && now != before
        });
        e2e::eventually(e2e::DEADLINE, "an answer", || {
            gateway.post("/function/f", "x").text() == "x"
        });
        // Not only when everything is looked at again, every ten seconds.
        assert!(killed.elapsed() < Duration::from_secs(8), "{}", gateway.log());
    }
}

fn replica_out_of_memory_is_started_again_and_says_why(provider: Provider) {
    // Everywhere by the same means: a test may have no control groups.
    let gateway = launch(provider).env("control_groups", "false").start();
    let port = e2e::free_port();
    // Until its fourth start it eats more than it has.
    let script = format!(
        "echo start >> \"$TMPDIR/starts\"
         [ $(wc -l < \"$TMPDIR/starts\") -gt 3 ] && exec ./upstream 127.0.0.1:{port}
         exec dd if=/dev/zero of=/dev/null bs=500M count=1"
    );
    let function = Function::sh("f", &script)
        .env("mode", "http")
        .env("http_upstream_url", &format!("http://127.0.0.1:{port}"))
        .set("limits", serde_json::json!({ "memory": "96Mi" }));
    gateway.deploy(&function);
    let mut problems = std::collections::BTreeSet::new();
    let begun = Instant::now();
    loop {
        let status = gateway.status("f");
        problems.extend(status["problem"].as_str().map(str::to_owned));
        if status["availableReplicas"] == 1 {
            break;
        }
        assert!(begun.elapsed() < 2 * e2e::DEADLINE, "{problems:?}\n{:?}", gateway.logs("f", ""));
    }
    assert_eq!(gateway.written("f", "starts").lines().count(), 4);
    let why = match provider {
        Provider::Docker => "out of memory (its limit is 96Mi)",
        // What allocates is told that there is none, and says so.
        Provider::Process => "memory exhausted",
    };
    assert!(problems.iter().any(|problem| problem.contains(why)), "{problems:?}");
    assert_eq!(gateway.get("/function/f").status(), 200);
    e2e::eventually(e2e::DEADLINE, "the problem to be over", || {
        gateway.status("f")["problem"].is_null()
    });
}

fn replicas_that_died_without_a_gateway_come_back(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.signal(rustix::process::Signal::KILL);
    gateway.wait_exit();
    gateway.kill_replicas("f");
    e2e::eventually(e2e::DEADLINE, "everything to be dead", || gateway.running_replicas() == 0);
    let gateway = gateway.killed_and_restarted();
    gateway.wait_ready("f", 1);
    assert_eq!(gateway.call(&Request::post("/function/f", "x")).text(), "x");
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
    if provider == Provider::Process {
        assert_eq!(problem.matches("exit status 1").count(), 1, "{problem}");
        // As often as it dies: of the same.
        assert_eq!(gateway.log().matches("dying").count(), 1, "{}", gateway.log());
    }
    gateway.remove("f");
}
