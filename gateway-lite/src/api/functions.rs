//! `/system/functions` and `/system/function/NAME`.

use std::sync::atomic::Ordering;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{Api, InNamespace};
use crate::{
    error::{Error, Result},
    function::{Deployed, FunctionId, FunctionSpec, FunctionStatus, Usage},
    registry::Function,
};

/// Without a namespace: those of the default one.
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<InNamespace>,
) -> Result<Response> {
    let namespace = query.or(None);
    api.namespaces.check(namespace)?;
    let functions = api.registry.list(Some(namespace));
    let all: Vec<_> = functions.iter().map(|function| status(function, None)).collect();
    Ok(super::show(&all))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct One {
    namespace: Option<String>,
    usage: Option<String>,
}

pub(super) async fn get(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<One>,
) -> Result<Response> {
    let id = named(&name, query.namespace.as_deref())?;
    let function = api.registry.get(&id).ok_or_else(|| unknown(&id))?;
    let usage = match query.usage.as_deref() {
        Some("1" | "true") => api.control.usage(&id).await,
        _ => None,
    };
    Ok(super::show(&status(&function, usage)))
}

pub(super) async fn deploy(State(api): State<Api>, body: Bytes) -> Result<Response> {
    let spec = read(&api, &body)?;
    api.control.deploy(spec).await?;
    Ok(super::accepted())
}

pub(super) async fn update(State(api): State<Api>, body: Bytes) -> Result<Response> {
    let spec = read(&api, &body)?;
    api.control.update(spec).await?;
    Ok(super::accepted())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unwanted {
    function_name: String,
    namespace: Option<String>,
}

pub(super) async fn remove(
    State(api): State<Api>,
    Query(query): Query<InNamespace>,
    body: Bytes,
) -> Result<Response> {
    let unwanted: Unwanted = super::read("the name of a function", &body)?;
    let namespace = query.or(unwanted.namespace.as_deref());
    api.control.remove(&FunctionId::new(&unwanted.function_name, namespace)?).await?;
    Ok(super::accepted())
}

fn read(api: &Api, body: &[u8]) -> Result<FunctionSpec> {
    let spec: FunctionSpec = super::read("a function", body)?;
    spec.check()?;
    match api.namespaces.check(spec.namespace()) {
        // It is the request that is wrong; 404 would say that the function is not there.
        Err(Error::NotFound(text)) => Err(Error::Invalid(text)),
        checked => checked.map(|()| spec),
    }
}

/// `NAME` in a namespace, or `NAME.NAMESPACE`.
pub(super) fn named(name: &str, namespace: Option<&str>) -> Result<FunctionId> {
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    match (namespace, name.rsplit_once('.')) {
        (Some(namespace), _) => FunctionId::new(name, namespace),
        (None, Some((name, namespace))) => FunctionId::new(name, namespace),
        (None, None) => FunctionId::new(name, crate::function::DEFAULT_NAMESPACE),
    }
}

pub(super) fn unknown(id: &FunctionId) -> Error {
    Error::NotFound(format!("no such function: {id}"))
}

fn status(function: &Function, usage: Option<Usage>) -> FunctionStatus {
    let revision = function.revision.load();
    let replicas = function.desired.load(Ordering::Acquire);
    let available = u32::try_from(function.endpoints.load().len()).unwrap_or(u32::MAX);
    FunctionStatus {
        name: function.id.name().to_owned(),
        namespace: function.id.namespace().to_owned(),
        spec: Deployed::new(&revision.spec),
        invocation_count: function.counts.ended(),
        replicas,
        available_replicas: available,
        created_at: revision.deployed,
        problem: function.problem.load().as_deref().cloned(),
        usage,
    }
}
