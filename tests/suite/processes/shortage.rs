//! More connections than descriptors.

use e2e::{DEADLINE, Request, Watchdog, eventually};

use super::FORKING;
use crate::watchdog;

/// A call that is answered as if nothing had been.
#[track_caller]
fn assert_serves(dog: &Watchdog) {
    let response = dog.post("/", "next");
    assert_eq!((response.status(), response.text().as_str()), (200, "next"), "{}", dog.log());
}

#[test]
fn shortage_of_descriptors_fails_calls_and_nothing_else() {
    for mode in FORKING {
        let dog = watchdog()
            .mode(mode)
            .fprocess("cat")
            .through(&["sh", "-c", "ulimit -n 40; exec \"$0\" \"$@\""])
            .start();
        assert_serves(&dog);
        let before = dog.open_fds().len();
        let request = Request::post("/", "x").header("Connection", "close").to_bytes();
        let clients: Vec<_> = (0..60)
            .map(|_| {
                let mut client = dog.connect();
                client.set_patience(3 * DEADLINE);
                client.send(&request);
                client
            })
            .collect();
        for mut client in clients {
            match client.read_response().status() {
                200 | 500 => {}
                other => panic!("{mode}: {other}\n{}", dog.log()),
            }
        }
        for _ in 0..5 {
            assert_serves(&dog);
        }
        dog.wait_until_childless();
        eventually(DEADLINE, "no descriptor to be left", || dog.open_fds().len() <= before);
    }
}
