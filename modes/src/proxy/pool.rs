//! Idle connections to one authority, the last used first, a stack of them for each thread.
//!
//! A connection is registered with the event loop that made it. Used from another one, each of its
//! answers would wake both: two more system calls a request, and a switch of context. So every
//! connection goes back to the stack of its own loop, and is lent to another only while that is idle.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{connect::Target, connection::Connection};
use crate::lanes::Lanes;
use crate::zero_copy::ZeroCopy;

/// Shorter than the keep-alive of the servers that functions are written with (gunicorn: 2 s,
/// Node.js and uvicorn: 5 s), so that it is nearly always ours to close an idle connection.
const IDLE: Duration = Duration::from_secs(1);

/// Beyond this many idle connections of one thread the oldest are closed.
const MOST_IDLE: usize = 256;

/// This many idle connections of one thread keep the buffer that a large body needed: taking it from the kernel
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
    idle: Lanes<Mutex<Stack>>,
}

#[derive(Debug, Default)]
struct Stack {
    /// The oldest first.
    connections: Vec<Idle>,
    /// How many of them have a large buffer.
    large: usize,
    /// A task looks after them.
    is_swept: bool,
    /// When a connection of this loop was last made or came back.
    used: Option<Instant>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(target: Target, zero_copy: ZeroCopy) -> Self {
        Self { inner: Arc::new(Inner { target, zero_copy, idle: Lanes::default() }) }
    }

    /// Whether bodies from there are spliced.
    pub(super) fn zero_copy(&self) -> ZeroCopy {
        self.inner.zero_copy
    }

    pub(super) fn target(&self) -> &Target {
        &self.inner.target
    }

    /// A connection that was used before and, as far as can be known, is still good: `sure` asks
    /// the kernel, too.
    pub(super) fn take(&self, sure: bool, now: Instant) -> Option<Connection> {
        let idle = &self.inner.idle;
        let here = idle.here();
        let own = self.take_from(here, sure, now);
        // A loop that has none of its own gets by with those of others; one that has connections,
        // all in use, is busy enough for another.
        if own.is_some() || self.inner.lock(here).is_in_use(now) {
            return own;
        }
        let others = (0..idle.iter().count()).filter(|place| *place != here);
        others.into_iter().find_map(|place| self.take_from(place, sure, now))
    }

    fn take_from(&self, place: usize, sure: bool, now: Instant) -> Option<Connection> {
        loop {
            let Idle { connection, since } = self.inner.lock(place).pop()?;
            // What lies below the first that is too old is older; the sweep closes it.
            if now.saturating_duration_since(since) > IDLE {
                return None;
            }
            if connection.socket.is_quiet(sure) {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let socket = self.target().connect().await?;
        let home = self.inner.idle.here();
        self.inner.lock(home).used = Some(Instant::now());
        Ok(Connection::new(socket, home))
    }

    /// The exchange on it is complete: it may carry another one.
    pub(super) fn put(&self, mut connection: Connection, now: Instant) {
        let place = connection.home;
        let mut stack = self.inner.lock(place);
        stack.used = Some(now);
        if connection.is_large() && stack.large < MOST_LARGE {
            stack.large += 1;
        } else {
            connection.give_back();
        }
        let oldest = (stack.connections.len() >= MOST_IDLE).then(|| stack.remove_oldest(1));
        stack.connections.push(Idle { connection, since: now });
        let sweep = !std::mem::replace(&mut stack.is_swept, true);
        drop(stack);
        // Closing is for outside of the lock.
        drop(oldest);
        if sweep {
            tokio::spawn(sweep_until_empty(Arc::downgrade(&self.inner), place));
        }
    }
}

/// Closes connections whose time is over, so that nothing is held when no calls come.
async fn sweep_until_empty(pool: Weak<Inner>, place: usize) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut stack = pool.lock(place);
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
    /// Whether this loop has had a connection of its own lately.
    fn is_in_use(&self, now: Instant) -> bool {
        self.used.is_some_and(|used| now.saturating_duration_since(used) <= IDLE)
    }

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
    fn lock(&self, place: usize) -> MutexGuard<'_, Stack> {
        // Nothing that panics runs under the lock, and a list of connections is never half changed.
        self.idle[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
