//! The only spawner of the workspace: start a program in a process group of its own, connect its
//! standard streams, end the whole group, reap it exactly once.
//!
//! `std::process::Command` stays on its vfork-like `posix_spawn` path as long as nothing here sets
//! a `pre_exec`, a user or a working directory, and the program is an absolute path
//! (`library/std/src/sys/process/unix/unix.rs`); [`Program`] resolves it once, at start.
//!
//! The order in which a group ends matters. A process that has exited but was not waited for keeps
//! its number, so its group can be signalled without ever hitting a stranger that was given the
//! same number: first notice the exit *without* reaping, then signal the group, then reap.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::Command,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions},
};
use tokio::net::unix::pipe;

mod exit;
mod feed;
mod group;
pub mod init;
mod program;
mod watch;

pub use self::{
    exit::Exit,
    feed::{Stdin, feed, while_feeding},
    group::Reaper,
    program::{Program, Unresolved},
};
use crate::error::Error;

/// Variables of an environment, in order; a later one replaces an earlier one of the same name.
pub type Environment = Vec<(OsString, OsString)>;

/// What a process's standard input is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing: reading it finds its end at once. Not `/dev/null`, which an image need not have.
    Empty,
    /// A pipe, see [`Pipes::stdin`].
    Pipe,
}

/// What becomes of a process's standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// A pipe of its own, see [`Pipes::stderr`].
    Pipe,
    /// The same pipe as standard output, so that both keep their order.
    WithStdout,
}

/// Our ends of a process's pipes, non-blocking and closed on exec.
#[derive(Debug)]
pub struct Pipes {
    /// Present with [`Input::Pipe`].
    pub stdin: Option<Stdin>,
    /// Standard output.
    pub stdout: Arc<pipe::Receiver>,
    /// Present with [`Stderr::Pipe`].
    pub stderr: Option<pipe::Receiver>,
}

/// Everything that all processes of one function have in common.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// What to run.
    pub program: Program,
    /// The environment before a call adds to it.
    pub environment: Environment,
    /// Who ends and reaps what a call leaves behind.
    pub reaper: Reaper,
}

impl Launcher {
    /// Starts one process. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the program cannot be executed, [`Error::Environment`] when the
    /// kernel finds the environment too large (`E2BIG`, execve(2)), [`Error::Io`] when the host
    /// has no descriptors left.
    #[expect(clippy::disallowed_methods, reason = "this is modes::process")]
    pub fn spawn(
        &self,
        extra: Environment,
        input: Input,
        stderr: Stderr,
    ) -> Result<(Process, Pipes), Error> {
        let doing = Error::io("connecting pipes to the function");
        let program = self.program.path().map_err(|unresolved| Error::Spawn {
            program: unresolved.name.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, unresolved.to_string()),
        })?;
        let mut command = Command::new(&program);
        command
            .arg0(self.program.name())
            .args(self.program.args())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(extra)
            .process_group(0);

        let (stdout, child_stdout) = io::pipe().map_err(doing)?;
        let stderr = match stderr {
            Stderr::WithStdout => {
                command.stderr(child_stdout.try_clone().map_err(doing)?);
                None
            }
            Stderr::Pipe => {
                let (ours, theirs) = io::pipe().map_err(doing)?;
                command.stderr(theirs);
                Some(pipe::Receiver::from_owned_fd(OwnedFd::from(ours)).map_err(doing)?)
            }
        };
        command.stdout(child_stdout);
        let stdin = match input {
            Input::Empty => {
                command.stdin(io::pipe().map_err(doing)?.0);
                None
            }
            Input::Pipe => {
                let (theirs, ours) = io::pipe().map_err(doing)?;
                command.stdin(theirs);
                let sender = pipe::Sender::from_owned_fd(OwnedFd::from(ours)).map_err(doing)?;
                Some(Stdin::new(sender))
            }
        };
        let stdout = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout)).map_err(doing)?;
        let stdout = Arc::new(stdout);

        // The handle is dropped: reaping is ours, and dropping a std Child neither kills nor waits.
        let child = command.spawn().map_err(|source| {
            if source.raw_os_error() == Some(Errno::TOOBIG.raw_os_error()) {
                Error::Environment {
                    what: "the request's headers together".to_owned(),
                    why: "the kernel's limit for arguments and environment is exceeded",
                    too_large: true,
                }
            } else {
                Error::Spawn { program: program.display().to_string(), source }
            }
        })?;
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let Some(leader) = leader.filter(|pid| !pid.is_init()) else {
            return Err(doing(io::Error::other("the kernel gave a process no valid number")));
        };
        let process = Process {
            leader,
            watch: None,
            reaped: false,
            reaper: self.reaper.clone(),
            stdin: stdin.clone(),
            stdout: Arc::clone(&stdout),
        };
        Ok((process, Pipes { stdin, stdout, stderr }))
    }
}

/// One process and the group it leads. Dropping it before [`Process::wait`] is done ends the group
/// in the background: TERM, the grace period, KILL, reap.
#[derive(Debug)]
pub struct Process {
    leader: Pid,
    /// Made when the process is still running on the first look: most have ended by then.
    watch: Option<watch::Watch>,
    reaped: bool,
    reaper: Reaper,
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

    fn poll_exited(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if has_exited(self.leader) {
            return Poll::Ready(Ok(()));
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
        self.reaped = true;
        self.reaper.clone().take(Self {
            leader: self.leader,
            watch: self.watch.take(),
            reaped: false,
            reaper: self.reaper.clone(),
            stdin: self.stdin.take(),
            stdout: Arc::clone(&self.stdout),
        });
    }
}

/// Whether the process is a zombie that waits to be reaped.
fn has_exited(leader: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // An error means that there is nothing left to wait for; reaping reports it.
    !matches!(rustix::process::waitid(WaitId::Pid(leader), options), Ok(None))
}

/// Sends `signal` to the group that `leader` leads. A group that is gone is no error.
fn signal_group(leader: Pid, signal: Signal) {
    match rustix::process::kill_process_group(leader, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::warn!(%error, ?leader, "could not signal a process group"),
    }
}
