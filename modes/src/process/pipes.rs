//! The pipes between the watchdog and one process.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use rustix::{
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use tokio::net::unix::pipe;

use super::Unfed;

/// Our ends of a process's pipes, non-blocking and closed on exec.
#[derive(Debug)]
pub struct Pipes {
    /// What of the input is not in the pipe yet, if anything.
    pub unfed: Option<Unfed>,
    /// Standard output.
    pub stdout: Arc<pipe::Receiver>,
    /// Present with [`Stderr::Pipe`](super::Stderr::Pipe).
    pub stderr: Option<pipe::Receiver>,
}

/// A new pipe: the end to read from, the end to write to. Both are closed on exec, and neither has
/// the number of a standard stream.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((above_standard(read)?, above_standard(write)?))
}

/// The runtime opens the three standard streams when they are closed at start, so that this has
/// nothing to do; a child whose pipe had such a number would lose it.
pub(super) fn above_standard(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() > 2 {
        return Ok(descriptor);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&descriptor, 3)?)
}

/// Our end of a new pipe, watched by the reactor.
pub(super) fn receiver(end: OwnedFd) -> io::Result<pipe::Receiver> {
    do_not_block(end.as_fd())?;
    pipe::Receiver::from_owned_fd_unchecked(end)
}

/// The end of a pipe has no other flags that this could take away.
pub(super) fn do_not_block(end: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?)
}

/// Writes what a pipe can take now, and leaves the rest in `bytes`; `false` when nobody reads it.
pub(super) fn fill(end: BorrowedFd<'_>, bytes: &mut Bytes) -> io::Result<bool> {
    while !bytes.is_empty() {
        match rustix::io::write(end, bytes) {
            Ok(written) => bytes.advance(written),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(Errno::PIPE) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
