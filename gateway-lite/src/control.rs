//! Makes what is wanted true: the only writer of the registry, above any [`Provider`].
//!
//! A change (deploy, update, scale, remove) has its function's *turn*, so there is one at a time;
//! beside it one loop (`watch`) compares what the provider lists with what is wanted. Both
//! ask the same pure `plan` what to do next, again after every step. What calls see
//! follows from what is known of the instances (`cell`): those of the serving version that a probe
//! found ready.
//!
//! `plan` ▶ `scaling` ▶ `probe` ▶ `replica` ▶ `cell` ▶ `act` (steps) ▶ `roll` (versions) ▶ `change`
//! (turns, answers in time) ▶ `watch` (the loop), `recover`.

mod act;
mod cell;
mod change;
mod plan;
mod probe;
mod recover;
mod replica;
mod roll;
mod scaling;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver},
    task::JoinHandle,
    time::{Instant, timeout},
};

use self::{
    cell::{Cell, Life},
    change::{Change, Turn},
};
use crate::{
    error::{Error, Result},
    function::{FunctionId, FunctionSpec, NOT_YET, Policy, Usage},
    promises::{Promise, Promises},
    provider::{Instance, Provider, State},
    registry::{Function, Registry, Revision},
    secrets::Secrets,
};

/// The longest that whoever asks for a status waits for what its replicas use.
const USAGE: Duration = Duration::from_secs(3);

/// How patient the control plane is.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The longest that who asks for a change waits for its end; it goes on in the background.
    /// Also the longest it waits for its turn. Less than the 60 s that faas-cli waits.
    pub answer_within: Duration,
    /// The longest that a new version may take until it is ready.
    pub ready_within: Duration,
    /// The longest that calls under way are waited for, where the function sets no limit.
    pub longest_call: Duration,
    /// How long an instance that is asked to end may take, until it is killed.
    pub grace: Duration,
    /// How often the provider is asked though it said nothing.
    pub look_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(50),
            ready_within: Duration::from_secs(60),
            longest_call: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            look_every: Duration::from_secs(10),
        }
    }
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is done.
    Done,
    /// It takes long and goes on; what becomes of it will be seen at the function.
    InBackground,
}

