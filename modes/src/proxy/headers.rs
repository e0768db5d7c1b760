//! Which header fields an intermediary forwards, and which it adds.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{
        ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
    uri::PathAndQuery,
};

use super::upload::Framing;
use crate::{decimal, http1::RequestHead};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a request's fields say about its hop, found in one pass: a look-up hashes a name.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what is there is independent of the rest")]
pub(super) struct Asked {
    /// The protocol to switch to (RFC 9110 section 7.8): `Upgrade` counts only when `Connection`
    /// names it. Letter case does not matter, in either.
    pub(super) upgrade: Option<HeaderValue>,
    /// It asks for a stream that has no end in sight.
    pub(super) stream: bool,
    /// There is a `Content-Length`.
    pub(super) has_length: bool,
    /// There is a `Connection`.
    has_connection: bool,
    /// There is a `TE`.
    has_te: bool,
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut asked = Self::default();
        for (name, value) in headers {
            if *name == ACCEPT {
                asked.stream |= is_stream_type(value);
            } else if *name == CONTENT_LENGTH {
                asked.has_length = true;
            } else if *name == CONNECTION {
                asked.has_connection = true;
            } else if *name == TE {
                asked.has_te = true;
            } else if *name == UPGRADE && asked.upgrade.is_none() {
                asked.upgrade = Some(value.clone());
            }
        }
        let is_named = asked.upgrade.is_some()
            && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
        asked.upgrade = asked.upgrade.filter(|_| is_named);
        asked
    }
}

/// Whether the response is one.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(is_stream_type)
}

fn is_stream_type(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    // Few bytes of a value are slashes, so few places are looked at.
    let slashes = value.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let ends_with = |text: &[u8], end: &[u8]| {
        text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
    };
    let starts_with = |text: &[u8], start: &[u8]| {
        text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
    };
    slashes.map(|(place, _)| (&value[..place], &value[place + 1..])).any(|(before, behind)| {
        (ends_with(before, b"text") && starts_with(behind, b"event-stream"))
            || (ends_with(before, b"application") && starts_with(behind, b"x-ndjson"))
    })
}

/// What one hop adds to a request, or has its own word for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hop<'a> {
    /// Put in front of the path.
    pub(super) base: &'a str,
    /// Taken off the front of the path before, in bytes.
    pub(super) strip: usize,
    /// The protocol to switch to.
    pub(super) upgrade: Option<&'a HeaderValue>,
    /// Who sent the request.
    pub(super) peer: Option<IpAddr>,
    /// How the end of the body is told; `None` when there is no body.
    pub(super) framing: Option<Framing>,
    /// The host of a request that names none, as HTTP/1.0 may.
    pub(super) host: &'a str,
    /// What the caller adds, in the place of fields of these names.
    pub(super) added: &'a [(&'a HeaderName, &'a HeaderValue)],
}

