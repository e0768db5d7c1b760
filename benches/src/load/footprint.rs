//! What a server costs when nothing happens.

use std::{thread::sleep, time::Duration};

use super::{
    fixture::Fixture,
    metric::Metric,
    result::Figures,
    round::{Setting, milliseconds, start},
};
use crate::{
    Result,
    client::{Closed, Probe, Until},
    server::{Contender, Work},
};

/// Idle connections that are counted.
const CONNECTIONS: usize = 1000;

pub(super) fn measure(
    fixture: &Fixture,
    contender: &Contender,
    setting: &Setting<'_>,
) -> Result<Figures> {
    let mut figures = Figures::new();
    let server = start(fixture, contender, setting)?;
    figures.insert(Metric::Start, milliseconds(server.start));
    figures.insert(Metric::Size, std::fs::metadata(&contender.path)?.len() as f64 / 1e6);
    let memory = || server.memory("VmRSS") as f64 / 1e6;
    // What a start still does in the background is over by then.
    sleep(match fixture.work {
        Work::Hop { .. } => Duration::from_secs(2),
        _ => Duration::from_millis(300),
    });
    figures.insert(Metric::Idle, memory());
    Probe::connect(server.address)?.expect(&fixture.request, fixture.expected.clone())?;

    let run = Closed {
        connections: 64,
        threads: 1,
        think: None,
        until: Until::Answered(10_000),
        request: fixture.request.clone(),
    };
    run.run(server.address)?;
    figures.insert(Metric::Loaded, memory());

    // Another one, so that nothing is left over from the load that connections could re-use.
    drop(server);
    let server = start(fixture, contender, setting)?;
    let memory = || server.memory("VmRSS") as f64 / 1e6;
    let mut warm = Probe::connect(server.address)?;
    warm.expect(&fixture.request, fixture.expected.clone())?;
    let before = memory();
    let mut idle = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut probe = Probe::connect(server.address)?;
        probe.expect(&fixture.request, fixture.expected.clone())?;
        idle.push(probe);
    }
    let each = (memory() - before) * 1e3 / CONNECTIONS as f64;
    figures.insert(Metric::Connection, each);
    figures.insert(Metric::Peak, server.memory("VmHWM") as f64 / 1e6);
    Ok(figures)
}
