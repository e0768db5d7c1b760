//! What an instance may use at most: a control group where one can be made (cgroups(7)), else a
//! limit of each process (setrlimit(2)).

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use rustix::process::{Pid, Resource, Rlimit};

use crate::function::{Resources, cpus, memory_bytes};

/// The directory of our groups, within our own group.
const OURS: &str = "gateway-lite";
/// Where the gateway itself goes, as a group with members gives nothing to groups below it.
const SELF: &str = "gateway-lite-self";
/// The time that a share of the processors counts for, in microseconds.
const PERIOD: u64 = 100_000;

/// How limits are kept.
#[derive(Debug, Default)]
pub(super) struct Limits {
    memory: Option<Groups>,
    cpu: Option<Groups>,
}

/// Control groups of one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Groups {
    directory: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Limits {
    /// Looks for control groups that may be written to.
    pub(super) fn find() -> Self {
        let read = |name| fs::read_to_string(Path::new("/proc/self").join(name));
        let (Ok(own), Ok(mounts)) = (read("cgroup"), read("mountinfo")) else {
            return Self::default();
        };
        let groups = |controller| {
            let (directory, version) = place(&own, &mounts, controller)?;
            let directory = prepare(&directory, version, controller).ok()?;
            Some(Groups { directory, version })
        };
        Self { memory: groups("memory"), cpu: groups("cpu") }
    }

    /// In words, for the status.
    pub(super) fn describe(&self) -> String {
        let way = |groups: &Option<Groups>, otherwise: &str| match groups {
            Some(Groups { version: Version::V1, .. }) => "control group v1".to_owned(),
            Some(Groups { version: Version::V2, .. }) => "control group v2".to_owned(),
            None => otherwise.to_owned(),
        };
        let memory = way(&self.memory, "RLIMIT_DATA of each process");
        let cpu = way(&self.cpu, "not limited");
        format!("memory: {memory}; CPU: {cpu}")
    }

    /// Limits a process that was just started, and all that it will start.
    pub(super) fn apply(&self, id: &str, pid: i32, limits: Option<&Resources>) -> io::Result<()> {
        let Some(limits) = limits else { return Ok(()) };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let memory = given(&limits.memory).and_then(|text| memory_bytes(&text).ok());
        let cpu = given(&limits.cpu).and_then(|text| cpus(&text).ok());
        if let Some(bytes) = memory {
            match &self.memory {
                Some(groups) => {
                    let file = groups.version.pick("memory.limit_in_bytes", "memory.max");
                    groups.enter(id, pid, &[(file, bytes.to_string())])?;
                }
                None => limit_data(pid, bytes)?,
            }
        }
        if let (Some(milli), Some(groups)) = (cpu, &self.cpu) {
            // The kernel takes no less than a millisecond.
            let quota = (milli.saturating_mul(PERIOD) / 1000).max(1000);
            match groups.version {
                Version::V1 => {
                    let period = ("cpu.cfs_period_us", PERIOD.to_string());
                    groups.enter(id, pid, &[period, ("cpu.cfs_quota_us", quota.to_string())])?;
                }
                Version::V2 => {
                    groups.enter(id, pid, &[("cpu.max", format!("{quota} {PERIOD}"))])?;
                }
            }
        }
        Ok(())
    }

    /// Deletes the groups of an instance that has no process any more.
    pub(super) fn release(&self, id: &str) {
        for groups in [&self.memory, &self.cpu].into_iter().flatten() {
            // The kernel deletes only what is empty, and most have none.
            let _ = fs::remove_dir(groups.directory.join(id));
        }
    }
}

impl Version {
    fn pick<T>(self, v1: T, v2: T) -> T {
        match self {
            Self::V1 => v1,
            Self::V2 => v2,
        }
    }
}

impl Groups {
    fn enter(&self, id: &str, pid: i32, values: &[(&str, String)]) -> io::Result<()> {
        let group = self.directory.join(id);
        let told = |name: &str, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", group.join(name).display()))
        };
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(told("", error));
            }
            _ => {}
        }
        for (name, value) in values {
            fs::write(group.join(name), value).map_err(|error| told(name, error))?;
        }
        fs::write(group.join("cgroup.procs"), pid.to_string())
            .map_err(|error| told("cgroup.procs", error))
    }
}

