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
        if !is_reference(name) {
            let text = format!(
                "invalid reference: the image {name:?} is none: [registry[:port]/]path[:tag][@digest], \
                 the path in lower case"
            );
            return Err(Error::Invalid(text));
        }
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

/// The most characters of a repository with its registry.
const LONGEST_NAME: usize = 255;

/// Whether an engine could take it for an image's name, by the grammar of the distribution project
/// (`reference/regexp.go`): it answers some others with an error that has no words. The first part
/// of a path is a registry if nothing else can be meant.
fn is_reference(text: &str) -> bool {
    let (name, is_digest) = match text.split_once('@') {
        Some((name, digest)) => (name, is_digest(digest)),
        None => (text, true),
    };
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (path, is_tag) = match name[last..].find(':') {
        Some(colon) => (&name[..last + colon], is_tag(&name[last + colon + 1..])),
        None => (name, true),
    };
    let rest = path.split_once('/').filter(|(host, _)| is_domain(host)).map(|(_, rest)| rest);
    let is_path = |path: &str| path.split('/').all(is_component);
    is_digest
        && is_tag
        && path.len() <= LONGEST_NAME
        && (is_path(path) || rest.is_some_and(is_path))
}

/// Lower-case letters and digits, with `.`, `_`, `__` or hyphens between them.
fn is_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && text.split(is_plain).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

/// `[\w][\w.-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
}

/// `ALGORITHM:HEX`, of 32 hexadecimal digits at least.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    algorithm.split(['+', '.', '-', '_']).all(is_part)
        && hex.len() >= 32
        && hex.chars().all(|c| c.is_ascii_hexdigit())
}

/// A host's name or address, with or without a port.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port =
        port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()));
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_host = match inner {
        Some(six) => !six.is_empty() && six.chars().all(|c| c.is_ascii_hexdigit() || c == ':'),
        None => host.split('.').all(is_label),
    };
    is_host && is_port
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
    fn what_is_no_name_is_told_from_names() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let with_digests =
            ["a", "a/b:c", "localhost:5000/a/b:c"].map(|name| format!("{name}@{digest}"));
        let names = [
            "kennel/alpine",
            "alpine:latest",
            "localhost:5000/a/b:c",
            "ghcr.io/a/b__c-d---e.f:1.2_X",
            "[::1]:5000/a",
            "127.0.0.1:5000/x:latest",
            "Host/a",
            "0a1b",
            "a/b/c/d",
            &digest,
        ];
        for name in names.into_iter().chain(with_digests.iter().map(String::as_str)) {
            assert!(is_reference(name), "{name}");
        }
        let long = "a".repeat(256);
        for name in [
            "",
            "http://x/y",
            "/nowhere/at/all:no",
            "a//b",
            "a/",
            ":a",
            "a:",
            "Upper",
            "a/Upper",
            "a b",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a:-x",
            "a@",
            "a@sha256:00",
            "a@b@c",
            "a:b:c",
            "h:x/a",
            "é",
            &long,
        ] {
            assert!(!is_reference(name), "{name}");
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
        fn names_by_the_grammar_are_taken(
            name in "([a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?(\\.[a-z0-9]{1,5}){0,2}(:[0-9]{1,5})?/)?\
                     [a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,5}){0,2}\
                     (:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20})?(@sha256:[a-f0-9]{64})?",
        ) {
            prop_assert!(is_reference(&name), "{name}");
        }

        #[test]
        fn what_no_name_has_is_refused(before in "[a-z]{0,5}", strange in "[^a-zA-Z0-9./:@_\\[\\]-]|//|::|@@", after in ".{0,5}") {
            prop_assert!(!is_reference(&(before + &strange + &after)));
        }

        #[test]
        fn no_name_is_too_strange(name in ".*") {
            let parts = Reference::of(&name);
            prop_assert!(!parts.registry().is_empty());
        }
    }
}
