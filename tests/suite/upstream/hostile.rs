//! Functions whose answers can be read in more than one way, or in none: no byte of them may reach
//! a client as something it is not, nor another call at all (RFC 9112 sections 6.3, 7.1, 11.2).

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use e2e::{
    DEADLINE, Request, Watchdog, eventually,
    play::{Play, Step, answer, send, touch},
};

use super::{exists, heads, http, lines};
use crate::watchdog;

#[track_caller]
fn assert_serves(dog: &Watchdog) {
    let response = dog.call(&Play::new([Step::Body, Step::Reply]).post("mine"));
    assert_eq!((response.status(), response.text().as_str()), (200, "mine"), "{}", dog.log());
}

#[test]
fn ambiguous_heads_are_502() {
    let dog = http().start();
    let mut table = vec![
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "noise HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
        "HTTP/1.1 42 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
        "HTTP/1.1 1234 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
        "HTTP/1.1 100 Continue\r\n\r\nhello".into(),
        "HTTP/3 200 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
    ];
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: -1",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: \x0bchunked",
        "Content-Length : 5",
        "Content-Length: 5\r\n folded: yes",
        "X-Nul: \0\r\nContent-Length: 5",
        "X-Return: a\rb\r\nContent-Length: 5",
    ] {
        table.push(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello"));
    }
    for head in table {
        let response = dog.call(&answer(&head).post("x"));
        assert_eq!(response.status(), 502, "{head:?}");
        assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
        assert!(!response.text().contains("hello"), "{head:?}: {}", response.text());
        assert_serves(&dog);
    }
}

#[test]
fn broken_chunks_cut_the_response() {
    let dog = http().start();
    for (chunks, before) in [
        ("zz\r\n", ""),
        ("-5\r\nhello\r\n0\r\n\r\n", ""),
        ("0x5\r\nhello\r\n0\r\n\r\n", ""),
        ("5\nhello\r\n0\r\n\r\n", ""),
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", ""),
        ("ffffffffffffffff\r\nhello", "hello"),
        ("5\r\nhello0\r\n\r\n", "hello"),
        ("5\r\nhello!\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n0\r\nno colon\r\n\r\n", "hello"),
        ("5\r\nhello\r\n0\r\nX-Sum : 1\r\n\r\n", "hello"),
        ("5\r\nhello\r\n0\r\n", "hello"),
    ] {
        let head = send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let play = Play::new([Step::Body, head, send(chunks), Step::Close]);
        let response = dog.call(&play.post("x"));
        assert_eq!((response.status(), response.text().as_str()), (200, before), "{chunks:?}");
        assert!(!response.is_complete(), "{chunks:?} was taken for the end");
        assert_serves(&dog);
    }
}

