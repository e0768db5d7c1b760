//! What a watchdog holds while no call is under way.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{procfs, server::Running};

/// Memory that may have been added, in bytes.
const GROWTH: u64 = 1 << 20;
/// The watchdog closes a connection to its function that was idle for a second, within another.
const STILL: Duration = Duration::from_millis(2500);
/// How long idle connections to the function and late processes may take to go.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holdings {
    /// The watchdog's and those below it, zombies included.
    processes: usize,
    descriptors: usize,
    /// Of these, ends of pipes.
    pipes: usize,
    /// Resident, in bytes.
    memory: u64,
}

impl Holdings {
    fn of(server: &Running) -> Self {
        let descriptors = procfs::descriptors(server.pid());
        Self {
            processes: procfs::tree(server.pid()).len(),
            pipes: descriptors.iter().filter(|target| target.starts_with("pipe:")).count(),
            descriptors: descriptors.len(),
            memory: server.memory("VmRSS"),
        }
    }

    fn counts(&self) -> [(&'static str, usize); 3] {
        let Self { processes, descriptors, pipes, memory: _ } = *self;
        [("processes", processes), ("descriptors", descriptors), ("pipes", pipes)]
    }

    /// What there is another number of, or too much memory.
    pub(super) fn differs_from(&self, before: &Self) -> Option<String> {
        for ((what, now), (_, then)) in self.counts().into_iter().zip(before.counts()) {
            if now != then {
                return Some(format!("{now} {what} instead of {then}"));
            }
        }
        let growth = self.memory.saturating_sub(before.memory);
        (growth > GROWTH).then(|| format!("memory grew by {} kB", growth / 1024))
    }

    /// Cells of a table: before and after.
    pub(super) fn beside(&self, after: &Self) -> String {
        let counts = self.counts().into_iter().zip(after.counts());
        let mut cells: Vec<_> =
            counts.map(|((_, before), (_, after))| format!("{before} → {after}")).collect();
        cells.push(format!("{} → {}", self.memory / 1024, after.memory / 1024));
        cells.join(" | ")
    }
}

/// Once the counts have stayed the same for longer than a connection to a function stays idle.
pub(super) fn settled(server: &Running) -> Holdings {
    let start = Instant::now();
    let (mut last, mut since) = (Holdings::of(server), Instant::now());
    while since.elapsed() < STILL && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
        let now = Holdings::of(server);
        if now.counts() != last.counts() {
            since = Instant::now();
        }
        last = now;
    }
    last
}

/// Once it holds what it held before, or patience is over.
pub(super) fn at_rest(server: &Running, before: &Holdings) -> Holdings {
    let start = Instant::now();
    while Holdings::of(server).counts() != before.counts() && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
    }
    settled(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_counts_and_more_memory_are_faults() {
        let before = Holdings { processes: 1, descriptors: 12, pipes: 2, memory: 4 << 20 };
        assert_eq!(before.differs_from(&before), None);
        assert_eq!(Holdings { memory: 5 << 20, ..before }.differs_from(&before), None);
        assert_eq!(Holdings { memory: 1 << 20, ..before }.differs_from(&before), None);
        for other in [
            Holdings { processes: 2, ..before },
            Holdings { descriptors: 13, ..before },
            Holdings { descriptors: 11, ..before },
            Holdings { pipes: 3, ..before },
            Holdings { memory: (5 << 20) + 1024, ..before },
        ] {
            assert!(other.differs_from(&before).is_some(), "{other:?}");
        }
    }
}
