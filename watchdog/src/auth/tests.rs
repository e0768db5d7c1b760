//! The whole way, against an issuer in this process: discovery, tokens good and bad, rotation.

mod issuer;
mod keys;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use self::issuer::{Issuer, Reply, Signer, encoded};
use super::keyring::Timing;
use super::{Authenticator, Config, Error, Failure};

/// Long enough never to pass during a test.
const NEVER: Duration = Duration::from_secs(1000);

fn config(authority: &str) -> Config {
    Config {
        function: "fn".into(),
        namespace: "ns1".into(),
        authority: authority.into(),
        debug: true,
    }
}

/// The real deadline, quick tries at start, no regular renewal, no gap between demanded ones.
fn quick() -> Timing {
    Timing {
        deadline: Duration::from_secs(5),
        tries: 3,
        first_pause: Duration::from_millis(10),
        start_limit: NEVER,
        interval: NEVER,
        min_gap: Duration::ZERO,
    }
}

async fn guarded_by(issuer: &Issuer) -> Authenticator {
    Authenticator::discover_with(config(&issuer.url), quick()).await.unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Half a second later, as a JSON number.
fn fraction(seconds: u64) -> Value {
    serde_json::from_str(&format!("{seconds}.5")).unwrap()
}

/// Claims that open `ns1:fn`, with `changes` made; null takes a claim away.
fn claims(issuer: &Issuer, changes: &Value) -> Value {
    let mut claims = json!({
        "iss": issuer.url, "aud": issuer.url, "sub": "someone", "exp": now() + 600, "iat": now(), "nbf": now(),
        "function": {"permissions": ["ns1:fn"]},
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

fn with_token(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    headers
}

/// The status that a request with this token gets, 200 for none of ours.
async fn status(auth: &Authenticator, token: &str) -> StatusCode {
    match auth.check(&with_token(token)).await {
        Ok(_) => StatusCode::OK,
        Err(denied) => denied.status(),
    }
}

#[tokio::test]
async fn claims_table_is_decided_as_the_rules_say() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    let auth = guarded_by(&issuer).await;
    for (changes, expected) in [
        (json!({}), 200),
        (json!({"exp": now() + 60, "nbf": null, "iat": null, "sub": null}), 200),
        (json!({"exp": fraction(now() + 60), "iat": fraction(now() - 1)}), 200),
        (json!({"aud": ["other", issuer.url]}), 200),
        (json!({"function": {"permissions": ["*"]}}), 200),
        (json!({"function": {"permissions": ["ns1:*"], "audience": ["ns1:fn"]}}), 200),
        // Times.
        (json!({"exp": now() - 10}), 401),
        (json!({"exp": null}), 401),
        (json!({"exp": "tomorrow"}), 401),
        (json!({"exp": -1}), 401),
        (json!({"exp": 0}), 401),
        (json!({"nbf": now() + 30}), 401),
        (json!({"nbf": "now"}), 401),
        (json!({"iat": now() + 30}), 401),
        (json!({"iat": "now"}), 401),
        // Parties.
        (json!({"iss": "http://other"}), 401),
        (json!({"iss": null}), 401),
        (json!({"iss": format!("{}/", issuer.url)}), 401),
        (json!({"aud": "http://other"}), 401),
        (json!({"aud": ["a", "b"]}), 401),
        (json!({"aud": []}), 401),
        (json!({"aud": null}), 401),
        // Permissions.
        (json!({"function": null}), 403),
        (json!({"function": {}}), 403),
        (json!({"function": {"permissions": []}}), 403),
        (json!({"function": {"permissions": ["ns1:fn1"]}}), 403),
        (json!({"function": {"permissions": ["xns1:fn"]}}), 403),
        (json!({"function": {"permissions": ["ns1:f"]}}), 403),
        (json!({"function": {"permissions": ["fn"]}}), 403),
        (json!({"function": {"permissions": ["*"], "audience": ["ns2:*"]}}), 403),
        (json!({"function": {"permissions": "*"}}), 401),
    ] {
        let token = key.token(&claims(&issuer, &changes));
        assert_eq!(status(&auth, &token).await, expected, "{changes}");
    }
}

/// Regression: patterns were searched for anywhere in the name, so `ns1:fn` opened `ns1:fn1` and `xns1:fn`.
#[tokio::test]
async fn permission_opens_just_the_function_it_names() {
    let key = Signer::ed25519("k");
    let issuer = Issuer::start(&[&key]).await;
    let token = key.token(&claims(&issuer, &json!({})));
    for (namespace, function, expected) in [
        ("ns1", "fn", 200),
        ("ns1", "fn1", 403),
        ("xns1", "fn", 403),
        ("ns1", "xfn", 403),
        ("ns2", "fn", 403),
    ] {
        let config = Config {
            namespace: namespace.into(),
            function: function.into(),
            ..config(&issuer.url)
        };
        let auth = Authenticator::discover_with(config, quick()).await.unwrap();
        assert_eq!(status(&auth, &token).await, expected, "{namespace}:{function}");
    }
}

#[tokio::test]
async fn every_key_type_is_accepted_with_its_algorithms() {
    let signers =
        [Signer::es256("a"), Signer::es384("b"), Signer::ed25519("c"), Signer::rsa("d", "RS256")];
    let issuer = Issuer::start(&signers.each_ref()).await;
    let auth = guarded_by(&issuer).await;
    let claims = claims(&issuer, &json!({}));
    for signer in &signers {
        assert_eq!(status(&auth, &signer.token(&claims)).await, 200, "{}", signer.alg);
    }
    for alg in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        assert_eq!(status(&auth, &Signer::rsa("d", alg).token(&claims)).await, 200, "{alg}");
    }
}

#[tokio::test]
async fn algorithm_of_the_key_set_is_the_only_one() {
    let key = Signer::rsa("k", "RS256");
    let mut jwk = key.jwk();
    jwk["alg"] = json!("RS256");
    let issuer = Issuer::start(&[]).await;
    issuer.set_keys(&[jwk]);
    let auth = guarded_by(&issuer).await;
    let claims = claims(&issuer, &json!({}));
    assert_eq!(status(&auth, &key.token(&claims)).await, 200);
    assert_eq!(status(&auth, &Signer::rsa("k", "PS256").token(&claims)).await, 401);
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let key = Signer::es256("k");
    let rsa = Signer::rsa("r", "RS256");
    let issuer = Issuer::start(&[&key, &rsa]).await;
    let auth = guarded_by(&issuer).await;
    let claims = claims(&issuer, &json!({}));
    let good = key.token(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    assert_eq!(status(&auth, &good).await, 200);

    // Key confusion: the public key, in any form in which it is known, taken for a shared secret.
    let jwk = rsa.jwk().to_string();
    let modulus = rsa.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [jwk.as_bytes(), modulus.as_bytes(), &rsa.public_key(), &key.public_key()] {
        for kid in ["k", "r"] {
            let token = issuer::hmac_token(kid, secret, &claims);
            assert_eq!(status(&auth, &token).await, 401, "HS256 with {kid}");
        }
    }
    let none = |alg| encoded(&json!({"alg": alg, "typ": "JWT", "kid": "k"}));
    let own_jwk = Signer::es256("k");
    let embedded =
        own_jwk.token_with(&json!({"alg": "ES256", "kid": "k", "jwk": own_jwk.jwk()}), &claims);
    let critical = key.token_with(&json!({"alg": "ES256", "kid": "k", "crit": ["b64"]}), &claims);
    let other_alg = key.token_with(&json!({"alg": "ES384", "kid": "k"}), &claims);
    let other_kid = key.token_with(&json!({"alg": "ES256", "kid": "r"}), &claims);
    let number_kid = key.token_with(&json!({"alg": "ES256", "kid": 1}), &claims);
    let no_kid = key.token_with(&json!({"alg": "ES256"}), &claims);
    let richer = json!({"iss": issuer.url, "aud": issuer.url, "exp": now() + 60, "function": {"permissions": ["*"]}});
    for (what, token) in [
        ("none", format!("{}.{payload}.", none("none"))),
        ("None", format!("{}.{payload}.", none("None"))),
        ("none with a signature", format!("{}.{payload}.{signature}", none("none"))),
        ("no algorithm", format!("{}.{payload}.{signature}", encoded(&json!({"kid": "k"})))),
        ("another key of the same name", Signer::es256("k").token(&claims)),
        ("its own key", embedded),
        ("critical extension", critical),
        ("algorithm of another curve", other_alg),
        ("name of another key", other_kid),
        ("name that is a number", number_kid),
        ("no name and two keys", no_kid),
        ("other claims", format!("{header}.{}.{signature}", encoded(&richer))),
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("cut", good[..good.len() - 2].to_owned()),
        ("padded", format!("{good}==")),
        ("claims that are no object", key.token(&json!([1]))),
        ("dots", "..".into()),
        ("text", "token".into()),
    ] {
        assert_eq!(status(&auth, &token).await, 401, "{what}");
    }
}

#[tokio::test]
async fn token_without_key_id_needs_a_single_key() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    let auth = guarded_by(&issuer).await;
    let token = key.token_with(&json!({"alg": "ES256"}), &claims(&issuer, &json!({})));
    assert_eq!(status(&auth, &token).await, 200);
}

#[tokio::test]
async fn header_forms_are_accepted_and_refused() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    let auth = guarded_by(&issuer).await;
    let token = key.token(&claims(&issuer, &json!({})));
    for (values, expected) in [
        (vec![format!("Bearer {token}")], true),
        (vec![format!("bearer {token}")], true),
        (vec![token.clone()], true),
        (vec![], false),
        (vec![format!("Basic {token}")], false),
        (vec![format!("Bearer {token}"), format!("Bearer {token}")], false),
    ] {
        let mut headers = HeaderMap::new();
        for value in &values {
            headers.append("authorization", HeaderValue::try_from(value).unwrap());
        }
        assert_eq!(auth.check(&headers).await.is_ok(), expected, "{values:?}");
    }
}

/// Regression: keys were fetched once, so a rotation locked every caller out until the restart.
#[tokio::test]
async fn rotated_key_is_accepted_and_the_old_one_no_longer() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let issuer = Issuer::start(&[&old]).await;
    let auth = guarded_by(&issuer).await;
    let claims = claims(&issuer, &json!({}));
    assert_eq!(status(&auth, &old.token(&claims)).await, 200);
    issuer.set_signers(&[&new]);
    assert_eq!(status(&auth, &old.token(&claims)).await, 200, "not renewed yet");
    assert_eq!(status(&auth, &new.token(&claims)).await, 200);
    assert_eq!(status(&auth, &old.token(&claims)).await, 401);
}

