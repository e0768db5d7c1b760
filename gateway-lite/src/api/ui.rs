//! `/ui/`: one plain page that lists the functions.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

const PAGE: &str = include_str!("ui.html");

pub(super) async fn page() -> Response {
    // What it loads comes from here, and what functions are called is text.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, PAGE).into_response()
}
