//! Replicas that nobody reaches: another one is asked, if and only if nothing was sent.

use e2e::{
    Request, Response,
    gateway::{Function, Gateway, Provider},
};

use crate::{gateway, launch};

on_every_provider! {
    call_goes_to_another_replica_when_nothing_was_sent
    call_waits_for_a_lone_replica_that_has_just_died
    call_is_502_when_no_replica_is_left
    call_that_was_sent_is_not_repeated
    call_that_hangs_on_its_replica_is_504_and_not_repeated
}

fn retries(gateway: &Gateway, name: &str) -> f64 {
    let name = format!("{name}.openfaas-fn");
    gateway.metrics().get("gateway_function_retries_total", &[("function_name", &name)]).unwrap()
}

/// Two replicas that were not called yet, so that no connection to them is open.
fn two(gateway: &Gateway, name: &str, function: Function) {
    gateway.deploy(&function.label("com.openfaas.scale.min", "2"));
    gateway.wait_ready(name, 2);
}

/// The gateway's own words.
#[track_caller]
fn assert_own(response: &Response, status: u16, named: &str) {
    let text = response.text();
    assert_eq!(response.status(), status, "{text}");
    assert!(text.contains(named), "{named:?} is not in {text:?}");
    assert_eq!(response.header("X-OpenFaaS-Internal"), Some("gateway"));
    assert!(response.header("X-Call-Id").is_some(), "{response:?}");
}

fn call_goes_to_another_replica_when_nothing_was_sent(provider: Provider) {
    let gateway = gateway(provider);
    two(&gateway, "f", provider.mortal(Function::cat("f")));
    gateway.cut_off("f", 1);
    let large = "x".repeat(300_000);
    for call in 0..6 {
        let request = Request::post("/function/f", &large);
        let request = if call % 2 == 0 {
            request
        } else {
            Request::new("POST", "/function/f").chunked([&large, "end"])
        };
        let response = gateway.call(&request);
        assert_eq!(response.status(), 200, "{}", response.text());
        let expected = if call % 2 == 0 { large.clone() } else { format!("{large}end") };
        assert!(response.text() == expected, "the second replica did not get all of it");
        assert!(response.header("X-OpenFaaS-Internal").is_none());
    }
    // Calls begin at either replica in turn, and nobody took one of them away meanwhile.
    assert_eq!(gateway.status("f")["availableReplicas"], 2);
    let retries = retries(&gateway, "f");
    assert!((2.0..=4.0).contains(&retries), "{retries} of 6 calls were sent to the other replica");
}

fn call_is_502_when_no_replica_is_left(provider: Provider) {
    let gateway = gateway(provider);
    two(&gateway, "f", provider.mortal(Function::cat("f")));
    gateway.cut_off("f", 2);
    assert_own(&gateway.post("/function/f", "x"), 502, "the function at ");
    assert!((retries(&gateway, "f") - 1.0).abs() < 0.1, "{}", retries(&gateway, "f"));
    // One that had only one.
    gateway.run(&provider.mortal(Function::cat("g")));
    gateway.cut_off("g", 1);
    assert_own(&gateway.post("/function/g", "x"), 502, "the function at ");
    let labels = [("code", "502"), ("function_name", "g.openfaas-fn")];
    e2e::eventually(e2e::DEADLINE, "it to be counted", || {
        gateway.metrics().get("gateway_function_invocation_total", &labels) == Some(1.0)
    });
}

fn call_waits_for_a_lone_replica_that_has_just_died(provider: Provider) {
    let gateway = gateway(provider);
    // Each only once: what dies again and again is started less and less often.
    for name in ["f", "g"] {
        gateway.run(&Function::cat(name));
        let before = gateway.replica_pids(name);
        gateway.kill_replicas(name);
        // All of it: until then its socket takes what nobody will read.
        e2e::eventually(e2e::DEADLINE, "it to be dead", || {
            before.iter().all(|pid| e2e::procfs::read(u32::try_from(*pid).unwrap()).is_none())
        });
        let response = gateway.post(&format!("/function/{name}"), "x");
        assert_eq!((response.status(), response.text().as_str()), (200, "x"));
    }
}

/// Counts what it was told to do, and takes its watchdog along.
const DIES: &str = r#"read -r line
if [ "$line" = die ]; then
    echo attempt >> "$TMPDIR/attempts"
    kill -9 $PPID
    sleep 10
fi
echo "$line""#;

fn call_that_was_sent_is_not_repeated(provider: Provider) {
    let gateway = gateway(provider);
    // On a new connection, and on those that calls before it left open.
    for (name, calls) in [("f", 0), ("g", 4)] {
        two(&gateway, name, Function::sh(name, DIES));
        let path = format!("/function/{name}");
        for _ in 0..calls {
            assert_eq!(gateway.post(&path, "live\n").text(), "live\n");
        }
        assert_own(&gateway.post(&path, "die\n"), 502, "the function at ");
        assert_eq!(gateway.written(name, "attempts"), "attempt\n");
        assert!(retries(&gateway, name) < 0.5, "{}", retries(&gateway, name));
    }
}

fn call_that_hangs_on_its_replica_is_504_and_not_repeated(provider: Provider) {
    let gateway = launch(provider).env("upstream_timeout", "400ms").start();
    two(&gateway, "f", Function::sh("f", "echo attempt >> \"$TMPDIR/attempts\"; sleep 60"));
    assert_own(&gateway.post("/function/f", "x"), 504, "400ms");
    assert_eq!(gateway.written("f", "attempts"), "attempt\n");
    assert!(retries(&gateway, "f") < 0.5, "{}", retries(&gateway, "f"));
}
