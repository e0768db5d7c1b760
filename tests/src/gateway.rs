//! A gateway that runs: the program with a data directory of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Child,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Client, DEADLINE, Ended, Metrics, Request, Response, capture::Capture, procfs};

mod control;
mod engine;
mod function;
mod launch;
mod load;
mod provider;
mod replicas;

pub use engine::Engine;
pub use function::Function;
pub use launch::GatewayLaunch;
pub use load::Load;
pub use provider::Provider;

/// A started gateway. Dropping it kills it and every replica, and waits for the end.
pub struct Gateway {
    child: Mutex<Child>,
    stdout: Capture,
    stderr: Capture,
    addr: SocketAddr,
    metrics: SocketAddr,
    /// `None` once the next start has it.
    launch: Option<GatewayLaunch>,
    authorization: Option<String>,
}

impl Gateway {
    fn launch(&self) -> &GatewayLaunch {
        self.launch.as_ref().expect("taken only by the next start")
    }

    /// Who starts its replicas.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.launch().provider()
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.launch().data()
    }

    /// A directory that goes with it.
    #[must_use]
    pub fn temp_dir(&self) -> &Path {
        self.launch().temp_dir()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where metrics are served.
    #[must_use]
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// What the control plane asks for.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// A new connection.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// One request on a new connection.
    ///
    /// # Panics
    /// When no response comes; with the log.
    #[track_caller]
    pub fn call(&self, request: &Request) -> Response {
        let mut client = self.connect();
        // A server may answer and close before it has read everything.
        let _ = client.try_send(request.to_bytes());
        match client.try_read_response(request.is_head()) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error:?}\n{}", self.log()),
        }
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

    /// A scrape of the metrics port.
    ///
    /// # Panics
    /// When it does not answer 200, or not in the text format.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let response = Client::connect(self.metrics).call(&Request::get("/metrics"));
        assert_eq!(response.status(), 200, "{}", response.text());
        Metrics::parse(&response.text())
    }

    /// Its own log so far.
    #[must_use]
    pub fn log(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.stdout.text(), self.stderr.text())
    }

    /// Standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.stdout.text()
    }

    /// Waits until standard output satisfies the condition.
    ///
    /// # Panics
    /// When it does not within [`DEADLINE`].
    #[track_caller]
    pub fn wait_for_output(&self, condition: impl Fn(&str) -> bool) {
        assert!(self.stdout.wait(DEADLINE, condition), "it never said it:\n{}", self.log());
    }

    /// Waits until standard error satisfies the condition.
    ///
    /// # Panics
    /// When it does not within [`DEADLINE`].
    #[track_caller]
    pub fn wait_for_log(&self, condition: impl Fn(&str) -> bool) {
        assert!(self.stderr.wait(DEADLINE, condition), "the log never said it:\n{}", self.log());
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.lock().expect("no panic while locked").id()
    }

    /// Every process it started that lives, watchdogs and functions, whoever their parent is now.
    #[must_use]
    pub fn started_processes(&self) -> Vec<procfs::Process> {
        let own = self.pid();
        self.launch().processes().into_iter().filter(|process| process.pid != own).collect()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Never.
    pub fn signal(&self, signal: Signal) {
        // It may have ended already; then there is nobody to tell.
        let _ = kill_process(pid(self.pid()), signal);
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        let mut child = self.child.lock().expect("no panic while locked");
        child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after [`DEADLINE`]; with its log.
    #[track_caller]
    pub fn wait_exit(&self) -> Ended {
        let start = Instant::now();
        while !self.has_exited() {
            assert!(start.elapsed() < 2 * DEADLINE, "the gateway does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = self.child.lock().expect("no panic while locked").wait();
        self.stdout.wait_end(Duration::from_secs(2));
        self.stderr.wait_end(Duration::from_secs(2));
        Ended {
            status: status.expect("reaped above"),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            left_behind: Vec::new(),
        }
    }

    /// `kill -9`, and another one with the same data, at another port.
    #[must_use]
    #[track_caller]
    pub fn killed_and_restarted(self) -> Self {
        self.signal(Signal::KILL);
        self.restarted()
    }

    /// An orderly end, and another one with the same data, at another port.
    #[must_use]
    #[track_caller]
    pub fn stopped_and_restarted(self) -> Self {
        self.signal(Signal::TERM);
        self.restarted()
    }

    #[track_caller]
    fn restarted(mut self) -> Self {
        self.wait_exit();
        let launch = self.launch.take().expect("taken only here");
        launch.start()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // What it started is the next one's.
        let Some(launch) = &self.launch else { return };
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        launch.end_all();
    }
}

fn pid(raw: u32) -> Pid {
    i32::try_from(raw).ok().and_then(Pid::from_raw).expect("process ids are positive")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
