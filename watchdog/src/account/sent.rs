//! A response body that is counted while it is sent.

use std::{
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::Version;
use http_body::{Body as HttpBody, Frame, SizeHint};
use modes::{Body, Data, Error};

use super::Entry;
use crate::phase::Phase;

/// See the module.
#[derive(Debug)]
pub struct Sent {
    body: Body,
    entry: Option<Box<Entry>>,
    expected: Option<u64>,
    /// An error that waits until what came before it has been flushed.
    failed: Option<Error>,
}

impl Sent {
    /// A body nobody keeps an account of: probes, and what is accounted for elsewhere.
    #[must_use]
    pub fn unaccounted(body: Body) -> Self {
        Self { body, entry: None, expected: None, failed: None }
    }

    /// A body that carries its call's entry.
    pub(super) fn accounted(body: Body, entry: Box<Entry>) -> Self {
        let expected = body.size_hint().exact();
        Self { body, entry: Some(entry), expected, failed: None }
    }
}

impl HttpBody for Sent {
    type Data = Counted;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Counted>, Error>>> {
        let this = &mut *self;
        if let Some(error) = this.failed.take() {
            // What could be written of what came before has been by now.
            this.entry = None;
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(this.body.poll_data(cx));
        match frame {
            Some(Ok(frame)) => {
                let is_chunked = this.expected.is_none();
                let mut phase = None;
                match (&mut this.entry, frame.data_ref()) {
                    (Some(entry), Some(data)) => {
                        entry.count(data.remaining(), is_chunked);
                        phase = Some(Arc::clone(&entry.account.phase));
                    }
                    // Nothing follows trailers, so hyper does not ask for more.
                    (entry @ Some(_), None) => entry.take().into_iter().for_each(Entry::complete),
                    (None, _) => {}
                }
                Poll::Ready(Some(Ok(frame.map_data(|data| Counted { data, phase }))))
            }
            Some(Err(error)) => {
                if let Some(entry) = &mut this.entry {
                    entry.account.phase.fail();
                    entry.blame(&error);
                }
                // An error makes hyper drop what it has not written yet; the client should have
                // every byte that the function wrote before it failed.
                this.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                this.entry.take().into_iter().for_each(Entry::complete);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper drops a body when it has all of it, and when the client is gone.
impl Drop for Sent {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if self.failed.is_some() {
            return;
        }
        if self.body.is_end_stream() || self.expected == Some(entry.bytes) {
            entry.complete();
        }
    }
}

impl Entry {
    /// Another piece of the body is on its way.
    fn count(&mut self, length: usize, is_chunked: bool) {
        self.bytes += length as u64;
        if is_chunked && self.version != Version::HTTP_10 && length > 0 {
            // Its size in hexadecimal, and two line ends (RFC 9112 section 7.1).
            self.framing += u64::from(length.ilog2() / 4 + 1) + 4;
        }
    }
}

/// A piece of a body that tells the connection how much of it the kernel has taken.
#[derive(Debug)]
pub struct Counted {
    data: Data,
    phase: Option<Arc<Phase>>,
}

impl Counted {
    fn taken(&self, count: usize) {
        if let Some(phase) = &self.phase {
            phase.take(count as u64);
        }
    }
}

impl Buf for Counted {
    #[inline]
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    #[inline]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    /// hyper advances by what it could write.
    #[inline]
    fn advance(&mut self, count: usize) {
        self.taken(count);
        self.data.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.taken(length);
        self.data.copy_to_bytes(length)
    }
}
