//! Bind, accept, stop.

use std::{convert::Infallible, io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use modes::{Body, Mode};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account::{Account, Ledger, Sent},
    auth::{self, Authenticator},
    config::Config,
    connection::{self, Connection, Timeouts, rest::Lender},
    dispatch::{self, First},
    health::Health,
    limit::Limiter,
    listen::Listener,
    lock::LockFile,
    log::{Call, Log},
    metrics::{self, Metrics},
    phase::Phase,
    respond,
    router::Router,
    runtimes::Runtimes,
    signal::Stop,
};

/// The largest request head, in bytes (Go's default and its slack) and in headers.
const HEAD_BYTES: usize = 1024 * 1024 + 4096;
const HEAD_FIELDS: usize = 512;

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
        tokio::spawn(serve_metrics(listener, Arc::clone(&router)));
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

/// A client's connection, and all that serving it takes.
struct Accepted {
    stream: TcpStream,
    peer: Option<IpAddr>,
    router: Arc<Router>,
    timeouts: Timeouts,
    doors: Doors,
}

/// Finds out who is to serve a connection: this loop or that of `calls`.
async fn receive(accepted: Accepted, calls: Handle) {
    let first = tokio::select! {
        first = dispatch::first(&accepted.stream, accepted.timeouts.head) => first,
        () = accepted.doors.closing.cancelled() => First::Call,
    };
    match first {
        // Boxed: most connections do not stay here.
        First::Probe => Box::pin(serve(accepted, Some(calls))).await,
        First::Call => {
            let Accepted { stream, peer, router, timeouts, doors } = accepted;
            let Ok(stream) = stream.into_std() else { return };
            doors.connections.clone().spawn_on(
                async move {
                    // Registered where it is served.
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        serve(Accepted { stream, peer, router, timeouts, doors }, None).await;
                    }
                },
                &calls,
            );
        }
        First::Nothing => {}
    }
}

/// Serves a connection to its end; `calls` is for the calls on it, if not this loop.
async fn serve(accepted: Accepted, calls: Option<Handle>) {
    let Accepted { stream, peer, router, timeouts, doors } = accepted;
    let phase = Arc::new(Phase::default());
    let mut connection = Connection::new(stream, timeouts, Arc::clone(&phase));
    let (router, calls) = (&router, calls.as_ref());
    let account = Arc::new(Account::new(Arc::clone(&router.ledger), phase));
    let place = Place { peer, router, account: &account, doors: &doors, calls };
    loop {
        let in_time = tokio::select! {
            in_time = connection.rest() => in_time,
            () = doors.closing.cancelled() => true,
        };
        if !in_time {
            return;
        }
        // Boxed: a connection that rests has no room for it.
        match Box::pin(converse(connection, place)).await {
            Some(rests) => connection = rests,
            None => return,
        }
    }
}

/// Where a connection is served.
#[derive(Clone, Copy)]
struct Place<'a> {
    peer: Option<IpAddr>,
    router: &'a Arc<Router>,
    account: &'a Arc<Account>,
    doors: &'a Doors,
    /// For calls, if not this loop.
    calls: Option<&'a Handle>,
}

/// Serves until there is nothing more to do, or nothing for the moment: then the connection comes
/// back.
async fn converse(connection: Connection, place: Place<'_>) -> Option<Connection> {
    let Place { peer, router, account, doors, calls } = place;
    let phase = &account.phase;
    let lender = Lender::default();
    let io = TokioIo::new(lender.lend(connection));
    let service = service_fn(|request| {
        let elsewhere = calls.filter(|_| !router.is_probe(&request)).cloned();
        async move {
            Ok::<_, Infallible>(match elsewhere {
                None => router.route(request, account, peer).await,
                Some(calls) => {
                    let (router, account) = (Arc::clone(router), Arc::clone(account));
                    Box::pin(dispatch::route_on(calls, router, request, account, peer)).await
                }
            })
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_headers(HEAD_FIELDS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES + 64 * 1024)
        .serve_connection(io, service)
        .with_upgrades();
    let result = {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            () = doors.closing.cancelled() => {
                // A request may have been on its way when the doors closed.
                let last = timeout(LAST_MOMENT, connection.as_mut());
                match if phase.is_reading_head() { last.await.ok() } else { None } {
                    Some(result) => result,
                    None if phase.is_reading_head() => return None,
                    None => {
                        connection.as_mut().graceful_shutdown();
                        tokio::select! {
                            result = connection.as_mut() => result,
                            () = doors.cut.cancelled() => {
                                phase.cut("the watchdog stopped before it was complete");
                                return None;
                            }
                        }
                    }
                }
            }
        }
    };
    let returned = lender.returned();
    if returned.is_none() {
        unreadable(router, phase, result.err().as_ref());
    }
    returned
}

/// The line and the count of a request that never became a call: what hyper or the connection
/// answered by itself.
fn unreadable(router: &Router, phase: &Phase, error: Option<&hyper::Error>) {
    let text = error.map_or_else(String::new, ToString::to_string);
    let (status, bytes, why) = match (phase.refusal(), error) {
        (Some(408), _) => (408, connection::LATE_HEAD.len(), connection::LATE_HEAD.to_owned()),
        (Some(505), _) => (505, connection::HTTP_1_ONLY.len(), connection::HTTP_1_ONLY.to_owned()),
        (Some(status), _) => (status, 0, text),
        // hyper's answer followed a response in one write.
        (None, Some(error)) if error.is_parse_too_large() => (431, 0, text),
        (None, Some(error)) if error.is_parse() => (400, 0, text),
        (None, _) => return,
    };
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    router.ledger.metrics.record(code, metrics::MethodLabel::Unknown, Duration::ZERO);
    router.ledger.log.call(&Call {
        method: "-",
        target: "-",
        status,
        bytes: bytes as u64,
        took: Duration::ZERO,
        call_id: None,
        error: Some(&why),
    });
}

/// `/metrics` and nothing else.
async fn serve_metrics(listener: TcpListener, router: Arc<Router>) {
    let timeouts = Timeouts {
        head: Some(Duration::from_secs(5)),
        idle: Some(Duration::from_secs(120)),
        write: Some(Duration::from_secs(5)),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let router = Arc::clone(&router);
        tokio::spawn(async move {
            let phase = Arc::new(Phase::default());
            let io = TokioIo::new(Connection::new(stream, timeouts, Arc::clone(&phase)));
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                phase.begin_call(request.version());
                let response = scrape(&router, request.uri().path());
                phase.end_call(None);
                async move { Ok::<_, Infallible>(response) }
            });
            let served =
                http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
            let _ = served.await;
        });
    }
}

fn scrape(router: &Router, path: &str) -> Response<Sent> {
    if path != "/metrics" {
        return respond::bare(StatusCode::NOT_FOUND).map(Sent::unaccounted);
    }
    let mut response = Response::new(Body::full(router.ledger.metrics.render()));
    let content_type = http::HeaderValue::from_static(metrics::CONTENT_TYPE);
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    response.map(Sent::unaccounted)
}
