//! What a running watchdog occupies: processes, descriptors, memory, files.

use std::path::{Path, PathBuf};

use super::{Watchdog, mark};
use crate::{
    DEADLINE, eventually,
    procfs::{self, Process},
};

impl Watchdog {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its `TMPDIR`.
    ///
    /// # Panics
    /// Never for a watchdog that `start` returned.
    #[must_use]
    pub fn temp_dir(&self) -> &Path {
        self.temp.as_ref().expect("set by start").path()
    }

    /// Where its lock file is.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.temp_dir().join(".lock")
    }

    /// Processes it started itself, zombies included.
    #[must_use]
    pub fn children(&self) -> Vec<Process> {
        let mut children = procfs::descendants(self.pid);
        children.retain(|process| process.parent == self.pid);
        children
    }

    /// Its children, their children, and so on.
    #[must_use]
    pub fn descendants(&self) -> Vec<Process> {
        procfs::descendants(self.pid)
    }

    /// Dead processes below it that nobody has reaped.
    #[must_use]
    pub fn zombies(&self) -> Vec<Process> {
        let mut zombies = self.descendants();
        zombies.retain(|process| process.state == 'Z');
        zombies
    }

    /// Every living process that was started by it, directly or not, wherever it is now: found by
    /// its environment, so it sees daemons as well. The watchdog itself is not among them.
    #[must_use]
    pub fn started_processes(&self) -> Vec<Process> {
        let mut found = procfs::with_environment(&mark(self.temp_dir()));
        found.retain(|process| process.pid != self.pid);
        found
    }

    /// Waits until nothing it started is left, neither alive nor as a zombie.
    ///
    /// # Panics
    /// When something is left after [`DEADLINE`].
    #[track_caller]
    pub fn wait_until_childless(&self) {
        eventually(DEADLINE, "the end of every function process", || {
            self.started_processes().is_empty() && self.children().is_empty()
        });
    }

    /// What its open descriptors point to.
    #[must_use]
    pub fn open_fds(&self) -> Vec<String> {
        procfs::open_fds(self.pid)
    }

    /// The TCP ports it listens on, in ascending order.
    #[must_use]
    pub fn listening_ports(&self) -> Vec<u16> {
        procfs::listening_ports(self.pid)
    }

    /// How many TCP connections it has open.
    #[must_use]
    pub fn connections(&self) -> usize {
        procfs::connections(self.pid)
    }

    /// Resident memory in kilobytes; 0 when it is gone.
    #[must_use]
    pub fn rss_kb(&self) -> u64 {
        procfs::status_kb(self.pid, "VmRSS").unwrap_or(0)
    }

    /// The most resident memory it ever had, in kilobytes; 0 when it is gone.
    #[must_use]
    pub fn peak_rss_kb(&self) -> u64 {
        procfs::status_kb(self.pid, "VmHWM").unwrap_or(0)
    }
}
