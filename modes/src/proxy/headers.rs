//! Which header fields an intermediary forwards, and which it adds.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, CONNECTION, CONTENT_TYPE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The protocol that an upgrade request asks for (RFC 9110 section 7.8): `Upgrade` counts only
/// when `Connection` names it. Letter case does not matter, in either.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    tokens(headers, &CONNECTION)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        .then(|| protocol.clone())
}

/// Whether the request asks for a stream that has no end in sight.
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(is_stream_type)
}

/// Whether the response is one.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(is_stream_type)
}

fn is_stream_type(value: &HeaderValue) -> bool {
    let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    value.contains("text/event-stream") || value.contains("application/x-ndjson")
}

/// Removes what is meant for the connection only, adds who the request came from.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    upgrade: Option<&HeaderValue>,
    peer: Option<IpAddr>,
) {
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    remove_hop_by_hop(headers);
    headers.remove(TE);
    headers.remove(PROXY_AUTHORIZATION);
    if trailers {
        // `TE` is hop-by-hop: this hop can take trailers because ours can.
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    set_upgrade(headers, upgrade);
    if let Some(peer) = peer {
        let chain = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
        let mut chain = chain.collect::<Vec<_>>().join(&b", "[..]);
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(peer.to_string().as_bytes());
        if let Ok(chain) = HeaderValue::from_bytes(&chain) {
            headers.insert(X_FORWARDED_FOR, chain);
        }
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// Removes what is meant for the connection only.
pub(super) fn prepare_response(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    // The function names the protocol it took, which may be one of several.
    let chosen = headers.get(UPGRADE).cloned();
    remove_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
    set_upgrade(headers, upgrade.map(|asked| chosen.as_ref().unwrap_or(asked)));
}

fn set_upgrade(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
}

/// RFC 9110 section 7.6.1: `Connection`, all that it names, and the fields that older peers send
/// without naming them. `Trailer` is end-to-end. `Host` and the message's framing cannot be named.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    headers.remove(TRANSFER_ENCODING);
    headers.remove(UPGRADE);
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
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn hop_by_hop_fields_go_and_all_others_stay() {
        let mut map = headers(&[
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
        ]);
        prepare_request(&mut map, None, None);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected = [
            "content-length",
            "host",
            "te",
            "trailer",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-kept",
        ];
        assert_eq!(left, expected);
        assert_eq!(map["te"], "trailers");
    }

    #[test]
    fn the_chain_of_clients_grows_and_the_first_proxys_word_stays() {
        let peer = Some(IpAddr::from([10, 0, 0, 9]));
        let mut map = headers(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "a")]);
        map.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        map.append("x-forwarded-for", HeaderValue::from_static("2.2.2.2"));
        prepare_request(&mut map, None, peer);
        assert_eq!(map["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(map["x-forwarded-proto"], "https");
        assert_eq!(map["x-forwarded-host"], "a");
    }

    #[test]
    fn upgrades_need_both_fields_in_any_case() {
        assert!(upgrade(&headers(&[("upgrade", "WebSocket")])).is_none());
        let map = headers(&[("upgrade", "WebSocket"), ("connection", "keep-alive, UPGRADE")]);
        assert_eq!(upgrade(&map).unwrap(), "WebSocket");
    }

    #[test]
    fn endless_streams_are_known_by_their_types() {
        assert!(wants_stream(&headers(&[("accept", "*/*, Text/Event-Stream;q=0.9")])));
        assert!(!wants_stream(&headers(&[("accept", "*/*")])));
        assert!(is_stream(&headers(&[("content-type", "application/x-ndjson; charset=utf-8")])));
    }
}
