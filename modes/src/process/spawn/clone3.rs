//! A child by clone3(2), which no libc has a function for.

use std::ffi::c_int;

use super::{Failure, child::Plan, stack::Stack};

/// Makes the child; its number.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
pub(super) fn child(stack: &Stack, plan: &Plan) -> Result<c_int, Failure> {
    use std::{arch::asm, ptr};

    use super::child;

    /// Not in every libc, and of a type that is too narrow in some.
    const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;

    let shared = u64::from((libc::CLONE_VM | libc::CLONE_VFORK).cast_unsigned());
    let request = libc::clone_args {
        flags: shared | CLONE_CLEAR_SIGHAND,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: stack.bottom().addr() as u64,
        stack_size: Stack::SIZE as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    let result: i64;
    // SAFETY: the stack is this thread's, which is suspended until the child has executed a program
    // or ended (CLONE_VFORK), so nobody else uses it or the plan. The child leaves this code at
    // once, for `run` on a stack of its own (whose top is aligned as a call needs it), and never
    // comes back; so for the parent this is an ordinary system call, which changes rax, rcx and r11
    // only. The kernel has reset all handlers when the child begins, so a signal cannot lead it
    // anywhere else.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // No frame above this one.
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const request,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") ptr::from_ref(plan),
            in("r13") child::run as extern "C" fn(_) -> _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    let refused = [libc::ENOSYS, libc::EPERM, libc::EINVAL];
    match c_int::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(error) if refused.contains(&-error) => Err(Failure::Refused),
        Ok(error) => Err(Failure::Errno(-error)),
        Err(_) => Err(Failure::Errno(libc::EIO)),
    }
}

/// Nobody wrote down the few instructions for this processor yet.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
pub(super) fn child(_: &Stack, _: &Plan) -> Result<c_int, Failure> {
    Err(Failure::Refused)
}
