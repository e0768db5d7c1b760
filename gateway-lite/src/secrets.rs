//! Secrets: files that functions read, and the keys of their callers.
//!
//! `DATA/secrets/NAMESPACE/NAME` (0600 in 0700) is both what is kept and what a provider gives to
//! a function. A value is written beside its place, brought to the disk and renamed, so a secret
//! is always a whole one; values are in memory too, for calls that are checked against a key.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use crate::{
    error::{Error, Result},
    function::check_name,
    private_file::{self, UNFINISHED, about},
};

/// The longest value, in bytes: 1 MiB, what a Kubernetes secret holds.
pub const LONGEST_VALUE: usize = 1 << 20;

/// Values by name, by namespace.
type Table = HashMap<Box<str>, BTreeMap<Box<str>, Arc<[u8]>>>;

/// All secrets of all namespaces. Reading one takes no lock.
pub struct Secrets {
    dir: PathBuf,
    table: ArcSwap<Table>,
    /// Held while files are changed.
    writing: Mutex<()>,
}

/// Never shows a value.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Those below `data`, the gateway's data directory; made when there is none.
    ///
    /// # Errors
    /// What cannot be made or read, with its path.
    pub fn open(data: &Path) -> io::Result<Self> {
        let dir = data.join("secrets");
        private_file::directory(&dir)?;
        // Providers give these paths to others, who may be in another directory.
        let dir = fs::canonicalize(&dir).map_err(|error| about(&dir, &error))?;
        let mut table = Table::new();
        for (namespace, path) in entries(&dir)? {
            if check_name("namespace", &namespace).is_err() || !path.is_dir() {
                continue;
            }
            let mut values = BTreeMap::new();
            for (name, path) in entries(&path)? {
                if name.starts_with(UNFINISHED) {
                    fs::remove_file(&path).map_err(|error| about(&path, &error))?;
                } else if check_name("secret", &name).is_ok() {
                    let value = read(&path).map_err(|error| about(&path, &error))?;
                    values.insert(name.into_boxed_str(), value.into());
                }
            }
            table.insert(namespace.into_boxed_str(), values);
        }
        Ok(Self { dir, table: ArcSwap::from_pointee(table), writing: Mutex::new(()) })
    }

    /// The names of those of a namespace, sorted.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no namespace's name.
    pub fn list(&self, namespace: &str) -> Result<Vec<String>> {
        check_name("namespace", namespace)?;
        let table = self.table.load();
        Ok(table.get(namespace).into_iter().flatten().map(|(name, _)| name.to_string()).collect())
    }

    /// Keeps a new one. Returns when it is on the disk.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is there already, [`Error::Invalid`] for a name that cannot be
    /// one or a value that is empty or too long, [`Error::Failed`] when the disk refuses.
    pub fn create(&self, namespace: &str, name: &str, value: &[u8]) -> Result<()> {
        self.write(namespace, name, value, |is_there| {
            let text = format!("secret {name} is there already in namespace {namespace}");
            if is_there { Err(Error::Conflict(text)) } else { Ok(()) }
        })
    }

    /// Gives one another value.
    ///
    /// # Errors
    /// As for [`create`](Self::create), but [`Error::NotFound`] when there is none.
    pub fn replace(&self, namespace: &str, name: &str, value: &[u8]) -> Result<()> {
        self.write(namespace, name, value, |is_there| {
            if is_there { Ok(()) } else { Err(missing(namespace, name)) }
        })
    }

    fn write(
        &self,
        namespace: &str,
        name: &str,
        value: &[u8],
        allowed: impl FnOnce(bool) -> Result<()>,
    ) -> Result<()> {
        check(namespace, name)?;
        if value.is_empty() || value.len() > LONGEST_VALUE {
            let (is, most) = (value.len(), LONGEST_VALUE);
            let text = format!("secret {name} has {is} bytes: give it 1 to {most}");
            return Err(Error::Invalid(text));
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        allowed(self.value(namespace, name).is_some())?;
        let dir = self.dir.join(namespace);
        private_file::directory(&dir)
            .and_then(|()| private_file::write(&dir.join(name), value))
            .map_err(|error| Error::Failed(format!("secret {name} is not kept: {error}")))?;
        self.change(|table| {
            table.entry(namespace.into()).or_default().insert(name.into(), value.into());
        });
        Ok(())
    }

    /// Forgets one. A function that has it keeps it until it is deployed again.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::Failed`] when the disk refuses.
    pub fn remove(&self, namespace: &str, name: &str) -> Result<()> {
        check(namespace, name)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.value(namespace, name).is_none() {
            return Err(missing(namespace, name));
        }
        let dir = self.dir.join(namespace);
        match fs::remove_file(dir.join(name)) {
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(()) => private_file::sync(&dir),
            Err(error) => Err(error),
        }
        .map_err(|error| Error::Failed(format!("secret {name} is still there: {error}")))?;
        self.change(|table| {
            if let Some(values) = table.get_mut(namespace) {
                values.remove(name);
            }
        });
        Ok(())
    }

    /// The value of one.
    #[must_use]
    pub fn value(&self, namespace: &str, name: &str) -> Option<Arc<[u8]>> {
        self.table.load().get(namespace)?.get(name).cloned()
    }

    /// The files of some, by name, in the order asked for; each once, however often it is named.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the first that is not there.
    pub fn files(&self, namespace: &str, names: &[String]) -> Result<Vec<(String, PathBuf)>> {
        check_name("namespace", namespace)?;
        let file = |name: &String| {
            check_name("secret", name)?;
            if self.value(namespace, name).is_none() {
                let text = format!(
                    "secret {name} is not there in namespace {namespace}: make it first, as with \
                     faas-cli secret create {name}"
                );
                return Err(Error::Invalid(text));
            }
            Ok((name.clone(), self.dir.join(namespace).join(name)))
        };
        let first = |(at, name): &(usize, &String)| !names[..*at].contains(name);
        names.iter().enumerate().filter(first).map(|(_, name)| file(name)).collect()
    }

    /// Called by who holds `writing`.
    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = Table::clone(&self.table.load());
        change(&mut table);
        self.table.store(Arc::new(table));
    }
}

fn check(namespace: &str, name: &str) -> Result<()> {
    check_name("namespace", namespace)?;
    check_name("secret", name)
}

fn missing(namespace: &str, name: &str) -> Error {
    Error::NotFound(format!("secret {name} is not there in namespace {namespace}"))
}

fn entries(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(dir).map_err(|error| about(dir, &error))?;
    entries
        .map(|entry| {
            let entry = entry.map_err(|error| about(dir, &error))?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
        })
        .collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    let most = LONGEST_VALUE as u64 + 1;
    fs::File::open(path)?.take(most).read_to_end(&mut value)?;
    if value.len() > LONGEST_VALUE {
        let text = format!("is longer than {LONGEST_VALUE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
