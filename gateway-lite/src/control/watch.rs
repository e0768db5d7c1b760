//! The loop: what there is, beside what is wanted.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Control,
    cell::{Cell, Life},
    plan::plan,
    replica::pause_after,
    scaling::{self, Load},
};
use crate::{function::FunctionId, provider::Instance};

/// Between two lists: what changes in a burst is looked at once.
const BREATH: Duration = Duration::from_millis(20);

/// How often idle functions are looked for: ten times within the shortest time that one may be
/// idle, within these bounds.
const REST_BOUNDS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

impl Control {
    /// Lists and compares whenever there may be a reason.
    pub(super) async fn watch(self: Arc<Self>, mut changes: watch::Receiver<u64>) {
        let mut failures = 0_u32;
        let mut is_open = true;
        loop {
            let snapshot = self.clock.load(Ordering::Acquire);
            let mut next = Instant::now() + self.settings.look_every;
            match self.provider.list().await {
                Ok(all) => {
                    if failures > 0 {
                        tracing::info!("the provider answers again");
                    }
                    failures = 0;
                    let due = self.compare(all, snapshot);
                    next = due.map_or(next, |due| due.min(next));
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!("the provider does not answer, calls go on: {error}");
                    }
                    failures = failures.saturating_add(1);
                    next = next.min(Instant::now() + pause_after(failures));
                }
            }
            sleep(BREATH).await;
            tokio::select! {
                changed = changes.changed(), if is_open => is_open = changed.is_ok(),
                () = self.nudge.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Takes over a list that was begun at `snapshot` of our clock, and starts what has to be done.
    /// Says when to look again at the latest.
    pub(super) fn compare(self: &Arc<Self>, all: Vec<Instance>, snapshot: u64) -> Option<Instant> {
        let mut by_function: HashMap<FunctionId, Vec<Instance>> = HashMap::new();
        for instance in all {
            by_function.entry(instance.function.clone()).or_default().push(instance);
        }
        let mut cells: Vec<_> = self.cells().values().cloned().collect();
        let mut next = None;
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |next: Instant| next.min(at)));
        for cell in &cells {
            let instances = by_function.remove(cell.id()).unwrap_or_default();
            if !Self::take_over(cell, instances, snapshot) {
                sooner(Instant::now() + BREATH);
            }
        }
        // Made by a gateway before this one, or by one beside it.
        for (id, instances) in by_function {
            if self.gone().get(&id).is_none_or(|at| *at <= snapshot) {
                cells.extend(self.recover(id, instances));
            }
        }
        self.gone().retain(|_, at| *at > snapshot);
        for cell in &cells {
            cell.due().into_iter().for_each(&mut sooner);
            self.tend_soon(cell);
        }
        next
    }

    /// What the provider says of one function; not if that is older than what we did ourselves.
    fn take_over(cell: &Arc<Cell>, instances: Vec<Instance>, snapshot: u64) -> bool {
        if cell.known().touched > snapshot {
            return false;
        }
        cell.change(|known| {
            known.replicas.retain(|id, _| instances.iter().any(|instance| instance.id == *id));
            for instance in instances {
                cell.observe(known, instance);
            }
        });
        true
    }

    /// Does in the background what has to be done for a function, unless somebody is at it.
    pub(super) fn tend_soon(self: &Arc<Self>, cell: &Arc<Cell>) {
        if !is_needed(cell) {
            return;
        }
        let Ok(mut turn) = Arc::clone(&cell.turn).try_lock_owned() else { return };
        let (this, cell) = (Arc::clone(self), Arc::clone(cell));
        tokio::spawn(async move {
            while is_needed(&cell) {
                let is_doomed = cell.known().life == Life::Doomed;
                let done =
                    if is_doomed { this.clear(&cell).await } else { this.settle(&cell).await };
                match done {
                    Ok(()) if is_doomed => {
                        this.forget(&cell);
                        break;
                    }
                    Ok(()) => cell.change(|known| {
                        if known.retry_at.take().is_some() {
                            (known.failures, known.trouble) = (0, None);
                        }
                    }),
                    Err(error) => Self::note(&cell, &error),
                }
                drop(turn);
                // What was asked for while we had the turn is ours to do.
                let Ok(again) = Arc::clone(&cell.turn).try_lock_owned() else { break };
                turn = again;
            }
            this.nudge.notify_one();
        });
    }

    /// Wakes functions that are called, lets those sleep that are not.
    pub(super) async fn wake_and_rest(self: Arc<Self>, mut asked: UnboundedReceiver<FunctionId>) {
        loop {
            tokio::select! {
                id = asked.recv() => match id {
                    Some(id) => self.wake(&id),
                    // The registry is gone, and with it all calls.
                    None => return,
                },
                () = sleep(self.rest_pause()) => self.rest(),
            }
        }
    }

    fn wake(self: &Arc<Self>, id: &FunctionId) {
        let Ok(cell) = self.cell(id) else { return };
        let least = cell.function.revision.load().policy.min.max(1);
        let desired = &cell.function.desired;
        if desired.compare_exchange(0, least, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            cell.stay_awake();
        }
        self.tend_soon(&cell);
    }

    fn rest_pause(&self) -> Duration {
        let cells = self.cells();
        let idle =
            cells.values().filter_map(|cell| cell.function.revision.load().policy.idle).min();
        let (least, most) = REST_BOUNDS;
        idle.map_or(most, |idle| (idle / 10).clamp(least, most))
    }

    fn rest(self: &Arc<Self>) {
        let cells: Vec<_> = self.cells().values().cloned().collect();
        for cell in cells {
            let revision = cell.function.revision.load_full();
            let desired = cell.function.desired.load(Ordering::Acquire);
            let is_live = cell.known().life == Life::Live;
            if revision.policy.idle.is_none() || desired == 0 || !is_live {
                continue;
            }
            let counts = &cell.function.counts;
            let busy = counts.in_flight() + counts.waiting.load(Ordering::Acquire);
            let load = Load { idle: cell.idle(), under_way: busy };
            let wanted = scaling::decide(&revision.policy, desired, load);
            if wanted != desired {
                tracing::info!("{} is idle", cell.id());
                let order = (Ordering::AcqRel, Ordering::Acquire);
                // If somebody wants another number by now, that is it.
                let _ = cell.function.desired.compare_exchange(desired, wanted, order.0, order.1);
                cell.ask_again();
                self.tend_soon(&cell);
            }
        }
    }
}

/// Whether something can be done now.
fn is_needed(cell: &Cell) -> bool {
    let known = cell.known();
    if known.retry_at.is_some_and(|at| at > Instant::now()) {
        return false;
    }
    let life = known.life;
    drop(known);
    match life {
        Life::Unborn => false,
        Life::Doomed => true,
        Life::Live => !plan(&cell.view()).is_empty(),
    }
}
