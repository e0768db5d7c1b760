//! A connection that stopped being HTTP: bytes both ways until both sides are done.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    sync::{Notify, watch},
    time::sleep,
};

use super::connection::Rewound;

/// How long the other side may say nothing once one side has said all: most protocols are over
/// then, and a peer that never closes would keep the call for ever.
const HALF_OPEN: Duration = Duration::from_secs(10);

/// An upgraded connection, as an extension of its 101 response. It runs by itself.
#[derive(Clone, Debug)]
pub struct Tunnel {
    traffic: Arc<Traffic>,
    /// Closed with the tunnel.
    open: watch::Receiver<()>,
    cut: Arc<Notify>,
}

/// What went through a tunnel so far.
#[derive(Debug, Default)]
struct Traffic {
    to_client: AtomicU64,
    to_function: AtomicU64,
    /// One side has said all it has to say.
    half_open: Notify,
}

impl Traffic {
    /// Done when one side has ended and the other one says nothing more.
    async fn silence(&self) {
        self.half_open.notified().await;
        let total =
            || self.to_client.load(Ordering::Relaxed) + self.to_function.load(Ordering::Relaxed);
        let mut before = None;
        while before != Some(total()) {
            before = Some(total());
            sleep(HALF_OPEN).await;
        }
    }
}

impl Tunnel {
    /// Copies in the background once the client's side has switched, too.
    pub(super) fn open(client: OnUpgrade, function: Rewound) -> Self {
        let (traffic, cut) = (Arc::<Traffic>::default(), Arc::<Notify>::default());
        let (alive, open) = watch::channel(());
        let tunnel = Self { traffic: Arc::clone(&traffic), open, cut: Arc::clone(&cut) };
        tokio::spawn(async move {
            let copying = async {
                let Ok(client) = client.await else { return };
                let half_open = &traffic.half_open;
                let mut client =
                    Side { peer: TokioIo::new(client), taken: &traffic.to_client, half_open };
                let mut function = Side { peer: function, taken: &traffic.to_function, half_open };
                // A side that resets ends the tunnel; that is how most of them end.
                let _ = copy_bidirectional(&mut client, &mut function).await;
            };
            tokio::select! {
                () = copying => {}
                () = traffic.silence() => {}
                () = cut.notified() => {}
            }
            drop(alive);
        });
        tunnel
    }

    /// Done when the tunnel has closed.
    pub async fn closed(&mut self) {
        while self.open.changed().await.is_ok() {}
    }

    /// Closes it now.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Bytes from the function to the client, until now.
    #[must_use]
    pub fn to_client(&self) -> u64 {
        self.traffic.to_client.load(Ordering::Relaxed)
    }
}

/// One end of a tunnel, watched.
struct Side<'a, S> {
    peer: S,
    /// Bytes it has taken.
    taken: &'a AtomicU64,
    half_open: &'a Notify,
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.peer).poll_read(cx, buffer))?;
        if buffer.filled().len() == before {
            self.half_open.notify_one();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.peer).poll_write(cx, bytes))?;
        self.taken.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.peer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.peer).poll_shutdown(cx)
    }
}
