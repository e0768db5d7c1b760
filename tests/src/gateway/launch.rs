//! Starting a gateway: environment, arguments, readiness.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use super::{Gateway, Provider, basic, pid};
use crate::{DEADLINE, Ended, capture::Capture, free_port, procfs};

const LISTENING: &str = "Listening on ";

/// A gateway that is about to be started.
///
/// Its environment is empty but for `PATH`, `HOME` (a directory of its own, which functions
/// inherit, so that every process of it is found), `TMPDIR`, the provider, the data directory and
/// its ports.
pub struct GatewayLaunch {
    program: PathBuf,
    provider: Provider,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    temp: TempDir,
}

impl GatewayLaunch {
    /// `program`, or the one that the environment variable `GATEWAY_BIN` names. `upstream` is the
    /// function behind mode=http.
    ///
    /// # Panics
    /// When there is no directory for temporary files.
    #[must_use]
    pub fn new(program: &str, upstream: &str, provider: Provider) -> Self {
        let program = std::env::var_os("GATEWAY_BIN").map_or_else(|| program.into(), PathBuf::from);
        let temp = tempfile::Builder::new().prefix("e2e-").tempdir().expect("a directory");
        provider.lay_out(temp.path(), upstream, &program);
        let arguments = vec!["serve".to_owned()];
        // Gateways that share an engine need networks of their own.
        let network = temp.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let environment = match provider {
            Provider::Process => Vec::new(),
            Provider::Docker => vec![("docker_network".to_owned(), network)],
        };
        Self { program, provider, arguments, environment, temp }
    }

    /// Sets a variable; the last value of a name wins.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Other arguments than `serve`.
    #[must_use]
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments = arguments.into_iter().map(str::to_owned).collect();
        self
    }

    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// The directory that goes with it.
    #[must_use]
    pub fn temp_dir(&self) -> &Path {
        self.temp.path()
    }

    /// Writes a file into that directory, and the folders it is in; returns its path.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.temp.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, contents).expect("a file in the temporary directory");
        path
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it ends before, or does not say so within [`DEADLINE`]; with its log.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Gateway {
        let start = Instant::now();
        loop {
            let metrics_port = free_port();
            let (mut child, stdout, stderr) = self.spawn(metrics_port);
            let ended = |log: &str, child: &mut Child| {
                let ended = child.try_wait().is_ok_and(|status| status.is_some());
                ended && told_address(log).is_none()
            };
            while told_address(&stderr.text()).is_none() {
                let said =
                    stderr.wait(Duration::from_millis(100), |log| told_address(log).is_some());
                if !said && ended(&stderr.text(), &mut child) {
                    break;
                }
                if start.elapsed() > DEADLINE {
                    let _ = child.kill();
                    panic!("the gateway never said that it listens:\n{}", stderr.text());
                }
            }
            let log = stderr.text();
            let Some(addr) = told_address(&log) else {
                // Somebody else took the port between our check and the start.
                assert!(log.contains("ddress already in use"), "the gateway ended:\n{log}");
                continue;
            };
            return Gateway {
                child: Mutex::new(child),
                stdout,
                stderr,
                addr,
                metrics: (Ipv4Addr::LOCALHOST, metrics_port).into(),
                authorization: self.credentials(),
                launch: Some(self),
            };
        }
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// When it still runs after [`DEADLINE`]; with its log.
    #[must_use]
    #[track_caller]
    pub fn spawn_expecting_exit(&self) -> Ended {
        let (mut child, stdout, stderr) = self.spawn(free_port());
        let start = Instant::now();
        let status = loop {
            if let Ok(Some(status)) = child.try_wait() {
                break status;
            }
            if start.elapsed() > DEADLINE {
                let _ = child.kill();
                panic!("it does not end:\n{}\n{}", stdout.text(), stderr.text());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        stdout.wait_end(Duration::from_secs(2));
        stderr.wait_end(Duration::from_secs(2));
        let (stdout, stderr) = (stdout.text(), stderr.text());
        Ended { status, stdout, stderr, left_behind: self.processes() }
    }

    fn spawn(&self, metrics_port: u16) -> (Child, Capture, Capture) {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(self.temp_dir())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.temp_dir())
            .env("TMPDIR", self.temp_dir())
            .env("provider", self.provider.name())
            .env("data_dir", self.data())
            .env("port", "0")
            .env("metrics_port", metrics_port.to_string())
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

    /// What it made for itself; `None` when it asks for nothing.
    fn credentials(&self) -> Option<String> {
        let read = |name| fs::read_to_string(self.data().join(name)).ok();
        Some(basic(&read("basic-auth-user")?, &read("basic-auth-password")?))
    }

    /// Every process that has its `HOME`.
    pub(super) fn processes(&self) -> Vec<procfs::Process> {
        procfs::with_environment(&format!("HOME={}", self.temp_dir().display()))
    }

    /// Ends whatever goes on without it.
    pub(super) fn end_all(&self) {
        self.provider.end_all(&self.data());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for process in left {
                let _ = kill_process(pid(process.pid), Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for GatewayLaunch {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// The address in `Listening on ADDRESS`, once its line is whole.
fn told_address(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(LISTENING)?;
    let (line, _) = rest.split_once('\n')?;
    line.trim().parse().ok()
}
