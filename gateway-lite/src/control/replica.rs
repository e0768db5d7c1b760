//! What is known about one instance.

use std::{sync::Arc, time::Duration};

use tokio::{task::AbortHandle, time::Instant};

use super::plan::Condition;
use crate::{
    function::{FunctionSpec, NOT_YET},
    provider::{Instance, State},
    registry::Endpoint,
};

/// Pauses before something is tried again: doubled up to 30 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause after `failures` of them.
pub(super) fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

/// One instance, and what happened to it.
#[derive(Debug)]
pub(super) struct Replica {
    /// As the provider told it last.
    pub(super) instance: Instance,
    /// What calls use, once it is ready.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// Whether it takes no calls any more, and what becomes of it.
    pub(super) leaving: Option<Leaving>,
    /// Whether it is written down that it is to be parked, which holds until it is started anew.
    pub(super) is_dismissed: bool,
    /// How often it stopped running by itself.
    pub(super) failures: u32,
    /// Since when it does not run.
    pub(super) failing_since: Option<Instant>,
    /// Why it stopped running last, while that may still be the matter with it.
    pub(super) stopped_by: Option<String>,
    /// Why it is not ready, if it takes long.
    pub(super) waits_for: Option<String>,
    /// Since when it takes calls.
    pub(super) ready_since: Option<Instant>,
    /// Finds out whether it does.
    pub(super) probe: Option<Probe>,
}

/// What becomes of an instance that is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is parked.
    ToPark,
    /// It is removed.
    ForGood,
}

/// A probe under way; ends with this.
#[derive(Debug)]
pub(super) struct Probe(pub(super) AbortHandle);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Replica {
    pub(super) fn new(instance: Instance) -> Self {
        Self {
            instance,
            endpoint: None,
            leaving: None,
            is_dismissed: false,
            failures: 0,
            failing_since: None,
            stopped_by: None,
            waits_for: None,
            ready_since: None,
            probe: None,
        }
    }

    /// When one that somebody else ended is started again.
    pub(super) fn restart_at(&self) -> Option<Instant> {
        let ended = matches!(self.instance.state, State::Ended { .. });
        self.failing_since.filter(|_| ended).map(|since| since + pause_after(self.failures))
    }

    /// When to look again at one that failed and that the provider starts again by itself, or says
    /// so: it may have left it after all, of which it tells nobody (Docker, after `docker kill`, has it
    /// running for a moment longer than its end is told).
    pub(super) fn look_at(&self) -> Option<Instant> {
        let is_doubtful = match self.instance.state {
            State::Failing { .. } => true,
            State::Running { .. } => self.endpoint.is_none() && self.stopped_by.is_some(),
            State::Ended { .. } | State::Parked => false,
        };
        is_doubtful.then(|| Instant::now() + pause_after(self.failures))
    }

    pub(super) fn condition(&self) -> Condition {
        match &self.instance.state {
            _ if self.leaving == Some(Leaving::ToPark) => Condition::Parking,
            State::Parked => Condition::Parked,
            // It did not end, and may be wanted again.
            State::Running { .. } if self.is_dismissed => Condition::Ended,
            State::Running { .. } if self.endpoint.is_some() => Condition::Ready,
            State::Running { .. } => Condition::Starting,
            State::Ended { .. } if self.restart_at().is_none_or(|at| at <= Instant::now()) => {
                Condition::Ended
            }
            State::Ended { .. } | State::Failing { .. } => Condition::Failing,
        }
    }

    /// Why it takes no calls, if it should: it does not run, or runs again after it failed and has
    /// not become ready. One that dies as often as it is started is seen at either time.
    pub(super) fn complaint(&self) -> Option<&str> {
        match &self.instance.state {
            State::Failing { why } | State::Ended { why } => Some(why),
            State::Running { .. } if self.endpoint.is_none() => self.stopped_by.as_deref(),
            State::Parked | State::Running { .. } => None,
        }
    }

    /// What it waits for, if that takes long, and what happened to it before.
    pub(super) fn delay(&self) -> Option<String> {
        let why = self.waits_for.as_ref()?;
        let before = self.stopped_by.as_ref().map(|before| format!("; before: {before}"));
        Some(format!("{NOT_YET}{why}{}", before.unwrap_or_default()))
    }

    pub(super) fn withdraw(&mut self) {
        (self.endpoint, self.probe, self.ready_since) = (None, None, None);
        self.waits_for = None;
    }
}

/// What the author of a function that is not ready may look at: where its watchdog expects it.
pub(super) fn hint(spec: &FunctionSpec) -> String {
    let variable = |name: &str| spec.env_vars.as_ref().and_then(|all| all.get(name));
    let url = ["http_upstream_url", "upstream_url"].into_iter().find_map(variable);
    let url = url.filter(|_| variable("mode").is_some_and(|mode| mode == "http"));
    url.map(|url| format!(": does it listen at {url}?")).unwrap_or_default()
}
