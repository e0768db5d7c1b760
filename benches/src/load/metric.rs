//! What is measured.

/// One figure of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Answered requests a second.
    Rate,
    /// The same by `wrk`, to check our own client.
    WrkRate,
    /// Body bytes a second.
    Throughput,
    /// Median latency.
    P50,
    /// Latency that one request in a hundred exceeds.
    P99,
    /// Median time from the request to the first byte of the body.
    FirstByte,
    /// Median time from the function's write to its arrival.
    Delay,
    /// The longest such time but for one write in a hundred.
    Delay99,
    /// CPU time of the whole tree for each request.
    Cpu,
    /// CPU time of the server itself for each request.
    OwnCpu,
    /// CPU time of the whole tree for each gigabyte.
    CpuByte,
    /// The most memory that the server ever had.
    Peak,
    /// Memory after the start.
    Idle,
    /// Memory after 10,000 requests at c=64.
    Loaded,
    /// Memory for each idle connection.
    Connection,
    /// The program file.
    Size,
    /// From just before exec to the first accepted connection.
    Start,
}

impl Metric {
    /// Heading of its column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "req/s",
            Self::WrkRate => "req/s by wrk",
            Self::Throughput => "GB/s",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::FirstByte => "first byte p50 ms",
            Self::Delay => "write to wire p50 ms",
            Self::Delay99 => "write to wire p99 ms",
            Self::Cpu => "CPU µs/req",
            Self::OwnCpu => "own CPU µs/req",
            Self::CpuByte => "CPU ms/GB",
            Self::Peak => "peak MB",
            Self::Idle => "idle MB",
            Self::Loaded => "MB after 10 k",
            Self::Connection => "kB/idle connection",
            Self::Size => "binary MB",
            Self::Start => "start ms",
        }
    }

    /// Digits behind the point.
    #[must_use]
    pub fn decimals(self) -> usize {
        match self {
            Self::Rate | Self::WrkRate | Self::CpuByte => 0,
            Self::Delay | Self::Delay99 => 3,
            Self::Cpu | Self::OwnCpu | Self::Peak | Self::Connection => 1,
            _ => 2,
        }
    }
}
