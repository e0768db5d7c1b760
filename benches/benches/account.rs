//! What a call pays for being counted: the metrics that are touched for each.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, StatusCode};
use watchdog::metrics::Metrics;

fn count(c: &mut Criterion) {
    let metrics = Metrics::default();
    c.bench_function("metrics of one call", |b| {
        b.iter(|| {
            metrics.record(
                black_box(StatusCode::OK),
                black_box(&Method::POST).into(),
                Duration::from_micros(900),
            );
        });
    });
}

criterion_group!(benches, count);
criterion_main!(benches);
