//! What the kernel says about processes (proc(5)).

use std::{fs, path::Path};

/// One line of the process table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// The process that will reap it.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// `R`, `S`, `D`, `T`, or `Z` for a zombie.
    pub state: char,
    /// The program's short name (at most 15 bytes).
    pub name: String,
}

/// Every process of this machine that still exists when it is looked at.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// One process, if it exists.
#[must_use]
pub fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself hold spaces and parentheses.
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split(' ');
    Some(Process {
        pid,
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        name: name.to_owned(),
    })
}

/// Children, their children, and so on; zombies included.
#[must_use]
pub fn descendants(pid: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Scheduling policies of a process's threads of this name: 0 is `SCHED_OTHER`, 3 is `SCHED_BATCH`.
#[must_use]
pub fn policies(pid: u32, name: &str) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
            let (head, tail) = stat.rsplit_once(") ")?;
            // The 41st field of all, the third is the first behind the name.
            let policy = tail.split(' ').nth(41 - 3)?;
            head.ends_with(&format!("({name}")).then(|| policy.parse().ok())?
        })
        .collect()
}

/// Every process, not yet dead, that was started with this line in its environment. It finds what
/// has left its parent, its group and its session, because none of that changes the environment.
#[must_use]
pub fn with_environment(line: &str) -> Vec<Process> {
    all()
        .into_iter()
        .filter(|process| process.state != 'Z')
        .filter(|process| {
            fs::read(format!("/proc/{}/environ", process.pid)).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|entry| entry == line.as_bytes())
            })
        })
        .collect()
}

/// What each open descriptor of a process points to, such as `socket:[123]` or a path.
#[must_use]
pub fn open_fds(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

/// The TCP ports on which a process listens, in ascending order.
#[must_use]
pub fn listening_ports(pid: u32) -> Vec<u16> {
    let sockets = tcp_sockets(pid).into_iter();
    let mut ports: Vec<u16> =
        sockets.filter(|(_, state)| state == LISTEN).map(|(port, _)| port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// How many TCP connections a process has open, from either side.
#[must_use]
pub fn connections(pid: u32) -> usize {
    let sockets = tcp_sockets(pid).into_iter();
    sockets.filter(|(_, state)| state != LISTEN).count()
}

const LISTEN: &str = "0A";

/// Local port and state of every TCP socket of a process.
fn tcp_sockets(pid: u32) -> Vec<(u16, String)> {
    let descriptors = open_fds(pid);
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
            descriptors.contains(&format!("socket:[{inode}]")).then(|| (port, (*state).to_owned()))
        })
        .collect()
}

/// A figure in kilobytes from `/proc/PID/status`, such as `VmRSS` or `VmHWM`.
#[must_use]
pub fn status_kb(pid: u32, field: &str) -> Option<u64> {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()
}
