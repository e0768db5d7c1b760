//! Which web pages may change anything: the gateway's own.
//!
//! A browser sends what a page of any site tells it to: a form, or a script's `text/plain`, needs
//! nobody's leave (Fetch standard, "CORS-safelisted request"), reaches loopback, and carries the
//! password that was once typed in for the gateway. So whoever comes from another page is refused;
//! programs such as faas-cli say nothing about pages. Where no password is asked for, a page could
//! also give its own name this machine's address (DNS rebinding) and then read the answers; there
//! the gateway is called by its address or by names that nobody else can own.

use axum::http::{HeaderMap, Method, Request, Uri, header};

/// Names of this machine (RFC 6761 section 6.3), and of the gateway to functions.
const OWN_NAMES: [&str; 3] = ["localhost", "gateway", "gateway.openfaas"];

/// Why the request is refused, if it is. `is_open` where nobody has to show a password, though
/// nobody from elsewhere is meant to come.
pub(super) fn refusal<B>(request: &Request<B>, is_open: bool) -> Option<String> {
    let host = host(request.uri(), request.headers());
    if is_open && !is_own(host_name(host)) {
        return Some(format!(
            "the gateway is not called {host:?} here: without basic_auth it answers to its address, \
             and to {}",
            OWN_NAMES.join(", ")
        ));
    }
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if is_safe {
        return None;
    }
    let text = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or(""));
    let is_foreign = match (text("sec-fetch-site"), text(header::ORIGIN.as_str())) {
        // Said by the browser itself; "none" is the person at it.
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            origin.split_once("://").is_none_or(|(_, its)| !its.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    };
    is_foreign.then(|| "a page of another site may not change anything here".to_owned())
}

/// Whom the request is for (RFC 9112 section 3.2.2: the target comes before the field).
fn host<'a>(target: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let field = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
    target.authority().map(http::uri::Authority::as_str).or_else(field).unwrap_or_default()
}

/// Without the port, and the brackets of an IPv6 address.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_own(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<std::net::IpAddr>().is_ok()
        || OWN_NAMES.contains(&name.as_str())
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &str, fields: &[(&str, &str)], is_open: bool) -> bool {
        let mut request = Request::builder().method(method).uri("/system/functions");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        refusal(&request.body(()).unwrap(), is_open).is_some()
    }

    #[test]
    fn programs_and_own_pages_may() {
        for fields in [
            &[("host", "kennel.example:8080")][..],
            &[("host", "kennel.example:8080"), ("origin", "http://KENNEL.example:8080")],
            &[("host", "kennel.example"), ("sec-fetch-site", "same-origin")],
            // Behind a proxy that says another host.
            &[("host", "a"), ("origin", "https://b"), ("sec-fetch-site", "same-origin")],
            &[("host", "kennel.example"), ("sec-fetch-site", "none")],
        ] {
            assert!(!refused("POST", fields, false), "{fields:?}");
        }
    }

    #[test]
    fn pages_of_others_may_look_only() {
        for fields in [
            [("host", "localhost:8080"), ("origin", "http://evil.example")],
            [("host", "localhost:8080"), ("origin", "http://localhost:8081")],
            [("host", "localhost:8080"), ("origin", "null")],
            [("host", "localhost:8080"), ("sec-fetch-site", "cross-site")],
            [("host", "localhost:8080"), ("sec-fetch-site", "same-site")],
            [("host", "localhost:8080"), ("sec-fetch-site", "\u{e9}")],
        ] {
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                assert!(refused(method, &fields, false), "{method} {fields:?}");
            }
            assert!(!refused("GET", &fields, false), "{fields:?}");
        }
    }

    #[test]
    fn without_a_password_only_own_names_are_answered_to() {
        for own in
            ["127.0.0.1:8080", "[::1]:8080", "[::1]", "LocalHost.", "a.localhost:1", "gateway"]
        {
            assert!(!refused("GET", &[("host", own)], true), "{own}");
        }
        for strange in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "", "1.2.3.4.x"]
        {
            assert!(refused("GET", &[("host", strange)], true), "{strange}");
            assert!(!refused("GET", &[("host", strange)], false), "{strange}");
        }
    }
}
