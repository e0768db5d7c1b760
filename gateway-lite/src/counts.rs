//! What happened to one function so far, counted without a lock.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus::{Histogram, HistogramOpts};

use crate::function::FunctionId;

/// The name of the histogram, as dashboards know it.
pub const SECONDS: &str = "gateway_functions_seconds";

/// Counts of a function over all its versions.
#[derive(Debug)]
pub struct Counts {
    function: String,
    /// Calls that began.
    pub started: AtomicU64,
    /// Calls that were sent to a second replica.
    pub retried: AtomicU64,
    /// Calls under way.
    pub in_flight: AtomicUsize,
    /// Calls among them that wait for a replica.
    pub waiting: AtomicUsize,
    /// By status. Few statuses occur, so the list is short, and each is found once.
    answered: ArcSwap<Vec<(StatusCode, Histogram)>>,
}

impl Counts {
    /// All zero.
    #[must_use]
    pub fn new(function: &FunctionId) -> Self {
        Self {
            function: function.to_string(),
            started: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            answered: ArcSwap::default(),
        }
    }

    /// One more call was answered.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let known = self.answered.load();
        let mut known = known.iter();
        if let Some((_, histogram)) = known.find(|(code, _)| *code == status) {
            histogram.observe(took.as_secs_f64());
            return;
        }
        let Some(new) = self.histogram(status) else { return };
        self.answered.rcu(|known| {
            let mut known = Vec::clone(known);
            if !known.iter().any(|(code, _)| *code == status) {
                known.push((status, new.clone()));
            }
            known
        });
        // Whichever of two that came at once is in the list now.
        let known = self.answered.load();
        if let Some((_, histogram)) = known.iter().find(|(code, _)| *code == status) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// Every status that occurred, with how long its calls took.
    #[must_use]
    pub fn by_status(&self) -> Vec<(StatusCode, Histogram)> {
        Vec::clone(&self.answered.load())
    }

    /// Calls that were answered, whatever the status.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.answered.load().iter().map(|(_, histogram)| histogram.get_sample_count()).sum()
    }

    /// Whether no call is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    fn histogram(&self, status: StatusCode) -> Option<Histogram> {
        let options = HistogramOpts::new(SECONDS, "Seconds that calls of functions took.")
            .const_label("function_name", &self.function)
            .const_label("code", status.as_str());
        // Fails for names that are none; these are constant.
        Histogram::with_opts(options).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_status() {
        let counts = Counts::new(&FunctionId::new("f", "n").unwrap());
        for (status, times) in [(StatusCode::OK, 3), (StatusCode::BAD_GATEWAY, 2)] {
            for _ in 0..times {
                counts.answered(status, Duration::from_millis(1));
            }
        }
        let counted: Vec<_> = counts
            .by_status()
            .iter()
            .map(|(code, h)| (code.as_u16(), h.get_sample_count()))
            .collect();
        assert_eq!(counted, [(200, 3), (502, 2)]);
        assert_eq!(counts.ended(), 5);
    }
}