/// The request head for the function: without what was meant for the connection only, and with
/// who the request came from.
pub(super) fn request(head: &Parts, asked: &Asked, hop: Hop<'_>) -> Vec<u8> {
    let (base, path) = origin_form(&head.uri, hop.base, hop.strip);
    let mut out = RequestHead::new(&head.method, base, path);
    let named = if asked.has_connection { named_by_connection(&head.headers) } else { Vec::new() };
    let (mut chain, mut has_host, mut has_proto) = (Vec::new(), false, false);
    let mut host = None;
    for (name, value) in &head.headers {
        if is_hop_by_hop(name) || named.contains(name) {
            continue;
        }
        if hop.added.iter().any(|(added, _)| *added == name) {
            continue;
        }
        if *name == X_FORWARDED_FOR && hop.peer.is_some() {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
            continue;
        }
        if *name == HOST {
            host.get_or_insert(value);
        }
        has_host |= *name == X_FORWARDED_HOST;
        has_proto |= *name == X_FORWARDED_PROTO;
        out.field(name, value.as_bytes());
    }
    for (name, value) in hop.added {
        out.field(name, value.as_bytes());
    }
    let is_trailers = |token: &str| token.eq_ignore_ascii_case("trailers");
    if asked.has_te && tokens(&head.headers, &TE).any(is_trailers) {
        // `TE` is hop-by-hop: this hop can take trailers because ours can.
        out.field(&TE, b"trailers");
    }
    if let Some(protocol) = hop.upgrade {
        out.field(&CONNECTION, b"Upgrade");
        out.field(&UPGRADE, protocol.as_bytes());
    }
    if let Some(peer) = hop.peer {
        decimal::push_address(&mut chain, peer);
        out.field(&X_FORWARDED_FOR, &chain);
    }
    match host {
        Some(host) if !has_host => out.field(&X_FORWARDED_HOST, host.as_bytes()),
        Some(_) => {}
        // Ours is a request of HTTP/1.1, which needs one (RFC 9112 section 3.2).
        None => out.field(&HOST, hop.host.as_bytes()),
    }
    if !has_proto {
        out.field(&X_FORWARDED_PROTO, b"http");
    }
    match hop.framing {
        Some(Framing::Length(length)) => {
            out.field(&CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
        }
        Some(Framing::Chunked) => out.field(&TRANSFER_ENCODING, b"chunked"),
        None => {}
    }
    out.finish()
}

/// The target (RFC 9112 section 3.2.1), whatever form it came in: `base` and a path with a query,
/// without its first `strip` bytes.
fn origin_form<'a>(uri: &'a Uri, base: &'a str, strip: usize) -> (&'a str, &'a str) {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    match path.get(strip..).unwrap_or_default() {
        "*" if strip == 0 => ("", "*"),
        "" => (base, "/"),
        path if path.starts_with('/') => (base, path),
        // A query right behind an authority.
        query => (if base.is_empty() { "/" } else { base }, query),
    }
}

/// Finishes a response's fields; `upgrade` when the connection switches to a protocol.
pub(super) fn prepare_response(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    headers.remove(PROXY_AUTHENTICATE);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// RFC 9110 section 7.6.1, and the fields that older peers send without naming them. `Trailer` is
/// end-to-end. The framing is told anew.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
        &CONNECTION,
        &CONTENT_LENGTH,
        &TRANSFER_ENCODING,
        &TE,
        &UPGRADE,
        &PROXY_AUTHORIZATION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
    ]
    .contains(&name)
}

/// What `Connection` names. `Host` cannot be named.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| *name != HOST)
        .collect()
}

