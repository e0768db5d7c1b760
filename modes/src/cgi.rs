//! The request head as environment variables, as functions written for OpenFaaS read them.
//!
//! Names follow Go's canonical header spelling (`x-forwarded-for` → `Http_X_Forwarded_For`), and
//! values are the bytes that arrived. What we set ourselves can never be set by a header:
//! `Query`, `Method`, `Path`, `Host`, `Content-Length` and `Transfer-Encoding` headers are not
//! passed. Neither is `Proxy`: programs that look for `HTTP_PROXY` in any letter case would let the
//! caller redirect their own requests (CVE-2016-5385, "httpoxy").

use http::{HeaderName, HeaderValue, header, request::Parts};
use percent_encoding::percent_decode_str;

use crate::{error::Error, process::Environment};

/// The kernel takes no string above 128 KiB, the end mark included (`MAX_ARG_STRLEN`, execve(2)).
const MAX_ENTRY: usize = 128 * 1024 - 1;

/// In front of every name.
const PREFIX: &str = "Http_";

/// Which of the two programs' variables a function gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// classic-watchdog: also `Http_ContentLength`, `Http_Content_Length` (-1 when it is not
    /// known, 0 without a body) and `Http_Host`, always.
    Classic,
    /// of-watchdog: `Http_Content_Length` only when the client sent one, no `Http_Host`.
    Of,
}

/// The variables for one request, whose body has `length` bytes (`None`: not known yet).
///
/// # Errors
/// [`Error::Environment`] when something cannot be represented: a path with a NUL byte, or an
/// entry above the kernel's limit.
pub fn environment(head: &Parts, length: Option<u64>, style: Style) -> Result<Environment, Error> {
    let mut variables = Environment::new();
    let passed = |name: &&HeaderName| !is_reserved(name) && !is_shadowed(name, head);
    for name in head.headers.keys().filter(passed) {
        // The first value of a repeated header counts.
        if let Some(value) = head.headers.get(name) {
            check_size(name, value)?;
            let variable = PREFIX.bytes().chain(spelling(name, '_').map(|c| c as u8));
            variables.push(variable, value.as_bytes());
        }
    }
    let mut set = |name: &str, value: &[u8]| variables.push(name.bytes(), value);
    set("Http_Method", head.method.as_str().as_bytes());
    match style {
        Style::Classic => {
            let length = length.map_or_else(|| "-1".to_owned(), |length| length.to_string());
            set("Http_ContentLength", length.as_bytes());
            set("Http_Content_Length", length.as_bytes());
            if let Some(host) = host(head) {
                set("Http_Host", host);
            }
        }
        Style::Of => {
            if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
                set("Http_Content_Length", length.as_bytes());
            }
        }
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        // The only transfer coding that gets past the parser.
        set("Http_Transfer_Encoding", b"chunked");
    }
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        set("Http_Query", query.as_bytes());
    }
    let path: Vec<u8> = percent_decode_str(head.uri.path()).collect();
    if path.contains(&0) {
        return Err(Error::Environment {
            what: "the path".to_owned(),
            why: "it holds a NUL byte (%00)",
            too_large: false,
        });
    }
    if !path.is_empty() {
        set("Http_Path", &path);
    }
    Ok(variables)
}

/// The host the client asked for: of the request line when it is absolute (RFC 9112 section 3.2.2).
fn host(head: &Parts) -> Option<&[u8]> {
    let line = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    line.or_else(|| head.headers.get(header::HOST).map(HeaderValue::as_bytes))
}

/// Whether another header of the request has the same variable with hyphens for its underscores:
/// `X_1` beside `X-1`. Gateways know, set and strip the latter only.
fn is_shadowed(name: &HeaderName, head: &Parts) -> bool {
    name.as_str().contains('_')
        && head.headers.keys().any(|other| {
            other.as_str().matches('_').count() < name.as_str().matches('_').count()
                && spelling(other, '_').eq(spelling(name, '_'))
        })
}

fn is_reserved(name: &HeaderName) -> bool {
    const OURS: [&str; 7] =
        ["query", "method", "path", "host", "content-length", "transfer-encoding", "proxy"];
    OURS.contains(&name.as_str())
}

/// Go's canonical spelling, `x-call-id` → `X-Call-Id`, with `separator` for the hyphens.
pub(crate) fn canonical(name: &HeaderName, separator: char) -> String {
    spelling(name, separator).collect()
}

/// [`canonical`], character by character. All of them are ASCII, as names are.
fn spelling(name: &HeaderName, separator: char) -> impl Iterator<Item = char> {
    let mut upper = true;
    name.as_str().chars().map(move |c| {
        let c = if upper { c.to_ascii_uppercase() } else { c };
        upper = c == '-';
        if upper { separator } else { c }
    })
}

fn check_size(name: &HeaderName, value: &HeaderValue) -> Result<(), Error> {
    if PREFIX.len() + name.as_str().len() + 1 + value.len() < MAX_ENTRY {
        return Ok(());
    }
    Err(Error::Environment {
        what: format!("header {}", canonical(name, '-')),
        why: "it is larger than the 128 KiB that the kernel allows for one variable",
        too_large: true,
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn variables(
        request: http::request::Builder,
        length: Option<u64>,
        style: Style,
    ) -> Vec<String> {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut all: Vec<String> = environment(&head, length, style)
            .unwrap()
            .iter()
            .map(|(name, value)| [name, value].join(&b'='))
            .map(|variable| String::from_utf8(variable).unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn classic_names_are_canonical_and_complete() {
        let request = Request::post("/a%20b//c?x=1&y=%20")
            .header("x-forwarded-for", "1.1.1.1")
            .header("x-forwarded-for", "2.2.2.2")
            .header("x_a-b", "u")
            .header("host", "h:1");
        assert_eq!(
            variables(request, Some(5), Style::Classic),
            [
                "Http_ContentLength=5",
                "Http_Content_Length=5",
                "Http_Host=h:1",
                "Http_Method=POST",
                "Http_Path=/a b//c",
                "Http_Query=x=1&y=%20",
                "Http_X_Forwarded_For=1.1.1.1",
                "Http_X_a_B=u",
            ]
        );
    }

    #[test]
    fn what_we_set_ourselves_cannot_come_from_a_header() {
        let request = Request::get("/real")
            .header("query", "evil")
            .header("method", "EVIL")
            .header("path", "/evil")
            .header("proxy", "http://evil");
        assert_eq!(variables(request, Some(0), Style::Of), ["Http_Method=GET", "Http_Path=/real"]);
    }

    #[test]
    fn chunked_bodies_have_no_length() {
        let request = Request::post("/").header("transfer-encoding", "chunked");
        assert_eq!(
            variables(request, None, Style::Classic),
            [
                "Http_ContentLength=-1",
                "Http_Content_Length=-1",
                "Http_Method=POST",
                "Http_Path=/",
                "Http_Transfer_Encoding=chunked",
            ]
        );
    }

    #[test]
    fn entries_above_the_kernels_limit_and_nul_bytes_are_the_clients_fault() {
        let big = HeaderValue::from_bytes(&vec![b'a'; MAX_ENTRY]).unwrap();
        let (head, ()) = Request::get("/").header("x-big", big).body(()).unwrap().into_parts();
        let error = environment(&head, None, Style::Of).unwrap_err();
        assert!(error.to_string().contains("header X-Big"), "{error}");
        let (head, ()) = Request::get("/a%00b").body(()).unwrap().into_parts();
        assert!(environment(&head, None, Style::Of).is_err());
    }
}
