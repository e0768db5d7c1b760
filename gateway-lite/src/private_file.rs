//! Files that only the gateway's user reads, whole or not there.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// How the name of a file begins until it is whole.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Makes a directory that nobody else enters (0700), and those above it.
///
/// # Errors
/// The kernel's, with the path.
pub(crate) fn directory(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        // One that was there may have been made by a careless hand.
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)))
        .map_err(|error| about(dir, &error))
}

/// Writes a file that nobody else reads (0600). Whatever happens, it is what it was before, or all
/// of `bytes`; when this returns it is on the disk.
///
/// # Errors
/// The kernel's.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut name = OsString::from(UNFINISHED);
    name.push(path.file_name().unwrap_or_default());
    let unfinished = dir.join(name);
    // Left by a gateway that was killed.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.and_then(|()| sync(dir))
}

/// Brings a directory to the disk: a rename or removal in it is there only then (fsync(2)).
///
/// # Errors
/// The kernel's.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// An error that names its file.
#[must_use]
pub(crate) fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
