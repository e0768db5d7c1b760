//! Large buffers for copying, few and hot.
//!
//! One buffer goes from output to output instead of one staying with each: a stalled function or
//! client keeps none, and what is in the processor's cache stays there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::gate::Pass;

/// Bytes of a buffer: as much as an enlarged pipe holds.
pub(super) const SIZE: usize = 256 * 1024;

/// Buffers that wait for their next use, at most.
const KEPT: usize = 4;

/// Bytes up to which a buffer's memory is small enough to keep while nothing is going on.
const LIGHT: usize = 16 * 1024;

static POOL: Mutex<Pool> = Mutex::new(Pool { buffers: Vec::new(), users: 0 });

struct Pool {
    buffers: Vec<Buffer>,
    /// Outputs that are going on.
    users: usize,
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// [`SIZE`] bytes.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    /// The most that was ever in it: so much memory it takes.
    touched: usize,
}

impl Buffer {
    /// The one that was used last, empty.
    pub(super) fn take() -> Self {
        let kept = pool().buffers.pop();
        kept.unwrap_or_else(|| Self { bytes: Vec::with_capacity(SIZE), touched: 0 })
    }

    /// What is in it, as a piece that keeps `pass` and gives the buffer back when it is dropped.
    pub(super) fn lend(self, pass: Pass) -> Bytes {
        Bytes::from_owner(Lent { buffer: Some(self), _pass: pass })
    }

    /// For the next who needs one.
    pub(super) fn give(mut self) {
        self.touched = self.touched.max(self.bytes.len());
        self.bytes.clear();
        let mut pool = pool();
        if pool.buffers.len() < KEPT && (pool.users > 0 || self.touched <= LIGHT) {
            pool.buffers.push(self);
        }
    }
}

/// A piece in a buffer, which goes back when the piece is sent.
struct Lent {
    /// Always there, until it is dropped.
    buffer: Option<Buffer>,
    _pass: Pass,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer.bytes)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            buffer.give();
        }
    }
}

/// Says that an output is going on, so that large buffers are kept.
#[derive(Debug)]
pub(super) struct Use(());

impl Use {
    pub(super) fn begin() -> Self {
        pool().users += 1;
        Self(())
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut pool = pool();
        pool.users -= 1;
        if pool.users == 0 {
            pool.buffers.retain(|buffer| buffer.touched <= LIGHT);
        }
    }
}
