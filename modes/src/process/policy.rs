//! What the scheduler does when a thread of ours wakes.
#![expect(unsafe_code, reason = "sched_setscheduler(2) has no safe form")]

use std::io;

/// A scheduling policy without priorities; see sched(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_OTHER`, the usual one: the thread may take the CPU of whoever has it when it wakes.
    Other,
    /// `SCHED_BATCH`: it waits until they sleep or have had their share. Its own share is the same.
    Batch,
}

impl Policy {
    /// Makes it the calling thread's. Threads and processes that the thread starts inherit it.
    ///
    /// # Errors
    /// The kernel's: a seccomp profile may forbid it.
    pub fn enter(self) -> io::Result<()> {
        let policy = match self {
            Self::Other => libc::SCHED_OTHER,
            Self::Batch => libc::SCHED_BATCH,
        };
        // `struct sched_param` of the kernel; that of some C libraries has more fields.
        let priority: libc::c_int = 0;
        // SAFETY: the kernel reads the one int that is pointed to, which lives until it returns, and
        // changes nothing of this process but how the calling thread is scheduled.
        let result =
            unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    /// Field 41 of `/proc/thread-self/stat` (proc(5)): 0 is `SCHED_OTHER`, 3 is `SCHED_BATCH`.
    fn policy() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let behind_name = stat.rsplit(") ").next().unwrap();
        behind_name.split(' ').nth(41 - 3).unwrap().to_owned()
    }

    #[test]
    fn a_thread_goes_there_and_back() {
        assert_eq!(policy(), "0");
        Policy::Batch.enter().unwrap();
        assert_eq!(policy(), "3");
        assert_eq!(thread::spawn(policy).join().unwrap(), "3");
        Policy::Other.enter().unwrap();
        assert_eq!(policy(), "0");
    }
}
