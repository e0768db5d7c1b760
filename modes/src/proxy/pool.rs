//! Idle connections to one authority, the last used first.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;

use super::connect::{Shared, Socket, Target};
use crate::body::Body;

/// Shorter than the keep-alive of the servers that functions are written with (gunicorn: 2 s,
/// Node.js and uvicorn: 5 s), so that it is nearly always ours to close an idle connection.
const IDLE: Duration = Duration::from_secs(1);

/// Beyond this many idle connections the oldest are closed.
const MOST_IDLE: usize = 256;

/// The largest response head, in bytes and in headers.
const HEAD_BYTES: usize = 1024 * 1024;
const HEAD_FIELDS: usize = 512;

/// A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Body>,
    socket: Arc<Socket>,
}

impl Pool {
    pub(super) fn new(target: Target) -> Self {
        Self { inner: Arc::new(Inner { target, idle: Mutex::default() }) }
    }

    pub(super) fn target(&self) -> &Target {
        &self.inner.target
    }

    /// A connection that was used before and is still good.
    pub(super) fn idle(&self) -> Option<Lease> {
        let mut idle = self.lock();
        let now = Instant::now();
        // The bottom of the stack is the oldest.
        let expired = idle.partition_point(|idle| now - idle.since > IDLE);
        idle.drain(..expired);
        // One that is still busy with the end of its last exchange stays for a later call.
        let mut index = idle.len();
        while index > 0 {
            index -= 1;
            let connection = &idle[index].connection;
            if connection.sender.is_closed() {
                idle.remove(index);
            } else if connection.sender.is_ready() {
                let connection = idle.remove(index).connection;
                if connection.socket.is_quiet() {
                    return Some(Lease { connection: Some(connection), pool: self.clone() });
                }
            }
        }
        None
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Lease> {
        let socket = Arc::new(self.inner.target.connect().await?);
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_headers(HEAD_FIELDS)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES + 64 * 1024)
            .handshake(TokioIo::new(Shared::new(Arc::clone(&socket))))
            .await
            .map_err(io::Error::other)?;
        // Its errors come out of the exchange that suffers from them.
        tokio::spawn(async move { driver.with_upgrades().await });
        Ok(Lease { connection: Some(Connection { sender, socket }), pool: self.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing that panics runs under the lock, and a list of connections is never half changed.
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that belongs to one exchange. Dropped, it is closed; see [`Lease::done`].
#[derive(Debug)]
pub(super) struct Lease {
    connection: Option<Connection>,
    pool: Pool,
}

impl Lease {
    /// Sends one request.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match &mut self.connection {
            Some(connection) => connection.sender.try_send_request(request).await,
            // `done` takes the lease itself, so there is always a connection.
            None => unreachable!("a lease without a connection"),
        }
    }

    /// The exchange is complete: the connection may carry another one.
    pub(super) fn done(mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.lock();
        if idle.len() >= MOST_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { connection, since: Instant::now() });
    }
}

/// Whether a used connection failed because the other end had closed it.
pub(super) fn was_closed(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || error.source().and_then(|source| source.downcast_ref::<io::Error>()).is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            )
        })
}
