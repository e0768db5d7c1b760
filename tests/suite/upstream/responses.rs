//! What of the function's response arrives at the client.

use e2e::{
    Request,
    play::{Play, Step, answer, pattern, send},
};

use super::http;

#[test]
fn status_is_forwarded() {
    let dog = http().start();
    for status in [200, 201, 202, 203, 206, 299, 400, 404, 418, 429, 500, 503, 599, 600, 999] {
        let play = answer(&format!("HTTP/1.1 {status} Odd\r\nContent-Length: 2\r\n\r\nok"));
        let response = dog.call(&play.post("x"));
        assert_eq!((response.status(), response.text().as_str()), (status, "ok"));
        assert_eq!(response.header("x-openfaas-internal"), None);
    }
}

#[test]
fn responses_without_body_leave_the_connection_usable() {
    let dog = http().start();
    let mut client = dog.connect();
    for head in [
        "204 No Content\r\nX-A: b\r\n\r\n",
        "304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        "304 Not Modified\r\nContent-Length: 10\r\n\r\n",
        "200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let response = client.call(&answer(&format!("HTTP/1.1 {head}")).get());
        assert_eq!(response.status().to_string(), head[..3], "{head:?}");
        assert!(response.body.is_empty() && response.is_complete(), "{response:?}");
        assert_eq!(response.header("transfer-encoding"), None, "{head:?}");
    }
}

#[test]
fn head_keeps_the_content_length_and_has_no_body() {
    let dog = http().start();
    let mut client = dog.connect();
    let play = answer("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-A: b\r\n\r\n");
    let response = client.call(&play.with(Request::new("HEAD", "/")));
    assert_eq!((response.status(), response.header("content-length")), (200, Some("12345")));
    assert_eq!(response.header("x-a"), Some("b"));
    assert!(response.body.is_empty());
    let response = client.call(&Request::get("/"));
    assert_eq!(response.status(), 200);
}

#[test]
fn redirect_is_not_followed() {
    let dog = http().start();
    for status in [301, 302, 303, 307, 308] {
        let play = answer(&format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        ));
        let response = dog.call(&play.get());
        assert_eq!((response.status(), response.header("location")), (status, Some("/elsewhere")));
    }
    assert_eq!(super::heads(&dog).len(), 5);
}

#[test]
fn repeated_headers_keep_their_order() {
    let dog = http().start();
    let play = answer(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-Other: x\r\nSet-Cookie: b=2\r\n\
         Set-Cookie: a=3\r\nContent-Length: 0\r\n\r\n",
    );
    let response = dog.call(&play.get());
    let cookies: Vec<&str> = response.head.all("set-cookie").collect();
    assert_eq!(cookies, ["a=1; Path=/", "b=2", "a=3"]);
}

#[test]
fn hop_by_hop_headers_are_removed() {
    let dog = http().start();
    let play = answer(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Kept: yes\r\n\
         Server: fixture\r\nContent-Length: 0\r\n\r\n",
    );
    let response = dog.call(&play.get());
    for name in
        ["x-hop", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade", "connection"]
    {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-kept"), Some("yes"));
    assert_eq!(response.header("server"), Some("fixture"));
}

#[test]
fn answer_without_content_says_no_length_whatever_was_asked() {
    let dog = http().start();
    let play = answer("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n");
    for request in [play.get(), play.with(Request::new("HEAD", "/"))] {
        let response = dog.call(&request);
        assert_eq!((response.status(), response.header("content-length")), (204, None));
    }
}

#[test]
fn close_of_the_function_does_not_close_the_client() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        Step::Close,
    ]);
    let mut client = dog.connect();
    for _ in 0..3 {
        let response = client.call(&play.post("x"));
        assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
        assert!(!response.head.says("connection", "close"));
    }
}

#[test]
fn duration_is_told_once_in_seconds() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        Step::Pause(50),
        send("HTTP/1.1 200 OK\r\nX-Duration-Seconds: 77\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let response = dog.call(&play.get());
    let values: Vec<f64> =
        response.head.all("x-duration-seconds").map(|text| text.parse().unwrap()).collect();
    assert!(values.len() == 1 && values[0] >= 0.05 && values[0] < 60.0, "{values:?}");
}

