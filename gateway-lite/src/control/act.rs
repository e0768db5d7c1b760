//! Does what was planned, one step after the other.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream,
};
use tokio::time::Instant;

use super::{
    Control,
    cell::{Cell, Life},
    plan::{Step, plan},
    replica::{Leaving, pause_after},
    scaling,
};
use crate::{
    error::{Error, Result},
    provider::{Order, State},
    registry::{Endpoint, Revision},
};

/// Instances that are made, started or removed at a time, for one function.
const AT_ONCE: usize = 8;

/// More rounds than any plan needs: making, starting, switching, removing.
const ROUNDS: usize = 20;

/// How long a call that had looked an endpoint up may take to count itself on it.
const UNCOUNTED: Duration = Duration::from_millis(250);

impl Control {
    /// Takes steps until none can be taken now. Needs the function's turn.
    pub(super) async fn settle(self: &Arc<Self>, cell: &Arc<Cell>) -> Result<()> {
        for _ in 0..ROUNDS {
            let steps = plan(&cell.view());
            if steps.is_empty() {
                return Ok(());
            }
            let acts = stream::iter(steps).map(|step| self.act(cell, step));
            let results: Vec<_> = acts.buffer_unordered(AT_ONCE).collect().await;
            results.into_iter().collect::<Result<()>>()?;
        }
        // It was changed from outside all the time; the loop goes on with it.
        self.nudge.notify_one();
        Ok(())
    }

    async fn act(self: &Arc<Self>, cell: &Arc<Cell>, step: Step) -> Result<()> {
        match step {
            Step::Create(revision) => self.create(cell, revision).await,
            Step::Start(id) => self.start_one(cell, &id).await,
            Step::Switch => {
                self.switch(cell);
                Ok(())
            }
            Step::Park(id) => self.dismiss(cell, &id, Leaving::ToPark).await,
            Step::Retire(id) => {
                let state = cell.known().replicas.get(&id).map(|one| one.instance.state.clone());
                if let Some(State::Running { .. }) = state {
                    return self.dismiss(cell, &id, Leaving::ForGood).await;
                }
                self.remove_one(cell, &id).await
            }
        }
    }

    async fn create(&self, cell: &Arc<Cell>, number: u64) -> Result<()> {
        let goal = cell.known().goal.clone().filter(|goal| goal.number == number);
        let revision: Arc<Revision> = goal.unwrap_or_else(|| cell.function.revision.load_full());
        let secrets = revision.spec.secrets.as_deref().unwrap_or_default();
        let order = Order {
            spec: Arc::clone(&revision.spec),
            function: cell.id().clone(),
            revision: revision.number,
            deployed: revision.deployed,
            secrets: self.secrets.files(cell.id().namespace(), secrets)?,
        };
        // What it is made from may have been cleaned away since it was deployed.
        self.provider.prepare(&order.spec).await?;
        let provider = Arc::clone(&self.provider);
        let made = cell.unfinished.spawn(async move { provider.create(&order).await }).await;
        let instance = made.map_err(|error| Error::Failed(format!("ended early: {error}")))??;
        cell.change(|known| {
            cell.observe(known, instance);
            known.touched = self.tick();
        });
        Ok(())
    }

    async fn start_one(&self, cell: &Arc<Cell>, id: &str) -> Result<()> {
        let started = self.provider.start(id).await;
        cell.change(|known| {
            known.touched = self.tick();
            match started {
                Ok(instance) => {
                    if let Some(replica) = known.replicas.get_mut(id) {
                        replica.is_dismissed = false;
                    }
                    cell.observe(known, instance);
                    Ok(())
                }
                Err(error) => {
                    if let Some(replica) = known.replicas.get_mut(id) {
                        let mut instance = replica.instance.clone();
                        instance.state = State::Parked;
                        cell.observe(known, instance);
                    }
                    Err(error)
                }
            }
        })
    }

    fn switch(&self, cell: &Arc<Cell>) {
        cell.change(|known| {
            let Some(goal) = known.goal.take() else { return };
            let desired = &cell.function.desired;
            // A call may have asked for a replica, or an alert for more, this very moment.
            let _ = desired.fetch_update(Ordering::AcqRel, Ordering::Acquire, |desired| {
                Some(scaling::after_update(&goal.policy, desired))
            });
            cell.function.revision.store(goal);
            if known.life == Life::Unborn {
                known.life = Life::Live;
            }
            (known.trouble, known.touched) = (None, self.tick());
        });
    }

    /// Ends an instance: at once for the next gateway, should this one be killed, and in the
    /// background for the calls that it has.
    async fn dismiss(self: &Arc<Self>, cell: &Arc<Cell>, id: &str, leaving: Leaving) -> Result<()> {
        let dismissed = self.provider.dismiss(id).await;
        let is_gone = matches!(dismissed, Err(Error::NotFound(_)));
        cell.change(|known| {
            known.touched = self.tick();
            if is_gone {
                known.replicas.remove(id);
            } else if let Some(replica) = known.replicas.get_mut(id) {
                // Also if nobody knows whether that was written.
                replica.is_dismissed = true;
            }
        });
        if !is_gone {
            dismissed?;
            self.send_away(cell, id, leaving);
        }
        Ok(())
    }

