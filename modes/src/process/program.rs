//! The program of a function, found once.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    search: Option<OsString>,
    path: Option<PathBuf>,
}

/// A program that is not there, or not executable.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Unresolved {
    /// The name as it was given.
    pub name: String,
    /// The PATH it was looked for in; callers of the function are not told.
    pub searched: Option<String>,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.searched {
            Some(_) => write!(f, "no executable file of that name in PATH"),
            None => write!(f, "no such executable file"),
        }
    }
}

impl Program {
    /// `argv` as the function's author gave it; `search` is the PATH to look in. A name with a
    /// slash is taken relative to the working directory, as execvp(3) does.
    ///
    /// Never fails: a program that is not there now is looked for again at each call, because a
    /// volume may bring it later.
    #[must_use]
    pub fn new(argv: &[OsString], search: Option<OsString>) -> Self {
        let name = argv.first().cloned().unwrap_or_default();
        let path = find(&name, search.as_deref());
        Self { name, args: argv.iter().skip(1).cloned().collect(), search, path }
    }

    /// The name as it was given; what the process sees as its first argument.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The arguments behind the name.
    #[must_use]
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// The absolute path.
    ///
    /// # Errors
    /// There was no such executable file at start, and there is none now.
    pub fn path(&self) -> Result<PathBuf, Unresolved> {
        self.path.clone().or_else(|| find(&self.name, self.search.as_deref())).ok_or_else(|| {
            let searched = (!has_slash(&self.name))
                .then(|| self.search.as_deref().unwrap_or_default().to_string_lossy().into_owned());
            Unresolved { name: self.name.to_string_lossy().into_owned(), searched }
        })
    }

    /// What will keep calls from starting it, as things are now, in words for the log: a call that
    /// is made all the same gets the kernel's reason.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        match self.path() {
            Ok(path) => obstacle(&path).map(str::to_owned),
            Err(missing) => {
                let place = missing.searched.as_deref().map(|path| format!(" ({path})"));
                Some(format!("{missing}{}", place.unwrap_or_default()))
            }
        }
    }
}

/// Why a file that is there cannot be executed, if that can be told beforehand.
fn obstacle(path: &Path) -> Option<&'static str> {
    if path.is_dir() {
        Some("it is a directory")
    } else if is_executable_file(path) {
        None
    } else {
        Some("it is not executable (chmod +x)")
    }
}

fn has_slash(name: &OsStr) -> bool {
    name.as_encoded_bytes().contains(&b'/')
}

fn find(name: &OsStr, search: Option<&OsStr>) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if has_slash(name) {
        // Whether it can be executed is the kernel's to say: its errno tells more than "not found".
        return std::path::absolute(name).ok().filter(|path| path.exists());
    }
    std::env::split_paths(search?)
        // POSIX: an empty entry of PATH is the working directory.
        .map(|dir| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir })
        .filter_map(|dir| std::path::absolute(dir.join(name)).ok())
        .find(|path| is_executable_file(path))
}

fn is_executable_file(path: &Path) -> bool {
    let regular = |path: &Path| -> io::Result<bool> { Ok(path.metadata()?.is_file()) };
    regular(path).unwrap_or(false) && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str) -> Program {
        Program::new(&[name.into(), "x".into()], Some("/nowhere:/usr/bin:/bin".into()))
    }

    #[test]
    fn a_bare_name_is_found_in_path_and_becomes_absolute() {
        let sh = program("sh");
        assert!(sh.path().unwrap().is_absolute());
        assert_eq!(sh.name(), "sh");
        assert_eq!(sh.args(), ["x"]);
    }

    #[test]
    fn a_missing_program_says_where_it_was_looked_for() {
        let error = program("no-such-program").path().unwrap_err();
        assert_eq!(error.searched.as_deref(), Some("/nowhere:/usr/bin:/bin"));
        assert!(!error.to_string().contains("/nowhere"), "{error}");
        assert!(program("/no/such/program").path().is_err());
        assert!(program("").path().is_err());
    }

    #[test]
    fn obstacles_are_known_before_a_call() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locked");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        let told = |path: &Path| program(path.to_str().unwrap()).obstacle().unwrap_or_default();
        assert!(told(&path).contains("not executable"), "{}", told(&path));
        assert!(told(dir.path()).contains("directory"), "{}", told(dir.path()));
        assert!(told(Path::new("/no/such/program")).contains("no such executable file"));
        assert!(told(Path::new("no-such-program")).contains("(/nowhere:/usr/bin:/bin)"));
        assert_eq!(program("sh").obstacle(), None);
    }

    #[test]
    fn a_program_that_appears_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("late");
        let late = program(path.to_str().unwrap());
        assert!(late.path().is_err());
        std::fs::write(&path, "").unwrap();
        assert_eq!(late.path().unwrap(), path);
    }
}
