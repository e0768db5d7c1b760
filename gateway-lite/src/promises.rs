//! Changes that were taken on and that no instance shows yet: a function whose image is still being
//! brought here, and one that has to go but still finishes its calls.
//!
//! `DATA/promises/NAME.NAMESPACE` (0600 in 0700) is written before the change begins and deleted
//! when it is done, so that a gateway that starts goes on with what was cut off.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    error::{Error, Result},
    function::{FunctionId, FunctionSpec},
    private_file::{self, UNFINISHED, about},
};

/// One change of one function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "change")]
pub enum Promise {
    /// Its first version is being brought into service.
    Deploy {
        /// What was asked for, word for word.
        spec: Box<FunctionSpec>,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        deployed: OffsetDateTime,
    },
    /// All of it is being removed.
    Remove,
}

/// All that are not kept yet; at most one a function.
#[derive(Debug)]
pub struct Promises {
    dir: PathBuf,
}

impl Promises {
    /// Those below `data`, the gateway's data directory; made when there is none.
    ///
    /// # Errors
    /// What cannot be made, with its path.
    pub fn open(data: &Path) -> io::Result<Self> {
        let dir = data.join("promises");
        private_file::directory(&dir)?;
        Ok(Self { dir })
    }

    /// Every one that a gateway before this one made. What cannot be read is left, and told.
    ///
    /// # Errors
    /// The kernel's, with the path.
    pub fn all(&self) -> io::Result<Vec<(FunctionId, Promise)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|error| about(&self.dir, &error))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path).map_err(|error| about(&path, &error))?;
                continue;
            }
            match read(&path, &name) {
                Ok(found) => all.push(found),
                Err(error) => tracing::error!("{} is no promise: {error}", path.display()),
            }
        }
        Ok(all)
    }

    /// Writes one down, in the place of another of the same function. Returns when it is on the
    /// disk.
    ///
    /// # Errors
    /// [`Error::Failed`] when the disk refuses.
    pub fn make(&self, id: &FunctionId, promise: &Promise) -> Result<()> {
        let path = self.path(id);
        let failed = |error: io::Error| {
            let path = path.display();
            Error::Failed(format!("cannot write down what is to become of {id}: {path}: {error}"))
        };
        let bytes = serde_json::to_vec_pretty(promise).map_err(|error| failed(error.into()))?;
        private_file::write(&path, &bytes).map_err(failed)
    }

    /// Nothing is left to do for a function. Fine when there was nothing.
    pub fn keep(&self, id: &FunctionId) {
        let path = self.path(id);
        let done = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| private_file::sync(&self.dir)),
        };
        if let Err(error) = done {
            tracing::error!("{id}: {} cannot be deleted: {error}", path.display());
        }
    }

    fn path(&self, id: &FunctionId) -> PathBuf {
        self.dir.join(id.to_string())
    }
}

fn read(path: &Path, name: &str) -> Result<(FunctionId, Promise)> {
    let invalid = |why: &dyn std::fmt::Display| Error::Invalid(why.to_string());
    let (name, namespace) =
        name.split_once('.').ok_or_else(|| invalid(&"its name is no function's"))?;
    let id = FunctionId::new(name, namespace)?;
    let bytes = fs::read(path).map_err(|error| invalid(&error))?;
    let promise: Promise = serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?;
    match &promise {
        Promise::Deploy { spec, .. } if spec.id()? != id => Err(invalid(&"it names another one")),
        _ => Ok((id, promise)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_there_until_they_are_kept() {
        let data = tempfile::tempdir().unwrap();
        let promises = Promises::open(data.path()).unwrap();
        let id = FunctionId::new("f", "n").unwrap();
        let spec = FunctionSpec {
            service: "f".to_owned(),
            namespace: Some("n".to_owned()),
            ..FunctionSpec::default()
        };
        let deployed = OffsetDateTime::UNIX_EPOCH;
        let deploy = Promise::Deploy { spec: spec.into(), deployed };
        promises.make(&id, &deploy).unwrap();
        assert_eq!(promises.all().unwrap(), [(id.clone(), deploy.clone())]);
        promises.make(&id, &Promise::Remove).unwrap();
        // What is no promise is left alone.
        fs::write(data.path().join("promises/g.n"), "{").unwrap();
        let other = FunctionId::new("other", "n").unwrap();
        promises.make(&other, &deploy).unwrap();
        let promises = Promises::open(data.path()).unwrap();
        assert_eq!(promises.all().unwrap(), [(id.clone(), Promise::Remove)]);
        promises.keep(&id);
        promises.keep(&id);
        assert_eq!(promises.all().unwrap(), []);
        assert!(data.path().join("promises/g.n").exists());
    }
}
