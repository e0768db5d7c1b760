//! Fields of requests that have the wrong type: each is refused by its name, and nothing is done.

use e2e::gateway::{Function, Provider};
use serde_json::{Value, json};

use crate::gateway;

on_every_provider! {
    fields_of_the_wrong_type_are_refused_by_name
}

fn fields_of_the_wrong_type_are_refused_by_name(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    gateway.make_namespace("n");
    let deployment =
        |name: &str, value: Value| Function::cat("g").set(name, value).deployment(&gateway);
    let mut rows: Vec<(&str, &str, Value, &str)> = Vec::new();
    for method in ["POST", "PUT"] {
        for (name, value, named) in [
            ("service", json!(7), "service"),
            ("image", json!({}), "image"),
            ("namespace", json!(["n"]), "namespace"),
            ("envProcess", json!(1), "envProcess"),
            ("envVars", json!(["A"]), "envVars"),
            ("envVars", json!({ "GOOD": "1", "BAD": 1 }), "envVars.BAD"),
            ("constraints", json!("x"), "constraints"),
            ("secrets", json!("s"), "secrets"),
            ("secrets", json!(["s", null]), "secrets[1]"),
            ("labels", json!({ "l": true }), "labels.l"),
            ("annotations", json!({ "a": 1.5 }), "annotations.a"),
            ("limits", json!("64Mi"), "limits"),
            ("limits", json!({ "memory": 64 }), "limits.memory"),
            ("requests", json!({ "cpu": 1 }), "requests.cpu"),
            ("requests", json!({ "nvidia.com/gpu": 1 }), "requests.nvidia.com/gpu"),
            ("readOnlyRootFilesystem", json!("yes"), "readOnlyRootFilesystem"),
        ] {
            rows.push((method, "/system/functions", deployment(name, value), named));
        }
    }
    for (name, value) in
        [("serviceName", json!(1)), ("replicas", json!("2")), ("namespace", json!(1))]
    {
        let mut body = json!({ "serviceName": "f", "replicas": 2 });
        body[name] = value;
        rows.push(("POST", "/system/scale-function/f", body, name));
    }
    for method in ["POST", "PUT", "DELETE"] {
        for name in ["name", "namespace", "value", "rawValue"] {
            let mut body = json!({ "name": "s", "value": "v" });
            body[name] = json!(7);
            rows.push((method, "/system/secrets", body, name));
        }
    }
    for (method, path) in [("POST", "/system/namespace/"), ("PUT", "/system/namespace/n")] {
        rows.push((method, path, json!({ "name": 7 }), "name"));
        rows.push((method, path, json!({ "name": "n", "labels": { "a": 1 } }), "labels.a"));
        rows.push((method, path, json!({ "name": "n", "annotations": [] }), "annotations"));
    }
    for (name, value) in [("functionName", json!(["f"])), ("namespace", json!(7))] {
        let mut body = json!({ "functionName": "f" });
        body[name] = value;
        rows.push(("DELETE", "/system/functions", body, name));
    }
    rows.push((
        "POST",
        "/system/alert",
        json!({ "alerts": [{ "status": 1 }] }),
        "alerts[0].status",
    ));
    for (method, path, body, named) in rows {
        let response = gateway.send(method, path, &body);
        let text = response.text();
        assert_eq!(response.status(), 400, "{method} {path} {body}: {text}");
        assert!(text.contains(&format!("{named:?}: invalid type")), "{named}: {text}");
    }
    // Nothing of it was done.
    let names: Vec<_> = gateway
        .json("/system/functions")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["f"]);
    assert_eq!(gateway.status("f")["replicas"], 1);
    assert_eq!(gateway.json("/system/secrets"), json!([]));
    assert_eq!(gateway.json("/system/namespace/n")["labels"], Value::Null);
}
