//! `Expect: 100-continue` from end to end (RFC 9110 section 10.1.1).
//!
//! hyper tells the client to go on when the body is first asked for. So the body waits here until
//! the function says 100 itself: one that refuses with a final status is never sent the body, and
//! its client is never told to send it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::EXPECT, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

use crate::{body::Body, error::Error};

/// For functions that answer neither 100 nor anything else before they have the body.
const PATIENCE: Duration = Duration::from_millis(300);

/// Lets the body of a request that expects a 100 wait for it.
pub(super) fn gate(head: Parts, body: Body) -> (Parts, Body) {
    let expects = head
        .headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expects || body.is_end_stream() {
        return (head, body);
    }
    let told = Arc::new(Notify::new());
    let mut request = Request::from_parts(head, ());
    let heard = Arc::clone(&told);
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            heard.notify_one();
        }
    });
    let wait = async move {
        let _ = tokio::time::timeout(PATIENCE, told.notified()).await;
    };
    (request.into_parts().0, Body::stream(Gated { wait: Some(Box::pin(wait)), body }))
}

struct Gated {
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    body: Body,
}

impl HttpBody for Gated {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
