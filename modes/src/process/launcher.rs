//! What all processes of a function have in common, and the start of one.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{FileTypeExt as _, MetadataExt as _},
        },
    },
    path::Path,
    sync::Arc,
};

use rustix::{fs::makedev, io::Errno, process::Pid};

use super::{
    Arrived, Environment, Pipes, Process, Program, Reaper, Stdin, Unfed,
    environment::nul,
    pipes::{above_standard, pipe, receiver},
    spawn,
};
use crate::error::Error;

/// What a process reads from its standard input.
#[derive(Debug)]
pub enum Input {
    /// A request body.
    Body(Arrived),
    /// Nothing, and no end either.
    Open,
}

/// What becomes of a process's standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// A pipe of its own, see [`Pipes::stderr`].
    Pipe,
    /// The same pipe as standard output, so that both keep their order.
    WithStdout,
}

/// Starts the processes of one function.
#[derive(Clone, Debug)]
pub struct Launcher {
    common: Arc<Common>,
}

#[derive(Debug)]
struct Common {
    program: Program,
    /// The program's path, when it was there at the start.
    path: Option<CString>,
    /// Its arguments, the first of them its name; an error when one has a NUL byte.
    arguments: Option<Vec<CString>>,
    environment: Environment,
    reaper: Reaper,
    /// `/dev/null`, where it is what it should be.
    nothing: Option<OwnedFd>,
}

impl Launcher {
    /// Prepares all that does not depend on a call. `environment` is what calls may add to, and
    /// `reaper` ends what they leave behind.
    #[must_use]
    pub fn new(program: Program, environment: &[(OsString, OsString)], reaper: Reaper) -> Self {
        let arguments =
            std::iter::once(program.name()).chain(program.args().iter().map(AsRef::as_ref));
        let arguments = arguments.map(|argument| CString::new(argument.as_bytes()));
        let common = Common {
            path: program.path().ok().and_then(|path| c_string(&path).ok()),
            arguments: arguments.collect::<Result<_, _>>().ok(),
            environment: environment.iter().collect::<Environment>().settled(),
            reaper,
            nothing: nothing(),
            program,
        };
        Self { common: Arc::new(common) }
    }

    /// Starts one process. Must be called within a tokio runtime, whose thread stands still until
    /// the program is executed.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the program cannot be executed, [`Error::Environment`] when the
    /// kernel finds the environment too large (`E2BIG`, execve(2)), [`Error::Io`] when the host
    /// has no descriptors left.
    pub fn spawn(
        &self,
        extra: Environment,
        input: Input,
        stderr: Stderr,
    ) -> Result<(Process, Pipes), Error> {
        self.start(extra, input, stderr, false)
    }

    /// [`spawn`](Self::spawn) for a process that has no call yet: nothing is added to its
    /// environment, its input stays open, and it is killed when the calling thread ends, as it is
    /// when the watchdog is killed.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub(crate) fn spare(&self, stderr: Stderr) -> Result<(Process, Pipes), Error> {
        self.start(Environment::new(), Input::Open, stderr, true)
    }

    /// Whether there is a program to start.
    ///
    /// # Errors
    /// [`Error::Spawn`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.common.path.is_none() {
            self.find()?;
        }
        Ok(())
    }

    /// Looks for a program that was not there at start.
    fn find(&self) -> Result<CString, Error> {
        let path = self.common.program.path().map_err(|unresolved| Error::Spawn {
            program: unresolved.name.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, unresolved.to_string()),
        })?;
        c_string(&path).map_err(|source| failed(&path, source))
    }

    fn start(
        &self,
        extra: Environment,
        input: Input,
        stderr: Stderr,
        bound: bool,
    ) -> Result<(Process, Pipes), Error> {
        let doing = Error::io("connecting pipes to the function");
        // Our ends are ready before there is a process, so that nothing but that can fail.
        let input = self.connect(input).map_err(doing)?;
        let (ours, theirs) = pipe().map_err(doing)?;
        let stdout = Arc::new(receiver(ours).map_err(doing)?);
        let (stderr, their_stderr) = match stderr {
            Stderr::WithStdout => (None, None),
            Stderr::Pipe => {
                let (ours, theirs) = pipe().map_err(doing)?;
                (Some(receiver(ours).map_err(doing)?), Some(theirs))
            }
        };
        let streams = [
            input.theirs.as_fd(),
            theirs.as_fd(),
            their_stderr.as_ref().unwrap_or(&theirs).as_fd(),
        ];
        let leader = self.execute(extra, streams, bound)?;
        let process = Process {
            leader,
            watch: None,
            reaped: false,
            given: false,
            reaper: self.common.reaper.clone(),
            stdin: input.ours,
            stdout: Arc::clone(&stdout),
        };
        Ok((process, Pipes { unfed: input.unfed, stdout, stderr }))
    }

    /// Writes what can be written before there is a process.
    fn connect(&self, input: Input) -> io::Result<Connected<'_>> {
        let arrived = match input {
            Input::Open => None,
            Input::Body(arrived) => Some(arrived),
        };
        if let Some(nothing) = &self.common.nothing
            && arrived.as_ref().is_some_and(Arrived::is_empty)
        {
            return Ok(Connected { theirs: End::Shared(nothing.as_fd()), ours: None, unfed: None });
        }
        let (theirs, ours) = pipe()?;
        let ours = Stdin::new(ours);
        let unfed = match arrived {
            None => None,
            Some(arrived) => ours.begin(arrived)?,
        };
        Ok(Connected { theirs: End::Own(theirs), ours: Some(ours), unfed })
    }

    fn execute(
        &self,
        extra: Environment,
        streams: [BorrowedFd<'_>; 3],
        bound: bool,
    ) -> Result<Pid, Error> {
        let common = &self.common;
        let found;
        let program = match &common.path {
            Some(path) => path,
            None => {
                found = self.find()?;
                &found
            }
        };
        let path = || Path::new(OsStr::from_bytes(program.as_bytes()));
        let arguments = common.arguments.as_ref().ok_or_else(|| failed(path(), nul()))?;
        let extra = extra.settled();
        let environment =
            common.environment.with(&extra).map_err(|source| failed(path(), source))?;
        let command = spawn::Command {
            program,
            arguments: &arguments.iter().map(CString::as_c_str).collect(),
            environment: &environment.into_iter().collect(),
            streams,
            bound,
        };
        spawn::spawn(&command).map_err(|source| {
            if source.raw_os_error() == Some(Errno::TOOBIG.raw_os_error()) {
                Error::Environment {
                    what: "the request's headers together".to_owned(),
                    why: "the kernel's limit for arguments and environment is exceeded",
                    too_large: true,
                }
            } else {
                failed(path(), source)
            }
        })
    }
}

/// Both ends of a standard input.
struct Connected<'a> {
    theirs: End<'a>,
    ours: Option<Stdin>,
    unfed: Option<Unfed>,
}

/// What a process reads.
enum End<'a> {
    Own(OwnedFd),
    Shared(BorrowedFd<'a>),
}

impl AsFd for End<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(end) => end.as_fd(),
            Self::Shared(end) => *end,
        }
    }
}

fn failed(program: &Path, source: io::Error) -> Error {
    Error::Spawn { program: program.display().to_string(), source }
}

fn c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| nul())
}

/// `/dev/null` of an image may be missing, or be something else: then nobody is given it.
fn nothing() -> Option<OwnedFd> {
    let file = File::open("/dev/null").ok()?;
    let metadata = file.metadata().ok()?;
    let is_null = metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3);
    above_standard(file.into()).ok().filter(|_| is_null)
}
