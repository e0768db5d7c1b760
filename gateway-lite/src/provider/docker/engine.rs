//! The connection to the engine: deadlines, versions, and whose doing an error is.

use std::{path::Path, time::Duration};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as Refusal};
use http::HeaderValue;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// For whatever is answered at once by an engine that is well.
pub(super) const ASK: Duration = Duration::from_secs(30);
/// For what makes, starts or ends a container, which a busy disk delays.
pub(super) const ACT: Duration = Duration::from_secs(120);

/// The API of 20.10, the eldest engine whose answers are understood.
const ELDEST: (usize, usize) = (1, 41);
/// bollard's own timeout, in seconds; ours are shorter but for streams, which have none.
const NEVER: u64 = 365 * 24 * 3600;

/// An engine on this machine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    docker: Docker,
    host: String,
}

impl Engine {
    /// Where the engine listens; whether it does is for the first question to find out.
    pub(super) fn connect(host: &str) -> Result<Self> {
        let path = host.strip_prefix("unix://").unwrap_or(host);
        if !Path::new(path).is_absolute() {
            // Secrets are files of this machine, and calls go to addresses of its bridge.
            let text = format!(
                "docker_host is {host:?}: only an engine on this machine can be used, through \
                 its socket, such as unix:///var/run/docker.sock"
            );
            return Err(Error::Invalid(text));
        }
        let docker = Docker::connect_with_unix(path, NEVER, API_DEFAULT_VERSION);
        let docker = docker.map_err(|error| absent(host, &error))?;
        let docker = docker.with_request_modifier(|mut request| {
            // The engine reads these headers in the alphabet for URLs (RFC 4648 section 5) only.
            for name in ["x-registry-auth", "x-registry-config"] {
                let Some(value) = request.headers_mut().get_mut(name) else { continue };
                let text = value.to_str().unwrap_or_default().replace('+', "-").replace('/', "_");
                if let Ok(text) = HeaderValue::from_str(&text) {
                    *value = text;
                }
            }
            request
        });
        Ok(Self { docker, host: host.to_owned() })
    }

    /// To ask through.
    pub(super) fn api(&self) -> &Docker {
        &self.docker
    }

    /// Agrees on the version of the API; also after the engine was replaced by another one.
    ///
    /// Returns the engine's own version.
    pub(super) async fn negotiate(&self) -> Result<String> {
        let doing = "ask for the engine's version";
        let found = self.ask(ASK, doing, self.docker.version()).await?;
        let (version, api) = (found.version.unwrap_or_default(), found.api_version);
        let api = api.unwrap_or_default();
        let parts = api.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        if parts.is_none_or(|parts: (usize, usize)| parts < ELDEST) {
            let text = format!(
                "the Docker engine at {} is {version} with API {api:?}: 20.10 or later is needed",
                self.host
            );
            return Err(Error::Invalid(text));
        }
        self.ask(ASK, doing, self.docker.clone().negotiate_version()).await?;
        Ok(version)
    }

    /// The answer to `question`, in time. `doing` completes "cannot …".
    pub(super) async fn ask<T>(
        &self,
        deadline: Duration,
        doing: &str,
        question: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T> {
        match timeout(deadline, question).await {
            Ok(answer) => answer.map_err(|error| self.error(doing, &error)),
            Err(_) => Err(self.late(doing, deadline)),
        }
    }

    /// Whose doing it is.
    pub(super) fn error(&self, doing: &str, error: &Refusal) -> Error {
        match error {
            Refusal::DockerResponseServerError { status_code, message } => {
                let text = format!("cannot {doing}: {}", message.trim());
                match status_code {
                    400 => Error::Invalid(text),
                    404 => Error::NotFound(text),
                    409 => Error::Conflict(text),
                    _ => Error::Failed(text),
                }
            }
            Refusal::DockerStreamError { error } => {
                Error::Failed(format!("cannot {doing}: {}", error.trim()))
            }
            Refusal::JsonDataError { .. } | Refusal::JsonSerdeError { .. } => Error::Failed(
                format!("cannot {doing}: the engine's answer makes no sense ({error})"),
            ),
            other => Error::Unavailable(format!("cannot {doing}: {}", absent(&self.host, other))),
        }
    }

    /// No answer in time.
    pub(super) fn late(&self, doing: &str, deadline: Duration) -> Error {
        let seconds = deadline.as_secs();
        let text = format!(
            "cannot {doing}: the Docker engine at {} did not answer within {seconds} seconds",
            self.host
        );
        Error::Unavailable(text)
    }
}

fn absent(host: &str, error: &Refusal) -> Error {
    let text = format!(
        "no Docker engine answers at {host} ({error}): start it, or say where it is with docker_host"
    );
    Error::Unavailable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_engines_of_this_machine_are_taken() {
        for host in ["tcp://10.0.0.1:2375", "ssh://a@b", "docker.sock", ""] {
            let error = Engine::connect(host).unwrap_err();
            assert!(matches!(&error, Error::Invalid(text) if text.contains(host)), "{error:?}");
        }
        let error = Engine::connect("unix:///no/such.sock").unwrap_err();
        assert!(matches!(&error, Error::Unavailable(text) if text.contains("/no/such.sock")));
    }

    #[tokio::test]
    async fn nobody_behind_the_socket_is_unavailable_and_silence_is_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let engine = Engine::connect(path.to_str().unwrap()).unwrap();
        let short = Duration::from_millis(50);
        let error = engine.ask(short, "ask", engine.api().version()).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(text) if text.contains("within")), "{error}");
        drop(listener);
        let error = engine.ask(ASK, "ask", engine.api().version()).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(text) if text.contains("start it")), "{error}");
    }
}
