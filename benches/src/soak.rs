//! `soak`: many calls through each mode, and nothing left behind.
//!
//! What is there after the first thousand calls may be there after the last: processes,
//! descriptors, pipes, and memory to within a megabyte.

use std::{
    net::SocketAddr,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    Result,
    client::{Closed, Request, Until},
    load::{fixture::Fixture, options::pair, raise_descriptor_limit, scenario::Task},
    procfs,
    server::{Contender, Running},
};

/// What `--help` prints.
pub const USAGE: &str = "\
usage: soak --ours PATH [OPTION…]        (start it as `benches/run soak`)

  --calls N          calls through http and static (1000000)
  --processes N      calls through classic and streaming (100000)
  --quick            20000 and 2000
  --env NAME=VALUE   for the watchdog, any number of times
";

/// Calls before the first look.
const FIRST: u64 = 1000;
/// At once: enough to have calls overlap in every way.
const CONNECTIONS: usize = 16;
/// Memory that may have been added since.
const GROWTH: u64 = 1 << 20;
/// How long idle connections to the function and late processes may take to go.
const PATIENCE: Duration = Duration::from_secs(120);

/// See [`USAGE`].
#[derive(Debug)]
pub struct Options {
    ours: PathBuf,
    calls: u64,
    processes: u64,
    environment: Vec<(String, String)>,
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let (ours, environment) = (PathBuf::new(), Vec::new());
        let mut options = Self { ours, calls: 1_000_000, processes: 100_000, environment };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--ours" => options.ours = value()?.into(),
                "--calls" => options.calls = value()?.parse()?,
                "--processes" => options.processes = value()?.parse()?,
                "--quick" => (options.calls, options.processes) = (20_000, 2_000),
                "--env" => options.environment.push(pair(argument, value()?)?),
                _ => return Err(format!("no option {argument}\n{USAGE}").into()),
            }
        }
        if options.ours.as_os_str().is_empty() {
            return Err(format!("--ours PATH is missing\n{USAGE}").into());
        }
        Ok(options)
    }
}

/// Runs all modes, says what each left behind, and fails when one left something.
pub fn run(options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    raise_descriptor_limit()?;
    let folder = tempfile::tempdir()?;
    let modes = [
        ("classic", Task::Cat, options.processes),
        ("streaming", Task::StreamingCat, options.processes),
        ("static", Task::File(4096), options.calls),
        ("http", Task::Reply(35), options.calls),
    ];
    let mut faults = Vec::new();
    for (name, task, calls) in modes {
        let fixture = Fixture::make(task, folder.path())?;
        let mut contender = Contender::new("ours", &options.ours);
        contender.extra.clone_from(&options.environment);
        let server = contender.start(&fixture.work, folder.path())?;
        drive(server.address, &fixture.request, FIRST).map_err(|e| format!("{name}: {e}"))?;
        let before = settled(&server);
        say(&format!("{name:9} after {FIRST:8} calls: {before}"));
        let rest = calls.saturating_sub(FIRST).max(1);
        drive(server.address, &fixture.request, rest).map_err(|e| format!("{name}: {e}"))?;
        let after = at_rest(&server, &before);
        say(&format!("{name:9} after {:8} calls: {after}", FIRST + rest));
        faults.extend(after.worse_than(&before).map(|fault| format!("{name}: {fault}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ").into()) }
}

/// So many calls, all answered.
fn drive(address: SocketAddr, request: &Request, calls: u64) -> Result<()> {
    let until = Until::Answered(calls);
    let (connections, request) = (CONNECTIONS, request.clone());
    let sample = Closed { connections, threads: 1, think: None, until, request }.run(address)?;
    if sample.failures == 0 {
        return Ok(());
    }
    let first = sample.first_failure.unwrap_or_default();
    Err(format!("{} of {calls} calls failed, the first with: {first}", sample.failures).into())
}

/// What a watchdog holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holdings {
    processes: usize,
    descriptors: usize,
    pipes: usize,
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

    /// What there is more of than there may be.
    fn worse_than(&self, before: &Self) -> Option<String> {
        let counts = [
            ("processes", before.processes, self.processes),
            ("descriptors", before.descriptors, self.descriptors),
            ("pipes", before.pipes, self.pipes),
        ];
        let more = counts.iter().find(|(_, before, after)| after > before);
        if let Some((what, before, after)) = more {
            return Some(format!("{after} {what} instead of {before}"));
        }
        let growth = self.memory.saturating_sub(before.memory);
        (growth > GROWTH).then(|| format!("memory grew by {} kB", growth / 1024))
    }
}

impl std::fmt::Display for Holdings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processes, descriptors, pipes, memory } = self;
        let memory = memory / 1024;
        write!(f, "{processes} processes, {descriptors} descriptors, {pipes} pipes, {memory} kB")
    }
}

/// Once the counts have stayed the same for a second.
fn settled(server: &Running) -> Holdings {
    let start = Instant::now();
    let (mut last, mut since) = (Holdings::of(server), Instant::now());
    while since.elapsed() < Duration::from_secs(1) && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
        let now = Holdings::of(server);
        let same = Holdings { memory: last.memory, ..now } == last;
        if !same {
            since = Instant::now();
        }
        last = now;
    }
    last
}

/// Once it is no worse than before, or patience is over.
fn at_rest(server: &Running, before: &Holdings) -> Holdings {
    let start = Instant::now();
    loop {
        let now = Holdings::of(server);
        let counts = Holdings { memory: before.memory, ..now };
        if counts.worse_than(before).is_none() || start.elapsed() > PATIENCE {
            return settled(server);
        }
        sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_of_anything_is_a_fault_and_less_is_none() {
        let before = Holdings { processes: 1, descriptors: 12, pipes: 2, memory: 4 << 20 };
        assert_eq!(before.worse_than(&before), None);
        assert_eq!(Holdings { descriptors: 11, ..before }.worse_than(&before), None);
        assert_eq!(Holdings { memory: 5 << 20, ..before }.worse_than(&before), None);
        for worse in [
            Holdings { processes: 2, ..before },
            Holdings { descriptors: 13, ..before },
            Holdings { pipes: 3, ..before },
            Holdings { memory: (5 << 20) + 1024, ..before },
        ] {
            assert!(worse.worse_than(&before).is_some(), "{worse}");
        }
    }
}
