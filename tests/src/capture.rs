//! What a program writes, collected while it runs.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The output of one pipe so far. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    grew: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    at_end: bool,
    paused: bool,
}

impl Capture {
    /// Reads `pipe` to its end on a thread of its own.
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let capture = Self::default();
        let shared = Arc::clone(&capture.0);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            loop {
                let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                while state.paused {
                    state = shared.grew.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                drop(state);
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.bytes.extend_from_slice(&buffer[..count]);
                state.at_end = count == 0;
                shared.grew.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        capture
    }

    /// Stops reading after one more piece, so that the pipe fills up; or reads on.
    pub(crate) fn pause(&self, paused: bool) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).paused = paused;
        self.0.grew.notify_all();
    }

    /// Everything so far; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&state.bytes).into_owned()
    }

    /// Waits until the text so far satisfies `condition`, the pipe ends, or `deadline` has passed.
    /// Returns whether the condition holds.
    pub(crate) fn wait(&self, deadline: Duration, condition: impl Fn(&str) -> bool) -> bool {
        let start = Instant::now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if condition(&String::from_utf8_lossy(&state.bytes)) {
                return true;
            }
            let Some(left) = deadline.checked_sub(start.elapsed()) else {
                return false;
            };
            if state.at_end {
                return false;
            }
            state = self.0.grew.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until every writer has closed the pipe; false after `deadline`.
    pub(crate) fn wait_end(&self, deadline: Duration) -> bool {
        let start = Instant::now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.at_end {
            let Some(left) = deadline.checked_sub(start.elapsed()) else {
                return false;
            };
            state = self.0.grew.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
