//! Bind, accept, stop.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use modes::Mode;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account::Ledger,
    auth::{self, Authenticator},
    config::Config,
    connection::Timeouts,
    health::Health,
    limit::Limiter,
    listen::Listener,
    lock::LockFile,
    log::Log,
    metrics::Metrics,
    router::Router,
    runtimes::Runtimes,
    signal::Stop,
};

mod conversation;
mod scrape;

use self::conversation::{Accepted, receive};

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
    let mut runtimes = Runtimes::start()?;
    let mode = {
        // What it keeps running, such as the start of spares, is no work of the first thread.
        let _calls = runtimes.in_turn().enter();
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
    doors.closing.cancel();
    // The loops go on for as long as they have connections.
    let _runtimes = accepting.await;
    let open = router.ledger.open();
    if open > 0 {
        tracing::info!("No new connections allowed, draining: {open} requests");
    }
    doors.connections.close();
    let drained = async {
        doors.connections.wait().await;
        router.ledger.empty().await;
    };
    tokio::select! {
        done = timeout(drain, drained) => if done.is_err() {
            tracing::warn!("calls still open after {drain:?} are ended");
        },
        () = stop.insisted() => {}
    }
    doors.cut.cancel();
    doors.connections.wait().await;
    // Tunnels are told, too: one line each.
    let _ = timeout(LAST_MOMENT, router.ledger.empty()).await;
    router.mode.stop().await;
    config.reaper.idle().await;
    tracing::info!("Exiting. Active connections: {}", router.ledger.open());
    result
}

/// How long answers (502) have to leave once the function is dead.
const DEATH_DRAIN: Duration = Duration::from_secs(2);

/// How long a request that had begun when the doors closed may take to be complete, and a client
/// that knocked before to be let in.
const LAST_MOMENT: Duration = Duration::from_millis(50);

/// What every connection listens to, and is counted by.
#[derive(Clone, Debug, Default)]
struct Doors {
    connections: TaskTracker,
    /// No call after the present one.
    closing: CancellationToken,
    /// End now.
    cut: CancellationToken,
}

fn bind(port: u16, variable: &'static str) -> Result<TcpListener, Error> {
    Listener::port(port).map_err(|source| Error::Bind { port, variable, source })
}

/// Until the doors close; whoever has been let in by the kernel before is still served.
async fn accept(
    listener: Listener,
    mut runtimes: Runtimes,
    router: Arc<Router>,
    timeouts: Timeouts,
    doors: Doors,
) -> Runtimes {
    let mut pause = Duration::from_millis(5);
    // A client may have its handshake before the kernel gives us the connection.
    let closed = async {
        doors.closing.cancelled().await;
        sleep(LAST_MOMENT).await;
    };
    let mut closed = std::pin::pin!(closed);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut closed => return runtimes,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(5);
                let accepted = Accepted {
                    stream,
                    peer,
                    router: Arc::clone(&router),
                    timeouts,
                    doors: doors.clone(),
                };
                doors.connections.spawn(receive(accepted, runtimes.in_turn().clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: they come back when calls end.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
    }
}
