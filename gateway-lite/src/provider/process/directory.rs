//! Where an instance lives: `DATA/instances/NAMESPACE/NAME/ID/`, and its socket `DATA/run/ID`.
//!
//! ```text
//! instance.json   what it was made from, and its process
//! secrets/NAME    copies of the secrets that it listed, and of no other
//! tmp/            its TMPDIR
//! log             what it wrote
//! ```
//!
//! It appears and goes by a rename, so that there is never half of one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::rand::GetRandomFlags;

use super::record::Record;
use crate::{
    error::{Error, Result},
    function::FunctionId,
    provider::Order,
};

/// Bytes of the longest socket path: unix(7) has room for 108 with the final NUL.
const MAX_SOCKET_PATH: usize = 107;
/// Characters of an instance's name: 64 bits.
const ID: usize = 16;
/// Directories of these beginnings are on their way in, or out.
const HIDDEN: char = '.';

/// All instances' directories.
#[derive(Clone, Debug)]
pub(super) struct Root {
    instances: PathBuf,
    sockets: PathBuf,
}

/// One instance's.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) directory: PathBuf,
    pub(super) socket: PathBuf,
}

impl Root {
    /// Makes what is missing, and tidies up what a killed gateway left half done.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        private(data)?;
        let data = data.canonicalize()?;
        let root = Self { instances: data.join("instances"), sockets: data.join("run") };
        let longest = root.sockets.as_os_str().len() + 1 + ID;
        if longest > MAX_SOCKET_PATH {
            return Err(io::Error::other(format!(
                "its path is {} bytes too long for the sockets in it (unix(7)): choose a shorter one",
                longest - MAX_SOCKET_PATH
            )));
        }
        private(&root.instances)?;
        private(&root.sockets)?;
        Ok(root)
    }

    /// Holds off a second gateway with the same data.
    pub(super) fn lock(&self) -> io::Result<File> {
        let path = self.instances.join(".lock");
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    /// Every instance that is there, and its record.
    pub(super) fn list(&self) -> io::Result<Vec<(FunctionId, Place, io::Result<Record>)>> {
        let mut all = Vec::new();
        for (namespace, path) in entries(&self.instances)? {
            for (name, path) in entries(&path)? {
                let Ok(function) = FunctionId::new(&name, &namespace) else { continue };
                for (id, directory) in entries(&path)? {
                    let place = self.place(id, directory);
                    let record = Record::load(&place.directory);
                    all.push((function.clone(), place, record));
                }
            }
        }
        Ok(all)
    }

    fn place(&self, id: String, directory: PathBuf) -> Place {
        Place { socket: self.sockets.join(&id), id, directory }
    }

    /// Makes one.
    pub(super) fn create(&self, order: &Order, record: &Record) -> Result<Place> {
        let failed = |error: io::Error| {
            Error::Failed(format!(
                "cannot make a directory for an instance of {} in {}: {error}",
                order.function,
                self.instances.display()
            ))
        };
        let id = random().map_err(failed)?;
        let (namespace, name) = (order.function.namespace(), order.function.name());
        let parent = self.instances.join(namespace).join(name);
        let new = parent.join(format!("{HIDDEN}{id}"));
        private(&new).map_err(failed)?;
        let made = fill(&new, order, record).and_then(|()| {
            fs::rename(&new, parent.join(&id)).map_err(failed)?;
            File::open(&parent).and_then(|parent| parent.sync_all()).map_err(failed)
        });
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&new);
            return Err(error);
        }
        let directory = parent.join(&id);
        Ok(self.place(id, directory))
    }
}

/// All that is in the directory of a new instance.
fn fill(directory: &Path, order: &Order, record: &Record) -> Result<()> {
    let failed =
        |error: io::Error| Error::Failed(format!("cannot fill {}: {error}", directory.display()));
    let secrets = directory.join("secrets");
    private(&secrets).map_err(failed)?;
    private(&directory.join("tmp")).map_err(failed)?;
    for (name, file) in &order.secrets {
        let value = fs::read(file).map_err(|error| {
            Error::Failed(format!("cannot read secret {name} of {}: {error}", order.function))
        })?;
        let mut options = OpenOptions::new();
        let copy = options.write(true).create_new(true).mode(0o400).open(secrets.join(name));
        copy.and_then(|mut copy| io::Write::write_all(&mut copy, &value)).map_err(failed)?;
    }
    record.save(directory).map_err(failed)
}

impl Place {
    pub(super) fn secrets(&self) -> PathBuf {
        self.directory.join("secrets")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Opens the log for whoever writes to it.
    pub(super) fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.log())
    }

    /// Deletes all of it, and the directories above that are empty then.
    pub(super) fn remove(&self) -> io::Result<()> {
        let parent = self.directory.parent().unwrap_or(&self.directory);
        let gone = parent.join(format!("{HIDDEN}{}", self.id));
        match fs::rename(&self.directory, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        let _ = fs::remove_file(&self.socket);
        match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Others may be in them.
        let _ = fs::remove_dir(parent);
        parent.parent().map(fs::remove_dir);
        Ok(())
    }
}

/// A name that no instance ever had.
fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    // So few bytes are never cut short (getrandom(2)).
    rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(format!("{:0ID$x}", u64::from_ne_bytes(bytes)))
}

/// A directory for nobody else, its parents included; fine when it is there.
fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The directories in a directory, and those gone that were on their way.
fn entries(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with(HIDDEN) => fs::remove_dir_all(entry.path())?,
            Ok(name) => found.push((name, entry.path())),
            Err(_) => {}
        }
    }
    Ok(found)
}
