//! Prometheus metrics (text format 0.0.4), with the names, labels and buckets that dashboards know.

mod process;
mod series;
mod spares;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use modes::spare::Counters;

use self::series::{Labels, Series};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// How many series are kept at hand. A function answers with a handful.
const AT_HAND: usize = 64;

/// Counts of calls since the start.
#[derive(Debug)]
pub struct Metrics {
    /// Every series that has occurred, in the order in which it is shown.
    series: Mutex<BTreeMap<Labels, Arc<Series>>>,
    /// The same without a lock, as far as places do not collide.
    at_hand: [OnceLock<(Labels, Arc<Series>)>; AT_HAND],
    spares: OnceLock<Arc<Counters>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            series: Mutex::default(),
            at_hand: [const { OnceLock::new() }; AT_HAND],
            spares: OnceLock::new(),
        }
    }
}

impl Metrics {
    /// Shows what happens to spares, too. The first counters that are given stay.
    pub fn show_spares(&self, counters: Arc<Counters>) {
        self.spares.get_or_init(|| counters);
    }

    /// One finished call, with the status that was sent.
    pub fn record(&self, status: StatusCode, method: MethodLabel, took: Duration) {
        let labels = Labels { status: status.as_u16(), method };
        // 7 is prime to the table's size: neighbouring statuses and methods stay apart.
        let place = (usize::from(labels.status) * 7 + method as usize) % AT_HAND;
        let (owner, series) = self.at_hand[place].get_or_init(|| (labels, self.find(labels)));
        if *owner == labels {
            series.record(took);
        } else {
            self.find(labels).record(took);
        }
    }

    fn find(&self, labels: Labels) -> Arc<Series> {
        // Nothing that panics runs under the lock.
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(labels).or_default())
    }

    /// The text that a scrape gets while so many calls are `in_flight`.
    #[must_use]
    pub fn render(&self, in_flight: usize) -> String {
        let mut text = String::new();
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        series::render_durations(&mut text, &all);
        family(
            &mut text,
            "http_requests_in_flight",
            "gauge",
            "Number of HTTP requests being served.",
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "http_requests_in_flight {in_flight}");
        series::render_totals(&mut text, &all);
        if let Some(counters) = self.spares.get() {
            spares::render(&mut text, counters);
        }
        process::render(&mut text);
        text
    }
}

/// The lines that introduce a metric.
fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// A method as a label: one word for all that the standard does not name, so that no client can
/// make series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the methods' names")]
pub enum MethodLabel {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
    Options,
    Trace,
    Connect,
    /// Not standard, or it could not be read.
    Unknown,
}

impl MethodLabel {
    /// The label in lower case, as both predecessors have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Head => "head",
            Self::Options => "options",
            Self::Trace => "trace",
            Self::Connect => "connect",
            Self::Unknown => "unknown",
        }
    }
}

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::HEAD => Self::Head,
            Method::OPTIONS => Self::Options,
            Method::TRACE => Self::Trace,
            Method::CONNECT => Self::Connect,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn series_that_share_a_place_are_counted_apart() {
        let metrics = Metrics::default();
        let methods = [MethodLabel::Get, MethodLabel::Post, MethodLabel::Unknown];
        for round in 1..=2 {
            let all = (200..300).flat_map(|code| methods.map(|method| (code, method)));
            for (code, method) in all.clone() {
                let status = StatusCode::from_u16(code).unwrap();
                metrics.record(status, method, Duration::from_millis(3));
            }
            let text = metrics.render(0);
            let lines: HashSet<&str> = text.lines().collect();
            for (code, method) in all {
                let method = method.as_str();
                for name in ["http_requests_total", "http_request_duration_seconds_count"] {
                    let line = format!("{name}{{code=\"{code}\",method=\"{method}\"}} {round}");
                    assert!(lines.contains(line.as_str()), "{line}");
                }
            }
        }
    }
}
