//! An idle connection is a socket and a small task.
//!
//! hyper keeps two buffers of 8 kB a connection, and room for the call to come. So a connection gets its hyper when its
//! first byte is there, and a [`Loan`] gives it back once it has been idle for [`AFTER`]: hyper is told that the client
//! has left, lets go of everything, and the socket waits on without it. Starting over costs a few microseconds,
//! nothing beside a pause of that length.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::Connection;
use crate::phase::Now;

/// So much idle time is served with everything at hand.
pub(super) const AFTER: Duration = Duration::from_millis(20);

/// Whether hyper holds bytes that it has read and not used yet: these must not get lost.
///
/// hyper asks for bytes in two states only: in the middle of a head, and with nothing left to look at. So if it was
/// told "nothing yet", and a call began or was under way without another byte, it holds none.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// It was told that there is nothing, after its last byte.
    starved: bool,
}

impl Held {
    /// hyper got bytes.
    pub(super) fn fed(&mut self) {
        self.starved = false;
    }

    /// hyper asked for bytes, and there were none.
    pub(super) fn starved(&mut self, now: Now) {
        // Behind a call it may want the rest of a head that came with the call.
        if matches!(now, Now::Head | Now::Call) {
            self.starved = true;
        }
    }
}

impl Connection {
    /// Between two calls: whether nothing would be lost without hyper, and something gained.
    pub(super) fn may_rest(&self) -> bool {
        self.lent && self.held.starved && self.timeouts.idle.is_none_or(|idle| idle > AFTER)
    }

    /// Without hyper: waits until there is something to read, if only the end. False when that took too long.
    pub(crate) async fn rest(&mut self) -> bool {
        self.rests = false;
        let allowed = match self.phase.now() {
            Now::New => self.timeouts.head,
            _ => self.timeouts.idle.map(|idle| idle.saturating_sub(AFTER)),
        };
        let readable = async {
            // An error shows again when it is read.
            let _ = self.stream.readable().await;
        };
        match allowed {
            None => {
                readable.await;
                true
            }
            Some(allowed) => timeout(allowed, readable).await.is_ok(),
        }
    }
}

/// A connection while hyper has it.
#[derive(Debug)]
pub(crate) struct Loan {
    /// `None` once it has been given back, in `drop`.
    connection: Option<Connection>,
    back: Arc<Mutex<Option<Connection>>>,
}

/// Where a connection that rests is found after hyper has gone.
#[derive(Debug, Default)]
pub(crate) struct Lender(Arc<Mutex<Option<Connection>>>);

impl Lender {
    /// What hyper gets.
    pub(crate) fn lend(&self, mut connection: Connection) -> Loan {
        connection.lent = true;
        Loan { connection: Some(connection), back: Arc::clone(&self.0) }
    }

    /// The connection, if it rests.
    pub(crate) fn returned(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Loan {
    fn get(self: Pin<&mut Self>) -> io::Result<Pin<&mut Connection>> {
        let connection = self.get_mut().connection.as_mut();
        connection.map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take_if(|connection| connection.rests) {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
    }
}

impl AsyncRead for Loan {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Loan {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::Full;
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{connection::Timeouts, phase::Phase};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

    async fn connected(idle: Option<Duration>) -> (TcpStream, Connection, Arc<Phase>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let phase = Arc::new(Phase::default());
        let timeouts = Timeouts { head: None, idle, write: None };
        (client, Connection::new(stream, timeouts, Arc::clone(&phase)), phase)
    }

    /// Answers everything with "yes", until the connection ends or rests.
    async fn converse(connection: Connection, phase: &Phase) -> Option<Connection> {
        let lender = Lender::default();
        let service = service_fn(|request: http::Request<Incoming>| async move {
            phase.begin_call(request.version());
            phase.end_call(None);
            Ok::<_, Infallible>(Response::new(Full::new(&b"yes"[..])))
        });
        let io = TokioIo::new(lender.lend(connection));
        let mut http = http1::Builder::new();
        let _ = http.header_read_timeout(None).serve_connection(io, service).await;
        lender.returned()
    }

    async fn read_answer(client: &mut TcpStream) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nyes") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "it was closed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connection_rests_after_each_call_and_goes_on() {
        let (mut client, mut connection, phase) = connected(None).await;
        for _ in 0..3 {
            client.write_all(REQUEST).await.unwrap();
            assert!(connection.rest().await);
            connection = converse(connection, &phase).await.unwrap();
            read_answer(&mut client).await;
        }
        drop(client);
        assert!(connection.rest().await);
        assert!(converse(connection, &phase).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn part_of_a_head_keeps_it_from_resting() {
        for part in [1, 3, REQUEST.len() - 3, REQUEST.len() - 1] {
            let (mut client, connection, phase) = connected(None).await;
            let (begin, end) = REQUEST.split_at(part);
            client.write_all(&[REQUEST, begin].concat()).await.unwrap();
            let served = async { converse(connection, &phase).await.is_some() };
            let asked = async {
                // The beginning was read with the first request, and lies in hyper now.
                read_answer(&mut client).await;
                tokio::time::sleep(2 * AFTER).await;
                client.write_all(end).await.unwrap();
                read_answer(&mut client).await;
            };
            let (rested, ()) = tokio::join!(served, asked);
            assert!(rested, "after the second call, with nothing left");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_limits_hold_while_it_rests() {
        let (mut client, mut connection, phase) = connected(Some(3 * AFTER)).await;
        client.write_all(REQUEST).await.unwrap();
        assert!(connection.rest().await);
        connection = converse(connection, &phase).await.unwrap();
        assert!(!connection.rest().await);
    }
}
