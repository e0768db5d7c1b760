//! `probes`: how late health, ready and metrics answer while everything else is saturated.
//!
//! A probe leaves every 20 ms, on a connection of its own as orchestrators make them, and its time
//! counts from the scheduled instant to the last byte of its answer.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    client::{Closed, Probe, Request, Sample, Until},
    load::{fixture::Fixture, options::pair, raise_descriptor_limit, scenario::Task},
    server::{Contender, free_port},
};

/// What `--help` prints.
pub const USAGE: &str = "\
usage: probes --ours PATH [OPTION…] [LOAD…]      (start it as `benches/run probes`)

  LOAD…              only those whose names begin with one of these words
  --seconds N        of load (5)
  --env NAME=VALUE   for the watchdog, any number of times
";

/// The pause between two probes of one kind.
const PAUSE: Duration = Duration::from_millis(20);
/// What shall answer within 50 ms.
const PATHS: [&str; 3] = ["/_/health", "/_/ready", "/metrics"];
/// Calls under way all the time.
const CONNECTIONS: usize = 64;

/// What saturates the watchdog, and the machine.
const LOADS: [(&str, Task); 8] = [
    ("classic-cat", Task::Cat),
    ("classic-burn", Task::Burn(200)),
    ("classic-python", Task::Python),
    ("streaming-cat", Task::StreamingCat),
    ("streaming-writes", Task::Writes(64 << 20)),
    ("static-1m", Task::File(1 << 20)),
    ("http-35", Task::Reply(35)),
    ("http-1m", Task::Reply(1 << 20)),
];

/// See [`USAGE`].
#[derive(Debug)]
pub struct Options {
    ours: PathBuf,
    time: Duration,
    environment: Vec<(String, String)>,
    names: Vec<String>,
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let (environment, names) = (Vec::new(), Vec::new());
        let time = Duration::from_secs(5);
        let mut options = Self { ours: PathBuf::new(), time, environment, names };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--ours" => options.ours = value()?.into(),
                "--seconds" => options.time = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--env" => options.environment.push(pair(argument, value()?)?),
                name if LOADS.iter().any(|(load, _)| load.starts_with(name)) => {
                    options.names.push(name.to_owned());
                }
                _ => return Err(format!("no option or load {argument}\n{USAGE}").into()),
            }
        }
        if options.ours.as_os_str().is_empty() {
            return Err(format!("--ours PATH is missing\n{USAGE}").into());
        }
        Ok(options)
    }
}

/// Loads the watchdog in every way, and says in rows of a Markdown table how late probes were.
pub fn run(options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    raise_descriptor_limit()?;
    say("| load, c=64 | req/s | probe | probes | p50 ms | p99 ms | longest ms |");
    say("|---|---|---|---|---|---|---|");
    for (name, task) in LOADS {
        let chosen = options.names.is_empty() || options.names.iter().any(|n| name.starts_with(n));
        if chosen {
            load(options, name, task, say).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    Ok(())
}

fn load(options: &Options, name: &str, task: Task, say: &dyn Fn(&str)) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let fixture = Fixture::make(task, folder.path(), None)?;
    let metrics_port = free_port()?;
    let mut contender = Contender::new("ours", &options.ours);
    contender.extra.clone_from(&options.environment);
    contender.extra.push(("metrics_port".into(), metrics_port.to_string()));
    let server = contender.start(&fixture.work, folder.path())?;
    let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, metrics_port));
    let closed = Closed {
        connections: CONNECTIONS,
        threads: 1,
        think: None,
        until: Until::Elapsed(options.time + Duration::from_secs(1)),
        request: fixture.request.clone(),
    };
    let address = server.address;
    let (calls, probes) = thread::scope(|scope| {
        let calls = scope.spawn(|| closed.run(address));
        // Until the load is at its height.
        thread::sleep(Duration::from_millis(500));
        let probes = PATHS.map(|path| {
            let to = if path == "/metrics" { metrics } else { address };
            scope.spawn(move || probe(to, path, options.time))
        });
        let joined = |result: thread::Result<Result<Sample>>| {
            result.unwrap_or_else(|_| Err("a thread of the client panicked".into()))
        };
        let probes: Result<Vec<_>> =
            probes.into_iter().map(|thread| joined(thread.join())).collect();
        joined(calls.join()).and_then(|calls| Ok((calls, probes?)))
    })?;
    if calls.failures > 0 {
        let why = calls.first_failure.unwrap_or_default();
        return Err(format!("{} calls failed, the first with: {why}", calls.failures).into());
    }
    for (path, probes) in PATHS.iter().zip(probes) {
        let milliseconds = |share| probes.latency(share).as_secs_f64() * 1e3;
        say(&format!(
            "| {name} | {:.0} | {path} | {} | {:.2} | {:.2} | {:.2} |",
            calls.rate(),
            probes.requests(),
            milliseconds(0.5),
            milliseconds(0.99),
            milliseconds(1.0),
        ));
    }
    Ok(())
}

/// Asks by the schedule until the time is over.
fn probe(address: SocketAddr, path: &str, time: Duration) -> Result<Sample> {
    let request = Request::get(path);
    let mut sample = Sample::default();
    let start = Instant::now();
    let mut due = start;
    while start.elapsed() < time {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let status = Probe::connect(address)?.call(&request, |_| {})?;
        if status != 200 {
            return Err(format!("{path}: status {status}").into());
        }
        sample.latencies.push(u64::try_from(due.elapsed().as_nanos())?);
        due += PAUSE;
    }
    sample.elapsed = start.elapsed();
    sample.sort();
    Ok(sample)
}
