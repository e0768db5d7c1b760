//! A range of a file as a body: sent by the kernel, or read while it is sent.
//!
//! Reads are positional, so that several bodies can share one descriptor. What the page cache holds
//! is read, or sent, at once; for anything else one of tokio's blocking threads waits, so that a
//! cold disk never stops the event loop.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::{
    buffer::spare_capacity,
    io::{ReadWriteFlags, pread, preadv2, retry_on_intr},
};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    error::Error,
    zero_copy::{Data, LONGEST, Range, ZeroCopy},
};

/// Files of fewer bytes are read whole: what is gained by anything else is less than it costs.
pub(crate) const SMALL: usize = 64 * 1024;

/// What the first read asks for, in bytes.
const FIRST_CHUNK: usize = SMALL;

/// What a read asks for once a file has turned out to be long, in bytes. One such buffer exists
/// for each body that is being sent.
const LARGEST_CHUNK: usize = 256 * 1024;

/// The kernel reads ahead at least this far (`read_ahead_kb`), so a range is taken to be in memory
/// when one byte in so many is.
const READ_AHEAD: usize = 128 * 1024;

/// What an [`Error::Io`] of this file was doing.
const READING: &str = "reading the file behind a response";

/// Who moves a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// This process.
    Copy,
    /// The kernel, if they are [`SMALL`] or more.
    Kernel,
}

impl From<ZeroCopy> for Transfer {
    fn from(zero_copy: ZeroCopy) -> Self {
        match zero_copy {
            ZeroCopy::Auto | ZeroCopy::On => Self::Kernel,
            ZeroCopy::Off => Self::Copy,
        }
    }
}

/// Exactly `length` bytes of a file, beginning at `offset`.
///
/// The length is a promise that goes out as Content-Length before the bytes are read. When the
/// file was cut short meanwhile the body ends in [`Error::Io`] (kind
/// [`io::ErrorKind::UnexpectedEof`]), or the connection does, and never in a shorter body that
/// looks complete; bytes that were appended meanwhile are not sent.
///
/// Has to be polled inside a tokio runtime.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    /// Of the first byte that is not handed out yet.
    offset: u64,
    /// Bytes not handed out yet; those that `waiting` is for still count.
    remaining: u64,
    /// What the next read asks for at most.
    chunk: usize,
    transfer: Transfer,
    /// Of the whole file, if this is the whole file.
    warmth: Option<Arc<Warmth>>,
    waiting: Option<JoinHandle<io::Result<Data>>>,
}

/// When a file that is sent again and again was last seen to be in memory, all of it.
#[derive(Debug, Default)]
pub(crate) struct Warmth(AtomicU64);

impl Warmth {
    /// What the page cache held less than a second ago it holds still, or one wait does no harm.
    fn is_recent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::now()
    }

    fn note(&self) {
        self.0.store(Self::now(), Ordering::Relaxed);
    }

    /// Never 0.
    fn now() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs() + 1
    }
}

impl FileBody {
    /// `length` bytes of `file` from `offset` on, both in bytes. The file's own position is
    /// neither used nor moved.
    #[must_use]
    pub(crate) fn new(
        file: impl Into<Arc<File>>,
        offset: u64,
        length: u64,
        transfer: Transfer,
    ) -> Self {
        let transfer = if length < SMALL as u64 { Transfer::Copy } else { transfer };
        Self {
            file: file.into(),
            offset,
            remaining: length,
            chunk: FIRST_CHUNK,
            transfer,
            warmth: None,
            waiting: None,
        }
    }

    /// Says that this is a whole file, of which this is known.
    pub(crate) fn whole(self, warmth: Arc<Warmth>) -> Self {
        // A longer one is looked at piece by piece.
        let is_one_piece = self.remaining <= LONGEST as u64;
        Self { warmth: Some(warmth).filter(|_| is_one_piece), ..self }
    }

    /// At most `most` bytes, and at most all that remain.
    fn next_length(&self, most: usize) -> usize {
        usize::try_from(self.remaining).map_or(most, |all| all.min(most))
    }

