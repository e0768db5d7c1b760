//! Opening files below one folder, so that neither a name nor a symbolic link leads out of it.
//!
//! openat2(2) with `RESOLVE_BENEATH` asks the kernel for just that in one call. Where it is missing
//! (Linux before 5.6), forbidden (seccomp filters of older container runtimes answer EPERM), or
//! refuses what this program allows (an absolute link that points back inside), the name is
//! resolved first and then walked without following any link: whoever swaps a folder for a link
//! in between gets "not found".

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

/// Not waiting for the writer of a FIFO, and not taking a terminal for our own.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder, resolved and opened once.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    /// Without symbolic links.
    path: PathBuf,
}

/// What a name turned out to be.
#[derive(Debug)]
pub(super) enum Opened {
    File(RegularFile),
    Folder,
    /// Nothing, nothing that can be served (a FIFO, a socket, a device), or outside of the root.
    Absent,
    /// This process may not read it.
    Forbidden,
}

/// An open file and what was known of it when it was opened.
#[derive(Debug)]
pub(super) struct RegularFile {
    pub(super) file: Arc<File>,
    pub(super) stamp: Stamp,
}

/// What tells one version of a file from every other, as far as a file system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    /// In bytes.
    pub(super) length: u64,
    pub(super) modified: SystemTime,
    /// Seconds and nanoseconds of the last change of content, owner or mode; nobody can set it.
    changed: (i64, i64),
}

impl Stamp {
    /// Whether the last change was this long ago at `then`, so that no later one can have been
    /// given the same time by a coarse clock.
    pub(super) fn is_settled(&self, then: SystemTime, margin: Duration) -> bool {
        let Ok(since_epoch) = then.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let (seconds, _) = self.changed;
        since_epoch
            .checked_sub(margin)
            .is_some_and(|limit| i64::try_from(limit.as_secs()).is_ok_and(|limit| seconds < limit))
    }
}

impl Root {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let folder = openat(CWD, &path, FOLDER, Mode::empty())?;
        Ok(Self { folder, path })
    }

    /// Opens `name`, relative to the root. Blocks.
    ///
    /// # Errors
    /// Only what the host has to answer for, such as too many open files.
    pub(super) fn open(&self, name: &[u8]) -> io::Result<Opened> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = match openat2(&self.folder, name, READ, Mode::empty(), beneath) {
            // EAGAIN: something was renamed while a link with `..` was followed.
            Err(Errno::NOSYS | Errno::PERM | Errno::XDEV | Errno::AGAIN) => self.walk(name),
            other => other.map_err(io::Error::from),
        };
        classify(opened)
    }

    /// The way without openat2.
    fn walk(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let resolved = self.path.join(OsStr::from_bytes(name)).canonicalize()?;
        let Ok(inside) = resolved.strip_prefix(&self.path) else {
            return Err(Errno::NOENT.into());
        };
        let (Some(parent), Some(last)) = (inside.parent(), inside.file_name()) else {
            return Ok(openat(&self.folder, ".", READ, Mode::empty())?);
        };
        let mut folder = openat(&self.folder, ".", FOLDER, Mode::empty())?;
        for name in parent {
            folder = openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(openat(&folder, last, READ | OFlags::NOFOLLOW, Mode::empty())?)
    }
}

fn classify(opened: io::Result<OwnedFd>) -> io::Result<Opened> {
    let file = match opened {
        Ok(descriptor) => File::from(descriptor),
        Err(error) => return refusal(error),
    };
    let metadata = file.metadata()?;
    Ok(if metadata.is_file() {
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: metadata.modified()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        Opened::File(RegularFile { file: Arc::new(file), stamp })
    } else if metadata.is_dir() {
        Opened::Folder
    } else {
        Opened::Absent
    })
}

