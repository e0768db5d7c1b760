//! What happens to warm spares, read when it is asked for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use modes::spare::Counters;
use prometheus::{
    IntCounterVec, IntGauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// `watchdog_spares_total` by event, and `watchdog_spares_idle`.
pub(super) struct Spares {
    counters: Arc<Counters>,
    descriptions: Vec<Desc>,
}

impl Spares {
    pub(super) fn new(counters: Arc<Counters>) -> Result<Self, prometheus::Error> {
        let (total, idle) = series()?;
        let descriptions = total.desc().into_iter().chain(idle.desc()).cloned().collect();
        Ok(Self { counters, descriptions })
    }
}

fn series() -> Result<(IntCounterVec, IntGauge), prometheus::Error> {
    let help = "Warm spares by what happened: calls that got one (hit) or found none (miss); \
                spares that were started, expired, or failed before they had a call.";
    Ok((
        IntCounterVec::new(Opts::new("watchdog_spares_total", help), &["event"])?,
        IntGauge::new("watchdog_spares_idle", "Number of warm spares that wait for a call.")?,
    ))
}

impl Collector for Spares {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok((total, idle)) = series() else { return Vec::new() };
        let Counters { hits, misses, started, expired, failed, idle: waiting } = &*self.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (event, counter) in [
            ("hit", hits),
            ("miss", misses),
            ("started", started),
            ("expired", expired),
            ("failed", failed),
        ] {
            total.with_label_values(&[event]).inc_by(load(counter));
        }
        idle.set(i64::try_from(load(waiting)).unwrap_or(i64::MAX));
        total.collect().into_iter().chain(idle.collect()).collect()
    }
}
