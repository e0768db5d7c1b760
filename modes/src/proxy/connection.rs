//! One connection to the function: its socket, what has been read ahead from it, and its timer.

use std::{
    cell::Cell,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::socket::Socket;
use crate::deadline::Alarm;

/// What is read at once at first: a head, and the body of most answers.
const LEAST_READ: usize = 8 * 1024;
/// What is read at once from a large body, if it is there. More does not fit the caches.
const MOST_READ: usize = 256 * 1024;
/// As much room is used up before a large buffer is begun anew.
const WORTH_READING: usize = 64 * 1024;
/// Room in a buffer for the beginning of something that was not whole, such as a chunk's size.
const SLACK: usize = 4 * 1024;

thread_local! {
    /// The buffer of [`LEAST_READ`] that was used last on this event loop. One goes from connection
    /// to connection: the others, idle or waiting for an answer, need none, and it stays in the caches.
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// The lane of the event loop that it is registered with.
    pub(super) home: usize,
    /// Read and not taken yet.
    pub(super) buffer: BytesMut,
    /// The size of the memory that `buffer` is part of; 0 without any.
    allocated: usize,
    /// What the next read asks for when nobody knows how much will come.
    room: usize,
    /// The reader of the body has been given a turn to get rid of what it has.
    has_yielded: bool,
    pub(super) alarm: Alarm,
}

impl Connection {
    pub(super) fn new(socket: Socket, home: usize) -> Self {
        let (buffer, alarm) = (BytesMut::new(), Alarm::default());
        Self { socket, home, buffer, allocated: 0, room: LEAST_READ, has_yielded: false, alarm }
    }

    /// Appends to the buffer what has arrived, and says how much that was: 0 at the end of the
    /// connection. `expected` bytes are on their way, as far as is known.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        expected: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        let room = match expected {
            Some(expected) => usize::try_from(expected).unwrap_or(MOST_READ),
            None => self.room,
        };
        let room = room.clamp(LEAST_READ, MOST_READ);
        if self.allocated == 0 {
            // Only once there is something to put into it.
            ready!(self.socket.poll_read_ready(cx))?;
            if let Some(buffer) = SPARE.take() {
                (self.buffer, self.allocated) = (buffer, LEAST_READ);
            }
        }
        ready!(self.poll_room(cx, room));
        let spare = self.buffer.capacity() - self.buffer.len();
        let read = ready!(pin!(self.socket.read_buf(&mut self.buffer)).poll(cx))?;
        self.has_yielded = false;
        if read == spare {
            self.room = (self.room * 2).min(MOST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// Makes room. One piece of memory that stays in the caches carries a large body if its reader
    /// keeps up; so before another is begun, the reader gets a turn to send what it has.
    fn poll_room(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<()> {
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare >= room.min(WORTH_READING) || self.buffer.try_reclaim(room) {
            return Poll::Ready(());
        }
        if room > LEAST_READ && self.is_large() && !std::mem::replace(&mut self.has_yielded, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = if room > LEAST_READ { room + SLACK } else { room };
        self.buffer.reserve(size);
        self.allocated = size;
        Poll::Ready(())
    }

    /// Whether the buffer has grown.
    pub(super) fn is_large(&self) -> bool {
        self.allocated > LEAST_READ
    }

    /// Lets go of the buffer, which is empty: to the next connection of this loop, unless it is large.
    pub(super) fn give_back(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if self.allocated == LEAST_READ {
            // What was cut from it, such as the fields of the last answer, need not be gone yet.
            SPARE.set(Some(buffer));
        }
        self.allocated = 0;
        self.room = LEAST_READ;
    }

    /// The bytes that have been read ahead, then all that comes: for what is not HTTP any more.
    pub(super) fn into_stream(mut self) -> Rewound {
        Rewound { ahead: self.buffer.split().freeze(), socket: self.socket }
    }
}

/// See [`Connection::into_stream`].
#[derive(Debug)]
pub(super) struct Rewound {
    ahead: Bytes,
    socket: Socket,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buffer);
        }
        let at_hand = this.ahead.len().min(buffer.remaining());
        buffer.put_slice(&this.ahead.split_to(at_hand));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
