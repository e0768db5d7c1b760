//! `load`: the same work for ours and each peer, in turn, round after round.
//!
//! [`options`] ▶ [`scenario`] (what is asked of whom) ▶ `fixture` (files, functions) ▶ `round` (one
//! contender, once) ▶ [`result`] ▶ `report` (Markdown, JSON), on a `machine`.

mod contenders;
pub(crate) mod fixture;
mod footprint;
mod hop;
mod machine;
pub mod metric;
pub mod options;
mod report;
pub mod result;
mod round;
pub mod scenario;
mod stamps;
mod wrk;

use std::path::Path;

use self::{
    contenders::Contenders, machine::Machine, options::Options, result::Outcome, round::Setting,
    scenario::Scenario,
};
use crate::{Result, affinity::Pinning};

/// Runs what `options` ask for and writes the report; returns it as Markdown.
pub fn run(options: &Options, network: &str, say: &dyn Fn(&str)) -> Result<String> {
    raise_descriptor_limit()?;
    let contenders = Contenders::find(options)?;
    let pinning = options.pin.then(Pinning::choose).transpose()?;
    let machine = Machine::look(network, pinning, &contenders);
    if let Some(pinning) = pinning {
        crate::affinity::pin(pinning.client)?;
    }
    let folder = tempfile::tempdir()?;
    let mut outcomes = Vec::new();
    for scenario in &options.scenarios {
        let setting = Setting { options, pinning, folder: folder.path() };
        outcomes.push(run_scenario(scenario, &contenders, &setting, say));
    }
    let text = report::markdown(options, &machine, &outcomes);
    if let Some(folder) = &options.output {
        write(folder, &text, &report::json(options, &machine, &outcomes))?;
    }
    let broken: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.broken.as_deref()).collect();
    if broken.is_empty() { Ok(text) } else { Err(format!("{text}\n{}", broken.join("\n")).into()) }
}

fn run_scenario(
    scenario: &Scenario,
    contenders: &Contenders,
    setting: &Setting<'_>,
    say: &dyn Fn(&str),
) -> Outcome {
    let mut outcome = Outcome::new(scenario);
    let fixture = match fixture::Fixture::make(
        scenario.task,
        setting.folder,
        setting.options.gateway.as_deref(),
    ) {
        Ok(fixture) => fixture,
        Err(error) => {
            outcome.skipped.push(("everyone".into(), error.to_string()));
            return outcome;
        }
    };
    let mut field = contenders.for_scenario(scenario, &fixture, &mut outcome.skipped);
    for number in 0..setting.options.rounds {
        // Whoever cannot do it once is left out from then on, and named.
        field.retain(|contender| {
            say(&format!("{} round {}: {}", scenario.name, number + 1, contender.name));
            let figures = round::measure(scenario, &fixture, contender, setting, number == 0);
            match figures {
                Ok(figures) => outcome.add(&contender.name, figures),
                Err(error) => outcome.skip(&contender.name, &error.to_string()),
            }
        });
    }
    outcome
}

fn write(folder: &Path, markdown: &str, json: &serde_json::Value) -> Result<()> {
    let failed = |error| format!("cannot write the report to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(folder.join("report.md"), markdown).map_err(failed)?;
    let json = serde_json::to_string_pretty(json)? + "\n";
    std::fs::write(folder.join("report.json"), json).map_err(failed)?;
    Ok(())
}

/// A thousand connections and the servers' share of them need more than the usual 1024.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}
