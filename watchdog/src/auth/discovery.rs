//! Finds the issuer and its first key set, patiently: the function and the gateway may be starting together.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::keyring::Timing;
use super::keys::KeySet;
use super::{Error, Failure, fetch};

/// Where a provider publishes its configuration (OIDC Discovery 1.0, section 4).
const PATH: &str = "/.well-known/openid-configuration";

/// What has to be known about the issuer.
pub(super) struct Found {
    /// `iss` and `aud` of the tokens.
    pub(super) issuer: String,
    /// Where the keys are, and will be when they have changed.
    pub(super) keys_url: String,
    pub(super) keys: KeySet,
}

/// The members of the discovery document that are of use here.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// What is wrong with one try, and at which address.
struct Problem {
    url: String,
    kind: Kind,
}

enum Kind {
    Fetch(Failure),
    Document(String),
}

/// Fetches both documents, trying again as `timing` says.
pub(super) async fn discover(authority: &str, timing: &Timing) -> Result<Found, Error> {
    let start = Instant::now();
    let mut pause = timing.first_pause;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let problem = match attempt(authority, timing.deadline).await {
            Ok(found) => {
                for reason in found.keys.skipped() {
                    tracing::warn!(url = %found.keys_url, "ignored a key of the issuer: {reason}");
                }
                return Ok(found);
            }
            Err(problem) => problem,
        };
        let error = problem.after(attempts);
        let is_final = matches!(&error, Error::Fetch { reason, .. } if reason.is_final());
        if is_final || attempts == timing.tries || start.elapsed() + pause > timing.start_limit {
            return Err(error);
        }
        tracing::warn!(retry_in = ?pause, "{error}");
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

async fn attempt(authority: &str, deadline: Duration) -> Result<Found, Problem> {
    let url = format!("{}{PATH}", authority.trim_end_matches('/'));
    let document = read(&url, deadline).await.map_err(|kind| Problem { url, kind })?;
    match read_keys(&document, deadline).await {
        Ok(keys) => Ok(Found { issuer: document.issuer, keys_url: document.jwks_uri, keys }),
        Err(kind) => Err(Problem { url: document.jwks_uri, kind }),
    }
}

async fn read(url: &str, deadline: Duration) -> Result<Document, Kind> {
    let body = fetch::get(url, deadline).await.map_err(Kind::Fetch)?;
    Document::parse(&body).map_err(Kind::Document)
}

async fn read_keys(document: &Document, deadline: Duration) -> Result<KeySet, Kind> {
    let body = fetch::get(&document.jwks_uri, deadline).await.map_err(Kind::Fetch)?;
    let keys = KeySet::parse(body, &document.issuer).map_err(Kind::Document)?;
    if keys.is_empty() {
        let reasons = keys.skipped().join("; ");
        return Err(Kind::Document(format!("no usable key ({reasons})")));
    }
    Ok(keys)
}

impl Document {
    fn parse(body: &[u8]) -> Result<Self, String> {
        let document: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        // With an empty name any token without one would do.
        if document.issuer.is_empty() {
            return Err("the issuer is empty".into());
        }
        Ok(document)
    }
}

impl Problem {
    fn after(self, attempts: u32) -> Error {
        let url = self.url;
        match self.kind {
            Kind::Fetch(reason) => Error::Fetch { url, attempts, reason },
            Kind::Document(reason) => Error::Document { url, attempts, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::Document;

    proptest! {
        #[test]
        fn damaged_documents_are_read_or_refused(
            issuer in "(?s).{0,8}",
            jwks_uri in "(?s).{0,8}",
            damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let document = json!({"issuer": issuer, "jwks_uri": jwks_uri, "scopes_supported": [1]});
            let mut document = document.to_string().into_bytes();
            for (place, byte) in &damage {
                let place = place.index(document.len());
                document[place] = *byte;
            }
            match Document::parse(&document) {
                Ok(read) if damage.is_empty() => {
                    prop_assert!(!read.issuer.is_empty());
                    prop_assert_eq!((read.issuer, read.jwks_uri), (issuer, jwks_uri));
                }
                Ok(read) => prop_assert!(!read.issuer.is_empty()),
                Err(_) => prop_assert!(!damage.is_empty() || issuer.is_empty()),
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..64)) {
            prop_assert!(Document::parse(&bytes).is_err());
        }
    }
}
