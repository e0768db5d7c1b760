//! Requests that cannot be understood.

use e2e::ReadError;

use super::{assert_serves, cat};

#[test]
fn malformed_request_answers_400_and_closes() {
    let dog = cat();
    for bytes in [
        "nonsense\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: f\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: f\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nName : value\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nX: a\0b\r\n\r\n",
        "G@T( / HTTP/1.1\r\nHost: f\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: 1a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: f\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    ] {
        let mut client = dog.connect();
        client.send(bytes);
        let response = client.read_response();
        assert_eq!(response.status(), 400, "{bytes:?}");
        assert!(client.is_closed_by_server(), "{bytes:?}");
    }
    assert_serves(&dog);
}

#[test]
fn bytes_of_another_protocol_are_refused() {
    let dog = cat();
    for bytes in [
        // HTTP/2 with prior knowledge, a TLS hello, and noise.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\0\0\0\0\0\0\0\0".as_slice(),
    ] {
        let mut client = dog.connect();
        client.send(bytes);
        client.half_close();
        match client.try_read_response(false) {
            Ok(response) => {
                assert!(matches!(response.status(), 400 | 505), "{bytes:?}: {:?}", response.head);
            }
            Err(error) => assert_ne!(error, ReadError::TimedOut, "{bytes:?}"),
        }
    }
    assert_serves(&dog);
}

#[test]
fn host_missing_answers_400() {
    let dog = cat();
    assert_eq!(dog.request("GET / HTTP/1.1\r\n\r\n").status(), 400);
    assert_eq!(dog.request("GET /_/health HTTP/1.1\r\n\r\n").status(), 400);
    // HTTP/1.0 knows no Host.
    assert_eq!(dog.request("GET / HTTP/1.0\r\n\r\n").status(), 200);
}

#[test]
fn host_that_is_none_answers_400() {
    let dog = cat();
    for host in ["a b", "a/b", "@c", "u@c", "a\"b", "a,b c", "a?b", "a#b", "\u{fc}"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(dog.request(bytes).status(), 400, "{host:?}");
    }
    for host in ["", "f", "f:80", "127.0.0.1:8080", "[::1]:8080", "a_b.c-d", "xn--a"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(dog.request(bytes).status(), 200, "{host:?}");
    }
}

#[test]
fn target_that_is_neither_path_nor_url_answers_400() {
    let dog = cat();
    assert_eq!(dog.request("GET noslash HTTP/1.1\r\nHost: f\r\n\r\n").status(), 400);
    assert_eq!(dog.request("GET f:80 HTTP/1.1\r\nHost: f\r\n\r\n").status(), 400);
}

#[test]
fn host_given_twice_answers_400() {
    let dog = cat();
    for second in ["f", "other"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: f\r\nHost: {second}\r\n\r\n");
        assert_eq!(dog.request(bytes).status(), 400);
    }
}

#[test]
fn content_lengths_in_conflict_answer_400() {
    let dog = cat();
    for lengths in ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6"] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: f\r\n{lengths}\r\n\r\nhello!");
        assert_eq!(dog.request(bytes).status(), 400, "{lengths}");
    }
    assert_serves(&dog);
}

#[test]
fn content_length_beside_chunked_cannot_smuggle_a_request() {
    let dog = cat();
    let mut client = dog.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: f\r\n\r\n",
    );
    // Refusing it and believing the chunks alone are both right (RFC 9112 section 6.3).
    let response = client.read_response();
    match response.status() {
        400 => {}
        200 => assert_eq!(response.text(), ""),
        other => panic!("status {other}"),
    }
    assert_serves(&dog);
}

#[test]
fn transfer_encoding_unknown_is_refused() {
    let dog = cat();
    for encoding in ["gzip", "chunked, gzip", "gzip, chunked", "identity"] {
        let bytes =
            format!("POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n");
        let status = dog.request(bytes).status();
        assert!(matches!(status, 400 | 501), "{encoding}: {status}");
    }
    assert_serves(&dog);
}

#[test]
fn chunk_that_is_malformed_answers_400_in_classic_mode() {
    let dog = cat();
    let response = dog.request(
        "POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    );
    assert_eq!(response.status(), 400);
    dog.wait_until_childless();
    assert_serves(&dog);
}
