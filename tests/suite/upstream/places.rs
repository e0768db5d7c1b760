//! `max_inflight`: whatever becomes of a call, its place is free afterwards.

use e2e::{
    DEADLINE, Launch, Request, Watchdog, eventually,
    play::{Play, Step, answer, send, send_chunk, touch},
};

use super::{exists, http};

/// Every call of this kind, three times over, leaves the only place free.
#[track_caller]
fn assert_place_is_free_after(launch: Launch, call: impl Fn(&Watchdog, usize)) {
    let dog = launch.env("max_inflight", "1").start_ready();
    let served = || eventually(DEADLINE, "the place to be free", || dog.get("/").status() == 200);
    served();
    let before = dog.open_fds().len();
    for round in 0..3 {
        call(&dog, round);
        served();
    }
    eventually(DEADLINE, "every descriptor to be closed", || dog.open_fds().len() <= before);
}

#[test]
fn place_is_free_after_a_function_that_breaks_before_its_head() {
    for ending in [Step::Close, Step::Reset, send("garbage\r\n\r\n")] {
        let play = Play::new([Step::Body, ending, Step::Close]);
        assert_place_is_free_after(http(), |dog, _| {
            assert_eq!(dog.call(&play.post("x")).status(), 502);
        });
    }
}

#[test]
fn place_is_free_after_a_function_that_refuses_connections() {
    let dog = super::http_with("--after never")
        .env("max_inflight", "1")
        .env("exec_timeout", "300ms")
        .start();
    for _ in 0..4 {
        // A 429 means that the place is still taken.
        eventually(DEADLINE, "the place to be free", || dog.get("/").status() == 502);
    }
}

#[test]
fn place_is_free_after_a_break_inside_an_event_stream() {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    for ending in [Step::Close, Step::Reset] {
        let play = Play::new([Step::Body, send(head), send_chunk("data: 1\n\n"), ending]);
        assert_place_is_free_after(http(), |dog, _| {
            let mut client = dog.connect();
            client.send(play.get().header("Accept", "text/event-stream").to_bytes());
            // A reset may overtake the head.
            if client.try_read_head().is_ok_and(|head| head.status == 200) {
                let _ = client.read_body();
            }
        });
    }
}

#[test]
fn place_is_free_after_a_late_function() {
    let play = Play::new([Step::Body, Step::Eof]);
    assert_place_is_free_after(http().env("exec_timeout", "500ms"), |dog, _| {
        assert_eq!(dog.call(&play.post("x")).status(), 504);
    });
}

#[test]
fn place_is_free_after_a_stalled_upload() {
    let play = Play::new([Step::Body, Step::Reply]);
    assert_place_is_free_after(http().env("read_timeout", "500ms"), |dog, _| {
        let mut client = dog.connect();
        client.send(play.post("12345").head_bytes());
        client.send("123");
        assert_eq!(client.read_response().status(), 408);
    });
}

#[test]
fn place_is_free_after_a_malformed_chunk() {
    let play = Play::new([Step::Body, Step::Reply]);
    assert_place_is_free_after(http(), |dog, _| {
        let mut client = dog.connect();
        client.send(play.with(Request::new("POST", "/")).chunked([""; 0]).head_bytes());
        client.send("5\r\nhello\r\nzz\r\n");
        assert_eq!(client.read_response().status(), 400);
    });
}

#[test]
fn place_is_free_after_an_early_refusal() {
    let refusal = send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    for ending in [Step::Close, Step::Reset, Step::Eof] {
        let play = Play::new([refusal.clone(), ending]);
        assert_place_is_free_after(http(), |dog, _| {
            let mut client = dog.connect();
            let request = play.with(Request::new("POST", "/")).header("Content-Length", "9000000");
            client.send(request.head_bytes());
            let _ = client.try_send(vec![b'x'; 64 * 1024]);
            // A reset may overtake the refusal.
            let status = client.read_response().status();
            assert!(matches!(status, 413 | 502), "{status}");
        });
    }
}

#[test]
fn place_is_free_after_a_refused_upgrade() {
    let play = answer("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    assert_place_is_free_after(http(), |dog, _| {
        let request = play.get().header("Connection", "Upgrade").header("Upgrade", "websocket");
        assert_eq!(dog.call(&request).status(), 426);
    });
}

#[test]
fn place_is_free_after_a_client_that_resets_its_upload() {
    assert_place_is_free_after(http(), |dog, round| {
        let called = format!("called-{round}");
        let mut client = dog.connect();
        client.send(Play::new([touch(&called), Step::Eof]).post("12345").head_bytes());
        client.send("12");
        eventually(DEADLINE, "the call", || exists(dog, &called));
        client.reset();
    });
}
