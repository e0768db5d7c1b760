//! A new connection of the watchdog: which loop serves it, and who answers on it.

use std::{net::IpAddr, pin::pin, sync::Arc};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{net::TcpStream, runtime::Handle};

use crate::{
    account::{Account, Sent},
    connection::Timeouts,
    conversation::{self, Answer},
    dispatch::{self, First},
    doors::Doors,
    router::Router,
};

/// A client's connection, and all that serving it takes.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: Option<IpAddr>,
    pub(super) router: Arc<Router>,
    pub(super) timeouts: Timeouts,
    pub(super) doors: Doors,
}

/// Finds out who is to serve a connection: this loop or that of `calls`.
pub(super) async fn receive(accepted: Accepted, calls: Handle) {
    let first = tokio::select! {
        first = dispatch::first(&accepted.stream, accepted.timeouts.head) => first,
        () = accepted.doors.closing.begun() => First::Call,
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
    let desk = Desk { peer, router: &router, calls: calls.as_ref() };
    conversation::serve(stream, &desk, &router.ledger, timeouts, &doors).await;
}

/// Where the requests of a connection come to.
struct Desk<'a> {
    peer: Option<IpAddr>,
    router: &'a Arc<Router>,
    /// For calls, if not this loop.
    calls: Option<&'a Handle>,
}

impl Answer for Desk<'_> {
    async fn answer(&self, request: Request<Incoming>, account: &Arc<Account>) -> Response<Sent> {
        let Self { peer, router, calls } = *self;
        match calls.filter(|_| !router.is_probe(&request)) {
            None => pin!(router.route(request, account, peer)).await,
            Some(calls) => {
                let (router, account) = (Arc::clone(router), Arc::clone(account));
                Box::pin(dispatch::route_on(calls.clone(), router, request, account, peer)).await
            }
        }
    }
}
