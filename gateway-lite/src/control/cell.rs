//! What is known about one function, and what calls see of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    plan::{Seen, View},
    probe,
    replica::{Leaving, Probe, Replica, hint},
    scaling,
};
use crate::{
    error::Error,
    function::FunctionId,
    provider::{Instance, State},
    registry::{Endpoint, Function, Revision},
};

/// A replica that was ready for so long has no bad record any more.
const STEADY: Duration = Duration::from_secs(60);

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
    /// What goes on without the change that began it: instances that are being made, and replicas
    /// that finish their calls, to be parked or removed then.
    pub(super) unfinished: TaskTracker,
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

impl Cell {
    /// One without instances.
    pub(super) fn new(function: Function, life: Life) -> Arc<Self> {
        Arc::new(Self {
            function: Arc::new(function),
            turn: Arc::default(),
            news: watch::Sender::new(0),
            doom: watch::Sender::new(false),
            unfinished: TaskTracker::new(),
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

    /// Whether its first version is being brought into service right now.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.known().life == Life::Unborn && self.turn.try_lock().is_err()
    }

    /// Why there cannot be another function of this name now.
    pub(super) fn is_taken(&self) -> Error {
        let id = self.id();
        Error::Conflict(if *self.doom.borrow() || self.known().life == Life::Doomed {
            format!("function {id} is being removed: try again when it is gone")
        } else if self.is_on_its_way() {
            let what = self.function.problem.load();
            let what = what.as_deref().map(|what| format!(" ({what})")).unwrap_or_default();
            format!("function {id} is not deployed yet{what}: wait for it, or remove it first")
        } else {
            format!("function {id} is there already: update it, or remove it first")
        })
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
        let hint = hint(&instance.spec);
        async move {
            let explain = |why: String| self.explain(&endpoint, why + &hint);
            probe::ready(endpoint.target.clone(), &policy, explain).await;
            self.change(|known| {
                if let Some(replica) = known.replicas.get_mut(&endpoint.instance)
                    && replica.leaving.is_none()
                    && matches!(&replica.instance.state, State::Running { target } if *target == endpoint.target)
                {
                    replica.ready_since = Some(Instant::now());
                    replica.endpoint = Some(Arc::new(endpoint));
                    (replica.probe, replica.waits_for) = (None, None);
                }
            });
        }
    }

    /// Notes why a replica is not ready.
    fn explain(&self, endpoint: &Endpoint, why: String) {
        let is_news = |known: &Known| {
            let replica = known.replicas.get(&endpoint.instance);
            replica.is_some_and(|replica| replica.waits_for.as_ref() != Some(&why))
        };
        if is_news(&self.known()) {
            self.change(|known| {
                if let Some(replica) = known.replicas.get_mut(&endpoint.instance) {
                    replica.waits_for = Some(why);
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
        let of_serving =
            || known.replicas.values().filter(|one| one.instance.revision == serving && !is_served);
        // What is the matter now says more than why it was started anew.
        let waiting = of_serving().find_map(Replica::delay);
        let failing = of_serving().find_map(Replica::complaint);
        let failing = failing.map(|why| format!("no replica runs: {why}"));
        let trouble: Vec<_> =
            waiting.or(failing).into_iter().chain(known.trouble.clone()).collect();
        let trouble = (!trouble.is_empty()).then(|| trouble.join("; "));
        if self.function.problem.load().as_deref() != trouble.as_ref() {
            self.function.blame(trouble);
        }
    }
}
