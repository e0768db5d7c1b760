//! Limits that are switched off, and `X-Timeout` where there is nothing to shorten.

use std::{thread, time::Duration};

use e2e::{
    Client, Launch, Request,
    play::{Play, Step},
};

use crate::{processes::timed_out, upstream::http, watchdog};

/// Longer than a limit that was taken for the smallest possible one.
const PAUSE: Duration = Duration::from_millis(700);

const OFF: [&str; 2] = ["0", "-1s"];

#[test]
fn write_timeout_of_0_and_below_is_no_limit() {
    for value in OFF {
        for mode in ["classic", "streaming", "serializing"] {
            let dog = watchdog().mode(mode).sh("sleep 0.7; echo done").env("write_timeout", value);
            let mut dog = dog.start();
            let response = dog.get("/");
            assert_eq!((response.status(), response.text().as_str()), (200, "done\n"), "{mode}");
            dog.terminate();
            assert_eq!(dog.wait_exit().code(), Some(0), "{mode}: write_timeout={value}");
        }
    }
}

#[test]
fn write_timeout_of_0_does_not_cut_a_client_that_pauses() {
    for value in OFF {
        let dog = watchdog()
            .mode("streaming")
            .sh("head -c 12000000 /dev/zero")
            .env("write_timeout", value)
            .env("exec_timeout", "0")
            .start();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        thread::sleep(PAUSE);
        assert_eq!(client.skip_body(), (12_000_000, e2e::End::Complete));
    }
}

#[test]
fn read_timeout_of_0_waits_for_head_and_body() {
    for value in OFF {
        let dog = watchdog().fprocess("cat").env("read_timeout", value).start();
        let mut client = dog.connect();
        for part in ["POST / HTTP/1.1\r\nHo", "st: f\r\nContent-Length: 4\r\n\r\nbo", "dy"] {
            thread::sleep(PAUSE);
            client.send(part);
        }
        let response = client.read_response();
        assert_eq!((response.status(), response.text().as_str()), (200, "body"));
    }
}

#[test]
fn idle_timeout_of_0_keeps_the_connection() {
    for value in OFF {
        let dog = watchdog().fprocess("cat").env("idle_timeout", value).start();
        let mut client = dog.connect();
        for body in ["one", "two"] {
            assert_eq!(client.call(&Request::post("/", body)).text(), body);
            thread::sleep(PAUSE);
        }
    }
}

#[test]
fn spool_limit_of_0_is_no_limit() {
    let dog = watchdog()
        .fprocess("head -c 300000 /dev/zero")
        .env("spool_memory", "1000")
        .env("spool_limit", "0")
        .start();
    let response = dog.get("/");
    assert_eq!((response.status(), response.body.len()), (200, 300_000));
}

// === X-Timeout, with exec_timeout off ===

#[test]
fn x_timeout_limits_a_call_that_nothing_else_limits() {
    for mode in ["classic", "serializing", "streaming"] {
        let dog = watchdog().mode(mode).fprocess("sleep 1000").env("exec_timeout", "0").start();
        let response = dog.call(&Request::get("/").header("X-Timeout", "300ms"));
        assert_eq!(response.status(), timed_out(mode), "{mode}");
        dog.wait_until_childless();
    }
    let dog = http().env("exec_timeout", "0").start_ready();
    let silence = Play::new([Step::Body, Step::Eof]);
    assert_eq!(dog.call(&silence.get().header("X-Timeout", "300ms")).status(), 504);
}

#[test]
fn x_timeout_that_is_none_limits_nothing() {
    let sleepy = |mode: &str| -> Launch { watchdog().mode(mode).sh("cat; sleep 0.1") };
    let reply = Play::new([Step::Body, Step::Pause(100), Step::Reply]);
    for mode in ["classic", "serializing", "http"] {
        let launch = if mode == "http" { http() } else { sleepy(mode) };
        let dog = launch.env("exec_timeout", "0").start_ready();
        for value in ["0", "0s", "-1s", "-5", "soon", "", "1e9"] {
            let response = dog.call(&reply.post("x").header("X-Timeout", value));
            assert_eq!(
                (response.status(), response.text().as_str()),
                (200, "x"),
                "{mode} {value:?}"
            );
        }
    }
}
