//! Idle connections to one authority, the last used first.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{connect::Target, connection::Connection};
use crate::zero_copy::ZeroCopy;

/// Shorter than the keep-alive of the servers that functions are written with (gunicorn: 2 s,
/// Node.js and uvicorn: 5 s), so that it is nearly always ours to close an idle connection.
const IDLE: Duration = Duration::from_secs(1);

/// Beyond this many idle connections the oldest are closed.
const MOST_IDLE: usize = 256;

/// This many idle connections keep the buffer that a large body needed: taking it from the kernel
/// and giving it back for each call costs a tenth of sending the body.
const MOST_LARGE: usize = 4;

/// A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    zero_copy: ZeroCopy,
    idle: Mutex<Stack>,
}

#[derive(Debug, Default)]
struct Stack {
    /// The oldest first.
    connections: Vec<Idle>,
    /// How many of them have a large buffer.
    large: usize,
    /// A task looks after them.
    is_swept: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(target: Target, zero_copy: ZeroCopy) -> Self {
        Self { inner: Arc::new(Inner { target, zero_copy, idle: Mutex::default() }) }
    }

    /// Whether bodies from there are spliced.
    pub(super) fn zero_copy(&self) -> ZeroCopy {
        self.inner.zero_copy
    }

    pub(super) fn target(&self) -> &Target {
        &self.inner.target
    }

    /// A connection that was used before and is still good.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let Idle { connection, since } = self.inner.lock().pop()?;
            // What lies below the first that is too old is older; the sweep closes it.
            if since.elapsed() > IDLE {
                return None;
            }
            if connection.socket.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        self.target().connect().await.map(Connection::new)
    }

    /// The exchange on it is complete: it may carry another one.
    pub(super) fn put(&self, mut connection: Connection) {
        let mut stack = self.inner.lock();
        if connection.is_large() && stack.large < MOST_LARGE {
            stack.large += 1;
        } else {
            connection.shrink();
        }
        let oldest = (stack.connections.len() >= MOST_IDLE).then(|| stack.remove_oldest(1));
        stack.connections.push(Idle { connection, since: Instant::now() });
        let sweep = !std::mem::replace(&mut stack.is_swept, true);
        drop(stack);
        // Closing is for outside of the lock.
        drop(oldest);
        if sweep {
            tokio::spawn(sweep_until_empty(Arc::downgrade(&self.inner)));
        }
    }
}

/// Closes connections whose time is over, so that nothing is held when no calls come.
async fn sweep_until_empty(pool: Weak<Inner>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut stack = pool.lock();
        let old = stack.connections.partition_point(|idle| idle.since.elapsed() > IDLE);
        let closed = stack.remove_oldest(old);
        stack.is_swept = !stack.connections.is_empty();
        let is_swept = stack.is_swept;
        if !is_swept {
            stack.connections = Vec::new();
        }
        drop(stack);
        drop(closed);
        if !is_swept {
            return;
        }
    }
}

impl Stack {
    fn pop(&mut self) -> Option<Idle> {
        let idle = self.connections.pop()?;
        self.large -= usize::from(idle.connection.is_large());
        Some(idle)
    }

    fn remove_oldest(&mut self, count: usize) -> Vec<Idle> {
        let oldest: Vec<Idle> = self.connections.drain(..count).collect();
        self.large -= oldest.iter().filter(|idle| idle.connection.is_large()).count();
        oldest
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Stack> {
        // Nothing that panics runs under the lock, and a list of connections is never half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
