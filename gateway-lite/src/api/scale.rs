//! `/system/scale-function/NAME`.

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{Api, InNamespace, functions};
use crate::error::{Error, Result};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    service_name: Option<String>,
    replicas: u64,
    namespace: Option<String>,
}

/// The path names the function; a body that names another one is a mistake.
pub(super) async fn post(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<InNamespace>,
    body: Bytes,
) -> Result<Response> {
    let wanted: Wanted = super::read("a number of replicas", &body)?;
    let namespace = [wanted.namespace.as_deref(), query.namespace.as_deref()];
    let namespace = namespace.into_iter().flatten().find(|name| !name.is_empty());
    let id = functions::named(&name, namespace)?;
    if let Some(other) = wanted.service_name.filter(|other| !other.is_empty())
        && functions::named(&other, namespace)? != id
    {
        let text = format!("the path names function {id}, the body {other}: name one");
        return Err(Error::Invalid(text));
    }
    let replicas = u32::try_from(wanted.replicas).map_err(|_| {
        Error::Invalid(format!("{} replicas of function {id} are too many", wanted.replicas))
    })?;
    api.control.scale(&id, replicas).await?;
    Ok(super::accepted())
}
