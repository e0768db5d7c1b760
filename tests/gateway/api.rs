//! The routes of `/system` and beside it: methods, statuses, fields, and what bad input gets.

use e2e::{
    Request, Response,
    gateway::{Function, Gateway, Provider},
};
use serde_json::{Value, json};

use crate::gateway;

on_every_provider! {
    array_in_the_place_of_an_object_is_refused
    quantities_of_kubernetes_are_taken
    mistakes_are_named_alike
    info_has_everything_that_faas_cli_looks_into
    paths_and_methods_that_are_not_there_are_refused
    probes_and_the_root_need_no_credentials
    deployments_that_cannot_be_are_refused_by_name
    deployment_of_what_is_there_is_a_conflict
    functions_that_are_not_there_are_not_found
    deletion_takes_its_name_from_the_body
    secrets_are_kept_changed_and_removed
    secrets_that_cannot_be_are_refused
    namespaces_are_made_shown_changed_and_removed
    namespaces_that_cannot_be_are_refused
    scaling_that_cannot_be_is_refused
    log_queries_that_cannot_be_are_refused
    alerts_are_taken
    huge_heads_are_refused_and_harm_nobody
    long_bodies_are_refused_and_harm_nobody
}

on_docker! {
    images_that_no_engine_can_have_are_refused_by_name
}

/// The status, and an error that names what is wrong.
#[track_caller]
fn assert_refused(response: &Response, status: u16, named: &str) {
    let text = response.text();
    assert_eq!(response.status(), status, "{text}");
    assert!(text.contains(named), "{named:?} is not named: {text}");
}

fn info_has_everything_that_faas_cli_looks_into(provider: Provider) {
    let info = gateway(provider).json("/system/info");
    for path in ["/arch", "/provider/provider", "/provider/orchestration"] {
        assert!(info.pointer(path).is_some_and(Value::is_string), "{path}: {info}");
    }
    for path in ["/provider/version/release", "/version/release"] {
        let release = info.pointer(path).and_then(Value::as_str);
        assert!(release.is_some_and(|release| !release.is_empty()), "{path}: {info}");
    }
    assert!(
        info.pointer("/version/sha").is_some() && info.pointer("/provider/version/sha").is_some()
    );
}

fn paths_and_methods_that_are_not_there_are_refused(provider: Provider) {
    let gateway = gateway(provider);
    for (method, path) in [
        ("PATCH", "/system/functions"),
        ("POST", "/system/function/f"),
        ("GET", "/system/scale-function/f"),
        ("PATCH", "/system/secrets"),
        ("POST", "/system/namespaces"),
        ("POST", "/system/logs"),
        ("GET", "/system/alert"),
        ("POST", "/system/info"),
        ("POST", "/healthz"),
        ("DELETE", "/"),
    ] {
        let response = gateway.system(Request::new(method, path));
        assert_eq!(response.status(), 405, "{method} {path}: {}", response.text());
        assert!(response.header("Allow").is_some(), "{method} {path}");
    }
    for path in ["/system/nothing", "/nothing", "/system", "/functions", "/ui/nothing"] {
        assert_refused(&gateway.system(Request::get(path)), 404, path);
    }
    // Without credentials nobody learns what there is.
    assert_eq!(gateway.get("/system/nothing").status(), 401);
}

fn probes_and_the_root_need_no_credentials(provider: Provider) {
    let gateway = gateway(provider);
    assert_eq!(gateway.get("/healthz").status(), 200);
    let head = gateway.call(&Request::new("HEAD", "/healthz"));
    assert_eq!((head.status(), head.body.len()), (200, 0));
    let root = gateway.get("/");
    assert_eq!((root.status(), root.header("Location")), (307, Some("/ui/")));
    assert_eq!(gateway.get("/ui/").status(), 401);
    let page = gateway.system(Request::get("/ui/"));
    assert_eq!(page.status(), 200);
    assert!(page.header("Content-Type").is_some_and(|kind| kind.starts_with("text/html")));
}

