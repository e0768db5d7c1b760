//! Giving a process its input while somebody reads its output.

use std::{future::Future, io, pin::pin};

use http_body_util::BodyExt as _;
use tokio::{io::AsyncWriteExt as _, net::unix::pipe};

use crate::{body::Body, error::Error};

/// Writes `body` to `stdin` as it arrives, then closes it. A process that closes its standard
/// input early is no error: it has read what it wanted.
///
/// # Errors
/// The body's own, when the client fails to send it.
pub async fn feed(mut body: Body, mut stdin: pipe::Sender) -> Result<(), Error> {
    while let Some(frame) = body.frame().await {
        // Trailers have no place in a process's input.
        let Ok(data) = frame?.into_data() else { continue };
        match stdin.write_all(&data).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(source) => return Err(Error::Io { doing: "writing the function's input", source }),
        }
    }
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
