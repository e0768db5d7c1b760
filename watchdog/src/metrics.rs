//! Prometheus metrics, with the names, labels and buckets that dashboards know.

mod process;
mod spares;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Method, StatusCode};
use modes::spare::Counters;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// How many series are kept at hand. A function answers with a handful.
const AT_HAND: usize = 64;

/// Counts of calls since the start.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    total: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
    /// Series that have occurred: looking one up by its labels hashes them twice a call.
    at_hand: [OnceLock<Series>; AT_HAND],
}

/// What is counted for one status and method.
#[derive(Debug)]
struct Series {
    status: StatusCode,
    method: MethodLabel,
    total: IntCounter,
    duration: Histogram,
}

/// A call that is counted as in flight until this is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Metrics {
    /// All zero.
    ///
    /// # Errors
    /// Never in practice: the names are constant and distinct.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let labels = ["code", "method"];
        let total = IntCounterVec::new(
            Opts::new("http_requests_total", "Total number of HTTP requests."),
            &labels,
        )?;
        // The crate's default buckets are those of the Go client: .005 to 10.
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "http_request_duration_seconds",
                "Seconds spent serving HTTP requests.",
            ),
            &labels,
        )?;
        let in_flight =
            IntGauge::new("http_requests_in_flight", "Number of HTTP requests being served.")?;
        registry.register(Box::new(total.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        let at_hand = [const { OnceLock::new() }; AT_HAND];
        Ok(Self { registry, total, duration, in_flight, at_hand })
    }

    /// Shows what happens to spares, too.
    ///
    /// # Errors
    /// Never in practice: the names are constant, and this is called once.
    pub fn show_spares(&self, counters: Arc<Counters>) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(spares::Spares::new(counters)?))
    }

    /// One more call in flight.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// One finished call, with the status that was sent.
    pub fn record(&self, status: StatusCode, method: MethodLabel, took: Duration) {
        // 7 is prime to the table's size: neighbouring statuses and methods stay apart.
        let place = (usize::from(status.as_u16()) * 7 + method as usize) % AT_HAND;
        let series = self.at_hand[place].get_or_init(|| self.find(status, method));
        if series.status == status && series.method == method {
            series.record(took);
        } else {
            self.find(status, method).record(took);
        }
    }

    fn find(&self, status: StatusCode, method: MethodLabel) -> Series {
        let labels = [status.as_str(), method.as_str()];
        Series {
            status,
            method,
            total: self.total.with_label_values(&labels),
            duration: self.duration.with_label_values(&labels),
        }
    }

    /// The text that a scrape gets.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        process::render(&mut text);
        text
    }
}

impl Series {
    fn record(&self, took: Duration) {
        self.total.inc();
        self.duration.observe(took.as_secs_f64());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
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
        let metrics = Metrics::new().unwrap();
        let methods = [MethodLabel::Get, MethodLabel::Post, MethodLabel::Unknown];
        for round in 1..=2 {
            let all = (200..300).flat_map(|code| methods.map(|method| (code, method)));
            for (code, method) in all.clone() {
                let status = StatusCode::from_u16(code).unwrap();
                metrics.record(status, method, Duration::from_millis(3));
            }
            let text = metrics.render();
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
