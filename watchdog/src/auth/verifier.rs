//! Signature checks for `jsonwebtoken`, done by `ring`.
//!
//! The library's own back ends bring signing, key parsing and HMAC along and are several times larger. This one checks
//! signatures of public keys and does nothing else, so a symmetric key cannot be used even by mistake.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature as ring;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(unsupported()),
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Makes `jsonwebtoken` use these checks, in the whole process. Later calls change nothing; neither does the first one
/// if the program has chosen other checks before.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the type is the library's")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let method = Method::of(*algorithm).ok_or_else(unsupported)?;
    Ok(Box::new(KeyVerifier { algorithm: *algorithm, method, key: key.clone() }))
}

/// How `ring` checks signatures of one algorithm: RSA keys come as two numbers, the others as bytes.
enum Method {
    Bytes(&'static dyn ring::VerificationAlgorithm),
    Rsa(&'static ring::RsaParameters),
}

impl Method {
    /// RFC 7518 section 3.1 (RS, PS, ES: fixed-length signatures), RFC 8037 section 3.1 (`EdDSA`). HMAC has none.
    fn of(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::EdDSA => Self::Bytes(&ring::ED25519),
            Algorithm::ES256 => Self::Bytes(&ring::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Self::Bytes(&ring::ECDSA_P384_SHA384_FIXED),
            Algorithm::RS256 => Self::Rsa(&ring::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Self::Rsa(&ring::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Self::Rsa(&ring::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Self::Rsa(&ring::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Self::Rsa(&ring::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Self::Rsa(&ring::RSA_PSS_2048_8192_SHA512),
            _ => return None,
        })
    }
}

struct KeyVerifier {
    algorithm: Algorithm,
    method: Method,
    key: DecodingKey,
}

impl JwtVerifier for KeyVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for KeyVerifier {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        let checked = match (&self.method, self.key.kind()) {
            (Method::Bytes(algorithm), DecodingKeyKind::SecretOrDer(key)) => {
                ring::UnparsedPublicKey::new(*algorithm, key).verify(message, signature)
            }
            (Method::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                ring::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        checked.map_err(|_| signature::Error::new())
    }
}