fn deployments_that_cannot_be_are_refused_by_name(provider: Provider) {
    let gateway = gateway(provider);
    let good = Function::cat("good");
    let long = "x".repeat(64);
    let with = |name: &str, value: Value| good.clone().set(name, value).deployment(&gateway);
    let rows = [
        (with("service", "".into()), "service"),
        (with("image", "".into()), "image"),
        (with("image", " ".into()), "image"),
        (with("service", "Upper".into()), "Upper"),
        (with("service", "a.b".into()), "a.b"),
        (with("service", "../etc".into()), "../etc"),
        (with("service", "-a".into()), "-a"),
        (with("service", long.as_str().into()), &long),
        (with("service", json!(7)), "\"service\""),
        (with("namespace", "nowhere".into()), "nowhere"),
        (with("namespace", "../x".into()), "../x"),
        (with("secrets", json!(["unknown-one"])), "unknown-one"),
        (with("secrets", json!(["../key"])), "../key"),
        (with("secrets", json!(["a/b"])), "a/b"),
        (with("envVars", json!({"A=B": "c"})), "A=B"),
        (with("envVars", json!({"": "c"})), "environment"),
        (with("envVars", json!(["A"])), "\"envVars\""),
        (with("limits", json!({"memory": "much"})), "much"),
        (with("limits", json!({"memory": "-5Mi"})), "-5Mi"),
        (with("limits", json!({"memory": "999999999999999999999Ei"})), "999999999999999999999Ei"),
        (with("limits", json!({"cpu": "1e99"})), "1e99"),
        (with("requests", json!({"cpu": "two"})), "two"),
        (with("labels", json!({"com.openfaas.scale.min": "many"})), "many"),
        (
            with("labels", json!({"com.openfaas.scale.min": "3", "com.openfaas.scale.max": "2"})),
            "scale",
        ),
        (with("annotations", json!({"dev.kennel.timeout": "soon"})), "soon"),
        (with("annotations", json!({"dev.kennel.key": "no-such-key"})), "no-such-key"),
    ];
    for (deployment, named) in rows {
        for method in ["POST", "PUT"] {
            let response = gateway.send(method, "/system/functions", &deployment);
            let text = response.text();
            // An update of what is not there may be told so instead: faas-cli then deploys it.
            let is_refused =
                response.status() == 400 || (method == "PUT" && response.status() == 404);
            assert!(is_refused, "{method} {deployment}: {} {text}", response.status());
            assert!(response.status() == 404 || text.contains(named), "{named}: {text}");
        }
    }
    for body in ["", "{", "null", "[]", "7", "{\"service\": \"f\", \"image\": 7}", "\u{0}"] {
        for method in ["POST", "PUT", "DELETE"] {
            let request = Request::new(method, "/system/functions").body(body);
            assert_eq!(gateway.system(request).status(), 400, "{method} {body:?}");
        }
    }
    assert_eq!(gateway.json("/system/functions"), json!([]), "something was deployed");
}

fn images_that_no_engine_can_have_are_refused_by_name(provider: Provider) {
    let gateway = gateway(provider);
    for image in ["http://x/y", "Upper/Case", "a b", "a:b:c", "a@sha256:00"] {
        let function = Function::cat("f").set("image", image.into());
        let response = gateway.try_deploy(&function);
        assert_refused(&response, 400, image);
        assert_refused(&response, 400, "invalid reference");
    }
    assert_eq!(gateway.json("/system/functions"), json!([]));
}

fn deployment_of_what_is_there_is_a_conflict(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("A", "1"));
    assert_refused(&gateway.try_deploy(&Function::cat("f").env("A", "2")), 409, "f.openfaas-fn");
    assert_eq!(gateway.status("f")["envVars"]["A"], "1");
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
    assert_refused(&gateway.try_update(&Function::cat("g")), 404, "g.openfaas-fn");
}

fn functions_that_are_not_there_are_not_found(provider: Provider) {
    let gateway = gateway(provider);
    let deletion = json!({ "functionName": "f" });
    assert_refused(&gateway.send("DELETE", "/system/functions", &deletion), 404, "f.openfaas-fn");
    for path in ["/system/function/f?usage=1", "/system/function/f.other", "/system/logs?name=f"] {
        assert_eq!(gateway.system(Request::get(path)).status(), 404, "{path}");
    }
    let scale = json!({ "serviceName": "f", "replicas": 1 });
    assert_refused(&gateway.send("POST", "/system/scale-function/f", &scale), 404, "f.openfaas-fn");
    assert_refused(&gateway.get("/function/f"), 404, "f");
}

