//! What happens to warm spares, read when it is asked for.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use modes::spare::Counters;

use super::family;

/// Appends `watchdog_spares_idle`, and `watchdog_spares_total` by event.
pub(super) fn render(text: &mut String, counters: &Counters) {
    let Counters { hits, misses, started, expired, failed, idle } = counters;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Number of warm spares that wait for a call.";
    family(text, "watchdog_spares_idle", "gauge", help);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "watchdog_spares_idle {}", load(idle));
    let help = "Warm spares by what happened: calls that got one (hit) or found none (miss); \
                spares that were started, expired, or failed before they had a call.";
    family(text, "watchdog_spares_total", "counter", help);
    for (event, counter) in [
        ("expired", expired),
        ("failed", failed),
        ("hit", hits),
        ("miss", misses),
        ("started", started),
    ] {
        let _ = writeln!(text, "watchdog_spares_total{{event=\"{event}\"}} {}", load(counter));
    }
}
