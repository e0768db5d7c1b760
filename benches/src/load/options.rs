//! The command line of `load`.

use std::path::PathBuf;

use super::scenario::{ALL, Scenario};
use crate::Result;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: load [OPTION…] [SCENARIO…]        all scenarios without one; a name may be a beginning

  --list                 name the scenarios and their targets
  --ours PATH            the watchdog to measure
  --gateway PATH         the gateway-lite to measure
  --peer NAME=PATH       a server to compare it with, any number of times. NAME is of-watchdog,
                         classic-watchdog, nginx, haproxy, anything that begins with gateway for
                         another gateway-lite, or anything else for another fwatchdog
                         (before=PATH). nginx and haproxy are taken from PATH without it
  --without NAME         leave out a peer, or the floor
  --rounds N             how often each server is measured (5)
  --seconds S            how long each time (2)
  --quick                2 rounds of 0.3 s: whether it works, not how fast
  --recorded             5 rounds of 0.8 s: what benches/runs holds, below 12 minutes for all
  --pin                  servers on one CPU, client and function on another
  --threads N            threads of the client (1)
  --wrk                  let wrk measure closed loops too, to check our client
  --env NAME=VALUE       for ours only, any number of times
  --spares N             warm_spares of the scenarios about them (8)
  --through COMMAND      runs ours through this, such as a tracer or `env`. A gateway is ended by
                         SIGTERM then, not killed, and its replicas with it: for --rounds 1
  --output FOLDER        write report.md and report.json there
";

/// See [`USAGE`].
#[derive(Clone, Debug)]
pub struct Options {
    /// What is run, in order.
    pub scenarios: Vec<Scenario>,
    /// The watchdog that is measured.
    pub ours: PathBuf,
    /// The gateway that is measured.
    pub gateway: Option<PathBuf>,
    /// Names and programs.
    pub peers: Vec<(String, PathBuf)>,
    /// Who is left out.
    pub without: Vec<String>,
    /// Rounds.
    pub rounds: usize,
    /// Seconds of a measurement.
    pub seconds: f64,
    /// A CPU for the servers and one for the rest.
    pub pin: bool,
    /// Of the client.
    pub threads: usize,
    /// Whether wrk checks.
    pub wrk: bool,
    /// `warm_spares`.
    pub spares: usize,
    /// On top of what ours gets anyway.
    pub environment: Vec<(String, String)>,
    /// Words in front of ours.
    pub through: Vec<String>,
    /// Where the report goes.
    pub output: Option<PathBuf>,
    /// As it was given.
    pub command: String,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Action {
    /// Print this.
    Print(String),
    /// Run.
    Run(Box<Options>),
}

/// Reads the arguments behind the program's name.
pub fn parse(arguments: &[String]) -> Result<Action> {
    let mut options = Options {
        scenarios: Vec::new(),
        ours: PathBuf::new(),
        gateway: None,
        peers: Vec::new(),
        without: Vec::new(),
        rounds: 5,
        seconds: 2.0,
        pin: false,
        threads: 1,
        wrk: false,
        spares: 8,
        environment: Vec::new(),
        through: Vec::new(),
        output: None,
        command: command(arguments),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value =
            || rest.next().ok_or_else(|| format!("{argument} needs a value (load --help)"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(Action::Print(USAGE.into())),
            "--list" => return Ok(Action::Print(list())),
            "--ours" => options.ours = value()?.into(),
            "--gateway" => options.gateway = Some(value()?.into()),
            "--peer" => {
                let (name, path) = pair(argument, value()?)?;
                options.peers.push((name, path.into()));
            }
            "--env" => options.environment.push(pair(argument, value()?)?),
            "--without" => options.without.push(value()?.clone()),
            "--rounds" => options.rounds = number(argument, value()?)?,
            "--seconds" => options.seconds = number(argument, value()?)?,
            "--quick" => (options.rounds, options.seconds) = (2, 0.3),
            "--recorded" => (options.rounds, options.seconds) = (5, 0.8),
            "--pin" => options.pin = true,
            "--threads" => options.threads = number(argument, value()?)?,
            "--wrk" => options.wrk = true,
            "--spares" => options.spares = number(argument, value()?)?,
            "--through" => {
                options.through = value()?.split_whitespace().map(Into::into).collect();
            }
            "--output" => options.output = Some(value()?.into()),
            unknown if unknown.starts_with('-') => {
                return Err(format!("no option {unknown} (load --help)").into());
            }
            name => options.scenarios.extend(find(name)?),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = ALL.to_vec();
    }
    if options.ours.as_os_str().is_empty() {
        return Err("--ours PATH is missing: start it as `benches/run load`, which gives it".into());
    }
    Ok(Action::Run(Box::new(options)))
}

/// `NAME=REST`.
pub(crate) fn pair(option: &str, value: &str) -> Result<(String, String)> {
    let (name, rest) =
        value.split_once('=').ok_or_else(|| format!("{option} {value}: write it as NAME=…"))?;
    Ok((name.into(), rest.into()))
}

/// The command line as anyone can repeat it: paths are this machine's own affair.
fn command(arguments: &[String]) -> String {
    let release = std::env::var_os("RELEASE").map_or("", |_| "RELEASE=1 ");
    let mut command = format!("{release}benches/run load");
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if ["--ours", "--gateway", "--output"].contains(&argument.as_str()) {
            rest.next();
            continue;
        }
        command += &format!(" {argument}");
        if argument == "--peer" {
            let name = rest.next().and_then(|peer| Some(peer.split_once('=')?.0));
            command += &format!(" {}=PATH", name.unwrap_or_default());
        }
    }
    command
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| format!("{name} {value}: not a number it can take").into())
}

/// The one of that name, else all that begin with it.
fn find(name: &str) -> Result<Vec<Scenario>> {
    let exact: Vec<_> = ALL.iter().filter(|scenario| scenario.name == name).copied().collect();
    let found = if exact.is_empty() {
        ALL.iter().filter(|scenario| scenario.name.starts_with(name)).copied().collect()
    } else {
        exact
    };
    if found.is_empty() {
        return Err(format!("no scenario {name} (load --list)").into());
    }
    Ok(found)
}

fn list() -> String {
    let lines = ALL.iter().map(|scenario| {
        format!("{:22} {}\n{:22} {}\n", scenario.name, scenario.about, "", scenario.target)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Action> {
        parse(&line.split(' ').map(Into::into).collect::<Vec<String>>())
    }

    #[test]
    fn scenarios_are_found_by_their_name_or_its_beginning() {
        let Ok(Action::Run(options)) = run("--ours /x static http-35 --rounds 3") else {
            panic!("refused")
        };
        let names: Vec<_> = options.scenarios.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["static-1k", "static-64k", "static-1m", "static-100m", "http-35"]);
        assert_eq!(options.rounds, 3);
        assert_eq!(options.command, "benches/run load static http-35 --rounds 3");
    }

    #[test]
    fn mistakes_name_what_to_do() {
        for (line, says) in [
            ("--ours /x no-such", "load --list"),
            ("--ours /x --rounds many", "--rounds many"),
            ("--ours /x --peer nginx", "NAME="),
            ("--ours", "needs a value"),
            ("static-1k", "benches/run load"),
            ("--fast", "load --help"),
        ] {
            let error = run(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
