//! A range of a file as a body, read while it is sent.
//!
//! Reads are positional, so that several bodies can share one descriptor, and run on tokio's
//! blocking threads, so that a cold disk never stops the event loop. Nothing is read ahead: the
//! next chunk is asked for when the connection takes it, and the socket's buffer hides the wait.

use std::{
    fs::File,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::{buffer::spare_capacity, io::pread, io::retry_on_intr};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::Error;

/// Files of fewer bytes are read whole: what is gained by anything else is less than it costs.
pub(crate) const SMALL: usize = 64 * 1024;

/// What the first read asks for, in bytes.
const FIRST_CHUNK: usize = SMALL;

/// What a read asks for once a file has turned out to be long, in bytes. One such buffer exists
/// for each body that is being sent.
const LARGEST_CHUNK: usize = 256 * 1024;

/// What an [`Error::Io`] of this file was doing.
const READING: &str = "reading the file behind a response";

/// Exactly `length` bytes of a file, beginning at `offset`.
///
/// The length is a promise that goes out as Content-Length before the bytes are read. When the
/// file was cut short meanwhile the body ends in [`Error::Io`] (kind
/// [`io::ErrorKind::UnexpectedEof`]) and never in a shorter body that looks complete; bytes that
/// were appended meanwhile are not sent.
///
/// Has to be polled inside a tokio runtime.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    /// Of the first byte that is not read yet.
    offset: u64,
    /// Bytes not handed out yet; those that `reading` fetches still count.
    remaining: u64,
    /// What the next read asks for at most.
    chunk: usize,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// `length` bytes of `file` from `offset` on, both in bytes. The file's own position is
    /// neither used nor moved.
    #[must_use]
    pub(crate) fn new(file: impl Into<Arc<File>>, offset: u64, length: u64) -> Self {
        Self { file: file.into(), offset, remaining: length, chunk: FIRST_CHUNK, reading: None }
    }

    /// Starts the next read. `remaining` is not 0.
    fn read(&mut self) -> JoinHandle<io::Result<Bytes>> {
        let length = usize::try_from(self.remaining).map_or(self.chunk, |all| all.min(self.chunk));
        self.chunk = (self.chunk * 2).min(LARGEST_CHUNK);
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        spawn_blocking(move || read_exact_at(&file, offset, length))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.remaining == 0 {
            return Poll::Ready(None);
        }
        let mut reading = this.reading.take().unwrap_or_else(|| this.read());
        let Poll::Ready(joined) = Pin::new(&mut reading).poll(cx) else {
            this.reading = Some(reading);
            return Poll::Pending;
        };
        Poll::Ready(Some(match joined.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(bytes) => {
                this.offset += bytes.len() as u64;
                this.remaining -= bytes.len() as u64;
                Ok(Frame::data(bytes))
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
