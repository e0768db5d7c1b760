//! The stack of a child until it executes its program.

use std::{cell::OnceCell, ffi::c_void, ptr};

use super::{Failure, last_errno};

/// Bytes below the stack that nobody may touch: the largest page size there is, and so a whole
/// number of pages everywhere.
const GUARD: usize = 64 * 1024;
/// A stack with a guard below it. One a thread is enough: the thread that starts a child is
/// suspended as long as the child uses it.
pub(super) struct Stack {
    base: *mut c_void,
}

thread_local! {
    static STACK: OnceCell<Stack> = const { OnceCell::new() };
}

impl Stack {
    /// Usable bytes. A child needs a few hundred; memory that is never touched costs nothing.
    pub(super) const SIZE: usize = 64 * 1024;

    /// Lends the calling thread's stack to `work`.
    pub(super) fn with<T>(work: impl FnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let lent = STACK.try_with(|cell| {
            if let Some(stack) = cell.get() {
                return work(stack);
            }
            let stack = Self::map()?;
            work(cell.get_or_init(|| stack))
        });
        // The thread is ending, and its stack is gone already.
        lent.unwrap_or(Err(Failure::Errno(libc::EAGAIN)))
    }

    fn map() -> Result<Self, Failure> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe { libc::mmap(ptr::null_mut(), GUARD + Self::SIZE, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Failure::Errno(last_errno()));
        }
        let stack = Self { base };
        // SAFETY: the first GUARD bytes of the mapping just made, in which nothing is kept.
        if unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } != 0 {
            return Err(Failure::Errno(last_errno()));
        }
        Ok(stack)
    }

    /// The lowest usable address.
    pub(super) fn bottom(&self) -> *mut c_void {
        self.base.wrapping_byte_add(GUARD)
    }

    /// The address behind the highest one, aligned for any ABI.
    pub(super) fn top(&self) -> *mut c_void {
        self.bottom().wrapping_byte_add(Self::SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, unmapped once; no child uses it, because its parent
        // thread runs.
        unsafe { libc::munmap(self.base, GUARD + Self::SIZE) };
    }
}
