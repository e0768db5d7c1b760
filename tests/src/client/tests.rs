//! The client judges the programs, so it is judged here first.

use std::{io::Write as _, net::TcpListener, thread};

use super::*;
use crate::framing::{End, Piece};

/// A client of a server that says `bytes` and closes.
fn to(bytes: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
    });
    Client::connect(addr)
}

#[test]
fn body_with_a_length_is_complete_or_cut() {
    let mut client = to("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 204 Two\r\n\r\n\
                         HTTP/1.1 500 Three\r\nContent-Length: 4\r\n\r\nab");
    let response = client.read_response();
    assert_eq!((response.text().as_str(), response.end.clone()), ("abc", End::Complete));
    assert_eq!(client.read_response().head.reason, "Two");
    let response = client.read_response();
    assert_eq!(response.text(), "ab");
    assert!(matches!(response.end, End::Cut(_)));
    assert!(!response.is_complete());
}

#[test]
fn chunked_body_keeps_its_pieces_and_trailers() {
    let mut client = to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                         3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-End: yes\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk_data(), b"abc");
    assert_eq!(client.read_chunk_data(), b"0123456789");
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
    assert_eq!(client.trailers(), [("X-End".to_owned(), "yes".to_owned())]);
    assert_eq!(client.try_read_head().unwrap_err(), ReadError::Closed);
}

#[test]
fn chunked_body_without_its_last_chunk_is_cut() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    ] {
        assert!(matches!(to(bytes).read_response().end, End::Cut(_)), "{bytes:?}");
    }
}

#[test]
fn response_to_head_and_interim_responses_have_no_body() {
    let mut client = to("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n\
                         HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\
                         HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let response = client.try_read_response(true).unwrap();
    assert_eq!(response.interim.len(), 2);
    assert_eq!(response.header("content-length"), Some("3"));
    assert!(response.body.is_empty());
    let response = client.read_response();
    assert_eq!((response.text().as_str(), response.is_complete()), ("until the end", true));
}

#[test]
fn what_is_no_http_is_told_apart_from_silence() {
    assert_eq!(to("").try_read_head().unwrap_err(), ReadError::Closed);
    assert_eq!(
        to("HTTP/1.1 200").try_read_head().unwrap_err(),
        ReadError::Cut("HTTP/1.1 200".into())
    );
    for bytes in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let error = to(bytes).try_read_head().unwrap_err();
        assert!(matches!(error, ReadError::Malformed(_)), "{bytes:?}: {error:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap());
    client.set_patience(Duration::from_millis(20));
    assert_eq!(client.try_read_head().unwrap_err(), ReadError::TimedOut);
}
