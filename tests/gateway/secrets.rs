//! Secrets reach the functions that list them, and nobody else.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::gateway::{Function, Provider};
use serde_json::json;

use crate::gateway;

on_every_provider! {
    function_reads_the_secrets_that_it_lists
    values_never_leave_the_control_plane
    secrets_are_private_files_and_outlive_the_gateway
    every_byte_is_kept
    secret_that_is_listed_twice_is_there_once
    scaling_without_a_secret_is_refused_and_changes_nothing
}

const LIST: &str = "cd \"${secret_mount_path:-/var/openfaas/secrets}\"; for name in *; do echo \"$name=$(cat \"$name\")\"; done";

fn function_reads_the_secrets_that_it_lists(provider: Provider) {
    let gateway = gateway(provider);
    gateway.keep_secret("a", "1");
    gateway.keep_secret("b", "2");
    gateway.keep_secret("c", "3");
    gateway.run(&Function::sh("f", LIST).secret("a").secret("c"));
    assert_eq!(gateway.get("/function/f").text(), "a=1\nc=3\n");
    // Another value with the next version.
    let body = json!({ "name": "a", "value": "new" });
    assert_eq!(gateway.send("PUT", "/system/secrets", &body).status(), 202);
    let update = gateway.try_update(&Function::sh("f", LIST).secret("a"));
    assert_eq!(update.status(), 202, "{}", update.text());
    assert_eq!(gateway.get("/function/f").text(), "a=new\n");
}

fn secret_that_is_listed_twice_is_there_once(provider: Provider) {
    let gateway = gateway(provider);
    gateway.keep_secret("a", "1");
    gateway.run(&Function::sh("f", LIST).secret("a").secret("a"));
    assert_eq!(gateway.get("/function/f").text(), "a=1\n");
    assert_eq!(gateway.status("f")["secrets"], json!(["a", "a"]));
}

fn values_never_leave_the_control_plane(provider: Provider) {
    let gateway = gateway(provider);
    gateway.keep_secret("a", "treasure");
    gateway.run(&Function::cat("f").secret("a"));
    for path in [
        "/system/secrets",
        "/system/functions",
        "/system/function/f?usage=1",
        "/system/info",
        "/ui/",
    ] {
        let text = gateway.system(e2e::Request::get(path)).text();
        assert!(!text.contains("treasure"), "{path}: {text}");
    }
    assert!(!gateway.log().contains("treasure"));
}

fn files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        }
    }
}

fn secrets_are_private_files_and_outlive_the_gateway(provider: Provider) {
    let gateway = gateway(provider);
    gateway.keep_secret("a", "treasure");
    let mut found = Vec::new();
    files(&gateway.data(), &mut found);
    let holders: Vec<_> = found
        .iter()
        .filter(|path| fs::read(path).is_ok_and(|bytes| bytes == b"treasure"))
        .collect();
    assert_eq!(holders.len(), 1, "{holders:?}");
    assert_eq!(fs::metadata(holders[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let gateway = gateway.killed_and_restarted();
    assert_eq!(
        gateway.json("/system/secrets"),
        json!([{ "name": "a", "namespace": "openfaas-fn" }])
    );
    gateway.run(&Function::sh("f", LIST).secret("a"));
    assert_eq!(gateway.get("/function/f").text(), "a=treasure\n");
}

fn every_byte_is_kept(provider: Provider) {
    let gateway = gateway(provider);
    // Base64 of 0, 255, line feed, 128.
    let body = json!({ "name": "raw", "value": "wrong", "rawValue": "AP8KgA==" });
    assert_eq!(gateway.send("POST", "/system/secrets", &body).status(), 202);
    let read = "cat \"${secret_mount_path:-/var/openfaas/secrets}/raw\"";
    gateway.run(&Function::sh("f", read).secret("raw"));
    assert_eq!(gateway.get("/function/f").body, [0, 255, b'\n', 128]);
}

fn scaling_without_a_secret_is_refused_and_changes_nothing(provider: Provider) {
    let gateway = gateway(provider);
    gateway.keep_secret("a", "1");
    gateway.run(&Function::cat("f").secret("a"));
    let body = json!({ "name": "a" });
    assert_eq!(gateway.send("DELETE", "/system/secrets", &body).status(), 202);
    let body = json!({ "serviceName": "f", "replicas": 2 });
    let refused = gateway.send("POST", "/system/scale-function/f", &body);
    assert_eq!(refused.status(), 400, "{}", refused.text());
    assert!(refused.text().contains("secret a"), "{}", refused.text());
    assert_eq!(gateway.status("f")["replicas"], 1);
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
}