    /// The next piece, or somebody who waits for it. `remaining` is not 0.
    fn next(&mut self) -> Result<Data, JoinHandle<io::Result<Data>>> {
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        if self.transfer == Transfer::Kernel {
            let length = self.next_length(LONGEST);
            if let Some(range) = Range::of_file(Arc::clone(&file), offset, length) {
                let warmth = self.warmth.clone();
                if warmth.as_ref().is_some_and(|warmth| warmth.is_recent()) {
                    return Ok(range.into());
                }
                if is_in_memory(&file, offset, length) {
                    warmth.inspect(|warmth| warmth.note());
                    return Ok(range.into());
                }
                return Err(spawn_blocking(move || {
                    fetch(&file, offset, length)?;
                    warmth.inspect(|warmth| warmth.note());
                    Ok(range.into())
                }));
            }
        }
        let length = self.next_length(self.chunk);
        self.chunk = (self.chunk * 2).min(LARGEST_CHUNK);
        if let Some(bytes) = read_cached(&file, offset, length) {
            return Ok(bytes.into());
        }
        Err(spawn_blocking(move || read_exact_at(&file, offset, length).map(Data::Bytes)))
    }
}

impl Body for FileBody {
    type Data = Data;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Error>>> {
        let this = self.get_mut();
        if this.remaining == 0 {
            return Poll::Ready(None);
        }
        let next = match this.waiting.take().map_or_else(|| this.next(), Err) {
            Ok(data) => Ok(data),
            Err(mut waiting) => match Pin::new(&mut waiting).poll(cx) {
                Poll::Ready(joined) => joined.unwrap_or_else(|error| Err(io::Error::other(error))),
                Poll::Pending => {
                    this.waiting = Some(waiting);
                    return Poll::Pending;
                }
            },
        };
        Poll::Ready(Some(match next {
            Ok(data) => {
                let length = bytes::Buf::remaining(&data) as u64;
                this.offset += length;
                this.remaining -= length;
                Ok(Frame::data(data))
            }
            Err(source) => {
                this.remaining = 0;
                Err(Error::Io { doing: READING, source })
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// Whether sending this range would wait for no disk, as far as one can tell without reading it.
///
/// File systems that cannot read without waiting (overlayfs, tmpfs) cannot tell either.
fn is_in_memory(file: &File, offset: u64, length: usize) -> bool {
    probes(offset, length).all(|position| {
        let mut byte = [0];
        let mut bytes = [IoSliceMut::new(&mut byte)];
        // At the end of a file that was cut short there is nothing to wait for.
        retry_on_intr(|| preadv2(file, &mut bytes, position, ReadWriteFlags::NOWAIT)).is_ok()
    })
}

/// Brings a range into memory. Blocks.
fn fetch(file: &File, offset: u64, length: usize) -> io::Result<()> {
    for position in probes(offset, length) {
        let mut byte = [0_u8; 1];
        retry_on_intr(|| pread(file, &mut byte[..], position))?;
    }
    Ok(())
}

/// Where to look at a range that is not empty: every so often, and at its last byte.
fn probes(offset: u64, length: usize) -> impl Iterator<Item = u64> {
    let last = offset + length as u64 - 1;
    (offset..last).step_by(READ_AHEAD).chain([last])
}

/// `length` bytes of `file` from `offset` on, if they can be had without waiting.
fn read_cached(file: &File, offset: u64, length: usize) -> Option<Bytes> {
    let mut bytes = vec![0; length];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    match preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == length => Some(bytes.into()),
        // What is wrong with it, if anything, the read that waits will find.
        Ok(_) | Err(_) => None,
    }
}

/// `length` bytes of `file` from `offset` on. Blocks.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the file ends before; else what pread(2) says.
pub(crate) fn read_exact_at(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let position = offset + bytes.len() as u64;
        if retry_on_intr(|| pread(file, spare_capacity(&mut bytes), position))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // A vector may have more room than it was asked for.
    bytes.truncate(length);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