#[test]
fn nothing_is_added_to_a_response_but_date_and_duration() {
    let dog = http().start();
    let response = dog.call(&answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").get());
    let mut names: Vec<String> =
        response.head.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "date", "x-duration-seconds"]);
}

#[test]
fn date_of_the_function_is_kept() {
    let dog = http().start();
    let date = "Tue, 15 Nov 1994 08:12:31 GMT";
    let play = answer(&format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n"));
    let response = dog.call(&play.get());
    assert_eq!(response.head.all("date").collect::<Vec<_>>(), [date]);
}

/// The of-watchdog asks for gzip itself and then decompresses, so that `Content-Encoding` is lost.
#[test]
fn coded_content_is_left_alone() {
    let dog = http().start();
    // No gzip at all: whoever tries to decode it fails.
    let play = answer(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\x08nope",
    );
    for request in [play.get(), play.get().header("Accept-Encoding", "gzip")] {
        let response = dog.call(&request);
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        assert_eq!(response.header("content-length"), Some("6"));
        assert_eq!(response.body, b"\x1f\x08nope");
    }
}

#[test]
fn framing_of_the_response_is_kept() {
    let dog = http().start();
    let response = dog.call(&answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").get());
    assert_eq!(response.header("content-length"), Some("5"));
    assert_eq!(response.header("transfer-encoding"), None);

    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let response = dog.call(&answer(chunked).get());
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!((response.text().as_str(), response.is_complete()), ("hello", true));
}

#[test]
fn body_that_the_end_of_the_connection_ends_is_complete() {
    let dog = http().start();
    let play = Play::new([Step::Body, send("HTTP/1.0 200 OK\r\n\r\nhello"), Step::Close]);
    let mut client = dog.connect();
    for _ in 0..2 {
        let response = client.call(&play.get());
        assert_eq!((response.text().as_str(), response.is_complete()), ("hello", true));
    }
}

#[test]
fn trailers_of_a_response_arrive() {
    let dog = http().start();
    let play = answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 5d41402a\r\n\r\n",
    );
    let response = dog.call(&play.get().header("TE", "trailers"));
    assert_eq!(response.header("trailer"), Some("X-Sum"));
    assert_eq!(response.text(), "hello");
    let trailers: Vec<_> =
        response.trailers.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.as_str())).collect();
    assert_eq!(trailers, [("x-sum".to_owned(), "5d41402a")]);
}

#[test]
fn early_hints_do_not_disturb_the_response() {
    let dog = http().start();
    let play = answer(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let response = dog.call(&play.get());
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
}

#[test]
fn large_heads_arrive() {
    let dog = http().start();
    let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".to_owned();
    for index in 0..200 {
        head.extend(["X-H", &index.to_string(), ": ", &"v".repeat(300), "\r\n"]);
    }
    let response = dog.call(&answer(&format!("{head}\r\n")).get());
    assert_eq!(response.status(), 200, "{}", response.text());
    let headers = &response.head.headers;
    assert_eq!(headers.iter().filter(|(name, _)| name.starts_with(['x', 'X'])).count(), 201);
}

const LARGE: usize = 64 * 1024 * 1024;

#[test]
fn large_body_goes_through_in_both_directions() {
    let dog = http().start();
    let body = pattern(LARGE);
    let response = dog.call(&Play::new([Step::Body, Step::Reply]).post(&body));
    assert_eq!((response.status(), response.header("content-length")), (200, Some("67108864")));
    assert!(response.is_complete() && response.body == body, "the body changed");
    let peak = dog.peak_rss_kb();
    assert!(peak < 32 * 1024, "{peak} kB of memory");
}

#[test]
fn large_chunked_body_goes_through() {
    let dog = http().start();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n";
    let play = Play::new([Step::Body, send(head), Step::Fill(LARGE), send("\r\n0\r\n\r\n")]);
    let sent = pattern(1024 * 1024);
    let request = Play::with(&play, Request::new("POST", "/").chunked(sent.chunks(60_000)));
    let response = dog.call(&request);
    assert!(response.is_complete() && response.body == pattern(LARGE), "the body changed");
}
