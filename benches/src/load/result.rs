//! What came out of one scenario.

use std::collections::BTreeMap;

use super::{metric::Metric, scenario::Scenario};
use crate::statistic::Spread;

/// The figures of one contender in one round.
pub type Figures = BTreeMap<Metric, f64>;

/// One contender's rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who.
    pub name: String,
    /// Its figures, a round each.
    pub rounds: Vec<Figures>,
}

/// One scenario's rows.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of what.
    pub scenario: Scenario,
    /// Ours first, the floor last.
    pub rows: Vec<Row>,
    /// Who is not in it, and why.
    pub skipped: Vec<(String, String)>,
    /// Why it is not worth anything: ours did not do it.
    pub broken: Option<String>,
}

impl Outcome {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self { scenario: *scenario, rows: Vec::new(), skipped: Vec::new(), broken: None }
    }

    /// Keeps a round's figures; true for "go on with it".
    pub(super) fn add(&mut self, name: &str, figures: Figures) -> bool {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(figures),
            None => self.rows.push(Row { name: name.into(), rounds: vec![figures] }),
        }
        true
    }

    /// Leaves a contender out from now on.
    pub(super) fn skip(&mut self, name: &str, why: &str) -> bool {
        if name == "ours" {
            self.broken = Some(format!("{}: ours failed: {why}", self.scenario.name));
        }
        self.rows.retain(|row| row.name != name);
        self.skipped.push((name.into(), why.into()));
        false
    }

    /// Every metric that some row has.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let rounds = self.rows.iter().flat_map(|row| &row.rounds);
        let mut metrics: Vec<_> = rounds.flat_map(|figures| figures.keys().copied()).collect();
        metrics.sort();
        metrics.dedup();
        metrics
    }
}

impl Row {
    /// Middle and spread of one metric.
    #[must_use]
    pub fn spread(&self, metric: Metric) -> Option<Spread> {
        let rounds = self.rounds.iter().filter_map(|figures| figures.get(&metric).copied());
        Spread::of(&rounds.collect::<Vec<_>>())
    }

    /// This row's figure over another's, within each round: what the machine does to a round it
    /// does to both.
    #[must_use]
    pub fn ratio(&self, other: &Self, metric: Metric) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios = pairs.filter_map(|(this, that)| {
            let (this, that) = (this.get(&metric)?, that.get(&metric)?);
            (*that > 0.0).then(|| this / that)
        });
        Spread::of(&ratios.collect::<Vec<_>>())
    }
}
