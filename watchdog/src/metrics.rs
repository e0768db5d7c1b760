//! Prometheus metrics, with the names, labels and buckets that dashboards know.

mod spares;

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use modes::spare::Counters;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Counts of calls since the start.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    total: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
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
        Ok(Self { registry, total, duration, in_flight })
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
    pub fn record(&self, status: StatusCode, method: &str, took: Duration) {
        let labels = [status.as_str(), method];
        self.total.with_label_values(&labels).inc();
        self.duration.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// The text that a scrape gets.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A method's label: lower case, and one word for all that the standard does not name, so that no
/// client can make series.
#[must_use]
pub fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "HEAD" => "head",
        "OPTIONS" => "options",
        "TRACE" => "trace",
        "CONNECT" => "connect",
        _ => UNKNOWN,
    }
}

/// The label of a method that is not standard, or could not be read.
pub const UNKNOWN: &str = "unknown";
