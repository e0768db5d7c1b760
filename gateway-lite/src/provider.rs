//! What starts and ends replicas: the seam between the gateway and a back end.
//!
//! A provider knows instances and nothing else. An *instance* is one replica with the whole
//! specification it was made from; it is there until it is removed, whether or not it runs, and it
//! outlives the gateway. So the instances are the database: a gateway that starts asks for the
//! [`list`](Provider::list) and knows every function again, and a function without a running
//! replica is one whose instances are parked. What instances mean together (versions, updates,
//! readiness, how many) is decided above, once for all providers.

pub mod docker;
pub mod process;

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc};

use async_trait::async_trait;
use futures_util::Stream;
use modes::proxy::Target;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    error::Result,
    function::{FunctionId, FunctionSpec, Usage},
};

/// Who starts the replicas, for `/system/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The provider's name.
    pub name: String,
    /// What it drives.
    pub orchestration: String,
    /// The version of that.
    pub version: String,
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The provider's name for it; unique, and never used again.
    pub id: String,
    /// Whose replica it is.
    pub function: FunctionId,
    /// What it was made from.
    pub spec: Arc<FunctionSpec>,
    /// Which version of the function that is: a later deployment has a higher one.
    pub revision: u64,
    /// When that version was deployed.
    pub deployed: OffsetDateTime,
    /// What it does.
    pub state: State,
    /// How often it died by itself, as far as the provider saw. It may be running again before
    /// anybody asks, and then this is how one learns.
    pub deaths: u64,
    /// How it died last, if the provider saw that, in words for the function's author.
    pub last_death: Option<String>,
}

/// What an instance does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, or ended on purpose: it does not run, and nobody expects it to.
    Parked,
    /// Runs. Whether it takes calls is for a probe to find out.
    Running {
        /// Where it listens.
        target: Target,
    },
    /// Should run. The provider starts it again by itself, with a growing pause.
    Failing {
        /// Why it does not, in words for the function's author.
        why: String,
    },
    /// Ended by somebody else, and not started again by the provider.
    Ended {
        /// How.
        why: String,
    },
}

/// A version of a function, and what its instances need from the gateway.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to make; checked.
    pub spec: Arc<FunctionSpec>,
    /// Whose it is.
    pub function: FunctionId,
    /// Which version.
    pub revision: u64,
    /// When it was deployed.
    pub deployed: OffsetDateTime,
    /// The files of its secrets on this machine, by name.
    pub secrets: Vec<(String, PathBuf)>,
}

/// One line that a replica wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: OffsetDateTime,
    /// Without the end of line.
    pub text: String,
}

/// Which lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// Nothing older.
    pub since: Option<OffsetDateTime>,
    /// At most so many of those that are there; `None` for all.
    pub tail: Option<usize>,
    /// Whether those to come follow, until the instance is gone.
    pub follow: bool,
}

/// Lines as they come.
pub type LineStream = Pin<Box<dyn Stream<Item = Result<Line>> + Send>>;

/// A back end. Every method has a deadline of its own and may be called at any time, also for what
/// is gone meanwhile; dropping a future must leave nothing half done that [`list`](Self::list)
/// does not show.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Who it is.
    fn info(&self) -> Info;

    /// Every instance that it made and has not removed, nothing else.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::Error::Unavailable) when the back end does not answer.
    async fn list(&self) -> Result<Vec<Instance>>;

    /// Brings what instances of `spec` are made from: fetches an image that is not there, checks
    /// that a directory is. May take minutes; dropped, it is cancelled where it can be.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid) with the back end's words when there is no such
    /// thing.
    async fn prepare(&self, spec: &FunctionSpec) -> Result<()>;

    /// Makes a parked instance of what was prepared.
    ///
    /// # Errors
    /// Why there is none.
    async fn create(&self, order: &Order) -> Result<Instance>;

    /// Starts a parked instance, and keeps it running from then on: one that dies is started again
    /// after a growing pause. Fine for one that runs, dismissed or not.
    ///
    /// # Errors
    /// Why it cannot be started; it is parked then.
    async fn start(&self, id: &str) -> Result<Instance>;

    /// Writes down that a running instance is to be parked, and leaves it to finish its calls until
    /// [`park`](Self::park): whoever opens the provider after this gateway was killed finds it
    /// parked. [`start`](Self::start) takes it back.
    ///
    /// # Errors
    /// Why that may not be written.
    async fn dismiss(&self, id: &str) -> Result<()>;

    /// Parks an instance: SIGTERM, SIGKILL when it has not ended within its `grace`.
    ///
    /// # Errors
    /// Why it still runs.
    async fn park(&self, id: &str, grace: std::time::Duration) -> Result<()>;

    /// Ends an instance at once, if it runs, and all that belongs to it. Fine for what is gone.
    ///
    /// # Errors
    /// Why it is still there.
    async fn remove(&self, id: &str) -> Result<()>;

    /// What an instance uses now; nothing when it does not run.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for what is gone.
    async fn usage(&self, id: &str) -> Result<Usage>;

    /// What an instance wrote.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Error::NotFound) for what is gone.
    async fn lines(&self, id: &str, lines: Lines) -> Result<LineStream>;

    /// Changes whenever the answer of [`list`](Self::list) may have: an instance died, was
    /// stopped by somebody else, got another address, or the back end came back.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The addresses of this machine that its instances can call the gateway at, beside loopback.
    fn inner_addresses(&self) -> Vec<std::net::IpAddr> {
        Vec::new()
    }

    /// The gateway stops: what ends with it, ends now.
    async fn close(&self) {}

    /// Tells it where the gateway listens for functions, before the first instance is started.
    fn gateway_at(&self, _port: u16) {}
}
