//! What a large proxied body goes through: a buffer that is hot, or a pipe of ours, which splice(2)
//! needs between two sockets.
//!
//! One piece at a time is under way. So splicing into the pipe can only fail because the socket is
//! dry, a slow client holds one piece of memory, and a buffer is free again for whichever body has
//! its turn next. A pipe never serves a second body: what a client left in it is gone with it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf as _, BufMut as _};
use rustix::{
    io::{ioctl_fionread, retry_on_intr},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    Data, Range, ZeroCopy,
    buffers::{self, Buffer},
    gate::Gate,
    outflow::{WORTH_SPLICING, is_readable},
    range::LONGEST,
    trial::{self, Way},
};

/// A body that has at least so much to come is worth a large buffer or a pipe.
const LARGE: u64 = 64 * 1024;

/// Carries one body from the socket it arrives on.
#[derive(Debug)]
pub(crate) struct Conduit {
    policy: ZeroCopy,
    pipe: Option<Pipe>,
    /// Since the body has turned out to be a large one.
    large: Option<buffers::Use>,
    /// Closed while a piece is under way.
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
        Self { policy, pipe: None, large: None, gate: Arc::default() }
    }

    /// How the next of `coming` bytes are to be moved. `None` when they are too few to think about
    /// it.
    pub(crate) fn choose(&mut self, coming: u64) -> Option<Way> {
        if coming < if self.large.is_some() { WORTH_SPLICING as u64 } else { LARGE } {
            return None;
        }
        self.large.get_or_insert_with(buffers::Use::begin);
        Some(match self.policy {
            ZeroCopy::Off => Way::Copy,
            ZeroCopy::On => Way::Splice,
            ZeroCopy::Auto => trial::choose(),
        })
    }

    /// Whether nothing is under way. If something is, the task is woken once it is sent.
    pub(crate) fn is_free(&self, cx: &Context<'_>) -> bool {
        self.gate.is_open(cx)
    }

    /// Reads up to `most` bytes from a socket. `None` at its end.
    pub(crate) fn poll_copy(
        &self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncRead + Unpin),
        most: u64,
    ) -> Poll<io::Result<Option<Data>>> {
        let mut buffer = Buffer::take();
        let most = usize::try_from(most).unwrap_or(buffers::SIZE).min(buffers::SIZE);
        let mut room = (&mut buffer.bytes).limit(most);
        let read = pin!(socket.read_buf(&mut room)).poll(cx);
        if let Poll::Ready(Ok(1..)) = read {
            return Poll::Ready(Ok(Some(buffer.lend(self.gate.pass()).into())));
        }
        buffer.give();
        read.map_ok(|_| None)
    }

    /// Splices up to `most` bytes out of a socket without waiting. `None` when what is there has to
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

/// Runs `take`, which takes a piece `way`; while both ways are measured, that counts.
pub(crate) fn timed_take<E>(
    way: Way,
    take: impl FnOnce() -> Poll<Result<Option<Data>, E>>,
) -> Poll<Result<Option<Data>, E>> {
    trial::timed_take(way, || {
        let taken = take();
        let length = match &taken {
            Poll::Ready(Ok(Some(data))) => data.remaining(),
            _ => 0,
        };
        (taken, length)
    })
}
