//! What a child does between its first instruction and execve(2).
//!
//! It runs in the watchdog's memory while other threads of the watchdog go on. So it only makes
//! system calls, through functions of libc that do just that (signal-safety(7)); it takes no lock,
//! allocates nothing and cannot panic. Thread-local memory is its suspended parent's: of that it
//! only overwrites `errno`.

use std::{
    ffi::{c_char, c_int, c_void},
    mem::MaybeUninit,
    os::fd::AsRawFd as _,
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use super::{Command, last_errno};

/// All that a child needs to know, looked up before it exists; and its last words.
pub(super) struct Plan {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    streams: [c_int; 3],
    /// The process whose end is to be its own; 0 for none.
    parent: libc::pid_t,
    /// With clone(2): the signals that are blocked in the program, while in the child all are and
    /// handlers are still the watchdog's.
    pub(super) mask: Option<libc::sigset_t>,
    /// The errno of the step that failed; 0 while none did.
    errno: AtomicI32,
}

impl Plan {
    pub(super) fn new(command: &Command<'_>) -> Self {
        Self {
            program: command.program.as_ptr(),
            arguments: command.arguments.as_ptr(),
            environment: command.environment.as_ptr(),
            streams: command.streams.map(|stream| stream.as_raw_fd()),
            parent: if command.bound { std::process::id().cast_signed() } else { 0 },
            mask: None,
            errno: AtomicI32::new(0),
        }
    }

    /// The errno of the step that failed; 0 when the program was executed.
    pub(super) fn errno(&self) -> c_int {
        self.errno.load(Ordering::Acquire)
    }
}

/// The child: `plan` is a [`Plan`].
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: `clone` and `clone3` pass a Plan on the stack of the parent thread, which is
    // suspended until this child is done with it.
    let plan = unsafe { &*plan.cast::<Plan>() };
    if prepare(plan) {
        // SAFETY: the program's name and both null-terminated blocks of strings belong to the
        // Command that the suspended parent was given.
        unsafe { libc::execve(plan.program, plan.arguments, plan.environment) };
    }
    plan.errno.store(last_errno(), Ordering::Release);
    // SAFETY: ends the child only, without running anything that was registered for exit.
    unsafe { libc::_exit(127) }
}

/// `false` when a step failed; errno says why.
fn prepare(plan: &Plan) -> bool {
    // SAFETY: system calls about this process only. The mask is initialised, the descriptors are
    // open in the parent, whose table of descriptors this child has a copy of.
    unsafe {
        if plan.parent != 0 {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return false;
            }
            if libc::getppid() != plan.parent {
                // It was killed before the request above.
                libc::_exit(127);
            }
        }
        if libc::setpgid(0, 0) != 0 {
            return false;
        }
        let [input, output, error] = plan.streams;
        // The copies stay open on exec, unlike what they were made from.
        if libc::dup2(input, 0) < 0 || libc::dup2(output, 1) < 0 || libc::dup2(error, 2) < 0 {
            return false;
        }
        if libc::signal(libc::SIGPIPE, libc::SIG_DFL) == libc::SIG_ERR {
            return false;
        }
        if let Some(mask) = &plan.mask {
            forget_handlers();
            if libc::sigprocmask(libc::SIG_SETMASK, mask, ptr::null_mut()) != 0 {
                return false;
            }
        }
    }
    true
}

/// Sets every signal with a handler to its default. The handlers would work in the watchdog's
/// memory and wake the watchdog up.
fn forget_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: sigaction(2) with a valid place for the result, which is only looked at when the
        // call has filled it in. It refuses numbers that are not for programs.
        unsafe {
            if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) != 0 {
                continue;
            }
            let action = action.assume_init_mut();
            if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN {
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, action, ptr::null_mut());
            }
        }
    }
}
