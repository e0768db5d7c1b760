//! What a scrape of the gateway gets: OpenFaaS's names and labels, and what they lack.

use std::sync::{Arc, atomic::Ordering};

use prometheus::{
    TextEncoder,
    core::Collector as _,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::registry::{Function, Registry};

/// The text for all functions of `registry`.
#[must_use]
pub fn render(registry: &Registry) -> String {
    let functions = registry.list(None);
    let mut families = vec![seconds(&functions), totals(&functions)];
    families.extend(ROWS.iter().map(|row| row.family(&functions)));
    families.retain(|family| !family.get_metric().is_empty());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = TextEncoder::new().encode_utf8(&families, &mut text);
    text
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn seconds(functions: &[Arc<Function>]) -> MetricFamily {
    let histograms = functions.iter().flat_map(|function| function.counts.by_status());
    let metrics = histograms.flat_map(|(_, histogram)| histogram.collect());
    let metrics = metrics.flat_map(|mut family| family.take_metric());
    let help = "Seconds that calls of functions took.";
    family(crate::counts::SECONDS, help, MetricType::HISTOGRAM, metrics.collect())
}

fn totals(functions: &[Arc<Function>]) -> MetricFamily {
    let mut metrics = Vec::new();
    for function in functions {
        for (status, histogram) in function.counts.by_status() {
            let mut metric = counter(approximately(histogram.get_sample_count()));
            metric.set_label(vec![
                label("code", status.as_str()),
                label("function_name", &function.id.to_string()),
            ]);
            metrics.push(metric);
        }
    }
    let help = "Calls of functions that were answered.";
    family("gateway_function_invocation_total", help, MetricType::COUNTER, metrics)
}

/// One number a function.
struct Row {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: fn(&Function) -> u64,
}

const ROWS: [Row; 7] = [
    Row {
        name: "gateway_function_invocation_started",
        help: "Calls of functions that began.",
        kind: MetricType::COUNTER,
        read: |function| function.counts.started(),
    },
    Row {
        name: "gateway_function_invocation_inflight",
        help: "Calls of functions under way.",
        kind: MetricType::GAUGE,
        read: |function| function.counts.in_flight() as u64,
    },
    Row {
        name: "gateway_service_count",
        help: "Replicas that are wanted.",
        kind: MetricType::GAUGE,
        read: |function| function.desired.load(Ordering::Relaxed).into(),
    },
    Row {
        name: "gateway_service_ready_count",
        help: "Replicas that take calls.",
        kind: MetricType::GAUGE,
        read: |function| function.endpoints.load().len() as u64,
    },
    Row {
        name: "gateway_function_waiting",
        help: "Calls that wait for a replica.",
        kind: MetricType::GAUGE,
        read: |function| function.counts.waiting.load(Ordering::Relaxed) as u64,
    },
    Row {
        name: "gateway_function_retries_total",
        help: "Calls that were sent to a second replica, because no connection to the first could be made.",
        kind: MetricType::COUNTER,
        read: |function| function.counts.retried.load(Ordering::Relaxed),
    },
    Row {
        name: "gateway_function_failing",
        help: "1 while something keeps the function from what was asked of it.",
        kind: MetricType::GAUGE,
        read: |function| function.problem.load().is_some().into(),
    },
];

impl Row {
    fn family(&self, functions: &[Arc<Function>]) -> MetricFamily {
        let metrics = functions.iter().map(|function| {
            let value = approximately((self.read)(function));
            let mut metric = match self.kind {
                MetricType::COUNTER => counter(value),
                _ => gauge(value),
            };
            metric.set_label(vec![label("function_name", &function.id.to_string())]);
            metric
        });
        family(self.name, self.help, self.kind, metrics.collect())
    }
}

fn counter(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metric
}

/// Prometheus knows no other numbers; they are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn approximately(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use time::OffsetDateTime;

    use super::*;
    use crate::{
        function::{FunctionId, Policy},
        registry::Revision,
    };

    #[test]
    fn names_and_labels_are_those_that_dashboards_know() {
        let (registry, _asked) = Registry::new();
        assert_eq!(render(&registry), "");
        for name in ["a", "b"] {
            let revision = Revision {
                number: 1,
                spec: Arc::default(),
                policy: Policy::default(),
                deployed: OffsetDateTime::UNIX_EPOCH,
            };
            let function = Arc::new(Function::new(FunctionId::new(name, "n").unwrap(), revision));
            function.counts.answered(StatusCode::OK, Duration::from_millis(7));
            (0..2).for_each(|_| function.counts.begin());
            registry.insert(&function);
        }
        let text = render(&registry);
        for line in [
            r#"gateway_functions_seconds_bucket{code="200",function_name="a.n",le="0.01"} 1"#,
            r#"gateway_functions_seconds_count{code="200",function_name="b.n"} 1"#,
            r#"gateway_function_invocation_total{code="200",function_name="b.n"} 1"#,
            r#"gateway_function_invocation_started{function_name="a.n"} 2"#,
            r#"gateway_service_count{function_name="a.n"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("# TYPE gateway_functions_seconds histogram").count(), 1);
    }
}
