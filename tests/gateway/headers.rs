//! Headers on their way in and out.

use e2e::{
    Request, Response,
    gateway::{Function, Gateway, Provider},
    play::answer,
};

use crate::gateway;

on_every_provider! {
    call_id_is_kept_or_made_and_always_echoed
    start_time_is_told_to_both_sides
    forwarded_headers_tell_who_called
    hop_by_hop_headers_stop_at_the_gateway
    own_headers_of_both_sides_pass
    responses_keep_what_the_function_says
}

fn seen(gateway: &Gateway, request: &Request) -> (Response, String) {
    let response = gateway.call(request);
    assert_eq!(response.status(), 200, "{}", response.text());
    let head = response.text().to_lowercase();
    (response, head)
}

fn with_upstream(provider: Provider) -> Gateway {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    gateway
}

fn call_id_is_kept_or_made_and_always_echoed(provider: Provider) {
    let gateway = with_upstream(provider);
    let (response, head) =
        seen(&gateway, &Request::get("/function/f").header("X-Call-Id", "mine-7"));
    assert_eq!(response.header("X-Call-Id"), Some("mine-7"));
    assert!(head.contains("x-call-id: mine-7\r\n"), "{head}");
    let mut made = Vec::new();
    for _ in 0..2 {
        let (response, head) = seen(&gateway, &Request::get("/function/f"));
        let id = response.header("X-Call-Id").unwrap().to_owned();
        assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
        assert!(head.contains(&format!("x-call-id: {id}\r\n")), "{head}");
        assert_eq!(response.head.all("X-Call-Id").count(), 1);
        made.push(id);
    }
    assert_ne!(made[0], made[1]);
    // Of calls that reach no function as well.
    let refused = gateway.call(&Request::get("/function/none").header("X-Call-Id", "mine-8"));
    assert_eq!(refused.header("X-Call-Id"), Some("mine-8"));
    gateway.wait_for_log(|log| log.contains("mine-7") && log.contains("mine-8"));
}

fn start_time_is_told_to_both_sides(provider: Provider) {
    let gateway = with_upstream(provider);
    let (response, head) = seen(&gateway, &Request::get("/function/f").header("X-Start-Time", "1"));
    let time = response.header("X-Start-Time").unwrap();
    assert!(head.contains(&format!("x-start-time: {time}\r\n")), "{head}");
    let nanoseconds: u128 = time.parse().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    assert!(nanoseconds <= now && now - nanoseconds < 60_000_000_000, "{nanoseconds}");
}

fn forwarded_headers_tell_who_called(provider: Provider) {
    let gateway = with_upstream(provider);
    let (_, head) = seen(&gateway, &Request::get("/function/f").header("Host", "example.com:81"));
    assert!(head.contains("x-forwarded-for: 127.0.0.1"), "{head}");
    assert!(head.contains("x-forwarded-host: example.com:81\r\n"), "{head}");
    let request = Request::get("/function/f")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("X-Forwarded-Host", "first.example");
    let (_, head) = seen(&gateway, &request);
    assert!(head.contains("x-forwarded-for: 192.0.2.1"), "{head}");
    assert!(head.contains("x-forwarded-host: first.example\r\n"), "{head}");
}

fn hop_by_hop_headers_stop_at_the_gateway(provider: Provider) {
    let gateway = with_upstream(provider);
    let request = Request::get("/function/f")
        .header("Connection", "keep-alive, X-Mine")
        .header("X-Mine", "secret")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("Proxy-Connection", "keep-alive")
        .header("TE", "gzip");
    let (_, head) = seen(&gateway, &request);
    for gone in ["x-mine", "keep-alive", "proxy-authorization", "proxy-connection", "gzip"] {
        assert!(!head.contains(gone), "{gone} came through: {head}");
    }
    let play = answer(
        "HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: secret\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
    );
    let response = gateway.call(&play.with(Request::get("/function/f")));
    assert_eq!(response.text(), "ok");
    for gone in ["X-Theirs", "Keep-Alive"] {
        assert!(response.header(gone).is_none(), "{gone} came through: {response:?}");
    }
}

fn own_headers_of_both_sides_pass(provider: Provider) {
    let gateway = with_upstream(provider);
    let request = Request::get("/function/f")
        .header("Authorization", "Basic eDp5")
        .header("Cookie", "a=b")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("User-Agent", "test/1")
        .header("Accept-Encoding", "br");
    let (_, head) = seen(&gateway, &request);
    for line in [
        "authorization: basic edp5",
        "cookie: a=b",
        "x-twice: one",
        "x-twice: two",
        "user-agent: test/1",
        "accept-encoding: br",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    // Nothing is asked for that the caller did not ask for.
    let (_, head) = seen(&gateway, &Request::get("/function/f"));
    assert!(!head.contains("accept-encoding"), "{head}");
}

fn responses_keep_what_the_function_says(provider: Provider) {
    let gateway = with_upstream(provider);
    for (reply, status, body) in [
        (
            "HTTP/1.1 418 Teapot\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 3\r\n\r\npot",
            418,
            "pot",
        ),
        ("HTTP/1.1 301 Moved\r\nLocation: /elsewhere?x=%2F\r\nContent-Length: 0\r\n\r\n", 301, ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nbroke", 500, "broke"),
    ] {
        let response = gateway.call(&answer(reply).with(Request::get("/function/f")));
        assert_eq!((response.status(), response.text().as_str()), (status, body));
        // It is the function's answer, not the gateway's.
        assert!(response.header("X-OpenFaaS-Internal").is_none(), "{response:?}");
        if status == 418 {
            assert_eq!(response.head.all("Set-Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
        }
        if status == 301 {
            assert_eq!(response.header("Location"), Some("/elsewhere?x=%2F"));
        }
    }
}
