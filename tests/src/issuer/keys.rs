//! Key pairs, each for one algorithm: what is published of them, and what they sign.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::PublicKeyData as _;
use ring::{
    rand::SystemRandom,
    signature::{
        self as sig, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
        RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};

/// How tokens are signed (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSA, PKCS #1 version 1.5, with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
}

impl Algorithm {
    /// Every one with a public key that `ring` knows.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// Those of RSA keys: any such key could be used with each of them.
    pub const RSA: [Self; 6] =
        [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// As it is called in `alg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    fn ecdsa(self) -> Option<&'static EcdsaSigningAlgorithm> {
        match self {
            Self::Es256 => Some(&sig::ECDSA_P256_SHA256_FIXED_SIGNING),
            Self::Es384 => Some(&sig::ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => None,
        }
    }

    fn rsa(self) -> Option<&'static dyn RsaEncoding> {
        match self {
            Self::Rs256 => Some(&sig::RSA_PKCS1_SHA256),
            Self::Rs384 => Some(&sig::RSA_PKCS1_SHA384),
            Self::Rs512 => Some(&sig::RSA_PKCS1_SHA512),
            Self::Ps256 => Some(&sig::RSA_PSS_SHA256),
            Self::Ps384 => Some(&sig::RSA_PSS_SHA384),
            Self::Ps512 => Some(&sig::RSA_PSS_SHA512),
            _ => None,
        }
    }
}

/// Who has a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Issuer,
    Stranger,
}

impl Owner {
    /// RSA keys are fixed, since `ring` makes none.
    fn rsa_key(self) -> &'static str {
        match self {
            Self::Issuer => include_str!("rsa/issuer.pem"),
            Self::Stranger => include_str!("rsa/stranger.pem"),
        }
    }
}

#[derive(Debug)]
pub(super) struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
    /// The public key as `SubjectPublicKeyInfo` (RFC 5280 section 4.1), DER.
    info: Vec<u8>,
}

#[derive(Debug)]
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

impl SigningKey {
    /// A new key, or that of `owner` for RSA.
    pub(super) fn new(algorithm: Algorithm, owner: Owner) -> Self {
        let random = SystemRandom::new();
        let (pair, document) = if let Some(kind) = algorithm.ecdsa() {
            let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random);
            (Pair::Ecdsa(pair.expect("that key")), document.as_ref().to_vec())
        } else if let Some(encoding) = algorithm.rsa() {
            let document = PrivatePkcs8KeyDer::from_pem_slice(owner.rsa_key().as_bytes());
            let document = document.expect("a key in PEM").secret_pkcs8_der().to_vec();
            let pair = RsaKeyPair::from_pkcs8(&document);
            (Pair::Rsa(pair.expect("an RSA key"), encoding), document)
        } else {
            let document = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
            let pair = Ed25519KeyPair::from_pkcs8(document.as_ref());
            (Pair::Ed25519(pair.expect("that key")), document.as_ref().to_vec())
        };
        let info = rcgen::KeyPair::try_from(document).expect("that key");
        Self { algorithm, pair, info: info.subject_public_key_info() }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn sign(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                pair.sign(&random, input).expect("random numbers").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &random, input, &mut signature).expect("random numbers");
                signature
            }
        }
    }

    /// The public key as a JSON Web Key (RFC 7517) that asks for this algorithm.
    pub(super) fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Ecdsa(pair) => {
                // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
            Pair::Rsa(pair, _) => {
                let key = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": text(&key.n), "e": text(&key.e)})
            }
        };
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk["kid"] = id.into();
        jwk
    }

    /// All that a careless verifier might take for a secret: what is published, in any of its forms.
    pub(super) fn published_forms(&self, id: &str) -> Vec<Vec<u8>> {
        let jwk = self.jwk(id);
        let member = if matches!(self.pair, Pair::Rsa(..)) { "n" } else { "x" };
        let number = jwk[member].as_str().unwrap_or_default();
        let raw = match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair, _) => pair.public_key().as_ref(),
        };
        vec![
            raw.to_vec(),
            self.info.clone(),
            pem("PUBLIC KEY", &self.info).into_bytes(),
            number.as_bytes().to_vec(),
            URL_SAFE_NO_PAD.decode(number).expect("our own encoding"),
            jwk.to_string().into_bytes(),
        ]
    }
}

/// Binary data as text with a label (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
