//! Key sets and tokens of any content: nothing panics, nothing but a right signature is accepted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::auth::claims::Claims;
use crate::auth::keys::KeySet;
use crate::auth::verifier;

const NAMES: [&str; 13] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256",
    "HS384", "HS512", "none",
];

/// A number of one of the sizes that keys and signatures have, or of one beside it.
fn number() -> impl Strategy<Value = String> {
    let sizes = select(vec![0_usize, 1, 3, 31, 32, 33, 47, 48, 64, 96, 255, 256, 257, 512]);
    let bytes = sizes.prop_flat_map(|size| vec(any::<u8>(), size));
    prop_oneof![9 => bytes.prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)), 1 => "(?s).{0,9}"]
}

/// A key: mostly what one has, sometimes too much, too little, or of another kind.
fn jwk() -> impl Strategy<Value = Value> {
    let kinds = select(vec![
        ("EC", "P-256"),
        ("EC", "P-384"),
        ("EC", "P-521"),
        ("OKP", "Ed25519"),
        ("OKP", "X25519"),
        ("RSA", ""),
        ("oct", ""),
        ("", "P-256"),
    ]);
    let members = (kinds, number(), number(), number(), option::of(select(NAMES.to_vec())));
    let uses = (option::of(select(vec!["sig", "enc"])), option::of("verify|sign|"));
    (members, uses).prop_map(|(((kty, crv), x, y, n, alg), (usage, ops))| {
        json!({
            "kty": kty, "crv": Some(crv).filter(|crv| !crv.is_empty()), "x": x, "y": y, "n": n,
            "e": "AQAB", "k": x, "alg": alg, "use": usage, "key_ops": ops.map(|op| [op]),
        })
    })
}

/// The keys with the ids `0`, `1` and so on.
fn named(mut keys: Vec<Value>) -> Value {
    for (place, key) in keys.iter_mut().enumerate() {
        if let Some(members) = key.as_object_mut() {
            members.insert("kid".into(), place.to_string().into());
        }
    }
    json!({ "keys": keys })
}

/// A key that will do, of each type.
fn usable() -> impl Strategy<Value = Value> {
    let bytes = |size| {
        vec(any::<u8>(), size).prop_map(|mut bytes: Vec<u8>| {
            // The numbers of RSA have no leading zeros, and its modulus is odd.
            bytes[0] |= 0x80;
            let last = bytes.len() - 1;
            bytes[last] |= 1;
            URL_SAFE_NO_PAD.encode(bytes)
        })
    };
    prop_oneof![
        (bytes(32), bytes(32))
            .prop_map(|(x, y)| json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})),
        (bytes(48), bytes(48))
            .prop_map(|(x, y)| json!({"kty": "EC", "crv": "P-384", "x": x, "y": y})),
        bytes(32).prop_map(|x| json!({"kty": "OKP", "crv": "Ed25519", "x": x})),
        bytes(256).prop_map(|n| json!({"kty": "RSA", "n": n, "e": "AQAB"})),
    ]
}

proptest! {
    #[test]
    fn every_entry_becomes_a_key_for_signatures_or_a_reason(
        keys in vec(prop_oneof![
            9 => jwk(),
            1 => select(vec![json!(42), json!({}), json!({"kty": 1}), json!(["RSA"])]),
        ], 0..4),
    ) {
        let document = named(keys.clone());
        let set = KeySet::parse(document.to_string().into(), "https://issuer").unwrap();
        let mut count = 0;
        for (place, jwk) in keys.iter().enumerate() {
            let kid = place.to_string();
            prop_assert_eq!(set.find(Some(&kid), Algorithm::HS256).is_some(), set.contains(&kid));
            let Some(key) = set.find(Some(&kid), Algorithm::HS256) else { continue };
            count += 1;
            let algorithms = &key.validation.algorithms;
            prop_assert!(!algorithms.is_empty());
            for algorithm in algorithms {
                let name = format!("{algorithm:?}");
                let kty = match &name[..2] {
                    "RS" | "PS" => "RSA",
                    "ES" => "EC",
                    "Ed" => "OKP",
                    other => panic!("{other} is no public key's"),
                };
                prop_assert_eq!(&jwk["kty"], kty);
                prop_assert!(jwk["alg"].is_null() || jwk["alg"] == name);
            }
            prop_assert!(jwk["use"].is_null() || jwk["use"] == "sig");
            let rules = &key.validation;
            prop_assert!(rules.validate_exp && rules.validate_nbf && rules.validate_aud);
            prop_assert_eq!(rules.required_spec_claims.len(), 3);
        }
        prop_assert_eq!(count + set.skipped().len(), keys.len());
        prop_assert_eq!(set.is_empty(), count == 0);
    }

    #[test]
    fn damaged_sets_are_read_or_refused(
        keys in vec(prop_oneof![jwk(), usable()], 0..3),
        damage in vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let mut document = named(keys).to_string().into_bytes();
        for (place, byte) in damage {
            let place = place.index(document.len());
            document[place] = byte;
        }
        if let Ok(set) = KeySet::parse(document.into(), "https://issuer") {
            let _ = (set.to_string(), set.find(None, Algorithm::ES256));
        }
    }

    #[test]
    fn any_bytes_are_no_set(bytes in vec(any::<u8>(), 0..64)) {
        prop_assert!(KeySet::parse(Bytes::from(bytes), "https://issuer").is_err());
    }

    #[test]
    fn invented_signatures_open_nothing(
        jwk in usable(),
        name in select(NAMES.to_vec()),
        signature in number(),
        damage in option::of((any::<Index>(), "[ -~]")),
    ) {
        verifier::install();
        let set = KeySet::parse(named(vec![jwk]).to_string().into(), "i").unwrap();
        let key = set.find(Some("0"), Algorithm::HS256).unwrap();
        let part = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = part(json!({"alg": name, "kid": "0"}));
        let claims = part(json!({"iss": "i", "aud": "i", "exp": 32_503_680_000_u64}));
        let mut token = format!("{header}.{claims}.{signature}");
        if let Some((place, other)) = damage {
            let places: Vec<usize> = token.char_indices().map(|(place, _)| place).collect();
            token.insert_str(*place.get(&places), &other);
        }
        let _ = jsonwebtoken::decode_header(&token);
        let decoded = jsonwebtoken::decode::<Claims>(&token, &key.decoding, &key.validation);
        prop_assert!(decoded.is_err());
    }
}
