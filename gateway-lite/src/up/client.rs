//! The gateway's API, from the side of who uses it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use modes::{
    Body, Context, Deadline,
    proxy::{Proxy, Target},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    function::FunctionSpec,
};

/// Longer than a deployment keeps its caller waiting.
const PATIENCE: Duration = Duration::from_secs(75);

/// A gateway, here or elsewhere.
#[derive(Debug)]
pub(super) struct Client {
    proxy: Proxy,
    /// As it was given, for messages and links.
    pub(super) address: String,
    authorization: Option<HeaderValue>,
}

/// As much of a function's status as is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) available_replicas: u32,
    pub(super) problem: Option<String>,
}

/// Where a gateway of this machine alone would listen, to be found at `address`.
pub(super) fn loopback(address: &str) -> Option<SocketAddr> {
    let uri: http::Uri = address.parse().ok()?;
    let ip = match uri.host()?.trim_matches(['[', ']']) {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().ok()?,
    };
    let is_root = uri.path().trim_end_matches('/').is_empty();
    (ip.is_loopback() && is_root).then(|| SocketAddr::new(ip, uri.port_u16().unwrap_or(80)))
}

impl Client {
    /// One at `address`, as in `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no such address.
    pub(super) fn new(address: &str) -> Result<Self> {
        let refused = |why: &str| Error::Invalid(format!("gateway {address:?} {why}"));
        let uri: http::Uri = address.parse().map_err(|_| refused("is no address"))?;
        if uri.scheme_str() != Some("http") {
            return Err(refused("is not spoken to: use http:// here, faas-cli for https"));
        }
        let host = uri.host().ok_or_else(|| refused("has no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let target = Target::Tcp { host, port: uri.port_u16().unwrap_or(80) };
        let base = uri.path().trim_end_matches('/').to_owned();
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self {
            proxy: Proxy::new(target, &base, modes::ZeroCopy::Off),
            address,
            authorization: None,
        })
    }

    /// Shows a name and a password from now on.
    pub(super) fn log_in(&mut self, user: &str, password: &str) {
        let token = STANDARD.encode(format!("{user}:{password}"));
        self.authorization = HeaderValue::try_from(format!("Basic {token}")).ok();
    }

    /// Whether a gateway answers there.
    pub(super) async fn is_there(&self) -> bool {
        matches!(self.call(Method::GET, "/healthz", None).await, Ok((StatusCode::OK, _)))
    }

    /// Deploys a function, or another version of it.
    pub(super) async fn deploy(&self, spec: &FunctionSpec) -> Result<()> {
        let body = serde_json::to_value(spec).unwrap_or_default();
        let what = format!("function {}", spec.service);
        match self.ask(&what, Method::PUT, "/system/functions", Some(&body)).await {
            Err(Error::NotFound(_)) => {
                self.ask(&what, Method::POST, "/system/functions", Some(&body)).await.map(drop)
            }
            done => done.map(drop),
        }
    }

    /// How a function is.
    pub(super) async fn status(&self, name: &str, namespace: &str) -> Result<Status> {
        let path = format!("/system/function/{name}?namespace={namespace}");
        let body = self.ask(&format!("function {name}"), Method::GET, &path, None).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::Failed(format!("{} answered what is no status: {error}", self.address))
        })
    }

    /// Keeps a secret, whether or not there was one.
    pub(super) async fn keep(&self, namespace: &str, name: &str, value: &[u8]) -> Result<()> {
        let raw = STANDARD.encode(value);
        let body = json!({ "name": name, "namespace": namespace, "rawValue": raw });
        let what = format!("secret {name}");
        match self.ask(&what, Method::PUT, "/system/secrets", Some(&body)).await {
            Err(Error::NotFound(_)) => {
                self.ask(&what, Method::POST, "/system/secrets", Some(&body)).await.map(drop)
            }
            done => done.map(drop),
        }
    }

    /// The log of a function from now on, as lines of JSON.
    pub(super) async fn logs(&self, name: &str, namespace: &str) -> Result<Body> {
        let path = format!("/system/logs?name={name}&namespace={namespace}&follow=true&tail=10");
        let response = self.send(Method::GET, &path, None, None).await?;
        Ok(response.into_body())
    }

    async fn ask(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>> {
        let (status, body) = self.call(method, path, body).await?;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let text = format!("{what}: {}", text.trim());
        Err(match status {
            StatusCode::NOT_FOUND => Error::NotFound(text),
            StatusCode::UNAUTHORIZED => Error::Invalid(format!(
                "{} asks for a name and a password: give --user and --password-file",
                self.address
            )),
            StatusCode::BAD_REQUEST => Error::Invalid(text),
            StatusCode::CONFLICT => Error::Conflict(text),
            _ => Error::Failed(text),
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let response = self.send(method, path, body, Some(Deadline::after(PATIENCE))).await?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| self.unreachable(&error))?;
        Ok((status, body.to_bytes().to_vec()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Option<Deadline>,
    ) -> Result<http::Response<Body>> {
        let body = body.map_or_else(Body::empty, |body| Body::full(body.to_string()));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            path.parse().map_err(|_| Error::Invalid(format!("{path:?} is no path")))?;
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let context = Context { deadline, ..Context::default() };
        self.proxy.call(request, context).await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &modes::Error) -> Error {
        Error::Unavailable(format!("gateway {}: {error}", self.address))
    }
}

/// The text of one message of a log, and the bytes of `buffer` that it took.
pub(super) fn next_line(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = buffer.drain(..=end).collect();
    let message: BTreeMap<String, Value> = serde_json::from_slice(&line).ok()?;
    Some(message.get("text")?.as_str()?.to_owned())
}
