//! The back end for a machine without an engine: a replica is this same executable, run as the
//! watchdog of a command in the function's directory.
//!
//! Its processes are the gateway's user's: they see every file that the gateway sees. Each has a
//! process group, an environment, a directory for its records and a log of its own, listens on a
//! socket in the data directory, and goes on when the gateway does not. A gateway that starts finds
//! it again by its record and its start time.
//!
//! `directory` says what lies where, `slot` is one instance, `keeper` keeps it running.

mod directory;
mod environment;
mod keeper;
mod limits;
mod log;
mod record;
mod slot;
mod usage;

use std::{
    collections::HashMap,
    ffi::OsString,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use modes::process::detached::marked;
use rustix::fs::FlockOperation;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    directory::{Place, Root},
    limits::Limits,
    record::{Desired, Record},
    slot::{Shared, Slot, blocking},
};
use super::{Info, Instance, LineStream, Lines, Order, Provider};
use crate::{
    error::{Error, Result},
    function::{FunctionId, FunctionSpec, Usage},
};

/// How long a gateway that ends may still hold the data.
const HANDED_OVER: Duration = Duration::from_secs(5);

/// How long instances may take to end when the gateway does.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// What it needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory; made if it is not there. Of at most 85 bytes, because sockets are in it.
    pub data: PathBuf,
    /// The program whose sub-command `watchdog` is the watchdog. [`Settings::OWN`] is the running
    /// one, also after its file was replaced or deleted.
    pub program: PathBuf,
    /// The gateway's own environment, of which functions get little.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether limits are kept by control groups, where those can be made.
    pub control_groups: bool,
}

impl Settings {
    /// The executable of whoever looks (proc(5)): of a child that has not executed another one
    /// yet, ours.
    pub const OWN: &str = "/proc/self/exe";
}

/// Every instance of one data directory.
#[derive(Debug)]
pub struct Processes {
    root: Root,
    slots: Arc<RwLock<HashMap<String, Arc<Slot>>>>,
    shared: Arc<Shared>,
    /// Directories of instances that could not be read: whose they are, and what is known of them.
    unreadable: Arc<Vec<(FunctionId, PathBuf, String)>>,
    _close: DropGuard,
}

impl Processes {
    /// Finds all instances again, and those that run go on running. Dropped, it leaves them as they
    /// are. Must be called within a runtime, which keeps them from then on.
    ///
    /// # Errors
    /// [`Error::Failed`] when the directory cannot be used, or another gateway uses it;
    /// [`Error::Invalid`] for one that cannot be a data directory.
    pub async fn open(settings: Settings) -> Result<Arc<Self>> {
        let opened = blocking(move || Self::read(settings)).await?;
        let all: Vec<_> = opened.slots().values().cloned().collect();
        for slot in all {
            let (id, function) = (slot.place.id.clone(), slot.function.clone());
            if let Err(error) = slot.adopt().await {
                tracing::error!(%function, instance = id, "{error}");
                return Err(error);
            }
        }
        Ok(Arc::new(opened))
    }

    fn read(settings: Settings) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let data = settings.data.display();
            Error::Failed(format!("cannot use the data directory {data}: {error}"))
        };
        let root = Root::open(&settings.data).map_err(failed)?;
        let lock = root.lock().map_err(failed)?;
        let patience = Instant::now() + HANDED_OVER;
        while rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > patience {
                let data = settings.data.display();
                let text = format!(
                    "another gateway uses the data directory {data}: stop it, or choose another"
                );
                return Err(Error::Failed(text));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let limits = if settings.control_groups { Limits::find() } else { Limits::default() };
        tracing::info!("Limits of functions: {}", limits.describe());
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            program: settings.program,
            base: environment::base(settings.environment),
            gateway: AtomicU16::new(0),
            limits,
            changes: watch::Sender::new(0),
            closing: closing.clone(),
            _lock: lock,
        });
        let (mut slots, mut unreadable) = (HashMap::new(), Vec::new());
        for (function, place, record) in root.list().map_err(failed)? {
            match record {
                Ok(record) => {
                    let id = place.id.clone();
                    let slot = Slot::new(function, place, record, Arc::clone(&shared));
                    slots.insert(id, Arc::new(slot));
                }
                Err(error) => {
                    // Somebody wrote there: nothing is deleted that is not understood.
                    let what = unread(&place, &error);
                    tracing::error!(%function, "{what}");
                    unreadable.push((function, place.directory, what));
                }
            }
        }
        let slots = Arc::new(RwLock::new(slots));
        let unreadable = Arc::new(unreadable);
        Ok(Self { root, slots, shared, unreadable, _close: closing.drop_guard() })
    }

    fn slots(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Arc<Slot>>> {
        // Nothing that can panic runs under the lock.
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, id: &str) -> Result<Arc<Slot>> {
        let found = self.slots().get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("there is no instance {id}")))
    }
}