/// What stands behind an answer is nobody's: neither the end of this one nor the next one.
#[test]
fn bytes_behind_an_answer_reach_nobody() {
    let dog = http().start();
    let mut client = dog.connect();
    for (method, head) in [
        ("GET", "200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "204 No Content\r\n\r\n"),
        ("GET", "204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("HEAD", "200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        for stray in ["hello", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"] {
            let play = answer(&format!("HTTP/1.1 {head}{stray}"));
            let response = client.call(&play.with(Request::new(method, "/")));
            assert_eq!(response.status().to_string(), head[..3], "{method} {head:?}");
            assert!(response.body.is_empty() && response.is_complete(), "{method} {head:?}");
            let response = client.call(&Play::new([Step::Body, Step::Reply]).get().body("mine"));
            assert_eq!((response.status(), response.text().as_str()), (200, "mine"), "{head:?}");
        }
    }
}

#[test]
fn late_bytes_behind_an_answer_reach_nobody() {
    let dog = http().start();
    for round in 0..20 {
        let stray = format!("stray-{round}");
        let play = Play::new([
            Step::Body,
            send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            Step::Pause(2),
            send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"),
            touch(&stray),
        ]);
        assert_eq!(dog.call(&play.get()).text(), "ok");
        eventually(DEADLINE, "the stray bytes", || exists(&dog, &stray));
        let response = dog.call(&Play::new([Step::Body, Step::Reply]).get().body("mine"));
        assert_eq!((response.status(), response.text().as_str()), (200, "mine"));
    }
}

#[test]
fn interim_answers_are_many_but_not_endless() {
    let dog = http().start();
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let unasked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let play = answer(&format!("{unasked}{}{last}", hint.repeat(100)));
    let response = dog.call(&play.post("x"));
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    let play = answer(&format!("{}{last}", hint.repeat(1000)));
    assert_eq!(dog.call(&play.post("x")).status(), 502);
    assert_serves(&dog);
}

#[test]
fn too_many_fields_are_502() {
    let dog = http().start();
    let with = |count| format!("HTTP/1.1 204 No Content\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(dog.call(&answer(&with(512)).get()).status(), 204);
    let response = dog.call(&answer(&with(513)).get());
    assert_eq!(response.status(), 502);
    assert!(response.text().contains("too large"), "{}", response.text());
    assert_serves(&dog);
}

/// A function of our own, for what does not fit into a request: hands every connection on which a
/// request came to `serve`.
fn raw(serve: impl Fn(&mut TcpStream) + Send + 'static) -> Watchdog {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            // The watchdog only looks whether somebody listens, now and then.
            if !head.is_empty() {
                serve(&mut stream);
                let _ = stream.shutdown(Shutdown::Write);
                // What is left unread would break the connection.
                let _ = stream.read(&mut byte);
            }
        }
    });
    let url = format!("http://127.0.0.1:{port}");
    watchdog().mode("http").fprocess("sleep 1000").env("http_upstream_url", url).start()
}

#[test]
fn huge_heads_are_502_and_bounded() {
    let dog = raw(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Huge: ");
        for _ in 0..64 {
            // The watchdog may have had enough by now.
            if stream.write_all(&vec![b'x'; 1024 * 1024]).is_err() {
                return;
            }
        }
    });
    let response = dog.get("/");
    assert_eq!(response.status(), 502, "{}", dog.log());
    assert!(response.text().contains("too large"), "{}", response.text());
    let peak = dog.peak_rss_kb();
    assert!(peak < 32 * 1024, "{peak} kB of memory");
}

#[test]
fn answer_in_single_bytes_is_an_answer() {
    let dog = raw(|stream| {
        let answer = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                      X-A: b\r\n\r\n5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n";
        for byte in answer.bytes() {
            stream.write_all(&[byte]).unwrap();
        }
    });
    let response = dog.get("/");
    assert_eq!((response.status(), response.text().as_str()), (200, "hello!"));
    assert!(response.is_complete());
    assert_eq!(response.header("x-a"), Some("b"));
}

/// The answer is the client's at once; the rest of the request is still the function's.
#[test]
fn upload_goes_on_behind_a_complete_answer() {
    let dog = http().start();
    let early = send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let play = Play::new([early, Step::Body, touch("all")]);
    let mut client = dog.connect();
    client.send(play.with(Request::post("/", "12345")).head_bytes());
    client.send("123");
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    assert!(!exists(&dog, "all"));
    client.send("45");
    eventually(DEADLINE, "all of the request", || exists(&dog, "all"));
    // Both connections are still good.
    eventually(DEADLINE, "the connection to be idle", || {
        let served = client.call(&Play::new([Step::Body, Step::Reply]).post("next")).text();
        assert_eq!(served, "next");
        let (calls, connections) = (heads(&dog).len(), lines(&dog, "connections").len());
        calls > connections
    });
}

/// Nothing is held when no calls come.
#[test]
fn idle_connections_are_closed_by_and_by() {
    let dog = http().start();
    let play = Play::new([Step::Body, Step::Reply, Step::Eof, touch("left")]);
    assert_eq!(dog.call(&play.post("x")).text(), "x");
    eventually(DEADLINE, "the connection to be closed", || exists(&dog, "left"));
}
