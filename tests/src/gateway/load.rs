//! Callers that go on calling.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{Client, DEADLINE, Request, eventually};

/// Calls one after the other from several threads, until it is stopped.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    calls: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// `callers` callers, every second of which makes a new connection for each call. A call fails
    /// when its answer is not 200 and not what `is_right` wants.
    #[must_use]
    pub fn start(
        addr: SocketAddr,
        request: &Request,
        callers: usize,
        is_right: fn(&str) -> bool,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let call = move |shared: &Shared, request: &Request, keeps: bool| {
            let mut kept: Option<Client> = None;
            while !shared.stop.load(Ordering::Acquire) {
                let client = kept.take().map_or_else(|| Client::try_connect(addr), Ok);
                let answer = client.map_err(|error| error.to_string()).and_then(|mut client| {
                    client.try_send(request.to_bytes()).map_err(|error| error.to_string())?;
                    let answer = client.try_read_response(false);
                    kept = Some(client).filter(|_| keeps);
                    answer.map_err(|error| format!("{error:?}"))
                });
                let failure = match answer {
                    Ok(answer) if answer.status() == 200 && is_right(&answer.text()) => None,
                    Ok(answer) => Some(format!("{}: {}", answer.status(), answer.text())),
                    Err(error) => Some(error),
                };
                shared.calls.fetch_add(1, Ordering::AcqRel);
                if let Some(failure) = failure {
                    kept = None;
                    let mut failures =
                        shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push(failure);
                }
            }
        };
        let threads = (0..callers).map(|index| {
            let (shared, request) = (Arc::clone(&shared), request.clone());
            thread::spawn(move || call(&shared, &request, index % 2 == 0))
        });
        Self { threads: threads.collect(), shared }
    }

    /// Waits until so many more calls have ended.
    ///
    /// # Panics
    /// When they do not within [`DEADLINE`].
    #[track_caller]
    pub fn wait_for(&self, calls: u64) {
        let until = self.shared.calls.load(Ordering::Acquire) + calls;
        eventually(DEADLINE, "calls to end", || self.shared.calls.load(Ordering::Acquire) >= until);
    }

    /// Stops it: how many calls there were, and what went wrong.
    ///
    /// # Panics
    /// When a caller did.
    #[must_use]
    pub fn stop(self) -> (u64, Vec<String>) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().expect("a caller");
        }
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.shared.calls.load(Ordering::Acquire), failures)
    }
}
