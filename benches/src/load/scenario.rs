//! What is asked of the servers: one entry for each line of the targets.

use super::metric::Metric;

/// What the servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// classic: `cat`, linked dynamically, 1 KB in and out.
    Cat,
    /// classic: `cat`, linked statically, 1 KB in and out.
    StaticCat,
    /// classic: a Python program that echoes.
    Python,
    /// classic: `head -c` of so many zero bytes.
    Output(u64),
    /// streaming: so many bytes in writes of 64 KiB.
    Writes(u64),
    /// streaming: `head -c` of so many zero bytes.
    Head(u64),
    /// streaming: `cat`, 1 KB in and out.
    StreamingCat,
    /// streaming: lines that say when they were written.
    Stamps,
    /// classic: so many milliseconds of processor time.
    Burn(u64),
    /// streaming: the Python program.
    StreamingPython,
    /// A file of so many bytes.
    File(u64),
    /// http: answers of so many bytes, from a TCP port.
    Reply(u64),
    /// http: the same, from a unix socket.
    UnixReply(u64),
    /// A gateway that knows so many functions, before a replica of one that answers with a file of
    /// so many bytes.
    Hop(usize, u64),
}

/// How they are loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drive {
    /// So many connections, each always with one request under way.
    Closed(usize),
    /// One connection that waits 20 ms after each answer.
    Think,
    /// A schedule at this share of what ours reaches in a closed loop without spares.
    Open(f64),
    /// So many connections, each with so many long transfers, whatever time that takes.
    Transfers(usize, u64),
    /// One connection that reads the clock.
    Stamps,
    /// No load: memory, size, start.
    Footprint,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Ours, every peer that can, the floor.
    Everyone,
    /// As `Everyone`, without the slow of-watchdog, whose target is another line.
    Files,
    /// Ours without and with warm spares, and a floor with them.
    Spares,
}

/// One comparison.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As the command line names it.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it is to show.
    pub target: &'static str,
    /// What the servers do.
    pub task: Task,
    /// How they are loaded.
    pub drive: Drive,
    /// Who takes part.
    pub field: Field,
    /// What the ratios are of.
    pub headline: Metric,
    /// Times the usual length: slow functions need longer for a percentile.
    pub length: f64,
}

const GB: u64 = 1 << 30;
const MB: u64 = 1 << 20;

const fn scenario(
    name: &'static str,
    about: &'static str,
    target: &'static str,
    task: Task,
    drive: Drive,
) -> Scenario {
    let headline = match drive {
        Drive::Closed(_) => Metric::Rate,
        Drive::Think | Drive::Open(_) => Metric::P50,
        Drive::Transfers(..) => Metric::Throughput,
        Drive::Stamps => Metric::Delay,
        Drive::Footprint => Metric::Idle,
    };
    Scenario { name, about, target, task, drive, field: Field::Everyone, headline, length: 1.0 }
}

const fn spares(
    name: &'static str,
    about: &'static str,
    target: &'static str,
    task: Task,
    drive: Drive,
    length: f64,
) -> Scenario {
    Scenario { field: Field::Spares, length, ..scenario(name, about, target, task, drive) }
}

const fn files(
    name: &'static str,
    about: &'static str,
    target: &'static str,
    task: Task,
    drive: Drive,
) -> Scenario {
    Scenario { field: Field::Files, ..scenario(name, about, target, task, drive) }
}

const CLASSIC: &str = "≥ 0.95 of the floor, ≥ 1.45x classic-watchdog, ≥ 1.6x of-watchdog, own CPU ≤ 0.25x classic-watchdog";
const PYTHON: &str = "with spares p50 ≤ 0.25x cold, p99 ≤ 0.4x";

