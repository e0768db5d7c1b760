//! One change of one function at a time, and an answer in time.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    sync::{OwnedMutexGuard, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Accepted, Control, busy,
    cell::{Cell, Life},
};
use crate::{
    error::{Error, Result},
    function::FunctionId,
    registry::Revision,
};

/// The right to change a function.
pub(super) type Turn = OwnedMutexGuard<()>;

/// What somebody asked for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The first version.
    Deploy,
    /// Another version.
    Update(Arc<Revision>),
    /// Another number of replicas.
    Scale(u32),
    /// The end.
    Remove,
}

impl Control {
    /// The turn at a function, waited for until `until`.
    pub(super) async fn turn(&self, cell: &Cell, until: Instant) -> Result<Turn> {
        let turn = timeout_at(until, Arc::clone(&cell.turn).lock_owned()).await;
        turn.map_err(|_| busy(cell.id()))
    }

    /// A function that is there, and its turn.
    pub(super) async fn take(&self, id: &FunctionId) -> Result<(Arc<Cell>, Turn)> {
        let cell = self.cell(id)?;
        if cell.is_on_its_way() {
            // That may take minutes, and end in nothing.
            return Err(cell.is_taken());
        }
        let turn = self.turn(&cell, Instant::now() + self.settings.answer_within).await?;
        // It may have been removed while we waited, and another one made.
        if !Arc::ptr_eq(&self.cell(id)?, &cell) || *cell.doom.borrow() {
            return Err(busy(id));
        }
        Ok((cell, turn))
    }

    /// Makes a change, whether or not who asked for it stays to hear about it.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        cell: Arc<Cell>,
        turn: Turn,
        change: Change,
    ) -> Result<Accepted> {
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut work = pin!(this.work(&cell, &change));
            let (result, answer) = match timeout(this.settings.answer_within, &mut work).await {
                Ok(result) => (result, Some(answer)),
                Err(_) => {
                    // Nobody may be there to hear it; the work goes on.
                    let _ = answer.send(Ok(Accepted::InBackground));
                    (work.await, None)
                }
            };
            this.conclude(&cell, &change, &result, answer.is_none());
            // Before the answer: who has it may ask for the next change.
            drop(turn);
            this.nudge.notify_one();
            if let Some(answer) = answer {
                let _ = answer.send(result.map(|()| Accepted::Done));
            }
        });
        answered.await.unwrap_or_else(|_| {
            Err(Error::Unavailable("the gateway stops: try again later".to_owned()))
        })
    }

    pub(super) async fn work(self: &Arc<Self>, cell: &Arc<Cell>, change: &Change) -> Result<()> {
        match change {
            Change::Deploy => self.begin(cell).await,
            Change::Update(goal) => self.roll(cell, Arc::clone(goal)).await,
            Change::Scale(replicas) => {
                cell.function.desired.store(*replicas, Ordering::Release);
                cell.stay_awake();
                if *replicas == 0 {
                    cell.ask_again();
                }
                tokio::select! {
                    settled = self.settle(cell) => settled,
                    () = cell.doomed() => Err(busy(cell.id())),
                }
            }
            Change::Remove => self.clear(cell).await,
        }
    }

    /// Nothing is promised any more, unless somebody has begun to remove it.
    fn is_deployed(&self, cell: &Cell) {
        if !*cell.doom.borrow() {
            self.promises.keep(cell.id());
        }
    }

    pub(super) fn conclude(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        change: &Change,
        result: &Result<()>,
        is_late: bool,
    ) {
        match (change, result) {
            (Change::Deploy, Ok(())) => {
                cell.change(|known| known.trouble = None);
                self.is_deployed(cell);
            }
            // Who removes it goes on with it.
            (Change::Deploy, Err(_)) if *cell.doom.borrow() => {}
            (Change::Deploy, Err(_)) if !is_late => {
                if cell.known().replicas.is_empty() {
                    self.forget(cell);
                } else {
                    // The loop clears up.
                    self.promise_to_remove(cell.id());
                    cell.known().life = Life::Doomed;
                }
            }
            (Change::Remove, Ok(())) => self.forget(cell),
            (_, Ok(())) => {
                if matches!(change, Change::Update(_)) {
                    // It may have taken the place of a first version that failed.
                    self.is_deployed(cell);
                }
                cell.change(|known| {
                    (known.trouble, known.failures, known.retry_at) = (None, 0, None);
                });
            }
            (Change::Update(_), Err(error)) if !is_late => {
                tracing::warn!("{} is not updated: {error}", cell.id());
            }
            (Change::Deploy | Change::Update(_), Err(error)) => Self::blame(cell, error),
            (_, Err(error)) => Self::note(cell, error),
        }
    }
}
