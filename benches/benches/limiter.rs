//! What a call pays for its place among `max_inflight`.

use std::{hint::black_box, num::NonZeroUsize, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use watchdog::limit::{Config, Limiter};

fn enter(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    for (name, max_inflight) in
        [("limiter without a limit", None), ("limiter with a free place", NonZeroUsize::new(100))]
    {
        let config = Config { max_inflight, max_queue: 0, queue_timeout: Duration::from_secs(1) };
        let limiter = Limiter::new(config);
        c.bench_function(name, |b| {
            b.iter(|| runtime.block_on(black_box(&limiter).enter()).is_ok());
        });
    }
}

criterion_group!(benches, enter);
criterion_main!(benches);
