//! The body of a proxied response.

use std::{
    error::Error as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;
use crate::{
    body::Body,
    deadline::{Deadline, Timer},
    error::Error,
};

/// Keeps the connection until the last frame, then gives it back; dropped earlier, closes it.
pub(super) struct Answer {
    incoming: Incoming,
    lease: Option<Lease>,
    timer: Option<Timer>,
    authority: String,
}

impl Answer {
    pub(super) fn body(
        incoming: Incoming,
        lease: Lease,
        deadline: Option<Deadline>,
        authority: String,
    ) -> Body {
        if incoming.is_end_stream() {
            lease.done();
            return Body::empty();
        }
        let timer = deadline.map(Deadline::timer);
        Body::stream(Self { incoming, lease: Some(lease), timer, authority })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(passed) = this.timer.as_mut().and_then(|timer| timer.poll_passed(cx)) {
            this.lease = None;
            return Poll::Ready(Some(Err(passed)));
        }
        let frame = std::task::ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        let ended = frame.is_none() || this.incoming.is_end_stream();
        if let Some(lease) = this.lease.take_if(|_| ended) {
            lease.done();
        }
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                this.lease = None;
                body_error(error).unwrap_or_else(|_| Error::Upstream {
                    authority: this.authority.clone(),
                    reason: "broke off in the middle of its response".to_owned(),
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The error of the request body that hyper was sending, if that is what went wrong.
pub(super) fn body_error(error: hyper::Error) -> Result<Error, hyper::Error> {
    let of_body = error.is_user()
        && error.source().is_some_and(|source| source.downcast_ref::<Error>().is_some());
    if !of_body {
        return Err(error);
    }
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::BodyStalled(after)) => Ok(Error::BodyStalled(*after)),
        Some(Error::BodyMalformed(_)) => Ok(Error::BodyMalformed(error)),
        _ => Ok(Error::ClientGone(error)),
    }
}
