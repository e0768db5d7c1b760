//! One client connection: the time-outs that HTTP itself does not have, below hyper.
//!
//! hyper reads through [`Connection`], which knows from the [`Phase`] what the connection waits
//! for: the first byte of a request, the rest of its head, or nothing while a call runs.

use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use modes::zero_copy::{self, Failure};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// What one connection is allowed; `None` for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a request head, from its first byte.
    pub head: Option<Duration>,
    /// Between two calls.
    pub idle: Option<Duration>,
    /// For any stretch in which the client takes no byte.
    pub write: Option<Duration>,
}

/// What a connection is doing, shared with the calls on it.
#[derive(Debug, Default)]
pub struct Phase {
    now: AtomicU8,
    /// Set when a call failed after its response began.
    failed: AtomicBool,
    /// The last response's version has no framing that shows a missing end.
    http_10: AtomicBool,
    /// The status of the last response head that was written.
    status: AtomicU16,
    /// The head did not arrive in time.
    timed_out: AtomicBool,
    /// Why the last response could not be sent to its end, although the client was there.
    broken: OnceLock<String>,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const CALL: u8 = 2;

impl Phase {
    /// A request head is complete.
    pub fn begin_call(&self, version: http::Version) {
        self.http_10.store(version == http::Version::HTTP_10, Ordering::Relaxed);
        self.now.store(CALL, Ordering::Relaxed);
    }

    /// Its response is, too.
    pub fn end_call(&self) {
        self.now.store(IDLE, Ordering::Relaxed);
    }

    /// The response broke off. An HTTP/1.0 client only notices when the connection is reset.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Why the last response could not be sent to its end, unless the client is to blame.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Part of a request head has arrived: no call yet, and nothing else to finish.
    #[must_use]
    pub fn is_reading_head(&self) -> bool {
        self.now.load(Ordering::Relaxed) == HEAD
    }

    /// The status of the last response that was written, hyper's own answers included.
    #[must_use]
    pub fn last_status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Whether the last request head was too slow, and has been answered with 408.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }
}

/// A socket with its time-outs.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    timeouts: Timeouts,
    phase: Arc<Phase>,
    read: Timer,
    /// The phase that the read timer counts for.
    read_phase: u8,
    write: Timer,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(stream: TcpStream, timeouts: Timeouts, phase: Arc<Phase>) -> Self {
        let (read, write) = (Timer::default(), Timer::default());
        Self { stream, timeouts, phase, read, read_phase: CALL, write }
    }

    /// Nothing has arrived: is it too late for it?
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.phase.now.load(Ordering::Relaxed);
        if phase != self.read_phase {
            self.read.stop();
            self.read_phase = phase;
        }
        let allowed = match phase {
            IDLE => self.timeouts.idle,
            HEAD => self.timeouts.head,
            _ => None,
        };
        let Some(allowed) = allowed else { return Poll::Pending };
        if self.read.poll(allowed, cx).is_pending() {
            return Poll::Pending;
        }
        if phase == IDLE {
            // To hyper this is a client that closed an idle connection.
            return Poll::Ready(Ok(()));
        }
        self.phase.timed_out.store(true, Ordering::Relaxed);
        // hyper has no answer for a head that never came; nothing else is being written now.
        let _ = self.stream.try_write(
            b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\
              Content-Length: 53\r\nConnection: close\r\n\r\n\
              the request head took longer than read_timeout allows",
        );
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The client takes nothing: has it been like that for too long?
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(allowed) = self.timeouts.write else { return Poll::Pending };
        self.write.poll(allowed, cx).map(|()| {
            self.phase.fail();
            Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes"))
        })
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
                let _ = self.phase.broken.set(failure.to_string());
                self.phase.fail();
                io::Error::other(failure)
            }
        })
    }

    fn note_status(&self, bytes: &[u8]) {
        if let Some(digits) = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3))
            && let Some(status) = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok())
        {
            self.phase.status.store(status, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &result {
            Poll::Pending => self.poll_late(cx),
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                if self.phase.now.load(Ordering::Relaxed) == IDLE {
                    self.phase.now.store(HEAD, Ordering::Relaxed);
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
        if result.is_pending() {
            return self.poll_stalled(cx);
        }
        self.write.stop();
        result
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
            self.poll_send(cx, slices)
        } else {
            let stream = Pin::new(&mut self.stream);
            zero_copy::timed_write(slices, || stream.poll_write_vectored(cx, slices))
        };
        if result.is_pending() {
            return self.poll_stalled(cx);
        }
        self.write.stop();
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper does not read again after a call on whose socket it waited meanwhile, so the idle
        // time starts here; when it is over, the wake-up makes hyper look, and it finds the end.
        if self.phase.now.load(Ordering::Relaxed) == IDLE && self.poll_late(cx).is_ready() {
            self.read.stop();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let phase = &self.phase;
        if phase.failed.load(Ordering::Relaxed) && phase.http_10.load(Ordering::Relaxed) {
            let at_once = Some(Duration::ZERO);
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, at_once);
        }
    }
}

/// A wait that starts at its first poll.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Timer {
    fn stop(&mut self) {
        self.running = false;
    }

    fn poll(&mut self, allowed: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(allowed)));
        if !self.running {
            sleep.as_mut().reset(Instant::now() + allowed);
            self.running = true;
        }
        sleep.as_mut().poll(cx)
    }
}
