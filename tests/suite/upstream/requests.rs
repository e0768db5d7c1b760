//! What of a request arrives at the function.

use e2e::{Client, Request, left_out, play::answer};

use super::{Seen, http, seen};

#[test]
fn path_and_query_arrive_byte_for_byte() {
    let dog = http().start();
    for target in [
        "/",
        "/?",
        "/a?b?c",
        "//",
        "//double//slash//",
        "/a/./b/../c/..",
        "/..",
        "/%2e%2e/%2F%2f",
        "/%zz%",
        "/a%20b+c;d=e,f@g:h",
        "/?x=%20&x=..&y=//",
        "/_/healthy",
        "/_/health/",
        "/caf\u{e9}",
    ] {
        let seen = seen(&dog, &Request::get(target));
        assert_eq!(seen.line, format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn base_path_of_the_upstream_goes_before_the_path() {
    for (base, target, expected) in [
        ("/base/", "/x?y=z", "/base/x?y=z"),
        ("/base", "/x", "/base/x"),
        ("/", "/x", "/x"),
        ("/a/b", "//x", "/a/b//x"),
        ("/base", "/", "/base/"),
    ] {
        let port = e2e::free_port();
        let dog = crate::watchdog()
            .mode("http")
            .fprocess(&format!("{} 127.0.0.1:{port}", crate::UPSTREAM))
            .env("http_upstream_url", format!("http://127.0.0.1:{port}{base}"))
            .start();
        let seen = seen(&dog, &Request::get(target));
        assert_eq!(seen.line, format!("GET {expected} HTTP/1.1"), "{base} and {target}");
    }
}

#[test]
fn upstream_url_alias_works() {
    let port = e2e::free_port();
    let dog = crate::watchdog()
        .mode("http")
        .fprocess(&format!("{} 127.0.0.1:{port}", crate::UPSTREAM))
        .env("upstream_url", format!("http://127.0.0.1:{port}"))
        .start();
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn absolute_target_arrives_as_a_path() {
    let dog = http().start();
    let seen = seen(&dog, &Request::get("http://function/x?y"));
    assert_eq!(seen.line, "GET /x?y HTTP/1.1");
}

#[test]
fn any_method_arrives() {
    let dog = http().start();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X-Y"] {
        let seen = seen(&dog, &Request::new(method, "/x"));
        assert_eq!(seen.line, format!("{method} /x HTTP/1.1"));
    }
    // The response to HEAD has no body to look at.
    assert_eq!(dog.call(&Request::new("HEAD", "/x")).status(), 200);
    assert!(super::heads(&dog).last().unwrap().starts_with("HEAD /x HTTP/1.1\r\n"));
}

#[test]
fn host_is_preserved() {
    let dog = http().start();
    let seen = seen(&dog, &Request::get("/").header("Host", "shop.example:8443"));
    assert_eq!(seen.all("host"), ["shop.example:8443"]);
}

/// Defects 1 of the of-watchdog, and its issue 116: Content-Length was lost on every request.
#[test]
fn content_length_is_kept() {
    let dog = http().start();
    let seen = seen(&dog, &Request::post("/", "12345"));
    assert_eq!(seen.all("content-length"), ["5"]);
    assert_eq!(seen.all("transfer-encoding"), [""; 0]);
    assert_eq!(seen.body, b"12345");
}

#[test]
fn empty_body_keeps_its_content_length() {
    let dog = http().start();
    let seen = seen(&dog, &Request::post("/", ""));
    assert_eq!(seen.all("content-length"), ["0"]);
    assert_eq!(seen.all("transfer-encoding"), [""; 0]);
}

#[test]
fn chunked_body_stays_chunked() {
    let dog = http().start();
    let seen = seen(&dog, &Request::new("POST", "/").chunked(["ab", "cde"]));
    assert_eq!(seen.all("transfer-encoding"), ["chunked"]);
    assert_eq!(seen.all("content-length"), [""; 0]);
    assert_eq!(seen.chunks(), (b"abcde".to_vec(), "\r\n".to_owned()));
}

#[test]
fn request_without_body_stays_without() {
    let dog = http().start();
    for method in ["GET", "POST", "DELETE", "PUT"] {
        let seen = seen(&dog, &Request::new(method, "/"));
        assert_eq!(seen.all("transfer-encoding"), [""; 0], "{method}");
        // RFC 9110 section 8.6 asks a sender for `Content-Length: 0` with POST and PUT.
        assert!(matches!(seen.all("content-length")[..], [] | ["0"]), "{method}: {seen:?}");
        if method == "GET" {
            assert_eq!(seen.all("content-length"), [""; 0]);
        }
    }
}

#[test]
fn body_of_a_get_arrives() {
    let dog = http().start();
    let seen = seen(&dog, &Request::get("/").body("query"));
    assert_eq!((seen.all("content-length"), seen.body.as_slice()), (vec!["5"], &b"query"[..]));
}

#[test]
fn nothing_but_forwarded_headers_is_added() {
    let dog = http().start();
    let seen = seen(&dog, &Request::get("/"));
    let expected = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    assert_eq!(seen.names(), expected, "{seen:?}");
}

#[test]
fn forwarded_headers_tell_peer_host_and_scheme() {
    let dog = http().start();
    let seen = seen(&dog, &Request::get("/").header("Host", "shop.example"));
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
}

#[test]
fn forwarded_headers_of_an_earlier_proxy_are_kept_and_the_peer_appended() {
    let dog = http().start();
    let request = Request::get("/")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Forwarded-For", "10.0.0.1, 10.0.0.2")
        .header("X-Forwarded-Host", "public.example")
        .header("X-Forwarded-Proto", "https");
    let seen = seen(&dog, &request);
    let chain = seen.all("x-forwarded-for").join(", ");
    assert_eq!(chain, "203.0.113.7, 10.0.0.1, 10.0.0.2, 127.0.0.1");
    assert_eq!(seen.all("x-forwarded-host"), ["public.example"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
}

#[test]
fn hop_by_hop_headers_are_removed() {
    let dog = http().start();
    let request = Request::get("/")
        .header("Connection", "keep-alive, X-Hop")
        .header("Connection", "x-other-hop")
        .header("X-Hop", "1")
        .header("X-Other-Hop", "2")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic c2VjcmV0")
        .header("TE", "gzip")
        .header("Upgrade", "h2c")
        .header("X-Kept", "yes");
    let seen = seen(&dog, &request);
    let gone = [
        "connection",
        "x-hop",
        "x-other-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
    ];
    for name in gone {
        assert_eq!(seen.all(name), [""; 0], "{name}");
    }
    assert_eq!(seen.all("x-kept"), ["yes"]);
}

#[test]
fn end_to_end_headers_arrive_as_they_were() {
    let dog = http().start();
    let request = Request::get("/")
        .header("Authorization", "Bearer abc")
        .header("Cookie", "a=b; c=d")
        .header("X-Call-Id", "f00")
        .header("X-Timeout", "10s")
        .header("User-Agent", "curl/8")
        .header("Accept-Encoding", "br")
        .header("X-Empty", "")
        .header("X-Latin", "caf\u{e9}")
        .header("X-Multi", "one")
        .header("x-multi", "two, three");
    let seen = seen(&dog, &request);
    for (name, value) in [
        ("authorization", "Bearer abc"),
        ("cookie", "a=b; c=d"),
        ("x-call-id", "f00"),
        ("x-timeout", "10s"),
        ("user-agent", "curl/8"),
        ("accept-encoding", "br"),
        ("x-empty", ""),
        ("x-latin", "caf\u{e9}"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    assert_eq!(seen.all("x-multi"), ["one", "two, three"]);
}

#[test]
fn trailers_of_a_request_arrive() {
    let dog = http().start();
    let mut client = dog.connect();
    client
        .send("POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
    client.send("3\r\nabc\r\n0\r\nX-Sum: 900150983cd24fb0\r\n\r\n");
    let response = client.read_response();
    let seen = Seen::parse(&response.body);
    assert_eq!(seen.all("trailer"), ["X-Sum"]);
    let (data, trailers) = seen.chunks();
    assert_eq!(data, b"abc");
    assert_eq!(trailers.to_ascii_lowercase(), "x-sum: 900150983cd24fb0\r\n\r\n");
}

#[test]
fn trailers_that_only_a_head_may_have_are_left_out() {
    let dog = http().start();
    let mut client = dog.connect();
    client
        .send("POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n");
    // RFC 9110 section 6.5.1.
    for field in [
        "Transfer-Encoding: chunked",
        "Content-Length: 7",
        "Host: evil",
        "Connection: x",
        "X-Forwarded-For: 6.6.6.6",
        "Proxy-Authorization: s",
        "Authorization: Bearer s",
        "X-Api-Key: s",
        "Cookie: a=1",
        "X-Sum: 1",
    ] {
        client.send(format!("{field}\r\n"));
    }
    client.send("\r\n");
    let (data, trailers) = Seen::parse(&client.read_response().body).chunks();
    assert_eq!(
        (data.as_slice(), trailers.to_ascii_lowercase().as_str()),
        (&b"abc"[..], "x-sum: 1\r\n\r\n")
    );
}

#[test]
fn client_of_http_1_0_is_served() {
    let dog = http().start();
    let mut client = dog.connect();
    client.send(Request::post("/", "abc").http_1_0().to_bytes());
    let response = client.read_response();
    assert_eq!(response.status(), 200);
    let seen = Seen::parse(&response.body);
    assert_eq!((seen.line.as_str(), seen.body.as_slice()), ("POST / HTTP/1.1", &b"abc"[..]));
    assert!(client.is_closed_by_server());
}

#[test]
fn request_without_a_host_gets_the_functions() {
    let dog = http().start();
    let seen = Seen::parse(&dog.request("GET /x HTTP/1.0\r\n\r\n").body);
    let hosts = seen.all("host");
    assert!(hosts.len() == 1 && hosts[0].starts_with("127.0.0.1:"), "{hosts:?}");
    assert_eq!(seen.all("x-forwarded-host"), [""; 0]);
}

#[test]
fn http_1_0_client_cannot_switch_protocols() {
    let dog = http().start();
    let upgrade = "GET / HTTP/1.0\r\nHost: f\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let seen = Seen::parse(&dog.request(upgrade).body);
    assert_eq!(seen.all("upgrade"), [""; 0]);
}

#[test]
fn http_1_0_client_gets_no_chunks() {
    let dog = http().start();
    let play = answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    );
    let response = dog.call(&play.get().http_1_0());
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!((response.text().as_str(), response.is_complete()), ("hello!", true));
}

/// Defect 1: `http_buffer_req_body` did nothing.
#[test]
fn buffered_chunked_body_arrives_with_a_content_length() {
    let dog = http().env("http_buffer_req_body", "true").start();
    let seen = seen(&dog, &Request::new("POST", "/").chunked(["ab", "cde"]));
    assert_eq!(seen.all("content-length"), ["5"]);
    assert_eq!(seen.all("transfer-encoding"), [""; 0]);
    assert_eq!(seen.body, b"abcde");
}

#[test]
fn buffer_http_alias_takes_bodies_larger_than_memory() {
    let dog = http().env("buffer_http", "1").env("spool_memory", "1024").start();
    let body = e2e::play::pattern(100_000);
    let seen = seen(&dog, &Request::new("POST", "/").chunked(body.chunks(999)));
    assert_eq!(seen.all("content-length"), ["100000"]);
    assert!(seen.body == body, "the body changed");
}

#[test]
fn buffered_body_above_spool_limit_is_413() {
    let dog = http()
        .env("http_buffer_req_body", "true")
        .env("spool_memory", "100")
        .env("spool_limit", "1000")
        .start();
    let body = e2e::play::pattern(2000);
    let response = dog.call(&Request::new("POST", "/large").chunked(body.chunks(150)));
    let text = response.text();
    assert_eq!(response.status(), 413, "{text}");
    assert!(text.contains("request body") && text.contains("spool_limit"), "{text}");
    assert!(!super::heads(&dog).iter().any(|head| head.contains("/large")));
    assert_eq!(dog.post("/", "small").status(), 200);
}

/// RFC 9112 section 3.2.2.
#[test]
fn absolute_target_decides_the_host() {
    let dog = http().start();
    let response = dog.request("GET http://other.example:81/x?y HTTP/1.1\r\nHost: f\r\n\r\n");
    let seen = Seen::parse(&response.body);
    assert_eq!(seen.line, "GET /x?y HTTP/1.1");
    assert_eq!(seen.all("host"), ["other.example:81"]);
}

#[test]
fn buffered_request_without_body_is_served() {
    let dog = http().env("http_buffer_req_body", "true").start();
    assert_eq!(seen(&dog, &Request::get("/x")).line, "GET /x HTTP/1.1");
    assert_eq!(seen(&dog, &Request::post("/", "abc")).body, b"abc");
}

/// Defect 11: with `ready_path`, buffering made every probe panic.
#[test]
fn ready_path_works_with_buffering() {
    let dog = http().env("http_buffer_req_body", "true").env("ready_path", "/warm?up").start();
    e2e::eventually(e2e::DEADLINE, "the function to be ready", || {
        dog.get("/_/ready").status() == 200
    });
    assert!(super::heads(&dog).iter().any(|head| head.starts_with("GET /warm?up HTTP/1.1")));
}

/// Defect 8: the body was given to anyone who asked.
#[test]
fn ready_path_keeps_body_and_headers_of_the_function() {
    let dog = http().env("ready_path", "/warm").start_ready();
    let secret = answer(
        "HTTP/1.1 200 OK\r\nSet-Cookie: secret=1\r\nX-Secret: 2\r\nContent-Type: text/secret\r\n\
         Content-Length: 6\r\n\r\nsecret",
    );
    let response = dog.call(&secret.with(Request::get("/_/ready")));
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    for (name, value) in &response.head.headers {
        assert!(!format!("{name}: {value}").to_lowercase().contains("secret"), "{name}: {value}");
        assert!(!name.eq_ignore_ascii_case("set-cookie"), "{value}");
    }
}

/// 1 MB of head, close to what is accepted at all.
#[test]
fn two_hundred_large_headers_arrive() {
    let dog = http().start_ready();
    let value = "v".repeat(5000);
    let mut request = Request::get("/");
    for index in 0..200 {
        request = request.header(&format!("X-Large-{index}"), &value);
    }
    let seen = seen(&dog, &request);
    for index in 0..200 {
        assert_eq!(seen.all(&format!("x-large-{index}")), [value.as_str()], "{index}");
    }
}

#[test]
fn peer_over_ipv6_is_told_as_such() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        left_out("the tests of IPv6 need the address ::1");
        return;
    }
    let dog = http().start_ready();
    let addr = format!("[::1]:{}", dog.addr().port()).parse().unwrap();
    let response = Client::connect(addr).call(&Request::get("/"));
    assert_eq!(Seen::parse(&response.body).all("x-forwarded-for"), ["::1"]);
}
