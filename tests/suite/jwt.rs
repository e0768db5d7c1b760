//! Access control with tokens: who may call the function, and what the others are told.
//!
//! The issuer's port is fixed, so these tests take turns.

mod algorithms;
mod https;
mod order;

use e2e::{
    DEADLINE, Launch, Request, Response, Watchdog, eventually,
    issuer::{Algorithm, Issuer, Turn, now, unsigned},
};
use serde_json::{Value, json};

use crate::watchdog;

/// A function of this name that tells its environment.
fn guarded(mode: &str) -> Launch {
    watchdog()
        .mode(mode)
        .fprocess("env")
        .env("jwt_auth", "true")
        .env("jwt_auth_local", "true")
        .env("OPENFAAS_NAME", "fn")
        .env("OPENFAAS_NAMESPACE", "ns1")
}

fn call(dog: &Watchdog, token: &str) -> Response {
    dog.call(&Request::post("/", "").header("Authorization", format!("Bearer {token}")))
}

#[track_caller]
fn assert_unauthorized(response: &Response, what: &str) {
    assert_eq!(response.status(), 401, "{what}: {}", response.text());
    assert!(!response.text().trim().is_empty(), "{what}: a reason");
    let challenge = response.header("www-authenticate").unwrap_or_default().replace('"', "");
    assert_eq!(challenge, "Bearer realm=IAM function invoke", "{what}");
    assert_eq!(response.header("x-openfaas-internal"), Some("faas-middleware"), "{what}");
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

/// Changes some claims of a good token; `null` removes one.
fn changed(issuer: &Issuer, changes: Value) -> Value {
    let mut claims = issuer.claims("ns1:fn");
    let (Value::Object(all), Value::Object(changes)) = (&mut claims, changes) else {
        panic!("claims are objects");
    };
    for (name, value) in changes {
        if value.is_null() {
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    claims
}

#[test]
fn call_needs_a_good_token() {
    let Some(turn) = Turn::take("call_needs_a_good_token") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("streaming").env("jwt_auth_debug", "true").start();
    assert_unauthorized(&dog.post("/", ""), "no token");
    // Another connection has another loop, which may be quicker with its line.
    dog.wait_for_access_lines(1);

    let response = call(&dog, &issuer.token("k1", &issuer.claims("ns1:fn")));
    assert_eq!(response.status(), 200, "{}", response.text());
    let environment = response.text();
    let line = |name: &str| {
        let found = environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{name} in {environment}"))
    };
    assert!(line("Http_X_Auth_Seconds").parse::<f64>().is_ok_and(|seconds| seconds >= 0.0));
    assert!(line("Http_Authorization").starts_with("Bearer ey"));

    let lines = dog.wait_for_access_lines(2);
    assert!(lines[0].contains("POST / - 401 - "), "{lines:?}");
    assert!(lines[1].contains("POST / - 200 - "), "{lines:?}");
    // `jwt_auth_debug` tells what was decided, and never the token.
    dog.wait_for_log(|log| log.contains("access granted function=ns1:fn key=k1 claims={\"sub\":"));
    dog.wait_for_log(|log| log.contains("access denied function=ns1:fn key=none claims=none"));
    let log = dog.stderr();
    assert!(log.contains(r#""sub":"fed:somebody""#) && !log.contains("Some("), "{log}");
    let signature = environment.split('.').nth(2).unwrap_or("none").trim();
    assert!(!dog.log().contains(signature), "the token is in the log");
}

/// A client cannot set the header that only a check may set.
#[test]
fn auth_seconds_of_a_client_are_replaced() {
    let Some(turn) = Turn::take("auth_seconds_of_a_client_are_replaced") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("streaming").start();
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    let request = Request::post("/", "")
        .header("Authorization", format!("Bearer {token}"))
        .header("X-Auth-Seconds", "forged");
    let response = dog.call(&request);
    assert_eq!(response.status(), 200);
    assert!(!response.text().contains("forged"), "{}", response.text());
}

#[test]
fn bad_tokens_are_401() {
    let Some(turn) = Turn::take("bad_tokens_are_401") else { return };
    let issuer = Issuer::start(&turn);
    issuer.add_key("k2", Algorithm::EdDsa);
    let dog = guarded("serializing").start();
    let bad = |claims: Value| issuer.token("k1", &changed(&issuer, claims));
    let good = bad(json!({}));
    assert_eq!(call(&dog, &good).status(), 200);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let other = bad(json!({"sub": "fed:other"}));
    let other_signature = other.rsplit_once('.').unwrap().1;
    for (what, token) in [
        ("expired", bad(json!({"exp": now() - 60}))),
        // RFC 7519 lets it be left out, and the of-watchdog takes that for "valid for ever".
        ("without exp", bad(json!({"exp": null}))),
        ("exp of a wrong type", bad(json!({"exp": "tomorrow"}))),
        ("not valid yet", bad(json!({"nbf": now() + 600}))),
        ("issued in the future", bad(json!({"iat": now() + 600}))),
        ("other issuer", bad(json!({"iss": "http://127.0.0.1:8001"}))),
        ("without issuer", bad(json!({"iss": null}))),
        ("other audience", bad(json!({"aud": "http://127.0.0.1:8001"}))),
        ("audience list without us", bad(json!({"aud": ["a", "b"]}))),
        ("without audience", bad(json!({"aud": null}))),
        ("signature of another token", format!("{input}.{other_signature}")),
        ("empty signature", format!("{input}.")),
        ("no signature", input.to_owned()),
        ("changed payload", format!("{input}x.{signature}")),
        ("no token at all", "abc".to_owned()),
        ("empty token", String::new()),
        ("three dots", "...".to_owned()),
        ("huge token", "a".repeat(100_000)),
    ] {
        assert_unauthorized(&call(&dog, &token), what);
    }
    for value in ["Basic dXNlcjpwYXNz", "Bearer", &format!("Bearer {good} {good}")] {
        let request = Request::post("/", "").header("Authorization", value);
        assert_unauthorized(&dog.call(&request), value);
    }
    assert_eq!(call(&dog, &good).status(), 200);
}

#[test]
fn algorithm_of_a_token_cannot_be_chosen_by_its_sender() {
    let Some(turn) = Turn::take("algorithm_of_a_token_cannot_be_chosen_by_its_sender") else {
        return;
    };
    let issuer = Issuer::start(&turn);
    issuer.add_key("k2", Algorithm::EdDsa);
    issuer.add_key("k4", Algorithm::Rs256);
    // An issuer that publishes a secret by mistake does not turn it into a key.
    issuer.publish(json!({"kty": "oct", "kid": "k3", "alg": "HS256", "k": "c2VjcmV0"}));
    let dog = guarded("serializing").start();
    let claims = issuer.claims("ns1:fn");
    assert_eq!(call(&dog, &issuer.token("k1", &claims)).status(), 200);
    assert_eq!(call(&dog, &issuer.token("k2", &claims)).status(), 200, "{}", dog.log());
    assert_eq!(call(&dog, &issuer.token("k4", &claims)).status(), 200, "{}", dog.log());
    for algorithm in ["none", "None", "NONE", "", "HS256", "ES256", "EdDSA", "RS256"] {
        for id in ["k1", "k2", "k3", "k4"] {
            let header = json!({"typ": "JWT", "alg": algorithm, "kid": id});
            assert_unauthorized(&call(&dog, &unsigned(&header, &claims)), algorithm);
        }
    }
    assert_unauthorized(&call(&dog, &unsigned(&json!({"alg": "none"}), &claims)), "no kid");
    for id in ["k1", "k2", "k4"] {
        for token in issuer.confused_tokens(id, &claims) {
            assert_unauthorized(&call(&dog, &token), "HS256 with the public key as its secret");
        }
    }
}

#[test]
fn token_forms_that_are_accepted() {
    let Some(turn) = Turn::take("token_forms_that_are_accepted") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("serializing").start();
    let url = issuer.url();
    let good = |claims: Value| issuer.token("k1", &changed(&issuer, claims));
    for token in [
        good(json!({})),
        good(json!({"aud": [url, "another"]})),
        good(json!({"nbf": null, "iat": null, "sub": null})),
        // One second of difference between the clocks is let pass.
        good(json!({"exp": now() + 1})),
    ] {
        assert_eq!(call(&dog, &token).status(), 200, "{}", dog.log());
    }
    // Without the scheme, as the of-watchdog takes it.
    let request = Request::post("/", "").header("Authorization", good(json!({})));
    assert_eq!(dog.call(&request).status(), 200);
    let token = good(json!({}));
    let request = Request::post("/", "").header("Authorization", format!("bearer {token}"));
    assert_eq!(dog.call(&request).status(), 200, "RFC 9110 section 11.1: any case");
}

/// Defect 6: patterns were not anchored, so that `ns1:fn` opened `ns1:fn1`.
#[test]
fn permission_names_the_whole_function() {
    let Some(turn) = Turn::take("permission_names_the_whole_function") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("serializing").start();
    let with = |function: Value| {
        let claims = changed(&issuer, json!({"function": function}));
        call(&dog, &issuer.token("k1", &claims))
    };
    for pattern in ["ns1:fn", "*", "ns1:*", "*:fn", "n*:f*"] {
        assert_eq!(with(json!({"permissions": [pattern]})).status(), 200, "{pattern}");
    }
    for pattern in [
        "ns1:f", "s1:fn", "ns:fn", "ns1:fn1", "xns1:fn", "ns2:*", "NS1:FN", "ns1.fn", ".*", "fn",
        "",
    ] {
        let response = with(json!({"permissions": [pattern]}));
        assert_eq!(response.status(), 403, "{pattern}");
        assert_eq!(response.text(), "insufficient permissions\n");
        assert_eq!(response.header("x-openfaas-internal"), Some("faas-middleware"));
        assert_eq!(response.header("www-authenticate"), None);
    }
    for function in [
        json!({}),
        json!({"permissions": []}),
        json!({"permissions": ["ns1:fn"], "audience": ["ns1:other"]}),
        json!({"permissions": ["ns1:fn"], "audience": ["ns1:f"]}),
    ] {
        assert_eq!(with(function.clone()).status(), 403, "{function}");
    }
    for audience in [json!([]), json!(["ns1:fn"]), json!(["x", "ns1:*"])] {
        let function = json!({"permissions": ["ns1:fn"], "audience": audience});
        assert_eq!(with(function.clone()).status(), 200, "{function}");
    }
    let without = changed(&issuer, json!({"function": null}));
    assert_eq!(call(&dog, &issuer.token("k1", &without)).status(), 403);
}

#[test]
fn longer_name_than_the_permission_stays_closed() {
    let Some(turn) = Turn::take("longer_name_than_the_permission_stays_closed") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("serializing").env("OPENFAAS_NAME", "fn1").start();
    assert_eq!(call(&dog, &issuer.token("k1", &issuer.claims("ns1:fn"))).status(), 403);
    assert_eq!(call(&dog, &issuer.token("k1", &issuer.claims("ns1:fn1"))).status(), 200);
}

/// Defect 7: `jwt_auth=1` on the classic watchdog was no authentication at all.
#[test]
fn every_spelling_of_true_turns_it_on_in_every_mode() {
    let Some(turn) = Turn::take("every_spelling_of_true_turns_it_on_in_every_mode") else {
        return;
    };
    let issuer = Issuer::start(&turn);
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    for (mode, spelling) in
        [("classic", "1"), ("classic", "TRUE"), ("streaming", "True"), ("serializing", "1")]
    {
        let dog = guarded(mode).env("jwt_auth", spelling).env("jwt_auth_local", spelling).start();
        assert_unauthorized(&dog.post("/", ""), mode);
        assert_eq!(call(&dog, &token).status(), 200, "{mode}");
    }
}

#[test]
fn http_and_static_modes_are_guarded() {
    let Some(turn) = Turn::take("http_and_static_modes_are_guarded") else { return };
    let issuer = Issuer::start(&turn);
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    let port = e2e::free_port();
    let dog = guarded("http")
        .fprocess(&format!("{} 127.0.0.1:{port}", crate::UPSTREAM))
        .env("http_upstream_url", format!("http://127.0.0.1:{port}"))
        .start();
    assert_unauthorized(&dog.get("/"), "http");
    let upgrade = Request::get("/").header("Connection", "Upgrade").header("Upgrade", "websocket");
    assert_unauthorized(&dog.call(&upgrade), "upgrade");
    let response = call(&dog, &token);
    assert_eq!(response.status(), 200);
    assert!(response.text().to_ascii_lowercase().contains("\r\nx-auth-seconds: "));
    drop(dog);

    let launch = guarded("static");
    launch.write("a.txt", "content");
    let root = launch.temp_dir().to_owned();
    let dog = launch.env("static_path", root).start();
    assert_unauthorized(&dog.get("/a.txt"), "static");
    let request = Request::get("/a.txt").header("Authorization", format!("Bearer {token}"));
    assert_eq!(dog.call(&request).text(), "content");
}

#[test]
fn refused_call_starts_no_process() {
    let Some(turn) = Turn::take("refused_call_starts_no_process") else { return };
    let _issuer = Issuer::start(&turn);
    let dog = guarded("streaming").sh("touch \"$TMPDIR/ran\"").start();
    for _ in 0..3 {
        assert_unauthorized(&dog.post("/", "x"), "no token");
    }
    assert!(!dog.temp_dir().join("ran").exists());
}

#[test]
fn health_and_ready_are_open() {
    let Some(turn) = Turn::take("health_and_ready_are_open") else { return };
    let _issuer = Issuer::start(&turn);
    let dog = guarded("streaming").metrics().start();
    assert_eq!(dog.get("/_/health").status(), 200);
    assert_eq!(dog.get("/_/ready").status(), 200);
    assert_unauthorized(&dog.get("/"), "function");
    eventually(DEADLINE, "the refusal to be counted", || dog.metrics().requests(401, "get") >= 1.0);
}

/// The of-watchdog never fetches keys again: a rotation locks every caller out.
#[test]
fn new_key_of_the_issuer_is_found_without_a_restart() {
    let Some(turn) = Turn::take("new_key_of_the_issuer_is_found_without_a_restart") else {
        return;
    };
    let issuer = Issuer::start(&turn);
    let dog = guarded("serializing").start();
    assert_eq!(call(&dog, &issuer.token("k1", &issuer.claims("ns1:fn"))).status(), 200);
    issuer.add_key("k2", Algorithm::Es256);
    let token = issuer.token("k2", &issuer.claims("ns1:fn"));
    eventually(DEADLINE, "the new key to be known", || call(&dog, &token).status() == 200);
    // Tokens that name keys nobody knows do not make the watchdog ask each time.
    let before = issuer.key_fetches();
    for index in 0..20 {
        let header = json!({"alg": "ES256", "kid": format!("unknown-{index}")});
        assert_unauthorized(&call(&dog, &unsigned(&header, &issuer.claims("ns1:fn"))), "unknown");
    }
    let asked = issuer.key_fetches() - before;
    assert!(asked <= 3, "{asked} fetches for 20 tokens");
}

#[test]
fn issuer_that_is_gone_later_does_not_matter() {
    let Some(turn) = Turn::take("issuer_that_is_gone_later_does_not_matter") else { return };
    let issuer = Issuer::start(&turn);
    let dog = guarded("serializing").start();
    let token = issuer.token("k1", &issuer.claims("ns1:fn"));
    drop(issuer);
    assert_eq!(call(&dog, &token).status(), 200);
    let header = json!({"alg": "ES256", "kid": "unknown"});
    assert_unauthorized(&call(&dog, &unsigned(&header, &json!({}))), "unknown key");
    assert_eq!(call(&dog, &token).status(), 200);
}

#[test]
fn missing_name_fails_the_start() {
    let mut launch = watchdog().fprocess("env").env("jwt_auth", "true");
    let ended = launch.spawn_expecting_exit();
    assert!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains("OPENFAAS_NAME"), "{}", ended.stderr);
    assert!(!launch.temp_dir().join(".lock").exists());
}

#[test]
fn unreachable_issuer_fails_the_start_after_some_tries() {
    let Some(_turn) = Turn::take("unreachable_issuer_fails_the_start_after_some_tries") else {
        return;
    };
    let mut launch = guarded("streaming");
    let ended = launch.spawn_expecting_exit();
    assert!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains("127.0.0.1:8000"), "{}", ended.stderr);
    assert!(!launch.temp_dir().join(".lock").exists());
}

#[test]
fn issuer_that_comes_late_is_waited_for() {
    let Some(turn) = Turn::take("issuer_that_comes_late_is_waited_for") else { return };
    let launch = guarded("serializing");
    let dog = std::thread::scope(|scope| {
        let starting = scope.spawn(|| launch.start());
        std::thread::sleep(std::time::Duration::from_millis(300));
        let issuer = Issuer::start(&turn);
        let dog = starting.join().unwrap();
        let token = issuer.token("k1", &issuer.claims("ns1:fn"));
        assert_eq!(call(&dog, &token).status(), 200);
        dog
    });
    dog.assert_runs();
}
