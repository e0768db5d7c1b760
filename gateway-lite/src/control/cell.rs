//! What is known about one function, and what calls see of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    plan::{Condition, Seen, View},
    probe, scaling,
};
use crate::{
    function::FunctionId,
    provider::{Instance, State},
    registry::{Endpoint, Function, Revision},
};

/// Pauses before something is tried again: doubled up to 30 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A replica that was ready for so long has no bad record any more.
const STEADY: Duration = Duration::from_secs(60);

/// The pause after `failures` of them.
pub(super) fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

/// Where a function is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Its first version never started: the loop leaves it alone.
    Unborn,
    /// The usual.
    Live,
    /// All of it has to go.
    Doomed,
}

/// One function: the turn of who changes it, and what is known.
#[derive(Debug)]
pub(super) struct Cell {
    /// What calls see.
    pub(super) function: Arc<Function>,
    /// Held while the function is changed.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// Changes with what is known.
    pub(super) news: watch::Sender<u64>,
    /// Set by who removes the function, so that a change under way ends.
    pub(super) doom: watch::Sender<bool>,
    known: Mutex<Known>,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Known {
    /// Where it is in its life.
    pub(super) life: Life,
    /// Every instance.
    pub(super) replicas: BTreeMap<String, Replica>,
    /// The version that is to take over.
    pub(super) goal: Option<Arc<Revision>>,
    /// When we last changed something ourselves, by the clock of [`super::Control`].
    pub(super) touched: u64,
    /// Why the last change failed.
    pub(super) trouble: Option<String>,
    /// How often in a row the loop failed, and when it may try again.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Calls begun when they were last counted, and when that number was new.
    calls: (u64, Instant),
}

/// One instance.
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
    stopped_by: Option<String>,
    ready_since: Option<Instant>,
    probe: Option<Probe>,
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
struct Probe(AbortHandle);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Replica {
    fn new(instance: Instance) -> Self {
        Self {
            instance,
            endpoint: None,
            leaving: None,
            is_dismissed: false,
            failures: 0,
            failing_since: None,
            stopped_by: None,
            ready_since: None,
            probe: None,
        }
    }

    /// When one that somebody else ended is started again.
    fn restart_at(&self) -> Option<Instant> {
        let ended = matches!(self.instance.state, State::Ended { .. });
        self.failing_since.filter(|_| ended).map(|since| since + pause_after(self.failures))
    }

    /// When to look again at one that failed and that the provider starts again by itself, or says
    /// so: it may have left it after all, of which it tells nobody (Docker, after `docker kill`, has it
    /// running for a moment longer than its end is told).
    fn look_at(&self) -> Option<Instant> {
        let is_doubtful = match self.instance.state {
            State::Failing { .. } => true,
            State::Running { .. } => self.endpoint.is_none() && self.stopped_by.is_some(),
            State::Ended { .. } | State::Parked => false,
        };
        is_doubtful.then(|| Instant::now() + pause_after(self.failures))
    }

    fn condition(&self) -> Condition {
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

    fn withdraw(&mut self) {
        (self.endpoint, self.probe, self.ready_since) = (None, None, None);
    }
}

impl Cell {
    /// One without instances.
    pub(super) fn new(function: Function, life: Life) -> Arc<Self> {
        Arc::new(Self {
            function: Arc::new(function),
            turn: Arc::default(),
            news: watch::Sender::new(0),
            doom: watch::Sender::new(false),
            known: Mutex::new(Known {
                life,
                replicas: BTreeMap::new(),
                goal: None,
                touched: 0,
                trouble: None,
                failures: 0,
                retry_at: None,
                calls: (0, Instant::now()),
            }),
        })
    }

    /// Its name.
    pub(super) fn id(&self) -> &FunctionId {
        &self.function.id
    }

    /// Held for a moment, never while something is waited for.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the function is to go.
    pub(super) async fn doomed(&self) {
        let mut doom = self.doom.subscribe();
        // The sender is ours; it is there as long as we are.
        let _ = doom.wait_for(|doomed| *doomed).await;
    }

    /// Changes what is known, and then what calls see of it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known();
        let result = change(&mut known);
        self.publish(&known);
        drop(known);
        self.news.send_modify(|news| *news += 1);
        result
    }

    /// Takes over what the provider said about one instance, new or known.
    pub(super) fn observe(self: &Arc<Self>, known: &mut Known, instance: Instance) {
        let id = instance.id.clone();
        let replica =
            known.replicas.entry(id.clone()).or_insert_with(|| Replica::new(instance.clone()));
        let before = std::mem::replace(&mut replica.instance, instance);
        let deaths = replica.instance.deaths.saturating_sub(before.deaths);
        let both_run = [&before.state, &replica.instance.state]
            .iter()
            .all(|state| matches!(state, State::Running { .. }));
        if deaths > 0 && both_run {
            // It died and runs again, and nobody saw it lie there.
            replica.withdraw();
            replica.failures =
                replica.failures.saturating_add(u32::try_from(deaths).unwrap_or(u32::MAX));
            let how = replica.instance.last_death.clone();
            let died = || "it ended, and was started again".to_owned();
            replica.stopped_by = how.or_else(|| replica.stopped_by.take()).or_else(|| Some(died()));
        }
        match replica.instance.state.clone() {
            State::Running { target } => {
                replica.failing_since = None;
                if before.state != replica.instance.state {
                    replica.withdraw();
                }
                if replica.ready_since.is_some_and(|since| since.elapsed() > STEADY) {
                    (replica.failures, replica.stopped_by) = (0, None);
                }
                if replica.endpoint.is_none()
                    && replica.probe.is_none()
                    && replica.leaving.is_none()
                {
                    let endpoint = Endpoint::new(id, replica.instance.revision, target);
                    let probing = Arc::clone(self).probe(endpoint, &replica.instance);
                    replica.probe = Some(Probe(tokio::spawn(probing).abort_handle()));
                }
            }
            State::Failing { why } | State::Ended { why } => {
                replica.withdraw();
                replica.stopped_by = Some(why);
                if replica.failing_since.is_none() {
                    replica.failures = replica.failures.saturating_add(1);
                    replica.failing_since = Some(Instant::now());
                }
            }
            State::Parked => {
                replica.withdraw();
                (replica.failures, replica.failing_since, replica.stopped_by) = (0, None, None);
            }
        }
    }

