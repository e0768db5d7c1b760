//! `http_upstream_url`: where the server of `mode=http` listens.

use std::path::PathBuf;

use http::Uri;

use super::parsers::{Parsed, Refusal};
use crate::settings::Upstream;

/// Bytes of the longest socket path: unix(7) has room for 108 with the final NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Reads `http://host:port`, `http://host:port/base` or `unix:/path`.
///
/// # Errors
/// Everything else. `localhost:3000` is named in particular, with what to write instead: as a URL
/// it has the scheme `localhost`, and of-watchdog took it and then failed every call.
pub(super) fn parse(text: &str) -> Parsed<Upstream> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path);
    }
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => tcp(text, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Err(Refusal::new(format!(
            "asks for TLS, which is not spoken on this hop; write http://{rest}"
        ))),
        Some((scheme, _)) => Err(Refusal::new(format!("has the unknown scheme {scheme:?}"))),
        None if text.starts_with('/') => {
            Err(Refusal::new(format!("has no scheme; write unix:{text}")))
        }
        None => Err(Refusal::new(format!("has no scheme; write http://{text}"))),
    }
}

fn unix(path: &str) -> Parsed<Upstream> {
    // `unix:///path` is the same address written as a URL with an empty authority.
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') {
        return Err(Refusal::new("names no absolute socket path"));
    }
    if path.len() > MAX_SOCKET_PATH || path.contains('\0') {
        return Err(Refusal::new(format!(
            "names no usable socket path (more than {MAX_SOCKET_PATH} bytes, or a NUL byte)"
        )));
    }
    Ok(Upstream::Unix { path: PathBuf::from(path) })
}

fn tcp(text: &str, rest: &str) -> Parsed<Upstream> {
    let malformed = || Refusal::new("is not a URL");
    // `Uri` would drop a fragment without a word.
    if text.contains('#') {
        return Err(malformed());
    }
    if rest.starts_with([':', '/']) || rest.is_empty() {
        return Err(Refusal::new("names no host"));
    }
    let uri: Uri = format!("http://{rest}").parse().map_err(|_| malformed())?;
    let authority = uri.authority().ok_or_else(malformed)?;
    if authority.as_str().contains('@') {
        return Err(Refusal::new("carries a user name, which would be ignored"));
    }
    if uri.query().is_some() {
        return Err(Refusal::new("carries a query, which no request could keep"));
    }
    let port = match authority.port() {
        Some(port) => port.as_str().parse().map_err(|_| malformed())?,
        // `http://host:` has an empty port, which RFC 3986 section 3.2.3 allows; `Uri` reports
        // neither that nor a number out of range.
        None if authority.as_str() == authority.host() => 80,
        None => return Err(Refusal::new("has no usable port")),
    };
    if port == 0 {
        return Err(Refusal::new("has no usable port"));
    }
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(Upstream::Tcp {
        host: host.to_owned(),
        port,
        base_path: uri.path().trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, base_path: &str) -> Upstream {
        Upstream::Tcp { host: host.to_owned(), port, base_path: base_path.to_owned() }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let cases = [
            ("http://127.0.0.1:3000", url("127.0.0.1", 3000, "")),
            ("http://127.0.0.1:3000/", url("127.0.0.1", 3000, "")),
            ("HTTP://localhost:3000", url("localhost", 3000, "")),
            ("http://localhost", url("localhost", 80, "")),
            ("http://app:5000/base/", url("app", 5000, "/base")),
            ("http://app:5000/a/b", url("app", 5000, "/a/b")),
            ("http://[::1]:3000/x", url("::1", 3000, "/x")),
        ];
        for (text, upstream) in cases {
            assert_eq!(parse(text), Ok(upstream), "{text:?}");
        }
        for text in ["unix:/run/app.sock", "unix:///run/app.sock"] {
            let path = PathBuf::from("/run/app.sock");
            assert_eq!(parse(text), Ok(Upstream::Unix { path }), "{text:?}");
        }
    }

    #[test]
    fn rendered_addresses_read_back_unchanged() {
        for text in ["http://[::1]:3000/x", "http://app:80", "unix:/run/app.sock"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let cases = [
            ("localhost:3000", "write http://localhost:3000"),
            ("127.0.0.1:3000", "write http://127.0.0.1:3000"),
            ("/run/app.sock", "write unix:/run/app.sock"),
            ("https://app:443", "write http://app:443"),
            ("ftp://app", "scheme"),
            ("http://", "no host"),
            ("http://:3000", "no host"),
            ("http:///x", "no host"),
            ("http://user:pw@app:80", "user name"),
            ("http://app:80/?a=b", "query"),
            ("http://app:80/#x", "URL"),
            ("http://app:0", "port"),
            ("http://app:", "port"),
            ("http://app:99999", "port"),
            ("http://app:80:80", "URL"),
            ("http://a b", "URL"),
            ("unix:app.sock", "absolute"),
            ("unix:", "absolute"),
        ];
        for (text, problem) in cases {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.problem.contains(problem), "{text:?}: {}", refusal.problem);
        }
        let long = format!("unix:/{}", "a".repeat(107));
        assert!(parse(&long).unwrap_err().problem.contains("107 bytes"));
    }
}
