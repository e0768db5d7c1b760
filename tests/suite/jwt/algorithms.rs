//! Every algorithm that a key of the issuer may be for, RS256 first of all: most issuers use it.

use e2e::issuer::{Algorithm, Issuer, Turn};
use serde_json::json;

use super::{assert_unauthorized, call, changed, guarded};

/// A middle character of a part of a token, replaced: each bit of it counts, unlike the last one's.
fn tampered(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let middle = parts[part].len() / 2;
    let other = if parts[part].as_bytes()[middle] == b'A' { "B" } else { "A" };
    parts[part].replace_range(middle..=middle, other);
    parts.join(".")
}

#[test]
fn token_of_every_algorithm_is_checked() {
    let Some(turn) = Turn::take("token_of_every_algorithm_is_checked") else { return };
    let issuer = Issuer::start(&turn);
    for algorithm in Algorithm::ALL {
        issuer.add_key(algorithm.name(), algorithm);
    }
    let dog = guarded("serializing").start();
    let claims = issuer.claims("ns1:fn");
    for algorithm in Algorithm::ALL {
        let name = algorithm.name();
        let good = issuer.token(name, &claims);
        assert_eq!(call(&dog, &good).status(), 200, "{name}: {}", dog.log());

        let (input, signature) = good.rsplit_once('.').unwrap();
        let other = issuer.token(name, &changed(&issuer, json!({"sub": "fed:other"})));
        let (other_input, other_signature) = other.rsplit_once('.').unwrap();
        for (what, token) in [
            ("tampered claims", tampered(&good, 1)),
            ("tampered signature", tampered(&good, 2)),
            ("signature of another token", format!("{input}.{other_signature}")),
            ("other claims, same signature", format!("{other_input}.{signature}")),
            ("half a signature", format!("{input}.{}", &signature[..signature.len() / 8 * 4])),
            ("no signature", format!("{input}.")),
            ("a stranger's key", issuer.forged_token(name, &claims)),
        ] {
            let response = call(&dog, &token);
            assert_unauthorized(&response, &format!("{name}: {what}"));
            assert!(response.text().contains("signature"), "{name}: {what}: {}", response.text());
        }
        // The right signature does not make up for what the claims say.
        let closed = issuer.token(name, &issuer.claims("ns1:other"));
        assert_eq!(call(&dog, &closed).status(), 403, "{name}");
        let expired = issuer.token(name, &changed(&issuer, json!({"exp": 1})));
        let response = call(&dog, &expired);
        assert_unauthorized(&response, name);
        assert!(response.text().contains("expired"), "{name}: {}", response.text());
    }
}

/// RFC 8725 section 3.1: what a key is for is not the sender's choice.
#[test]
fn key_works_with_its_own_algorithm_only() {
    let Some(turn) = Turn::take("key_works_with_its_own_algorithm_only") else { return };
    let issuer = Issuer::start(&turn);
    for algorithm in Algorithm::RSA {
        issuer.add_key(algorithm.name(), algorithm);
    }
    let dog = guarded("serializing").start();
    let claims = issuer.claims("ns1:fn");
    // The RSA keys are all the same one, so that only what they are published for tells them apart.
    for signed in Algorithm::RSA.map(Algorithm::name) {
        for named in Algorithm::RSA.map(Algorithm::name) {
            let header = json!({"typ": "JWT", "alg": signed, "kid": named});
            let response = call(&dog, &issuer.token_with(signed, &header, &claims));
            if signed == named {
                assert_eq!(response.status(), 200, "{signed}: {}", response.text());
            } else {
                assert_unauthorized(&response, &format!("{signed} with the key for {named}"));
            }
        }
    }
}

/// RFC 7517 section 4.4: `alg` may be left out, as some issuers do with their RSA keys.
#[test]
fn rsa_key_for_no_certain_algorithm_works_with_each() {
    let Some(turn) = Turn::take("rsa_key_for_no_certain_algorithm_works_with_each") else { return };
    let issuer = Issuer::start(&turn);
    for algorithm in Algorithm::RSA {
        issuer.add_key(algorithm.name(), algorithm);
    }
    let mut any = issuer.jwk("RS256");
    any.as_object_mut().unwrap().remove("alg");
    any["kid"] = json!("any");
    issuer.publish(any);
    let dog = guarded("serializing").start();
    let claims = issuer.claims("ns1:fn");
    for signed in Algorithm::RSA.map(Algorithm::name) {
        for told in Algorithm::RSA.map(Algorithm::name) {
            let header = json!({"typ": "JWT", "alg": told, "kid": "any"});
            let response = call(&dog, &issuer.token_with(signed, &header, &claims));
            if signed == told {
                assert_eq!(response.status(), 200, "{signed}: {}", response.text());
            } else {
                assert_unauthorized(&response, &format!("{signed} that says {told}"));
            }
        }
    }
    for told in ["ES256", "ES384", "EdDSA", "HS256"] {
        let header = json!({"typ": "JWT", "alg": told, "kid": "any"});
        let response = call(&dog, &issuer.token_with("RS256", &header, &claims));
        assert_unauthorized(&response, &format!("RS256 that says {told}"));
    }
}