fn deletion_takes_its_name_from_the_body(provider: Provider) {
    let gateway = gateway(provider);
    gateway.make_namespace("other");
    gateway.run(&Function::cat("f"));
    gateway.run(&Function::cat("f").namespace("other"));
    // The body wins over the query, and either will do.
    let body = json!({ "functionName": "f", "namespace": "other" });
    let response = gateway.send("DELETE", "/system/functions?namespace=openfaas-fn", &body);
    assert_eq!(response.status(), 202, "{}", response.text());
    assert_eq!(gateway.get("/function/f.other").status(), 404);
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
    gateway.remove("f");
    assert_eq!(gateway.get("/function/f").status(), 404);
    assert_eq!(gateway.replicas_left(), 0, "something is left");
    for body in [json!({}), json!({ "functionName": "" }), json!({ "functionName": "../f" })] {
        assert_eq!(gateway.send("DELETE", "/system/functions", &body).status(), 400, "{body}");
    }
}

fn secrets_are_kept_changed_and_removed(provider: Provider) {
    let gateway = gateway(provider);
    let send = |method: &str, body: Value| gateway.send(method, "/system/secrets", &body).status();
    assert_eq!(gateway.json("/system/secrets"), json!([]));
    assert_eq!(send("POST", json!({ "name": "s", "value": "v" })), 202);
    assert_eq!(send("POST", json!({ "name": "s", "value": "w" })), 409);
    assert_eq!(send("PUT", json!({ "name": "s", "rawValue": "AP8=", "value": "w" })), 202);
    assert_eq!(send("PUT", json!({ "name": "t", "value": "w" })), 404);
    let listed = gateway.json("/system/secrets?namespace=openfaas-fn");
    assert_eq!(listed, json!([{ "name": "s", "namespace": "openfaas-fn" }]));
    assert_eq!(send("DELETE", json!({ "name": "t" })), 404);
    assert_eq!(send("DELETE", json!({ "name": "s" })), 202);
    assert_eq!(gateway.json("/system/secrets"), json!([]));
}

fn secrets_that_cannot_be_are_refused(provider: Provider) {
    let gateway = gateway(provider);
    for name in ["", "..", "../x", "a/b", "/etc/passwd", "A", "a.b", &"x".repeat(64), "a\0b"] {
        for method in ["POST", "PUT", "DELETE"] {
            let body = json!({ "name": name, "value": "v" });
            let response = gateway.send(method, "/system/secrets", &body);
            assert_eq!(response.status(), 400, "{method} {name:?}: {}", response.text());
        }
    }
    for body in [
        json!({ "name": "s" }),
        json!({ "name": "s", "value": "" }),
        json!({ "name": "s", "rawValue": "no base64!" }),
        json!({ "value": "v" }),
        json!([]),
    ] {
        let response = gateway.send("POST", "/system/secrets", &body);
        assert_eq!(response.status(), 400, "{body}: {}", response.text());
    }
    for namespace in ["nowhere", "../x"] {
        let body = json!({ "name": "s", "value": "v", "namespace": namespace });
        assert_refused(&gateway.send("POST", "/system/secrets", &body), 404, namespace);
    }
    let long = json!({ "name": "s", "value": "v".repeat((1 << 20) + 1) });
    assert_refused(&gateway.send("POST", "/system/secrets", &long), 400, "1048576");
    assert_eq!(gateway.json("/system/secrets"), json!([]));
}

