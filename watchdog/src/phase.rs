//! What one connection is doing, shared between hyper's view of it (`connection`) and the calls on
//! it (`account`).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering},
};

use modes::Deadline;
use tokio::time::Instant;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Now {
    /// The first byte of all.
    New,
    /// The first byte of another request.
    Idle,
    /// The rest of a request head.
    Head,
    /// A call, and its response.
    Call,
    /// The kernel, to take the last of a response.
    Flush,
    /// Two peers that no longer speak HTTP.
    Tunnel,
}

/// A call whose response is complete, but for the kernel to take it.
pub trait Flushed: Send {
    /// The kernel has all of it `now`. Dropped before, it has not.
    fn flushed(self: Box<Self>, now: Instant);
}

/// See the module.
#[derive(Debug)]
pub struct Phase {
    now: AtomicU8,
    /// Set when a call failed after its response began.
    failed: AtomicBool,
    /// The last response's version has no framing that shows a missing end.
    http_10: AtomicBool,
    /// The status of the answer that hyper gave by itself to what was no request.
    status: AtomicU16,
    /// A request body was given up before its end.
    unread: Arc<AtomicBool>,
    /// What all bodies of the connection have, and what the kernel took of them, in bytes.
    handed: AtomicU64,
    taken: AtomicU64,
    /// What the kernel took of the connection and threw away again, in bytes.
    lost: AtomicU64,
    /// Whether a call waits in `rare` for its last bytes to be taken.
    flushing: AtomicBool,
    rare: Mutex<Rare>,
}

/// What most calls only touch to hand their entry over.
#[derive(Default)]
struct Rare {
    flushing: Vec<Box<dyn Flushed>>,
    deadline: Option<Deadline>,
    /// Why the connection is cut, when it is not the client's doing.
    why: Option<String>,
    /// The connection is gone.
    closed: bool,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            now: AtomicU8::new(Now::New as u8),
            failed: AtomicBool::new(false),
            http_10: AtomicBool::new(false),
            status: AtomicU16::new(0),
            unread: Arc::default(),
            handed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            flushing: AtomicBool::new(false),
            rare: Mutex::default(),
        }
    }
}

impl Phase {
    /// A request head is complete.
    pub fn begin_call(&self, version: http::Version) {
        self.http_10.store(version == http::Version::HTTP_10, Ordering::Relaxed);
        self.status.store(0, Ordering::Relaxed);
        self.set(Now::Call);
    }

    /// Its response is, too: `call` ends when the kernel has taken it.
    pub fn end_call(&self, call: Option<Box<dyn Flushed>>) {
        let mut rare = self.rare();
        rare.deadline = None;
        if rare.closed {
            // Dropped without the lock: a call that ends looks at `why`.
            drop(rare);
            drop(call);
            return;
        }
        if call.is_some() {
            self.flushing.store(true, Ordering::Relaxed);
        }
        rare.flushing.extend(call);
        drop(rare);
        self.set(Now::Flush);
    }

    /// The connection carries something else than HTTP from now on.
    pub fn become_tunnel(&self) {
        self.set(Now::Tunnel);
    }

    /// The response has to be over by then, whether or not the client takes it.
    pub fn bound(&self, deadline: Deadline) {
        self.rare().deadline = Some(deadline);
    }

    /// The response broke off. An HTTP/1.0 client only notices when the connection is reset.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The connection is about to be cut, for this reason. The first one counts.
    pub fn cut(&self, why: impl Into<String>) {
        self.rare().why.get_or_insert_with(|| why.into());
        self.fail();
    }

    /// Why the connection was cut, unless the client left.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.rare().why.clone()
    }

    /// Part of a request head has arrived: no call yet, and nothing else to finish.
    #[must_use]
    pub fn is_reading_head(&self) -> bool {
        matches!(self.now(), Now::New | Now::Head)
    }

    /// Where a request body notes that it was given up before its end.
    #[must_use]
    pub fn unread(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.unread)
    }

    /// The status of the answer that was given to what was no request.
    #[must_use]
    pub fn refusal(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Bytes of the bodies that are complete: where the next one begins.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Relaxed)
    }

    pub(crate) fn hand(&self, all: u64) {
        self.handed.store(all, Ordering::Relaxed);
    }

    /// Bytes of bodies that the kernel took.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, count: u64) {
        // One task writes a connection.
        self.taken.store(self.taken() + count, Ordering::Relaxed);
    }

    /// Bytes that the kernel took and will not send any more: the end of everything written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn lose(&self, count: u64) {
        self.lost.store(count, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Now {
        const ALL: [Now; 6] = [Now::New, Now::Idle, Now::Head, Now::Call, Now::Flush, Now::Tunnel];
        ALL[usize::from(self.now.load(Ordering::Relaxed))]
    }

    /// A call's response is not all with the kernel yet.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.now(), Now::Call | Now::Flush)
    }

    pub(crate) fn set(&self, now: Now) {
        self.now.store(now as u8, Ordering::Relaxed);
    }

    /// The kernel has taken everything that was written. If a call ended with it, says when that
    /// was.
    pub(crate) fn flushed(&self) -> Option<Instant> {
        if self.now() == Now::Flush {
            self.set(Now::Idle);
        }
        if !self.flushing.swap(false, Ordering::Relaxed) {
            return None;
        }
        let now = Instant::now();
        // Without the lock, and with the room kept for the next.
        let mut done = std::mem::take(&mut self.rare().flushing);
        done.drain(..).for_each(|call| call.flushed(now));
        let mut rare = self.rare();
        if rare.flushing.is_empty() {
            rare.flushing = done;
        }
        Some(now)
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.rare().deadline
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether a client of HTTP/1.0 has to be told by a reset.
    pub(crate) fn needs_reset(&self) -> bool {
        self.failed.load(Ordering::Relaxed) && self.http_10.load(Ordering::Relaxed)
    }

    /// The connection is gone: what was not flushed never will be.
    pub(crate) fn close(&self) {
        let mut rare = self.rare();
        rare.closed = true;
        let lost = std::mem::take(&mut rare.flushing);
        // Dropped without the lock: a call that ends looks at `why`.
        drop(rare);
        drop(lost);
    }

    fn rare(&self) -> MutexGuard<'_, Rare> {
        // Nothing that panics runs under the lock.
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Rare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rare")
            .field("flushing", &self.flushing.len())
            .field("deadline", &self.deadline)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}
