//! Listeners and connections: calls on one event loop a CPU, the control plane on the first thread.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use modes::Body;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use watchdog::{
    account::{Account, Entry, Sent},
    connection::{Connection, Timeouts},
    fields::Fields,
    phase::Phase,
    router::{refusal, target_is_host},
    runtimes::Runtimes,
};

use crate::{
    invoke::{Invoker, Origin},
    respond,
};

/// The largest request head, in bytes (Go's default and its slack) and in headers.
const HEAD_BYTES: usize = 1024 * 1024 + 4096;
const HEAD_FIELDS: usize = 512;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// Who answers.
#[derive(Debug)]
pub struct Front {
    /// Calls of functions.
    pub invoker: Invoker,
    /// Everything else.
    pub api: Router,
    /// Where everything else is done: it may wait for a disk.
    pub first: Handle,
    /// Addresses of ours at which functions call, whatever listener they reach.
    pub inner: Vec<IpAddr>,
    /// Whether functions may use the control plane: where it asks for a password.
    pub control_inside: bool,
}

/// What every connection listens to, and is counted by.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    connections: TaskTracker,
    /// No request after the present one.
    pub closing: CancellationToken,
    /// End now.
    pub cut: CancellationToken,
}

/// Listens on `address`.
///
/// # Errors
/// The kernel's, with the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let listen = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket.and_then(listen).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Serves who comes to `listener`, until the doors close.
///
/// # Errors
/// No thread could be started for calls.
pub async fn accept(
    listener: TcpListener,
    origin: Origin,
    front: Arc<Front>,
    timeouts: Timeouts,
    doors: Doors,
) -> io::Result<()> {
    let mut runtimes = Runtimes::start()?;
    let mut pause = Duration::from_millis(5);
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = doors.closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(5);
                let _ = stream.set_nodelay(true);
                let Ok(stream) = stream.into_std() else { continue };
                let (front, heard) = (Arc::clone(&front), doors.clone());
                let serving = async move {
                    // Registered where it is served.
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        let from = (peer.ip().to_canonical(), front.origin(&stream, origin));
                        serve(stream, from, &front, timeouts, &heard).await;
                    }
                };
                doors.connections.spawn_on(serving, runtimes.in_turn());
            }
            Err(error) => {
                // Out of descriptors, most likely: they come back when calls end.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
    }
    drop(listener);
    // The loops go on for as long as they have connections.
    doors.connections.wait().await;
    Ok(())
}

impl Doors {
    /// Lets nobody in any more; what is under way has `drain` to end.
    pub async fn close(&self, drain: Duration, front: &Front) {
        self.closing.cancel();
        self.connections.close();
        let ended = async {
            self.connections.wait().await;
            front.invoker.ledger.empty().await;
        };
        if timeout(drain, ended).await.is_err() {
            tracing::warn!("calls still open after {drain:?} are ended");
        }
        self.cut.cancel();
        self.connections.wait().await;
    }
}

async fn serve(
    stream: TcpStream,
    (peer, origin): (IpAddr, Origin),
    front: &Arc<Front>,
    timeouts: Timeouts,
    doors: &Doors,
) {
    let phase = Arc::new(Phase::default());
    let io = TokioIo::new(Connection::new(stream, timeouts, Arc::clone(&phase)));
    let account = Arc::new(Account::new(Arc::clone(&front.invoker.ledger), Arc::clone(&phase)));
    let service = service_fn(|request| {
        let (front, account) = (Arc::clone(front), Arc::clone(&account));
        async move { Ok::<_, Infallible>(front.route(request, &account, peer, origin).await) }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_headers(HEAD_FIELDS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES + 64 * 1024)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = doors.closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection.as_mut() => {}
        () = doors.cut.cancelled() => phase.cut("the gateway stopped before it was complete"),
    }
}

impl Front {
    /// Where who is connected comes from, on a listener for `origin`.
    fn origin(&self, stream: &TcpStream, origin: Origin) -> Origin {
        let is_inner = || {
            let local = stream.local_addr().map(|address| address.ip().to_canonical());
            local.is_ok_and(|local| self.inner.contains(&local))
        };
        if origin == Origin::Inside || is_inner() { Origin::Inside } else { Origin::Outside }
    }

    async fn route(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        account: &Arc<Account>,
        peer: IpAddr,
        origin: Origin,
    ) -> Response<Sent> {
        account.phase.begin_call(request.version());
        target_is_host(&mut request);
        let fields = Fields::of(request.headers());
        if let Some(refused) = refusal(&request, &fields) {
            return Entry::open(account, &request, &fields).answer(refused);
        }
        if request.uri().path().starts_with("/function/") {
            return self.invoker.call(request, account, Some(peer), origin).await;
        }
        let entry = Entry::open(account, &request, &fields);
        // Boxed: calls need no room for it.
        entry.answer(Box::pin(self.control(request, origin)).await)
    }

    /// The control plane, on the thread that starts no call.
    async fn control(&self, request: Request<Incoming>, origin: Origin) -> Response<Body> {
        if origin == Origin::Inside && !self.control_inside {
            let text = "without basic_auth functions may call functions, and nothing else";
            return respond::text(StatusCode::FORBIDDEN, text);
        }
        let api = self.api.clone();
        let answering = async move { api.oneshot(request.map(axum::body::Body::new)).await };
        match self.first.spawn(answering).await {
            Ok(Ok(response)) => response.map(|body| {
                Body::stream(body.map_err(|error| modes::Error::Io {
                    doing: "making the answer",
                    source: io::Error::other(error),
                }))
            }),
            Ok(Err(never)) => match never {},
            Err(_) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, "the gateway has a defect"),
        }
    }
}
