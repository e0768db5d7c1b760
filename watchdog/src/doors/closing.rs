//! That the doors close, to every connection.
//!
//! A task that waits for a [`CancellationToken`] takes two locks whenever it is polled, and all
//! tasks of all event loops take the same two. A connection is polled twice a call, so it listens
//! here: a flag that hardly ever changes is in the caches of all CPUs.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    token: CancellationToken,
    /// Set before the token is cancelled.
    begun: Arc<AtomicBool>,
}

impl Closing {
    /// Says so.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Done once it is said. Whichever task polls it first has to be the one that goes on.
    pub async fn begun(&self) {
        let mut cancelled = pin!(self.token.cancelled());
        let mut listens = false;
        poll_fn(|cx| {
            // The first poll leaves the task's waker with the token. The wake-up comes after the
            // flag is set, so whoever is woken by it sees that.
            if std::mem::replace(&mut listens, true) && !self.begun.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            cancelled.as_mut().poll(cx)
        })
        .await;
    }

    /// For whoever waits for something else, and seldom.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn those_who_listen_are_woken_whether_or_not_they_were_polled_again() {
        let closing = Closing::default();
        let tasks: Vec<_> = [0, 1, 3]
            .map(|polls| {
                let closing = closing.clone();
                tokio::spawn(async move {
                    let mut begun = pin!(closing.begun());
                    for _ in 0..polls {
                        let polled = poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx)));
                        assert!(polled.await.is_pending());
                    }
                    begun.await;
                })
            })
            .into();
        tokio::task::yield_now().await;
        closing.begin();
        for task in tasks {
            let woken = tokio::time::timeout(Duration::from_secs(30), task).await;
            woken.expect("a task was not woken").unwrap();
        }
        closing.begun().await;
    }
}
