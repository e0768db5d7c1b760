//! A connection that stopped being HTTP: bytes both ways until both sides are done.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, sync::watch};

use super::connection::Rewound;

/// An upgraded connection, as an extension of its 101 response. It runs by itself.
#[derive(Clone, Debug)]
pub struct Tunnel {
    traffic: watch::Receiver<Option<Traffic>>,
}

/// What went through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from the function to the client.
    pub to_client: u64,
}

impl Tunnel {
    /// Copies in the background once the client's side has switched, too.
    pub(super) fn open(client: OnUpgrade, mut function: Rewound) -> Self {
        let (report, traffic) = watch::channel(None);
        tokio::spawn(async move {
            let mut total = Traffic::default();
            if let Ok(client) = client.await {
                let mut client = TokioIo::new(client);
                // A side that resets ends the tunnel; that is how most of them end.
                if let Ok((_, to_client)) = copy_bidirectional(&mut client, &mut function).await {
                    total.to_client = to_client;
                }
            }
            report.send_replace(Some(total));
        });
        Self { traffic }
    }

    /// Done when the tunnel has closed.
    pub async fn closed(mut self) -> Traffic {
        // The sender is never dropped before it has reported, unless the runtime ends.
        self.traffic.wait_for(Option::is_some).await.ok().and_then(|t| *t).unwrap_or_default()
    }
}
