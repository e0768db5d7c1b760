//! One contender, once: start, check, warm up, measure, stop.

use std::{path::Path, time::Duration};

use super::{
    fixture::Fixture,
    footprint,
    metric::Metric,
    options::Options,
    result::Figures,
    scenario::{Drive, Scenario},
    stamps, wrk,
};
use crate::{
    Result,
    affinity::{Pinning, pin},
    client::{Closed, Open, Probe, Sample, Until},
    procfs::Cpu,
    server::{Contender, Running},
};

/// What all rounds have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) options: &'a Options,
    pub(super) pinning: Option<Pinning>,
    pub(super) folder: &'a Path,
}

/// The share of a measurement that the same load lasts before it.
const WARM_UP: f64 = 0.2;
/// What it lasts at least where latencies are what counts: few requests are one percent, and those
/// that meet a server that has just begun to start its spares would be them.
const STARTED_UP: Duration = Duration::from_secs(1);
/// The pause of [`Drive::Think`].
const THINK: Duration = Duration::from_millis(20);

pub(super) fn measure(
    scenario: &Scenario,
    fixture: &Fixture,
    contender: &Contender,
    setting: &Setting<'_>,
    first: bool,
) -> Result<Figures> {
    if scenario.drive == Drive::Footprint {
        return footprint::measure(fixture, contender, setting);
    }
    let server = start(fixture, contender, setting)?;
    if first {
        Probe::connect(server.address)?
            .expect(&fixture.request, fixture.expected.clone())
            .map_err(|error| format!("wrong answer: {error} ({})", server.log_end()))?;
    }
    let seconds = Duration::from_secs_f64(setting.options.seconds * scenario.length);
    let closed = |connections, until| Closed {
        connections,
        threads: setting.options.threads,
        think: None,
        until,
        request: fixture.request.clone(),
    };
    let mut figures = Figures::new();
    match scenario.drive {
        Drive::Closed(connections) => {
            closed(connections, Until::Elapsed(seconds.mul_f64(WARM_UP))).run(server.address)?;
            let run = closed(connections, Until::Elapsed(seconds));
            let sample = observed(&server, &mut figures, || run.run(server.address))?;
            figures.insert(Metric::Rate, sample.rate());
            latencies(&sample, &mut figures);
            if setting.options.wrk {
                let rate = wrk::rate(&server, fixture, connections, seconds)?;
                figures.insert(Metric::WrkRate, rate);
            }
        }
        Drive::Think => {
            let mut run = closed(1, Until::Elapsed(seconds));
            run.think = Some(THINK);
            let until = Until::Elapsed(seconds.mul_f64(WARM_UP).max(STARTED_UP));
            Closed { until, ..run.clone() }.run(server.address)?;
            let sample = observed(&server, &mut figures, || run.run(server.address))?;
            latencies(&sample, &mut figures);
            let first_byte = milliseconds(sample.first_byte(0.5));
            figures.insert(Metric::FirstByte, first_byte);
        }
        Drive::Open(share) => {
            let rate = share * capacity(scenario, fixture, contender, setting)?;
            let (time, request) = (seconds, fixture.request.clone());
            let run = Open { rate, time, connections: 64, request };
            let time = seconds.mul_f64(WARM_UP).max(STARTED_UP);
            Open { time, ..run.clone() }.run(server.address)?;
            let sample = observed(&server, &mut figures, || run.run(server.address))?;
            figures.insert(Metric::Rate, sample.rate());
            latencies(&sample, &mut figures);
        }
        Drive::Transfers(connections, each) => {
            let run = closed(connections, Until::Answered(connections as u64 * each));
            let sample = observed(&server, &mut figures, || run.run(server.address))?;
            let gigabytes = sample.bytes as f64 / 1e9;
            let requests = sample.requests() as f64;
            figures.insert(Metric::Throughput, sample.throughput() / 1e9);
            if let Some(cpu) = figures.remove(&Metric::Cpu) {
                figures.insert(Metric::CpuByte, cpu * requests / 1e3 / gigabytes);
            }
            figures.remove(&Metric::OwnCpu);
        }
        Drive::Stamps => {
            let delays = stamps::delays(&server, &fixture.request)?;
            figures.insert(Metric::Delay, delays.0);
            figures.insert(Metric::Delay99, delays.1);
        }
        Drive::Footprint => {}
    }
    figures.insert(Metric::Peak, server.memory("VmHWM") as f64 / 1e6);
    Ok(figures)
}

/// Starts a contender, on its CPU if it has one.
pub(super) fn start(
    fixture: &Fixture,
    contender: &Contender,
    setting: &Setting<'_>,
) -> Result<Running> {
    let tcp = contender.name.ends_with("-tcp");
    let work = fixture.tcp.as_ref().filter(|_| tcp).unwrap_or(&fixture.work);
    let Some(pinning) = setting.pinning else { return contender.start(work, setting.folder) };
    // A child inherits the CPUs of the thread that starts it (sched_setaffinity(2)).
    pin(pinning.server)?;
    let server = contender.start(work, setting.folder);
    pin(pinning.client)?;
    server
}

/// Requests a second that a contender answers without spares, for the schedule: measured once, so
/// that everyone has the same.
fn capacity(
    scenario: &Scenario,
    fixture: &Fixture,
    contender: &Contender,
    setting: &Setting<'_>,
) -> Result<f64> {
    if let Some(rate) = fixture.capacity.get() {
        return Ok(*rate);
    }
    let mut cold = contender.clone();
    cold.extra.retain(|(name, _)| name != "warm_spares");
    let server = start(fixture, &cold, setting)?;
    let time = Duration::from_secs_f64(setting.options.seconds * scenario.length);
    let run = Closed {
        connections: 4,
        threads: 1,
        think: None,
        until: Until::Elapsed(time.max(Duration::from_secs(1))),
        request: fixture.request.clone(),
    };
    let rate = run.run(server.address)?.rate();
    Ok(*fixture.capacity.get_or_init(|| rate))
}

/// Adds what the server used for each request meanwhile. Any failed request spoils the sample.
fn observed(
    server: &Running,
    figures: &mut Figures,
    load: impl FnOnce() -> Result<Sample>,
) -> Result<Sample> {
    let before = server.cpu();
    let sample = load()?;
    let after = server.cpu();
    if sample.failures > 0 {
        let why = sample.first_failure.as_deref().unwrap_or_default();
        let (log, count) = (server.log_end(), sample.failures);
        return Err(format!("{count} requests failed, the first with: {why} ({log})").into());
    }
    if sample.requests() == 0 {
        return Err("nothing was answered in time: use --seconds".into());
    }
    let each = |pick: fn(&Cpu) -> Duration| {
        pick(&after).saturating_sub(pick(&before)).as_secs_f64() * 1e6 / sample.requests() as f64
    };
    figures.insert(Metric::Cpu, each(|cpu| cpu.tree));
    figures.insert(Metric::OwnCpu, each(|cpu| cpu.own));
    Ok(sample)
}

fn latencies(sample: &Sample, figures: &mut Figures) {
    figures.insert(Metric::P50, milliseconds(sample.latency(0.5)));
    figures.insert(Metric::P99, milliseconds(sample.latency(0.99)));
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
