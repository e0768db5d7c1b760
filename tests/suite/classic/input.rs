//! Input that is not read, or does not come.

use std::time::Duration;

use e2e::{Client, Request};

use crate::processes::leaves_nothing_behind;

use super::classic;

#[test]
fn input_that_is_not_read_gives_200_every_time() {
    // Defect 12: one call in five failed with "broken pipe".
    let dog = classic().sh("exec <&-; echo done").start();
    let request = Request::post("/", vec![b'x'; 4 << 20]).to_bytes();
    leaves_nothing_behind(&dog, || {
        for _ in 0..20 {
            let response = dog.request(&request);
            assert_eq!((response.status(), response.text().as_str()), (200, "done\n"));
        }
    });
}

#[test]
fn input_that_is_read_in_part_gives_200() {
    let dog = classic().fprocess("head -c 3").start();
    let request = Request::post("/", vec![b'x'; 1 << 20]).to_bytes();
    for _ in 0..5 {
        let response = dog.request(&request);
        assert_eq!((response.status(), response.text().as_str()), (200, "xxx"));
    }
}

#[test]
fn malformed_chunk_gives_400_and_the_next_call_works() {
    let dog = classic().fprocess("cat").start();
    for body in ["ZZ\r\nhello\r\n", "5\r\nhelloXX0\r\n\r\n", "-1\r\n\r\n"] {
        leaves_nothing_behind(&dog, || {
            let head = Request::new("POST", "/").chunked([""; 0]).head_bytes();
            let response = dog.request([&head, body.as_bytes()].concat());
            assert_eq!(response.status(), 400, "{body:?}");
        });
    }
    assert_eq!(dog.post("/", "next").text(), "next");
}

#[test]
fn body_that_stops_arriving_gives_408_and_the_next_call_works() {
    let dog = classic().fprocess("cat").env("read_timeout", "400ms").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::new("POST", "/").header("Content-Length", "9").head_bytes());
        client.send("some");
        assert_eq!(client.read_response().status(), 408);
    });
    assert_eq!(dog.post("/", "next").text(), "next");
}

#[test]
fn body_that_arrives_slowly_but_steadily_gives_200() {
    // 7.5: `read_timeout` bounds a stretch without a byte, not the whole body.
    let dog = classic().fprocess("cat").env("read_timeout", "1500ms").start();
    let mut client = dog.connect();
    client.send(Request::new("POST", "/").header("Content-Length", "6").head_bytes());
    client.send_slowly("steady", 1, Duration::from_millis(400)).expect("the server takes it");
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (200, "steady"));
}

#[test]
fn client_that_leaves_during_its_upload_leaves_no_process_behind() {
    let dog = classic().fprocess("cat").start();
    let leave: [fn(Client); 2] = [drop, Client::reset];
    for leave in leave {
        leaves_nothing_behind(&dog, || {
            let mut client = dog.connect();
            client.send(Request::new("POST", "/").header("Content-Length", "99").head_bytes());
            client.send("a part");
            leave(client);
        });
        assert_eq!(dog.post("/", "next").text(), "next");
    }
}