fn namespaces_are_made_shown_changed_and_removed(provider: Provider) {
    let gateway = gateway(provider);
    let send = |method: &str, path: &str, body: Value| {
        let response = gateway.send(method, path, &body);
        (response.status(), response.text())
    };
    assert_eq!(gateway.json("/system/namespaces"), json!(["openfaas-fn"]));
    let body = json!({ "name": "n", "labels": { "openfaas": "1", "a": "b" }, "annotations": { "openfaas": "1" } });
    assert_eq!(send("POST", "/system/namespace/", body.clone()).0, 200);
    assert_eq!(send("POST", "/system/namespace/", body.clone()).0, 409);
    assert_eq!(gateway.json("/system/namespace/n"), body);
    assert_eq!(gateway.json("/system/namespaces"), json!(["n", "openfaas-fn"]));
    let changed =
        json!({ "name": "n", "labels": { "openfaas": "1" }, "annotations": { "openfaas": "1" } });
    assert_eq!(send("PUT", "/system/namespace/n", changed.clone()).0, 202);
    assert_eq!(gateway.json("/system/namespace/n"), changed);
    let other = send("PUT", "/system/namespace/n", json!({ "name": "m" }));
    assert_eq!(other.0, 400, "{}", other.1);
    // One that is not empty stays.
    gateway.run(&Function::cat("f").namespace("n"));
    let refused = send("DELETE", "/system/namespace/n", json!({ "name": "n" }));
    assert!(refused.0 == 409 && refused.1.contains('f'), "{refused:?}");
    let body = json!({ "functionName": "f", "namespace": "n" });
    assert_eq!(gateway.send("DELETE", "/system/functions", &body).status(), 202);
    let removed = send(
        "DELETE",
        "/system/namespace/n",
        json!({ "name": "n", "labels": { "openfaas": "1" } }),
    );
    assert_eq!(removed.0, 202, "{}", removed.1);
    assert_eq!(gateway.system(Request::get("/system/namespace/n")).status(), 404);
}

fn namespaces_that_cannot_be_are_refused(provider: Provider) {
    let gateway = gateway(provider);
    for name in ["", "..", "A", "a.b", "a/b"] {
        let response = gateway.send("POST", "/system/namespace/", &json!({ "name": name }));
        assert_eq!(response.status(), 400, "{name:?}: {}", response.text());
    }
    for method in ["PUT", "DELETE"] {
        let response =
            gateway.send(method, "/system/namespace/nowhere", &json!({ "name": "nowhere" }));
        assert_refused(&response, 404, "nowhere");
    }
    let default = json!({ "name": "openfaas-fn" });
    let response = gateway.send("DELETE", "/system/namespace/openfaas-fn", &default);
    assert!((400..500).contains(&response.status()), "the default one went");
    assert_eq!(gateway.json("/system/namespaces"), json!(["openfaas-fn"]));
    for path in ["/system/functions?namespace=nowhere", "/system/secrets?namespace=nowhere"] {
        assert_refused(&gateway.system(Request::get(path)), 404, "nowhere");
    }
}

fn scaling_that_cannot_be_is_refused(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for body in [
        json!({ "serviceName": "f", "replicas": -1 }),
        json!({ "serviceName": "f", "replicas": 1.5 }),
        json!({ "serviceName": "f", "replicas": "2" }),
        json!({ "serviceName": "f", "replicas": 99_999_999_999_u64 }),
        json!({ "serviceName": "f", "replicas": 100_000 }),
        json!({ "serviceName": "g", "replicas": 1 }),
        json!({ "serviceName": "f" }),
        json!(null),
    ] {
        let response = gateway.send("POST", "/system/scale-function/f", &body);
        assert_eq!(response.status(), 400, "{body}: {}", response.text());
    }
    assert_eq!(gateway.status("f")["replicas"], 1);
    assert_eq!(gateway.status("f")["availableReplicas"], 1);
}

fn log_queries_that_cannot_be_are_refused(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for (query, status) in [
        ("name=f&tail=five", 422),
        ("name=f&since=yesterday", 422),
        ("name=f&instance=nobody", 404),
        ("name=g", 404),
        ("name=../f", 400),
        ("", 400),
        // Other clients send these.
        ("name=f&tail=-1&follow=false", 200),
        ("name=f&tail=&since=&follow=&instance=", 200),
        ("name=f.openfaas-fn", 200),
        ("name=f&since=2026-01-02T03%3A04%3A05Z", 200),
    ] {
        let response = gateway.system(Request::get(&format!("/system/logs?{query}")));
        assert_eq!(response.status(), status, "{query}: {}", response.text());
    }
}

fn alerts_are_taken(provider: Provider) {
    let gateway = gateway(provider);
    let function = Function::cat("f")
        .label("com.openfaas.scale.max", "4")
        .label("com.openfaas.scale.factor", "50");
    gateway.run(&function);
    let alert = |status: &str, name: &str| {
        let alert =
            json!({ "status": status, "labels": { "alertname": "Load", "function_name": name } });
        let body = json!({ "status": status, "receiver": "r", "alerts": [alert] });
        gateway.send("POST", "/system/alert", &body).status()
    };
    assert_eq!(alert("firing", "f.openfaas-fn"), 200);
    gateway.wait_ready("f", 3);
    assert_eq!(alert("firing", "f"), 200);
    gateway.wait_ready("f", 4);
    assert_eq!(alert("resolved", "f.openfaas-fn"), 200);
    gateway.wait_ready("f", 1);
    assert_eq!(alert("firing", "unknown"), 200);
    assert_eq!(gateway.send("POST", "/system/alert", &json!({ "alerts": 7 })).status(), 400);
}

