//! Warm spares: processes that were started ahead of their call and wait for its input.
//!
//! A function that takes long to start, as interpreters do, has done so by the time of the call. It
//! must need nothing of the call in its environment, and read its standard input before it acts.
//! A spare that is handed out is the process of that call in every respect: time-outs, the end of
//! its group, its exit status. What it wrote before is the beginning of its output, as it would be
//! of a process started for the call. While there is no spare, calls start a process of their own.
//!
//! One task keeps the number up (`keeper`). It gives way to calls: a process that starts takes the
//! CPU time that a call in flight could use. So a start waits for the end of the calls in flight,
//! though not for long, and while half of the spares are there they start one after the other, each
//! when the one before waits for its input (`starting`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::unix::pipe;
use tokio_util::task::TaskTracker;

use crate::{
    body::Body,
    error::Error,
    logs::{Log, Stream},
    process::{Arrived, Environment, Input, Launcher, Process, Stderr, Unfed},
};

mod idle;
mod keeper;
mod starting;

pub(crate) use self::idle::Busy;
use self::{idle::Idle, keeper::Keeper};

/// How many spares, and for how long.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many wait at most. Each is a whole process and takes its memory.
    pub count: usize,
    /// The longest that one waits before another takes its place; `None` for ever.
    pub max_age: Option<Duration>,
}

/// What happened to spares since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls that got one.
    pub hits: AtomicU64,
    /// Calls that found none.
    pub misses: AtomicU64,
    /// Spares that were started.
    pub started: AtomicU64,
    /// Spares that had waited for `max_age`.
    pub expired: AtomicU64,
    /// Spares that ended before they had a call, or could not be started.
    pub failed: AtomicU64,
    /// Spares that wait now.
    pub idle: AtomicU64,
}

/// Where the processes of calls come from.
#[derive(Debug)]
pub(crate) struct Source {
    launcher: Launcher,
    stderr: Stderr,
    log: Log,
    spares: Option<Arc<Idle>>,
    keeper: TaskTracker,
}

/// The process of a call, and our ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) stdout: Arc<pipe::Receiver>,
    /// What of the input is not in the pipe yet, if anything.
    pub(crate) unfed: Option<Unfed>,
    /// While the call lasts.
    pub(crate) busy: Option<Busy>,
}

impl Source {
    /// Starts the first spares soon, if there are to be any. Must be called within a tokio runtime
    /// then, whose threads must live as long as the watchdog: spares end with the thread that
    /// started them.
    pub(crate) fn new(
        launcher: Launcher,
        stderr: Stderr,
        log: Log,
        spares: Option<Config>,
    ) -> Self {
        let keeper = TaskTracker::new();
        let spares = spares.filter(|config| config.count > 0).map(|config| {
            let idle = Arc::new(Idle::new(config, log.clone()));
            keeper.spawn(Keeper::new(Arc::clone(&idle), launcher.clone(), stderr).run());
            idle
        });
        Self { launcher, stderr, log, spares, keeper }
    }

    /// A process with this input: a spare, or a new one with `environment`.
    ///
    /// # Errors
    /// As [`Launcher::spawn`], and the body's own.
    pub(crate) async fn start(
        &self,
        environment: Environment,
        body: Body,
    ) -> Result<Started, Error> {
        // To look at a body is to ask its client for it (`Expect: 100-continue`).
        self.launcher.check()?;
        let input = Arrived::of(body).await?;
        let busy = self.spares.as_ref().map(Busy::begin);
        if let Some(spare) = self.spares.as_ref().and_then(|spares| spares.take()) {
            let mut process = spare.process;
            drop(spare.stdout);
            let stdout = process.watch_here();
            let unfed = process.begin(input)?;
            return Ok(Started { process, stdout, unfed, busy });
        }
        let (process, pipes) = self.launcher.spawn(environment, Input::Body(input), self.stderr)?;
        if let Some(stderr) = pipes.stderr {
            self.log.follow(Stream::Stderr, stderr);
        }
        Ok(Started { process, stdout: pipes.stdout, unfed: pipes.unfed, busy })
    }

    /// Whether the first spares have started up, or cannot. From then on calls are served in any
    /// case.
    pub(crate) fn is_ready(&self) -> bool {
        self.spares.as_ref().is_none_or(|spares| spares.is_settled())
    }

    /// Present when there are spares.
    pub(crate) fn counters(&self) -> Option<Arc<Counters>> {
        self.spares.as_ref().map(|spares| Arc::clone(spares.counters()))
    }

    /// Hands the spares that wait to the reaper; done when no more are started.
    pub(crate) async fn stop(&self) {
        if let Some(spares) = &self.spares {
            spares.stop();
        }
        self.keeper.close();
        self.keeper.wait().await;
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(spares) = &self.spares {
            spares.stop();
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
