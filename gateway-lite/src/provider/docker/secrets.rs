//! The secrets of one instance: private copies, which its container sees.
//!
//! A file is readable by all (0444), as an image's user may be anybody, in a directory that only
//! the gateway's user enters (0700): it is mounted by itself, so the container needs no way to it,
//! and on this machine nobody else has one.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    private_file,
};

/// Where functions look for them.
const INSIDE: &str = "/var/openfaas/secrets";

/// The copies of all instances.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    root: PathBuf,
}

impl Copies {
    /// Those in a data directory.
    pub(super) fn open(data: &Path) -> Result<Self> {
        let root = data.join("docker-secrets");
        private_file::directory(&root).map_err(|error| {
            Error::Failed(format!("cannot keep secrets for containers: {error}"))
        })?;
        Ok(Self { root })
    }

    /// Copies them; the pairs are a file here and where it is to be in the container.
    pub(super) fn make(
        &self,
        instance: &str,
        secrets: &[(String, PathBuf)],
    ) -> Result<Vec<(PathBuf, String)>> {
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        let dir = self.root.join(instance);
        let copied = private_file::directory(&dir).and_then(|()| {
            let copy = |(name, from): &(String, PathBuf)| {
                let to = dir.join(name);
                let inside = format!("{INSIDE}/{name}");
                copy(from, &to).map_err(|error| private_file::about(from, &error))?;
                Ok((to, inside))
            };
            secrets.iter().map(copy).collect()
        });
        copied.map_err(|error| {
            self.remove(instance);
            Error::Failed(format!("cannot hand secrets to {instance}: {error}"))
        })
    }

    /// Deletes those of an instance; fine if it has none.
    pub(super) fn remove(&self, instance: &str) {
        match fs::remove_dir_all(self.root.join(instance)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(instance, "Copies of secrets are still there: {error}");
            }
            _ => {}
        }
    }

    /// Whether an instance has any.
    pub(super) fn has(&self, instance: &str) -> bool {
        self.root.join(instance).exists()
    }

    /// Deletes those of all others: of containers that somebody else removed.
    pub(super) fn keep(&self, instances: &HashSet<String>) {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            if !instances.contains(&name) {
                self.remove(&name);
            }
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(to)?;
    file.write_all(&bytes)?;
    // Whatever the umask says.
    file.set_permissions(fs::Permissions::from_mode(0o444))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_private_and_go_with_their_instance() {
        let data = tempfile::tempdir().unwrap();
        let from = data.path().join("from");
        fs::write(&from, "s3cret").unwrap();
        let copies = Copies::open(data.path()).unwrap();
        assert!(copies.make("none", &[]).unwrap().is_empty());
        for instance in ["a", "b"] {
            copies.make(instance, &[("key".to_owned(), from.clone())]).unwrap();
        }
        let dir = data.path().join("docker-secrets/a");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("key"))), (0o700, 0o444));
        copies.keep(&["b".to_owned()].into());
        assert!(!dir.exists() && data.path().join("docker-secrets/b/key").exists());
        copies.remove("b");
        copies.remove("b");
        let missing = [("key".to_owned(), data.path().join("missing"))];
        let error = copies.make("c", &missing).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        assert_eq!(fs::read_dir(data.path().join("docker-secrets")).unwrap().count(), 0);
    }
}
