//! Namespaces: names that keep functions and secrets apart, with labels and annotations.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    function::{DEFAULT_NAMESPACE, check_name},
    private_file,
};

/// A namespace as clients send and see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its name, a DNS label.
    pub name: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// All namespaces, kept in one file.
#[derive(Debug)]
pub struct Namespaces {
    path: PathBuf,
    known: Mutex<BTreeMap<String, Namespace>>,
}

impl Namespaces {
    /// Those kept in `dir`, and the default one.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("namespaces.json");
        let mut known: BTreeMap<String, Namespace> = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let name = DEFAULT_NAMESPACE.to_owned();
        known.entry(name.clone()).or_insert_with(|| Namespace { name, ..Namespace::default() });
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// Their names, in order.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &str) -> Result<Namespace> {
        self.lock().get(name).cloned().ok_or_else(|| unknown(name))
    }

    /// Makes sure that there is one of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn check(&self, name: &str) -> Result<()> {
        self.get(name).map(drop)
    }

    /// A new one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is none, [`Error::Conflict`] when it exists,
    /// [`Error::Failed`] when it cannot be kept.
    pub fn create(&self, namespace: Namespace) -> Result<()> {
        check_name("namespace", &namespace.name)?;
        self.change(|known| {
            if known.contains_key(&namespace.name) {
                let text = format!("namespace {} already exists", namespace.name);
                return Err(Error::Conflict(text));
            }
            known.insert(namespace.name.clone(), namespace);
            Ok(())
        })
    }

    /// Other labels and annotations for one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Failed`] when it cannot be kept.
    pub fn update(&self, namespace: Namespace) -> Result<()> {
        self.change(|known| {
            let known = known.get_mut(&namespace.name).ok_or_else(|| unknown(&namespace.name))?;
            *known = namespace;
            Ok(())
        })
    }

    /// One less; whoever calls this has made sure that it is empty.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for the default one; [`Error::Failed`] when that
    /// cannot be kept.
    pub fn remove(&self, name: &str) -> Result<()> {
        if name == DEFAULT_NAMESPACE {
            return Err(Error::Invalid(format!("namespace {name} is always there")));
        }
        self.change(|known| known.remove(name).map(drop).ok_or_else(|| unknown(name)))
    }

    /// Nothing changes in memory that is not kept.
    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Namespace>) -> Result<()>,
    ) -> Result<()> {
        let mut known = self.lock();
        let mut changed = known.clone();
        change(&mut changed)?;
        let text = serde_json::to_vec(&changed).unwrap_or_default();
        private_file::write(&self.path, &text).map_err(|error| {
            Error::Failed(format!("cannot write {}: {error}", self.path.display()))
        })?;
        *known = changed;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Namespace>> {
        // Nothing that panics runs under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(100).collect();
    Error::NotFound(format!("namespace {name:?} does not exist: create it first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        let labels = BTreeMap::from([("openfaas".to_owned(), "1".to_owned())]);
        Namespace { name: name.to_owned(), labels, ..Namespace::default() }
    }

    #[test]
    fn namespaces_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let namespaces = Namespaces::open(dir.path()).unwrap();
        assert_eq!(namespaces.list(), [DEFAULT_NAMESPACE]);
        namespaces.create(namespace("a")).unwrap();
        namespaces.create(namespace("b")).unwrap();
        assert!(matches!(namespaces.create(namespace("a")), Err(Error::Conflict(_))));
        namespaces.remove("b").unwrap();
        let again = Namespaces::open(dir.path()).unwrap();
        assert_eq!(again.list(), ["a", DEFAULT_NAMESPACE]);
        assert_eq!(again.get("a").unwrap(), namespace("a"));
        assert!(matches!(again.remove("b"), Err(Error::NotFound(_))));
        assert!(matches!(again.remove(DEFAULT_NAMESPACE), Err(Error::Invalid(_))));
        assert!(matches!(again.create(namespace("../a")), Err(Error::Invalid(_))));
    }

    #[test]
    fn what_cannot_be_kept_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let namespaces = Namespaces::open(dir.path()).unwrap();
        drop(dir);
        assert!(matches!(namespaces.create(namespace("a")), Err(Error::Failed(_))));
        assert!(namespaces.check("a").is_err());
    }
}
