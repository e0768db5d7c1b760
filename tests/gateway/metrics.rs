//! The metrics port, with the names that dashboards know.

use e2e::{
    Client, Request,
    gateway::{Function, Provider},
};

use crate::gateway;

on_every_provider! {
    calls_are_counted_by_function_and_status
    replicas_are_counted
    metrics_port_serves_nothing_else
}

fn calls_are_counted_by_function_and_status(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.run(&Function::sh("g", "exit 1"));
    for _ in 0..3 {
        assert_eq!(gateway.post("/function/f", "x").status(), 200);
    }
    assert_eq!(gateway.get("/function/g").status(), 500);
    let _ = gateway.get("/function/none");
    let count = |name: &str, code: &str, function: &str| {
        gateway.metrics().get(name, &[("code", code), ("function_name", function)])
    };
    e2e::eventually(e2e::DEADLINE, "all calls to be counted", || {
        count("gateway_function_invocation_total", "200", "f.openfaas-fn") == Some(3.0)
            && count("gateway_function_invocation_total", "500", "g.openfaas-fn") == Some(1.0)
    });
    assert_eq!(count("gateway_functions_seconds_count", "200", "f.openfaas-fn"), Some(3.0));
    assert!(count("gateway_functions_seconds_sum", "200", "f.openfaas-fn").unwrap() > 0.0);
    let labels = [("function_name", "f.openfaas-fn")];
    let metrics = gateway.metrics();
    assert_eq!(metrics.get("gateway_function_invocation_started", &labels), Some(3.0));
    assert_eq!(metrics.get("gateway_function_invocation_inflight", &labels), Some(0.0));
    // Names that callers make up make no series.
    assert!(!metrics.text.contains("none"), "{}", metrics.text);
    for name in
        ["gateway_functions_seconds", "gateway_function_invocation_total", "gateway_service_count"]
    {
        assert_eq!(metrics.text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
    }
    gateway.remove("f");
    assert!(!gateway.metrics().text.contains("f.openfaas-fn"), "a removed function is still there");
}

fn replicas_are_counted(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.scale("f", 3);
    gateway.wait_ready("f", 3);
    let labels = [("function_name", "f.openfaas-fn")];
    let metrics = gateway.metrics();
    for (name, value) in [
        ("gateway_service_count", 3.0),
        ("gateway_service_ready_count", 3.0),
        ("gateway_function_waiting", 0.0),
        ("gateway_function_retries_total", 0.0),
    ] {
        assert_eq!(metrics.get(name, &labels), Some(value), "{name}");
    }
}

fn metrics_port_serves_nothing_else(provider: Provider) {
    let gateway = gateway(provider);
    let get = |path: &str| Client::connect(gateway.metrics_addr()).call(&Request::get(path));
    let health = get("/healthz");
    assert_eq!((health.status(), health.text().as_str()), (200, "OK"));
    for path in ["/", "/system/functions", "/function/f"] {
        assert_eq!(get(path).status(), 404, "{path}");
    }
    assert_eq!(gateway.get("/metrics").status(), 404);
}