/// All of them, in the order in which they run.
pub const ALL: &[Scenario] = &[
    scenario(
        "classic-16",
        "classic, dynamic cat, 1 KB, c=16",
        CLASSIC,
        Task::Cat,
        Drive::Closed(16),
    ),
    scenario(
        "classic-64",
        "classic, dynamic cat, 1 KB, c=64",
        CLASSIC,
        Task::Cat,
        Drive::Closed(64),
    ),
    scenario(
        "classic-static-16",
        "classic, static cat, 1 KB, c=16",
        CLASSIC,
        Task::StaticCat,
        Drive::Closed(16),
    ),
    scenario(
        "classic-static-64",
        "classic, static cat, 1 KB, c=64",
        CLASSIC,
        Task::StaticCat,
        Drive::Closed(64),
    ),
    spares(
        "spares-python",
        "classic, Python, 20 ms think time",
        PYTHON,
        Task::Python,
        Drive::Think,
        2.5,
    ),
    spares(
        "spares-cat",
        "classic, cat, 20 ms think time",
        "with spares p50 ≤ 0.45x cold",
        Task::Cat,
        Drive::Think,
        1.0,
    ),
    spares(
        "spares-python-open-20",
        "classic, Python, open loop at 20 %",
        PYTHON,
        Task::Python,
        Drive::Open(0.2),
        4.0,
    ),
    spares(
        "spares-python-open-60",
        "classic, Python, open loop at 60 %",
        PYTHON,
        Task::Python,
        Drive::Open(0.6),
        4.0,
    ),
    spares(
        "spares-capacity",
        "classic, Python, c=16: spares run out",
        "with spares ≥ 0.97x cold",
        Task::Python,
        Drive::Closed(16),
        2.5,
    ),
    Scenario {
        headline: Metric::FirstByte,
        ..spares(
            "spares-streaming",
            "streaming, Python's first byte, 20 ms think time",
            "with spares ≤ 0.06x cold",
            Task::StreamingPython,
            Drive::Think,
            2.5,
        )
    },
    scenario(
        "streaming-writes",
        "streaming, 1 GB in 64 KB writes",
        "≥ 1.8x of-watchdog; CPU ≤ 0.5x of-watchdog, ≥ 0.95 of the floor",
        Task::Writes(GB),
        Drive::Transfers(1, 1),
    ),
    scenario(
        "streaming-head",
        "streaming, 1 GB from head -c",
        "≥ 1.15x of-watchdog; CPU ≤ 0.5x of-watchdog, ≥ 0.95 of the floor",
        Task::Head(GB),
        Drive::Transfers(1, 1),
    ),
    scenario(
        "streaming-delay",
        "streaming, from a write to its arrival",
        "< 1 ms",
        Task::Stamps,
        Drive::Stamps,
    ),
    scenario(
        "static-1k",
        "static, 1 KB, c=64",
        "≥ 1.25x nginx, ≥ 6x of-watchdog",
        Task::File(1024),
        Drive::Closed(64),
    ),
    files(
        "static-64k",
        "static, 64 KB, c=64",
        "≥ 1.2x nginx",
        Task::File(64 * 1024),
        Drive::Closed(64),
    ),
    files("static-1m", "static, 1 MB, c=64", "≥ 1.5x nginx", Task::File(MB), Drive::Closed(64)),
    files(
        "static-100m",
        "static, 100 MB, c=4",
        "≥ 1.0x nginx",
        Task::File(100 * MB),
        Drive::Transfers(4, 3),
    ),
    scenario(
        "http-35",
        "http, 35 B, c=64, TCP",
        "≥ 1.0x nginx and haproxy, ≤ 9.5 µs, ≥ 5x of-watchdog",
        Task::Reply(35),
        Drive::Closed(64),
    ),
    scenario(
        "http-35-unix",
        "http, 35 B, c=64, unix socket",
        "≥ 1.15x nginx over TCP",
        Task::UnixReply(35),
        Drive::Closed(64),
    ),
    files("http-1m", "http, 1 MB, c=4", "≥ 2x nginx", Task::Reply(MB), Drive::Closed(4)),
    files(
        "http-100m",
        "http, 100 MB, c=2",
        "≥ 1.8x nginx",
        Task::Reply(100 * MB),
        Drive::Transfers(2, 2),
    ),
    scenario(
        "classic-output",
        "classic, 512 MB of output",
        "≥ 10x classic-watchdog, peak ≤ 32 MB",
        Task::Output(512 * MB),
        Drive::Transfers(1, 1),
    ),
    scenario(
        "gateway-35",
        "a gateway's hop to a replica, 35 B, c=64, unix socket",
        "≤ 12 µs, ≤ 1.2x nginx's CPU",
        Task::Hop(1, 35),
        Drive::Closed(64),
    ),
    scenario(
        "gateway-idle",
        "a gateway that knows 20 functions: memory, binary, start",
        "≤ 12 MB idle",
        Task::Hop(20, 35),
        Drive::Footprint,
    ),
    scenario(
        "footprint",
        "http mode: memory, binary, start",
        "≤ 3 MB idle, ≤ 6 MB after 10 k requests, binary ≤ 3 MB, ≤ 14 kB a connection, listening ≤ 3 ms",
        Task::Reply(35),
        Drive::Footprint,
    ),
];
