//! One thing in flight at a time.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

/// Closed while a [`Pass`] is out.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_closed: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Gate {
    /// Whether nothing is in flight. If something is, the task is woken once it has landed.
    pub(super) fn is_open(&self, cx: &Context<'_>) -> bool {
        if !self.is_closed.load(Ordering::Acquire) {
            return true;
        }
        *self.waiting() = Some(cx.waker().clone());
        // It may have opened before the waker was in place.
        !self.is_closed.load(Ordering::Acquire)
    }

    /// Closes the gate until the pass is dropped.
    pub(super) fn pass(self: &Arc<Self>) -> Pass {
        self.is_closed.store(true, Ordering::Release);
        Pass { gate: Arc::clone(self) }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps its gate closed.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.is_closed.store(false, Ordering::Release);
        let waiting = self.gate.waiting().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}
