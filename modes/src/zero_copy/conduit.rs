//! A pipe of ours between two sockets: what splice(2) needs to move a proxied body.
//!
//! One piece at a time is in it, so that splicing into it can only fail because the socket is dry,
//! and a slow client holds one piece of kernel memory. A pipe never serves a second body: what a
//! client left in it is gone with it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf as _;
use rustix::{
    io::{ioctl_fionread, retry_on_intr},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};

use super::{
    Data, Range, ZeroCopy, buffers,
    gate::Gate,
    outflow::{WORTH_SPLICING, is_readable},
    range::LONGEST,
    trial::{self, Way},
};

/// A body that has at least so much to come is worth a pipe.
const LARGE: u64 = 64 * 1024;

/// Carries one body from the socket it arrives on.
#[derive(Debug)]
pub(crate) struct Conduit {
    policy: ZeroCopy,
    pipe: Option<Pipe>,
    /// Closed while a piece is in the pipe.
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Pipe {
    /// Shared with the piece that is under way.
    exit: Arc<OwnedFd>,
    entry: OwnedFd,
}

impl Conduit {
    pub(crate) fn new(policy: ZeroCopy) -> Self {
        Self { policy, pipe: None, gate: Arc::default() }
    }

    /// How the next of `coming` bytes are to be moved. `None` when they are too few to think about
    /// it; then they are copied, too.
    pub(crate) fn choose(&mut self, coming: u64) -> Option<Way> {
        if coming < if self.pipe.is_some() { WORTH_SPLICING as u64 } else { LARGE } {
            return None;
        }
        match self.policy {
            ZeroCopy::Off => None,
            ZeroCopy::On => Some(Way::Splice),
            ZeroCopy::Auto => Some(trial::choose()),
        }
    }

    /// Whether the pipe is empty. If it is not, the task is woken once it is.
    pub(crate) fn is_free(&self, cx: &Context<'_>) -> bool {
        self.gate.is_open(cx)
    }

    /// Takes up to `most` bytes out of a socket without waiting. `None` when what is there has to
    /// be copied: too little, the end, or this process has no more descriptors.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is dry, and the socket's own.
    pub(crate) fn take(&mut self, socket: impl AsFd, most: u64) -> io::Result<Option<Data>> {
        let there = ioctl_fionread(&socket)?;
        if there == 0 && !is_readable(&socket)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = usize::try_from(there.min(most)).unwrap_or(LONGEST).min(LONGEST);
        if length < WORTH_SPLICING {
            return Ok(None);
        }
        let gate = Arc::clone(&self.gate);
        let Some(pipe) = self.pipe() else { return Ok(None) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = retry_on_intr(|| splice(&socket, None, &pipe.entry, None, length, flags))?;
        if moved == 0 {
            return Ok(None);
        }
        Range::of_conduit(&pipe.exit, moved, gate.pass()).map(Some)
    }

    fn pipe(&mut self) -> Option<&Pipe> {
        if self.pipe.is_none() {
            let (exit, entry) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // Refused (EPERM) when the user's pipes hold too much already: then it stays as it is.
            let _ = fcntl_setpipe_size(&entry, buffers::SIZE);
            self.pipe = Some(Pipe { exit: Arc::new(exit), entry });
        }
        self.pipe.as_ref()
    }
}

/// Runs `take`, which splices into a conduit; while both ways are measured, that counts.
pub(crate) fn timed_splice_in<E>(
    take: impl FnOnce() -> Poll<Result<Option<Data>, E>>,
) -> Poll<Result<Option<Data>, E>> {
    trial::timed_take(Way::Splice, || {
        let taken = take();
        let length = match &taken {
            Poll::Ready(Ok(Some(data))) => data.remaining(),
            _ => 0,
        };
        (taken, length)
    })
}

/// Runs `read`, which copies a part of a large body from its socket.
pub(crate) fn timed_read<E>(
    way: Way,
    read: impl FnOnce() -> Poll<Result<usize, E>>,
) -> Poll<Result<usize, E>> {
    trial::timed_take(way, || {
        let done = read();
        let length = if let Poll::Ready(Ok(length)) = done { length } else { 0 };
        (done, length)
    })
}
