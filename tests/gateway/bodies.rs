//! Bodies: framing kept, streamed both ways, of any size, and in little memory.

use std::thread;

use e2e::{
    End, Piece, Request,
    gateway::{Function, Provider},
    play::pattern,
    procfs,
};

use crate::gateway;

on_every_provider! {
    content_length_and_chunks_are_kept
    bodies_of_all_sizes_come_back
    bodies_stream_both_ways_in_little_memory
    pieces_arrive_while_the_request_goes_on
    body_that_breaks_off_is_seen_to_break_off
    response_that_breaks_off_is_seen_to_break_off
    continue_is_sent_when_the_function_reads
}

fn content_length_and_chunks_are_kept(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    let sized = gateway.post("/function/f", "hello").text().to_lowercase();
    assert!(sized.contains("content-length: 5\r\n") && sized.ends_with("\r\n\r\nhello"), "{sized}");
    assert!(!sized.contains("transfer-encoding"), "{sized}");
    let chunked = Request::new("POST", "/function/f").chunked(["he", "llo"]);
    let chunked = gateway.call(&chunked).text().to_lowercase();
    assert!(chunked.contains("transfer-encoding: chunked\r\n"), "{chunked}");
    assert!(!chunked.contains("content-length"), "{chunked}");
    let none = gateway.get("/function/f").text().to_lowercase();
    assert!(!none.contains("transfer-encoding"), "{none}");
    let empty = gateway.post("/function/f", "").text().to_lowercase();
    assert!(empty.contains("content-length: 0\r\n"), "{empty}");
}

fn bodies_of_all_sizes_come_back(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    for size in [0, 1, 5_000, 65_535, 65_536, 65_537, 1 << 20, 20 << 20] {
        let body = pattern(size);
        let mut client = gateway.connect();
        let mut sender = client.twin();
        let request = Request::post("/function/f", &body);
        let sending = thread::spawn(move || sender.send(request.to_bytes()));
        let response = client.read_response();
        sending.join().unwrap();
        assert_eq!((response.status(), response.is_complete()), (200, true), "{size}");
        assert!(response.body == body, "{size} bytes came back otherwise");
    }
}

fn bodies_stream_both_ways_in_little_memory(provider: Provider) {
    const SIZE: u64 = 1 << 30;
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
    let before = procfs::status_kb(gateway.pid(), "VmHWM").unwrap();
    let mut client = gateway.connect();
    let mut sender = client.twin();
    let sending = thread::spawn(move || {
        sender.send(format!(
            "POST /function/f HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
        ));
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            sender.send(&piece);
        }
    });
    assert_eq!(client.read_head().status, 200);
    let (size, end) = client.skip_body();
    sending.join().unwrap();
    assert_eq!((size, end), (SIZE, End::Complete));
    let after = procfs::status_kb(gateway.pid(), "VmHWM").unwrap();
    assert!(after - before < 16 * 1024, "{SIZE} bytes each way took {} kB", after - before);
}

fn pieces_arrive_while_the_request_goes_on(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    let mut client = gateway.connect();
    client.send(Request::new("POST", "/function/f").chunked(["x"]).head_bytes());
    for round in 0..5 {
        client.send(format!("7\r\nround {round}\r\n"));
        if round == 0 {
            assert_eq!(client.read_head().status, 200);
        }
        assert_eq!(client.read_chunk_data(), format!("round {round}").into_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
}

fn body_that_breaks_off_is_seen_to_break_off(provider: Provider) {
    let gateway = gateway(provider);
    let script = "cat > /dev/null && echo whole >&2";
    gateway.run(&Function::sh("f", script).env("mode", "streaming"));
    let mut client = gateway.connect();
    client.send("POST /function/f HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
    client.reset();
    gateway.wait_for_log(|log| log.contains("POST /function/f - "));
    assert_eq!(gateway.post("/function/f", "x").status(), 200);
    let whole = || {
        let lines = gateway.logs("f", "");
        lines.iter().filter(|line| line["text"].as_str().unwrap().contains("whole")).count()
    };
    e2e::eventually(e2e::DEADLINE, "the whole one to be logged", || whole() > 0);
    assert_eq!(whole(), 1, "the function took a broken upload for a whole one");
}

fn response_that_breaks_off_is_seen_to_break_off(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::upstream("f"));
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        use e2e::play::{Play, Step, send};
        let play = Play::new([Step::Body, send(reply), Step::Close]);
        let mut client = gateway.connect();
        client.send(play.with(Request::get("/function/f")).to_bytes());
        assert_eq!(client.read_head().status, 200);
        let (body, end) = client.read_body();
        assert_eq!(body, b"half");
        assert!(matches!(end, End::Cut(_)), "{reply:?} looks whole");
    }
}

fn continue_is_sent_when_the_function_reads(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    let mut client = gateway.connect();
    let request = Request::post("/function/f", "hello").header("Expect", "100-continue");
    client.send(request.head_bytes());
    assert_eq!(client.read_head().status, 100);
    client.send("hello");
    assert_eq!(client.read_response().text(), "hello");
}
