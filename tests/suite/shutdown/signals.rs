//! More than one signal, and others than SIGTERM.

use std::time::{Duration, Instant};

use e2e::{DEADLINE, eventually};
use rustix::process::Signal;

use super::{assert_clean_exit, holding};
use crate::held::{hold, release};

#[test]
fn every_signal_of_a_stop_lets_the_call_finish() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut dog = holding("classic").env("healthcheck_interval", "60s").start();
        let mut held = hold(&dog);
        dog.signal(signal);
        eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
        assert_eq!(dog.get("/").text(), "quick\n", "{signal:?}");
        release(&dog);
        assert_eq!(held.read_response().text(), "released\n", "{signal:?}");
        assert_clean_exit(&mut dog);
    }
}

#[test]
fn second_sigterm_changes_nothing() {
    let mut dog = holding("classic").env("healthcheck_interval", "60s").start();
    let mut held = hold(&dog);
    for _ in 0..2 {
        dog.terminate();
        eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
    }
    assert_eq!(dog.get("/").text(), "quick\n");
    release(&dog);
    assert_eq!(held.read_response().text(), "released\n");
    assert_clean_exit(&mut dog);
}

/// Whoever presses Ctrl-C once more does not want to wait.
#[test]
fn sigint_during_a_stop_ends_it_at_once() {
    for first in [Signal::TERM, Signal::INT] {
        for mode in ["classic", "streaming"] {
            let mut dog = holding(mode).env("healthcheck_interval", "60s").start();
            let held = hold(&dog);
            dog.signal(first);
            eventually(DEADLINE, "503", || dog.get("/_/health").status() == 503);
            let start = Instant::now();
            dog.signal(Signal::INT);
            // The intervals of the stop are 60 and 30 s.
            assert_clean_exit(&mut dog);
            assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
            drop(held);
        }
    }
}
