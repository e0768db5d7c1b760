//! Docker's own file with the credentials of registries, as `docker login` writes it.

use std::{collections::HashMap, io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::auth::DockerCredentials;
use serde::Deserialize;

use crate::error::{Error, Result};

/// The registry of names without one, and how the file calls it.
pub(super) const HUB: &str = "docker.io";
const HUBS_KEY: &str = "index.docker.io";

/// What the file says of one registry.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What is sent along.
    pub(super) login: Option<DockerCredentials>,
    /// The program that would know more. None is run.
    pub(super) helper: Option<String>,
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

/// What is known of `registry`; nothing if there is no file.
pub(super) async fn read(path: &Path, registry: &str) -> Result<Known> {
    let Some(file) = load(path).await? else { return Ok(Known::default()) };
    known(&file, registry).map_err(|why| unusable(path, &why))
}

/// Everything in the file, for builds, by the keys that the engine expects.
pub(super) async fn all(path: &Path) -> Result<HashMap<String, DockerCredentials>> {
    let Some(file) = load(path).await? else { return Ok(HashMap::new()) };
    let mut all = HashMap::new();
    for (key, entry) in &file.auths {
        if let Some(login) = login(key, entry).map_err(|why| unusable(path, &why))? {
            all.insert(key.clone(), login);
        }
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

fn known(file: &File, registry: &str) -> Result<Known, String> {
    let is_it = |key: &str| {
        let host = host(key);
        host == registry || registry == HUB && host == HUBS_KEY
    };
    let entry = file.auths.iter().find(|(key, _)| is_it(key));
    let login = entry.map(|(key, entry)| login(key, entry)).transpose()?.flatten();
    let helper = file.cred_helpers.iter().find(|(key, _)| is_it(key)).map(|(_, helper)| helper);
    let helper = helper.or(file.creds_store.as_ref()).filter(|_| login.is_none()).cloned();
    Ok(Known { login, helper })
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

    fn look(json: serde_json::Value, registry: &str) -> Result<Known, String> {
        known(&serde_json::from_value(json).unwrap(), registry)
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
        for (registry, helper) in [("a.b", "desktop"), ("c.d", "pass"), (HUB, "desktop")] {
            let known = look(json.clone(), registry).unwrap();
            assert!(known.login.is_none());
            assert_eq!(known.helper.as_deref(), Some(helper));
        }
    }

    #[tokio::test]
    async fn broken_file_is_named_and_says_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert!(read(&path, HUB).await.unwrap().login.is_none());
        for text in ["{", r#"{"auths": {"docker.io": {"auth": "s3cret!"}}}"#] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path, HUB).await.unwrap_err().to_string();
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
