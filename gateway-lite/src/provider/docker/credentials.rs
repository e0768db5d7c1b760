//! Docker's own file with the credentials of registries, as `docker login` writes it.

use std::{collections::HashMap, io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::auth::DockerCredentials;
use serde::Deserialize;

use super::helper::Helpers;
use crate::error::{Error, Result};

/// The registry of names without one, and how the file calls it.
pub(super) const HUB: &str = "docker.io";
const HUBS_KEY: &str = "index.docker.io";
/// How helpers call it.
const HUBS_SERVER: &str = "https://index.docker.io/v1/";

/// What is known of one registry.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What is sent along.
    pub(super) login: Option<DockerCredentials>,
    /// Why a helper that should know more did not answer.
    pub(super) trouble: Option<String>,
}

/// What the file says of one registry.
#[derive(Debug, Default, PartialEq)]
struct Said {
    login: Option<DockerCredentials>,
    /// The program that knows more, and what it calls the registry.
    helper: Option<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// What is known of `registry`; nothing if there is no file. A helper's word comes before the
/// file's; one that fails keeps nobody from what everybody may have.
pub(super) async fn read(path: &Path, helpers: &Helpers, registry: &str) -> Result<Known> {
    let Some(file) = load(path).await? else { return Ok(Known::default()) };
    let said = said(&file, registry).map_err(|why| unusable(path, &why))?;
    let mut known = Known { login: said.login, trouble: None };
    if let Some((name, server)) = said.helper {
        match helpers.get(&name, &server).await {
            Ok(login) => known.login = login.or(known.login),
            Err(why) => {
                tracing::warn!(registry, "{why}");
                known.trouble = Some(why);
            }
        }
    }
    Ok(known)
}

/// Everything that is known, for builds, by the keys that the engine expects.
pub(super) async fn all(
    path: &Path,
    helpers: &Helpers,
) -> Result<HashMap<String, DockerCredentials>> {
    let Some(file) = load(path).await? else { return Ok(HashMap::new()) };
    let mut all = HashMap::new();
    for key in file.auths.keys().chain(file.cred_helpers.keys()) {
        let registry = if host(key) == HUBS_KEY { HUB } else { host(key) };
        let login = read(path, helpers, registry).await?.login;
        all.extend(login.map(|login| (key.clone(), login)));
    }
    Ok(all)
}

async fn load(path: &Path) -> Result<Option<File>> {
    match tokio::fs::read(path).await {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(file) => Ok(Some(file)),
            Err(error) => Err(unusable(path, &error.to_string())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::Failed(format!("cannot use Docker's credentials in {path}: {why}"))
}

fn said(file: &File, registry: &str) -> Result<Said, String> {
    let is_it = |key: &str| {
        let host = host(key);
        host == registry || registry == HUB && host == HUBS_KEY
    };
    let entry = file.auths.iter().find(|(key, _)| is_it(key));
    let login = entry.map(|(key, entry)| login(key, entry)).transpose()?.flatten();
    let helper = file.cred_helpers.iter().find(|(key, _)| is_it(key)).map(|(_, helper)| helper);
    let helper = helper.or(file.creds_store.as_ref()).filter(|helper| !helper.is_empty());
    let server = if registry == HUB { HUBS_SERVER } else { registry };
    let helper = helper.map(|helper| (helper.clone(), server.to_owned()));
    Ok(Said { login, helper })
}

/// Keys are hosts, or addresses of old: `https://index.docker.io/v1/`.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// `None` for one that a helper keeps.
fn login(key: &str, entry: &Entry) -> Result<Option<DockerCredentials>, String> {
    let mut login = DockerCredentials {
        username: entry.username.clone(),
        password: entry.password.clone(),
        identitytoken: entry.identitytoken.clone(),
        registrytoken: entry.registrytoken.clone(),
        serveraddress: Some(key.to_owned()),
        ..DockerCredentials::default()
    };
    if let Some(auth) = entry.auth.as_deref().filter(|auth| !auth.is_empty()) {
        let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        // The file is the user's secret: it is not shown.
        let (name, password) =
            pair.ok_or_else(|| format!("\"auth\" of {key} is no base64 of NAME:PASSWORD"))?;
        login.username = Some(name.to_owned());
        login.password = Some(password.trim_end_matches('\0').to_owned());
    }
    let says = [&login.username, &login.identitytoken, &login.registrytoken];
    Ok(says.iter().any(|text| text.is_some()).then_some(login))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(json: serde_json::Value, registry: &str) -> Result<Said, String> {
        said(&serde_json::from_value(json).unwrap(), registry)
    }

    #[test]
    fn logins_are_found_by_registry() {
        let json = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": {"auth": STANDARD.encode("me:pass:word")},
            "h:5000": {"identitytoken": "t"},
        }, "HttpHeaders": {"a": "b"}});
        let hub = look(json.clone(), HUB).unwrap().login.unwrap();
        assert_eq!(
            (hub.username.as_deref(), hub.password.as_deref()),
            (Some("me"), Some("pass:word"))
        );
        let other = look(json.clone(), "h:5000").unwrap().login.unwrap();
        assert_eq!(other.identitytoken.as_deref(), Some("t"));
        let none = look(json, "ghcr.io").unwrap();
        assert!(none.login.is_none() && none.helper.is_none());
    }

    #[test]
    fn helpers_are_named() {
        let json = serde_json::json!({
            "auths": {"a.b": {}}, "credsStore": "desktop", "credHelpers": {"c.d": "pass"},
        });
        for (registry, helper, server) in [
            ("a.b", "desktop", "a.b"),
            ("c.d", "pass", "c.d"),
            (HUB, "desktop", "https://index.docker.io/v1/"),
        ] {
            let said = look(json.clone(), registry).unwrap();
            assert!(said.login.is_none());
            assert_eq!(said.helper, Some((helper.to_owned(), server.to_owned())));
        }
        assert_eq!(look(serde_json::json!({"credsStore": ""}), "a.b").unwrap(), Said::default());
    }

    #[tokio::test]
    async fn what_a_helper_does_not_know_is_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let json = serde_json::json!({
            "auths": {"a.b": {"auth": STANDARD.encode("me:p")}}, "credsStore": "nobody",
        });
        std::fs::write(&path, json.to_string()).unwrap();
        let known = read(&path, &Helpers::new(Vec::new()), "a.b").await.unwrap();
        assert_eq!(known.login.unwrap().username.as_deref(), Some("me"));
        assert!(known.trouble.unwrap().contains("docker-credential-nobody"));
        let all = all(&path, &Helpers::new(Vec::new())).await.unwrap();
        assert_eq!(all["a.b"].password.as_deref(), Some("p"));
    }

    #[tokio::test]
    async fn broken_file_is_named_and_says_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert!(read(&path, &Helpers::new(Vec::new()), HUB).await.unwrap().login.is_none());
        for text in ["{", r#"{"auths": {"docker.io": {"auth": "s3cret!"}}}"#] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path, &Helpers::new(Vec::new()), HUB).await.unwrap_err().to_string();
            assert!(error.contains("config.json") && !error.contains("s3cret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_entry_is_too_strange(key in ".*", auth in ".*") {
            let entry = Entry { auth: Some(auth), ..Entry::default() };
            let _ = login(&key, &entry);
            let _ = host(&key);
        }
    }
}
