//! The spares that wait, shared by the calls that take them and the task that starts them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use tokio::{net::unix::pipe, sync::Notify};

use super::{Config, Counters, count, starting::Starting};
use crate::{
    logs::{Log, Stream},
    process::Process,
};

/// A process that waits for its call.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) process: Process,
    pub(super) stdout: Arc<pipe::Receiver>,
    pub(super) since: Instant,
    /// When it has waited too long.
    pub(super) expires: Option<Instant>,
    /// It wrote something already, so its output says no more about its end.
    pub(super) spoke: bool,
    /// Until it has started up.
    pub(super) starting: Option<Starting>,
}

impl Spare {
    /// Ready when it has exited. Its output is watched for its call in any case and ends with it,
    /// so that most spares need no watch of their own.
    pub(super) fn poll_exited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.spoke {
            if self.stdout.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            self.spoke = true;
        }
        self.process.poll_exited(cx).map(drop)
    }

    /// Whether it still starts up.
    fn is_starting(&mut self, now: Instant) -> bool {
        if let Some(starting) = &mut self.starting
            && starting.is_over(&self.process, now)
        {
            self.starting = None;
        }
        self.starting.is_some()
    }

    /// No call will get what it wrote so far, so the log does.
    pub(super) fn log_output(&self, log: &Log) {
        log.take(Stream::Stdout, &self.stdout);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) config: Config,
    pub(super) log: Log,
    counters: Arc<Counters>,
    /// The oldest first; `None` once stopped.
    waiting: Mutex<Option<VecDeque<Spare>>>,
    /// Something changed that the keeper may have to act on.
    pub(super) changed: Notify,
    /// Calls in flight.
    busy: AtomicUsize,
    cpus: usize,
    settled: AtomicBool,
}

impl Idle {
    pub(super) fn new(config: Config, log: Log) -> Self {
        Self {
            config,
            log,
            counters: Arc::default(),
            waiting: Mutex::new(Some(VecDeque::new())),
            changed: Notify::new(),
            busy: AtomicUsize::new(0),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            settled: AtomicBool::new(false),
        }
    }

    /// For a call: the spare that has waited longest, which is the likeliest to have started up.
    pub(super) fn take(&self) -> Option<Spare> {
        let taken = self.remove(|spare| !spare.process.has_exited());
        count(if taken.is_some() { &self.counters.hits } else { &self.counters.misses });
        self.wake_keeper();
        taken
    }

    /// Takes out the first spare that fits.
    pub(super) fn remove(&self, fits: impl FnMut(&mut Spare) -> bool) -> Option<Spare> {
        let mut waiting = self.lock();
        let waiting = waiting.as_mut()?;
        let at = waiting.iter_mut().position(fits)?;
        let removed = waiting.remove(at);
        self.show(waiting.len());
        removed
    }

    /// Takes out a spare that has exited, as soon as there is one.
    pub(super) fn poll_dead(&self, cx: &mut Context<'_>) -> Poll<Spare> {
        self.remove(|spare| spare.poll_exited(cx).is_ready()).map_or(Poll::Pending, Poll::Ready)
    }

    /// Adds a spare, unless nobody wants one any more.
    pub(super) fn add(&self, spare: Spare) {
        let mut waiting = self.lock();
        if let Some(waiting) = waiting.as_mut() {
            waiting.push_back(spare);
            count(&self.counters.started);
            self.show(waiting.len());
        }
    }

    /// Nobody wants spares any more: those that wait are ended.
    pub(super) fn stop(&self) {
        // Ended behind the lock: that takes time where there is no runtime left.
        let waiting = self.lock().take();
        self.show(0);
        self.changed.notify_one();
        drop(waiting);
    }

    /// How many there are, and how many of them still start up; `None` once stopped.
    pub(super) fn look(&self) -> Option<Stock> {
        let now = Instant::now();
        let mut waiting = self.lock();
        let waiting = waiting.as_mut()?;
        let starting = waiting.iter_mut().filter_map(|spare| spare.is_starting(now).then_some(()));
        let stock = Stock { starting: starting.count(), waiting: waiting.len() };
        // Those that calls have taken meanwhile count as well.
        let started = self.counters.started.load(Ordering::Relaxed);
        if started >= (self.config.count + stock.starting) as u64 {
            self.settle();
        }
        Some(stock)
    }

    /// When to look again at those that start up.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let waiting = self.lock();
        let starting = waiting.as_ref()?.iter().filter_map(|spare| spare.starting.as_ref());
        starting.map(Starting::next_look).min()
    }

    /// How many may start up at once. Each takes a CPU that a call may need the next moment, so it
    /// is one after the other unless spares run short.
    pub(super) fn at_once(&self, stock: Stock) -> usize {
        if stock.waiting - stock.starting < self.config.count.div_ceil(2) { self.cpus } else { 1 }
    }

    /// When the next of them has waited too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.lock().as_ref()?.iter().filter_map(|spare| spare.expires).min()
    }

    /// Whether there is no call that a spare could take a CPU from.
    pub(super) fn is_quiet(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0
    }

    fn has_cpu(&self) -> bool {
        self.busy.load(Ordering::Relaxed) < self.cpus
    }

    /// The first spares have started up, or cannot.
    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// While calls have all the CPUs, the keeper looks by itself from time to time.
    fn wake_keeper(&self) {
        if self.has_cpu() {
            self.changed.notify_one();
        }
    }

    fn show(&self, waiting: usize) {
        self.counters.idle.store(waiting as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Spare>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    pub(super) waiting: usize,
    /// Of those that wait.
    pub(super) starting: usize,
}

/// A call in flight, until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Idle>);

impl Busy {
    pub(super) fn begin(idle: &Arc<Idle>) -> Self {
        idle.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(idle))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        if self.0.counters.idle.load(Ordering::Relaxed) < self.0.config.count as u64 {
            self.0.wake_keeper();
        }
    }
}
