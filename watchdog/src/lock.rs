//! The lock file: there while new calls are welcome. Templates and orchestrators probe for it
//! (`cat /tmp/.lock`), and deleting it is a way to take a replica out of service.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use rustix::fs::OFlags;

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
        // The directory may be everybody's: nothing that others put there is followed, emptied or
        // waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o660)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is there and no regular file"));
        }
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
