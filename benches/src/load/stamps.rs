//! How long a function's write takes to arrive: the function writes the clock, we read it again.

use rustix::time::{ClockId, clock_gettime};

use crate::{
    Result,
    client::{Probe, Request},
    server::Running,
    statistic::percentile,
};

/// Median and 99th percentile in milliseconds.
pub(super) fn delays(server: &Running, request: &Request) -> Result<(f64, f64)> {
    let (mut line, mut delays) = (Vec::new(), Vec::new());
    let status = Probe::connect(server.address)?.call(request, |piece| {
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
        for byte in piece {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let written = String::from_utf8_lossy(&line).parse::<u64>();
            delays.extend(written.ok().and_then(|written| now.checked_sub(written)));
            line.clear();
        }
    })?;
    if status != 200 || delays.is_empty() {
        return Err(format!("status {status} and {} lines with a time", delays.len()).into());
    }
    delays.sort_unstable();
    let milliseconds = |share| percentile(&delays, share) as f64 / 1e6;
    Ok((milliseconds(0.5), milliseconds(0.99)))
}
