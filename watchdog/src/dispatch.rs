//! Which loop serves a connection.
//!
//! A loop that serves calls can be held up: starting a process suspends its thread until the
//! program is executed (`CLONE_VFORK`), which on a machine without idle CPUs takes as long as the
//! scheduler makes the child wait. Health has to be told in time all the same. So the first thread,
//! which starts no process, looks at how a connection begins before anybody reads from it, and
//! keeps those that begin with a probe, as orchestrators open one for each. Calls that come on such
//! a connection later are made on a loop of calls like all others.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::{net::TcpStream, runtime::Handle, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    account::{Account, Sent},
    respond,
    router::Router,
};

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// With a request to the watchdog itself.
    Probe,
    /// With anything else.
    Call,
    /// Not at all: it was closed, or sent nothing for too long.
    Nothing,
}

/// Waits for the first bytes, and leaves them to be read.
pub(crate) async fn first(stream: &TcpStream, patience: Option<Duration>) -> First {
    let mut start = [0; 32];
    let peek = stream.peek(&mut start);
    let peeked = match patience {
        Some(patience) => timeout(patience, peek).await.unwrap_or(Ok(0)),
        None => peek.await,
    };
    match peeked {
        Ok(0) | Err(_) => First::Nothing,
        Ok(length) if is_probe(&start[..length]) => First::Probe,
        Ok(_) => First::Call,
    }
}

/// Whether the target, behind the first space, is below `/_/`.
fn is_probe(start: &[u8]) -> bool {
    let mut words = start.splitn(2, |&byte| byte == b' ');
    words.nth(1).is_some_and(|target| target.starts_with(b"/_/"))
}

/// As [`Router::route`], on another loop. Dropped, it ends there, too.
pub(crate) async fn route_on(
    calls: Handle,
    router: Arc<Router>,
    request: Request<Incoming>,
    account: Arc<Account>,
    peer: Option<IpAddr>,
) -> Response<Sent> {
    let routing = async move { router.route(request, &account, peer).await };
    let routed = AbortOnDropHandle::new(calls.spawn(routing)).await;
    // The loops of calls outlive every connection.
    routed
        .unwrap_or_else(|_| respond::bare(StatusCode::INTERNAL_SERVER_ERROR).map(Sent::unaccounted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_known_by_their_first_bytes() {
        for probe in ["GET /_/health HTTP/1.1\r\n", "HEAD /_/ready", "GET /_/"] {
            assert!(is_probe(probe.as_bytes()), "{probe}");
        }
        for call in ["GET / HTTP/1.1\r\n", "GET /a/_/health", "GET", "", " ", "POST /_", "/_/ /_"] {
            assert!(!is_probe(call.as_bytes()), "{call}");
        }
    }
}
