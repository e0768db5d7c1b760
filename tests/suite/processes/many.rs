//! Many calls at once.

use std::thread;

use e2e::{Client, Request};

use crate::watchdog;

use super::{FORKING, leaves_nothing_behind};

#[test]
fn sixty_four_concurrent_calls_get_their_own_answers() {
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        leaves_nothing_behind(&dog, || {
            thread::scope(|scope| {
                for call in 0..64 {
                    let dog = &dog;
                    scope.spawn(move || {
                        let body = format!("call {call} ").repeat(1000);
                        let response = dog.post("/", &body);
                        assert_eq!(response.status(), 200, "{mode}");
                        assert!(response.text() == body, "{mode}: call {call} got another answer");
                    });
                }
            });
        });
    }
}

#[test]
fn calls_of_every_outcome_leave_nothing_behind() {
    let script = r#"
        case "$Http_Path" in
        /fail) exit 3 ;;
        /kill) kill -KILL $$ ;;
        /sleep) sleep 60 ;;
        /orphan) sleep 60 </dev/null >/dev/null 2>&1 & ;;
        /noise) echo noise >&2 ;;
        *) cat ;;
        esac"#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).env("exec_timeout", "1s").start();
        leaves_nothing_behind(&dog, || {
            thread::scope(|scope| {
                for path in ["/fail", "/kill", "/sleep", "/orphan", "/noise", "/"] {
                    let dog = &dog;
                    scope.spawn(move || {
                        for _ in 0..5 {
                            let _ = dog.post(path, "input");
                        }
                    });
                }
            });
        });
        assert!(dog.zombies().is_empty(), "{mode}: {:?}", dog.zombies());
        assert_eq!(dog.post("/", "next").text(), "next");
    }
}

#[test]
fn client_leaving_at_any_moment_leaves_nothing_behind() {
    let request = Request::post("/", vec![b'x'; 100_000]).to_bytes();
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("cat").start();
        leaves_nothing_behind(&dog, || {
            for sent in [1, 20, 60, 90, 5_000, 70_000, request.len()] {
                for leave in [drop as fn(Client), Client::reset] {
                    let mut client = dog.connect();
                    client.send(&request[..sent]);
                    leave(client);
                }
            }
        });
        assert_eq!(dog.post("/", "next").text(), "next");
    }
}
