//! Where the token stands among the other checks, and what is asked without one.

use std::fs;

use e2e::{
    Request,
    issuer::{Issuer, Turn},
};

use super::{assert_unauthorized, call, guarded};
use crate::{
    held::{self, hold_with, release},
    watchdog,
};

#[test]
fn ready_path_needs_no_token_and_runs_the_function_once() {
    let Some(turn) = Turn::take("ready_path_needs_no_token_and_runs_the_function_once") else {
        return;
    };
    let _issuer = Issuer::start(&turn);
    let dog = guarded("serializing")
        .sh(r#"echo "$Http_Path" >>"$TMPDIR/ran"; echo secret"#)
        .env("ready_path", "/warm")
        .start();
    let response = dog.get("/_/ready");
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    assert_unauthorized(&dog.get("/warm"), "the function itself");
    assert_eq!(fs::read_to_string(dog.temp_dir().join("ran")).unwrap(), "/warm\n");
}

/// A stranger does not learn how busy the function is.
#[test]
fn token_is_checked_before_the_limit() {
    let Some(turn) = Turn::take("token_is_checked_before_the_limit") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("classic").sh(held::SCRIPT).env("max_inflight", "1").start();
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    let request = Request::get("/hold").header("Authorization", format!("Bearer {token}"));
    let mut held = hold_with(&dog, &request);
    assert_unauthorized(&dog.get("/"), "at the limit");
    assert_eq!(call(&dog, &token).status(), 429);
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
}

#[test]
fn refusal_comes_before_the_body_of_a_client_that_waits() {
    let Some(turn) = Turn::take("refusal_comes_before_the_body_of_a_client_that_waits") else {
        return;
    };
    let _issuer = Issuer::start(&turn);
    let dog = guarded("classic").start();
    let mut client = dog.connect();
    let request = Request::new("POST", "/").header("Expect", "100-continue");
    client.send(request.header("Content-Length", "5").head_bytes());
    assert_eq!(client.read_head().status, 401);
}

#[test]
fn gateway_is_asked_unless_the_authority_is_local() {
    let mut launch = watchdog()
        .fprocess("env")
        .env("jwt_auth", "true")
        .env("OPENFAAS_NAME", "fn")
        .env("OPENFAAS_NAMESPACE", "ns1");
    let ended = launch.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    let url = "http://gateway.openfaas:8080/.well-known/openid-configuration";
    assert!(ended.stderr.contains(url), "{}", ended.stderr);
    assert!(!launch.temp_dir().join(".lock").exists());
}
