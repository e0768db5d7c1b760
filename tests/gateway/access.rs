//! Who may: the credentials of the control plane, keys of functions, functions of functions only.

use std::{fs, os::unix::fs::PermissionsExt as _};

use e2e::{
    Request,
    gateway::{Function, Provider},
};
use serde_json::json;

use crate::{gateway, launch};

on_every_provider! {
    control_plane_asks_for_credentials
    credentials_are_made_once_and_kept_private
    credentials_may_come_from_secret_files
    without_credentials_everybody_may_and_only_on_loopback
    function_with_a_key_asks_for_it
    internal_function_is_reached_by_functions_only
}

fn control_plane_asks_for_credentials(provider: Provider) {
    let gateway = gateway(provider);
    for (method, path) in [
        ("GET", "/system/info"),
        ("GET", "/system/functions"),
        ("POST", "/system/functions"),
        ("PUT", "/system/functions"),
        ("DELETE", "/system/functions"),
        ("GET", "/system/function/f"),
        ("POST", "/system/scale-function/f"),
        ("GET", "/system/secrets"),
        ("POST", "/system/secrets"),
        ("GET", "/system/namespaces"),
        ("POST", "/system/namespace/"),
        ("DELETE", "/system/namespace/x"),
        ("GET", "/system/logs?name=f"),
        ("POST", "/system/alert"),
        ("GET", "/ui/"),
    ] {
        // "Bearer" with nothing behind it is what faas-cli sends before it is logged in.
        for field in [
            "",
            "Bearer",
            "Bearer ",
            "Basic",
            "Basic eDp5",
            "Basic YWRtaW4=",
            "Basic YWRtaW46",
            "nonsense",
        ] {
            let request = Request::new(method, path).body("{}");
            let request =
                if field.is_empty() { request } else { request.header("Authorization", field) };
            let response = gateway.call(&request);
            assert_eq!(response.status(), 401, "{method} {path} {field:?}");
            assert_eq!(response.header("WWW-Authenticate"), Some("Basic realm=\"Restricted\""));
            assert!(response.text().contains("invalid credentials"), "{}", response.text());
        }
    }
    let field = gateway.authorization().unwrap();
    let response = gateway.call(&Request::get("/system/functions").header("Authorization", field));
    assert_eq!(response.status(), 200);
}

fn credentials_are_made_once_and_kept_private(provider: Provider) {
    let gateway = gateway(provider);
    let path = gateway.data().join("basic-auth-password");
    let password = fs::read_to_string(&path).unwrap();
    assert!(password.len() >= 20, "{} characters", password.len());
    for name in ["basic-auth-user", "basic-auth-password"] {
        let mode = fs::metadata(gateway.data().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(gateway.data()).unwrap().permissions().mode() & 0o077, 0);
    assert!(gateway.log().contains(path.to_str().unwrap()), "{}", gateway.log());
    let before = gateway.authorization().unwrap().to_owned();
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.authorization(), Some(before.as_str()));
    assert!(!gateway.log().contains("the password of"), "{}", gateway.log());
    assert!(!gateway.log().contains(&password), "the password is in the log");
}

fn credentials_may_come_from_secret_files(provider: Provider) {
    let launch = launch(provider);
    launch.write("mounted/basic-auth-user", "me\n");
    launch.write("mounted/basic-auth-password", "pass:word\n");
    let mounted = launch.temp_dir().join("mounted").display().to_string();
    let gateway = launch.env("secret_mount_path", &mounted).start();
    let with = |field: &str| {
        gateway.call(&Request::get("/system/info").header("Authorization", field)).status()
    };
    // base64 of me:pass:word
    assert_eq!((with("Basic bWU6cGFzczp3b3Jk"), with("Basic bWU6cGFzcw==")), (200, 401));

    let ended = crate::launch(provider).env("secret_mount_path", "/nowhere").spawn_expecting_exit();
    assert_ne!(ended.code(), Some(0));
    assert!(ended.stderr.contains("/nowhere/basic-auth-user"), "{}", ended.stderr);
}

fn without_credentials_everybody_may_and_only_on_loopback(provider: Provider) {
    let gateway = launch(provider).env("basic_auth", "false").start();
    for field in ["Bearer", "Basic eDp5"] {
        let request = Request::get("/system/functions").header("Host", "localhost");
        assert_eq!(gateway.call(&request.header("Authorization", field)).status(), 200);
    }
    let open = launch(provider).env("basic_auth", "false").env("listen_address", "0.0.0.0");
    let ended = open.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("allow_open"), "{}", ended.stderr);
    let allowed = open.env("allow_open", "true").start();
    assert_eq!(allowed.addr().ip().to_string(), "0.0.0.0");
}

fn function_with_a_key_asks_for_it(provider: Provider) {
    let gateway = gateway(provider);
    gateway.keep_secret("f-key", "s3cret-value\n");
    gateway.run(&Function::upstream("f").annotation("dev.kennel.key", "f-key"));
    for request in [
        Request::get("/function/f"),
        Request::get("/function/f").header("X-Api-Key", "wrong"),
        Request::get("/function/f").header("Authorization", "Bearer s3cret"),
        Request::get("/function/f").header("Authorization", "Basic czNjcmV0LXZhbHVl"),
        Request::get("/function/f.openfaas-fn/x").header("X-Api-Key", ""),
    ] {
        let response = gateway.call(&request);
        assert_eq!(response.status(), 401, "{request:?}");
        assert!(response.header("WWW-Authenticate").is_some(), "{response:?}");
        assert!(!response.text().contains("s3cret"));
    }
    for (name, value) in [("X-Api-Key", "s3cret-value"), ("Authorization", "Bearer s3cret-value")] {
        let response = gateway.call(&Request::get("/function/f").header(name, value));
        assert_eq!(response.status(), 200, "{name}");
        assert!(
            !response.text().contains("s3cret-value"),
            "the function sees it: {}",
            response.text()
        );
    }
    // The new one counts at once.
    let body = json!({ "name": "f-key", "value": "another-one" });
    assert_eq!(gateway.send("PUT", "/system/secrets", &body).status(), 202);
    let with =
        |key: &str| gateway.call(&Request::get("/function/f").header("X-Api-Key", key)).status();
    assert_eq!((with("s3cret-value"), with("another-one")), (401, 200));
    assert!(!gateway.log().contains("s3cret-value"), "the key is in the log");
}

fn internal_function_is_reached_by_functions_only(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("inner").annotation("dev.kennel.internal", "true"));
    let refused = gateway.post("/function/inner", "x");
    assert_eq!(refused.status(), 403, "{}", refused.text());
    assert!(refused.text().contains("inner"), "{}", refused.text());

    // A function asks another one, at the address that it is given.
    gateway.run(&Function::sh("outer", "echo \"$gateway_url\""));
    let url = gateway.get("/function/outer").text();
    let addr = url.trim().trim_start_matches("http://").to_owned();
    let answer = match provider {
        Provider::Process => {
            let addr = addr.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
            let mut client = e2e::Client::connect(addr);
            client.call(&Request::post("/function/inner", "from inside")).text()
        }
        Provider::Docker => {
            let script = "exec 3<>/dev/tcp/gateway/${gateway_url##*:}; \
                printf 'POST /function/inner HTTP/1.0\\r\\nHost: gateway\\r\\nContent-Length: 11\\r\\n\\r\\nfrom inside' >&3; cat <&3";
            gateway.run(&Function::new("asks", "bash run.sh").env("SCRIPT", script));
            gateway.get("/function/asks").text()
        }
    };
    assert!(answer.ends_with("from inside"), "{answer}");
}
