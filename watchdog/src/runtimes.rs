//! One event loop a CPU for calls, each with connections of its own.
//!
//! A call stays on the loop that serves its connection, so nothing of it moves between CPUs and
//! no thread has to be woken for another one's work: against one runtime that shares its tasks this
//! saves a fifth of the processor time of a small static answer. Connections are dealt out in turn.
//! (`SO_REUSEPORT` would leave it to a hash of the addresses, which is uneven for few connections.)
//!
//! The program's first thread has a loop of its own ([`current`]) and is none of these: whatever
//! calls do to theirs, somebody is there to accept, to answer probes and to hear signals
//! (`dispatch`).

use std::{io, sync::mpsc, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::diligence::Diligence;

mod diligence;

/// What the loops are for, as far as the scheduler is told.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Calls of other processes, which may be started there and would inherit what a loop is told.
    Any,
    /// All of a call is done there, and no process is started.
    Alone,
}

/// The loops of calls. Dropped, it ends them.
#[derive(Debug)]
pub struct Runtimes {
    /// Those that were needed so far: a loop without connections is memory for nothing.
    handles: Vec<Handle>,
    most: usize,
    next: usize,
    work: Work,
    stop: CancellationToken,
    _end: DropGuard,
}

/// A loop for the calling thread.
///
/// # Errors
/// The kernel's.
pub fn current() -> io::Result<Runtime> {
    builder().build()
}

fn builder() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder
}

impl Runtimes {
    /// The first of them; there will be as many as there are CPUs for this process.
    ///
    /// # Errors
    /// A thread or its loop could not be started.
    pub fn start(work: Work) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let most = thread::available_parallelism().map_or(1, usize::from);
        let handles = vec![start(work, stop.clone())?];
        Ok(Self { handles, most, next: 0, work, _end: stop.clone().drop_guard(), stop })
    }

    /// Where the next connection goes.
    pub fn in_turn(&mut self) -> &Handle {
        let place = self.next % self.most;
        self.next = place + 1;
        if place == self.handles.len() {
            match start(self.work, self.stop.clone()) {
                Ok(handle) => self.handles.push(handle),
                Err(error) => {
                    tracing::warn!("cannot start another loop for calls: {error}");
                    self.most = self.handles.len();
                }
            }
        }
        &self.handles[place % self.handles.len()]
    }
}

fn start(work: Work, stop: CancellationToken) -> io::Result<Handle> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("call".to_owned()).spawn(move || {
        let mut builder = builder();
        if let Work::Alone = work {
            let diligence = Diligence::new();
            builder.on_thread_park(move || diligence.judge());
        }
        let runtime = match builder.build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(tell.send(Err(error))),
        };
        if tell.send(Ok(runtime.handle().clone())).is_ok() {
            runtime.block_on(stop.cancelled());
        }
        // What is left is blocked in a file system.
        runtime.shutdown_background();
    })?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of an event loop ended")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_has_its_turn() {
        let runtime = current().unwrap();
        let ran: Vec<_> = runtime.block_on(async {
            let mut runtimes = Runtimes::start(Work::Any).unwrap();
            let count = runtimes.most;
            let mut ran = Vec::new();
            for _ in 0..2 * count {
                let task = runtimes.in_turn().spawn(async { thread::current().id() });
                ran.push(task.await.unwrap());
            }
            assert_eq!(ran[..count], ran[count..]);
            ran.truncate(count);
            ran
        });
        let distinct: std::collections::HashSet<_> = ran.iter().collect();
        assert_eq!(distinct.len(), ran.len());
        assert!(!ran.contains(&thread::current().id()), "a call ran on the first thread");
    }
}
