//! What a process per call pays for its environment: the request head as variables.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use modes::cgi::{Style, environment};

fn request_head(c: &mut Criterion) {
    let mut request = Request::post("/a/path%20with/segments?and=a&query=string");
    for index in 0..15 {
        request = request.header(format!("x-some-header-{index}"), "a value of common length");
    }
    let request = request.header("host", "gateway:8080").body(());
    let Ok((head, ())) = request.map(Request::into_parts) else { return };
    c.bench_function("environment of 16 headers", |b| {
        b.iter(|| environment(black_box(&head), Some(1024), Style::Classic));
    });
}

criterion_group!(benches, request_head);
criterion_main!(benches);
