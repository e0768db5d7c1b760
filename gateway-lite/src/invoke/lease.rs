//! A call's hold on its function and replica: counted while it lasts.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use watchdog::account::Witness;

use crate::registry::{Endpoint, Function};

/// Shared with the call's entry, which has it to the end.
#[derive(Debug)]
pub(super) struct Lease {
    function: Arc<Function>,
    first: OnceLock<Arc<Endpoint>>,
    /// Instead of the first: no connection could be made to that.
    second: OnceLock<Arc<Endpoint>>,
}

/// Where the search for the least busy replica begins, so that equals have their turn.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl Lease {
    /// One more call of `function`.
    pub(super) fn begin(function: Arc<Function>) -> Arc<Self> {
        function.counts.begin();
        Arc::new(Self { function, first: OnceLock::new(), second: OnceLock::new() })
    }

    /// What is called.
    pub(super) fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// Holds the replica with the fewest calls; of equals the next in turn.
    pub(super) fn pick(&self, endpoints: &[Arc<Endpoint>]) -> Option<&Endpoint> {
        let start = match endpoints.len() {
            0 => return None,
            1 => 0,
            count => TURN.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (before, after) = endpoints.split_at(start);
        Some(hold(&self.first, after.iter().chain(before))?)
    }

    /// Whether another replica was tried instead of the first one.
    pub(super) fn is_second(&self) -> bool {
        self.second.get().is_some()
    }

    /// Holds another replica instead, once: no connection could be made to the first one.
    pub(super) fn pick_another(&self, endpoints: &[Arc<Endpoint>]) -> Option<&Endpoint> {
        if self.is_second() {
            return None;
        }
        let first = self.first.get();
        let is_first =
            |endpoint: &Arc<Endpoint>| first.is_some_and(|first| Arc::ptr_eq(first, endpoint));
        let second = hold(&self.second, endpoints.iter().filter(|endpoint| !is_first(endpoint)))?;
        release(first);
        self.function.counts.retried.fetch_add(1, Ordering::Relaxed);
        Some(second)
    }
}

/// Holds the least busy of these.
fn hold<'a, 'b>(
    place: &'a OnceLock<Arc<Endpoint>>,
    candidates: impl Iterator<Item = &'b Arc<Endpoint>>,
) -> Option<&'a Arc<Endpoint>> {
    let least = candidates.min_by_key(|endpoint| endpoint.in_flight.load(Ordering::Relaxed))?;
    least.in_flight.fetch_add(1, Ordering::AcqRel);
    Some(place.get_or_init(|| Arc::clone(least)))
}

fn release(endpoint: Option<&Arc<Endpoint>>) {
    if let Some(endpoint) = endpoint {
        endpoint.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        release(self.second.get().or(self.first.get()));
        self.function.counts.end();
    }
}

impl Witness for Lease {
    fn ended(&self, status: StatusCode, took: Duration) {
        self.function.counts.answered(status, took);
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
                let lease = Lease::begin(Arc::clone(&function));
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
        let lease = Lease::begin(Arc::clone(&function));
        let first = lease.pick(&endpoints).unwrap().instance.clone();
        assert_ne!(lease.pick_another(&endpoints).unwrap().instance, first);
        assert_eq!(busy(&endpoints).iter().sum::<usize>(), 1);
        assert!(lease.pick_another(&endpoints).is_none(), "once is enough");
        assert_eq!(function.counts.retried.load(Ordering::Relaxed), 1);
    }
}
