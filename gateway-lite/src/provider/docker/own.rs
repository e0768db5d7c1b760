//! What tells the containers of this data directory from all others.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::FlockOperation;

use crate::{
    error::{Error, Result},
    private_file,
};

/// How long a gateway that ends may still hold the data.
const HANDED_OVER: Duration = Duration::from_secs(5);

/// The mark of a data directory, for as long as a gateway uses it.
#[derive(Debug)]
pub(super) struct Own {
    gateway: String,
    _lock: File,
}

impl Own {
    /// Reads the mark, or makes one.
    pub(super) async fn open(data: &Path) -> Result<Self> {
        let data = data.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::read(&data)).await;
        opened.unwrap_or_else(|error| Err(Error::Failed(format!("ended early: {error}"))))
    }

    fn read(data: &Path) -> Result<Self> {
        if !data.is_absolute() {
            let text = format!("data_dir is {}: an absolute path is needed", data.display());
            return Err(Error::Invalid(text));
        }
        let failed = |error: io::Error| {
            Error::Failed(format!("cannot use the data directory {}: {error}", data.display()))
        };
        let dir = data.join("docker");
        private_file::directory(&dir).map_err(failed)?;
        let lock = File::create(dir.join("lock")).map_err(failed)?;
        let patience = Instant::now() + HANDED_OVER;
        while rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > patience {
                let data = data.display();
                let text = format!(
                    "another gateway uses the data directory {data}: stop it, or choose another"
                );
                return Err(Error::Failed(text));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let path = dir.join("gateway");
        let gateway = match fs::read_to_string(&path) {
            Ok(text) if is_mark(text.trim()) => text.trim().to_owned(),
            Ok(_) => {
                let text = format!(
                    "{} holds no mark of a gateway: bring back the one that was there, or delete \
                     it and lose sight of the functions that carry it",
                    path.display()
                );
                return Err(Error::Failed(text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mark = format!("{:032x}", fastrand::u128(..));
                private_file::write(&path, mark.as_bytes()).map_err(failed)?;
                mark
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { gateway, _lock: lock })
    }

    /// What every container of ours carries.
    pub(super) fn gateway(&self) -> &str {
        &self.gateway
    }
}

fn is_mark(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_has_one_mark_and_one_gateway() {
        let dir = tempfile::tempdir().unwrap();
        let own = Own::open(dir.path()).await.unwrap();
        let mark = own.gateway().to_owned();
        let error = Own::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("another gateway"), "{error}");
        drop(own);
        assert_eq!(Own::open(dir.path()).await.unwrap().gateway(), mark);
        fs::write(dir.path().join("docker/gateway"), "x").unwrap();
        let error = Own::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("docker/gateway"), "{error}");
        assert!(Own::open(Path::new("relative")).await.is_err());
    }
}
