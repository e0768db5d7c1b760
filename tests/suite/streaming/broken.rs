//! Failures after the first byte of output.

use e2e::{Client, Request};

use crate::processes::leaves_nothing_behind;

use super::{allow, assert_next, is_cut, sh, streaming};

#[test]
fn exit_status_after_the_first_byte_cuts_the_response() {
    // Defect 13: the response looked complete.
    let dog = sh("printf partial; await go; exit 3");
    let mut client = dog.connect();
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_next(&mut client, "partial");
    allow(&dog, "go");
    let (rest, end) = client.read_body();
    assert!(rest.is_empty() && is_cut(&end), "{end:?}");
}

#[test]
fn exit_status_right_behind_the_output_cuts_the_response() {
    let dog = sh("echo partial; exit 3");
    for _ in 0..10 {
        let response = dog.get("/");
        assert_eq!((response.status(), response.text().as_str()), (200, "partial\n"));
        assert!(is_cut(&response.end), "{:?}", response.end);
    }
}

#[test]
fn signal_after_the_first_byte_cuts_the_response() {
    let dog = sh("echo partial; kill -SEGV $$");
    let response = dog.get("/");
    assert_eq!(response.status(), 200);
    assert!(is_cut(&response.end), "{:?}", response.end);
}

#[test]
fn failure_after_the_first_byte_resets_an_http_1_0_connection() {
    // Without chunks only a reset tells it from the end of the body.
    let dog = sh("printf partial; await go; exit 3");
    let mut client = dog.connect();
    client.send(Request::get("/").http_1_0().to_bytes());
    assert_eq!(client.read_head().status, 200);
    assert_next(&mut client, "partial");
    allow(&dog, "go");
    let (rest, end) = client.read_body();
    assert!(rest.is_empty() && is_cut(&end), "{end:?}");
}

#[test]
fn exec_timeout_after_the_first_byte_cuts_the_response_and_ends_the_process() {
    let dog = streaming().sh("echo partial; sleep 60").env("exec_timeout", "3s").start();
    leaves_nothing_behind(&dog, || {
        let response = dog.get("/");
        assert_eq!((response.status(), response.text().as_str()), (200, "partial\n"));
        assert!(is_cut(&response.end), "{:?}", response.end);
    });
}

#[test]
fn exec_timeout_cuts_a_stream_that_never_pauses() {
    let dog = streaming().fprocess("cat /dev/zero").env("exec_timeout", "3s").start();
    leaves_nothing_behind(&dog, || {
        let mut client = dog.connect();
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        let (size, end) = client.skip_body();
        assert!(size > 0 && is_cut(&end), "{end:?}");
    });
}

#[test]
fn client_that_takes_nothing_is_cut_after_write_timeout() {
    // 7.5: `write_timeout` bounds any stretch in which the client takes no byte.
    let dog = streaming()
        .fprocess("cat /dev/zero")
        .env("write_timeout", "2s")
        .env("exec_timeout", "0")
        .start();
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
    client.send(Request::get("/").to_bytes());
    assert_eq!(client.read_head().status, 200);
    // It stays connected and reads no more.
    dog.wait_until_childless();
    let (_, end) = client.skip_body();
    assert!(is_cut(&end), "{end:?}");
}

#[test]
fn stream_that_makes_progress_is_not_cut_by_write_timeout() {
    let dog = streaming()
        .sh("for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.5; done")
        .env("write_timeout", "2s")
        .start();
    let response = dog.get("/");
    assert_eq!(response.text(), "1\n2\n3\n4\n5\n6\n7\n");
    assert!(response.is_complete(), "{:?}", response.end);
}

#[test]
fn function_that_pauses_is_not_cut_by_write_timeout() {
    // The client has taken all there was: nobody but `exec_timeout` counts the function's time.
    let dog = streaming().sh("echo before; sleep 4; echo after").env("write_timeout", "2s").start();
    let response = dog.get("/");
    assert_eq!(response.text(), "before\nafter\n");
    assert!(response.is_complete(), "{:?}", response.end);
}
