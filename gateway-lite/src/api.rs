//! The control plane over HTTP: `/system`, one resource a file, as faas-cli and connectors know it.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::Credentials,
    control::Control,
    error::{Error, Result},
    namespaces::Namespaces,
    provider::Provider,
    registry::Registry,
    respond,
    secrets::Secrets,
};

mod alerts;
mod functions;
mod info;
mod logs;
mod namespaces;
mod origin;
mod scale;
mod secrets;
mod ui;

/// The longest request, in bytes: a secret of 1 MiB in base64, twice, and its names.
const LONGEST: usize = 4 << 20;

/// What the routes work on.
#[derive(Clone, Debug)]
pub struct Api {
    /// Who may; `None` for everybody.
    pub credentials: Option<Arc<Credentials>>,
    /// Everybody may, but only from this machine.
    pub local_only: bool,
    /// Changes functions.
    pub control: Arc<Control>,
    /// Shows them.
    pub registry: Arc<Registry>,
    /// Has their logs.
    pub provider: Arc<dyn Provider>,
    /// Secrets.
    pub secrets: Arc<Secrets>,
    /// Namespaces.
    pub namespaces: Arc<Namespaces>,
    /// The gateway is about to stop: who follows logs is not waited for.
    pub closing: CancellationToken,
}

/// Every route but `/function/`, which is no business of the control plane.
pub fn router(api: Api) -> Router {
    let system = Router::new()
        .route("/system/info", get(info::get))
        .route(
            "/system/functions",
            get(functions::list)
                .post(functions::deploy)
                .put(functions::update)
                .delete(functions::remove),
        )
        .route("/system/function/{name}", get(functions::get))
        .route("/system/scale-function/{name}", post(scale::post))
        .route(
            "/system/secrets",
            get(secrets::list).post(secrets::create).put(secrets::replace).delete(secrets::remove),
        )
        .route("/system/namespaces", get(namespaces::list))
        .route("/system/namespace/", post(namespaces::create))
        .route(
            "/system/namespace/{name}",
            get(namespaces::get)
                .post(namespaces::create)
                .put(namespaces::update)
                .delete(namespaces::remove),
        )
        .route("/system/logs", get(logs::get))
        .route("/system/alert", post(alerts::post))
        .route("/system/{*rest}", any(unknown))
        .route("/ui/", get(ui::page))
        .route("/ui/{*rest}", any(unknown))
        .layer(middleware::from_fn_with_state(api.clone(), authorized));
    Router::new()
        .merge(system)
        .route("/healthz", get(|| async { "OK" }))
        .route("/", get(|| async { Redirect::temporary("/ui/") }))
        .route("/ui", get(|| async { Redirect::temporary("/ui/") }))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(LONGEST))
        .layer(middleware::map_response(named_limit))
        .with_state(api)
}

/// axum says that there is a limit, and not which.
async fn named_limit(response: Response) -> Response {
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return response;
    }
    let text =
        format!("the request is longer than {LONGEST} bytes, which is the most that is read\n");
    (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
}

async fn authorized(State(api): State<Api>, request: Request, next: Next) -> Response {
    if let Some(why) = origin::refusal(&request, api.local_only) {
        return (StatusCode::FORBIDDEN, format!("{why}\n")).into_response();
    }
    let field = request.headers().get(header::AUTHORIZATION);
    if api.credentials.is_none_or(|credentials| credentials.are_shown(field)) {
        return next.run(request).await;
    }
    let mut refused = (StatusCode::UNAUTHORIZED, "invalid credentials\n").into_response();
    let realm = HeaderValue::from_static("Basic realm=\"Restricted\"");
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    refused
}

async fn unknown(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    (StatusCode::NOT_FOUND, format!("nothing is at {path}\n")).into_response()
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (respond::status(&self), format!("{self}\n")).into_response()
    }
}

/// A JSON object, whatever it calls itself. A field that cannot be read is named.
fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T> {
    let invalid = |why: &dyn std::fmt::Display| {
        Error::Invalid(format!("cannot read {what} from the request: {why}"))
    };
    // serde takes the elements of an array for the fields of a structure, in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid(&"it is a JSON array, and has to be an object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // Elsewhere it is no JSON, or the whole of it is something else.
        let is_field = error.inner().is_data() && error.path().iter().next().is_some();
        let field = is_field.then(|| format!("{:?}: ", error.path().to_string()));
        invalid(&format_args!("{}{}", field.unwrap_or_default(), error.inner()))
    })?;
    json.end().map_err(|error| invalid(&error))?;
    Ok(value)
}

/// A JSON answer.
fn show(value: &impl serde::Serialize) -> Response {
    axum::Json(value).into_response()
}

/// Done, or on its way: clients of all ages take this status, and only it and 200, for all calls.
fn accepted() -> Response<Body> {
    StatusCode::ACCEPTED.into_response()
}

/// `?namespace=`, where there is one.
#[derive(Debug, Default, serde::Deserialize)]
struct InNamespace {
    namespace: Option<String>,
}

impl InNamespace {
    /// The one that the body names, or the query; or the default one.
    fn or<'a>(&'a self, body: Option<&'a str>) -> &'a str {
        [body, self.namespace.as_deref()]
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .unwrap_or(crate::function::DEFAULT_NAMESPACE)
    }
}
