//! Whose turn it is to use the issuer's port.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    net::TcpListener,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::{PORT, address};

/// The right to use the port, or to know that nobody does.
#[derive(Debug)]
pub struct Turn {
    _process: MutexGuard<'static, ()>,
    /// Locked (flock(2)) against other test processes until it is closed.
    _machine: File,
}

static TURN: Mutex<()> = Mutex::new(());

/// How long another test process may need for its own turns.
const QUEUE: Duration = Duration::from_secs(120);

impl Turn {
    /// Waits for the turn. `None`, and a line on standard error, when a program that is none of ours
    /// has the port.
    #[must_use]
    pub fn take(test: &str) -> Option<Self> {
        let process = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let path = std::env::temp_dir().join("e2e-issuer.lock");
        let machine = OpenOptions::new().create(true).append(true).open(path).expect("a lock file");
        let start = Instant::now();
        while flock(&machine, FlockOperation::NonBlockingLockExclusive).is_err() {
            assert!(start.elapsed() < QUEUE, "another test process keeps the issuer's port");
            thread::sleep(Duration::from_millis(20));
        }
        if let Err(error) = TcpListener::bind(address()) {
            // Not `eprintln`, whose output the test harness hides while a test passes.
            let line = format!("LEFT OUT: {test}: port {PORT} of the issuer is taken ({error})\n");
            let _ = io::stderr().write_all(line.as_bytes());
            return None;
        }
        Some(Self { _process: process, _machine: machine })
    }
}
