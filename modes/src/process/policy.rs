//! What the scheduler gives a thread of ours, and does when it wakes.
#![expect(unsafe_code, reason = "sched_setscheduler(2) and clock_gettime(2) take pointers")]

use std::{io, time::Duration};

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

/// The processor time that the calling thread has used (`CLOCK_THREAD_CPUTIME_ID`); it costs a system
/// call.
#[must_use]
pub fn used() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // By libc: what rustix does on its first call of this one crashes callgrind in a static program.
    // SAFETY: the kernel writes one timespec where one lives, and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    // It cannot fail since Linux 2.6.12; if it did, nothing would have been used.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
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
    fn work_uses_time() {
        let start = used();
        while used() < start + Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        assert!(thread::spawn(used).join().unwrap() < used());
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
