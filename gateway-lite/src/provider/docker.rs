//! The Docker back end: a replica is a container of an engine, 20.10 or later, on this machine.
//!
//! Everything about an instance is on the labels of its container, written once. Whether it should
//! run is its restart policy, which the engine can change: `no` for one that is parked, `always` for
//! one that runs, so that the engine starts it again when it dies and when the machine boots. What
//! has policy `always` and does not run was ended by somebody else.
//!
//! Its own are the containers that carry the mark of its data directory and the name it gave them;
//! no other is touched, also if it was made from an image of one of ours or was renamed. What the
//! engine is asked never takes longer than its deadline; what changes something is finished also
//! when nobody waits for it any more.

pub mod build;
mod context;
mod credentials;
mod engine;
mod helper;
mod ignore;
mod image;
mod labels;
mod lines;
mod network;
mod own;
mod resources;
mod secrets;
mod specification;
mod state;
mod steps;
mod usage;
mod watch;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{RwLock, watch as channel},
    task::JoinSet,
};

pub use self::helper::Helpers;
use self::{
    engine::Engine, image::Images, network::Network, own::Own, resources::Machine, secrets::Copies,
    usage::Meter,
};
use super::{Info, Instance, LineStream, Lines, Order, Provider};
use crate::{
    error::{Error, Result},
    function::{FunctionSpec, Usage},
};

/// What it needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the engine listens: `unix:///path` or a path.
    pub host: String,
    /// The network of all functions; made if it is not there.
    pub network: String,
    /// The gateway's data directory, an absolute path that the engine sees as well.
    pub data: PathBuf,
    /// Docker's own file with credentials for registries, if this user has a home.
    pub config: Option<PathBuf>,
    /// Runs the helpers that it names.
    pub helpers: Helpers,
}

/// Every container of one data directory.
#[derive(Debug)]
pub struct Containers {
    all: Arc<Shared>,
    /// Ends with it.
    _watching: JoinSet<()>,
}

/// What all its work has in common.
#[derive(Debug)]
struct Shared {
    engine: Engine,
    own: Own,
    network: Network,
    images: Images,
    copies: Copies,
    meter: Meter,
    machine: Machine,
    version: String,
    /// Held by whoever makes copies of secrets for a container that is not there yet, and alone by
    /// whoever looks for copies without one.
    making: RwLock<()>,
    deaths: watch::Deaths,
    /// Where the gateway listens; 0 while that is not known.
    gateway: AtomicU16,
    changes: channel::Sender<u64>,
}

impl Containers {
    /// Finds all instances again. Dropped, it leaves them as they are.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no engine answers; [`Error::Invalid`] for one that is too old,
    /// a host or a data directory that cannot be used; [`Error::Failed`] when another gateway uses
    /// the directory or the network.
    pub async fn open(settings: Settings) -> Result<Arc<Self>> {
        let engine = Engine::connect(&settings.host)?;
        let own = Own::open(&settings.data).await?;
        let version = engine.negotiate().await?;
        let machine = Machine::of(&engine).await?;
        let network = Network::open(&engine, settings.network, own.gateway()).await?;
        let all = Arc::new(Shared {
            copies: Copies::open(&settings.data)?,
            images: Images::new(settings.config, settings.helpers),
            meter: Meter::default(),
            making: RwLock::new(()),
            deaths: watch::Deaths::default(),
            gateway: AtomicU16::new(0),
            changes: channel::Sender::new(0),
            engine,
            own,
            network,
            machine,
            version,
        });
        all.settle().await?;
        let mut watching = JoinSet::new();
        watching.spawn(watch::run(Arc::clone(&all)));
        Ok(Arc::new(Self { all, _watching: watching }))
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
impl Provider for Containers {
    fn info(&self) -> Info {
        Info {
            name: "docker".to_owned(),
            orchestration: "docker".to_owned(),
            version: self.all.version.clone(),
        }
    }

    async fn list(&self) -> Result<Vec<Instance>> {
        self.all.list().await
    }

    async fn prepare(&self, spec: &FunctionSpec) -> Result<()> {
        self.all.images.bring(&self.all.engine, &spec.image).await
    }

    async fn create(&self, order: &Order) -> Result<Instance> {
        let (all, order) = (Arc::clone(&self.all), order.clone());
        undisturbed(async move { all.create(&order).await }).await
    }

    async fn start(&self, id: &str) -> Result<Instance> {
        let (all, id) = (Arc::clone(&self.all), id.to_owned());
        undisturbed(async move { all.start(&id).await }).await
    }

    async fn dismiss(&self, id: &str) -> Result<()> {
        let (all, id) = (Arc::clone(&self.all), id.to_owned());
        undisturbed(async move { all.dismiss(&id).await }).await
    }

    async fn park(&self, id: &str, grace: Duration) -> Result<()> {
        let (all, id) = (Arc::clone(&self.all), id.to_owned());
        undisturbed(async move { all.park(&id, grace).await }).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let (all, id) = (Arc::clone(&self.all), id.to_owned());
        undisturbed(async move { all.remove(&id).await }).await
    }

    async fn usage(&self, id: &str) -> Result<Usage> {
        let found = self.all.find(id).await?;
        self.all.meter.read(&self.all.engine, id, &found.container).await
    }

    async fn lines(&self, id: &str, lines: Lines) -> Result<LineStream> {
        lines::open(&self.all, id, lines).await
    }

    fn changes(&self) -> channel::Receiver<u64> {
        self.all.changes.subscribe()
    }

    fn inner_addresses(&self) -> Vec<IpAddr> {
        self.all.network.addresses()
    }

    fn gateway_at(&self, port: u16) {
        self.all.gateway.store(port, Ordering::Relaxed);
    }
}
