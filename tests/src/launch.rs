//! Starting a watchdog: environment, arguments, readiness.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    DEADLINE, Watchdog, capture::Capture, eventually, free_port, procfs::Process, running,
};

/// A watchdog that is about to be started.
///
/// Its environment is empty but for `PATH`, `HOME` and `TMPDIR` (a directory of its own, so that
/// lock files do not meet), `port=0`, `metrics_port=0` and what `WATCHDOG_ENV` holds.
pub struct Launch {
    program: PathBuf,
    /// Whether the program is ours, which tells the port the kernel gave it.
    tells_port: bool,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    wrapper: Vec<String>,
    directory: Option<PathBuf>,
    with_metrics: bool,
    /// A script that looks at the environment of its call.
    looks_at_environment: bool,
    temp: TempDir,
}

/// A watchdog that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended, as the kernel tells.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
    /// Processes it started that were still there after its end; only known of those that
    /// [`Launch::spawn_expecting_exit`] started.
    pub left_behind: Vec<Process>,
}

/// How many spares every function has that does not look at its call's environment:
/// `WATCHDOG_SPARES=N`.
fn spares_everywhere() -> Option<String> {
    std::env::var("WATCHDOG_SPARES").ok().filter(|count| !count.is_empty())
}

/// Variables of every start that the test does not set itself: `WATCHDOG_ENV="name=value …"`.
#[must_use]
pub fn everywhere() -> Vec<(String, String)> {
    let variables = std::env::var("WATCHDOG_ENV").unwrap_or_default();
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').expect("WATCHDOG_ENV is name=value words");
        (name.to_owned(), value.to_owned())
    };
    variables.split_whitespace().map(pair).collect()
}

impl Ended {
    /// The exit code; `None` after a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// The words of the environment variable `WATCHDOG_THROUGH`, which every watchdog is started
/// through.
fn wrapper() -> Vec<String> {
    let words = std::env::var("WATCHDOG_THROUGH").unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
}

impl Launch {
    /// `program`, or the one that the environment variable `WATCHDOG_BIN` names.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let other = std::env::var_os("WATCHDOG_BIN").map(PathBuf::from);
        Self {
            tells_port: other.is_none(),
            program: other.unwrap_or_else(|| program.into()),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: wrapper(),
            directory: None,
            with_metrics: false,
            looks_at_environment: false,
            temp: tempfile::Builder::new()
                .prefix("e2e-")
                .tempdir()
                .expect("a directory for temporary files"),
        }
    }

    /// Sets a variable; the last value of a name wins.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// `mode=`.
    #[must_use]
    pub fn mode(self, mode: &str) -> Self {
        self.env("mode", mode)
    }

    /// `fprocess=`.
    #[must_use]
    pub fn fprocess(self, fprocess: &str) -> Self {
        self.env("fprocess", fprocess)
    }

    /// A function that is a POSIX shell script: writes it to a file and sets `fprocess` to
    /// `sh FILE`, which every watchdog understands.
    #[must_use]
    pub fn sh(mut self, script: &str) -> Self {
        self.looks_at_environment = script.contains("Http_") || script.contains("env");
        let path = self.write("function.sh", script);
        let fprocess = format!("sh {}", path.display());
        self.fprocess(&fprocess)
    }

    /// One more command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it through another program, such as `["unshare", "--pid"]`.
    #[must_use]
    pub fn through(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(|&word| word.to_owned()).chain(wrapper()).collect();
        self
    }

    /// The directory it is started in; the suite's own unless set.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Turns the metrics listener on, at a free port.
    #[must_use]
    pub fn metrics(mut self) -> Self {
        self.with_metrics = true;
        self
    }

    /// The directory that is its `TMPDIR`.
    #[must_use]
    pub fn temp_dir(&self) -> &Path {
        self.temp.path()
    }

