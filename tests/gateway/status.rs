//! Status and list give back exactly what was deployed, and live counts.

use e2e::gateway::{Function, Provider};
use serde_json::{Value, json};

use crate::gateway;

on_every_provider! {
    status_of_a_function_is_what_was_deployed
    fields_that_nobody_set_stay_away
    invocations_are_counted_where_faas_cli_looks
    usage_is_measured_when_asked_for
}

fn everything(gateway: &e2e::gateway::Gateway) -> Function {
    gateway.keep_secret("key", "v");
    Function::cat("f")
        .env("A", "a=b=c")
        .env("EMPTY", "")
        .env("LANGUAGE", "käse\n\"x\"")
        .set("constraints", json!(["node.platform.os == linux"]))
        .secret("key")
        .set("labels", json!({ "com.openfaas.scale.min": "1", "canary": "yes" }))
        .set("annotations", json!({ "topic": "a,b", "note": "" }))
        .set("limits", json!({ "memory": "256Mi", "cpu": "500m", "nvidia.com/gpu": "1" }))
        .set("requests", json!({ "memory": "5Mi", "cpu": "0.1" }))
}

fn status_of_a_function_is_what_was_deployed(provider: Provider) {
    let gateway = gateway(provider);
    let function = everything(&gateway);
    gateway.run(&function);
    let status = gateway.json("/system/function/f?usage=1");
    let Value::Object(deployed) = function.deployment(&gateway) else { unreachable!() };
    for (name, value) in deployed.iter().filter(|(name, _)| *name != "service") {
        assert_eq!(&status[name], value, "{name}");
    }
    assert_eq!(status["name"], "f");
    assert_eq!(status["namespace"], "openfaas-fn");
    assert_eq!((&status["replicas"], &status["availableReplicas"]), (&json!(1), &json!(1)));
    let created = status["createdAt"].as_str().unwrap();
    assert!(created.ends_with('Z') && created.contains('T'), "{created}");

    let list = gateway.json("/system/functions");
    let [listed] = list.as_array().unwrap().as_slice() else { panic!("{list}") };
    for (name, value) in status.as_object().unwrap().iter().filter(|(name, _)| *name != "usage") {
        assert_eq!(&listed[name], value, "{name}");
    }
}

fn fields_that_nobody_set_stay_away(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::new("f", "cat").set("labels", json!({})));
    let status = gateway.json("/system/function/f");
    let names: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    let mut known = [
        "name",
        "namespace",
        "image",
        "envProcess",
        "labels",
        "invocationCount",
        "replicas",
        "availableReplicas",
        "createdAt",
    ];
    known.sort_unstable();
    assert_eq!(names, known);
    assert_eq!(status["labels"], json!({}));
}

fn invocations_are_counted_where_faas_cli_looks(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for _ in 0..3 {
        assert_eq!(gateway.post("/function/f", "x").status(), 200);
    }
    e2e::eventually(e2e::DEADLINE, "three calls to be counted", || {
        gateway.json("/system/functions")[0]["invocationCount"] == 3
    });
    assert_eq!(gateway.status("f")["invocationCount"], 3);
}

fn usage_is_measured_when_asked_for(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    let usage = gateway.json("/system/function/f?usage=1")["usage"].clone();
    assert!(usage["totalMemoryBytes"].as_f64().unwrap() > 100_000.0, "{usage}");
    assert!(usage["cpu"].as_f64().unwrap() >= 0.0, "{usage}");
    assert!(gateway.json("/system/function/f")["usage"].is_null());
}
