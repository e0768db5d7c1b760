//! Images from a Dockerfile, by the engine's classic builder.

use std::{collections::BTreeMap, collections::HashMap, io, path::Path, time::Duration};

use bollard::{
    body_try_stream,
    query_parameters::{BuildImageOptionsBuilder, BuilderVersion},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{context, credentials, engine::Engine, helper::Helpers};
use crate::error::{Error, Result};

/// The longest silence of a build: a step may compile for long without a word.
const SILENCE: Duration = Duration::from_secs(3600);
/// Pieces of the context that wait for the engine, and their size in bytes.
const WAITING: usize = 8;
const PIECE: usize = 64 << 10;

/// Builds `tag` from the Dockerfile in `context`, with `handler` in the place of its folder
/// `function`, as a template has it. `progress` gets what the engine says, line by line.
///
/// `host` and `config` (with its helpers) are those of [`Settings`](super::Settings).
///
/// # Errors
/// [`Error::Invalid`] for a context that cannot be used, [`Error::Unavailable`] without an engine,
/// [`Error::Failed`] with the engine's words for a step that failed.
pub async fn build_image(
    host: &str,
    config: Option<(&Path, &Helpers)>,
    context: &Path,
    handler: Option<&Path>,
    tag: &str,
    arguments: &BTreeMap<String, String>,
    mut progress: impl FnMut(&str) + Send,
) -> Result<()> {
    let doing = format!("build {tag}");
    let entries = {
        let (context, handler) = (context.to_owned(), handler.map(Path::to_owned));
        let found = move || context::entries(&context, handler.as_deref());
        blocking(found).await?.map_err(|why| Error::Invalid(format!("cannot {doing}: {why}")))?
    };
    let engine = Engine::connect(host)?;
    engine.negotiate().await?;
    let logins = match config {
        Some((path, helpers)) => credentials::all(path, helpers).await?,
        None => HashMap::new(),
    };
    let (pieces, mut sent) = mpsc::channel(WAITING);
    let packing = tokio::task::spawn_blocking(move || {
        let mut output = io::BufWriter::with_capacity(PIECE, Pieces(pieces));
        let packed = context::pack(&entries, &mut output);
        match packed.and_then(|()| io::Write::flush(&mut output)) {
            Ok(()) => Ok(()),
            Err(error) => {
                // A tar that ends early would be taken for a whole one.
                let cut = io::Error::other("the context is cut off");
                let _ = output.get_ref().0.blocking_send(Err(cut));
                Err(error)
            }
        }
    });
    let body = body_try_stream(stream::poll_fn(move |context| sent.poll_recv(context)));
    let arguments: HashMap<String, String> = arguments.clone().into_iter().collect();
    let options = BuildImageOptionsBuilder::default()
        .dockerfile(context::DOCKERFILE)
        .t(tag)
        .rm(true)
        .forcerm(true)
        .buildargs(&arguments)
        .version(BuilderVersion::BuilderV1)
        .build();
    let mut output = engine.api().build_image(options, Some(logins), Some(body));
    let mut line = String::new();
    let outcome = loop {
        let next = tokio::time::timeout(SILENCE, output.next()).await;
        match next.map_err(|_| engine.late(&doing, SILENCE))? {
            None => break Ok(()),
            Some(Ok(step)) => {
                let status = step.status.map(|status| status + "\n");
                line.push_str(&step.stream.or(status).unwrap_or_default());
                while let Some(end) = line.find('\n') {
                    progress(line[..end].trim_end());
                    line.drain(..=end);
                }
            }
            Some(Err(error)) => break Err(engine.error(&doing, &error)),
        }
    };
    drop(output);
    if !line.trim().is_empty() {
        progress(line.trim_end());
    }
    match (outcome, packing.await) {
        // Whoever stopped listening has said why.
        (Err(error), Ok(Err(packing))) if packing.kind() == io::ErrorKind::BrokenPipe => Err(error),
        (_, Ok(Err(packing))) => Err(Error::Failed(format!("cannot {doing}: {packing}"))),
        (outcome, _) => outcome,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Failed(format!("ended early: {error}")))
}

/// Hands on what is written, as fast as the engine takes it.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
