//! Listeners and connections: calls on one event loop a CPU, the control plane on the first thread.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::Router;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use modes::Body;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use tower::ServiceExt as _;
use watchdog::{
    account::{Account, Entry, Sent},
    connection::Timeouts,
    conversation::{self, Answer},
    doors::Doors,
    fields::Fields,
    listen::Listener,
    router::{refusal, target_is_host},
    runtimes::Runtimes,
};

use crate::{
    invoke::{Call, Invoker, Origin},
    respond,
};

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
    /// Whether requests of the control plane have lines.
    pub control_log: bool,
}

/// The loops of calls, shared by all listeners.
pub type Loops = Arc<Mutex<Runtimes>>;

/// Listens on `address`.
///
/// # Errors
/// The kernel's, with the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    Listener::address(address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Serves who comes to `listener`, until the doors close.
pub async fn accept(
    listener: TcpListener,
    origin: Origin,
    front: Arc<Front>,
    timeouts: Timeouts,
    doors: Doors,
    loops: Loops,
) {
    let receive = |stream: TcpStream, peer| {
        let Ok(stream) = stream.into_std() else { return };
        let (front, inside) = (Arc::clone(&front), doors.clone());
        let serving = async move {
            // Registered where it is served.
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            let origin = front.origin(&stream, origin);
            let guest = Guest { peer, origin, front: &front };
            conversation::serve(stream, &guest, &front.invoker.ledger, timeouts, &inside).await;
        };
        // Nothing that panics runs under the lock.
        let mut loops = loops.lock().unwrap_or_else(PoisonError::into_inner);
        doors.connections.spawn_on(serving, loops.in_turn());
    };
    doors.accept(Listener::Tcp(listener), receive).await;
}

/// Who is connected.
struct Guest<'a> {
    peer: Option<IpAddr>,
    origin: Origin,
    front: &'a Arc<Front>,
}

impl Answer for Guest<'_> {
    async fn answer(&self, request: Request<Incoming>, account: &Arc<Account>) -> Response<Sent> {
        pin!(self.front.route(request, account, self.peer, self.origin)).await
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
        &self,
        mut request: Request<Incoming>,
        account: &Arc<Account>,
        peer: Option<IpAddr>,
        origin: Origin,
    ) -> Response<Sent> {
        target_is_host(&mut request);
        let fields = Fields::of(request.headers());
        if let Some(refused) = refusal(&request, &fields) {
            return Entry::open(account, &request, &fields).answer(respond::own(refused));
        }
        if request.uri().path().starts_with("/function/") {
            let call = Call::open(&request, &fields, account);
            return pin!(self.invoker.answer(call, request, peer, origin)).await;
        }
        let mut entry = Entry::open(account, &request, &fields);
        if !self.control_log {
            entry.hush();
        }
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
