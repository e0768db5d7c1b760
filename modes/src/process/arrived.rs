//! What of a request body is there before its process is.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;

use crate::{body::Body, error::Error};

/// As much as a pipe takes at once (pipe(7)).
const ROOM: usize = 64 * 1024;
/// How often the body is asked again before it counts as not there. The connection reads on when it
/// has been asked, and it does so when this call lets go: the bytes that came with the head are
/// there the second time.
const TURNS: u8 = 2;

/// The beginning of a body, and what may follow. A process that finds its whole input in its pipe
/// needs nobody to write it.
#[derive(Debug)]
pub struct Arrived {
    pub(super) bytes: Bytes,
    /// `None` when `bytes` are all.
    pub(super) rest: Option<Body>,
}

impl Arrived {
    /// Takes what is there of `body`, and waits for no client.
    ///
    /// # Errors
    /// The body's own.
    pub async fn of(mut body: Body) -> Result<Self, Error> {
        let mut gathered = Gathered::default();
        let complete = std::future::poll_fn(|cx| gathered.poll(&mut body, cx)).await?;
        Ok(Self { bytes: gathered.into_bytes(), rest: (!complete).then_some(body) })
    }

    /// Whether there is nothing to read at all.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.rest.is_none()
    }
}

#[derive(Default)]
struct Gathered {
    /// The usual case is one piece, which need not be copied.
    first: Bytes,
    more: BytesMut,
    waited: u8,
}

impl Gathered {
    /// Ready with whether the body is complete.
    fn poll(&mut self, body: &mut Body, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        loop {
            if body.is_end_stream() {
                return Poll::Ready(Ok(true));
            }
            if self.first.len() + self.more.len() >= ROOM {
                return Poll::Ready(Ok(false));
            }
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waited = 0;
                    // Trailers have no place in a process's input.
                    let Ok(data) = frame.into_data() else { continue };
                    if self.first.is_empty() {
                        self.first = data;
                    } else {
                        self.more.extend_from_slice(&data);
                    }
                }
                Poll::Pending if self.waited < TURNS => {
                    self.waited += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Ready(Ok(false)),
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.more.is_empty() {
            return self.first;
        }
        let mut all = BytesMut::with_capacity(self.first.len() + self.more.len());
        all.extend_from_slice(&self.first);
        all.extend_from_slice(&self.more);
        all.freeze()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn halves(left: usize, right: usize) -> (usize, Option<usize>) {
        let body = Body::prefixed(vec![1; left], Body::full(vec![2; right]));
        let arrived = Arrived::of(body).await.unwrap();
        assert!(arrived.bytes[..left].iter().all(|&byte| byte == 1));
        let rest = match arrived.rest {
            None => None,
            Some(rest) => Some(rest.collect().await.unwrap().to_bytes().len()),
        };
        (arrived.bytes.len(), rest)
    }

    #[tokio::test]
    async fn bodies_are_complete_up_to_the_size_of_a_pipe() {
        assert_eq!(halves(1, 2).await, (3, None));
        assert_eq!(halves(ROOM - 1, 1).await, (ROOM, None));
        assert_eq!(halves(ROOM, 5).await, (ROOM, Some(5)));
        let empty = Arrived::of(Body::empty()).await.unwrap();
        assert!(empty.bytes.is_empty() && empty.rest.is_none());
    }
}