#[tokio::test]
async fn keys_are_renewed_regularly() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let issuer = Issuer::start(&[&old]).await;
    let timing = Timing { interval: Duration::from_millis(20), min_gap: NEVER, ..quick() };
    let auth = Authenticator::discover_with(config(&issuer.url), timing).await.unwrap();
    let claims = claims(&issuer, &json!({}));
    issuer.set_signers(&[&new]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while status(&auth, &new.token(&claims)).await != 200 {
        assert!(tokio::time::Instant::now() < deadline, "never renewed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Dropping the authenticator ends the renewals; one may be under way.
    drop(auth);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let fetches = issuer.key_fetches();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(issuer.key_fetches(), fetches);
}

#[tokio::test]
async fn invented_key_ids_cause_one_fetch_in_the_gap() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    let timing = Timing { min_gap: NEVER, ..quick() };
    let auth = Authenticator::discover_with(config(&issuer.url), timing).await.unwrap();
    let claims = claims(&issuer, &json!({}));
    for kid in ["a", "b", "c"] {
        assert_eq!(status(&auth, &Signer::es256(kid).token(&claims)).await, 401);
    }
    assert_eq!(issuer.key_fetches(), 1, "the one at start");
    assert_eq!(status(&auth, &key.token(&claims)).await, 200);
}

#[tokio::test]
async fn waiting_requests_share_one_fetch() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let issuer = Issuer::start(&[&old]).await;
    let timing = Timing { min_gap: Duration::from_millis(1), ..quick() };
    let auth = Arc::new(Authenticator::discover_with(config(&issuer.url), timing).await.unwrap());
    issuer.set_signers(&[&new]);
    issuer.set_delay(Duration::from_millis(200));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let token = new.token(&claims(&issuer, &json!({})));

    // A caller that leaves does not end the fetch it began.
    let first = tokio::time::timeout(Duration::from_millis(50), status(&auth, &token)).await;
    assert!(first.is_err(), "the fetch takes longer");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (auth, token) = (Arc::clone(&auth), token.clone());
        calls.spawn(async move { status(&auth, &token).await });
    }
    assert!(calls.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(issuer.key_fetches(), 2);
}

