//! The issuer's public keys: a JSON Web Key Set (RFC 7517) with each key tied to its algorithms.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::claims::LEEWAY_SECONDS;

/// 2048 bits: NIST SP 800-131A, and the least that `ring` accepts.
const MIN_RSA_BYTES: usize = 256;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The usable keys of one version of the issuer's key set.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Why other keys were left out, one line each.
    skipped: Vec<String>,
    /// The document, to see whether a later one differs.
    document: Bytes,
}

/// One public key with everything a token that names it is checked against.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    pub(super) decoding: DecodingKey,
    /// Pins the algorithms, issuer and audience, requires and checks `exp`, checks `nbf`.
    pub(super) validation: Validation,
}

impl KeySet {
    /// Reads a key set. Keys that cannot be used are left out, with a reason in [`KeySet::skipped`].
    pub(super) fn parse(document: Bytes, issuer: &str) -> Result<Self, String> {
        let set: Document =
            serde_json::from_slice(&document).map_err(|error| format!("not a key set: {error}"))?;
        let mut keys = Vec::with_capacity(set.keys.len());
        let mut skipped = Vec::new();
        for (place, value) in set.keys.into_iter().enumerate() {
            match Jwk::deserialize(&value) {
                Ok(jwk) => match jwk.public_key() {
                    Ok((decoding, algorithms)) => keys.push(Key {
                        kid: jwk.kid,
                        decoding,
                        validation: validation(algorithms, issuer),
                    }),
                    Err(reason) => {
                        let kid = jwk.kid.unwrap_or_default();
                        skipped.push(format!("key {kid:?}: {reason}"));
                    }
                },
                Err(error) => skipped.push(format!("entry {place} of the set: {error}")),
            }
        }
        Ok(Self { keys, skipped, document })
    }

    /// Whether some key has this id.
    pub(super) fn contains(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The key for a token. Keys of different types may share an id (RFC 7517 section 4.5), so the one that fits the
    /// token's algorithm comes first. A token that names no key is taken only if there is no choice.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let Some(kid) = kid else {
            return match self.keys.as_slice() {
                [only] => Some(only),
                _ => None,
            };
        };
        let named = || self.keys.iter().filter(|key| key.kid.as_deref() == Some(kid));
        named()
            .find(|key| key.validation.algorithms.contains(&algorithm))
            .or_else(|| named().next())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the set was read from just this document.
    pub(super) fn is_from(&self, document: &Bytes) -> bool {
        self.document == document
    }

    /// Why other keys were left out, one line each.
    pub(super) fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

/// The key ids, for logs.
impl fmt::Display for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| key.kid.as_deref().unwrap_or_default()))
            .finish()
    }
}

