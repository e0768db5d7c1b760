//! The refusal of a request, as the caller sees it.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

/// `faas-cli invoke` looks for exactly this realm to know that it should send a function token.
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="IAM function invoke""#);
const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
const MIDDLEWARE: HeaderValue = HeaderValue::from_static("faas-middleware");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Why a request may not reach the function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    status: StatusCode,
    reason: Cow<'static, str>,
}

impl Denied {
    /// 401: the request does not carry one token.
    pub(super) fn unauthorized(reason: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, reason: Cow::Borrowed(reason) }
    }

    /// 401: there is a token and it is not valid; `because` completes the sentence.
    pub(super) fn invalid(because: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            reason: Cow::Owned(format!("invalid token: {because}")),
        }
    }

    /// 403: the token is valid, and does not permit calling this function.
    pub(super) fn insufficient() -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: Cow::Borrowed("insufficient permissions") }
    }

    /// 401 (send a valid token) or 403 (this token will not do).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// One line that says what was wrong. Holds nothing of the token, so it may be logged.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The answer for the caller: the reason and a newline as plain text, the challenge that RFC 9110 section 11.6.1
    /// asks for with a 401, and the header by which an OpenFaaS client tells our own answers from the function's.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{}\n", self.reason)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PLAIN_TEXT);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(INTERNAL, MIDDLEWARE);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::Denied;

    #[test]
    fn unauthorized_response_carries_the_challenge() {
        let response = Denied::invalid("it has expired").into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="IAM function invoke""#);
        assert_eq!(response.headers()["x-openfaas-internal"], "faas-middleware");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.body(), "invalid token: it has expired\n");
    }

    #[test]
    fn forbidden_response_has_no_challenge() {
        let response = Denied::insufficient().into_response();
        assert_eq!(response.status(), 403);
        assert!(!response.headers().contains_key("www-authenticate"));
        assert_eq!(response.headers()["x-openfaas-internal"], "faas-middleware");
        assert_eq!(response.body(), "insufficient permissions\n");
    }
}
