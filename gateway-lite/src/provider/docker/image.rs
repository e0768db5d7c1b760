//! Images: used when they are there, else pulled once for all who wait for them, and no longer than
//! anybody does.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    credentials::{self, Known},
    engine::{ASK, Engine},
    helper::Helpers,
};
use crate::error::{Error, Result};

/// The longest silence of a pull.
const SILENCE: Duration = Duration::from_secs(300);

/// One pull; it ends with the last who waits for it.
type Outcome = BoxFuture<'static, Result<()>>;

/// Pulls under way.
#[derive(Debug)]
pub(super) struct Images {
    config: Option<PathBuf>,
    helpers: Helpers,
    pulls: Mutex<HashMap<String, WeakShared<Outcome>>>,
}

impl Images {
    /// None yet. `config` is Docker's file with credentials, `helpers` keep more of them.
    pub(super) fn new(config: Option<PathBuf>, helpers: Helpers) -> Self {
        Self { config, helpers, pulls: Mutex::default() }
    }

    /// Makes sure that an image is there. A pull that everybody has dropped is cancelled, by the
    /// engine as well.
    pub(super) async fn bring(&self, engine: &Engine, image: &str) -> Result<()> {
        let name = image.trim();
        let doing = format!("look for the image {name:?}");
        match engine.ask(ASK, &doing, engine.api().inspect_image(name)).await {
            Err(Error::NotFound(_)) => {}
            other => return other.map(drop),
        }
        self.pull_of(engine, name).await
    }

    /// The pull of an image that is under way, or else a new one.
    fn pull_of(&self, engine: &Engine, name: &str) -> Shared<Outcome> {
        // Nothing that can panic runs under the lock.
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, pull| pull.upgrade().is_some_and(|pull| pull.peek().is_none()));
        if let Some(pull) = pulls.get(name).and_then(WeakShared::upgrade) {
            return pull;
        }
        let (engine, config, key) = (engine.clone(), self.config.clone(), name.to_owned());
        let helpers = self.helpers.clone();
        // A task, so that it goes on while whoever began it does something else.
        let work = AbortOnDropHandle::new(tokio::spawn(async move {
            let outcome = pull(&engine, config, &helpers, &key).await;
            match &outcome {
                Ok(()) => tracing::info!(image = key, "Pulled"),
                Err(error) => tracing::warn!(image = key, "{error}"),
            }
            outcome
        }));
        let ended = |error| Err(Error::Failed(format!("ended early: {error}")));
        let pull = work.map(move |done| done.unwrap_or_else(ended)).boxed().shared();
        pulls.extend(pull.downgrade().map(|weak| (name.to_owned(), weak)));
        pull
    }
}

async fn pull(
    engine: &Engine,
    config: Option<PathBuf>,
    helpers: &Helpers,
    name: &str,
) -> Result<()> {
    tracing::info!(image = name, "Pulling");
    let reference = Reference::of(name);
    let registry = reference.registry();
    let known = match config {
        Some(path) => credentials::read(&path, helpers, registry).await?,
        None => Known::default(),
    };
    let options = CreateImageOptionsBuilder::default()
        .from_image(reference.repository)
        .tag(reference.version)
        .build();
    let doing = format!("pull the image {name:?}");
    let mut progress = engine.api().create_image(Some(options), None, known.login);
    let hint = |error: Error| {
        let trouble = known.trouble.as_deref();
        let hint = trouble.map(|why| format!(" (credentials of {registry} are missing: {why})"));
        with_hint(error, &hint.unwrap_or_default())
    };
    loop {
        let next = tokio::time::timeout(SILENCE, progress.next()).await;
        match next.map_err(|_| engine.late(&doing, SILENCE))? {
            None => return Ok(()),
            Some(Ok(step)) => {
                let (layer, status) =
                    (step.id.unwrap_or_default(), step.status.unwrap_or_default());
                tracing::debug!(image = name, layer, "{status}");
            }
            Some(Err(error)) => return Err(hint(refusal(engine.error(&doing, &error)))),
        }
    }
}

/// What the author can change: the name, or who may have it.
fn refusal(error: Error) -> Error {
    const UNKNOWN: [&str; 5] =
        ["not found", "manifest unknown", "denied", "unauthorized", "does not exist"];
    match error {
        Error::NotFound(text) => Error::Invalid(text),
        Error::Failed(text) if UNKNOWN.iter().any(|word| text.contains(word)) => {
            Error::Invalid(text)
        }
        other => other,
    }
}

fn with_hint(error: Error, hint: &str) -> Error {
    match error {
        Error::Invalid(text) => Error::Invalid(text + hint),
        Error::Failed(text) => Error::Failed(text + hint),
        other => other,
    }
}

/// `[registry/]repository[:tag][@digest]`.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    repository: &'a str,
    /// A digest, or a tag.
    version: &'a str,
}

impl<'a> Reference<'a> {
    /// The parts of an image's name; without a version it would be all there are.
    fn of(name: &'a str) -> Self {
        let (name, digest) = match name.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (name, None),
        };
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[last..].find(':') {
            Some(colon) => (&name[..last + colon], Some(&name[last + colon + 1..])),
            None => (name, None),
        };
        Self { repository, version: digest.or(tag).unwrap_or("latest") }
    }

    /// Whose it is: what is before the first slash, if it can be a host.
    fn registry(&self) -> &'a str {
        match self.repository.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => credentials::HUB,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_parts() {
        let digest = "sha256:00";
        let rows = [
            ("alpine", ("alpine", "latest", credentials::HUB)),
            ("a/b:c", ("a/b", "c", credentials::HUB)),
            ("ghcr.io/a/b", ("ghcr.io/a/b", "latest", "ghcr.io")),
            ("localhost/a:b", ("localhost/a", "b", "localhost")),
            ("h:5000/a", ("h:5000/a", "latest", "h:5000")),
            ("h:5000/a:b@sha256:00", ("h:5000/a", digest, "h:5000")),
            ("a@sha256:00", ("a", digest, credentials::HUB)),
        ];
        for (name, expected) in rows {
            let parts = Reference::of(name);
            assert_eq!((parts.repository, parts.version, parts.registry()), expected, "{name}");
        }
    }

    #[test]
    fn unknown_images_are_the_authors_mistake() {
        let text = "pull access denied for x, repository does not exist".to_owned();
        assert!(matches!(refusal(Error::Failed(text)), Error::Invalid(_)));
        let text = "dial tcp: lookup registry: no such host".to_owned();
        assert!(matches!(refusal(Error::Failed(text)), Error::Failed(_)));
    }

    proptest! {
        #[test]
        fn no_name_is_too_strange(name in ".*") {
            let parts = Reference::of(&name);
            prop_assert!(!parts.registry().is_empty());
        }
    }
}