/// The elements of a comma-separated field, without parameters.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.split(';').next().unwrap_or_default().trim())
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(n, v): &(&'static str, &'static str)| {
            (HeaderName::from_static(n), HeaderValue::from_static(v))
        };
        fields.iter().map(field).collect()
    }

    /// The request line and the fields that are written, sorted by name.
    fn written(uri: &str, fields: &[(&'static str, &'static str)], hop: Hop<'_>) -> Vec<String> {
        let (mut head, ()) = Request::get(uri).body(()).unwrap().into_parts();
        head.headers = HeaderMap::new();
        for (name, value) in fields {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        let text = String::from_utf8(request(&head, &Asked::of(&head.headers), hop)).unwrap();
        let text = text.strip_suffix("\r\n\r\n").expect("an empty line");
        let mut lines: Vec<_> = text.split("\r\n").map(str::to_owned).collect();
        lines[1..].sort();
        lines
    }

    #[test]
    fn hop_by_hop_fields_go_and_all_others_stay() {
        let fields = [
            ("connection", "close, X-Private, host, content-length"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "secret"),
            ("te", "gzip, trailers;q=0.5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("host", "h"),
            ("content-length", "3"),
            ("trailer", "x-sum"),
            ("x-kept", "2"),
        ];
        let hop = Hop { framing: Some(Framing::Length(3)), ..Hop::default() };
        let expected = [
            "GET / HTTP/1.1",
            "Content-Length: 3",
            "Host: h",
            "Te: trailers",
            "Trailer: x-sum",
            "X-Forwarded-Host: h",
            "X-Forwarded-Proto: http",
            "X-Kept: 2",
        ];
        assert_eq!(written("/", &fields, hop), expected);
    }

    #[test]
    fn the_chain_of_clients_grows_and_the_first_proxys_word_stays() {
        let fields = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a"),
        ];
        let peer = Some(IpAddr::from([10, 0, 0, 9]));
        let hop = Hop { peer, host: "127.0.0.1:3000", ..Hop::default() };
        let expected = [
            "GET /x?y HTTP/1.1",
            "Host: 127.0.0.1:3000",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9",
            "X-Forwarded-Host: a",
            "X-Forwarded-Proto: https",
        ];
        assert_eq!(written("http://h/x?y", &fields, hop), expected);
    }

    #[test]
    fn what_the_caller_adds_replaces_what_the_client_said() {
        let (name, value) = (HeaderName::from_static("x-a"), HeaderValue::from_static("ours"));
        let fields = [("host", "h"), ("connection", "x-a"), ("x-a", "theirs"), ("x-b", "1")];
        let hop = Hop { added: &[(&name, &value)], ..Hop::default() };
        let lines = written("/", &fields, hop);
        assert_eq!(lines[1..3], ["Host: h", "X-A: ours"]);
        assert_eq!(lines[3..], ["X-B: 1", "X-Forwarded-Host: h", "X-Forwarded-Proto: http"]);
    }

    #[test]
    fn targets_get_the_origin_form() {
        for (base, uri, line) in [
            ("", "/", "GET / HTTP/1.1"),
            ("", "http://h", "GET / HTTP/1.1"),
            ("", "http://h?q", "GET /?q HTTP/1.1"),
            ("", "//a/..?", "GET //a/..? HTTP/1.1"),
            ("/b", "/x", "GET /b/x HTTP/1.1"),
            ("/b", "*", "GET * HTTP/1.1"),
        ] {
            assert_eq!(written(uri, &[], Hop { base, ..Hop::default() })[0], line);
        }
    }

    #[test]
    fn what_is_stripped_leaves_a_path() {
        for (uri, line) in [
            ("/function/f", "GET / HTTP/1.1"),
            ("/function/f/", "GET / HTTP/1.1"),
            ("/function/f?a=%2F", "GET /?a=%2F HTTP/1.1"),
            ("/function/f//a%2Fb/../c?", "GET //a%2Fb/../c? HTTP/1.1"),
            ("http://h/function/f/*", "GET /* HTTP/1.1"),
        ] {
            let hop = Hop { strip: "/function/f".len(), ..Hop::default() };
            assert_eq!(written(uri, &[], hop)[0], line);
        }
    }

    #[test]
    fn upgrades_need_both_fields_in_any_case() {
        assert!(Asked::of(&headers(&[("upgrade", "WebSocket")])).upgrade.is_none());
        let map = headers(&[("upgrade", "WebSocket"), ("connection", "keep-alive, UPGRADE")]);
        assert_eq!(Asked::of(&map).upgrade.unwrap(), "WebSocket");
    }

    #[test]
    fn endless_streams_are_known_by_their_types() {
        assert!(Asked::of(&headers(&[("accept", "*/*, Text/Event-Stream;q=0.9")])).stream);
        for other in ["*/*", "/", "text/", "/event-stream", "text/html", "application/x-ndjso"] {
            assert!(!Asked::of(&headers(&[("accept", other)])).stream, "{other}");
        }
        assert!(Asked::of(&headers(&[("accept", "a/b, application/x-ndjson")])).stream);
        assert!(is_stream(&headers(&[("content-type", "application/x-ndjson; charset=utf-8")])));
    }
}
