//! How connections come in, and how they end: what every server here does alike.

use std::{net::IpAddr, time::Duration};

use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{account::Ledger, listen::Listener};

mod closing;

pub use self::closing::Closing;

/// How long a request that had begun when the doors closed may take to be complete, and a client
/// that knocked before to be let in.
pub(crate) const LAST_MOMENT: Duration = Duration::from_millis(50);

/// Between two tries to accept a connection, the first time and at most.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What every connection listens to, and is counted by.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// All connections.
    pub connections: TaskTracker,
    /// No call after the present one.
    pub closing: Closing,
    /// End now.
    pub cut: CancellationToken,
}

impl Doors {
    /// Gives `receive` every connection and the address of its peer, if it has one, until the
    /// doors close. Whoever has been let in by the kernel before is still served.
    pub async fn accept(
        &self,
        listener: Listener,
        mut receive: impl FnMut(TcpStream, Option<IpAddr>),
    ) {
        let mut pause = PAUSE;
        // A client may have its handshake before the kernel gives us the connection.
        let closed = async {
            self.closing.begun().await;
            sleep(LAST_MOMENT).await;
        };
        let mut closed = std::pin::pin!(closed);
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = &mut closed => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = PAUSE;
                    receive(stream, peer);
                }
                Err(error) => {
                    // Out of descriptors, most likely: they come back when calls end.
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Behind closed doors: waits until the calls of `ledger` have ended, for `drain` at most or
    /// until somebody insists, and ends the others.
    pub async fn drain(
        &self,
        drain: Duration,
        ledger: &Ledger,
        insisted: impl Future<Output = ()>,
    ) {
        self.closing.begin();
        self.connections.close();
        let drained = async {
            self.connections.wait().await;
            ledger.empty().await;
        };
        tokio::select! {
            done = timeout(drain, drained) => if done.is_err() {
                tracing::warn!("calls still open after {drain:?} are ended");
            },
            () = insisted => {}
        }
        self.cut.cancel();
        self.connections.wait().await;
        // Tunnels are told, too: one line each.
        let _ = timeout(LAST_MOMENT, ledger.empty()).await;
    }
}
