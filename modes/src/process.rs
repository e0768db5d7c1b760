//! The only spawner of the workspace: start a program in a process group of its own, connect its
//! standard streams, end the whole group, reap it exactly once.
//!
//! A call costs as few system calls as can be: [`Launcher`] has prepared all that calls have in
//! common, input that [`Arrived`] is written and closed before the process exists, only standard
//! output is watched by the reactor, and the process itself only when it outlives its output.
//! `spawn` makes the child.
//!
//! The order in which a group ends matters. A process that has exited but was not waited for keeps
//! its number, so its group can be signalled without ever hitting a stranger that was given the
//! same number: first notice the exit *without* reaping, then signal the group, then reap.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions},
};
use tokio::net::unix::pipe;

mod activity;
mod arrived;
pub mod detached;
mod environment;
mod exit;
mod feed;
mod group;
pub mod init;
mod launcher;
mod pipes;
mod policy;
mod program;
mod spawn;
mod watch;

pub(crate) use self::activity::Activity;
pub use self::{
    arrived::Arrived,
    environment::Environment,
    exit::Exit,
    feed::{Stdin, Unfed, while_feeding},
    group::Reaper,
    launcher::{Input, Launcher, Stderr},
    pipes::Pipes,
    policy::{Policy, used},
    program::{Program, Unresolved},
    spawn::keep_exit_statuses,
};
use crate::error::Error;

/// One process and the group it leads. Dropping it before [`Process::wait`] is done ends the group
/// in the background: TERM, the grace period, KILL, reap.
#[derive(Debug)]
pub struct Process {
    leader: Pid,
    /// Made when the process is still running on the first look: most have ended by then.
    watch: Option<watch::Watch>,
    reaped: bool,
    reaper: Reaper,
    /// It is the reaper's already: dropped then, nobody is left to wait out a grace period.
    given: bool,
    /// Stays open until the group has ended: a function whose call is given up must not take that
    /// for the end of its input.
    stdin: Option<Stdin>,
    /// Stays open, and is emptied, until then: a function that tidies up may still write.
    stdout: Arc<pipe::Receiver>,
}

impl Process {
    /// Its process number, which is also its group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }

    /// Gives a process that was started with [`Input::Open`] its input. Must be called once, and
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Io`] when the host has no descriptors left.
    pub(crate) fn begin(&self, input: Arrived) -> Result<Option<Unfed>, Error> {
        let Some(stdin) = &self.stdin else { return Ok(None) };
        stdin.begin(input).map_err(Error::io("writing the function's input"))
    }

    /// Has the event loop of the calling task watch the output, which another one watched so far: that
    /// one would have to run, and to wake this one, for each piece. It stays as it was where the host
    /// has no descriptors left.
    pub(crate) fn watch_here(&mut self) -> Arc<pipe::Receiver> {
        let own = rustix::io::fcntl_dupfd_cloexec(&*self.stdout, 3).map_err(Into::into);
        if let Ok(own) = own.and_then(pipe::Receiver::from_owned_fd_unchecked) {
            self.stdout = Arc::new(own);
        }
        Arc::clone(&self.stdout)
    }

    /// Whether the process has exited, and waits to be reaped.
    pub(crate) fn has_exited(&self) -> bool {
        has_exited(self.leader)
    }

    /// What it is doing; `None` where nobody tells.
    pub(crate) fn activity(&self) -> Option<Activity> {
        Activity::of(self.leader)
    }

    /// Waits until the process has exited, ends what is left of its group, reaps it.
    ///
    /// A member of the group that moved to a group or session of its own is not touched.
    ///
    /// # Errors
    /// [`Error::Io`] when somebody else reaped it.
    pub async fn wait(&mut self) -> Result<Exit, Error> {
        std::future::poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// [`Process::wait`], for bodies.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exit, Error>> {
        let doing = Error::io("waiting for the function's process");
        std::task::ready!(self.poll_exited(cx)).map_err(doing)?;
        Poll::Ready(self.reap().map_err(doing))
    }

    /// Waits until the process has exited, and leaves it and its group as they are.
    ///
    /// # Errors
    /// [`Error::Io`] when somebody else reaped it.
    pub async fn exited(&mut self) -> Result<Exit, Error> {
        let doing = Error::io("waiting for the function's process");
        std::future::poll_fn(|cx| self.poll_exited(cx)).await.map_err(doing)?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(self.leader), options) {
            Ok(Some(status)) => Ok(Exit::from(status)),
            Ok(None) => Err(doing(Errno::CHILD.into())),
            Err(error) => Err(doing(error.into())),
        }
    }

    /// Whether its group has living members besides itself.
    #[must_use]
    pub fn leads_others(&self) -> bool {
        group::has_other_members(self.leader)
    }

    /// [`Process::exited`], for those who wait for many.
    pub(crate) fn poll_exited(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match look(self.leader) {
            Ok(true) => return Poll::Ready(Ok(())),
            Ok(false) => {}
            Err(error) => {
                // Somebody else reaped it: its number is no longer ours.
                self.reaped = true;
                return Poll::Ready(Err(error.into()));
            }
        }
        let watch = match &mut self.watch {
            Some(watch) => watch,
            empty => empty.insert(watch::Watch::new(self.leader)?),
        };
        watch.poll_exited(self.leader, cx)
    }

    /// The process has exited and nobody else waits for it.
    fn reap(&mut self) -> io::Result<Exit> {
        signal_group(self.leader, Signal::KILL);
        self.reaped = true;
        self.watch = None;
        loop {
            match rustix::process::waitpid(Some(self.leader), WaitOptions::empty()) {
                Ok(Some((_, status))) => return Ok(Exit::from(status)),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks the whole group to end, without waiting for it.
    pub fn terminate(&self) {
        signal_group(self.leader, Signal::TERM);
    }

    /// Ends the whole group with TERM, the grace period, KILL; done when it is reaped.
    pub async fn end(mut self) -> Option<Exit> {
        group::end(&mut self).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if self.given {
            // The runtime ends, and with it the task that would have done this.
            let _ = self.reap();
            return;
        }
        self.reaped = true;
        self.reaper.clone().take(Self {
            leader: self.leader,
            watch: self.watch.take(),
            reaped: false,
            reaper: self.reaper.clone(),
            given: true,
            stdin: self.stdin.take(),
            stdout: Arc::clone(&self.stdout),
        });
    }
}

/// Whether the process is a zombie that waits to be reaped.
fn has_exited(leader: Pid) -> bool {
    // An error means that there is nothing left to wait for; reaping reports it.
    look(leader).unwrap_or(true)
}

fn look(leader: Pid) -> rustix::io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    rustix::process::waitid(WaitId::Pid(leader), options).map(|status| status.is_some())
}

/// Sends `signal` to the group that `leader` leads. A group that is gone is no error.
fn signal_group(leader: Pid, signal: Signal) {
    match rustix::process::kill_process_group(leader, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::warn!(%error, ?leader, "could not signal a process group"),
    }
}
