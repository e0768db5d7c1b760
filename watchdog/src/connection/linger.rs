//! Closing a connection whose client is still sending: a socket that is closed with unread bytes
//! resets the connection, and the reset overtakes the answer (RFC 9112 section 9.6).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::TcpStream,
};

use super::Timer;

/// How long a client may go on sending what nobody wants.
const LONGEST: Duration = Duration::from_secs(30);

/// How long it may pause.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads and throws away until the client is done or has had its time.
#[derive(Debug, Default)]
pub(super) struct Linger {
    all: Timer,
    pause: Timer,
}

impl Linger {
    pub(super) fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0_u8; 8 * 1024];
        if self.all.poll(LONGEST, cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return self.pause.poll(PAUSE, cx),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.pause.stop(),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}