/// Makes the group below which ours are, and has `controller` work there.
fn prepare(own: &Path, version: Version, controller: &str) -> io::Result<PathBuf> {
    let ours = own.join(OURS);
    if version == Version::V2 {
        let given = format!("+{controller}");
        let control = own.join("cgroup.subtree_control");
        if fs::write(&control, &given).is_err() {
            step_aside(own)?;
            fs::write(&control, &given)?;
        }
        fs::create_dir_all(&ours)?;
        fs::write(ours.join("cgroup.subtree_control"), given)?;
    } else {
        fs::create_dir_all(&ours)?;
        // What may not be moved there cannot be limited there.
        fs::OpenOptions::new().write(true).open(ours.join("cgroup.procs"))?;
    }
    Ok(ours)
}

/// Leaves our group, if it is ours alone (as systemd's `Delegate=yes` makes it), for one below it.
fn step_aside(own: &Path) -> io::Result<()> {
    let me = std::process::id().to_string();
    if fs::read_to_string(own.join("cgroup.procs"))?.lines().any(|pid| pid != me) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let aside = own.join(SELF);
    fs::create_dir_all(&aside)?;
    fs::write(aside.join("cgroup.procs"), me)
}

/// Where our own group for a controller is mounted: `own` is `/proc/self/cgroup` (cgroups(7)), and
/// `mounts` is `/proc/self/mountinfo` (proc(5)).
fn place(own: &str, mounts: &str, controller: &str) -> Option<(PathBuf, Version)> {
    let groups: Vec<Vec<&str>> = own.lines().map(|line| line.splitn(3, ':').collect()).collect();
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let v1 = groups.iter().find(|group| group.get(1).is_some_and(|list| has(list)));
    let (group, version) = match v1 {
        Some(group) => (group, Version::V1),
        None => (groups.iter().find(|group| group[0] == "0")?, Version::V2),
    };
    let path = Path::new(group.get(2)?);
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let (mount, system): (Vec<_>, Vec<_>) =
            (mount.split(' ').collect(), system.split(' ').collect());
        let fits = match version {
            Version::V1 => *system.first()? == "cgroup" && has(system.get(2)?),
            Version::V2 => *system.first()? == "cgroup2",
        };
        let below = path.strip_prefix(mount.get(3)?).ok().filter(|_| fits)?;
        Some((Path::new(mount.get(4)?).join(below), version))
    })
}

/// Memory that a process may have for data (`RLIMIT_DATA`), and its children as well, each of them.
/// Address space is no measure: many runtimes reserve far more of it than they use.
fn limit_data(pid: i32, bytes: u64) -> io::Result<()> {
    /// For the watchdog itself, of which little is used: its heap, and a stack a CPU.
    const WATCHDOG: u64 = 32 << 20;
    const STACK: u64 = 4 << 20;

    let loops = thread::available_parallelism().map_or(1, usize::from) as u64;
    let most = bytes.saturating_add(WATCHDOG + loops * STACK);
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::prlimit(Pid::from_raw(pid), Resource::Data, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_group_is_found() {
        let mounts = "\
            25 20 0:22 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
            26 20 0:23 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            27 20 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let own = "4:memory:/a/b\n3:cpuacct,cpu:/docker/x/y\n0::/z\n";
        let at = |path: &str, version| Some((PathBuf::from(path), version));
        assert_eq!(place(own, mounts, "memory"), at("/sys/fs/cgroup/memory/a/b", Version::V1));
        assert_eq!(place(own, mounts, "cpu"), at("/sys/fs/cgroup/cpu/y", Version::V1));
        assert_eq!(place("0::/z\n", mounts, "cpu"), at("/sys/fs/cgroup/unified/z", Version::V2));
        assert_eq!(place("", mounts, "cpu"), None);
        assert_eq!(place(own, "", "cpu"), None);
    }

    #[test]
    fn limit_of_a_process_is_told_by_the_kernel() {
        let directory = tempfile::tempdir().unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let process =
                modes::process::detached::Detached::start(&modes::process::detached::Launch {
                    program: Path::new("/bin/sh"),
                    arguments: &["sh".as_ref(), "-c".as_ref(), "sleep 60 & wait".as_ref()],
                    directory: directory.path(),
                    environment: &[("PATH".into(), "/usr/bin:/bin".into())],
                    log: &log,
                })
                .unwrap();
            let pid = process.identity().pid;
            let limits = Resources { memory: Some("100Mi".to_owned()), ..Resources::default() };
            Limits::default().apply("i", pid, Some(&limits)).unwrap();
            let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let line = text.lines().find(|line| line.starts_with("Max data size")).unwrap();
            let most: u64 = line.split_ascii_whitespace().nth(3).unwrap().parse().unwrap();
            assert!((132 << 20..1 << 30).contains(&most), "{line}");
            process.signal(rustix::process::Signal::KILL).unwrap();
            process.exited().await;
        });
    }
}
