//! Starts a process, and says why it could not: the unsafe part of [`super`].
//!
//! The child shares the watchdog's memory until it executes the program (`CLONE_VM`), so nothing is
//! copied, and the thread that starts it is suspended until then (`CLONE_VFORK`, vfork(2)): for the
//! time of an execve(2), some 200 µs, its event loop stands still. Handing the work to another
//! thread costs more than that. What such a child may do is little (`child`): no allocation, no
//! lock, no panic. It leaves the errno of a step that failed in a word that both share.
//!
//! There are two ways to make it (`Way`). clone3(2) sets every signal handler to its default in
//! the same call (`CLONE_CLEAR_SIGHAND`, Linux 5.5), so none of ours can run in the child, and
//! signals need not be blocked. Where it is refused (older kernels, sandboxes, seccomp filters that
//! cannot look at its arguments) clone(2) does the same with all signals blocked meanwhile and one
//! sigaction(2) for each of them. `posix_spawn` would make the same calls in a child of its own;
//! this way there is one child, whose promises are shown once.
//!
//! Both leave ignored signals ignored, as execve(2) does; all but SIGPIPE, which the Rust runtime
//! ignores in the watchdog and no function expects.

#![expect(unsafe_code, reason = "a child that shares our memory is beyond what Rust can check")]

use std::{
    ffi::CStr,
    io,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    io::Errno,
    process::{Pid, WaitOptions},
};

mod block;
mod child;
mod clone;
mod clone3;
mod stack;

pub(super) use self::block::Block;
use self::{child::Plan, stack::Stack};

/// What to execute, and with what.
pub(super) struct Command<'a> {
    /// The file to execute; PATH is not looked at.
    pub(super) program: &'a CStr,
    /// The program's arguments, its own name first.
    pub(super) arguments: &'a Block<'a>,
    /// Its whole environment.
    pub(super) environment: &'a Block<'a>,
    /// What becomes standard input, output and error. None of them may be one of those three.
    pub(super) streams: [BorrowedFd<'a>; 3],
    /// Whether it is killed when the calling *thread* ends (`PR_SET_PDEATHSIG`), as all threads of
    /// a watchdog do that is killed itself.
    pub(super) bound: bool,
}

/// Has the kernel keep the exit statuses of children. It throws them away where SIGCHLD is ignored
/// (wait(2)), which some parents leave it (execve(2)).
pub fn keep_exit_statuses() {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// How the child is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Clone3,
    Clone,
}

/// clone3(2) was refused once, so it is not asked for again.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Starts a process in a group of its own, and returns when it has executed the program.
///
/// # Errors
/// The errno of whatever failed: `EAGAIN` and `ENOMEM` when there can be no more processes, those
/// of execve(2) when there is nothing to execute. Then there is no process.
pub(super) fn spawn(command: &Command<'_>) -> io::Result<Pid> {
    if !REFUSED.load(Ordering::Relaxed) {
        match spawn_by(Way::Clone3, command) {
            Err(Failure::Refused) => REFUSED.store(true, Ordering::Relaxed),
            Err(Failure::Errno(errno)) => return Err(io::Error::from_raw_os_error(errno)),
            Ok(child) => return Ok(child),
        }
    }
    spawn_by(Way::Clone, command).map_err(|failure| match failure {
        Failure::Refused => Errno::NOSYS.into(),
        Failure::Errno(errno) => io::Error::from_raw_os_error(errno),
    })
}

/// Why there is no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The system call that makes the child cannot be used here.
    Refused,
    /// It failed, or a step of the child did.
    Errno(i32),
}

fn spawn_by(way: Way, command: &Command<'_>) -> Result<Pid, Failure> {
    let mut plan = Plan::new(command);
    let child = Stack::with(|stack| match way {
        Way::Clone3 => clone3::child(stack, &plan),
        Way::Clone => clone::child(stack, &mut plan),
    })?;
    let Some(child) = Pid::from_raw(child).filter(|pid| !pid.is_init()) else {
        return Err(Failure::Errno(libc::ECHILD));
    };
    match plan.errno() {
        0 => Ok(child),
        errno => {
            // It has ended, or is about to: this waits for no more than the end of its exit.
            while let Err(Errno::INTR) = rustix::process::waitpid(Some(child), WaitOptions::empty())
            {
            }
            Err(Failure::Errno(errno))
        }
    }
}

/// The errno of the last system call of this thread that libc made.
fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests;