#[tokio::test]
async fn failed_renewal_keeps_the_old_keys() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    let auth = guarded_by(&issuer).await;
    let claims = claims(&issuer, &json!({}));
    let other = Signer::es256("other").token(&claims);
    for reply in [
        Reply::Status(500),
        Reply::Body(b"<html>".to_vec()),
        Reply::Body(vec![b' '; 2 << 20]),
        Reply::Hangup,
    ] {
        issuer.set_reply(reply);
        assert_eq!(status(&auth, &other).await, 401);
        assert_eq!(status(&auth, &key.token(&claims)).await, 200);
    }
    assert_eq!(issuer.key_fetches(), 5);
    issuer.set_keys(&[]);
    assert_eq!(status(&auth, &other).await, 401);
    assert_eq!(status(&auth, &key.token(&claims)).await, 401, "all keys withdrawn");
}

/// Regression: the start asked once and without a deadline.
#[tokio::test]
async fn start_retries_until_the_issuer_is_up() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    issuer.fail_next(2);
    let auth = guarded_by(&issuer).await;
    assert_eq!(status(&auth, &key.token(&claims(&issuer, &json!({})))).await, 200);
    assert_eq!(issuer.agents(), ["openfaas-watchdog"; 4]);
}

#[tokio::test]
async fn start_fails_with_the_url_and_the_reason() {
    let key = Signer::es256("k");
    for (reply, expected) in [
        (Reply::Status(404), "status 404"),
        (Reply::Redirect("http://elsewhere/".into()), "redirect to \"http://elsewhere/\""),
        (Reply::Body(b"{}".to_vec()), "missing field `keys`"),
        (Reply::Body(br#"{"keys": []}"#.to_vec()), "no usable key"),
        (
            Reply::Body(br#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#.to_vec()),
            "\"oct\" is not supported",
        ),
        (Reply::Body(vec![b' '; 2 << 20]), "more than 1048576 bytes"),
        (Reply::Hangup, "broken HTTP exchange"),
    ] {
        let issuer = Issuer::start(&[&key]).await;
        issuer.set_reply(reply);
        let error = Authenticator::discover_with(config(&issuer.url), quick()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(&format!("{}/keys (3 tries)", issuer.url)), "{text}");
    }
}

#[tokio::test]
async fn start_without_anyone_listening_fails_after_the_tries() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = Authenticator::discover_with(config(&authority), quick()).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Fetch { ref url, attempts: 3, reason: Failure::Connect(_) }
            if *url == format!("{authority}.well-known/openid-configuration")
    ));
}

