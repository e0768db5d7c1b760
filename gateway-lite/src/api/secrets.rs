//! `/system/secrets`. Values go in and never come out.

use axum::{
    body::Bytes,
    extract::{Query, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use super::{Api, InNamespace};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    name: String,
    namespace: Option<String>,
    value: Option<String>,
    /// Base64; wins, because `value` cannot hold every byte.
    raw_value: Option<String>,
}

impl Secret {
    fn bytes(&self) -> Result<Vec<u8>> {
        match (&self.raw_value, &self.value) {
            (Some(raw), _) if !raw.is_empty() => STANDARD.decode(raw).map_err(|error| {
                let text = format!("rawValue of secret {} is no base64: {error}", self.name);
                Error::Invalid(text)
            }),
            (_, Some(value)) => Ok(value.clone().into_bytes()),
            (_, None) => Err(Error::Invalid(format!("secret {} has no value", self.name))),
        }
    }
}

fn read(api: &Api, query: &InNamespace, body: &[u8]) -> Result<(Secret, String)> {
    let secret: Secret = super::read("a secret", body)?;
    let namespace = query.or(secret.namespace.as_deref()).to_owned();
    api.namespaces.check(&namespace)?;
    Ok((secret, namespace))
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<InNamespace>,
) -> Result<Response> {
    let namespace = query.or(None);
    api.namespaces.check(namespace)?;
    let names = api.secrets.list(namespace)?;
    let all: Vec<_> =
        names.iter().map(|name| json!({ "name": name, "namespace": namespace })).collect();
    Ok(super::show(&all))
}

pub(super) async fn create(
    State(api): State<Api>,
    Query(query): Query<InNamespace>,
    body: Bytes,
) -> Result<Response> {
    let (secret, namespace) = read(&api, &query, &body)?;
    api.secrets.create(&namespace, &secret.name, &secret.bytes()?)?;
    Ok(super::accepted())
}

pub(super) async fn replace(
    State(api): State<Api>,
    Query(query): Query<InNamespace>,
    body: Bytes,
) -> Result<Response> {
    let (secret, namespace) = read(&api, &query, &body)?;
    api.secrets.replace(&namespace, &secret.name, &secret.bytes()?)?;
    Ok(super::accepted())
}

pub(super) async fn remove(
    State(api): State<Api>,
    Query(query): Query<InNamespace>,
    body: Bytes,
) -> Result<Response> {
    let (secret, namespace) = read(&api, &query, &body)?;
    api.secrets.remove(&namespace, &secret.name)?;
    Ok(super::accepted())
}
