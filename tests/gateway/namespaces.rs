//! Same-named functions of several namespaces do not meet.

use e2e::{
    Request,
    gateway::{Function, Provider},
};
use serde_json::json;

use crate::gateway;

on_every_provider! {
    same_named_functions_are_isolated
    namespaces_outlive_the_gateway
}

fn same_named_functions_are_isolated(provider: Provider) {
    let gateway = gateway(provider);
    gateway.make_namespace("one");
    gateway.make_namespace("two");
    gateway.keep_secret("key", "of the default");
    for namespace in ["one", "two"] {
        let secret =
            json!({ "name": "key", "value": format!("of {namespace}"), "namespace": namespace });
        assert_eq!(gateway.send("POST", "/system/secrets", &secret).status(), 202);
    }
    let read = "cat \"${secret_mount_path:-/var/openfaas/secrets}/key\"; \
                echo \" $OPENFAAS_NAME.$OPENFAAS_NAMESPACE\"; echo \"log of $OPENFAAS_NAMESPACE\" >&2";
    let function = Function::sh("f", read).secret("key");
    gateway.run(&function);
    gateway.run(&function.clone().namespace("one"));
    gateway.run(&function.clone().namespace("two"));
    assert_eq!(gateway.get("/function/f").text(), "of the default f.openfaas-fn\n");
    assert_eq!(gateway.get("/function/f.one").text(), "of one f.one\n");
    assert_eq!(gateway.get("/function/f.two").text(), "of two f.two\n");
    for (namespace, count) in [("one", 1), ("two", 1), ("openfaas-fn", 1)] {
        let listed = gateway.json(&format!("/system/functions?namespace={namespace}"));
        assert_eq!(listed.as_array().unwrap().len(), count);
        assert_eq!(listed[0]["namespace"], namespace);
        let secrets = gateway.json(&format!("/system/secrets?namespace={namespace}"));
        assert_eq!(secrets, json!([{ "name": "key", "namespace": namespace }]));
    }
    let says = |namespace: &str, text: &str| {
        let lines = gateway.logs("f", &format!("&namespace={namespace}"));
        assert!(lines.iter().all(|line| line["namespace"] == namespace), "{lines:?}");
        lines.iter().any(|line| line["text"].as_str().unwrap().contains(text))
    };
    e2e::eventually(e2e::DEADLINE, "the log of one", || says("one", "log of one"));
    assert!(!says("one", "log of two") && !says("one", "log of openfaas-fn"));
    // Changes of one leave the others alone.
    let body = json!({ "serviceName": "f", "replicas": 2, "namespace": "one" });
    assert_eq!(gateway.send("POST", "/system/scale-function/f", &body).status(), 202);
    gateway.wait_ready("f.one", 2);
    assert_eq!(gateway.status("f")["replicas"], 1);
    let body = json!({ "functionName": "f", "namespace": "one" });
    assert_eq!(gateway.send("DELETE", "/system/functions", &body).status(), 202);
    assert_eq!(gateway.get("/function/f.one").status(), 404);
    assert_eq!(gateway.get("/function/f.two").status(), 200);
    assert_eq!(gateway.get("/function/f").status(), 200);
}

fn namespaces_outlive_the_gateway(provider: Provider) {
    let gateway = gateway(provider);
    gateway.make_namespace("kept");
    gateway.run(&Function::cat("f").namespace("kept"));
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.json("/system/namespaces"), json!(["kept", "openfaas-fn"]));
    assert_eq!(gateway.call(&Request::post("/function/f.kept", "x")).text(), "x");
}
