//! A call's hold on its function and replica: counted while it lasts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::StatusCode;
use watchdog::account::Witness;

use crate::registry::{Endpoint, Function};

/// Cloned, it is the same hold; the call's entry has one to the end.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    function: Arc<Function>,
    endpoint: ArcSwapOption<Endpoint>,
}

/// Where the search for the least busy replica begins, so that equals have their turn.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl Lease {
    /// One more call of `function`.
    pub(super) fn begin(function: &Arc<Function>) -> Self {
        function.counts.started.fetch_add(1, Ordering::Relaxed);
        function.counts.in_flight.fetch_add(1, Ordering::AcqRel);
        let held = Held { function: Arc::clone(function), endpoint: ArcSwapOption::empty() };
        Self { held: Arc::new(held) }
    }

    /// Holds the replica with the fewest calls; of equals the next in turn.
    pub(super) fn pick<'a>(&self, endpoints: &'a [Arc<Endpoint>]) -> Option<&'a Endpoint> {
        let start = match endpoints.len() {
            0 => return None,
            1 => 0,
            count => TURN.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (before, after) = endpoints.split_at(start);
        self.hold(after.iter().chain(before))
    }

    /// Holds another replica instead: no connection could be made to the present one.
    pub(super) fn pick_another<'a>(&self, endpoints: &'a [Arc<Endpoint>]) -> Option<&'a Endpoint> {
        let present = self.held.endpoint.load();
        let is_present = |endpoint: &Arc<Endpoint>| {
            present.as_ref().is_some_and(|present| Arc::ptr_eq(present, endpoint))
        };
        let another = self.hold(endpoints.iter().filter(|endpoint| !is_present(endpoint)))?;
        self.held.function.counts.retried.fetch_add(1, Ordering::Relaxed);
        Some(another)
    }

    fn hold<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Arc<Endpoint>>,
    ) -> Option<&'a Endpoint> {
        let least = candidates.min_by_key(|endpoint| endpoint.in_flight.load(Ordering::Relaxed))?;
        least.in_flight.fetch_add(1, Ordering::AcqRel);
        release(self.held.endpoint.swap(Some(Arc::clone(least))));
        Some(least)
    }
}

fn release(endpoint: Option<Arc<Endpoint>>) {
    if let Some(endpoint) = endpoint {
        endpoint.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        release(self.endpoint.swap(None));
        self.function.counts.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Witness for Lease {
    fn ended(self: Box<Self>, status: StatusCode, took: Duration) {
        self.held.function.counts.answered(status, took);
    }
}

#[cfg(test)]
mod tests {
    use modes::proxy::Target;
    use time::OffsetDateTime;

    use super::*;
    use crate::{
        function::{FunctionId, Policy},
        registry::Revision,
    };

    fn function() -> Arc<Function> {
        let revision = Revision {
            number: 1,
            spec: Arc::default(),
            policy: Policy::default(),
            deployed: OffsetDateTime::UNIX_EPOCH,
        };
        Arc::new(Function::new(FunctionId::new("f", "n").unwrap(), revision))
    }

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        let target = |port| Target::Tcp { host: "127.0.0.1".to_owned(), port };
        (0..count).map(|n| Arc::new(Endpoint::new(n.to_string(), 1, target(n)))).collect()
    }

    fn busy(endpoints: &[Arc<Endpoint>]) -> Vec<usize> {
        endpoints.iter().map(|endpoint| endpoint.in_flight.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn the_least_busy_replica_is_picked() {
        let (function, endpoints) = (function(), endpoints(3));
        let leases: Vec<_> = (0..7)
            .map(|_| {
                let lease = Lease::begin(&function);
                lease.pick(&endpoints).unwrap();
                lease
            })
            .collect();
        let mut load = busy(&endpoints);
        load.sort_unstable();
        assert_eq!(load, [2, 2, 3]);
        drop(leases);
        assert_eq!(busy(&endpoints), [0, 0, 0]);
        assert!(function.counts.is_idle());
    }

    #[test]
    fn another_replica_is_another_one() {
        let (function, endpoints) = (function(), endpoints(2));
        let lease = Lease::begin(&function);
        let first = lease.pick(&endpoints).unwrap().instance.clone();
        assert_ne!(lease.pick_another(&endpoints).unwrap().instance, first);
        assert_eq!(busy(&endpoints).iter().sum::<usize>(), 1);
        assert!(lease.pick_another(&endpoints[..0]).is_none());
        assert_eq!(function.counts.retried.load(Ordering::Relaxed), 1);
    }
}
