//! One request and its response on one connection.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::StatusCode;

use super::{connection::Connection, pool::Pool, upload, upload::Upload};
use crate::{
    deadline::Deadline,
    error::Error,
    http1::{Broken, Head, MOST_HEAD_BYTES},
};

/// Interim responses before the final one. A function may send one now and then while it works,
/// but not for ever.
const MOST_INTERIM: u32 = 256;

/// Dropped, it closes its connection; see [`Exchange::end`].
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) connection: Connection,
    upload: Upload,
    sending: Sending,
    to_head: bool,
    /// How much of the buffer is known to be no whole head.
    looked_at: usize,
    interim: u32,
}

/// How far the request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Underway,
    Done,
    /// The function takes no more of it. What it said before that may lie in our receive buffer
    /// (RFC 9112 section 9.6), so reading decides what becomes of the call.
    Broken,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request's body failed, or time is up.
    Call(Error),
    /// The connection ended before the response head was complete.
    Closed,
    /// What came is no response.
    Broken(Broken),
}

impl Exchange {
    /// `to_head` for a HEAD request.
    pub(super) fn new(connection: Connection, upload: Upload, to_head: bool) -> Self {
        let sending = Sending::Underway;
        Self { connection, upload, sending, to_head, looked_at: 0, interim: 0 }
    }

    /// Sends the request until there is a final response head. What is left to send is sent by
    /// [`Exchange::poll_upload`].
    pub(super) async fn head(&mut self, deadline: Option<Deadline>) -> Result<Head, Failure> {
        poll_fn(|cx| {
            if let Poll::Ready(head) = self.poll_final(cx) {
                return Poll::Ready(head);
            }
            match deadline.and_then(|deadline| self.connection.alarm.poll_passed(deadline, cx)) {
                Some(late) => Poll::Ready(Err(Failure::Call(late))),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn poll_final(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        loop {
            self.poll_upload(cx).map_err(Failure::Call)?;
            let head = ready!(self.poll_head(cx))?;
            let is_final =
                !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS;
            if is_final {
                return Poll::Ready(Ok(head));
            }
            if head.status == StatusCode::CONTINUE {
                self.upload.go_on();
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Poll::Ready(Err(Failure::Broken(Broken::TooLarge)));
            }
        }
    }

    /// Sends what is left of the request, as much as the function takes now.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.sending != Sending::Underway {
            return Ok(());
        }
        match self.upload.poll_send(&mut self.connection.socket, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.sending = Sending::Done,
            Poll::Ready(Err(upload::Failure::Connection)) => self.sending = Sending::Broken,
            Poll::Ready(Err(upload::Failure::Body(error))) => return Err(error),
        }
        Ok(())
    }

    /// The next head, interim or final.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        loop {
            let buffer = &mut self.connection.buffer;
            // A head ends with a line, so what was no whole head stays none until one is complete,
            // or the head is too large.
            let is_worth_it = self.looked_at == 0
                || buffer.len() > MOST_HEAD_BYTES
                || buffer[self.looked_at..].contains(&b'\n');
            if is_worth_it && !buffer.is_empty() {
                self.looked_at = buffer.len();
                if let Some(head) = self.parse()? {
                    return Poll::Ready(Ok(head));
                }
            }
            let read = ready!(self.connection.poll_fill(cx, None));
            if !matches!(read, Ok(1..)) {
                self.parse()?;
                return Poll::Ready(Err(Failure::Closed));
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Head>, Failure> {
        let head = Head::parse(&mut self.connection.buffer, self.to_head);
        let head = head.map_err(Failure::Broken)?;
        if head.is_some() {
            self.looked_at = 0;
        }
        Ok(head)
    }

    /// Whether all of the request has left.
    pub(super) fn is_sent(&self) -> bool {
        self.sending == Sending::Done
    }

    /// Whether the function broke the connection while the request was being sent.
    pub(super) fn is_broken(&self) -> bool {
        self.sending == Sending::Broken
    }

    /// The request for another connection, if no answer to it has begun on this one and it may be
    /// repeated.
    pub(super) fn again(self, is_harmless: bool) -> Option<Upload> {
        let is_answered = self.interim > 0 || !self.connection.buffer.is_empty();
        self.upload.again(is_harmless).filter(|_| !is_answered)
    }

    /// The response is complete: the connection may carry another exchange if both sides have it
    /// so, and if the function has not said anything more.
    pub(super) fn end(
        mut self,
        pool: &Pool,
        persistent: bool,
        deadline: Option<Deadline>,
        now: Instant,
    ) {
        if !persistent || !self.connection.buffer.is_empty() {
            return;
        }
        match self.sending {
            Sending::Done => pool.put(self.connection, now),
            Sending::Underway if !self.upload.is_held() => {
                // The function answered early and still reads; its answer has left already.
                let pool = pool.clone();
                let deadline = deadline.unwrap_or_else(|| Deadline::after(super::LINGER));
                tokio::spawn(async move {
                    let rest = poll_fn(|cx| {
                        let socket = &mut self.connection.socket;
                        self.upload.poll_send(socket, cx).map_err(|_| ())
                    });
                    if deadline.limit(rest).await == Some(Ok(())) {
                        pool.put(self.connection, Instant::now());
                    }
                });
            }
            Sending::Underway | Sending::Broken => {}
        }
    }
}
