//! Processes that outlive the one that started them: the replicas of a gateway.
//!
//! Such a process leads a group of its own, holds nothing of ours but a log file, and is known by
//! its number together with its start time. A descriptor of it (`pidfd_open`(2), Linux 5.3) is
//! opened before that pair is compared, so that whatever is signalled later is never a stranger.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
};
use tokio::io::unix::AsyncFd;

use super::{Exit, watch};

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The program's file.
    pub program: &'a Path,
    /// What it is told to be called, and its arguments.
    pub arguments: &'a [&'a OsStr],
    /// Where it runs.
    pub directory: &'a Path,
    /// Its whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// Where its standard output and standard error go; opened for appending.
    pub log: &'a File,
}

/// Who a process is, for as long as this machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the machine did (proc(5), field 22 of `stat`).
    pub started: u64,
}

/// A process that is left alone when this is dropped.
#[derive(Debug)]
pub struct Detached {
    identity: Identity,
    descriptor: AsyncFd<OwnedFd>,
}

impl Detached {
    /// Starts one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The kernel's, with the program, its directory or the log file as the likely reasons;
    /// `Unsupported` before Linux 5.3.
    pub fn start(launch: &Launch<'_>) -> io::Result<Self> {
        // Found out before there is a process that nobody could end.
        drop(open(rustix::process::getpid())?);
        let mut arguments = launch.arguments.iter();
        #[expect(clippy::disallowed_methods, reason = "this is modes::process")]
        let mut command = Command::new(launch.program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command
            .args(arguments)
            .current_dir(launch.directory)
            .env_clear()
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(launch.log.try_clone()?)
            .stderr(launch.log.try_clone()?)
            .process_group(0);
        // Nothing was waited for yet, so that its number is its own.
        let pid = Pid::from_child(&command.spawn()?);
        let adopted = open(pid).and_then(|descriptor| Self::of(pid, descriptor));
        adopted.inspect_err(|_| {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        })
    }

    /// A process that somebody else started, or we did before; `None` when it is gone. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` before Linux 5.3.
    pub fn adopt(identity: Identity) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(identity.pid) else { return Ok(None) };
        let descriptor = match open(pid) {
            Ok(descriptor) => descriptor,
            // A thread's number is no process's (pidfd_open(2)).
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if started(identity.pid).ok() != Some(identity.started) {
            return Ok(None);
        }
        Self::of(pid, descriptor).map(Some)
    }

    fn of(pid: Pid, descriptor: OwnedFd) -> io::Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        let identity = Identity { pid, started: started(pid)? };
        Ok(Self { identity, descriptor: watch::register(descriptor)? })
    }

    /// How to find it again.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Waits until it has exited, and reaps it if it is our child; only then is it known how it
    /// ended.
    pub async fn exited(&self) -> Option<Exit> {
        // An error of the reactor is none that waiting would mend: look at the process itself.
        let _ = self.descriptor.readable().await;
        let process = WaitId::PidFd(self.descriptor.get_ref().as_fd());
        match rustix::process::waitid(process, WaitIdOptions::EXITED) {
            Ok(status) => status.map(Exit::from),
            Err(_) => None,
        }
    }

    /// Sends it a signal. One that has exited is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(self.descriptor.get_ref(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Kills every process that was started with `name=value` in its environment, and waits for none.
/// Tells how many there were.
#[must_use]
pub fn kill_marked(name: &str, value: &str) -> usize {
    let entry = format!("{name}={value}");
    let killed = with_mark(&entry).filter(|pid| {
        open(*pid).is_ok_and(|descriptor| {
            // The number may have become another's just before the descriptor was opened.
            is_marked(*pid, &entry)
                && rustix::process::pidfd_send_signal(&descriptor, Signal::KILL).is_ok()
        })
    });
    killed.count()
}

/// The numbers of the processes that were started with `name=value` in their environment: for
/// messages only, as each may be another's by now.
#[must_use]
pub fn marked(name: &str, value: &str) -> Vec<i32> {
    with_mark(&format!("{name}={value}")).map(|pid| pid.as_raw_nonzero().get()).collect()
}

fn with_mark(entry: &str) -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| {
        Pid::from_raw(std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok()?)
    });
    pids.filter(move |pid| is_marked(*pid, entry))
}

