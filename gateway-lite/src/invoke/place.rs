//! Waiting, bounded, until a function has a replica.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use modes::Deadline;
use tokio::time::timeout;

use super::Settings;
use crate::registry::{Endpoint, Function, Registry};

/// Why a call found no replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unplaced {
    /// The function was removed meanwhile.
    Gone,
    /// So many calls wait already.
    Crowded(usize),
    /// None was ready for so long.
    Late(Duration),
}

/// The replicas that take calls, at least one.
pub(super) async fn endpoints(
    registry: &Registry,
    function: &Function,
    settings: &Settings,
    deadline: Deadline,
) -> Result<Arc<Vec<Arc<Endpoint>>>, Unplaced> {
    let ready = function.endpoints.load_full();
    if !ready.is_empty() {
        return Ok(ready);
    }
    let waiting = &function.counts.waiting;
    if waiting.fetch_add(1, Ordering::AcqRel) >= settings.most_waiting {
        waiting.fetch_sub(1, Ordering::AcqRel);
        return Err(Unplaced::Crowded(settings.most_waiting));
    }
    let place = Place(function);
    let patience = settings.wait.min(deadline.remaining());
    let waited = timeout(patience, wait(registry, function)).await;
    drop(place);
    waited.unwrap_or(Err(Unplaced::Late(patience)))
}

/// One wake-up is shared by all that wait.
async fn wait(
    registry: &Registry,
    function: &Function,
) -> Result<Arc<Vec<Arc<Endpoint>>>, Unplaced> {
    loop {
        let mut changed = std::pin::pin!(function.changed.notified());
        // From here on no change is missed.
        changed.as_mut().enable();
        if function.is_gone() {
            return Err(Unplaced::Gone);
        }
        let ready = function.endpoints.load_full();
        if !ready.is_empty() {
            return Ok(ready);
        }
        registry.want(function);
        changed.await;
    }
}

/// A place among those that wait.
struct Place<'a>(&'a Function);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.counts.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
