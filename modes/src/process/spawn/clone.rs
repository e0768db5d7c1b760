//! A child by clone(2): as old as Linux, and allowed wherever vfork(2) is.

use std::{ffi::c_int, mem::MaybeUninit, ptr};

use super::{
    Failure,
    child::{self, Plan},
    last_errno,
    stack::Stack,
};

/// Makes the child; its number.
pub(super) fn child(stack: &Stack, plan: &mut Plan) -> Result<c_int, Failure> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are valid places. The mask is the calling thread's own, and is put back
    // below.
    let before = unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    plan.mask = Some(before);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is this thread's, which is suspended until the child has executed a program
    // or ended (CLONE_VFORK), so nobody else uses it or the plan. `run` never returns. No signal
    // can be delivered to the child before it has forgotten the handlers, because all are blocked.
    let pid = unsafe { libc::clone(child::run, stack.top(), flags, ptr::from_mut(plan).cast()) };
    let errno = last_errno();
    // SAFETY: a valid set, from above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    if pid < 0 { Err(Failure::Errno(errno)) } else { Ok(pid) }
}
