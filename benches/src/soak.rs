//! `soak`: many calls through each mode, and nothing left behind.
//!
//! What is there after the first thousand calls is there after the last: as many processes,
//! descriptors and pipes, and memory to within a megabyte.

mod holdings;
mod scenario;

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use self::{
    holdings::{at_rest, settled},
    scenario::{ALL, Calls, Scenario},
};
use crate::{
    Result,
    client::{Closed, Request, Until},
    load::{fixture::Fixture, options::pair, raise_descriptor_limit},
    server::Contender,
};

/// What `--help` prints.
pub const USAGE: &str = "\
usage: soak --ours PATH [OPTION…] [SCENARIO…]     (start it as `benches/run soak`)

  SCENARIO…          only those whose names begin with one of these words (--list names them)
  --list             names the scenarios
  --calls N          calls through http and static (1000000)
  --processes N      calls that take a process each (100000)
  --quick            20000 and 2000
  --env NAME=VALUE   for the watchdog, any number of times

Scenarios with large bodies make a tenth of the calls.
";

/// Calls before the first look.
const FIRST: u64 = 1000;
/// At once: enough to have calls overlap in every way.
const CONNECTIONS: usize = 16;

/// See [`USAGE`].
#[derive(Debug)]
pub struct Options {
    ours: PathBuf,
    calls: u64,
    processes: u64,
    environment: Vec<(String, String)>,
    names: Vec<String>,
    list: bool,
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            ours: PathBuf::new(),
            calls: 1_000_000,
            processes: 100_000,
            environment: Vec::new(),
            names: Vec::new(),
            list: false,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--ours" => options.ours = value()?.into(),
                "--calls" => options.calls = value()?.parse()?,
                "--processes" => options.processes = value()?.parse()?,
                "--quick" => (options.calls, options.processes) = (20_000, 2_000),
                "--env" => options.environment.push(pair(argument, value()?)?),
                "--list" => options.list = true,
                name if ALL.iter().any(|scenario| scenario.name.starts_with(name)) => {
                    options.names.push(name.to_owned());
                }
                _ => return Err(format!("no option or scenario {argument}\n{USAGE}").into()),
            }
        }
        if options.ours.as_os_str().is_empty() {
            return Err(format!("--ours PATH is missing\n{USAGE}").into());
        }
        Ok(options)
    }

    fn chosen(&self) -> impl Iterator<Item = &'static Scenario> {
        ALL.iter().filter(|scenario| {
            self.names.is_empty() || self.names.iter().any(|name| scenario.name.starts_with(name))
        })
    }

    fn count(&self, calls: Calls) -> u64 {
        match calls {
            Calls::Many => self.calls,
            Calls::Processes => self.processes,
            Calls::Large => self.calls / 10,
            Calls::LargeProcesses => self.processes / 10,
        }
    }
}

/// Runs the scenarios, says what each left behind in a row of a Markdown table, and fails when one
/// left something.
pub fn run(options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    if options.list {
        options.chosen().for_each(|scenario| say(&scenario.to_string()));
        return Ok(());
    }
    raise_descriptor_limit()?;
    say("| scenario | calls | seconds | processes | descriptors | pipes | memory, kB |");
    say("|---|---|---|---|---|---|---|");
    let mut faults = Vec::new();
    for scenario in options.chosen() {
        let fault = soak(options, scenario, say).map_err(|e| format!("{}: {e}", scenario.name))?;
        faults.extend(fault.map(|fault| format!("{}: {fault}", scenario.name)));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ").into()) }
}

/// What one scenario left behind that it may not.
fn soak(options: &Options, scenario: &Scenario, say: &dyn Fn(&str)) -> Result<Option<String>> {
    let folder = tempfile::tempdir()?;
    let fixture = Fixture::make(scenario.task, folder.path(), None)?;
    let mut contender = Contender::new("ours", &options.ours);
    contender.extra.clone_from(&options.environment);
    contender.extra.extend(scenario.environment());
    let server = contender.start(&fixture.work, folder.path())?;
    let start = Instant::now();
    drive(server.address, &fixture.request, FIRST)?;
    let before = settled(&server);
    let rest = options.count(scenario.calls).saturating_sub(FIRST).max(1);
    drive(server.address, &fixture.request, rest)?;
    let seconds = start.elapsed().as_secs();
    let after = at_rest(&server, &before);
    let Scenario { name, .. } = scenario;
    say(&format!("| {name} | {} | {seconds} | {} |", FIRST + rest, before.beside(&after)));
    Ok(after.differs_from(&before))
}

/// So many calls, all answered.
fn drive(address: SocketAddr, request: &Request, calls: u64) -> Result<()> {
    let until = Until::Answered(calls);
    let (connections, request) = (CONNECTIONS, request.clone());
    let sample = Closed { connections, threads: 1, think: None, until, request }.run(address)?;
    if sample.failures == 0 {
        return Ok(());
    }
    let first = sample.first_failure.unwrap_or_default();
    Err(format!("{} of {calls} calls failed, the first with: {first}", sample.failures).into())
}
