//! `Expect: 100-continue` (RFC 9110 section 10.1.1): a client that is refused sends no body.

use e2e::{Request, Watchdog};

use crate::{
    held::{self, hold},
    watchdog,
};

/// The head of an upload whose client waits for a word.
fn announced(method: &str) -> Vec<u8> {
    let request = Request::new(method, "/").header("Expect", "100-continue");
    request.header("Content-Length", "5").head_bytes()
}

/// The final status comes at once, and no 100 before it.
#[track_caller]
fn assert_refused_unsent(dog: &Watchdog, method: &str, status: u16) {
    let mut client = dog.connect();
    client.send(announced(method));
    assert_eq!(client.read_head().status, status);
    assert_eq!(dog.get("/_/health").status(), 200);
}

#[test]
fn refused_method_is_told_without_a_continue() {
    assert_refused_unsent(&watchdog().fprocess("cat").start(), "OPTIONS", 405);
}

#[test]
fn limit_is_told_without_a_continue() {
    let dog = watchdog().sh(held::SCRIPT).env("max_inflight", "1").start();
    let _held = hold(&dog);
    assert_refused_unsent(&dog, "POST", 429);
}

#[test]
fn function_that_cannot_start_is_told_without_a_continue() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog().mode(mode).fprocess("/no/such/program").start();
        assert_refused_unsent(&dog, "POST", 500);
    }
}