    /// Lets an instance finish its calls in the background, then ends it.
    fn send_away(self: &Arc<Self>, cell: &Arc<Cell>, id: &str, leaving: Leaving) {
        let endpoint = cell.withdraw(id, leaving);
        let unfinished = cell.unfinished.clone();
        let (this, cell, id) = (Arc::clone(self), Arc::clone(cell), id.to_owned());
        unfinished.spawn(async move {
            let limit = this.longest_call(&cell, &id);
            if let Some(endpoint) = endpoint {
                drain(&endpoint, limit).await;
            }
            let parked = this.provider.park(&id, this.settings.grace).await;
            let ended = match leaving {
                Leaving::ToPark => parked.map(|()| {
                    cell.change(|known| {
                        known.touched = this.tick();
                        if let Some(replica) = known.replicas.get_mut(&id) {
                            replica.leaving = None;
                            let mut instance = replica.instance.clone();
                            instance.state = State::Parked;
                            cell.observe(known, instance);
                        }
                    });
                }),
                // It goes, whether or not it wanted to end by itself.
                Leaving::ForGood => this.remove_one(&cell, &id).await,
            };
            if let Err(error) = ended {
                tracing::warn!("{}: replica {id} does not end: {error}", cell.id());
                cell.change(|known| {
                    known.failures += 1;
                    known.retry_at = Some(Instant::now() + pause_after(known.failures));
                    if let Some(replica) = known.replicas.get_mut(&id) {
                        replica.leaving = None;
                    }
                });
            }
            this.nudge.notify_one();
        });
    }

    /// Removes an instance at once.
    pub(super) async fn remove_one(&self, cell: &Arc<Cell>, id: &str) -> Result<()> {
        self.provider.remove(id).await?;
        cell.change(|known| {
            known.touched = self.tick();
            known.replicas.remove(id);
        });
        Ok(())
    }

    /// Removes all that a function has, after its calls. Needs the function's turn.
    pub(super) async fn clear(self: &Arc<Self>, cell: &Arc<Cell>) -> Result<()> {
        cell.change(|known| (known.life, known.goal) = (Life::Doomed, None));
        // Those that an update or another number of replicas sent away before have calls, too.
        let staying = cell.ids(|one| one.leaving.is_none());
        let one = |id: String| async move {
            let limit = self.longest_call(cell, &id);
            if let Some(endpoint) = cell.withdraw(&id, Leaving::ForGood) {
                drain(&endpoint, limit).await;
                // It goes, whether or not it wants to end by itself.
                let _ = self.provider.park(&id, self.settings.grace).await;
            }
            self.remove_one(cell, &id).await
        };
        cell.unfinished.close();
        let staying = join_all(staying.into_iter().map(one));
        let (removed, ()) = join(staying, cell.unfinished.wait()).await;
        removed.into_iter().collect::<Result<()>>()?;
        // Those that were to be parked, and those that did not go.
        for id in cell.ids(|_| true) {
            self.remove_one(cell, &id).await?;
        }
        // What a change made that was cut off.
        let all = self.provider.list().await?;
        let left = all.into_iter().filter(|instance| instance.function == *cell.id());
        for instance in left {
            self.provider.remove(&instance.id).await?;
        }
        Ok(())
    }

    /// The longest that calls under way on an instance are waited for: what its version allows.
    fn longest_call(&self, cell: &Cell, id: &str) -> Duration {
        let spec = cell.known().replicas.get(id).map(|one| Arc::clone(&one.instance.spec));
        let timeout = spec.and_then(|spec| super::policy_of(&spec).timeout);
        timeout.unwrap_or(self.settings.longest_call)
    }

    /// Says why a change failed that nobody waits for any more; until the next one that succeeds.
    pub(super) fn blame(cell: &Arc<Cell>, error: &Error) {
        tracing::warn!("{}: {error}", cell.id());
        cell.change(|known| {
            let what = if known.life == Life::Unborn {
                "it was not deployed"
            } else {
                "the last update failed"
            };
            known.trouble = Some(format!("{what}: {error}"));
        });
    }

    /// Says why the loop could not do what it should, once for each reason.
    pub(super) fn note(cell: &Arc<Cell>, error: &Error) {
        let is_news = cell.change(|known| {
            known.failures = known.failures.saturating_add(1);
            known.retry_at = Some(Instant::now() + pause_after(known.failures));
            known.trouble.replace(error.to_string()) != Some(error.to_string())
        });
        if is_news {
            tracing::warn!("{}: {error}", cell.id());
        }
    }
}

/// Waits until no call is under way on an endpoint that no new call can find, bounded.
async fn drain(endpoint: &Arc<Endpoint>, limit: Duration) {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    while begun.elapsed() < limit {
        // A call that holds it may not have counted itself yet.
        let is_ours = Arc::strong_count(endpoint) == 1 || begun.elapsed() > UNCOUNTED;
        if is_ours && endpoint.in_flight.load(Ordering::Acquire) == 0 {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