    /// Makes `endpoint` one that takes calls as soon as it does.
    fn probe(
        self: Arc<Self>,
        endpoint: Endpoint,
        instance: &Instance,
    ) -> impl Future<Output = ()> + use<> {
        let policy = super::policy_of(&instance.spec);
        async move {
            probe::ready(endpoint.target.clone(), &policy).await;
            self.change(|known| {
                if let Some(replica) = known.replicas.get_mut(&endpoint.instance)
                    && replica.leaving.is_none()
                    && matches!(&replica.instance.state, State::Running { target } if *target == endpoint.target)
                {
                    replica.ready_since = Some(Instant::now());
                    replica.endpoint = Some(Arc::new(endpoint));
                    replica.probe = None;
                }
            });
        }
    }

    /// Takes an instance away from new calls. Returns what those under way are counted on.
    pub(super) fn withdraw(&self, id: &str, leaving: Leaving) -> Option<Arc<Endpoint>> {
        self.change(|known| {
            let replica = known.replicas.get_mut(id)?;
            replica.leaving = Some(leaving);
            let endpoint = replica.endpoint.take();
            replica.withdraw();
            endpoint
        })
    }

    /// What [`super::plan`] needs to know.
    pub(super) fn view(&self) -> View {
        let known = self.known();
        let desired = self.function.desired.load(Ordering::Acquire);
        let needed = |goal: &Arc<Revision>| {
            (goal.number, scaling::after_update(&goal.policy, desired).max(1))
        };
        let there = known.replicas.values().filter(|one| one.leaving != Some(Leaving::ForGood));
        let seen = |replica: &Replica| Seen {
            id: replica.instance.id.clone(),
            revision: replica.instance.revision,
            condition: replica.condition(),
        };
        View {
            serving: self.serving(),
            desired,
            goal: known.goal.as_ref().map(needed),
            instances: there.map(seen).collect(),
        }
    }

    /// The names of some of the instances.
    pub(super) fn ids(&self, which: impl FnMut(&&Replica) -> bool) -> Vec<String> {
        let known = self.known();
        known.replicas.values().filter(which).map(|one| one.instance.id.clone()).collect()
    }

    /// The version that serves.
    pub(super) fn serving(&self) -> u64 {
        self.function.revision.load().number
    }

    /// When the loop has something to do here that nobody will tell it of.
    pub(super) fn due(&self) -> Option<Instant> {
        let known = self.known();
        let restarts = known.replicas.values().filter_map(Replica::restart_at);
        let looks = known.replicas.values().filter_map(Replica::look_at);
        restarts.chain(looks).chain(known.retry_at).min()
    }

    /// How long no call has begun.
    pub(super) fn idle(&self) -> Duration {
        let started = self.function.counts.started();
        let mut known = self.known();
        if known.calls.0 != started {
            known.calls = (started, Instant::now());
        }
        known.calls.1.elapsed()
    }

    /// Nobody has called yet, as far as sleeping is concerned: it was just woken or made.
    pub(super) fn stay_awake(&self) {
        self.known().calls.1 = Instant::now();
    }

    /// Calls that wait ask once more: who heard them the first time has stopped acting on it.
    pub(super) fn ask_again(&self) {
        self.function.blame(self.function.problem.load().as_deref().cloned());
    }

    fn publish(&self, known: &Known) {
        let serving = self.serving();
        let ready = known.replicas.values().filter(|one| one.leaving.is_none());
        let ready = ready.filter_map(|one| one.endpoint.clone());
        let ready: Vec<_> = ready.filter(|endpoint| endpoint.revision == serving).collect();
        let before = self.function.endpoints.load();
        let is_same = before.len() == ready.len()
            && before.iter().zip(&ready).all(|(a, b)| Arc::ptr_eq(a, b));
        let is_served = !ready.is_empty();
        if !is_same {
            self.function.serve_by(ready);
        }
        let failing = known.replicas.values().filter(|one| one.instance.revision == serving);
        let failing = failing.filter(|_| !is_served).find_map(Replica::complaint);
        let failing = failing.map(|why| format!("no replica runs: {why}"));
        let trouble: Vec<_> = failing.into_iter().chain(known.trouble.clone()).collect();
        let trouble = (!trouble.is_empty()).then(|| trouble.join("; "));
        if self.function.problem.load().as_deref() != trouble.as_ref() {
            self.function.blame(trouble);
        }
    }
}
