//! A request on its way to the function.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

use super::{expect::Gate, socket::Socket};
use crate::{
    body::Body,
    error::Error,
    http1::{chunk_size, last_chunk},
};

/// How the end of a request body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes.
    Length(u64),
    Chunked,
}

/// A request head, and its body as it comes. What is queued leaves in one system call.
#[derive(Debug)]
pub(super) struct Upload {
    /// The head and the size line of a chunk.
    front: Vec<u8>,
    /// How much of `front` has been written.
    written: usize,
    /// The rest of one piece of the body.
    data: Bytes,
    /// The rest of what closes a chunk.
    back: &'static [u8],
    body: Body,
    framing: Framing,
    gate: Option<Gate>,
    /// All of the body has been queued.
    ended: bool,
    /// There never was a body: `front` stays what it is.
    bodiless: bool,
    /// No byte has left.
    fresh: bool,
}

/// Why a request could not be sent to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// Its body failed.
    Body(Error),
    /// The connection did.
    Connection,
}

impl Upload {
    /// `head` tells of the framing; `None` for no body.
    pub(super) fn new(
        head: Vec<u8>,
        body: Body,
        framing: Option<Framing>,
        gate: Option<Gate>,
    ) -> Self {
        let bodiless = body.is_end_stream();
        Self {
            front: head,
            written: 0,
            data: Bytes::new(),
            back: b"",
            body,
            framing: framing.unwrap_or(Framing::Length(0)),
            gate,
            ended: bodiless,
            bodiless,
            fresh: true,
        }
    }

    /// Sends as much as it can; done when all of the request has left.
    pub(super) fn poll_send(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            // What there is of the body leaves together with the head.
            if !self.ended && self.data.is_empty() && self.back.is_empty() {
                match self.poll_queue(cx) {
                    Poll::Pending if self.is_sent() => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Body(error))),
                    Poll::Pending | Poll::Ready(Ok(())) => {}
                }
            }
            while !self.is_sent() {
                ready!(self.poll_write(socket, cx)).map_err(|_| Failure::Connection)?;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether there never was a body.
    pub(super) fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// The function wants the body.
    pub(super) fn go_on(&mut self) {
        self.gate = None;
    }

    /// Whether the function has not asked for the body yet, but was to.
    pub(super) fn is_held(&self) -> bool {
        self.gate.is_some()
    }

    /// The same request for another connection: when nothing of it has left, or when it may be
    /// sent twice and all of it is still here (RFC 9112 section 9.3.1).
    pub(super) fn again(mut self, is_idempotent: bool) -> Option<Self> {
        if self.fresh || (is_idempotent && self.bodiless) {
            (self.written, self.fresh) = (0, true);
            return Some(self);
        }
        None
    }

    fn is_sent(&self) -> bool {
        self.written == self.front.len() && self.data.is_empty() && self.back.is_empty()
    }

    /// Queues the next piece of the body, or its end.
    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(cx));
            self.gate = None;
        }
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(self.queue_end(None));
            };
            match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(self.queue(data)),
                Err(frame) => return Poll::Ready(self.queue_end(frame.trailers_ref())),
            }
        }
    }

    fn queue(&mut self, data: Bytes) -> Result<(), Error> {
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or_else(mismatch)?;
                self.ended = *left == 0;
            }
            Framing::Chunked => {
                self.ended = self.body.is_end_stream();
                self.back = if self.ended { b"\r\n0\r\n\r\n" } else { b"\r\n" };
                chunk_size(self.free_front(), data.len());
            }
        }
        self.data = data;
        Ok(())
    }

    fn queue_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Error> {
        self.ended = true;
        match self.framing {
            Framing::Length(0) => {}
            Framing::Length(_) => return Err(mismatch()),
            Framing::Chunked => last_chunk(self.free_front(), trailers),
        }
        Ok(())
    }

    /// `front`, without what has been written.
    fn free_front(&mut self) -> &mut Vec<u8> {
        if self.written == self.front.len() {
            self.front.clear();
            self.written = 0;
        }
        &mut self.front
    }

    fn poll_write(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let front = &self.front[self.written..];
        let mut written = ready!(if self.data.is_empty() && self.back.is_empty() {
            Pin::new(socket).poll_write(cx, front)
        } else {
            let slices = [front, &self.data, self.back].map(IoSlice::new);
            Pin::new(socket).poll_write_vectored(cx, &slices)
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.fresh = false;
        let of_front = written.min(self.front.len() - self.written);
        self.written += of_front;
        written -= of_front;
        let of_data = written.min(self.data.len());
        self.data.advance(of_data);
        self.back = &self.back[written - of_data..];
        Poll::Ready(Ok(()))
    }
}

/// Whoever made the body said another length than it has.
fn mismatch() -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidData, "it is not as long as it was to be");
    Error::Io { doing: "sending the request body to the function", source }
}
