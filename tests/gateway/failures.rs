//! Calls that cannot be answered by the function: what the caller learns, and how soon.

use std::time::{Duration, Instant};

use e2e::{
    Request, Response,
    gateway::{Function, Provider},
    play::{Play, Step, answer, send},
};

use crate::{gateway, launch};

on_every_provider! {
    unknown_function_is_404_with_a_reason
    function_that_breaks_the_connection_is_502_with_a_reason
    late_function_is_504_with_a_reason
    timeout_of_a_function_wins_over_the_gateways
    callers_wait_while_the_first_replica_starts
    function_that_never_starts_is_503_with_a_reason
    function_that_is_not_ready_says_what_is_waited_for
    callers_that_wait_are_bounded
    waiting_callers_learn_that_the_function_went
    request_that_is_none_is_refused
}

/// An answer of the gateway's own, and not the function's.
#[track_caller]
fn assert_own(response: &Response, status: u16, named: &str) {
    let text = response.text();
    assert_eq!(response.status(), status, "{text}");
    assert!(text.contains(named), "{named:?} is not in {text:?}");
    assert!(response.header("X-OpenFaaS-Internal").is_some(), "{response:?}");
    assert!(response.header("X-Call-Id").is_some(), "{response:?}");
}

fn unknown_function_is_404_with_a_reason(provider: Provider) {
    assert_own(&gateway(provider).get("/function/nobody/x?y"), 404, "nobody");
}

fn function_that_breaks_the_connection_is_502_with_a_reason(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    // The watchdog says it, for the function; and goes on.
    let broken =
        gateway.call(&Play::new([Step::Body, Step::Reset]).with(Request::get("/function/f")));
    assert_eq!(broken.status(), 502, "{}", broken.text());
    assert!(!broken.text().is_empty());
    let nonsense = gateway.call(&answer("nonsense\r\n\r\n").with(Request::get("/function/f")));
    assert_eq!(nonsense.status(), 502, "{}", nonsense.text());
    assert_eq!(gateway.get("/function/f").status(), 200);
}

fn late_function_is_504_with_a_reason(provider: Provider) {
    let gateway = launch(provider).env("upstream_timeout", "300ms").start();
    gateway.run(&Function::sh("f", "sleep 60"));
    let begun = Instant::now();
    assert_own(&gateway.get("/function/f"), 504, "");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // What came in time is kept; the rest is cut off, so that it does not look whole.
    gateway.run(&Function::upstream("g"));
    let slow =
        Play::new([send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Step::Pause(60_000)]);
    let response = gateway.call(&slow.with(Request::get("/function/g")));
    assert_eq!((response.status(), response.text().as_str()), (200, "half"));
    assert!(!response.is_complete());
}

fn timeout_of_a_function_wins_over_the_gateways(provider: Provider) {
    let gateway = launch(provider).env("upstream_timeout", "400ms").start();
    gateway.run(
        &Function::sh("patient", "sleep 1; echo done").annotation("dev.kennel.timeout", "30s"),
    );
    gateway.run(&Function::sh("hasty", "sleep 60").annotation("dev.kennel.timeout", "100ms"));
    assert_eq!(gateway.get("/function/patient").text(), "done\n");
    assert_own(&gateway.get("/function/hasty"), 504, "");
}

fn callers_wait_while_the_first_replica_starts(provider: Provider) {
    let gateway = gateway(provider);
    // It listens a second after its start.
    let port = e2e::free_port();
    let slow = Function::sh("f", &format!("sleep 1; exec ./upstream 127.0.0.1:{port}"))
        .env("mode", "http")
        .env("http_upstream_url", &format!("http://127.0.0.1:{port}"));
    gateway.deploy(&slow);
    let response = gateway.get("/function/f/x");
    assert_eq!(response.status(), 200, "{}", response.text());
}

fn never_ready() -> Function {
    Function::sh("f", "sleep 1000")
        .env("mode", "http")
        .env("http_upstream_url", "http://127.0.0.1:1")
}

fn function_that_never_starts_is_503_with_a_reason(provider: Provider) {
    let gateway = launch(provider).env("wait_timeout", "500ms").start();
    gateway.deploy(&never_ready());
    let begun = Instant::now();
    assert_own(&gateway.get("/function/f"), 503, "f.openfaas-fn");
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(gateway.status("f")["availableReplicas"], 0);
}

fn function_that_is_not_ready_says_what_is_waited_for(provider: Provider) {
    let gateway = gateway(provider);
    gateway.deploy(&never_ready());
    e2e::eventually(e2e::DEADLINE, "an explanation", || {
        let status = gateway.status("f");
        let problem = status["problem"].as_str().unwrap_or_default();
        problem.contains("GET /_/ready is answered 503")
            && problem.contains("does it listen at http://127.0.0.1:1?")
    });
    // As after an orderly end, which is no failure of the function's.
    let gateway = gateway.stopped_and_restarted();
    e2e::eventually(e2e::DEADLINE, "the same explanation", || {
        let status = gateway.status("f");
        let problem = status["problem"].as_str().unwrap_or_default();
        assert!(!problem.contains("ended while no gateway ran"), "{problem}");
        problem.contains("GET /_/ready is answered 503")
    });
    gateway.remove("f");
}

fn callers_that_wait_are_bounded(provider: Provider) {
    let gateway = launch(provider).env("wait_timeout", "20s").env("max_waiting", "3").start();
    gateway.deploy(&never_ready());
    let labels = [("function_name", "f.openfaas-fn")];
    let mut waiting = Vec::new();
    for count in 1..=3_u8 {
        let mut client = gateway.connect();
        client.send(Request::get("/function/f").to_bytes());
        waiting.push(client);
        e2e::eventually(e2e::DEADLINE, "one more to wait", || {
            gateway.metrics().get("gateway_function_waiting", &labels) == Some(f64::from(count))
        });
    }
    assert_own(&gateway.get("/function/f"), 503, "3");
    // One that goes away makes room.
    waiting.pop().unwrap().reset();
    e2e::eventually(e2e::DEADLINE, "the place to be free", || {
        gateway.metrics().get("gateway_function_waiting", &labels) == Some(2.0)
    });
}

fn waiting_callers_learn_that_the_function_went(provider: Provider) {
    let gateway = gateway(provider);
    gateway.deploy(&never_ready());
    let mut client = gateway.connect();
    client.send(Request::get("/function/f").to_bytes());
    gateway.remove("f");
    assert_own(&client.read_response(), 404, "f");
}

fn request_that_is_none_is_refused(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for (request, status) in [
        ("GET /function/f HTTP/1.1\r\n\r\n", 400),
        ("GET /function/f HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            "POST /function/f HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            400,
        ),
        (
            "POST /function/f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n", 404),
        ("nonsense\r\n\r\n", 400),
    ] {
        let mut client = gateway.connect();
        client.send(request);
        assert_eq!(client.read_response().status(), status, "{request:?}");
    }
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
}
