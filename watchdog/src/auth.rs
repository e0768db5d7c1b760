//! JWT access control: who may call this function.
//!
//! At start the issuer's discovery document and key set are fetched; each call must then bring a token signed by one
//! of those keys whose `function` claim names this function. OpenFaaS-compatible: the same documents, claim, status
//! codes and headers as the middleware of their watchdog, but with permission patterns that match whole names, a
//! required `exp`, keys that follow the issuer's rotation, and one fixed set of algorithms a key.
//!
//! `bearer` finds the token ▶ `keyring` finds the key (`keys`, renewed with `fetch`) ▶ `verifier` checks the
//! signature ▶ `claims` and `pattern` decide ▶ `denied` words the refusal.

mod bearer;
mod claims;
mod denied;
mod discovery;
mod fetch;
mod keyring;
mod keys;
mod pattern;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod verifier;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use jsonwebtoken::Header;
use jsonwebtoken::errors::ErrorKind;
use tokio::task::JoinSet;

use self::claims::Claims;
use self::keyring::{Keyring, Timing};
use self::keys::Key;

pub use self::denied::Denied;
pub use self::fetch::Failure;

/// Which function is guarded, and who vouches for its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the function, without its namespace.
    pub function: String,
    /// Namespace of the function. Permissions are matched against `namespace:function`.
    pub namespace: String,
    /// Base URL of the authority, for example `http://gateway.openfaas:8080`. The discovery document is looked for
    /// below it, at `/.well-known/openid-configuration` (OIDC Discovery 1.0, section 4).
    pub authority: String,
    /// Log each decision with a summary of the claims. The token itself is never logged.
    pub debug: bool,
}

/// Why access control could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document could not be fetched, not even after the retries.
    #[error("cannot fetch {url} ({attempts} tries): {reason}")]
    Fetch {
        /// The document's address.
        url: String,
        /// How often it, or the document before it, was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: Failure,
    },
    /// A document was fetched but cannot be used.
    #[error("cannot use the document at {url} ({attempts} tries): {reason}")]
    Document {
        /// The document's address.
        url: String,
        /// How often it, or the document before it, was tried.
        attempts: u32,
        /// What is wrong with its content.
        reason: String,
    },
}

/// Decides whether a request may reach the function. Share it with an [`Arc`]; dropping it ends the refreshing of keys.
#[derive(Debug)]
pub struct Authenticator {
    /// `namespace:function`, what the patterns of a token are matched against.
    resource: String,
    debug: bool,
    keyring: Arc<Keyring>,
    /// Holds the refreshing task, which ends when the set is dropped.
    _refresh: JoinSet<()>,
}

impl Authenticator {
    /// Finds the issuer and its keys below [`Config::authority`] and keeps the keys fresh from then on.
    ///
    /// Every request has a deadline of five seconds. Failures are retried with growing pauses, five tries in all, which
    /// takes about eight seconds when the authority refuses at once and never much over half a minute. Must run inside
    /// a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    ///
    /// The discovery document or the key set cannot be fetched, is not what the specifications ask for, or holds no key
    /// that could check a signature.
    pub async fn discover(config: Config) -> Result<Self, Error> {
        Self::discover_with(config, Timing::default()).await
    }

    async fn discover_with(config: Config, timing: Timing) -> Result<Self, Error> {
        verifier::install();
        let found = discovery::discover(&config.authority, &timing).await?;
        if config.debug {
            let (issuer, keys_url) = (&found.issuer, &found.keys_url);
            tracing::info!(%issuer, %keys_url, keys = %found.keys, "access control is on");
        }
        let keyring = Keyring::new(found, timing);
        let mut refresh = JoinSet::new();
        refresh.spawn(Arc::clone(&keyring).keep_fresh());
        Ok(Self {
            resource: format!("{}:{}", config.namespace, config.function),
            debug: config.debug,
            keyring,
            _refresh: refresh,
        })
    }

    /// Checks the token in the `Authorization` header and returns how long that took, which the caller passes on to the
    /// function as `X-Auth-Seconds`.
    ///
    /// Waits only if the token names a key that is not known: then the keys are fetched anew, at most once in ten
    /// seconds whatever tokens arrive, and at most six seconds are spent waiting for that.
    ///
    /// # Errors
    ///
    /// 401 if there is no token, or more than one, or it is not valid (RFC 7519 section 7.2, RFC 8725 section 3); 403
    /// if it is valid but does not permit calling this function.
    pub async fn check(&self, headers: &HeaderMap) -> Result<Duration, Denied> {
        let start = Instant::now();
        let mut seen = Seen::default();
        let decision = self.decide(headers, &mut seen).await;
        if self.debug {
            let (function, key) = (&self.resource, seen.key.as_deref().unwrap_or("none"));
            let claims = seen.claims.as_ref().map_or_else(|| "none".to_owned(), Claims::summary);
            match &decision {
                Ok(()) => tracing::info!(function, key, claims, "access granted"),
                Err(denied) => {
                    let reason = denied.reason();
                    tracing::info!(function, key, claims, reason, "access denied");
                }
            }
        }
        decision.map(|()| start.elapsed())
    }

    async fn decide(&self, headers: &HeaderMap, seen: &mut Seen) -> Result<(), Denied> {
        let token = bearer::token(headers)?;
        let header = jsonwebtoken::decode_header(token).map_err(|error| refusal(error.kind()))?;
        seen.key = header.kid.as_deref().map(shortened);
        // RFC 7515 section 4.1.11: extensions that are critical and not understood make the token invalid. None is
        // understood here.
        if header.crit.is_some() {
            return Err(Denied::invalid("it has critical extensions that are not supported"));
        }
        let keys = self.keys_for(&header).await;
        let key: &Key = keys.find(header.kid.as_deref(), header.alg).ok_or_else(|| {
            Denied::invalid(if header.kid.is_some() {
                "its key is not known"
            } else {
                "it does not name its key"
            })
        })?;
        let data = jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation)
            .map_err(|error| refusal(error.kind()))?;
        let claims = seen.claims.insert(data.claims);
        claims.check_issued_at()?;
        claims.check_access(&self.resource)
    }

    /// The present keys, or newer ones if the token names one that is not among them.
    async fn keys_for(&self, header: &Header) -> Arc<keys::KeySet> {
        let keys = self.keyring.current();
        match header.kid {
            Some(ref kid) if !keys.contains(kid) => self.keyring.newer().await,
            _ => keys,
        }
    }
}

/// What is known about a token by the time of the decision, for the debug log.
#[derive(Default)]
struct Seen {
    key: Option<String>,
    claims: Option<Claims>,
}

/// Enough of a caller's key id to recognise it in a log.
fn shortened(kid: &str) -> String {
    const MAX_CHARS: usize = 64;
    kid.chars().take(MAX_CHARS).collect()
}

/// The reason that goes to the caller: which rule the token breaks, nothing of its content.
fn refusal(kind: &ErrorKind) -> Denied {
    match kind {
        ErrorKind::InvalidSignature => Denied::invalid("its signature does not match"),
        ErrorKind::ExpiredSignature => Denied::invalid("it has expired"),
        ErrorKind::ImmatureSignature => Denied::invalid("it is not valid yet"),
        ErrorKind::InvalidIssuer => Denied::invalid("it is from another issuer"),
        ErrorKind::InvalidAudience => Denied::invalid("it is for another audience"),
        ErrorKind::InvalidAlgorithm => Denied::invalid("its algorithm is not the one of its key"),
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            Denied::invalid(&format!("its claim {claim} is missing or malformed"))
        }
        _ => Denied::invalid("it is malformed or of an unsupported kind"),
    }
}
