//! What the kernel says a tree of processes used (proc(5)).

use std::{fs, time::Duration};

use rustix::param::clock_ticks_per_second;

/// One line of the process table.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: i32,
    /// Who reaps it.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// The program's short name.
    pub name: String,
    /// `R`, `S`, `D`, `T`, or `Z` for a zombie.
    pub state: char,
    /// User and system time it used itself.
    pub own: Duration,
    /// User and system time of its children that were reaped, and of theirs.
    pub reaped: Duration,
}

/// One process, if it exists.
#[must_use]
pub fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself hold spaces and parentheses.
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split(' ').collect();
    let time = |first: usize| -> Option<Duration> {
        let ticks: u64 =
            fields.get(first)?.parse::<u64>().ok()? + fields.get(first + 1)?.parse::<u64>().ok()?;
        Some(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
    };
    Some(Process {
        pid,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        own: time(11)?,
        reaped: time(13)?,
    })
}

/// A process and all below it, zombies included.
#[must_use]
pub fn tree(root: i32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let all: Vec<Process> = entries
        .flatten()
        .filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut found: Vec<Process> =
        all.iter().filter(|process| process.pid == root).cloned().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        found.extend(all.iter().filter(|process| process.parent == parent).cloned());
        next += 1;
    }
    found
}

/// User and system time of a server so far. Ticks of 10 ms: measure over a second or more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// All of the tree, processes that are gone included.
    pub tree: Duration,
    /// The server's own processes only, not the functions.
    pub own: Duration,
}

/// See [`Cpu`]; zero of a process that is gone.
#[must_use]
pub fn cpu(root: i32) -> Cpu {
    let tree = tree(root);
    let server = tree.first().map(|root| root.name.clone());
    Cpu {
        tree: tree.iter().map(|process| process.own + process.reaped).sum(),
        own: tree
            .iter()
            .filter(|process| Some(&process.name) == server.as_ref())
            .map(|process| process.own)
            .sum(),
    }
}

/// A figure in bytes from `/proc/PID/status`, such as `VmRSS` or `VmHWM`.
#[must_use]
pub fn memory(pid: i32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The sum of a memory figure over a server's own processes (nginx has several).
#[must_use]
pub fn server_memory(root: i32, field: &str) -> u64 {
    let tree = tree(root);
    let Some(name) = tree.first().map(|root| root.name.clone()) else { return 0 };
    tree.iter()
        .filter(|process| process.name == name)
        .filter_map(|process| memory(process.pid, field))
        .sum()
}

/// What each open descriptor of a process points to, such as `pipe:[123]` or a path.
#[must_use]
pub fn descriptors(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}
