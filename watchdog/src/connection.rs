//! One client connection: the time-outs that HTTP itself does not have, below hyper.
//!
//! hyper reads and writes through [`Connection`], which knows from the [`Phase`] what the
//! connection waits for: the first byte of a request, the rest of its head, a call, the kernel.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use modes::{
    deadline::Alarm,
    zero_copy::{self, Failure, Progress},
};
use rustix::event::{PollFd, PollFlags};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::phase::{Now, Phase};

mod linger;
mod nearby;
pub(crate) mod rest;
mod stall;

use self::{
    linger::Linger,
    nearby::Nearby,
    rest::Held,
    stall::{LOOKS, Stall},
};

/// What one connection is allowed; `None` for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a request head, from its first byte; for the first one, from the connection's start.
    pub head: Option<Duration>,
    /// Between two calls.
    pub idle: Option<Duration>,
    /// For any stretch in which the client takes no byte.
    pub write: Option<Duration>,
}

/// How often a call's client is looked after while hyper cannot see it leave, because bytes that
/// it sent before lie unread.
const LOOK: Duration = Duration::from_millis(500);

/// The text of the answer to a head that came too slowly.
pub(crate) const LATE_HEAD: &str = "the request head took longer than read_timeout allows";

/// The text of the answer to a client that speaks HTTP/2 at once.
pub(crate) const HTTP_1_ONLY: &str = "this server speaks HTTP/1.1";

/// A socket with its time-outs.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    timeouts: Timeouts,
    phase: Arc<Phase>,
    read: Timer,
    /// The phase that the read timer counts for.
    read_phase: Now,
    stall: Stall,
    /// What the kernel has taken, in bytes.
    written: u64,
    look: Timer,
    linger: Option<Linger>,
    /// The kernel takes little ahead of the client: done once something long is sent.
    is_bounded: bool,
    nearby: Nearby,
    held: Held,
    /// Whoever lent it to hyper takes it back for a rest.
    lent: bool,
    /// hyper was told that the client has left, so that it goes; the client has not.
    rests: bool,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(stream: TcpStream, timeouts: Timeouts, phase: Arc<Phase>) -> Self {
        Self {
            stream,
            timeouts,
            phase,
            read: Timer::default(),
            read_phase: Now::Call,
            stall: Stall::default(),
            written: 0,
            look: Timer::default(),
            linger: None,
            is_bounded: false,
            nearby: Nearby::default(),
            held: Held::default(),
            lent: false,
            rests: false,
        }
    }

    /// Nothing has arrived: is it too late for it? `at` is the present, where it is known.
    fn poll_late(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.phase.now();
        if now != self.read_phase {
            self.read.stop();
            self.read_phase = now;
        }
        let allowed = match now {
            Now::New | Now::Head => self.timeouts.head,
            Now::Idle if self.may_rest() => Some(rest::AFTER),
            Now::Idle => self.timeouts.idle,
            Now::Call | Now::Flush | Now::Tunnel => None,
        };
        let Some(allowed) = allowed else { return Poll::Pending };
        ready!(self.read.poll_from(at, allowed, cx));
        if now != Now::Head {
            // To hyper this is a client that closed an idle connection.
            return Poll::Ready(Ok(()));
        }
        self.refuse(408, "Request Timeout", LATE_HEAD);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Answers what hyper has no answer for; nothing else is being written now.
    fn refuse(&self, status: u16, reason: &str, text: &str) {
        self.phase.refuse(status);
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        );
        let _ = self.stream.try_write(answer.as_bytes());
    }

    /// Slices some of which stand for ranges that the kernel moves.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        zero_copy::poll_send(&self.stream, cx, slices).map_err(|failure| match failure {
            Failure::Socket(error) => error,
            Failure::Source { .. } => {
                self.phase.cut(failure.to_string());
                io::Error::other(failure)
            }
        })
    }

    /// The kernel took something, or has no room.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Pending => return self.poll_stalled(cx),
            Poll::Ready(Ok(count)) => self.written += *count as u64,
            Poll::Ready(Err(_)) => {}
        }
        self.stall.stop();
        result
    }

    /// The client takes nothing: has it been like that for too long, or the call?
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let deadline = self.phase.deadline();
        let late = loop {
            let left = deadline.map(|deadline| deadline.remaining());
            if left.is_some_and(|left| left.is_zero()) {
                break deadline;
            }
            let Some(wait) =
                [self.timeouts.write.map(|all| all / LOOKS), left].into_iter().flatten().min()
            else {
                return Poll::Pending;
            };
            ready!(self.stall.poll_look(&self.stream, wait, cx));
            if self.timeouts.write.is_some() && self.stall.is_over() {
                break None;
            }
        };
        let why = match late {
            Some(deadline) => {
                let allowed = deadline.allowed();
                format!("the call took longer than {allowed:?}; the client took no bytes")
            }
            None => {
                let allowed = self.timeouts.write.unwrap_or_default();
                format!("the client took no byte for {allowed:?} (write_timeout)")
            }
        };
        self.phase.cut(why.clone());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }

    /// hyper notices a client that leaves only once it has read everything before. This looks past
    /// that.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.phase.now() != Now::Call {
            return Poll::Pending;
        }
        while self.look.poll(LOOK, cx).is_ready() {
            self.look.stop();
            if has_left(&self.stream) {
                return Poll::Ready(io::ErrorKind::ConnectionReset.into());
            }
        }
        Poll::Pending
    }

    /// What hyper answers by itself, to what was no request.
    fn note_status(&self, bytes: &[u8]) {
        if !matches!(self.phase.now(), Now::New | Now::Idle | Now::Head) {
            return;
        }
        if let Some(digits) = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3))
            && let Some(status) = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok())
        {
            self.phase.refuse(status);
        }
    }
}

