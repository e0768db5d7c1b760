//! Answers that are the gateway's own. They say so, so that nobody takes them for the function's.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use modes::Body;

use crate::error::Error;

/// What tells clients and queues that an answer is not the function's.
pub const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");

/// A status with a text.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(INTERNAL, HeaderValue::from_static("gateway"));
    response
}

/// The answer for a call that no replica answered.
#[must_use]
pub fn failed(error: &modes::Error) -> Response<Body> {
    let mut response = own(watchdog::respond::error(error, watchdog::respond::Style::Of));
    // The watchdog's own wish for its connection is not the gateway's.
    response.headers_mut().remove(header::CONNECTION);
    response
}

/// An answer that watchdog and gateway give alike, with the gateway's name.
#[must_use]
pub fn own(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(INTERNAL, HeaderValue::from_static("gateway"));
    response
}

/// The status of a refused change.
#[must_use]
pub fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
