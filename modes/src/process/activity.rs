//! What a process is doing, as far as the kernel tells without being its debugger.

use std::fs;

use rustix::process::Pid;

/// One look at a process (`/proc/PID/stat`, proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Its first thread neither runs nor waits for a disk.
    asleep: bool,
    threads: u64,
    /// CPU time of all its threads, in ticks of 10 ms as a rule.
    ticks: u64,
}

impl Activity {
    /// `None` where there is no `/proc`.
    pub(super) fn of(process: Pid) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?)
    }

    /// Whether the process waits for something, seen from this look and an `earlier` one. With
    /// several threads that is a guess: those beside the first show in the time they use only.
    pub(crate) fn waits_since(self, earlier: Self) -> bool {
        self.asleep && earlier.asleep && self.ticks == earlier.ticks
    }

    /// Whether one thread is all there is, so that a short time between two looks is enough.
    pub(crate) fn is_single(self) -> bool {
        self.threads <= 1
    }

    /// `pid (comm) state ppid …`, where comm may hold anything, parentheses included.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let asleep = fields.next()? == "S";
        // Fields 14 and 15 are the times in user and in system mode, 20 the number of threads.
        let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let ticks = number(10)? + number(0)?;
        let threads = number(4)?;
        Some(Self { asleep, threads, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a) R) S 1 77 77 0 -1 4194560 300 0 2 0 5 6 0 0 20 0 3 0 900 1 2 3";

    #[test]
    fn state_times_and_threads_are_read() {
        let expected = Activity { asleep: true, threads: 3, ticks: 11 };
        assert_eq!(Activity::parse(STAT), Some(expected));
        assert_eq!(Activity::parse("77 (a) S 1"), None);
        assert_eq!(Activity::parse(""), None);
    }

    #[test]
    fn own_process_is_found_at_work() {
        let own = Activity::of(rustix::process::getpid()).unwrap();
        assert!(own.threads >= 1);
    }

    #[test]
    fn process_waits_when_it_sleeps_and_uses_no_time() {
        let then = Activity::parse(STAT).unwrap();
        assert!(then.waits_since(then));
        assert!(!Activity { ticks: 12, ..then }.waits_since(then));
        assert!(!then.waits_since(Activity { asleep: false, ..then }));
        assert!(!Activity { asleep: false, ..then }.waits_since(then));
    }
}
