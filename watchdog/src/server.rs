//! Bind, accept, stop.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use modes::Mode;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    account::Ledger,
    auth::{self, Authenticator},
    config::Config,
    connection::Timeouts,
    doors::Doors,
    health::Health,
    limit::Limiter,
    listen::Listener,
    lock::LockFile,
    log::Log,
    metrics::Metrics,
    router::Router,
    runtimes::{Runtimes, Work},
    signal::Stop,
};

mod reception;
mod scrape;

use self::reception::{Accepted, receive};

/// Why the watchdog ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port cannot be listened on.
    #[error("cannot listen on port {port} ({variable}): {source}")]
    Bind {
        /// The port.
        port: u16,
        /// The variable that sets it.
        variable: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A socket in the file system cannot be listened on.
    #[error("cannot listen on unix:{path} (listen_address): {source}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The lock file cannot be written.
    #[error("cannot write the lock file {path}: {source} (set TMPDIR, or suppress_lock=true)")]
    Lock {
        /// Where.
        path: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Calls cannot be authenticated.
    #[error("jwt_auth: {0}")]
    Auth(#[from] auth::Error),
    /// The function cannot be served at all.
    #[error("cannot start the function: {0}")]
    Mode(#[from] modes::StartError),
    /// The long-lived function is gone.
    #[error("the function {0}")]
    Died(String),
    /// The host.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// Serves until a signal or the function's death.
///
/// # Errors
/// What kept it from starting, or ended it.
pub async fn run(config: Config, log: Arc<Log>) -> Result<(), Error> {
    let mut stop = Stop::listen()?;
    let listener = match config.socket {
        None => Listener::Tcp(bind(config.port, "port")?),
        Some(path) => Listener::unix(&path).map_err(|source| Error::Socket { path, source })?,
    };
    let metrics_listener =
        config.metrics_port.map(|port| bind(port, "metrics_port")).transpose()?;
    let auth = match config.auth {
        None => None,
        Some(auth) => Some(tokio::select! {
            found = Authenticator::discover(auth) => found?,
            signal = stop.asked() => {
                tracing::info!("{signal}: ended before the first call");
                return Ok(());
            }
        }),
    };
    let lock_path = config.health.lock_file.clone();
    let work = if config.mode.works_alone() { Work::Alone } else { Work::Any };
    let mut runtimes = Runtimes::start(work)?;
    // A loop that started the last spare is behind others in the scheduler's account, and what a
    // function writes would not wake it at once: spares have one of their own.
    let has_spares = config.mode.has_spares();
    let mut spares = has_spares.then(|| Runtimes::start(Work::Any)).transpose()?;
    let mode = {
        // What it keeps running is no work of the first thread.
        let _keeper = spares.as_mut().unwrap_or(&mut runtimes).in_turn().enter();
        Mode::build(config.mode)?
    };
    for line in config.banner {
        tracing::info!("{line}");
    }
    let metrics = Metrics::default();
    if let Some(spares) = mode.spares() {
        metrics.show_spares(spares);
    }
    let doors = Doors::default();
    let router = Arc::new(Router {
        config: config.router,
        ledger: Arc::new(Ledger::new(metrics, log, doors.cut.clone())),
        health: Health::new(config.health),
        auth,
        limiter: Limiter::new(config.limit),
        mode,
    });
    let lock = match lock_path {
        None => None,
        Some(path) => match LockFile::create(path.clone()) {
            Ok(lock) => Some(lock),
            Err(source) => {
                router.mode.stop().await;
                return Err(Error::Lock { path: path.display().to_string(), source });
            }
        },
    };
    if let Some(listener) = metrics_listener {
        tracing::info!("Metrics listening on port: {}", listener.local_addr()?.port());
        tokio::spawn(scrape::serve(listener, Arc::clone(&router)));
    }
    router.health.accept(true);
    tracing::info!("Listening on {}", listener.name()?);

    let (let_in, heard) = (Arc::clone(&router), doors.clone());
    let accepting = tokio::spawn(accept(listener, runtimes, let_in, config.timeouts, heard));
    let (result, drain) = tokio::select! {
        signal = stop.asked() => {
            tracing::info!("{signal}: no new calls once those in flight have ended");
            (Ok(()), config.drain)
        }
        why = router.mode.died() => (Err(Error::Died(why)), config.drain.min(DEATH_DRAIN)),
    };
    router.health.accept(false);
    drop(lock);
    if result.is_ok() {
        tokio::select! {
            _ = timeout(config.healthcheck_interval, router.ledger.empty()) => {}
            () = stop.insisted() => doors.cut.cancel(),
        }
    }
    doors.closing.begin();
    // The loops go on for as long as they have connections.
    let _runtimes = accepting.await;
    let open = router.ledger.open();
    if open > 0 {
        tracing::info!("No new connections allowed, draining: {open} requests");
    }
    doors.drain(drain, &router.ledger, stop.insisted()).await;
    router.mode.stop().await;
    config.reaper.idle().await;
    tracing::info!("Exiting. Active connections: {}", router.ledger.open());
    result
}

/// How long answers (502) have to leave once the function is dead.
const DEATH_DRAIN: Duration = Duration::from_secs(2);

fn bind(port: u16, variable: &'static str) -> Result<TcpListener, Error> {
    Listener::port(port).map_err(|source| Error::Bind { port, variable, source })
}

/// Until the doors close; the loops go on for as long as they have connections.
async fn accept(
    listener: Listener,
    mut runtimes: Runtimes,
    router: Arc<Router>,
    timeouts: Timeouts,
    doors: Doors,
) -> Runtimes {
    let receive = |stream, peer| {
        let (router, inside) = (Arc::clone(&router), doors.clone());
        let accepted = Accepted { stream, peer, router, timeouts, doors: inside };
        doors.connections.spawn(receive(accepted, runtimes.in_turn().clone()));
    };
    doors.accept(listener, receive).await;
    runtimes
}
