//! `/system/namespaces` and `/system/namespace/[NAME]`.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::Api;
use crate::{
    error::{Error, Result},
    namespaces::Namespace,
};

pub(super) async fn list(State(api): State<Api>) -> Response {
    super::show(&api.namespaces.list())
}

pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Response> {
    Ok(super::show(&api.namespaces.get(&name)?))
}

fn read(path: Option<Path<String>>, body: &[u8]) -> Result<Namespace> {
    let mut namespace: Namespace = super::read("a namespace", body)?;
    if let Some(Path(name)) = path {
        if !namespace.name.is_empty() && namespace.name != name {
            let text =
                format!("the path names namespace {name}, the body {}: name one", namespace.name);
            return Err(Error::Invalid(text));
        }
        namespace.name = name;
    }
    Ok(namespace)
}

pub(super) async fn create(
    State(api): State<Api>,
    path: Option<Path<String>>,
    body: Bytes,
) -> Result<Response> {
    api.namespaces.create(read(path, &body)?)?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn update(
    State(api): State<Api>,
    path: Path<String>,
    body: Bytes,
) -> Result<Response> {
    api.namespaces.update(read(Some(path), &body)?)?;
    Ok(super::accepted())
}

/// An empty one only: nothing is lost by mistake.
pub(super) async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<Response> {
    api.namespaces.check(&name)?;
    let functions = api.registry.list(Some(&name));
    if let Some(first) = functions.first() {
        let text = format!(
            "namespace {name} has {} functions, {} among them: remove them first",
            functions.len(),
            first.id.name()
        );
        return Err(Error::Conflict(text));
    }
    for secret in api.secrets.list(&name)? {
        api.secrets.remove(&name, &secret)?;
    }
    api.namespaces.remove(&name)?;
    Ok(super::accepted())
}
