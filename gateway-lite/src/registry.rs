//! Name → version, endpoints, counts: the only state that calls share, read without a lock.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use modes::proxy::{Proxy, Target};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};

use crate::{
    counts::Counts,
    function::{DEFAULT_NAMESPACE, FunctionId, FunctionSpec, Policy},
};

/// Every function, by the names that callers use.
type Table = HashMap<Box<str>, Arc<Function>>;

/// All functions. Changed by copying, so that a call that reads never waits.
#[derive(Debug)]
pub struct Registry {
    table: ArcSwap<Table>,
    wanted: mpsc::UnboundedSender<FunctionId>,
}

impl Registry {
    /// An empty one, and where the names of functions come out that are called but have no replica.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<FunctionId>) {
        let (wanted, asked) = mpsc::unbounded_channel();
        (Self { table: ArcSwap::default(), wanted }, asked)
    }

    /// The function that a caller means by `name`: `NAME.NAMESPACE`, or `NAME` in the default one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.table.load().get(name).cloned()
    }

    /// The function of this name.
    #[must_use]
    pub fn get(&self, id: &FunctionId) -> Option<Arc<Function>> {
        self.find(&id.to_string())
    }

    /// All of a namespace, or of all of them; in the order of their names.
    #[must_use]
    pub fn list(&self, namespace: Option<&str>) -> Vec<Arc<Function>> {
        let table = self.table.load();
        let mut all: Vec<_> = table
            .iter()
            // The default namespace's are there twice.
            .filter(|(name, _)| name.contains('.'))
            .map(|(_, function)| function)
            .filter(|function| namespace.is_none_or(|ns| function.id.namespace() == ns))
            .cloned()
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Makes a function known, in the place of one of the same name.
    pub fn insert(&self, function: &Arc<Function>) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            for name in names(&function.id) {
                table.insert(name, Arc::clone(function));
            }
            table
        });
    }

    /// Forgets a function; callers that wait for it are told.
    pub fn remove(&self, id: &FunctionId) {
        let gone = self.get(id);
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            for name in names(id) {
                table.remove(&name);
            }
            table
        });
        if let Some(function) = gone {
            function.is_gone.store(true, Ordering::Release);
            function.changed.notify_waiters();
        }
    }

    /// Says that a call waits for a replica of `function`; once until there is one.
    pub fn want(&self, function: &Function) {
        if !function.is_wanted.swap(true, Ordering::AcqRel) {
            // Nobody listens only while the gateway stops.
            let _ = self.wanted.send(function.id.clone());
        }
    }
}

fn names(id: &FunctionId) -> impl Iterator<Item = Box<str>> {
    let short = (id.namespace() == DEFAULT_NAMESPACE).then(|| id.name().into());
    [Some(id.to_string().into_boxed_str()), short].into_iter().flatten()
}

/// One version of a function.
#[derive(Debug)]
pub struct Revision {
    /// Higher than that of the version before.
    pub number: u64,
    /// What was deployed.
    pub spec: Arc<FunctionSpec>,
    /// What its labels and annotations say.
    pub policy: Policy,
    /// When.
    pub deployed: OffsetDateTime,
}

/// One function over all its versions.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub id: FunctionId,
    /// The version that serves.
    pub revision: ArcSwap<Revision>,
    /// The replicas that take calls. Empty while none is ready.
    pub endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Told whenever `endpoints` or `problem` changed, and when the function is gone.
    pub changed: Notify,
    /// How many replicas are wanted.
    pub desired: AtomicU32,
    /// Why there is no replica, or why the last update failed, in words for the author.
    pub problem: ArcSwapOption<String>,
    /// Its counts.
    pub counts: Counts,
    is_wanted: AtomicBool,
    is_gone: AtomicBool,
}

impl Function {
    /// A function without replicas.
    #[must_use]
    pub fn new(id: FunctionId, revision: Revision) -> Self {
        Self {
            desired: AtomicU32::new(revision.policy.min),
            revision: ArcSwap::from_pointee(revision),
            endpoints: ArcSwap::default(),
            changed: Notify::new(),
            problem: ArcSwapOption::empty(),
            counts: Counts::new(&id),
            is_wanted: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            id,
        }
    }

    /// Whether it was removed meanwhile.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Puts other replicas in the place of those that took calls; a call that has one keeps it.
    pub fn serve_by(&self, endpoints: Vec<Arc<Endpoint>>) {
        if !endpoints.is_empty() {
            self.is_wanted.store(false, Ordering::Release);
        }
        self.endpoints.store(Arc::new(endpoints));
        self.changed.notify_waiters();
    }

    /// Says why there is no replica, or that nothing is wrong any more.
    pub fn blame(&self, problem: Option<String>) {
        // It may be asked for again.
        self.is_wanted.store(false, Ordering::Release);
        self.problem.store(problem.map(Arc::new));
        self.changed.notify_waiters();
    }
}

/// A replica that takes calls.
#[derive(Debug)]
pub struct Endpoint {
    /// The provider's name for the instance.
    pub instance: String,
    /// The version it belongs to.
    pub revision: u64,
    /// Where it listens.
    pub target: Target,
    /// The connections to it.
    pub proxy: Proxy,
    /// Calls under way on it, those through a tunnel included.
    pub in_flight: AtomicUsize,
}

impl Endpoint {
    /// A replica at `target`.
    #[must_use]
    pub fn new(instance: String, revision: u64, target: Target) -> Self {
        let proxy = Proxy::new(target.clone(), "", modes::ZeroCopy::Off);
        Self { instance, revision, target, proxy, in_flight: AtomicUsize::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, namespace: &str) -> Arc<Function> {
        let revision = Revision {
            number: 1,
            spec: Arc::default(),
            policy: Policy::default(),
            deployed: OffsetDateTime::UNIX_EPOCH,
        };
        Arc::new(Function::new(FunctionId::new(name, namespace).unwrap(), revision))
    }

    #[test]
    fn functions_are_found_by_the_names_that_callers_use() {
        let (registry, _) = Registry::new();
        registry.insert(&function("a", DEFAULT_NAMESPACE));
        registry.insert(&function("a", "other"));
        let namespace = |name| registry.find(name).map(|f| f.id.namespace().to_owned());
        assert_eq!(namespace("a").as_deref(), Some(DEFAULT_NAMESPACE));
        assert_eq!(namespace("a.openfaas-fn").as_deref(), Some(DEFAULT_NAMESPACE));
        assert_eq!(namespace("a.other").as_deref(), Some("other"));
        assert_eq!(namespace("b"), None);
        assert_eq!(registry.list(None).len(), 2);
        assert_eq!(registry.list(Some("other")).len(), 1);
        registry.remove(&FunctionId::new("a", DEFAULT_NAMESPACE).unwrap());
        assert_eq!((namespace("a"), registry.list(None).len()), (None, 1));
    }

    #[test]
    fn function_is_asked_for_once_until_it_has_replicas() {
        let (registry, mut asked) = Registry::new();
        let function = function("a", "b");
        registry.want(&function);
        registry.want(&function);
        assert_eq!(asked.try_recv().unwrap(), function.id);
        assert!(asked.try_recv().is_err());
        let target = Target::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
        function.serve_by(vec![Arc::new(Endpoint::new("i".to_owned(), 1, target))]);
        function.serve_by(Vec::new());
        registry.want(&function);
        assert!(asked.try_recv().is_ok());
    }
}