fn is_marked(pid: Pid, entry: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == entry.as_bytes()))
}

fn open(pid: Pid) -> io::Result<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|error| match error {
        Errno::NOSYS | Errno::PERM => io::Error::new(
            io::ErrorKind::Unsupported,
            "pidfd_open(2) is not available: Linux 5.3 or newer is needed",
        ),
        error => error.into(),
    })
}

/// proc(5): `pid (comm) state …`, where comm may hold anything, and the 22nd field is the time.
fn started(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19));
    field.and_then(|field| field.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A shell that runs `script`; what it writes is in the file.
    fn shell(script: &str, marker: &str) -> (io::Result<Detached>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let log =
            File::options().create(true).append(true).open(directory.path().join("log")).unwrap();
        let environment =
            [("PATH".into(), "/usr/bin:/bin".into()), ("DETACHED_TEST".into(), marker.into())];
        let launch = Launch {
            program: Path::new("/bin/sh"),
            arguments: &["a-name".as_ref(), "-c".as_ref(), script.as_ref()],
            directory: directory.path(),
            environment: &environment,
            log: &log,
        };
        (Detached::start(&launch), directory)
    }

    fn log(directory: &tempfile::TempDir) -> String {
        fs::read_to_string(directory.path().join("log")).unwrap()
    }

    #[tokio::test]
    async fn it_has_what_it_was_given_and_nothing_else() {
        let _held = File::open("/dev/zero").unwrap();
        let script = "pwd; echo oops >&2; cat; ls -l /proc/$$/fd | grep -c -e zero -e socket; \
                      test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo leads; env; exit 3";
        let (process, directory) = shell(script, "given");
        assert_eq!(process.unwrap().exited().await, Some(Exit::Status(3)));
        let text = log(&directory);
        let path = directory.path().canonicalize().unwrap();
        assert!(text.starts_with(&format!("{}\noops\n0\nleads\n", path.display())), "{text}");
        assert!(text.contains("DETACHED_TEST=given") && !text.contains("CARGO"), "{text}");
    }

    #[tokio::test]
    async fn it_is_found_again_and_ended() {
        let (process, _directory) = shell("exec sleep 60", "again");
        let process = process.unwrap();
        let identity = process.identity();
        drop(process);
        let again = Detached::adopt(identity).unwrap().expect("it runs");
        let other = Identity { started: identity.started + 1, ..identity };
        assert!(Detached::adopt(other).unwrap().is_none(), "another of the same number");
        let early = tokio::time::timeout(Duration::from_millis(50), again.exited()).await;
        assert!(early.is_err(), "{early:?}");
        again.signal(Signal::TERM).unwrap();
        assert_eq!(again.exited().await, Some(Exit::Signal { number: 15, core: false }));
        again.signal(Signal::TERM).unwrap();
        assert!(Detached::adopt(identity).unwrap().is_none(), "it was reaped");
    }

    #[tokio::test]
    async fn what_it_left_behind_is_found_by_its_environment() {
        let (process, directory) = shell("sleep 60 & echo $!; sleep 60", "left-behind");
        let process = process.unwrap();
        while log(&directory).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(kill_marked("DETACHED_TEST", "left"), 0);
        assert!(kill_marked("DETACHED_TEST", "left-behind") >= 2);
        assert_eq!(process.exited().await, Some(Exit::Signal { number: 9, core: false }));
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let launch = Launch {
            program: Path::new("/no/such/program"),
            arguments: &[],
            directory: directory.path(),
            environment: &[],
            log: &File::open("/dev/null").unwrap(),
        };
        let error = Detached::start(&launch).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
