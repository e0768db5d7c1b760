//! The request body on its way to the process.

use e2e::{Client, End, Piece, Request};

use crate::processes::leaves_nothing_behind;

use super::{assert_next, chunk, is_cut, sh, streaming};

#[test]
fn chunked_input_reaches_the_function_as_it_arrives() {
    let dog = streaming().fprocess("cat").start();
    let mut client = dog.connect();
    client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
    client.send(chunk("first"));
    assert_eq!(client.read_head().status, 200);
    assert_next(&mut client, "first");
    for text in ["second", "third"] {
        client.send(chunk(text));
        assert_next(&mut client, text);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
}

#[test]
fn sized_input_reaches_the_function_as_it_arrives() {
    let dog = streaming().fprocess("cat").start();
    let mut client = dog.connect();
    client.send(Request::new("POST", "/").header("Content-Length", "6").head_bytes());
    client.send("abc");
    assert_eq!(client.read_head().status, 200);
    assert_next(&mut client, "abc");
    client.send("def");
    assert_next(&mut client, "def");
    assert_eq!(client.read_piece(), Piece::End(End::Complete));
}

#[test]
fn input_that_is_not_read_gives_200_every_time() {
    let dog = sh("exec <&-; echo done");
    let request = Request::post("/", vec![b'x'; 4 << 20]).to_bytes();
    leaves_nothing_behind(&dog, || {
        for _ in 0..20 {
            let response = dog.request(&request);
            assert_eq!((response.status(), response.text().as_str()), (200, "done\n"));
            assert!(response.is_complete(), "{:?}", response.end);
        }
    });
}

#[test]
fn malformed_chunk_before_the_first_byte_gives_400() {
    // Defect 13: this was a 200 with an empty body.
    let dog = streaming().fprocess("wc -c").start();
    leaves_nothing_behind(&dog, || {
        let head = Request::new("POST", "/").chunked([""; 0]).head_bytes();
        let response = dog.request([&head, b"ZZ\r\nhello\r\n".as_slice()].concat());
        assert_eq!(response.status(), 400);
    });
    assert_eq!(dog.post("/", "next").text().trim(), "4");
}

#[test]
fn malformed_chunk_after_the_first_byte_cuts_the_response() {
    let dog = streaming().fprocess("cat").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
        client.send(chunk("good"));
        assert_eq!(client.read_head().status, 200);
        assert_next(&mut client, "good");
        client.send("ZZ\r\nbad\r\n");
        let (_, end) = client.read_body();
        assert!(is_cut(&end), "{end:?}");
    });
}

#[test]
fn body_that_stops_arriving_before_the_first_byte_gives_408() {
    // Defect 13: the function saw the end of its input, and the client a 200.
    let dog = streaming().fprocess("wc -c").env("read_timeout", "400ms").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").header("Content-Length", "9").head_bytes());
        client.send("some");
        assert_eq!(client.read_response().status(), 408);
    });
}

#[test]
fn body_that_stops_arriving_after_the_first_byte_cuts_the_response() {
    let dog = streaming().fprocess("cat").env("read_timeout", "2s").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").header("Content-Length", "9").head_bytes());
        client.send("some");
        assert_eq!(client.read_head().status, 200);
        assert_next(&mut client, "some");
        let (_, end) = client.read_body();
        assert!(is_cut(&end), "{end:?}");
    });
}

#[test]
fn client_that_leaves_during_its_upload_ends_the_process() {
    let dog = streaming().fprocess("cat").start();
    let leave: [fn(Client); 2] = [drop, Client::reset];
    for leave in leave {
        leaves_nothing_behind(&dog, || {
            let mut client = dog.connect();
            client.send(Request::new("POST", "/").header("Content-Length", "99").head_bytes());
            client.send("a part");
            assert_eq!(client.read_head().status, 200);
            leave(client);
        });
    }
}
