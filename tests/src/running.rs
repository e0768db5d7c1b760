//! A watchdog that runs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Child,
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::{Client, DEADLINE, Ended, Metrics, Request, Response, capture::Capture, procfs};

mod resources;

const LISTENING: &str = "Listening on port: ";

/// A started watchdog. Dropping it kills it and everything it started, and waits for the end.
pub struct Watchdog {
    child: Mutex<Child>,
    pid: u32,
    stdout: Capture,
    stderr: Capture,
    port: u16,
    metrics_port: u16,
    temp: Option<TempDir>,
}

impl Watchdog {
    pub(crate) fn new(child: Child, stdout: Capture, stderr: Capture, metrics_port: u16) -> Self {
        Self {
            pid: child.id(),
            child: Mutex::new(child),
            stdout,
            stderr,
            port: 0,
            metrics_port,
            temp: None,
        }
    }

    /// Waits for the line that names the port; gives the log when the program ends instead.
    pub(crate) fn wait_until_listening(&mut self, asked: u16) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            let said = self.stderr.wait(Duration::from_millis(100), |log| told_port(log).is_some());
            if said {
                let told = told_port(&self.stderr()).unwrap_or(asked);
                self.port = if told == 0 { asked } else { told };
                return Ok(());
            }
            if self.has_exited() {
                self.stderr.wait_end(Duration::from_secs(1));
                return match told_port(&self.stderr()) {
                    Some(_) => Err(format!("it listened, then ended\n{}", self.log())),
                    None => Err(self.log()),
                };
            }
        }
        Err(format!("it never said that it listens\n{}", self.log()))
    }

    pub(crate) fn listens_at(&mut self, port: u16) {
        self.port = port;
    }

    pub(crate) fn keep(&mut self, temp: TempDir) {
        self.temp = Some(temp);
    }

    // === talking to it ===

    /// Where functions are called.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where metrics are served; port 0 unless [`Launch::metrics`](crate::Launch::metrics) was used.
    #[must_use]
    pub fn metrics_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.metrics_port).into()
    }

    /// A new connection.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.addr())
    }

    /// `GET path` on a new connection.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.call(&Request::get(path))
    }

    /// `POST path` on a new connection.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.call(&Request::post(path, body))
    }

    /// One request on a new connection.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn call(&self, request: &Request) -> Response {
        let mut client = self.connect();
        client.send(request.to_bytes());
        match client.try_read_response(request.is_head()) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error:?}\n{}", self.log()),
        }
    }

    /// Bytes as they are on a new connection, and the response to them.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn request(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        // A server may answer and close before it has read everything.
        let _ = client.try_send(bytes);
        match client.try_read_response(false) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error:?}\n{}", self.log()),
        }
    }

    /// `GET path`; `None` when the connection is refused or broken.
    #[must_use]
    pub fn try_get(&self, path: &str) -> Option<Response> {
        let mut client = Client::try_connect(self.addr()).ok()?;
        client.try_send(Request::get(path).to_bytes()).ok()?;
        client.try_read_response(false).ok()
    }

    /// A scrape of the metrics port.
    ///
    /// # Panics
    /// When it does not answer 200, or not in the text format.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let response = Client::connect(self.metrics_addr()).call(&Request::get("/metrics"));
        assert_eq!(response.status(), 200, "{}", response.text());
        Metrics::parse(&response.text())
    }

    // === what it writes ===

    /// Standard error so far: its own log.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Both, for failure messages.
    #[must_use]
    pub fn log(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.stdout(), self.stderr())
    }

    /// Waits until standard error satisfies the condition.
    ///
    /// # Panics
    /// When it does not within [`DEADLINE`].
    #[track_caller]
    pub fn wait_for_log(&self, condition: impl Fn(&str) -> bool) {
        assert!(self.stderr.wait(DEADLINE, condition), "the log never said it:\n{}", self.log());
    }

    /// Waits until standard output satisfies the condition.
    ///
    /// # Panics
    /// When it does not within [`DEADLINE`].
    #[track_caller]
    pub fn wait_for_stdout(&self, condition: impl Fn(&str) -> bool) {
        assert!(
            self.stdout.wait(DEADLINE, condition),
            "standard output never said it:\n{}",
            self.log()
        );
    }

    /// The lines of standard error that report a request in the text format:
    /// `METHOD TARGET - STATUS - …`, after whatever the line starts with.
    #[must_use]
    pub fn access_log_lines(&self) -> Vec<String> {
        self.stderr().lines().filter(|line| is_access_line(line)).map(str::to_owned).collect()
    }

    /// Waits until there are at least this many access lines, and returns them.
    ///
    /// # Panics
    /// When there are fewer after [`DEADLINE`].
    #[track_caller]
    pub fn wait_for_access_lines(&self, count: usize) -> Vec<String> {
        self.wait_for_log(|log| log.lines().filter(|line| is_access_line(line)).count() >= count);
        self.access_log_lines()
    }

    /// Lets both pipes fill up from now on, or reads them on.
    pub fn stop_reading_output(&self, stop: bool) {
        self.stdout.pause(stop);
        self.stderr.pause(stop);
    }

    // === its end ===

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended already; then there is nobody to tell.
        let _ = kill_process(pid(self.pid), signal);
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        let mut child = self.child.lock().expect("no panic while locked");
        child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// # Panics
    /// When it has ended; with its log.
    #[track_caller]
    pub fn assert_runs(&self) {
        assert!(!self.has_exited(), "the watchdog ended:\n{}", self.log());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after [`DEADLINE`]; with its log.
    #[track_caller]
    pub fn wait_exit(&mut self) -> Ended {
        let start = Instant::now();
        loop {
            if self.has_exited() {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "the watchdog does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = self.child.get_mut().expect("no panic while locked").wait();
        // A function that got away may keep the pipes open: then what came has to do.
        self.stdout.wait_end(Duration::from_secs(2));
        self.stderr.wait_end(Duration::from_secs(2));
        Ended {
            status: status.expect("reaped above"),
            stdout: self.stdout(),
            stderr: self.stderr(),
            left_behind: Vec::new(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if !self.has_exited() {
            let _ = kill_process_group(pid(self.pid), Signal::KILL);
            if let Ok(child) = self.child.get_mut() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if let Some(temp) = &self.temp {
            end_all(temp.path());
        }
    }
}

/// Kills every process whose `TMPDIR` is `temp`, until there is none.
pub(crate) fn end_all(temp: &Path) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let left = started_with(temp);
        if left.is_empty() {
            return;
        }
        for process in left {
            let _ = kill_process(pid(process.pid), Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every living process whose `TMPDIR` is `temp`.
pub(crate) fn started_with(temp: &Path) -> Vec<procfs::Process> {
    procfs::with_environment(&mark(temp))
}

fn mark(temp: &Path) -> String {
    format!("TMPDIR={}", temp.display())
}

fn pid(raw: u32) -> Pid {
    i32::try_from(raw).ok().and_then(Pid::from_raw).expect("process ids are positive")
}

fn told_port(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once(LISTENING)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..digits].parse().ok()
}

/// ` - ` STATUS ` - ` behind a method and a target, which are `- -` when nobody could read them.
fn is_access_line(line: &str) -> bool {
    line.match_indices(" - ").any(|(at, separator)| {
        let rest = &line[at + separator.len()..];
        let status = rest.split(" - ").next().unwrap_or_default();
        status.len() == 3 && status.len() < rest.len() && status.bytes().all(|b| b.is_ascii_digit())
    })
}
