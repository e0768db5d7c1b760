//! Programs that keep credentials for Docker: `docker-credential-NAME get` is told a registry on its
//! standard input and answers with JSON (the protocol of docker-credential-helpers).

use std::{ffi::OsString, sync::Arc, time::Duration};

use bollard::auth::DockerCredentials;
use http_body_util::{BodyExt as _, Limited};
use modes::{
    Body, Deadline, ZeroCopy,
    classic::{self, Classic, Flavour},
    logs::{Log, Sink, Stream},
    process::{Exit, Launcher, Program, Reaper},
    spool,
};
use serde::Deserialize;

/// The longest that one may take: it may ask a service on another machine.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest that one may take to end when its time is over.
const GRACE: Duration = Duration::from_secs(2);
/// The longest answer, in bytes.
const LONGEST: usize = 64 << 10;
/// What a helper says, with a status of 1, where it knows nothing of a registry.
const UNKNOWN: &str = "credentials not found";
/// The name of those whose secret is a token for an identity.
const TOKEN: &str = "<token>";

/// Runs helpers.
#[derive(Clone, Debug)]
pub struct Helpers {
    /// The gateway's own environment: where they are, and where they find what they keep.
    environment: Vec<(OsString, OsString)>,
    limit: Duration,
}

/// What one answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helpers {
    /// Helpers are looked for in the `PATH` of this environment, and get all of it.
    #[must_use]
    pub fn new(environment: Vec<(OsString, OsString)>) -> Self {
        Self { environment, limit: LIMIT }
    }

    /// What `docker-credential-NAME` knows of `server`; `None` if it says that it knows nothing.
    ///
    /// # Errors
    /// Why it cannot be asked, or what it said instead. Never the secret.
    pub(super) async fn get(
        &self,
        name: &str,
        server: &str,
    ) -> Result<Option<DockerCredentials>, String> {
        let program = format!("docker-credential-{name}");
        let said = self.run(&program, server).await.map_err(|why| format!("{program}: {why}"))?;
        let Some(said) = said else { return Ok(None) };
        let answer: Answer = serde_json::from_slice(&said)
            // Where it is wrong, and nothing of what it is.
            .map_err(|error| {
                format!("{program}: no answer that is known (column {})", error.column())
            })?;
        let mut login =
            DockerCredentials { serveraddress: Some(server.to_owned()), ..Default::default() };
        if answer.username == TOKEN {
            login.identitytoken = Some(answer.secret);
        } else {
            (login.username, login.password) = (Some(answer.username), Some(answer.secret));
        }
        Ok(Some(login))
    }

    /// Its output.
    async fn run(&self, program: &str, input: &str) -> Result<Option<Vec<u8>>, String> {
        if program.contains('/') {
            return Err("a name with a slash is no helper's".to_owned());
        }
        let words = [OsString::from(program), OsString::from("get")];
        let path = self.environment.iter().find(|(name, _)| name == "PATH");
        let found = Program::new(&words, path.map(|(_, path)| path.clone()));
        if let Err(missing) = found.path() {
            return Err(missing.to_string());
        }
        // A program that reads its input, answers and ends: a call of classic mode.
        let helper = Classic::new(classic::Config {
            launcher: Launcher::new(found, &self.environment, Reaper::new(GRACE)),
            log: Log { sink: Arc::new(Complaints), longest_line: 1024 },
            flavour: Flavour::Serializing,
            content_type: None,
            combine_output: false,
            cgi_headers: false,
            marshal_request: false,
            write_debug: false,
            debug_headers: false,
            spool: spool::Config {
                memory: LONGEST,
                limit: u64::try_from(LONGEST).ok(),
                directory: "/nonexistent".into(),
            },
            spares: None,
            zero_copy: ZeroCopy::Off,
        });
        let request = http::Request::new(Body::full(input.to_owned()));
        let answered = helper.call(request, Some(Deadline::after(self.limit))).await;
        let answer = answered.map_err(|error| error.to_string())?;
        let exit = answer.extensions().get::<Exit>().copied();
        let said = Limited::new(answer.into_body(), 2 * LONGEST).collect().await;
        let said = said.map_err(|error| error.to_string())?.to_bytes().to_vec();
        match exit {
            None => Ok(Some(said)),
            // One that failed says why where its answer would have been.
            Some(_) => match String::from_utf8_lossy(&said) {
                text if text.contains(UNKNOWN) => Ok(None),
                text => Err(text.trim().chars().take(300).collect()),
            },
        }
    }
}

/// What helpers write to standard error.
struct Complaints;

impl Sink for Complaints {
    fn line(&self, _: Stream, line: &[u8]) {
        tracing::warn!("a credential helper says: {}", String::from_utf8_lossy(line));
    }

    fn raw(&self, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    fn helpers(folder: &Path, script: &str) -> Helpers {
        let path = folder.join("docker-credential-vault");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.display());
        Helpers::new(vec![("PATH".into(), path.into()), ("KEPT".into(), "s3cret".into())])
    }

    #[tokio::test]
    async fn answers_are_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"[ "$*" = get ] || exit 9
            read -r server || :
            printf '{"ServerURL":"%s","Username":"me of %s","Secret":"%s"}' "$server" "$server" "$KEPT""#;
        let login = helpers(folder.path(), script).get("vault", "h:5000").await.unwrap().unwrap();
        assert_eq!(login.username.as_deref(), Some("me of h:5000"));
        assert_eq!(login.password.as_deref(), Some("s3cret"));
        assert_eq!(login.serveraddress.as_deref(), Some("h:5000"));
        let script = r#"echo '{"ServerURL":"h","Username":"<token>","Secret":"t"}'"#;
        let login = helpers(folder.path(), script).get("vault", "h").await.unwrap().unwrap();
        assert_eq!((login.identitytoken.as_deref(), login.username), (Some("t"), None));
        let script = "echo credentials not found in native keychain; exit 1";
        assert_eq!(helpers(folder.path(), script).get("vault", "h").await, Ok(None));
    }

    #[tokio::test]
    async fn failures_are_named_and_say_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        for (script, named) in [
            ("echo the vault is locked; exit 1", "the vault is locked"),
            ("kill -9 $$", "killed"),
            (r#"echo '{"Username":"me","Secret":["s3cret"]}'"#, "no answer"),
            ("echo s3cret", "no answer"),
            ("yes s3cret", "65536"),
        ] {
            let error = helpers(folder.path(), script).get("vault", "h").await.unwrap_err();
            assert!(error.contains("docker-credential-vault") && error.contains(named), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        for name in ["nobody", "../vault"] {
            let error = helpers(folder.path(), "exit 0").get(name, "h").await.unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut helpers = helpers(folder.path(), "sleep 1000");
        helpers.limit = Duration::from_millis(300);
        let error = helpers.get("vault", "h").await.unwrap_err();
        assert!(error.contains("docker-credential-vault"), "{error}");
    }
}
