//! What pages of other sites may do through a browser: nothing.

use e2e::{
    Request, Response,
    gateway::{Function, Gateway, Provider},
};
use serde_json::json;

use crate::{gateway, launch};

on_processes! {
    page_of_another_site_changes_nothing
    program_and_own_page_may
    name_that_anybody_can_own_is_not_answered_to_without_a_password
    request_that_is_none_is_refused_by_the_gateway
}

fn ask_raw(gateway: &Gateway, head: &str) -> Response {
    let mut client = gateway.connect();
    client.send(head);
    client.read_response()
}

/// What a script of any page may send without asking first.
fn deployment() -> Request {
    let body = json!({ "service": "f", "image": "/tmp", "envProcess": "id" }).to_string();
    Request::post("/system/functions", body).header("Content-Type", "text/plain;charset=UTF-8")
}

fn page_of_another_site_changes_nothing(provider: Provider) {
    let gateway = gateway(provider);
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let response = gateway.system(deployment().header(name, value));
        assert_eq!(response.status(), 403, "{name}: {value}");
        assert!(response.text().contains("another site"), "{}", response.text());
    }
    assert_eq!(gateway.system(Request::get("/system/functions")).text().trim(), "[]");
}

fn program_and_own_page_may(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    // The host that these tests name.
    let own = "http://function";
    for request in [
        Request::get("/system/functions").header("Sec-Fetch-Site", "cross-site"),
        Request::post("/system/scale-function/f", "{\"replicas\":1}").header("Origin", own),
        Request::post("/system/scale-function/f", "{\"replicas\":1}")
            .header("Sec-Fetch-Site", "same-origin"),
    ] {
        let response = gateway.system(request);
        assert!(matches!(response.status(), 200 | 202), "{}", response.text());
    }
    // A function is called from wherever its author wants.
    let call = Request::post("/function/f", "x").header("Origin", "http://elsewhere.example");
    assert_eq!(gateway.call(&call).text(), "x");
}

fn name_that_anybody_can_own_is_not_answered_to_without_a_password(provider: Provider) {
    let gateway = launch(provider).env("basic_auth", "false").start();
    let ask = |host: &str| {
        let head = format!("GET /system/functions HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask_raw(&gateway, &head)
    };
    for own in ["127.0.0.1:8080", "localhost:8080", "gateway:8080", "[::1]:8080"] {
        assert_eq!(ask(own).status(), 200, "{own}");
    }
    let refused = ask("evil.example:8080");
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains("evil.example"), "{}", refused.text());
}

fn request_that_is_none_is_refused_by_the_gateway(provider: Provider) {
    let gateway = gateway(provider);
    let refused = ask_raw(&gateway, "GET /function/f HTTP/1.1\r\n\r\n");
    assert_eq!((refused.status(), refused.header("X-OpenFaaS-Internal")), (400, Some("gateway")));
}
