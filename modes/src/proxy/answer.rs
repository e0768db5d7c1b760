//! The body of a proxied response.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf as _, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{exchange::Exchange, pool::Pool};
use crate::{
    body::Body,
    deadline::Deadline,
    error::Error,
    http1::{Decoder, Framing, Piece},
    zero_copy::{Conduit, Data, Way, ZeroCopy, timed_take},
};

/// Has the connection until the last byte, then gives it back; dropped earlier, closes it.
///
/// What is still on its way through the socket is [`Decoder::raw`], once the buffer is empty: that
/// goes through the conduit if it is much.
pub(super) struct Answer {
    exchange: Option<Exchange>,
    decoder: Decoder,
    persistent: bool,
    deadline: Option<Deadline>,
    pool: Pool,
    conduit: Conduit,
}

/// A piece, or as much of the body as went through the conduit.
enum Next {
    Piece(Piece),
    Moved(Data),
}

impl Answer {
    /// The body behind a head with this framing; `zero_copy` says how much of it is to be moved.
    /// It is `now`.
    pub(super) fn body(
        mut exchange: Exchange,
        framing: Framing,
        persistent: bool,
        deadline: Option<Deadline>,
        pool: &Pool,
        zero_copy: ZeroCopy,
        now: Instant,
    ) -> Body {
        let mut decoder = Decoder::new(framing);
        let read = exchange.connection.buffer.len() as u64;
        if exchange.is_sent() && decoder.exact().is_some_and(|length| length <= read) {
            // Came with its head, as most do.
            let data = match decoder.decode(&mut exchange.connection.buffer) {
                Ok(Piece::Data(data)) => data,
                _ => Bytes::new(),
            };
            exchange.end(pool, persistent, deadline, now);
            return Body::full(data);
        }
        if decoder.is_done() {
            exchange.end(pool, persistent, deadline, now);
            return Body::empty();
        }
        let (exchange, pool) = (Some(exchange), pool.clone());
        let conduit = Conduit::new(zero_copy);
        Body::ranges(Self { exchange, decoder, persistent, deadline, pool, conduit })
    }

    /// The next piece; `None` when the connection broke off.
    fn poll_piece(
        exchange: &mut Exchange,
        decoder: &mut Decoder,
        conduit: &mut Conduit,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Next>> {
        loop {
            match decoder.decode(&mut exchange.connection.buffer) {
                Ok(Piece::Starved) => {}
                piece => return Poll::Ready(piece.ok().map(Next::Piece)),
            }
            // Starved within data, the buffer is empty.
            let (most, connection) = (decoder.raw(), &mut exchange.connection);
            if let Some(way) = conduit.choose(most) {
                if !conduit.is_free(cx) {
                    return Poll::Pending;
                }
                let socket = &mut connection.socket;
                let taken = timed_take(way, || match way {
                    Way::Copy => conduit.poll_copy(cx, socket, most),
                    Way::Splice => socket.poll_io(cx, || conduit.take(&*socket, most)),
                });
                match ready!(taken) {
                    Ok(Some(data)) => {
                        decoder.skip(data.remaining() as u64);
                        return Poll::Ready(Some(Next::Moved(data)));
                    }
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(None),
                }
            }
            let expected = decoder.exact();
            let filled = exchange.connection.poll_fill(cx, expected);
            match ready!(filled) {
                Ok(1..) => {}
                Ok(0) if !exchange.is_broken() && decoder.finish().is_ok() => {}
                Ok(0) | Err(_) => return Poll::Ready(None),
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Next, Error>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        if let Some(deadline) = self.deadline
            && deadline.is_over()
        {
            return Poll::Ready(Some(Err(deadline.passed())));
        }
        if let Err(error) = exchange.poll_upload(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        match Self::poll_piece(exchange, &mut self.decoder, &mut self.conduit, cx) {
            Poll::Ready(Some(piece)) => Poll::Ready(Some(Ok(piece))),
            Poll::Ready(None) => Poll::Ready(Some(Err(Error::Upstream {
                authority: self.pool.target().to_string(),
                reason: "broke off in the middle of its response".to_owned(),
            }))),
            Poll::Pending => {
                let alarm = &mut exchange.connection.alarm;
                match self.deadline.and_then(|deadline| alarm.poll_passed(deadline, cx)) {
                    Some(late) => Poll::Ready(Some(Err(late))),
                    None => Poll::Pending,
                }
            }
        }
    }
}

impl HttpBody for Answer {
    type Data = Data;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Error>>> {
        let this = self.get_mut();
        let piece = ready!(this.poll_next(cx));
        if this.decoder.is_done()
            && let Some(exchange) = this.exchange.take()
        {
            exchange.end(&this.pool, this.persistent, this.deadline, Instant::now());
        }
        Poll::Ready(match piece {
            Some(Ok(Next::Moved(data))) => Some(Ok(Frame::data(data))),
            Some(Ok(Next::Piece(Piece::Data(data)))) => Some(Ok(Frame::data(data.into()))),
            Some(Ok(Next::Piece(Piece::Trailers(trailers)))) => Some(Ok(Frame::trailers(trailers))),
            Some(Ok(Next::Piece(Piece::Starved | Piece::End))) | None => None,
            Some(Err(error)) => {
                this.exchange = None;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.exact().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
