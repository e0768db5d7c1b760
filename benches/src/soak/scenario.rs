//! What is asked of the watchdog, many times.

use std::fmt;

use crate::load::scenario::Task;

/// How many times.
#[derive(Clone, Copy, Debug)]
pub(super) enum Calls {
    /// As it takes microseconds.
    Many,
    /// As each takes a process.
    Processes,
    /// As each moves 256 KiB.
    Large,
    /// As each takes a process and moves 256 KiB.
    LargeProcesses,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) task: Task,
    pub(super) calls: Calls,
    /// On top of what the task sets.
    environment: &'static [(&'static str, &'static str)],
}

impl Scenario {
    pub(super) fn environment(&self) -> impl Iterator<Item = (String, String)> {
        self.environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:22} {:?}", self.name, self.task)?;
        self.environment.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

const fn scenario(
    name: &'static str,
    task: Task,
    calls: Calls,
    environment: &'static [(&'static str, &'static str)],
) -> Scenario {
    Scenario { name, task, calls, environment }
}

const SERIALIZING: (&str, &str) = ("mode", "serializing");
const SPARES: (&str, &str) = ("warm_spares", "4");
/// What spares ask for.
const PLAIN: (&str, &str) = ("cgi_headers", "false");
/// Beyond what an answer of one write carries, and what `zero_copy` leaves to the kernel.
const LARGE: u64 = 256 * 1024;

/// Every mode, its ways to get a process, and its ways to move bytes.
pub(super) const ALL: &[Scenario] = &[
    scenario("classic-cold", Task::Cat, Calls::Processes, &[]),
    scenario("classic-spares", Task::Cat, Calls::Processes, &[SPARES, PLAIN]),
    scenario("serializing-cold", Task::Cat, Calls::Processes, &[SERIALIZING]),
    scenario("serializing-spares", Task::Cat, Calls::Processes, &[SERIALIZING, SPARES, PLAIN]),
    scenario("streaming-cold", Task::StreamingCat, Calls::Processes, &[]),
    scenario("streaming-spares", Task::StreamingCat, Calls::Processes, &[SPARES, PLAIN]),
    scenario("http-tcp", Task::Reply(35), Calls::Many, &[]),
    scenario("http-unix", Task::UnixReply(35), Calls::Many, &[]),
    scenario("static", Task::File(4096), Calls::Many, &[]),
    scenario(
        "large-classic-spooled",
        Task::Output(LARGE),
        Calls::LargeProcesses,
        &[("spool_memory", "64k")],
    ),
    scenario(
        "large-streaming-spliced",
        Task::Head(LARGE),
        Calls::LargeProcesses,
        &[("zero_copy", "on")],
    ),
    scenario(
        "large-streaming-copied",
        Task::Head(LARGE),
        Calls::LargeProcesses,
        &[("zero_copy", "off")],
    ),
    scenario("large-http", Task::Reply(LARGE), Calls::Large, &[]),
    scenario("large-static-sendfile", Task::File(LARGE), Calls::Large, &[("zero_copy", "on")]),
    scenario("large-static-copied", Task::File(LARGE), Calls::Large, &[("zero_copy", "off")]),
];
