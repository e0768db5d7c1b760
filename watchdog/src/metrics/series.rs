//! What is counted for one status and method: how many calls, and how long they took.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use modes::lanes::Lanes;

use super::{MethodLabel, family};

/// What tells the series from each other. Their order is that of the lines: by the text of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) status: u16,
    pub(super) method: MethodLabel,
}

/// The upper ends of the buckets in milliseconds, and as labels: the defaults of the Go client.
const BUCKETS: [(u32, &str); 11] = [
    (5, "0.005"),
    (10, "0.01"),
    (25, "0.025"),
    (50, "0.05"),
    (100, "0.1"),
    (250, "0.25"),
    (500, "0.5"),
    (1000, "1"),
    (2500, "2.5"),
    (5000, "5"),
    (10_000, "10"),
];

/// A histogram, kept by each event loop for itself and added up for a scrape. The number of calls
/// is the sum of its buckets, so the two cannot differ.
#[derive(Debug, Default)]
pub(super) struct Series {
    tallies: Lanes<Tally>,
}

/// What one loop has counted.
#[derive(Debug, Default)]
struct Tally {
    /// Calls by the first bucket they fit in; the last one is for those that fit in none.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    /// Time spent in all of them: centuries fit in.
    nanoseconds: AtomicU64,
}

impl Series {
    pub(super) fn record(&self, took: Duration) {
        let bucket = BUCKETS
            .iter()
            .position(|(end, _)| took <= Duration::from_millis((*end).into()))
            .unwrap_or(BUCKETS.len());
        let tally = &self.tallies[self.tallies.here()];
        tally.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        tally.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The sum of one number over all loops.
    fn sum(&self, number: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.iter().map(|tally| number(tally).load(Ordering::Relaxed)).sum()
    }

    /// All buckets, over all loops.
    fn buckets(&self) -> impl Iterator<Item = u64> {
        (0..=BUCKETS.len()).map(|bucket| self.sum(|tally| &tally.buckets[bucket]))
    }

    fn count(&self) -> u64 {
        self.buckets().sum()
    }

    fn render(&self, text: &mut String, name: &str, labels: &str) {
        let ends = BUCKETS.iter().map(|(_, end)| *end).chain(["+Inf"]);
        let mut calls = 0;
        // Writing to a string cannot fail.
        for (end, bucket) in ends.zip(self.buckets()) {
            calls += bucket;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{end}\"}} {calls}");
        }
        let spent = Duration::from_nanos(self.sum(|tally| &tally.nanoseconds)).as_secs_f64();
        let _ = writeln!(text, "{name}_sum{{{labels}}} {spent}");
        let _ = writeln!(text, "{name}_count{{{labels}}} {calls}");
    }
}

impl Labels {
    fn text(self) -> String {
        format!("code=\"{}\",method=\"{}\"", self.status, self.method.as_str())
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // All statuses have three digits.
        let key = |labels: &Self| (labels.status, labels.method.as_str());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Appends the histograms, if there are any.
pub(super) fn render_durations(text: &mut String, all: &BTreeMap<Labels, Arc<Series>>) {
    const NAME: &str = "http_request_duration_seconds";
    if !all.is_empty() {
        family(text, NAME, "histogram", "Seconds spent serving HTTP requests.");
    }
    for (labels, series) in all {
        series.render(text, NAME, &labels.text());
    }
}

/// Appends the numbers of calls, if there were any.
pub(super) fn render_totals(text: &mut String, all: &BTreeMap<Labels, Arc<Series>>) {
    const NAME: &str = "http_requests_total";
    if !all.is_empty() {
        family(text, NAME, "counter", "Total number of HTTP requests.");
    }
    for (labels, series) in all {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{NAME}{{{}}} {}", labels.text(), series.count());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_what_scrapers_parse() {
        let series = Series::default();
        for milliseconds in [0, 5, 6, 750, 10_001] {
            series.record(Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        series.render(&mut text, "took", "code=\"200\"");
        let expected = "took_bucket{code=\"200\",le=\"0.005\"} 2\n\
                        took_bucket{code=\"200\",le=\"0.01\"} 3\n\
                        took_bucket{code=\"200\",le=\"0.025\"} 3\n\
                        took_bucket{code=\"200\",le=\"0.05\"} 3\n\
                        took_bucket{code=\"200\",le=\"0.1\"} 3\n\
                        took_bucket{code=\"200\",le=\"0.25\"} 3\n\
                        took_bucket{code=\"200\",le=\"0.5\"} 3\n\
                        took_bucket{code=\"200\",le=\"1\"} 4\n\
                        took_bucket{code=\"200\",le=\"2.5\"} 4\n\
                        took_bucket{code=\"200\",le=\"5\"} 4\n\
                        took_bucket{code=\"200\",le=\"10\"} 4\n\
                        took_bucket{code=\"200\",le=\"+Inf\"} 5\n\
                        took_sum{code=\"200\"} 10.762\n\
                        took_count{code=\"200\"} 5\n";
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn call_is_in_the_buckets_that_are_no_shorter(nanoseconds in 0..20_000_000_000_u64) {
            let series = Series::default();
            series.record(Duration::from_nanos(nanoseconds));
            let place = series.buckets().position(|bucket| bucket == 1);
            let place = place.unwrap();
            let end = |place: usize| u64::from(BUCKETS[place].0) * 1_000_000;
            prop_assert!(place == BUCKETS.len() || nanoseconds <= end(place));
            prop_assert!(place == 0 || nanoseconds > end(place - 1));
            prop_assert_eq!(series.count(), 1);
        }
    }
}
