//! How a call finds its function, and what of its request line the function sees.

use e2e::{
    Request,
    gateway::{Function, Provider},
};

use crate::gateway;

on_every_provider! {
    functions_are_found_by_all_their_names
    paths_and_queries_reach_the_function_byte_for_byte
    every_method_reaches_the_function
    connections_are_kept_for_any_function
    calls_go_to_the_replica_with_the_fewest
}

fn functions_are_found_by_all_their_names(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f"));
    for name in ["f", "f.openfaas-fn", "f/", "f.openfaas-fn/", "f/path/of/it", "f?q=1"] {
        let response = gateway.post(&format!("/function/{name}"), "hello");
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"), "{name}");
    }
    for name in
        ["", "/", "g", "f.other", "f.", ".f", "F", "f%2F", "../system/functions", "f.openfaas-fn.x"]
    {
        let response = gateway.post(&format!("/function/{name}"), "hello");
        assert_eq!(response.status(), 404, "{name}: {}", response.text());
    }
}

fn paths_and_queries_reach_the_function_byte_for_byte(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    for (sent, seen) in [
        ("", "/"),
        ("/", "/"),
        ("?a=b", "/?a=b"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("//a//b//", "//a//b//"),
        ("/a/../b/./c", "/a/../b/./c"),
        ("/..", "/.."),
        ("/a%2Fb%2fc", "/a%2Fb%2fc"),
        ("/a%3Fb=c", "/a%3Fb=c"),
        ("/100%25", "/100%25"),
        ("/%20%00%FF", "/%20%00%FF"),
        ("/a+b;c,d=e@f:g!$&'()*", "/a+b;c,d=e@f:g!$&'()*"),
        ("/a?b=c&b=%2F&d", "/a?b=c&b=%2F&d"),
        ("/a?", "/a?"),
        ("/a??b=?c/..//", "/a??b=?c/..//"),
        ("/a?b=%zz", "/a?b=%zz"),
    ] {
        let response = gateway.get(&format!("/function/f{sent}"));
        assert_eq!(response.status(), 200, "{sent}: {}", response.text());
        let line = format!("GET {seen} HTTP/1.1\r\n");
        assert!(response.text().starts_with(&line), "{sent}: {}", response.text());
    }
}

fn every_method_reaches_the_function(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"] {
        let response = gateway.call(&Request::new(method, "/function/f/a").body("x"));
        assert_eq!(response.status(), 200, "{method}: {}", response.text());
        assert!(response.text().starts_with(&format!("{method} /a ")), "{}", response.text());
    }
    let head = gateway.call(&Request::new("HEAD", "/function/f/a"));
    assert_eq!((head.status(), head.body.len()), (200, 0));
    assert!(head.header("Content-Length").is_some_and(|length| length != "0"), "{head:?}");
}

fn connections_are_kept_for_any_function(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("a"));
    gateway.run(&Function::upstream("b"));
    let mut client = gateway.connect();
    for round in 0..20 {
        let text = format!("round {round}");
        assert_eq!(client.call(&Request::post("/function/a", &text)).text(), text);
        assert_eq!(client.call(&Request::get("/function/b/x")).status(), 200);
        assert_eq!(client.call(&Request::get("/function/none")).status(), 404);
        assert_eq!(client.call(&Request::get("/system/functions")).status(), 401);
    }
}

fn calls_go_to_the_replica_with_the_fewest(provider: Provider) {
    let gateway = gateway(provider);
    // Each replica says which one it is, and holds a call for as long as its body lasts.
    let name = "[ -e \"$TMPDIR/me\" ] || echo \"$$ $(cat /proc/sys/kernel/hostname)\" > \"$TMPDIR/me\"; read me < \"$TMPDIR/me\"; echo \"$me\"; cat";
    let function =
        Function::sh("f", name).env("mode", "streaming").label("com.openfaas.scale.min", "2");
    gateway.deploy(&function);
    gateway.wait_ready("f", 2);
    let who = |held: &mut Vec<e2e::Client>| {
        let mut client = gateway.connect();
        client.send(Request::new("POST", "/function/f").chunked(["x"]).head_bytes());
        client.read_head();
        let line = client.read_chunk_data();
        held.push(client);
        String::from_utf8(line).unwrap()
    };
    let mut held = Vec::new();
    let mut seen: Vec<String> = (0..6).map(|_| who(&mut held)).collect();
    seen.sort();
    let first = seen.iter().filter(|one| **one == seen[0]).count();
    assert_eq!(first, 3, "calls are not shared out evenly: {seen:?}");
}
