//! The lock file: there while new calls are welcome. Templates and orchestrators probe for it
//! (`cat /tmp/.lock`), and deleting it is a way to take a replica out of service.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// Removes the file when dropped.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
}

impl LockFile {
    /// Writes the file, its directory if need be.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        tracing::info!("Writing lock-file to: {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o660).open(&path)?;
        Ok(Self { path })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        tracing::info!("Removing lock-file : {}", self.path.display());
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}
