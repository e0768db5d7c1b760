//! Which CPUs a thread, and whatever it starts, may use.

use std::thread::available_parallelism;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// One CPU for the servers and another for everything that loads them.
#[derive(Clone, Copy, Debug)]
pub struct Pinning {
    /// Servers and the processes they start.
    pub server: usize,
    /// The client, and the function behind a proxy.
    pub client: usize,
}

impl Pinning {
    /// The first two CPUs that this process may use.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        match (cpus.next(), cpus.next()) {
            (Some(server), Some(client)) => Ok(Self { server, client }),
            _ => Err("--pin needs two CPUs: leave it out".into()),
        }
    }
}

/// Keeps the calling thread, and what it starts from now on, on one CPU.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| format!("cannot use CPU {cpu} only: {error}"))?;
    Ok(())
}

/// How many CPUs the calling thread may use.
#[must_use]
pub fn cpus() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The first CPU that the calling thread may use.
pub fn first() -> Result<usize> {
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    first.ok_or_else(|| "the kernel names no CPU that may be used".into())
}
