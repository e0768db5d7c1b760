//! From slices, some of which stand for ranges, to a socket.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    task::{Context, Poll, ready},
};

use rustix::{
    fs::sendfile,
    io::{Errno, ioctl_fionread, pread, retry_on_intr},
    net::{SendAncillaryBuffer, SendFlags, send, sendmsg},
    pipe::{SpliceFlags, splice},
};
use tokio::{io::Interest, net::TcpStream};

use super::{
    range::{self, Origin, Source},
    region, trial,
};

/// Why bytes could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The receiver is gone, or the network is.
    #[error(transparent)]
    Socket(io::Error),
    /// What was to be sent is not there.
    #[error("{what}: {why}")]
    Source {
        /// What was being done.
        what: &'static str,
        /// The kernel's reason.
        why: io::Error,
    },
}

/// Writes `slices` in order, as far as the socket takes them; how many bytes it took.
///
/// # Errors
/// Those of the socket, and of the files and pipes behind the slices: then the promise of a length
/// that went out is broken, and the connection has to be cut.
pub fn poll_send(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<Result<usize, Failure>> {
    loop {
        ready!(socket.poll_write_ready(cx)).map_err(Failure::Socket)?;
        let mut result = Ok(0);
        // The readiness is taken back when the socket is full, even if it took something.
        let full = socket.try_io(Interest::WRITABLE, || {
            let mut progress = Progress { bytes: 0, is_full: false };
            let sent = trial::timed_splice(|| send_all(socket, slices, &mut progress));
            // An error comes again, so what was sent before it counts first.
            result = if progress.bytes > 0 { Ok(progress.bytes) } else { sent.map(|()| 0) };
            if progress.is_full { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match result {
            Ok(0) if full.is_err() => {}
            result => return Poll::Ready(result),
        }
    }
}

struct Progress {
    bytes: usize,
    /// The socket takes no more for now.
    is_full: bool,
}

/// Until the end, an error, or the socket is full.
fn send_all(
    socket: impl AsFd,
    slices: &[IoSlice<'_>],
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut rest = slices;
    while !rest.is_empty() && !progress.is_full {
        let plain = rest.iter().take_while(|slice| !region::is_reserved(slice)).count();
        let (run, behind) = rest.split_at(plain);
        if let (true, Some((slice, behind))) = (run.is_empty(), behind.split_first()) {
            // More is only promised if it follows at once: else the end would wait for 200 ms.
            move_range(&socket, slice, !behind.is_empty(), progress)?;
            rest = behind;
        } else {
            send_bytes(&socket, run, !behind.is_empty(), progress)?;
            rest = behind;
        }
    }
    Ok(())
}

fn send_bytes(
    socket: impl AsFd,
    slices: &[IoSlice<'_>],
    more: bool,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let flags = if more { flags | SendFlags::MORE } else { flags };
    let length: usize = slices.iter().map(|slice| slice.len()).sum();
    if length == 0 {
        return Ok(());
    }
    let mut control = SendAncillaryBuffer::default();
    match retry_on_intr(|| sendmsg(&socket, slices, &mut control, flags)) {
        Ok(sent) => {
            progress.bytes += sent;
            progress.is_full = sent < length;
            Ok(())
        }
        Err(Errno::AGAIN) => {
            progress.is_full = true;
            Ok(())
        }
        Err(error) => Err(Failure::Socket(error.into())),
    }
}

/// All of the range that `slice` stands for.
fn move_range(
    socket: impl AsFd,
    slice: &[u8],
    more: bool,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let source = region::number(slice).and_then(range::source);
    let Some(source) = source else {
        let why = io::Error::other("no range has this number");
        return Err(Failure::Source { what: "sending a response", why });
    };
    let mut left = slice.len();
    while left > 0 {
        let done = slice.len() - left;
        let moved = match &source.origin {
            Origin::File { file, start } => {
                move_file(&socket, file, source.offset(*start) + done as u64, left)
            }
            Origin::Pipe(pipe) => move_pipe(&socket, pipe, left, more),
            Origin::Conduit(exit) => move_pipe(&socket, exit, left, more),
        };
        match moved {
            Ok(0) => return Err(missing(&source)),
            Ok(moved) => {
                progress.bytes += moved;
                left -= moved;
            }
            Err(Errno::AGAIN) => {
                // Nobody else reads the pipe, so it holds what was promised, unless a call was
                // given up and its pipe is being emptied.
                if let Origin::Pipe(pipe) = &source.origin
                    && ioctl_fionread(pipe).is_ok_and(|there| there < left as u64)
                {
                    return Err(missing(&source));
                }
                progress.is_full = true;
                return Ok(());
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(blame(error)),
        }
    }
    Ok(())
}

/// sendfile(2) knows from the count that more follows, and never waits for it at the end.
fn move_file(
    socket: impl AsFd,
    file: impl AsFd,
    offset: u64,
    count: usize,
) -> Result<usize, Errno> {
    let mut position = offset;
    match sendfile(&socket, &file, Some(&mut position), count) {
        // A file system whose files cannot be spliced.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let mut bytes = vec![0; count.min(64 * 1024)];
            let got = pread(&file, &mut bytes[..], offset)?;
            send(&socket, &bytes[..got], SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        }
        done => done,
    }
}

fn move_pipe(socket: impl AsFd, pipe: impl AsFd, count: usize, more: bool) -> Result<usize, Errno> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let flags = if more { flags | SpliceFlags::MORE } else { flags };
    splice(pipe, None, socket, None, count, flags)
}

fn missing(source: &Source) -> Failure {
    let what = match source.origin {
        Origin::File { .. } => "sending the file behind a response",
        Origin::Pipe(_) | Origin::Conduit(_) => "sending the function's output",
    };
    Failure::Source { what, why: io::ErrorKind::UnexpectedEof.into() }
}

/// One call has two ends that can fail; these errors are only ever a file's.
fn blame(error: Errno) -> Failure {
    match error {
        Errno::IO | Errno::STALE | Errno::BADF | Errno::INVAL | Errno::ISDIR => {
            Failure::Source { what: "sending the file behind a response", why: error.into() }
        }
        other => Failure::Socket(other.into()),
    }
}
