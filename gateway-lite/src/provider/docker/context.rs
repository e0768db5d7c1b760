//! What is sent to the engine to build from: a folder as a tar archive.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header, HeaderMode};

use super::ignore::Ignored;

/// The file that says how.
pub(super) const DOCKERFILE: &str = "Dockerfile";
const IGNORE: &str = ".dockerignore";
/// Where a template expects the function.
const FUNCTION: &str = "function";

/// Names in the archive and where they come from. Symbolic links are not followed.
pub(super) type Entries = BTreeMap<PathBuf, PathBuf>;

/// What is sent; or what is wrong.
pub(super) fn entries(context: &Path, handler: Option<&Path>) -> Result<Entries, String> {
    if !context.join(DOCKERFILE).is_file() {
        return Err(format!("{} has no {DOCKERFILE}", context.display()));
    }
    let ignore = context.join(IGNORE);
    let ignored = match fs::read_to_string(&ignore) {
        Ok(text) => Ignored::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ignored::default(),
        Err(error) => return Err(format!("{}: {error}", ignore.display())),
    };
    let mut entries = Entries::new();
    let mut walk = |from: &Path, to: &Path| {
        collect(from, to, &ignored, &mut entries)
            .map_err(|(path, error)| format!("{}: {error}", path.display()))
    };
    walk(context, Path::new(""))?;
    if let Some(handler) = handler {
        if !handler.is_dir() {
            return Err(format!("the handler {} is no folder", handler.display()));
        }
        walk(handler, Path::new(FUNCTION))?;
    }
    Ok(entries)
}

fn collect(
    from: &Path,
    to: &Path,
    ignored: &Ignored,
    entries: &mut Entries,
) -> Result<(), (PathBuf, io::Error)> {
    let about = |error| (from.to_owned(), error);
    for entry in fs::read_dir(from).map_err(about)? {
        let entry = entry.map_err(about)?;
        let (path, name) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| (path.clone(), error))?;
        // The engine needs these whatever the list says.
        let is_kept = name == Path::new(DOCKERFILE) || name == Path::new(IGNORE);
        let is_ignored = !is_kept && ignored.has(&name);
        if kind.is_dir() {
            if !is_ignored || ignored.has_exceptions() {
                if !is_ignored {
                    entries.insert(name.clone(), path.clone());
                }
                collect(&path, &name, ignored, entries)?;
            }
        } else if !is_ignored && (kind.is_file() || kind.is_symlink()) {
            // In the place of a folder of the same name, with all that was in it.
            entries.retain(|other, _| *other == name || !other.starts_with(&name));
            entries.insert(name, path);
        }
    }
    Ok(())
}

/// Writes the archive.
pub(super) fn pack(entries: &Entries, output: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(output);
    for (name, path) in entries {
        add(&mut archive, name, path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    archive.into_inner().map(drop)
}

fn add(archive: &mut Builder<impl Write>, name: &Path, path: &Path) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    let mut header = Header::new_gnu();
    header.set_metadata_in_mode(&found, HeaderMode::Complete);
    // Whoever builds owns nothing in the image.
    header.set_uid(0);
    header.set_gid(0);
    if found.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        return archive.append_link(&mut header, name, fs::read_link(path)?);
    }
    if found.is_dir() {
        header.set_size(0);
        return archive.append_data(&mut header, name, io::empty());
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    header.set_size(size);
    let mut whole = Whole { file: file.take(size), missing: size };
    archive.append_data(&mut header, name, &mut whole)
}

/// A file that has to have the size that was announced.
struct Whole {
    file: io::Take<File>,
    missing: u64,
}

impl io::Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.missing -= count as u64;
        if count == 0 && !buffer.is_empty() && self.missing > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn unpacked(entries: &Entries) -> BTreeMap<String, (EntryType, u32, String)> {
        let mut bytes = Vec::new();
        pack(entries, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let mut text = link.unwrap_or_default();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            (name, (header.entry_type(), header.mode().unwrap() & 0o777, text))
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn handler_takes_the_place_of_the_templates() {
        let dir = tempfile::tempdir().unwrap();
        let (context, handler) = (dir.path().join("context"), dir.path().join("handler"));
        write(&context.join("Dockerfile"), "FROM scratch");
        write(&context.join("function/handler.py"), "template's");
        write(&context.join("function/data/kept"), "template's");
        write(&context.join("function/other/gone"), "template's");
        write(&context.join("run.sh"), "run");
        fs::set_permissions(context.join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("/etc/passwd", context.join("link")).unwrap();
        write(&handler.join("handler.py"), "mine");
        write(&handler.join("other"), "a file");
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        write(&handler.join(&long), "deep");
        let all = unpacked(&entries(&context, Some(&handler)).unwrap());
        assert_eq!(all["function/handler.py"].2, "mine");
        assert_eq!(all["function/data/kept"].2, "template's");
        assert_eq!(all["function/other"].2, "a file");
        assert!(!all.contains_key("function/other/gone"));
        assert_eq!(all["run.sh"].1, 0o750);
        assert_eq!(all["link"], (EntryType::Symlink, 0o777, "/etc/passwd".to_owned()));
        assert_eq!(all[&format!("function/{long}")].2, "deep");
    }

    #[test]
    fn what_is_ignored_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path();
        for name in ["Dockerfile", "a.log", "keep.log", "node_modules/x/y", "node_modules/z"] {
            write(&context.join(name), "");
        }
        write(&context.join(".dockerignore"), "*\n!keep.log\n!node_modules/z\n");
        let names: Vec<_> = entries(context, None).unwrap().into_keys().collect();
        let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "keep.log", "node_modules/z"]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(entries(dir.path(), None).unwrap_err().contains("Dockerfile"));
        write(&dir.path().join("Dockerfile"), "");
        let missing = dir.path().join("missing");
        assert!(entries(dir.path(), Some(&missing)).unwrap_err().contains("missing"));
    }

    #[test]
    fn file_that_becomes_shorter_is_no_context() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("f"), "abc");
        let file = File::open(dir.path().join("f")).unwrap();
        let mut whole = Whole { file: file.take(9), missing: 9 };
        assert!(io::copy(&mut whole, &mut io::sink()).is_err());
    }
}
