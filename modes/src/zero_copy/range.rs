//! Some bytes of a file or pipe, as a buffer that hyper can queue.

use std::{
    fmt,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, Bytes};
use rustix::{
    buffer::spare_capacity,
    io::{pread, read, retry_on_intr},
};
use tokio::net::unix::pipe;

use super::{Data, gate::Pass, region};

/// The most bytes of one range: what a connection has in its queue is bounded by it.
pub(crate) const LONGEST: usize = region::LONGEST;

/// What a range's bytes come from.
pub(super) struct Source {
    pub(super) origin: Origin,
    /// How many of its bytes are sent. Written by who advances the buffer, read by who sends it.
    sent: AtomicUsize,
}

pub(super) enum Origin {
    File {
        file: Arc<File>,
        start: u64,
    },
    Pipe(Arc<pipe::Receiver>),
    /// A pipe of ours, which holds the range and nothing else.
    Conduit(Arc<OwnedFd>),
}

impl Source {
    /// Where a file's next byte is.
    pub(super) fn offset(&self, start: u64) -> u64 {
        start + self.sent.load(Ordering::Relaxed) as u64
    }
}

/// Bytes that the kernel can move to a socket. Its slice must not be read.
pub struct Range {
    source: Arc<Source>,
    number: usize,
    remaining: usize,
    /// Of a pipe: the next range of it waits until this one is gone.
    _pass: Option<Pass>,
}

/// The ranges there are, by number: this is how the slices that come back from hyper are told
/// apart. Locked for some instructions a range, so one table does for all threads.
static LIVE: Mutex<Live<Arc<Source>>> = Mutex::new(Live::new());

struct Live<T> {
    sources: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Live<T> {
    const fn new() -> Self {
        Self { sources: Vec::new(), free: Vec::new() }
    }

    /// Its number, unless all are taken.
    fn add(&mut self, source: T) -> Option<usize> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.sources.len() < region::NUMBERS => {
                self.sources.push(None);
                self.sources.len() - 1
            }
            None => return None,
        };
        self.sources[number] = Some(source);
        Some(number)
    }

    fn remove(&mut self, number: usize) {
        self.sources[number] = None;
        self.free.push(number);
        if self.free.len() == self.sources.len() && self.sources.len() > BUSY {
            // Nothing is in flight: the memory of the busiest moment is given back.
            *self = Self::new();
        }
    }
}

/// As many numbers are kept.
const BUSY: usize = 64;

fn live() -> MutexGuard<'static, Live<Arc<Source>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the slice that stands for `number` is to be replaced with.
pub(super) fn source(number: usize) -> Option<Arc<Source>> {
    live().sources.get(number).cloned().flatten()
}

/// Whether a slice stands for bytes of a file, all of which are there at once.
#[must_use]
pub fn is_of_file(slice: &[u8]) -> bool {
    let source = region::number(slice).and_then(source);
    source.is_some_and(|source| matches!(source.origin, Origin::File { .. }))
}

impl Range {
    /// `length` bytes of `file` from `start` on. `None` when they have to be copied after all:
    /// there is no region, it is used up, or `length` is 0 or more than [`LONGEST`].
    pub(crate) fn of_file(file: Arc<File>, start: u64, length: usize) -> Option<Self> {
        Self::new(Origin::File { file, start }, length, None)
    }

    /// The next `length` bytes of a pipe, which must be in it. `None` as with files.
    pub(super) fn of_pipe(pipe: Arc<pipe::Receiver>, length: usize, pass: Pass) -> Option<Self> {
        Self::new(Origin::Pipe(pipe), length, Some(pass))
    }

    /// All that is in a pipe of ours, `length` bytes: read now if they cannot be a range.
    ///
    /// # Errors
    /// The kernel's about reading.
    pub(super) fn of_conduit(exit: &Arc<OwnedFd>, length: usize, pass: Pass) -> io::Result<Data> {
        if let Some(range) = Self::new(Origin::Conduit(Arc::clone(exit)), length, Some(pass)) {
            return Ok(range.into());
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if retry_on_intr(|| read(exit, spare_capacity(&mut bytes)))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Bytes::from(bytes).into())
    }

    fn new(origin: Origin, length: usize, pass: Option<Pass>) -> Option<Self> {
        if length == 0 || length > LONGEST || !region::is_there() {
            return None;
        }
        let source = Arc::new(Source { origin, sent: AtomicUsize::new(0) });
        let number = live().add(Arc::clone(&source))?;
        Some(Self { source, number, remaining: length, _pass: pass })
    }

    /// Reads what is left. Blocks if the file's disk does.
    ///
    /// # Errors
    /// What the kernel says, and `UnexpectedEof` when something is missing.
    pub(super) fn into_bytes(mut self) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(self.remaining);
        while bytes.len() < self.remaining {
            let got = match &self.source.origin {
                Origin::File { file, start } => {
                    let position = self.source.offset(*start) + bytes.len() as u64;
                    retry_on_intr(|| pread(file, spare_capacity(&mut bytes), position))?
                }
                Origin::Pipe(pipe) => read_some(pipe, &mut bytes, self.remaining)?,
                Origin::Conduit(exit) => read_some(exit, &mut bytes, self.remaining)?,
            };
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        bytes.truncate(self.remaining);
        self.remaining = 0;
        Ok(bytes.into())
    }
}

/// Until `length` bytes are there, and none that belongs to the next range.
fn read_some(pipe: impl AsFd, bytes: &mut Vec<u8>, length: usize) -> io::Result<usize> {
    let mut piece = vec![0; length - bytes.len()];
    let got = retry_on_intr(|| read(&pipe, &mut piece[..]))?;
    bytes.extend_from_slice(&piece[..got]);
    Ok(got)
}

impl Buf for Range {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        region::stand_in(self.number, self.remaining)
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining, "a range ends where it ends");
        self.remaining -= count;
        self.source.sent.fetch_add(count, Ordering::Relaxed);
    }

    /// Unlike the default, which would read the slice.
    fn copy_to_bytes(&mut self, _: usize) -> Bytes {
        panic!("a range is sent, or read with `Data::into_bytes`")
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        live().remove(self.number);
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.source.origin {
            Origin::File { .. } => "file",
            Origin::Pipe(_) => "pipe",
            Origin::Conduit(_) => "socket",
        };
        write!(f, "Range({} bytes of a {origin})", self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_until_all_are_taken_and_memory_is_given_back() {
        let mut live = Live::new();
        for number in 0..region::NUMBERS {
            assert_eq!(live.add(()), Some(number));
        }
        assert_eq!(live.add(()), None);
        live.remove(7);
        assert_eq!(live.add(()), Some(7));
        for number in 0..region::NUMBERS {
            live.remove(number);
        }
        assert_eq!(live.sources.capacity(), 0);
    }
}
