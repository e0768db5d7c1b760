//! `http_upstream_url`: where the server of `mode=http` listens.

use std::net::Ipv6Addr;
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

/// Reads `unix:/path`.
///
/// # Errors
/// Everything else: the function would be served where nobody looks for it.
pub(super) fn socket(text: &str) -> Parsed<Option<PathBuf>> {
    let path =
        text.strip_prefix("unix:").ok_or_else(|| Refusal::fatal("has no form that is known"))?;
    socket_path(path).map(Some).map_err(|refusal| Refusal::fatal(refusal.problem))
}

fn unix(path: &str) -> Parsed<Upstream> {
    Ok(Upstream::Unix { path: socket_path(path)? })
}

fn socket_path(path: &str) -> Parsed<PathBuf> {
    // `unix:///path` is the same address written as a URL with an empty authority.
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') {
        return Err(Refusal::new("names no absolute socket path"));
    }
    // To the kernel one slash is as good as many, and two would read back as an authority.
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.len() > MAX_SOCKET_PATH || path.contains('\0') {
        return Err(Refusal::new(format!(
            "names no usable socket path (more than {MAX_SOCKET_PATH} bytes, or a NUL byte)"
        )));
    }
    Ok(PathBuf::from(path))
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
        // `Uri` takes a plus sign.
        Some(port) if !port.as_str().starts_with('+') => {
            port.as_str().parse().map_err(|_| malformed())?
        }
        // `http://host:` has an empty port, which RFC 3986 section 3.2.3 allows; `Uri` reports
        // neither that nor a number out of range.
        None if authority.as_str() == authority.host() => 80,
        _ => return Err(Refusal::new("has no usable port")),
    };
    if port == 0 {
        return Err(Refusal::new("has no usable port"));
    }
    let host = authority.host();
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // RFC 3986 section 3.2.2 keeps brackets for addresses; RFC 6874 has a zone behind them.
        Some(address) if address.split('%').next().is_some_and(is_ipv6) => address,
        Some(_) => return Err(malformed()),
        None => host,
    };
    Ok(Upstream::Tcp {
        host: host.to_owned(),
        port,
        base_path: uri.path().trim_end_matches('/').to_owned(),
    })
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        for text in ["unix:/run/app.sock", "unix:///run/app.sock", "unix:////run/app.sock"] {
            let path = PathBuf::from("/run/app.sock");
            assert_eq!(parse(text), Ok(Upstream::Unix { path }), "{text:?}");
        }
    }

    #[test]
    fn rendered_addresses_read_back_unchanged() {
        for text in ["http://[::1]:3000/x", "http://app:80", "unix:/run/app.sock"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("unix:////run/app.sock").unwrap().to_string(), "unix:/run/app.sock");
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
            ("http://[]:80", "URL"),
            ("http://[%]:80", "URL"),
            ("http://[app]:80", "URL"),
            ("http://app:+80", "port"),
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

    proptest! {
        #[test]
        fn accepted_addresses_are_usable_and_read_back_unchanged(text in prop_oneof![
            "(?s).{0,40}",
            "(http://|HTTP://|unix:|unix://|https://|)[]\\[:@/?#%a-z0-9.+ \x00-]{0,24}",
            "http://([a-z0-9.-]{1,9}|\\[[0-9a-fv:.%]{0,9}\\])(:[0-9]{0,6})?(/[a-z/.%-]{0,9})?",
            "unix:/{1,5}[a-z/. ]{0,9}",
            "unix:/[a-z/. ]{100,110}",
        ]) {
            let Ok(upstream) = parse(&text) else { return Ok(()) };
            prop_assert_eq!(parse(&upstream.to_string()), Ok(upstream.clone()));
            match upstream {
                Upstream::Tcp { host, port, base_path } => {
                    prop_assert!(!host.is_empty() && port != 0);
                    prop_assert!(base_path.is_empty() || base_path.starts_with('/'));
                    prop_assert!(!base_path.ends_with('/'));
                }
                Upstream::Unix { path } => {
                    prop_assert!(path.is_absolute());
                    prop_assert!(std::os::unix::net::SocketAddr::from_pathname(path).is_ok());
                }
            }
        }
    }
}