#[tokio::test]
async fn impossible_address_fails_at_once() {
    for authority in ["gateway:8080", "ftp://gateway", "", "http://"] {
        let error = Authenticator::discover_with(config(authority), quick()).await.unwrap_err();
        let is_url = matches!(error, Error::Fetch { attempts: 1, reason: Failure::Url, .. });
        assert!(is_url, "{authority:?}: {error}");
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn https_without_a_trusted_certificate_fails() {
    use tokio::io::AsyncWriteExt;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Plain\r\n\r\n").await;
        }
    });
    let error = Authenticator::discover_with(config(&authority), quick()).await.unwrap_err();
    assert!(matches!(error, Error::Fetch { attempts: 3, reason: Failure::Tls(_), .. }), "{error}");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn https_without_tls_fails_at_once() {
    let config = config("https://127.0.0.1:1");
    let error = Authenticator::discover_with(config, quick()).await.unwrap_err();
    assert!(matches!(error, Error::Fetch { attempts: 1, reason: Failure::NoTls, .. }), "{error}");
}

#[tokio::test]
async fn empty_issuer_is_refused() {
    let issuer = Issuer::start(&[&Signer::es256("k")]).await;
    issuer.set_issuer_name("");
    let error = Authenticator::discover_with(config(&issuer.url), quick()).await.unwrap_err();
    assert!(error.to_string().contains("the issuer is empty"), "{error}");
}

#[tokio::test]
async fn silent_issuer_is_given_up_after_the_deadline() {
    // The system's queue accepts the connection; nobody ever answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("http://{}", listener.local_addr().unwrap());
    let timing = Timing { deadline: Duration::from_millis(50), tries: 2, ..quick() };
    let error = Authenticator::discover_with(config(&authority), timing).await.unwrap_err();
    assert!(matches!(error, Error::Fetch { attempts: 2, reason: Failure::Late(_), .. }), "{error}");
}
