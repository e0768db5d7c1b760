//! A run as Markdown for people and as JSON for programs.

use serde_json::{Value, json};

use super::{
    machine::Machine,
    metric::Metric,
    options::Options,
    result::{Outcome, Row},
};

/// Tables: medians with the least and the greatest of the rounds in brackets.
pub(super) fn markdown(options: &Options, machine: &Machine, outcomes: &[Outcome]) -> String {
    let mut text = format!("# Load: {} rounds of {} s\n\n", options.rounds, options.seconds);
    text += &format!("`{}`\n\n", options.command);
    for (name, value) in &machine.facts {
        text += &format!("* {name}: {value}\n");
    }
    for (name, version) in &machine.versions {
        text += &format!("* {name}: {version}\n");
    }
    for (name, why) in &machine.missing {
        text += &format!("* {name}: left out, {why}\n");
    }
    text += "\nMedians (least–greatest of the rounds). \"ours / it\" is the median of the ratios \
             within each round, of the first column in bold. CPU time is user and system time from \
             /proc, of the server with all processes it reaped; \"own\" leaves the functions out. \
             Peak memory is that of the server's own processes.\n";
    for outcome in outcomes {
        text += &table(outcome);
    }
    text
}

fn table(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let mut text = format!("\n## {}: {}\n\n", scenario.name, scenario.about);
    text += &format!("Target: {}.\n\n", scenario.target);
    let mut metrics = outcome.metrics();
    metrics.sort_by_key(|metric| (*metric != scenario.headline, *metric));
    let ours = outcome.rows.iter().find(|row| row.name == "ours");
    text += "| server |";
    for metric in &metrics {
        let mark = if *metric == scenario.headline { "**" } else { "" };
        text += &format!(" {mark}{}{mark} |", metric.name());
    }
    text += " ours / it |";
    let has_cpu = metrics.iter().find(|m| matches!(m, Metric::Cpu | Metric::CpuByte)).copied();
    if has_cpu.is_some() {
        text += " CPU ours / it |";
    }
    text +=
        &format!("\n|---|{}\n", "--:|".repeat(metrics.len() + 1 + usize::from(has_cpu.is_some())));
    for row in &outcome.rows {
        text += &format!("| {} |", row.name);
        for metric in &metrics {
            text += &format!(" {} |", cell(row, *metric));
        }
        text += &format!(" {} |", ratio(ours, row, scenario.headline));
        if let Some(cpu) = has_cpu {
            text += &format!(" {} |", ratio(ours, row, cpu));
        }
        text += "\n";
    }
    for (name, why) in &outcome.skipped {
        text += &format!("\nLeft out: {name} ({why}).\n");
    }
    text
}

fn cell(row: &Row, metric: Metric) -> String {
    let Some(spread) = row.spread(metric) else { return String::new() };
    let digits = metric.decimals();
    let (median, least, greatest) = (spread.median, spread.least, spread.greatest);
    format!("{median:.digits$} ({least:.digits$}–{greatest:.digits$})")
}

fn ratio(ours: Option<&Row>, row: &Row, metric: Metric) -> String {
    let ratio = ours.filter(|ours| ours.name != row.name).and_then(|ours| ours.ratio(row, metric));
    let Some(ratio) = ratio else { return String::new() };
    format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.greatest)
}

/// Everything, each round's figures included.
pub(super) fn json(options: &Options, machine: &Machine, outcomes: &[Outcome]) -> Value {
    let pairs = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
    };
    let facts: Vec<(String, String)> =
        machine.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let scenarios: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let ours = outcome.rows.iter().find(|row| row.name == "ours");
            let rows: Vec<Value> =
                outcome.rows.iter().map(|row| row_json(outcome, ours, row)).collect();
            json!({
                "name": outcome.scenario.name,
                "about": outcome.scenario.about,
                "target": outcome.scenario.target,
                "headline": outcome.scenario.headline.name(),
                "servers": rows,
                "left_out": pairs(&outcome.skipped),
            })
        })
        .collect();
    json!({
        "command": options.command,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": pairs(&facts),
        "versions": pairs(&machine.versions),
        "left_out": pairs(&machine.missing),
        "scenarios": scenarios,
    })
}

fn row_json(outcome: &Outcome, ours: Option<&Row>, row: &Row) -> Value {
    let metrics: serde_json::Map<String, Value> = outcome
        .metrics()
        .into_iter()
        .filter_map(|metric| {
            let spread = row.spread(metric)?;
            let rounds: Vec<_> = row.rounds.iter().map(|figures| figures.get(&metric)).collect();
            let ratio = ours.and_then(|ours| ours.ratio(row, metric)).map(|ratio| ratio.median);
            let value = json!({
                "median": spread.median,
                "least": spread.least,
                "greatest": spread.greatest,
                "ours_over_it": ratio,
                "rounds": rounds,
            });
            Some((metric.name().to_owned(), value))
        })
        .collect();
    json!({ "name": row.name, "metrics": metrics })
}