/// Whether the client has closed its side or broken the connection (poll(2)), whatever it sent
/// before.
fn has_left(stream: &TcpStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        /// How a client begins that takes this for an HTTP/2 server (RFC 9113 section 3.4).
        const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &result {
            Poll::Pending => {
                let now = self.phase.now();
                self.held.starved(now);
                let late = self.poll_late(None, cx);
                self.rests = now == Now::Idle && self.may_rest() && late.is_ready();
                late
            }
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.held.fed();
                self.rests = false;
                if matches!(self.phase.now(), Now::New | Now::Idle) {
                    self.phase.set(Now::Head);
                    if buffer.filled()[before..].starts_with(HTTP_2) {
                        self.refuse(505, "HTTP Version Not Supported", HTTP_1_ONLY);
                        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                    }
                }
                result
            }
            Poll::Ready(_) => result,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if zero_copy::is_reserved(bytes) {
            // Only `poll_write_vectored` can send what such a slice stands for.
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        self.note_status(bytes);
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let ranges = slices.iter().any(|slice| zero_copy::is_reserved(slice));
        if let Some(first) = slices.first().filter(|first| !zero_copy::is_reserved(first)) {
            self.note_status(first);
        }
        let result = if ranges {
            if !self.is_bounded && slices.iter().any(|slice| zero_copy::is_of_file(slice)) {
                // A pipe's writer bounds what is there by itself. What is no TCP works on without.
                let _ = zero_copy::bound_backlog(&self.stream);
                self.is_bounded = true;
            }
            self.poll_send(cx, slices)
        } else {
            let this = &mut *self;
            this.nearby.look(&this.stream, slices);
            let stream = Pin::new(&mut this.stream);
            zero_copy::timed_write(slices, || stream.poll_write_vectored(cx, slices))
        };
        self.poll_written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper asks for it whenever it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.phase.flushed();
        if let Poll::Ready(left) = self.poll_left(cx) {
            return Poll::Ready(Err(left));
        }
        // hyper does not read again after a call on whose socket it waited meanwhile, so the idle
        // time starts here; when it is over, the wake-up makes hyper look, and it finds the end.
        if self.phase.now() == Now::Idle && self.poll_late(flushed, cx).is_ready() {
            self.read.stop();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rests {
            return Poll::Ready(Ok(()));
        }
        this.phase.flushed();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.phase.has_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        this.linger.get_or_insert_default().poll(&mut this.stream, cx).map(Ok)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let resets = self.phase.needs_reset();
        if resets {
            let at_once = Some(Duration::ZERO);
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, at_once);
        }
        // What is left of other connections goes on being sent.
        if self.phase.is_sending()
            && let Ok(progress) = Progress::of(&self.stream)
            && (resets || progress.is_over)
        {
            self.phase.lose(self.written.saturating_sub(progress.sent));
        }
        self.phase.close();
    }
}

/// A wait that starts at its first poll.
#[derive(Debug, Default)]
struct Timer {
    alarm: Alarm,
    until: Option<Instant>,
}

impl Timer {
    fn stop(&mut self) {
        self.until = None;
    }

    fn is_running(&self) -> bool {
        self.until.is_some()
    }

    fn poll(&mut self, allowed: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_from(None, allowed, cx)
    }

    /// The same, where the time is known.
    fn poll_from(
        &mut self,
        now: Option<Instant>,
        allowed: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let begun = || now.unwrap_or_else(Instant::now);
        let until = *self.until.get_or_insert_with(|| begun() + allowed);
        self.alarm.poll(until, cx)
    }
}
