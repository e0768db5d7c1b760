//! Giving a process its input while somebody reads its output.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::BodyExt as _;
use tokio::{net::unix::pipe, task::coop::consume_budget};

use crate::{body::Body, error::Error};

/// A process's standard input. Dropping a handle does not close it: only [`Stdin::close`] does,
/// and the end of the process.
#[derive(Clone, Debug)]
pub struct Stdin {
    pipe: Arc<Mutex<Option<Arc<pipe::Sender>>>>,
}

impl Stdin {
    pub(super) fn new(pipe: pipe::Sender) -> Self {
        Self { pipe: Arc::new(Mutex::new(Some(Arc::new(pipe)))) }
    }

    /// The process reads the end of its input.
    pub fn close(&self) {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Writes all of `bytes`; `false` when the process has closed its end.
    async fn write(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(pipe) = pipe else { return Ok(false) };
        while !bytes.is_empty() {
            // `writable` alone spends none of tokio's budget, see `spool::collect`.
            consume_budget().await;
            pipe.writable().await?;
            match pipe.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Writes `body` to `stdin` as it arrives, then closes it. A process that closes its standard
/// input early is no error: it has read what it wanted.
///
/// # Errors
/// The body's own, when the client fails to send it. Then the input stays open, so that the
/// process cannot take a part for the whole.
pub async fn feed(mut body: Body, stdin: Stdin) -> Result<(), Error> {
    while let Some(frame) = body.frame().await {
        // Trailers have no place in a process's input.
        let Ok(data) = frame?.into_data() else { continue };
        if !stdin.write(&data).await.map_err(Error::io("writing the function's input"))? {
            break;
        }
    }
    stdin.close();
    Ok(())
}

/// Runs `work` and `feed` together. Done when `work` is; what was not fed by then is not wanted.
///
/// # Errors
/// Either's.
pub async fn while_feeding<T>(
    feed: impl Future<Output = Result<(), Error>>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let (mut feed, mut work) = (pin!(feed), pin!(work));
    let mut fed = false;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            result = &mut feed, if !fed => {
                result?;
                fed = true;
            }
        }
    }
}