/// Errors of open(2) that the name is to blame for.
fn refusal(error: io::Error) -> io::Result<Opened> {
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS | Errno::PERM) => Ok(Opened::Forbidden),
        Some(
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG
            // Sockets, and devices without a driver.
            | Errno::NXIO | Errno::NODEV
            // Names that a file system cannot hold.
            | Errno::INVAL | Errno::ILSEQ,
        ) => Ok(Opened::Absent),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink};

    use super::*;

    fn describe(opened: Opened) -> String {
        match opened {
            Opened::File(opened) => {
                let mut text = String::new();
                (&*opened.file).read_to_string(&mut text).unwrap();
                assert_eq!(opened.stamp.length, text.len() as u64);
                text
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn links_are_followed_inside_of_the_root_only() {
        let temporary = tempfile::tempdir().unwrap();
        let outside = temporary.path().join("root-but-longer");
        let root = temporary.path().join("root");
        for folder in [&outside, &root.join("a/b"), &root.join("..data")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(root.join("top"), "top").unwrap();
        fs::write(root.join("a/b/deep"), "deep").unwrap();
        fs::write(root.join("..data/key"), "mounted").unwrap();
        rustix::fs::mkfifoat(CWD, root.join("fifo"), Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        for (target, link) in [
            (outside.join("secret"), "absolute-out"),
            ("../root-but-longer/secret".into(), "relative-out"),
            ("../root/top".into(), "out-and-in"),
            (outside.clone(), "folder-out"),
            (root.join("top"), "absolute-in"),
            ("a/b/../../top".into(), "relative-in"),
            (root.join("a/b"), "folder-in"),
            ("loop".into(), "loop"),
            ("nowhere".into(), "dangling"),
            ("/proc/self/root/etc/passwd".into(), "magic"),
            ("..data/key".into(), "key"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        // The root itself may be a link.
        symlink(&root, temporary.path().join("link")).unwrap();
        let root = Root::new(&temporary.path().join("link")).unwrap();
        let long = "x".repeat(300);
        for (name, expected) in [
            ("top", "top"),
            ("a/b/deep", "deep"),
            ("a/b", "Folder"),
            (".", "Folder"),
            ("missing", "Absent"),
            ("top/x", "Absent"),
            (long.as_str(), "Absent"),
            ("fifo", "Absent"),
            ("socket", "Absent"),
            ("absolute-out", "Absent"),
            ("relative-out", "Absent"),
            // Whether a link may leave on its way is not a matter of safety.
            ("out-and-in", "top"),
            ("folder-out/secret", "Absent"),
            ("folder-out", "Absent"),
            ("../root-but-longer/secret", "Absent"),
            ("/etc/passwd", "Absent"),
            ("absolute-in", "top"),
            ("relative-in", "top"),
            ("folder-in/deep", "deep"),
            ("loop", "Absent"),
            ("dangling", "Absent"),
            ("magic", "Absent"),
            // How Kubernetes mounts a ConfigMap.
            ("key", "mounted"),
        ] {
            let name = name.as_bytes();
            assert_eq!(describe(root.open(name).unwrap()), expected, "{}", name.escape_ascii());
            let walked = classify(root.walk(name)).unwrap();
            assert_eq!(describe(walked), expected, "walking {}", name.escape_ascii());
        }
    }

    #[test]
    fn a_root_that_is_no_folder_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (path, kind) in [
            (file.path(), io::ErrorKind::NotADirectory),
            (Path::new("/nowhere/at/all"), io::ErrorKind::NotFound),
            (Path::new(""), io::ErrorKind::NotFound),
        ] {
            assert_eq!(Root::new(path).unwrap_err().kind(), kind, "{}", path.display());
        }
    }

    #[test]
    fn errors_are_the_names_or_the_hosts() {
        for (errno, expected) in [
            (Errno::ACCESS, Some("Forbidden")),
            (Errno::NXIO, Some("Absent")),
            (Errno::MFILE, None),
            (Errno::NFILE, None),
            (Errno::NOMEM, None),
            (Errno::IO, None),
        ] {
            let classified = classify(Err(errno.into())).ok().map(describe);
            assert_eq!(classified.as_deref(), expected, "{errno}");
        }
    }
}
