//! One connection, from its first byte to its end: who serves it, request by request.

use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use http::StatusCode;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Handle, time::timeout};

use super::{Doors, LAST_MOMENT};
use crate::{
    account::Account,
    connection::{self, Connection, Timeouts, rest::Lender},
    dispatch::{self, First},
    log::Call,
    metrics,
    phase::Phase,
    router::Router,
};

/// The largest request head, in bytes (Go's default and its slack) and in headers.
const HEAD_BYTES: usize = 1024 * 1024 + 4096;
const HEAD_FIELDS: usize = 512;

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
                None => pin!(router.route(request, account, peer)).await,
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
        let mut connection = pin!(connection);
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