fn huge_heads_are_refused_and_harm_nobody(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for path in ["/function/f", "/system/functions"] {
        let request = Request::get(path).header("X-Big", "x".repeat(2 << 20));
        assert_eq!(gateway.call(&request).status(), 431, "{path}");
        let many = (0..2000)
            .fold(Request::get(path), |request, index| request.header(&format!("X-{index}"), "x"));
        assert_eq!(gateway.call(&many).status(), 431, "{path}");
    }
    let target = format!("/function/f?{}", "x".repeat(100_000));
    let status = gateway.get(&target).status();
    assert!([200, 414].contains(&status), "{status}");
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
}

fn long_bodies_are_refused_and_harm_nobody(provider: Provider) {
    let gateway = gateway(provider);
    let big = Gateway::system(&gateway, Request::post("/system/functions", "x".repeat(8 << 20)));
    assert_eq!(big.status(), 413, "{}", big.text());
    assert!(big.text().contains(&(4 << 20).to_string()), "the limit is not named: {}", big.text());
    let open = Request::post("/system/functions", "x".repeat(8 << 20));
    assert_eq!(gateway.call(&open).status(), 401);
    assert_eq!(gateway.json("/system/functions"), json!([]));
}

fn array_in_the_place_of_an_object_is_refused(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    let image = provider.image(gateway.temp_dir());
    for (method, path, body) in [
        ("POST", "/system/functions", json!(["g", image, "", "cat"])),
        ("PUT", "/system/functions", json!(["f", image, "", "cat"])),
        ("DELETE", "/system/functions", json!(["f", ""])),
        ("POST", "/system/scale-function/f", json!(["f", 2, ""])),
        ("POST", "/system/secrets", json!(["s", "", "value", ""])),
        ("DELETE", "/system/secrets", json!(["s", "", "", ""])),
        ("POST", "/system/namespace/", json!(["n"])),
        ("POST", "/system/alert", json!([[]])),
    ] {
        let response = gateway.send(method, path, &body);
        let text = response.text();
        assert_eq!(response.status(), 400, "{method} {path}: {text}");
        assert!(text.contains("array") && text.contains("object"), "{method} {path}: {text}");
    }
    assert_eq!(gateway.json("/system/functions").as_array().unwrap().len(), 1);
    assert_eq!(gateway.json("/system/secrets"), json!([]));
}

fn mistakes_are_named_alike(provider: Provider) {
    let gateway = gateway(provider);
    for query in ["", "?name=", "?name=&tail=5"] {
        let response = gateway.system(Request::get(&format!("/system/logs{query}")));
        assert_eq!(response.status(), 400, "{query}: {}", response.text());
        assert!(response.text().contains("?name=FUNCTION"), "{query}: {}", response.text());
    }
    let unknown = json!({ "functionName": "nobody", "serviceName": "nobody", "replicas": 1 });
    for response in [
        gateway.system(Request::get("/system/function/nobody")),
        gateway.system(Request::get("/system/logs?name=nobody")),
        gateway.send("POST", "/system/scale-function/nobody", &unknown),
        gateway.send("DELETE", "/system/functions", &unknown),
        gateway.try_update(&Function::cat("nobody")),
    ] {
        assert_eq!(response.status(), 404);
        assert_eq!(response.text(), "no such function: nobody.openfaas-fn\n");
    }
}

fn quantities_of_kubernetes_are_taken(provider: Provider) {
    let gateway = gateway(provider);
    for (name, memory, cpu) in [("a", "128e6", "1n"), ("b", "134217728000m", "250000u")] {
        let limits = json!({ "memory": memory, "cpu": cpu });
        gateway.deploy(&Function::cat(name).set("limits", limits.clone()));
        assert_eq!(gateway.status(name)["limits"], limits);
    }
}
