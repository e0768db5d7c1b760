//! Input that breaks off.

use std::fs;

use e2e::{Client, DEADLINE, Request, eventually};

use crate::watchdog;

use super::FORKING;

#[test]
fn truncated_input_is_never_shown_to_the_function_as_complete() {
    // Defect 13: a function took half an upload for a whole one and stored it.
    type Stop = (&'static str, fn(Client), u32);
    let stop: [Stop; 4] = [
        ("a client that leaves", drop, 10),
        ("a client that is gone", Client::reset, 10),
        (
            "a malformed chunk",
            |mut client| {
                client.send("ZZ\r\n");
                assert_eq!(client.read_response().status(), 400);
            },
            10,
        ),
        // Each of these takes the whole of read_timeout, in which the function has to start.
        (
            "a client that falls silent",
            |mut client| assert_eq!(client.read_response().status(), 408),
            2,
        ),
    ];
    for mode in FORKING {
        let dog = watchdog()
            .mode(mode)
            .sh(r#"head -c 6 >"$TMPDIR/ready"; cat >/dev/null; echo stored >"$TMPDIR/stored""#)
            .env("read_timeout", "2s")
            .start();
        for (what, stop, rounds) in stop {
            for _ in 0..rounds {
                let ready = dog.temp_dir().join("ready");
                let _ = fs::remove_file(&ready);
                let mut client = dog.connect();
                client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
                client.send("6\r\na part\r\n");
                eventually(DEADLINE, "the function to have a part", || {
                    fs::read(&ready).is_ok_and(|part| part == b"a part")
                });
                stop(client);
                dog.wait_until_childless();
                let stored = dog.temp_dir().join("stored");
                assert!(!stored.exists(), "{mode}: {what} was taken for the end of the input");
            }
        }
    }
}
