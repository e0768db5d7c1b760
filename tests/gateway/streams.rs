//! Answers that come in pieces, and connections that become something else.

use e2e::{
    End, Piece, Request,
    gateway::{Function, Gateway, Provider},
    play::{Play, Step, send},
};

use crate::gateway;

on_every_provider! {
    events_arrive_one_by_one
    websockets_are_tunnelled_both_ways
    upgrade_that_the_function_declines_is_an_ordinary_answer
    tunnel_counts_as_a_call_until_it_ends
}

fn events_arrive_one_by_one(provider: Provider) {
    let gateway = gateway(provider);
    for (name, kind) in
        [("sse", "text/event-stream"), ("lines", "application/x-ndjson"), ("plain", "text/plain")]
    {
        let script = "while read -r line; do echo \"data: $line\"; echo; done";
        let function =
            Function::sh(name, script).env("mode", "streaming").env("content_type", kind);
        gateway.run(&function);
        let mut client = gateway.connect();
        client.send(
            Request::new("POST", &format!("/function/{name}"))
                .header("Accept", kind)
                .chunked(["x"])
                .head_bytes(),
        );
        for round in 0..3 {
            // The next is asked for only when this one is here.
            client.send(format!("2\r\n{round}\n\r\n"));
            if round == 0 {
                let head = client.read_head();
                assert_eq!((head.status, head.header("Content-Type")), (200, Some(kind)));
            }
            let mut event = Vec::new();
            while !event.ends_with(b"\n\n") {
                event.extend(client.read_chunk_data());
            }
            assert_eq!(event, format!("data: {round}\n\n").into_bytes());
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.read_piece(), Piece::End(End::Complete));
    }
}

fn upgrade() -> Request {
    Request::get("/function/f/chat?room=1")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
}

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn opened(gateway: &Gateway) -> e2e::Client {
    let mut client = gateway.connect();
    client.send(Play::new([send(SWITCHED), Step::Copy]).with(upgrade()).to_bytes());
    let head = client.read_head();
    assert_eq!(head.status, 101, "{head:?}\n{}", gateway.log());
    // A client has to refuse an answer without both (RFC 6455 section 4.1).
    assert!(head.says("Upgrade", "websocket") && head.says("Connection", "Upgrade"), "{head:?}");
    client
}

fn websockets_are_tunnelled_both_ways(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    let mut client = opened(&gateway);
    for round in 0..10_u8 {
        let frame = [0x82, 3, round, 0, 0xff];
        client.send(frame);
        assert_eq!(client.read_raw(frame.len()), frame);
    }
    client.half_close();
    assert_eq!(client.read_raw_to_end(), b"");
}

fn upgrade_that_the_function_declines_is_an_ordinary_answer(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    let reply = send("HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno");
    let mut client = gateway.connect();
    let response = client.call(&Play::new([reply]).with(upgrade()));
    assert_eq!((response.status(), response.text().as_str()), (400, "no"));
    assert_eq!(client.call(&Request::get("/function/f")).status(), 200);
}

fn tunnel_counts_as_a_call_until_it_ends(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    let labels = [("function_name", "f.openfaas-fn")];
    let in_flight = || gateway.metrics().get("gateway_function_invocation_inflight", &labels);
    let client = opened(&gateway);
    assert_eq!(in_flight(), Some(1.0));
    drop(client);
    e2e::eventually(e2e::DEADLINE, "the tunnel to end", || in_flight() == Some(0.0));
}
