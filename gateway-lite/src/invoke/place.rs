//! Waiting, bounded, until a function has a replica.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use modes::Deadline;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Settings, lease::Lease};
use crate::registry::{Endpoint, Function, Registry};

/// How long the end of a replica may take to be noticed: one that refuses connections and is said
/// to run for longer does so for a reason that waiting does not mend.
const UNNOTICED: Duration = Duration::from_secs(2);

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
    let place = Place::take(function, settings)?;
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

/// Another replica than the one that no connection could be made to: one there is, or the one that
/// is started in the place of a lone one that has just died.
pub(super) async fn another<'a>(
    registry: &Registry,
    lease: &'a Lease,
    settings: &Settings,
    deadline: Deadline,
) -> Option<&'a Endpoint> {
    let function = lease.function();
    if lease.is_second() {
        return None;
    }
    if let Some(other) = lease.pick_another(&function.endpoints.load()) {
        return Some(other);
    }
    let _place = Place::take(function, settings).ok()?;
    let begun = Instant::now();
    let until = begun + settings.wait.min(deadline.remaining());
    loop {
        let mut changed = std::pin::pin!(function.changed.notified());
        // From here on no change is missed.
        changed.as_mut().enable();
        if function.is_gone() {
            return None;
        }
        let ready = function.endpoints.load_full();
        if let Some(other) = lease.pick_another(&ready) {
            return Some(other);
        }
        let until = if ready.is_empty() {
            registry.want(function);
            until
        } else {
            until.min(begun + UNNOTICED)
        };
        timeout_at(until, changed).await.ok()?;
    }
}

/// A place among those that wait.
struct Place<'a>(&'a Function);

impl<'a> Place<'a> {
    fn take(function: &'a Function, settings: &Settings) -> Result<Self, Unplaced> {
        let waiting = &function.counts.waiting;
        if waiting.fetch_add(1, Ordering::AcqRel) >= settings.most_waiting {
            waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Unplaced::Crowded(settings.most_waiting));
        }
        Ok(Self(function))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.counts.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