/// What is known of an instance whose record cannot be read, and what to do about it.
fn unread(place: &Place, error: &std::io::Error) -> String {
    let directory = place.directory.display();
    let running = marked(environment::MARK, &place.id);
    let running: Vec<_> = running.iter().map(i32::to_string).collect();
    let (runs, end) = if running.is_empty() {
        ("no process of it runs".to_owned(), "")
    } else {
        (format!("its processes {} still run", running.join(", ")), "end them and ")
    };
    format!(
        "{directory}/instance.json cannot be read ({error}), and {runs}: put the file right and \
         start the gateway again, or {end}delete the directory"
    )
}

/// The directory of a function, which must be there.
fn folder(spec: &FunctionSpec) -> Result<PathBuf> {
    let path = PathBuf::from(spec.image.strip_prefix("file://").unwrap_or(&spec.image));
    let invalid = |why: &str| {
        Error::Invalid(format!(
            "\"image\" of function {} is {:?}, which {why}: with the process provider it is the \
             absolute path of the function's directory",
            spec.service, spec.image
        ))
    };
    if !path.is_absolute() {
        return Err(invalid("is no absolute path"));
    }
    match path.metadata() {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(invalid("is no directory")),
        Err(error) => Err(invalid(&format!("cannot be used ({error})"))),
    }
}

/// Goes on also when nobody waits for it any more, so that nothing is left half done.
async fn undisturbed<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|error| Err(Error::Failed(format!("ended early: {error}"))))
}

#[async_trait]
impl Provider for Processes {
    fn info(&self) -> Info {
        Info {
            name: "process".to_owned(),
            orchestration: format!("processes ({})", self.shared.limits.describe()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    async fn list(&self) -> Result<Vec<Instance>> {
        Ok(self.slots().values().map(|slot| slot.instance()).collect())
    }

    async fn prepare(&self, spec: &FunctionSpec) -> Result<()> {
        let (spec, shared) = (spec.clone(), Arc::clone(&self.shared));
        blocking(move || {
            folder(&spec)?;
            environment::check(&shared.base, &spec)
        })
        .await
    }

    async fn create(&self, order: &Order) -> Result<Instance> {
        let (root, shared) = (self.root.clone(), Arc::clone(&self.shared));
        let (order, slots) = (order.clone(), Arc::clone(&self.slots));
        let unreadable = Arc::clone(&self.unreadable);
        blocking(move || {
            // Another one beside it would be one too many, unseen.
            let mut mine = unreadable.iter().filter(|(function, _, _)| *function == order.function);
            if let Some((_, _, what)) = mine.find(|(_, directory, _)| directory.exists()) {
                return Err(Error::Conflict(what.clone()));
            }
            folder(&order.spec)?;
            let record = Record {
                spec: Arc::clone(&order.spec),
                revision: order.revision,
                deployed: order.deployed,
                desired: Desired::Parked,
                restarts: 0,
                process: None,
            };
            let place = root.create(&order, &record)?;
            let id = place.id.clone();
            let slot = Arc::new(Slot::new(order.function, place, record, Arc::clone(&shared)));
            let instance = slot.instance();
            slots.write().unwrap_or_else(PoisonError::into_inner).insert(id, slot);
            shared.changes.send_modify(|count| *count += 1);
            Ok(instance)
        })
        .await
    }

    async fn start(&self, id: &str) -> Result<Instance> {
        undisturbed(self.slot(id)?.start()).await
    }

    async fn dismiss(&self, id: &str) -> Result<()> {
        undisturbed(self.slot(id)?.dismiss()).await
    }

    async fn park(&self, id: &str, grace: Duration) -> Result<()> {
        undisturbed(self.slot(id)?.park(grace)).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let Ok(slot) = self.slot(id) else { return Ok(()) };
        let (id, slots) = (id.to_owned(), Arc::clone(&self.slots));
        undisturbed(async move {
            slot.remove().await?;
            slots.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
            Ok(())
        })
        .await
    }

    async fn usage(&self, id: &str) -> Result<Usage> {
        let slot = self.slot(id)?;
        blocking(move || Ok(slot.pid().map_or_else(Usage::default, |pid| slot.meter.read(pid))))
            .await
    }

    async fn lines(&self, id: &str, lines: Lines) -> Result<LineStream> {
        let slot = self.slot(id)?;
        // One that never ran has none yet, and whoever follows waits for the first.
        slot.place.open_log().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => slot.is_gone(),
            _ => Error::Failed(format!("cannot read the log of {}: {error}", slot.function)),
        })?;
        log::follow(&slot.place.log(), lines, slot.gone.clone()).await
    }

    /// Nobody would look after them: they end with the gateway, and start again with the next.
    async fn close(&self) {
        let all: Vec<_> = self.slots().values().cloned().collect();
        let ended = all.into_iter().map(|slot| async move {
            if let Err(error) = Arc::clone(&slot).rest(LAST_GRACE).await {
                tracing::warn!(function = %slot.function, "{error}");
            }
        });
        futures_util::future::join_all(ended).await;
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    fn inner_addresses(&self) -> Vec<IpAddr> {
        vec![environment::GATEWAY.into()]
    }

    fn gateway_at(&self, port: u16) {
        self.shared.gateway.store(port, Ordering::Relaxed);
    }
}
