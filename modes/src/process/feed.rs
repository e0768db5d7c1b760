//! Giving a process its input while somebody reads its output.

use std::{
    future::Future,
    io,
    os::fd::{AsFd as _, OwnedFd},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::{net::unix::pipe, task::coop::consume_budget};

use super::{
    Arrived,
    pipes::{do_not_block, fill},
};
use crate::{body::Body, error::Error};

/// A pipe of any size takes this much at once while it is empty (pipe(7), `PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Our end of a process's standard input. Dropping a handle does not close it: only
/// [`Stdin::close`] does, and the end of the process.
#[derive(Clone, Debug)]
pub struct Stdin {
    end: Arc<Mutex<End>>,
}

#[derive(Debug)]
enum End {
    /// Nothing was written yet, and the reactor does not know of it.
    New(OwnedFd),
    /// It was full once, and the reactor says when there is room.
    Watched(Arc<pipe::Sender>),
    Closed,
}

impl Stdin {
    /// The end of a pipe that nothing was written to.
    pub(super) fn new(end: OwnedFd) -> Self {
        Self { end: Arc::new(Mutex::new(End::New(end))) }
    }

    /// Writes what fits the empty pipe, and closes it if that is all. What is left has to be fed.
    ///
    /// # Errors
    /// The host's. Then the input is still open, so that nobody takes a part for the whole.
    pub(super) fn begin(&self, arrived: Arrived) -> io::Result<Option<Unfed>> {
        let Arrived { mut bytes, rest } = arrived;
        let mut own = self.lock();
        let End::New(end) = &*own else { return Ok(None) };
        if rest.is_some() || bytes.len() > AT_ONCE {
            do_not_block(end.as_fd())?;
        }
        let is_read = fill(end.as_fd(), &mut bytes)?;
        if !is_read || (bytes.is_empty() && rest.is_none()) {
            *own = End::Closed;
            return Ok(None);
        }
        // A copy, because a registration that fails closes what it was given.
        let watched = pipe::Sender::from_owned_fd_unchecked(end.try_clone()?)?;
        *own = End::Watched(Arc::new(watched));
        Ok(Some(Unfed { stdin: self.clone(), bytes, rest }))
    }

    /// The process reads the end of its input.
    pub fn close(&self) {
        *self.lock() = End::Closed;
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all of `bytes`; `false` when the process has closed its end.
    async fn write(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let pipe = match &*self.lock() {
            End::Watched(pipe) => Arc::clone(pipe),
            End::New(_) | End::Closed => return Ok(false),
        };
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

/// Input that did not fit the pipe, or has not arrived yet.
#[derive(Debug)]
pub struct Unfed {
    pub(super) stdin: Stdin,
    pub(super) bytes: Bytes,
    pub(super) rest: Option<Body>,
}

impl Unfed {
    /// Writes it as it arrives, then closes the input. A process that closes its standard input
    /// early is no error: it has read what it wanted.
    ///
    /// # Errors
    /// The body's own, when the client fails to send it. Then the input stays open, so that the
    /// process cannot take a part for the whole.
    pub async fn feed(mut self) -> Result<(), Error> {
        if self.write_all().await.map_err(Error::io("writing the function's input"))? {
            while let Some(body) = &mut self.rest
                && let Some(frame) = body.frame().await
            {
                // Trailers have no place in a process's input.
                let Ok(data) = frame?.into_data() else { continue };
                self.bytes = data;
                if !self.write_all().await.map_err(Error::io("writing the function's input"))? {
                    break;
                }
            }
        }
        self.stdin.close();
        Ok(())
    }

    async fn write_all(&mut self) -> io::Result<bool> {
        self.stdin.write(&std::mem::take(&mut self.bytes)).await
    }
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