    /// Writes a file into that directory; returns its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.temp_dir().join(name);
        fs::write(&path, contents).expect("a file in the temporary directory");
        path
    }

    /// Starts it and waits until `/_/health` answers 200.
    ///
    /// # Panics
    /// When it ends before, or is not healthy within [`DEADLINE`]; with its log.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Watchdog {
        let watchdog = self.start_unready();
        eventually(DEADLINE, "/_/health to answer 200", || {
            watchdog.assert_runs();
            watchdog.try_get("/_/health").is_some_and(|response| response.status() == 200)
        });
        watchdog
    }

    /// As [`start`](Self::start), and waits until `/_/ready` answers 200 as well: in mode=http the
    /// function accepts by then, so that its start takes nothing from the time of a call.
    ///
    /// # Panics
    /// When it ends before, or is not ready within [`DEADLINE`]; with its log.
    #[must_use]
    #[track_caller]
    pub fn start_ready(self) -> Watchdog {
        let watchdog = self.start();
        eventually(DEADLINE, "/_/ready to answer 200", || {
            watchdog.assert_runs();
            watchdog.try_get("/_/ready").is_some_and(|response| response.status() == 200)
        });
        watchdog
    }

    /// As [`start`](Self::start), at a port that was free, for a watchdog that cannot say where it
    /// listens.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    #[track_caller]
    pub fn start_mute(mut self) -> Watchdog {
        let port = free_port();
        let (child, stdout, stderr) = self.spawn(port, 0);
        let mut watchdog = Watchdog::new(child, stdout, stderr, 0);
        watchdog.listens_at(port);
        watchdog.keep(self.temp);
        eventually(DEADLINE, "/_/health to answer 200", || {
            watchdog.assert_runs();
            watchdog.try_get("/_/health").is_some_and(|response| response.status() == 200)
        });
        watchdog
    }

    /// Starts it and waits until it says that it listens.
    ///
    /// # Panics
    /// When it ends before, or does not say so within [`DEADLINE`]; with its log.
    #[must_use]
    #[track_caller]
    pub fn start_unready(mut self) -> Watchdog {
        let start = Instant::now();
        loop {
            let (port, metrics_port) = self.choose_ports();
            let (child, stdout, stderr) = self.spawn(port, metrics_port);
            let mut watchdog = Watchdog::new(child, stdout, stderr, metrics_port);
            match watchdog.wait_until_listening(port) {
                Ok(()) => {
                    watchdog.keep(self.temp);
                    return watchdog;
                }
                // Somebody else took the port between our check and the start.
                Err(log)
                    if log.contains("address already in use")
                        || log.contains("Address in use")
                        || log.contains("Address already in use") =>
                {
                    assert!(start.elapsed() < DEADLINE, "no port is free:\n{log}");
                    drop(watchdog);
                    running::end_all(self.temp_dir());
                }
                Err(log) => panic!("the watchdog did not start:\n{log}"),
            }
        }
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// When it still runs after [`DEADLINE`]; with its log.
    #[must_use]
    #[track_caller]
    pub fn spawn_expecting_exit(&mut self) -> Ended {
        let (port, metrics_port) = self.choose_ports();
        let (child, stdout, stderr) = self.spawn(port, metrics_port);
        let mut watchdog = Watchdog::new(child, stdout, stderr, metrics_port);
        let mut ended = watchdog.wait_exit();
        ended.left_behind = running::started_with(self.temp_dir());
        running::end_all(self.temp_dir());
        ended
    }

    fn choose_ports(&self) -> (u16, u16) {
        let port = if self.tells_port { 0 } else { free_port() };
        let metrics_port = if self.with_metrics { free_port() } else { 0 };
        (port, metrics_port)
    }

    /// What gives the function spares, where spares are asked for and legal.
    fn spares(&self) -> Vec<(&'static str, String)> {
        let Some(count) = spares_everywhere() else { return Vec::new() };
        let value = |name: &str| {
            let own = self.environment.iter().rev().find(|(set, _)| set == name);
            own.map(|(_, value)| value.to_string_lossy().into_owned())
        };
        let forks = value("mode")
            .is_none_or(|mode| ["classic", "serializing", "streaming"].contains(&mode.as_str()));
        let program = value("fprocess").or_else(|| value("function_process"));
        let told = self.looks_at_environment || program.is_none_or(|text| text.contains("env"));
        let chosen = ["cgi_headers", "warm_spares"].into_iter().any(|name| value(name).is_some());
        if !forks || told || chosen {
            return Vec::new();
        }
        vec![("warm_spares", count), ("cgi_headers", "false".to_owned())]
    }

    fn spawn(&mut self, port: u16, metrics_port: u16) -> (Child, Capture, Capture) {
        let mut words = self.wrapper.iter().map(OsString::from);
        let mut command = match words.next() {
            Some(wrapper) => {
                let mut command = Command::new(wrapper);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut child = command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.temp_dir())
            .env("TMPDIR", self.temp_dir())
            .env("port", port.to_string())
            .env("metrics_port", metrics_port.to_string())
            .envs(everywhere())
            .envs(self.spares())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", self.program.display()));
        let stdout = Capture::of(child.stdout.take().expect("piped above"));
        let stderr = Capture::of(child.stderr.take().expect("piped above"));
        (child, stdout, stderr)
    }
}
