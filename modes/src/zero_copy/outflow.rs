//! A process's output as it flows to a client: piece by piece, copied or spliced.
//!
//! At most one large piece is under way. The bytes of a spliced piece are still in the pipe, so
//! whatever else is taken out of it meanwhile would be those; and a copied piece has the buffer
//! that the next one is to be read into while it is hot.

use std::{
    io,
    os::fd::AsFd,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::{ioctl_fionread, read, retry_on_intr},
    pipe::fcntl_setpipe_size,
};
use tokio::net::unix::pipe;

use super::{
    Data, Range, ZeroCopy,
    buffers::{self, Buffer},
    gate::Gate,
    range::LONGEST,
    trial::{self, Way},
};

/// An output that fills a pipe of the default size (pipe(7)) once is a large one.
const LARGE: usize = 64 * 1024;

/// Less is copied always: two system calls instead of five.
pub(super) const WORTH_SPLICING: usize = 16 * 1024;

/// Up to this many bytes are copied once more, so that several of them can be under way.
const TINY: usize = 4 * 1024;

/// Reads one process's standard output.
#[derive(Debug)]
pub(crate) struct Outflow {
    pipe: Arc<pipe::Receiver>,
    policy: ZeroCopy,
    is_large: bool,
    /// Closed while a piece is under way.
    gate: Arc<Gate>,
    _use: buffers::Use,
}

impl Outflow {
    pub(crate) fn new(pipe: Arc<pipe::Receiver>, policy: ZeroCopy) -> Self {
        let gate = Arc::default();
        Self { pipe, policy, is_large: false, gate, _use: buffers::Use::begin() }
    }

    #[cfg(test)]
    pub(super) fn pretend_large(&mut self) {
        self.is_large = true;
    }

    /// The next piece; `None` at the end of output. A piece has to be dropped before the next one
    /// is there, so a range among them has to be sent, or be the last.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Data>>> {
        if !self.gate.is_open(cx) {
            return Poll::Pending;
        }
        let pipe = Arc::clone(&self.pipe);
        loop {
            ready!(pipe.poll_read_ready(cx))?;
            match pipe.try_io(|| self.take()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Data>> {
        if !self.is_large {
            return self.copy();
        }
        let way = match self.policy {
            ZeroCopy::On => return self.splice(),
            ZeroCopy::Off => return self.copy(),
            ZeroCopy::Auto => trial::choose(),
        };
        trial::timed_take(way, || {
            let taken = match way {
                Way::Copy => self.copy(),
                Way::Splice => self.splice(),
            };
            let length = match &taken {
                Ok(Some(data)) => bytes::Buf::remaining(data),
                Ok(None) | Err(_) => 0,
            };
            (taken, length)
        })
    }

    fn copy(&mut self) -> io::Result<Option<Data>> {
        let mut buffer = Buffer::take();
        let length = match retry_on_intr(|| read(&self.pipe, spare_capacity(&mut buffer.bytes))) {
            Ok(length) => length,
            Err(error) => {
                buffer.give();
                return Err(error.into());
            }
        };
        if length >= LARGE && !self.is_large {
            self.is_large = true;
            // Refused (EPERM) when the user's pipes hold too much already: then it stays as it is.
            let _ = fcntl_setpipe_size(&self.pipe, buffers::SIZE);
        }
        Ok(match length {
            0 => {
                buffer.give();
                None
            }
            1..=TINY => {
                let bytes = Bytes::copy_from_slice(&buffer.bytes);
                buffer.give();
                Some(bytes.into())
            }
            _ => Some(buffer.lend(self.gate.pass()).into()),
        })
    }

    fn splice(&mut self) -> io::Result<Option<Data>> {
        let there = usize::try_from(ioctl_fionread(&self.pipe)?).unwrap_or(LONGEST);
        if there == 0 && !is_readable(&*self.pipe)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if there < WORTH_SPLICING {
            // An empty pipe that is readable has ended, or has got something meanwhile.
            return self.copy();
        }
        let pipe = Arc::clone(&self.pipe);
        match Range::of_pipe(pipe, there.min(LONGEST), self.gate.pass()) {
            Some(range) => Ok(Some(range.into())),
            None => self.copy(),
        }
    }
}

/// Whether there is something in a pipe or socket, or nobody left who could write.
pub(super) fn is_readable(source: impl AsFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(&source, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(retry_on_intr(|| poll(&mut fds, Some(&now)))? > 0)
}
