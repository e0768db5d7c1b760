//! A client that takes nothing.
//!
//! A socket that cannot be written to may be taken from all the same: there is room only once a
//! third of a buffer of megabytes is free. So what the client has not taken yet is looked at, too,
//! some times within the time that it may take nothing: with one look at the end of it, a byte that
//! was taken at the beginning would buy as much time again.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use modes::zero_copy::unsent;
use tokio::net::TcpStream;

use super::Timer;

/// Looks within the time.
pub(super) const LOOKS: u32 = 4;

/// For how long a client has taken nothing.
#[derive(Debug, Default)]
pub(super) struct Stall {
    timer: Timer,
    /// What the client had not taken at the last look, in bytes.
    unsent: usize,
    /// Looks since it took something.
    quiet: u32,
}

impl Stall {
    /// The socket took something.
    pub(super) fn stop(&mut self) {
        self.timer.stop();
        self.quiet = 0;
    }

    /// Looks once, `after` so long.
    pub(super) fn poll_look(
        &mut self,
        stream: &TcpStream,
        after: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.quiet == 0 && !self.timer.is_running() {
            self.unsent = unsent(stream).unwrap_or_default();
        }
        ready!(self.timer.poll(after, cx));
        self.timer.stop();
        match unsent(stream) {
            Ok(now) if now >= self.unsent => self.quiet += 1,
            Ok(_) | Err(_) => self.quiet = 0,
        }
        Poll::Ready(())
    }

    /// Whether that were all looks, and the client took nothing.
    pub(super) fn is_over(&self) -> bool {
        self.quiet >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Read as _};

    use tokio::{net::TcpListener, time::Instant};

    use super::*;

    const LOOK: Duration = Duration::from_secs(1);

    /// A socket that cannot be written to any more, and its client.
    async fn full() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        while stream.try_write(&[0; 1 << 13]).is_ok() {}
        (stream, client)
    }

    async fn looks_until_over(stall: &mut Stall, stream: &TcpStream) -> u128 {
        let begun = Instant::now();
        while !stall.is_over() {
            poll_fn(|cx| stall.poll_look(stream, LOOK, cx)).await;
        }
        begun.elapsed().as_millis().div_ceil(LOOK.as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn byte_that_was_taken_early_does_not_buy_the_whole_time_again() {
        let (stream, mut client) = full().await;
        let mut stall = Stall::default();
        let first = poll_fn(|cx| Poll::Ready(stall.poll_look(&stream, LOOK, cx))).await;
        assert!(first.is_pending());
        let before = unsent(&stream).unwrap();
        let mut taken = vec![0; 1 << 20];
        while unsent(&stream).unwrap() == before {
            client.read_exact(&mut taken).unwrap();
        }
        let looks = looks_until_over(&mut stall, &stream).await;
        assert!((5..=6).contains(&looks), "{looks}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_taken_is_over_in_time() {
        let (stream, _client) = full().await;
        let looks = looks_until_over(&mut Stall::default(), &stream).await;
        assert!((4..=5).contains(&looks), "{looks}");
    }
}
