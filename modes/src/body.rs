//! The one body type: what arrives from a client, what leaves to it, what a proxied function sends.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::{error::Error, zero_copy::Data};

/// A request or response body. An `Err` is its last item: whoever sends it on must cut the
/// connection, so that the receiver can tell that something is missing.
pub enum Body {
    /// Bytes at hand; `None` once they are taken.
    Full(Option<Bytes>),
    /// A request body as it arrives from the client. Boxed: all others are small to move.
    Received(Box<Received>),
    /// Anything that produces its frames while the call runs.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>),
    /// The same, where some frames may be ranges that the kernel moves itself.
    Ranges(Pin<Box<dyn HttpBody<Data = Data, Error = Error> + Send>>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::Full(None)
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()).filter(|b: &Bytes| !b.is_empty()))
    }

    /// Frames that are made while the call runs.
    #[must_use]
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }

    /// Frames some of which may be ranges of a file or pipe.
    #[must_use]
    pub fn ranges(body: impl HttpBody<Data = Data, Error = Error> + Send + 'static) -> Self {
        Self::Ranges(Box::pin(body))
    }

    /// `prefix`, then `rest`.
    #[must_use]
    pub fn prefixed(prefix: impl Into<Bytes>, rest: Self) -> Self {
        Self::ranges(Prefixed { prefix: Some(prefix.into()), rest })
    }

    /// A request body that fails when no byte of it arrives for `stall`. Time only counts while
    /// somebody waits for the body: a function that reads slowly is never the client's fault.
    ///
    /// `unread` is set when it is dropped before its end: the client is still sending then.
    #[must_use]
    pub fn received(
        incoming: Incoming,
        stall: Option<Duration>,
        unread: Option<Arc<AtomicBool>>,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self::Received(Box::new(Received { incoming, stall, unread, timer: None, armed: false }))
    }

    /// The next frame as it is. Who asks for it has to be able to send ranges
    /// ([`poll_send`](crate::zero_copy::poll_send)); [`HttpBody::poll_frame`] gives bytes only.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Data>, Error>>> {
        let bytes = match self {
            Self::Full(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Received(received) => ready!(received.poll_frame(cx)),
            Self::Stream(body) => ready!(body.as_mut().poll_frame(cx)),
            Self::Ranges(body) => return body.as_mut().poll_frame(cx),
        };
        Poll::Ready(bytes.map(|frame| frame.map(|frame| frame.map_data(Data::Bytes))))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => f.debug_tuple("Full").field(bytes).finish(),
            Self::Received(_) => f.write_str("Received"),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Ranges(_) => f.write_str("Ranges"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Received(received) => received.poll_frame(cx),
            Self::Stream(body) => body.as_mut().poll_frame(cx),
            Self::Ranges(body) => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.and_then(read)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Received(received) => received.incoming.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
            Self::Ranges(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Received(received) => received.incoming.size_hint(),
            Self::Stream(body) => body.size_hint(),
            Self::Ranges(body) => body.size_hint(),
        }
    }
}

/// The bytes of a frame, for who cannot send ranges.
fn read(frame: Frame<Data>) -> Result<Frame<Bytes>, Error> {
    match frame.into_data() {
        Ok(data) => data
            .into_bytes()
            .map(Frame::data)
            .map_err(Error::io("reading what is behind a response")),
        Err(frame) => match frame.into_trailers() {
            Ok(trailers) => Ok(Frame::trailers(trailers)),
            // There are no other kinds of frames (http-body 1).
            Err(_) => Ok(Frame::data(Bytes::new())),
        },
    }
}

/// See [`Body::received`].
pub struct Received {
    incoming: Incoming,
    stall: Option<Duration>,
    unread: Option<Arc<AtomicBool>>,
    /// Made on the first wait: most bodies arrive with their head.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether `timer` counts for the wait that is going on.
    armed: bool,
}

impl Received {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.armed = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(blame_client)));
        }
        let Some(stall) = self.stall else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        if !self.armed {
            timer.as_mut().reset(Instant::now() + stall);
            self.armed = true;
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::BodyStalled(stall))))
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(unread) = self.unread.take().filter(|_| !self.incoming.is_end_stream()) {
            unread.store(true, Ordering::Relaxed);
        }
    }
}

/// hyper reports broken framing as invalid input under the body error, everything else is a
/// connection that ended (hyper 1, `proto/h1/decode.rs`).
fn blame_client(error: hyper::Error) -> Error {
    use std::{error::Error as _, io};
    let malformed = error.is_parse()
        || error.source().and_then(|source| source.downcast_ref::<io::Error>()).is_some_and(|io| {
            matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        });
    if malformed { Error::BodyMalformed(error) } else { Error::ClientGone(error) }
}

/// Some bytes, then another body.
struct Prefixed {
    prefix: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Prefixed {
    type Data = Data;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Error>>> {
        let this = self.get_mut();
        match this.prefix.take() {
            Some(prefix) => Poll::Ready(Some(Ok(Frame::data(prefix.into())))),
            None => this.rest.poll_data(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let prefix = self.prefix.as_ref().map_or(0, |prefix| prefix.len() as u64);
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(prefix + rest),
            None => SizeHint::default(),
        }
    }
}