/// Every function, and who makes it so.
#[derive(Debug)]
pub struct Control {
    provider: Arc<dyn Provider>,
    registry: Arc<Registry>,
    secrets: Arc<Secrets>,
    promises: Promises,
    settings: Settings,
    cells: Mutex<HashMap<FunctionId, Arc<Cell>>>,
    /// Functions that are gone, and when: an older list does not bring them back.
    gone: Mutex<HashMap<FunctionId, u64>>,
    /// Counts our own changes, so that an older list does not undo them.
    clock: AtomicU64,
    /// Wakes the loop.
    nudge: Notify,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Control {
    /// Recovers every function that the provider has instances of, goes on with what was promised,
    /// and keeps all as it should be until [`stop`](Self::stop).
    ///
    /// # Errors
    /// The provider's, when it cannot say what there is; [`Error::Failed`] when the promises cannot
    /// be read.
    pub async fn start(
        provider: Arc<dyn Provider>,
        registry: Arc<Registry>,
        asked: UnboundedReceiver<FunctionId>,
        secrets: Arc<Secrets>,
        promises: Promises,
        settings: Settings,
    ) -> Result<Arc<Self>> {
        let control = Arc::new(Self {
            provider,
            registry,
            secrets,
            promises,
            settings,
            cells: Mutex::default(),
            gone: Mutex::default(),
            clock: AtomicU64::new(1),
            nudge: Notify::new(),
            tasks: Mutex::default(),
        });
        let changes = control.provider.changes();
        let snapshot = control.clock.load(Ordering::Acquire);
        let all = control.provider.list().await?;
        control.compare(all, snapshot);
        control.go_on()?;
        let watching = tokio::spawn(Arc::clone(&control).watch(changes));
        let serving = tokio::spawn(Arc::clone(&control).wake_and_rest(asked));
        control.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend([watching, serving]);
        Ok(control)
    }

    /// Ends the loop. What runs goes on running; a change under way is found again by the next
    /// gateway.
    pub fn stop(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.drain(..).for_each(|task| task.abort());
    }

    /// Makes a function that is not there yet. It is known at once: calls wait until its replicas
    /// are ready. Done when these are started.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is there, or on its way, [`Error::Invalid`] for what cannot be,
    /// and the provider's; nothing is left behind.
    pub async fn deploy(self: &Arc<Self>, spec: FunctionSpec) -> Result<Accepted> {
        let revision = self.revision_of(spec, 1)?;
        let id = revision.spec.id()?;
        let there = self.cells().get(&id).cloned();
        if let Some(cell) = there {
            return Err(cell.is_taken());
        }
        let spec = Box::new(FunctionSpec::clone(&revision.spec));
        self.promises.make(&id, &Promise::Deploy { spec, deployed: revision.deployed })?;
        let (cell, turn) = self.conceive(Function::new(id, revision))?;
        self.carry_out(cell, turn, Change::Deploy).await
    }

    /// A function that is seen from now on, and is not there yet.
    fn conceive(&self, function: Function) -> Result<(Arc<Cell>, Turn)> {
        let cell = Cell::new(function, Life::Unborn);
        // Nobody else knows it yet.
        let turn = Arc::clone(&cell.turn).try_lock_owned().map_err(|_| busy(cell.id()))?;
        let image = &cell.function.revision.load().spec.image;
        let text = format!("{NOT_YET}{image} is being brought here");
        cell.change(|known| known.trouble = Some(text));
        self.cells().insert(cell.id().clone(), Arc::clone(&cell));
        self.registry.insert(&cell.function);
        Ok((cell, turn))
    }

    /// Puts another version in the place of the one that serves, without a gap. The same
    /// specification again is another version too: its image may be.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such function, [`Error::Conflict`] when it is still being
    /// deployed or another change of it takes too long, [`Error::Invalid`], and why the new version
    /// does not get ready: the old one serves on.
    pub async fn update(self: &Arc<Self>, spec: FunctionSpec) -> Result<Accepted> {
        let revision = self.revision_of(spec, 0)?;
        let (cell, turn) = self.take(&revision.spec.id()?).await?;
        let highest = cell.known().replicas.values().map(|one| one.instance.revision).max();
        let number = highest.unwrap_or(0).max(cell.serving()) + 1;
        let goal = Revision { number, deployed: OffsetDateTime::now_utc(), ..revision };
        self.carry_out(cell, turn, Change::Update(Arc::new(goal))).await
    }

    /// Ends a function: its calls first, as long as they may take. One that is still being deployed
    /// is not any more.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such function; the provider's, and then the loop goes
    /// on with it.
    pub async fn remove(self: &Arc<Self>, id: &FunctionId) -> Result<Accepted> {
        let cell = self.cell(id)?;
        self.promise_to_remove(id);
        // A change under way gives up.
        cell.doom.send_replace(true);
        let until = Instant::now() + self.settings.answer_within;
        let Ok(turn) = self.turn(&cell, until).await else {
            // The loop removes it when its turn has come.
            cell.known().life = Life::Doomed;
            return Ok(Accepted::InBackground);
        };
        if !self.cells().get(id).is_some_and(|there| Arc::ptr_eq(there, &cell)) {
            // Whatever had the turn has seen to it.
            return Ok(Accepted::Done);
        }
        self.carry_out(cell, turn, Change::Remove).await
    }

    /// So that the next gateway goes on with it. What cannot be written down is done all the same.
    fn promise_to_remove(&self, id: &FunctionId) {
        if let Err(error) = self.promises.make(id, &Promise::Remove) {
            tracing::error!("{error}");
        }
    }

    /// Sets how many replicas are wanted; 0 leaves one parked, as the record of the function. Fewer
    /// than its policy's least are fine, more than its most are refused: a limit that gives way
    /// silently is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] above the policy's most, [`Error::NotFound`], [`Error::Conflict`] when
    /// another change takes too long; the provider's, and then the loop goes on trying.
    pub async fn scale(self: &Arc<Self>, id: &FunctionId, replicas: u32) -> Result<Accepted> {
        let (cell, turn) = self.take(id).await?;
        let revision = cell.function.revision.load_full();
        let max = revision.policy.max;
        if replicas > max {
            let label = crate::function::policy::SCALE_MAX;
            let text = format!(
                "function {id} may have {max} replicas at most, not {replicas}: deploy it with a \
                 higher label {label}"
            );
            return Err(Error::Invalid(text));
        }
        if replicas > cell.function.desired.load(Ordering::Acquire) {
            // One that could not be made is better refused than wanted for ever.
            self.files_of(&revision)?;
        }
        self.carry_out(cell, turn, Change::Scale(replicas)).await
    }

    /// Takes an alert on a function's load, or its end, as more or fewer replicas wanted.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such function.
    pub fn alert(self: &Arc<Self>, id: &FunctionId, firing: bool) -> Result<()> {
        let cell = self.cell(id)?;
        let revision = cell.function.revision.load_full();
        // It never fails: what is wanted is always some number.
        let _ =
            cell.function.desired.fetch_update(Ordering::AcqRel, Ordering::Acquire, |desired| {
                Some(scaling::after_alert(&revision.policy, desired, firing))
            });
        self.tend_soon(&cell);
        Ok(())
    }

    /// What the replicas of a function use now; nothing for an unknown one. `None` when the
    /// provider does not say so in time: a part is not the sum.
    pub async fn usage(&self, id: &FunctionId) -> Option<Usage> {
        let running = self.instances(id).into_iter();
        let running = running.filter(|one| matches!(one.state, State::Running { .. }));
        let ask = |one: Instance| async move { self.provider.usage(&one.id).await };
        let all = timeout(USAGE, join_all(running.map(ask))).await.ok()?;
        let mut total = Usage::default();
        for usage in all {
            match usage {
                Ok(usage) => total += usage,
                // What is gone meanwhile uses nothing.
                Err(Error::NotFound(_)) => {}
                Err(error) => {
                    tracing::debug!("{id}: {error}");
                    return None;
                }
            }
        }
        Some(total)
    }

    /// Every instance of a function, of all its versions.
    #[must_use]
    pub fn instances(&self, id: &FunctionId) -> Vec<Instance> {
        let Some(cell) = self.cells().get(id).cloned() else { return Vec::new() };
        let known = cell.known();
        known.replicas.values().map(|replica| replica.instance.clone()).collect()
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<FunctionId, Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That of a function that the registry has.
    fn cell(&self, id: &FunctionId) -> Result<Arc<Cell>> {
        let registered = self.registry.get(id);
        let cell = self.cells().get(id).filter(|_| registered.is_some()).cloned();
        cell.ok_or_else(|| Error::NotFound(format!("no such function: {id}")))
    }

    /// Counts a change of ours.
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Nothing of it is left.
    fn forget(&self, cell: &Cell) {
        self.promises.keep(cell.id());
        self.gone().insert(cell.id().clone(), self.tick());
        self.registry.remove(cell.id());
        self.cells().remove(cell.id());
    }

    fn gone(&self) -> MutexGuard<'_, HashMap<FunctionId, u64>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks all that can be checked without the provider.
    fn revision_of(&self, spec: FunctionSpec, number: u64) -> Result<Revision> {
        spec.check()?;
        let policy = Policy::of(&spec)?;
        let deployed = OffsetDateTime::now_utc();
        let revision = Revision { number, spec: Arc::new(spec), policy, deployed };
        self.files_of(&revision)?;
        Ok(revision)
    }

    /// Finds all secrets that a version needs.
    fn files_of(&self, revision: &Revision) -> Result<()> {
        let Revision { spec, policy, .. } = revision;
        let secrets = spec.secrets.iter().flatten().cloned().chain(policy.key.clone());
        self.secrets.files(spec.namespace(), &secrets.collect::<Vec<_>>()).map(drop)
    }
}

fn busy(id: &FunctionId) -> Error {
    Error::Conflict(format!("function {id} is being changed by somebody else: try again later"))
}

/// The policy of what was deployed, maybe by a gateway with other rules: then the usual one.
fn policy_of(spec: &FunctionSpec) -> Policy {
    Policy::of(spec).unwrap_or_default()
}
