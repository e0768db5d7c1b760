//! What a body's frames are made of.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::Range;

/// Bytes at hand, or a range that only the kernel touches.
#[derive(Debug)]
pub enum Data {
    /// At hand.
    Bytes(Bytes),
    /// Elsewhere; see [`poll_send`](super::poll_send).
    Range(Box<Range>),
}

impl Data {
    /// The bytes; those of a range are read now.
    ///
    /// # Errors
    /// What the kernel says about reading a range.
    pub fn into_bytes(self) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Range(range) => range.into_bytes(),
        }
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Range> for Data {
    fn from(range: Range) -> Self {
        Self::Range(Box::new(range))
    }
}

impl Buf for Data {
    #[inline]
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Range(range) => range.remaining(),
        }
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Range(range) => range.chunk(),
        }
    }

    /// Always one slice of all that remains: hyper strings the slices of its queue together without
    /// looking for gaps.
    #[inline]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match slices.first_mut() {
            Some(first) if self.has_remaining() => {
                *first = IoSlice::new(self.chunk());
                1
            }
            _ => 0,
        }
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Range(range) => range.advance(count),
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.copy_to_bytes(length),
            Self::Range(range) => range.copy_to_bytes(length),
        }
    }
}