fn validation(algorithms: &[Algorithm], issuer: &str) -> Validation {
    let mut validation = Validation {
        algorithms: algorithms.to_vec(),
        leeway: LEEWAY_SECONDS.into(),
        validate_exp: true,
        validate_nbf: true,
        validate_aud: true,
        ..Validation::default()
    };
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_issuer(&[issuer]);
    // Function tokens are issued by the gateway for the gateway.
    validation.set_audience(&[issuer]);
    validation
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members of a JSON Web Key that concern public signature keys (RFC 7517 section 4, RFC 7518 section 6, RFC 8037).
#[derive(Deserialize)]
struct Jwk {
    kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// The key and the algorithms it may be used with, or why it cannot be used.
    fn public_key(&self) -> Result<(DecodingKey, &'static [Algorithm]), String> {
        if self.usage.as_ref().is_some_and(|usage| usage != "sig") {
            return Err("its use is not sig".into());
        }
        if self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err("its key_ops lack verify".into());
        }
        let (key, possible): (_, &'static [Algorithm]) =
            match (self.kty.as_str(), self.crv.as_deref()) {
                ("EC", Some("P-256")) => (self.ec_key(32)?, &[Algorithm::ES256]),
                ("EC", Some("P-384")) => (self.ec_key(48)?, &[Algorithm::ES384]),
                ("OKP", Some("Ed25519")) => {
                    let x = sized("x", decoded("x", self.x.as_deref())?, 32)?;
                    (DecodingKey::from_ed_der(&x), &[Algorithm::EdDSA])
                }
                ("RSA", _) => (self.rsa_key()?, RSA),
                (kty, None) => return Err(format!("its kty {kty:?} is not supported")),
                (kty, Some(crv)) => {
                    return Err(format!("its kty {kty:?} with crv {crv:?} is not supported"));
                }
            };
        Ok((key, self.pinned(possible)?))
    }

    /// The one algorithm that the key asks for if it does, else all that are possible with it.
    fn pinned(&self, possible: &'static [Algorithm]) -> Result<&'static [Algorithm], String> {
        let Some(name) = self.alg.as_deref() else {
            return Ok(possible);
        };
        // RFC 9864 renames EdDSA with this curve.
        let known = if name == "Ed25519" { "EdDSA" } else { name };
        possible
            .iter()
            .position(|algorithm| known.parse().as_ref() == Ok(algorithm))
            .map(|place| &possible[place..=place])
            .ok_or_else(|| format!("its alg {name:?} is not supported with its kty {:?}", self.kty))
    }

    fn ec_key(&self, coordinate_bytes: usize) -> Result<DecodingKey, String> {
        // SEC 1 section 2.3.3: an uncompressed point is 4, then both coordinates.
        let mut point = vec![4];
        point.extend(sized("x", decoded("x", self.x.as_deref())?, coordinate_bytes)?);
        point.extend(sized("y", decoded("y", self.y.as_deref())?, coordinate_bytes)?);
        Ok(DecodingKey::from_ec_der(&point))
    }

    fn rsa_key(&self) -> Result<DecodingKey, String> {
        let n = decoded("n", self.n.as_deref())?;
        let e = decoded("e", self.e.as_deref())?;
        // Some issuers pad the numbers with zero octets, which RFC 7518 section 2 forbids and the check would refuse.
        let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
        if n.len() < MIN_RSA_BYTES {
            return Err("it is an RSA key of less than 2048 bits".into());
        }
        if e.is_empty() {
            return Err("its e is zero".into());
        }
        Ok(DecodingKey::from_rsa_raw_components(n, e))
    }
}

fn decoded(member: &str, value: Option<&str>) -> Result<Vec<u8>, String> {
    let value = value.ok_or_else(|| format!("its {member} is missing"))?;
    URL_SAFE_NO_PAD
        .decode(value.trim_end_matches('='))
        .map_err(|error| format!("its {member} is not base64url: {error}"))
}

fn sized(member: &str, value: Vec<u8>, bytes: usize) -> Result<Vec<u8>, String> {
    if value.len() == bytes {
        Ok(value)
    } else {
        Err(format!("its {member} has {} bytes instead of {bytes}", value.len()))
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    &number[start..]
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    use super::{KeySet, RSA};

    fn parse(keys: &Value) -> KeySet {
        let document = Bytes::from(json!({"keys": keys}).to_string());
        KeySet::parse(document, "https://issuer").unwrap()
    }

    /// What `bytes` zero bytes look like in base64url, good enough where nothing is verified; the first is 1.
    fn number(bytes: usize) -> String {
        use base64::Engine;
        let mut number = vec![0; bytes];
        if let Some(first) = number.first_mut() {
            *first = 1;
        }
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(number)
    }

    #[test]
    fn key_table_pins_the_algorithms() {
        let (n32, n48, n256) = (number(32), number(48), number(256));
        let padded = "AA".to_owned() + &n256[2..];
        for (jwk, algorithms) in [
            (json!({"kty": "EC", "crv": "P-256", "x": n32, "y": n32}), &[Algorithm::ES256][..]),
            (json!({"kty": "EC", "crv": "P-384", "x": n48, "y": n48}), &[Algorithm::ES384]),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": n32}), &[Algorithm::EdDSA]),
            (
                json!({"kty": "OKP", "crv": "Ed25519", "x": n32.clone() + "=", "alg": "Ed25519"}),
                &[Algorithm::EdDSA],
            ),
            (json!({"kty": "RSA", "n": n256, "e": "AQAB"}), RSA),
            (json!({"kty": "RSA", "n": n256, "e": "AQAB", "alg": "PS384"}), &[Algorithm::PS384]),
            (
                json!({"kty": "RSA", "n": n256, "e": "AAEAAQ", "use": "sig", "key_ops": ["verify"]}),
                RSA,
            ),
            // Unusable ones.
            (json!({"kty": "EC", "crv": "P-256", "x": n32, "y": n32, "alg": "ES384"}), &[]),
            (json!({"kty": "EC", "crv": "P-256", "x": n32, "y": n32, "alg": "HS256"}), &[]),
            (json!({"kty": "EC", "crv": "P-256", "x": n48, "y": n32}), &[]),
            (json!({"kty": "EC", "crv": "P-256", "x": n32}), &[]),
            (json!({"kty": "EC", "crv": "P-521", "x": number(66), "y": number(66)}), &[]),
            (json!({"kty": "EC", "crv": "secp256k1", "x": n32, "y": n32}), &[]),
            (json!({"kty": "OKP", "crv": "X25519", "x": n32}), &[]),
            (json!({"kty": "RSA", "n": n256, "e": "AQAB", "use": "enc"}), &[]),
            (json!({"kty": "RSA", "n": n256, "e": "AQAB", "key_ops": ["encrypt"]}), &[]),
            (json!({"kty": "RSA", "n": n256, "e": "AQAB", "alg": "RSA-OAEP"}), &[]),
            (json!({"kty": "RSA", "n": n256, "e": "AQAB", "alg": "none"}), &[]),
            (json!({"kty": "RSA", "n": n256, "e": "AA"}), &[]),
            (json!({"kty": "RSA", "n": number(128), "e": "AQAB"}), &[]),
            (json!({"kty": "RSA", "n": padded, "e": "AQAB"}), &[]),
            (json!({"kty": "RSA", "n": "?", "e": "AQAB"}), &[]),
            (json!({"kty": "oct", "k": n32, "alg": "HS256"}), &[]),
            (json!({"kty": "oct", "k": n32}), &[]),
            (json!({"kty": 1}), &[]),
            (json!({}), &[]),
            (json!("key"), &[]),
        ] {
            let set = parse(&json!([jwk]));
            let found = set.keys.first().map_or(&[][..], |key| &key.validation.algorithms);
            assert_eq!(found, algorithms, "{jwk}");
            assert_eq!(set.skipped().len(), usize::from(algorithms.is_empty()), "{jwk}");
        }
    }

    #[test]
    fn unusable_key_leaves_the_others() {
        let n32 = number(32);
        let set = parse(&json!([
            {"kty": "oct", "k": n32, "kid": "a"},
            42,
            {"kty": "OKP", "crv": "Ed25519", "x": n32, "kid": "b"},
        ]));
        assert!(!set.contains("a") && set.contains("b"));
        assert_eq!(set.skipped().len(), 2);
        assert!(set.find(None, Algorithm::EdDSA).is_some());
    }

    #[test]
    fn key_is_found_by_id_then_algorithm() {
        let (n32, n48) = (number(32), number(48));
        let set = parse(&json!([
            {"kty": "EC", "crv": "P-256", "x": n32, "y": n32, "kid": "a"},
            {"kty": "EC", "crv": "P-384", "x": n48, "y": n48, "kid": "a"},
        ]));
        let found =
            |kid, algorithm| set.find(kid, algorithm).map(|key| key.validation.algorithms[0]);
        assert_eq!(found(Some("a"), Algorithm::ES384), Some(Algorithm::ES384));
        assert_eq!(found(Some("a"), Algorithm::ES256), Some(Algorithm::ES256));
        assert_eq!(found(Some("a"), Algorithm::HS256), Some(Algorithm::ES256));
        assert_eq!(found(Some("b"), Algorithm::ES256), None);
        assert_eq!(found(None, Algorithm::ES256), None);
    }

    #[test]
    fn document_that_is_no_set_is_an_error() {
        for text in ["", "{}", "[]", r#"{"keys": 1}"#, "<html>"] {
            assert!(KeySet::parse(Bytes::from(text), "i").is_err(), "{text:?}");
        }
    }
}
