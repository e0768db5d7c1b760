//! The only place where an error becomes a status.

use http::{HeaderValue, Response, StatusCode, header};
use modes::{Body, Error};

use crate::limit::Exceeded;

/// Whose statuses are sent where the two predecessors differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// classic-watchdog: a call that took too long is 408 `Killed process.`.
    Classic,
    /// of-watchdog: it is 504.
    Of,
}

/// What tells a client that an answer is not the function's.
const INTERNAL: &str = "x-openfaas-internal";

/// The answer for a call that failed before it had one.
#[must_use]
pub fn error(error: &Error, style: Style) -> Response<Body> {
    let status = match error {
        Error::ClientGone(_)
        | Error::BodyMalformed(_)
        | Error::Environment { too_large: false, .. } => StatusCode::BAD_REQUEST,
        Error::BodyStalled(_) => StatusCode::REQUEST_TIMEOUT,
        Error::RequestTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Environment { too_large: true, .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Error::Spawn { .. } | Error::Exited(_) | Error::OutputTooLarge(_) | Error::Io { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Error::TimedOut(_) if style == Style::Classic => StatusCode::REQUEST_TIMEOUT,
        Error::TimedOut(_) | Error::HeadTimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        Error::Upstream { .. } => StatusCode::BAD_GATEWAY,
    };
    let body = match (error, style) {
        (Error::TimedOut(_), Style::Classic) => "Killed process.\n".to_owned(),
        (Error::Exited(exit), _) => format!("{exit}\n"),
        (error, _) => format!("{error}\n"),
    };
    text(status, body, "of-watchdog")
}

/// The answer for a call that found no place.
#[must_use]
pub fn exceeded(exceeded: Exceeded) -> Response<Body> {
    text(StatusCode::TOO_MANY_REQUESTS, format!("{exceeded}\n"), "faas-middleware")
}

/// The answer for a request that no function should see.
#[must_use]
pub fn refused(status: StatusCode, why: &str) -> Response<Body> {
    text(status, format!("{why}\n"), "of-watchdog")
}

/// Only a status.
#[must_use]
pub fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn text(status: StatusCode, body: String, who: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // The limiter of both predecessors says just this; everybody else names the charset, too.
    let plain = if status == StatusCode::TOO_MANY_REQUESTS {
        HeaderValue::from_static("text/plain")
    } else {
        HeaderValue::from_static("text/plain; charset=utf-8")
    };
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(INTERNAL, HeaderValue::from_static(who));
    response
}
