//! Connections that the kernel accepted and the watchdog has not.

use e2e::{DEADLINE, Request, eventually, procfs};
use rustix::process::Signal;

use super::assert_clean_exit;
use crate::watchdog;

#[test]
fn calls_that_only_the_kernel_accepted_are_served_by_a_stop() {
    for mode in ["classic", "streaming"] {
        let mut dog =
            watchdog().mode(mode).fprocess("cat").env("healthcheck_interval", "0").start();
        dog.signal(Signal::STOP);
        eventually(DEADLINE, "it to be stopped", || {
            procfs::read(dog.pid()).is_some_and(|process| process.state == 'T')
        });
        // The handshake is the kernel's, and so is what was sent.
        let mut clients: Vec<_> = (0..20)
            .map(|number| {
                let mut client = dog.connect();
                client.send(Request::post("/", format!("call {number}")).to_bytes());
                client
            })
            .collect();
        dog.terminate();
        dog.signal(Signal::CONT);
        for (number, client) in clients.iter_mut().enumerate() {
            let Ok(response) = client.try_read_response(false) else {
                panic!("{mode}: call {number} was not answered\n{}", dog.log());
            };
            assert_eq!(response.status(), 200, "{mode}");
            assert_eq!(response.text(), format!("call {number}"), "{mode}");
        }
        assert_clean_exit(&mut dog);
    }
}
