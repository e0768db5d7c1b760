//! The task that keeps the number of spares up.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;

use super::{
    count,
    idle::{Idle, Spare},
    starting::Starting,
};
use crate::{
    logs::Stream,
    process::{Launcher, Stderr},
};

/// How long the start of a spare waits for the end of the calls in flight: a process that starts
/// would take the CPUs from them, but the pool must not stay empty because calls are long.
const YIELDING: Duration = Duration::from_millis(20);
/// Between starts after spares that ended early: from the first to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A spare that waited this long has earned a quick successor.
const STABLE: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Keeper {
    idle: Arc<Idle>,
    launcher: Launcher,
    stderr: Stderr,
    /// How many were started.
    number: u32,
    /// Since when spares are missing, or when the last one was started if that was later.
    missing_since: Option<Instant>,
    not_before: Instant,
    pause: Duration,
    /// Calls that had got a spare when the last one ended early.
    hits: u64,
}

impl Keeper {
    pub(super) fn new(idle: Arc<Idle>, launcher: Launcher, stderr: Stderr) -> Self {
        Self {
            idle,
            launcher,
            stderr,
            number: 0,
            missing_since: None,
            not_before: Instant::now(),
            pause: BACK_OFF.0,
            hits: 0,
        }
    }

    /// Starts spares until nobody wants them any more.
    pub(super) async fn run(mut self) {
        let idle = Arc::clone(&self.idle);
        while let Some(stock) = idle.look() {
            let now = Instant::now();
            if let Some(old) = idle.remove(|spare| spare.expires.is_some_and(|at| at <= now)) {
                count(&idle.counters().expired);
                old.log_output(&idle.log);
                // Dropped, its group is ended in the background, with its input still open.
                continue;
            }
            let missing = stock.waiting < idle.config.count;
            self.missing_since = self.missing_since.filter(|_| missing).or(missing.then_some(now));
            // Who may start next when another is done is told by the next look at that one.
            let may_start = missing && stock.starting < idle.at_once(stock);
            let due = self.due().filter(|_| may_start);
            if due.is_some_and(|at| at <= now) {
                self.start();
                // Whoever waits for this thread goes first.
                tokio::task::yield_now().await;
                continue;
            }
            let next = [due, idle.next_look(), idle.next_expiry()].into_iter().flatten().min();
            tokio::select! {
                () = idle.changed.notified() => {}
                () = sleep_until(next.unwrap_or(now).into()), if next.is_some() => {}
                dead = poll_fn(|cx| idle.poll_dead(cx)) => self.bury(dead).await,
            }
        }
    }

    /// When a spare may be started, if one is missing.
    fn due(&self) -> Option<Instant> {
        let yielding = if self.idle.is_quiet() { Duration::ZERO } else { YIELDING };
        self.missing_since.map(|since| (since + yielding).max(self.not_before))
    }

    fn start(&mut self) {
        let now = Instant::now();
        self.missing_since = Some(now);
        match self.launcher.spare(self.stderr) {
            Ok((process, pipes)) => {
                if let Some(stderr) = pipes.stderr {
                    self.idle.log.follow(Stream::Stderr, stderr);
                }
                let expires = self.lifetime().map(|lifetime| now + lifetime);
                self.idle.add(Spare {
                    process,
                    stdout: pipes.stdout,
                    since: now,
                    expires,
                    spoke: false,
                    starting: Some(Starting::new(now)),
                });
            }
            Err(error) => {
                self.back_off(None);
                tracing::warn!(
                    "could not start a spare process: {error}; trying again in {:?}",
                    self.not_before - now
                );
            }
        }
    }

    /// Up to a quarter less than `max_age`, so that spares do not all expire together.
    fn lifetime(&mut self) -> Option<Duration> {
        let max_age = self.idle.config.max_age?;
        let count = u32::try_from(self.idle.config.count).unwrap_or(u32::MAX).max(1);
        let place = self.number % count;
        self.number = self.number.wrapping_add(1);
        Some(max_age.saturating_sub(max_age / 4 * place / count))
    }

    /// A spare ended before it had a call.
    async fn bury(&mut self, mut spare: Spare) {
        self.back_off(Some(spare.since));
        let how = match spare.process.wait().await {
            Ok(exit) => exit.to_string(),
            Err(error) => error.to_string(),
        };
        spare.log_output(&self.idle.log);
        tracing::warn!(
            "a spare process ended before it had a call: {how} (with warm_spares a function must \
             read its input before it acts); the next one is started in {:?}",
            self.not_before.saturating_duration_since(Instant::now())
        );
    }

    fn back_off(&mut self, since: Option<Instant>) {
        let counters = self.idle.counters();
        count(&counters.failed);
        let hits = counters.hits.load(std::sync::atomic::Ordering::Relaxed);
        if hits != self.hits || since.is_some_and(|since| since.elapsed() >= STABLE) {
            self.pause = BACK_OFF.0;
        }
        self.hits = hits;
        self.not_before = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACK_OFF.1);
        self.idle.settle();
    }
}
