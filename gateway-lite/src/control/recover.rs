//! Functions that a gateway before this one made: all there is to know is in their instances.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Control,
    cell::{Cell, Life},
    change::Change,
    policy_of,
};
use crate::{
    error::{Error, Result},
    function::FunctionId,
    promises::Promise,
    provider::{Instance, State},
    registry::{Function, Revision},
};

/// What serves, what is to take over, and how many are wanted.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    serving: u64,
    goal: Option<u64>,
    desired: u32,
}

/// Where several versions are there, a change was cut off. The eldest that runs serves: a newer
/// one takes over as soon as it is ready, as in any update, or is removed. What is wanted is what is
/// not parked.
fn found(instances: &[Instance]) -> Option<Found> {
    let highest = instances.iter().map(|one| one.revision).max()?;
    let is_running = |one: &&Instance| matches!(one.state, State::Running { .. });
    let is_up = |one: &&Instance| one.state != State::Parked;
    let eldest = |which: &dyn Fn(&&Instance) -> bool| {
        instances.iter().filter(which).map(|one| one.revision).min()
    };
    let serving = eldest(&is_running).or_else(|| eldest(&is_up)).or_else(|| eldest(&|_| true))?;
    let up =
        |revision| instances.iter().filter(is_up).filter(|one| one.revision == revision).count();
    let desired = instances.iter().map(|one| up(one.revision)).max()?;
    Some(Found {
        serving,
        goal: (highest != serving).then_some(highest),
        desired: u32::try_from(desired).unwrap_or(u32::MAX),
    })
}

impl Control {
    /// Makes a function known again, and finishes what was cut off.
    pub(super) fn recover(
        self: &Arc<Self>,
        id: FunctionId,
        instances: Vec<Instance>,
    ) -> Option<Arc<Cell>> {
        let found = found(&instances)?;
        let version = |number: u64| {
            let one = instances.iter().find(|one| one.revision == number)?;
            Some(Revision {
                number,
                policy: policy_of(&one.spec),
                spec: Arc::clone(&one.spec),
                deployed: one.deployed,
            })
        };
        let goal = found.goal.and_then(version);
        let function = Function::new(id.clone(), version(found.serving)?);
        function.desired.store(found.desired, Ordering::Release);
        let cell = Cell::new(function, Life::Live);
        // Before anybody can see it: an interrupted update is nobody else's to clear up.
        let turn = goal.as_ref().and_then(|_| Arc::clone(&cell.turn).try_lock_owned().ok());
        cell.change(|known| {
            for instance in instances {
                cell.observe(known, instance);
            }
        });
        self.cells().insert(id, Arc::clone(&cell));
        self.registry.insert(&cell.function);
        if let (Some(goal), Some(turn)) = (goal, turn) {
            let (this, cell) = (Arc::clone(self), Arc::clone(&cell));
            tokio::spawn(async move {
                tracing::info!("{}: an update that was cut off goes on", cell.id());
                if let Err(error) = this.roll(&cell, Arc::new(goal)).await {
                    Self::blame(&cell, &error);
                }
                drop(turn);
                this.nudge.notify_one();
            });
        }
        Some(cell)
    }

    /// Goes on with what a gateway before this one has promised, beside what instances show.
    pub(super) fn go_on(self: &Arc<Self>) -> Result<()> {
        let all = self.promises.all().map_err(|error| Error::Failed(error.to_string()))?;
        for (id, promise) in all {
            let cell = self.cells().get(&id).cloned();
            match (promise, cell) {
                (Promise::Remove, Some(cell)) => {
                    tracing::info!("{id}: its removal goes on");
                    cell.doom.send_replace(true);
                    cell.known().life = Life::Doomed;
                    self.tend_soon(&cell);
                }
                (Promise::Remove, None) => self.promises.keep(&id),
                (Promise::Deploy { .. }, Some(cell)) => {
                    // Some of its instances are made, and say the rest; maybe none was started yet.
                    let least = cell.function.revision.load().policy.min;
                    cell.function.desired.fetch_max(least, Ordering::AcqRel);
                    self.promises.keep(&id);
                    self.tend_soon(&cell);
                }
                (Promise::Deploy { spec, deployed }, None) => {
                    tracing::info!("{id}: its deployment goes on");
                    let (policy, spec) = (policy_of(&spec), Arc::new(*spec));
                    let revision = Revision { number: 1, spec, policy, deployed };
                    let (cell, turn) = self.conceive(Function::new(id, revision))?;
                    let this = Arc::clone(self);
                    tokio::spawn(async move {
                        let result = this.work(&cell, &Change::Deploy).await;
                        this.conclude(&cell, &Change::Deploy, &result, true);
                        drop(turn);
                        this.nudge.notify_one();
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn instances(all: &[(u64, State)]) -> Vec<Instance> {
        let instance = |(n, (revision, state)): (usize, &(u64, State))| Instance {
            id: n.to_string(),
            function: FunctionId::new("f", "n").unwrap(),
            spec: Arc::default(),
            revision: *revision,
            deployed: OffsetDateTime::UNIX_EPOCH,
            state: state.clone(),
            deaths: 0,
            last_death: None,
        };
        all.iter().enumerate().map(instance).collect()
    }

    #[test]
    fn instances_say_what_was_going_on() {
        let running = || State::Running { target: modes::proxy::Target::Unix("/s".into()) };
        let failing = || State::Failing { why: String::new() };
        let rows = [
            // As it should be; scaled to zero; crashed.
            (vec![(4, running()), (4, running())], (4, None, 2)),
            (vec![(4, State::Parked)], (4, None, 0)),
            (vec![(4, failing())], (4, None, 1)),
            // Cut off before the switch; after it; while the old one ended.
            (vec![(1, running()), (2, State::Parked)], (1, Some(2), 1)),
            (vec![(1, running()), (1, running()), (2, running())], (1, Some(2), 2)),
            (vec![(1, State::Parked), (2, running())], (2, None, 1)),
            // The old one did not run anyway.
            (vec![(1, failing()), (2, running())], (2, None, 1)),
            // An update of one that sleeps.
            (vec![(1, State::Parked), (2, State::Parked)], (1, Some(2), 0)),
        ];
        for (all, (serving, goal, desired)) in rows {
            let expected = Found { serving, goal, desired };
            assert_eq!(found(&instances(&all)), Some(expected), "{all:?}");
        }
        assert_eq!(found(&[]), None);
    }
}
