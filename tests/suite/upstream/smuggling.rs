//! What looks like the end of one request must not look like another to the function.

use e2e::Request;

use super::{Seen, heads, http};

#[test]
fn length_beside_chunked_is_dropped() {
    let dog = http().start_ready();
    let seen_before = heads(&dog).len();
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: function\r\n\r\n";
    for length in ["Content-Length: 5", "Content-Length: 2"] {
        for framing in [
            format!("{length}\r\nTransfer-Encoding: chunked"),
            format!("Transfer-Encoding: chunked\r\n{length}"),
        ] {
            let chunks = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
            let request =
                format!("POST /one HTTP/1.1\r\nHost: function\r\n{framing}\r\n\r\n{chunks}");
            let response = dog.request(request);
            assert_eq!(response.status(), 200, "{framing}: {}", response.text());
            let seen = Seen::parse(&response.body);
            assert_eq!(seen.all("transfer-encoding"), ["chunked"], "{framing}");
            assert_eq!(seen.all("content-length"), [""; 0], "{framing}");
            assert_eq!(seen.chunks().0, smuggled.as_bytes(), "{framing}");
        }
    }
    let heads = heads(&dog).split_off(seen_before);
    assert!(heads.iter().all(|head| head.starts_with("POST /one ")), "{heads:?}");
}

#[test]
fn same_length_twice_arrives_once_or_is_refused() {
    let dog = http().start_ready();
    let response = dog.request(
        "POST / HTTP/1.1\r\nHost: function\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!(response.status(), 200, "{}", response.text());
    let seen = Seen::parse(&response.body);
    assert_eq!(seen.all("content-length"), ["3"]);
    assert_eq!(seen.body, b"abc");
}

/// Otherwise a client could take away what tells where its request ends, or who it is.
#[test]
fn connection_header_cannot_take_framing_or_origin_away() {
    const NAMED: &str =
        "Transfer-Encoding, Content-Length, X-Forwarded-For, X-Forwarded-Host, Host";
    let dog = http().start_ready();
    let sized = Request::post("/", "hello").header("Connection", NAMED);
    let seen = super::seen(&dog, &sized);
    assert_eq!((seen.all("content-length"), seen.body.as_slice()), (vec!["5"], &b"hello"[..]));
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("host").len(), 1);

    let chunked = Request::new("POST", "/").header("Connection", NAMED).chunked(["hello"]);
    let seen = super::seen(&dog, &chunked);
    assert_eq!(seen.all("transfer-encoding"), ["chunked"]);
    assert_eq!(seen.chunks().0, b"hello");
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
}
