//! What a stretch of load amounted to.

use std::time::Duration;

use crate::statistic::percentile;

/// Requests that were answered within one stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// From the first request to the last response.
    pub elapsed: Duration,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// Answers other than 200, and connections that broke.
    pub failures: u64,
    /// What the first of them was.
    pub first_failure: Option<String>,
    /// Nanoseconds of each answered request, sorted.
    pub latencies: Vec<u64>,
    /// Nanoseconds to each first byte of a body, sorted.
    pub first_bytes: Vec<u64>,
}

impl Sample {
    /// How many requests were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Answered requests a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64()
    }

    /// Bytes of bodies a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that `share` of the requests did not exceed.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        Duration::from_nanos(percentile(&self.latencies, share))
    }

    /// The same of the first byte of the body.
    #[must_use]
    pub fn first_byte(&self, share: f64) -> Duration {
        Duration::from_nanos(percentile(&self.first_bytes, share))
    }

    pub(super) fn fail(&mut self, why: impl FnOnce() -> String) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(why);
    }

    /// Sums up what several threads did at the same time.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.bytes += other.bytes;
        self.failures += other.failures;
        self.first_failure = self.first_failure.or(other.first_failure);
        self.latencies.extend(other.latencies);
        self.first_bytes.extend(other.first_bytes);
        self
    }

    pub(crate) fn sort(&mut self) {
        self.latencies.sort_unstable();
        self.first_bytes.sort_unstable();
    }
}
