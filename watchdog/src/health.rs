//! `/_/health` and `/_/ready`: for orchestrators, never counted and never logged.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use modes::{Body, Context, Mode};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use crate::{
    limit::Limiter,
    respond::{self, Style},
};

/// What health and ready look at.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that has to be there; `None` when none is written.
    pub lock_file: Option<PathBuf>,
    /// What `/_/ready` asks the function, if it does.
    pub ready_path: Option<String>,
    /// How long the function has to answer it, to the last byte.
    pub ready_limit: Duration,
    /// Whose statuses a probe of the function gets.
    pub style: Style,
}

/// Whether calls are welcome.
#[derive(Debug)]
pub struct Health {
    config: Config,
    accepting: watch::Sender<bool>,
    probing: Mutex<()>,
}

impl Health {
    /// Not accepting yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, accepting: watch::Sender::new(false), probing: Mutex::new(()) }
    }

    /// Says whether calls are welcome.
    pub fn accept(&self, accepting: bool) {
        self.accepting.send_replace(accepting);
    }

    fn is_healthy(&self) -> bool {
        let locked = || self.config.lock_file.as_ref().is_none_or(|path| path.exists());
        *self.accepting.borrow() && locked()
    }

    /// Whether readiness costs a call.
    pub(crate) fn asks_the_function(&self) -> bool {
        self.config.ready_path.is_some()
    }

    /// 200 `OK` while calls are welcome, 503 otherwise; GET only.
    #[must_use]
    pub fn health(&self, method: &Method) -> Response<Body> {
        if method != Method::GET {
            return respond::bare(StatusCode::METHOD_NOT_ALLOWED);
        }
        if self.is_healthy() {
            Response::new(Body::full("OK"))
        } else {
            respond::bare(StatusCode::SERVICE_UNAVAILABLE)
        }
    }

    /// 503 when calls are not welcome or the function does not listen, 429 when the limit is met;
    /// else what the function says to `ready_path`, without its body, or 200.
    pub async fn ready(
        &self,
        method: &Method,
        headers: HeaderMap,
        mode: &Mode,
        limiter: &Limiter,
        context: Context,
    ) -> Response<Body> {
        if method != Method::GET {
            return respond::bare(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !self.is_healthy() || !mode.is_ready() {
            return respond::bare(StatusCode::SERVICE_UNAVAILABLE);
        }
        if limiter.is_full() {
            return respond::bare(StatusCode::TOO_MANY_REQUESTS);
        }
        let Some(path) = &self.config.ready_path else { return respond::bare(StatusCode::OK) };
        let mut accepting = self.accepting.subscribe();
        let asking = async {
            // Probes pass the limiter, so that only one at a time may cost a call.
            let _turn = self.probing.lock().await;
            ask(path, headers, mode, context, self.config.style).await
        };
        let status = tokio::select! {
            answered = timeout(self.config.ready_limit, asking) => {
                answered.unwrap_or_else(|_| {
                    let limit = self.config.ready_limit;
                    tracing::warn!("ready_path {path}: no complete answer within {limit:?}");
                    StatusCode::SERVICE_UNAVAILABLE
                })
            }
            // A probe is no reason to stay when the watchdog stops.
            _ = accepting.wait_for(|accepting| !accepting) => StatusCode::SERVICE_UNAVAILABLE,
        };
        respond::bare(status)
    }
}

async fn ask(
    path: &str,
    mut headers: HeaderMap,
    mode: &Mode,
    context: Context,
    style: Style,
) -> StatusCode {
    let Ok(uri) = path.parse::<Uri>() else { return StatusCode::SERVICE_UNAVAILABLE };
    headers.remove(http::header::CONTENT_LENGTH);
    headers.remove(http::header::TRANSFER_ENCODING);
    headers.remove(http::header::EXPECT);
    headers.remove(http::header::UPGRADE);
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    match mode.call(request, context).await {
        Ok(response) => {
            let status = response.status();
            // A process that fails after its first byte is not ready either.
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                if let Err(error) = frame {
                    return failed(path, &error, style);
                }
            }
            status
        }
        Err(error) => failed(path, &error, style),
    }
}

/// The status that a call which failed like this gets.
fn failed(path: &str, error: &modes::Error, style: Style) -> StatusCode {
    tracing::warn!("ready_path {path}: {error}");
    respond::error(error, style).status()
}
