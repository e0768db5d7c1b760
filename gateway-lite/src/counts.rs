//! What happened to one function so far, counted without a lock.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::StatusCode;
use modes::lanes::Lanes;
use prometheus::{Histogram, HistogramOpts};

use crate::function::FunctionId;

/// The name of the histogram, as dashboards know it.
pub const SECONDS: &str = "gateway_functions_seconds";

/// What each event loop counts for itself: a number that all of them change travels between the
/// CPUs with each call.
#[derive(Debug, Default)]
struct Calls {
    started: AtomicU64,
    /// Wraps: a call may end on another loop than it began on, and only the sum means something.
    under_way: AtomicUsize,
}

/// Counts of a function over all its versions.
#[derive(Debug)]
pub struct Counts {
    function: String,
    calls: Lanes<Calls>,
    /// Calls that were sent to a second replica.
    pub retried: AtomicU64,
    /// Calls under way that wait for a replica.
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
            calls: Lanes::default(),
            retried: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            answered: ArcSwap::default(),
        }
    }

    /// One more call is under way.
    pub fn begin(&self) {
        let here = &self.calls[self.calls.here()];
        here.started.fetch_add(1, Ordering::Relaxed);
        here.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub fn end(&self) {
        self.calls[self.calls.here()].under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// Calls that began.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.calls.iter().map(|here| here.started.load(Ordering::Acquire)).sum()
    }

    /// Calls under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let each = self.calls.iter().map(|here| here.under_way.load(Ordering::Acquire));
        each.fold(0, usize::wrapping_add)
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
        self.in_flight() == 0
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
