//! How many calls are open: counted by each event loop for itself, because a number that all of
//! them change travels between the CPUs twice a call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use modes::lanes::Lanes;
use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// What began here less what ended here: only the sum, which wraps, means something, as a call
    /// may end on another loop than it began on.
    here: Lanes<AtomicUsize>,
    /// Somebody waits for the end of the last.
    awaited: AtomicBool,
    none: Notify,
}

impl Open {
    /// One more.
    pub(crate) fn begin(&self) {
        self.here[self.here.here()].fetch_add(1, Ordering::SeqCst);
    }

    /// One less.
    pub(crate) fn end(&self) {
        self.here[self.here.here()].fetch_sub(1, Ordering::SeqCst);
        // In the one order of all these, either this sees that somebody waits, or who waits sees
        // that this has ended; and of two that end at once the later one sees both ended.
        if self.awaited.load(Ordering::SeqCst) && self.count() == 0 {
            self.none.notify_waiters();
        }
    }

    pub(crate) fn count(&self) -> usize {
        let sum = |sum: usize, lane: &AtomicUsize| sum.wrapping_add(lane.load(Ordering::SeqCst));
        self.here.iter().fold(0, sum)
    }

    /// Done once there is none.
    pub(crate) async fn none(&self) {
        self.awaited.store(true, Ordering::SeqCst);
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_last_is_seen_whichever_thread_it_began_on() {
        for _ in 0..200 {
            let open = Arc::new(Open::default());
            (0..4).for_each(|_| open.begin());
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let open = Arc::clone(&open);
                    thread::spawn(move || {
                        open.begin();
                        open.end();
                        open.end();
                    })
                })
                .collect();
            let none = tokio::time::timeout(Duration::from_secs(30), open.none());
            none.await.expect("nobody was told");
            assert_eq!(open.count(), 0);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
