//! What the processes of an instance use: its first one and all below it (proc(5)).

use std::{
    collections::HashMap,
    fs,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::function::Usage;

/// Remembers what was read last, as processor time is a difference.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Option<(Instant, u64)>>);

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    /// Of itself and the children it waited for, in clock ticks.
    ticks: u64,
    /// Since the machine started, in clock ticks.
    started: u64,
    pages: u64,
}

impl Meter {
    /// Another process takes the place of the one that was measured.
    pub(super) fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Since it was asked the last time; the first time, since the process started.
    pub(super) fn read(&self, leader: i32) -> Usage {
        let all = processes();
        let Some(first) = all.get(&leader) else { return Usage::default() };
        let (mut ticks, mut pages) = (0, 0);
        for pid in family(leader, &all) {
            ticks += all[&pid].ticks;
            pages += all[&pid].pages;
        }
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (spent, seconds) = match last.replace((now, ticks)) {
            Some((then, before)) => {
                (ticks.saturating_sub(before), now.duration_since(then).as_secs_f64())
            }
            None => (ticks, age(first.started)),
        };
        #[expect(clippy::cast_precision_loss, reason = "nobody counts 2^52 ticks or bytes")]
        Usage {
            cpu: 1000.0 * spent as f64 / (hertz() * seconds.max(0.01)),
            memory: (pages * rustix::param::page_size() as u64) as f64,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is 100")]
fn hertz() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Seconds since a moment in clock ticks.
#[expect(clippy::cast_precision_loss, reason = "nobody counts 2^52 ticks")]
fn age(started: u64) -> f64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime: f64 =
        uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
    uptime - started as f64 / hertz()
}

fn processes() -> HashMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let stats = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
    });
    stats.collect()
}

/// `pid (comm) state ppid …`, where comm may hold anything, parentheses included.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The third field is the first of these.
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: (14..=17).filter_map(number).sum(),
        started: number(22)?,
        pages: number(24)?,
    })
}

/// A process and all below it.
fn family(leader: i32, all: &HashMap<i32, Stat>) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, stat) in all {
        children.entry(stat.parent).or_default().push(*pid);
    }
    let mut found = vec![leader];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        // A table that was read while it changed may hold a circle.
        found.extend(children.remove(pid).into_iter().flatten().filter(|pid| *pid != leader));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_stat_are_read_whatever_the_program_is_called() {
        let line = "7 (a) b) S 3 7 7 0 -1 4194304 1 0 0 0 5 6 7 8 20 0 1 0 99 1000 42 18446744073709551615";
        assert_eq!(parse(line), Some(Stat { parent: 3, ticks: 26, started: 99, pages: 42 }));
        assert_eq!(parse("7 (x) S 3"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn family_is_found() {
        let stat = |parent| Stat { parent, ticks: 0, started: 0, pages: 0 };
        let all =
            HashMap::from([(1, stat(0)), (2, stat(1)), (3, stat(2)), (4, stat(1)), (5, stat(3))]);
        let mut found = family(2, &all);
        found.sort_unstable();
        assert_eq!(found, [2, 3, 5]);
    }

    #[test]
    fn we_use_something() {
        let meter = Meter::default();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(meter.read(pid).memory > 100_000.0);
        let until = Instant::now() + std::time::Duration::from_millis(300);
        while Instant::now() < until {}
        let cpu = meter.read(pid).cpu;
        assert!(cpu > 50.0, "{cpu}");
        assert_eq!(meter.read(i32::MAX), Usage::default());
    }
}
