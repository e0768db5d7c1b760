//! A Docker engine of a test's own, which can be restarted without harm to anybody else.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Signal, kill_process},
};
use tempfile::TempDir;

use super::{pid, provider::docker};
use crate::{DEADLINE, left_out};

/// A second `dockerd`. Ends with its containers when it is dropped.
pub struct Engine {
    folder: TempDir,
    process: Child,
    bridge: String,
}

impl Engine {
    /// One that has the image `image` of the usual engine. Says so where none can be started.
    ///
    /// # Panics
    /// When it does not answer, with its log.
    #[must_use]
    pub fn start(image: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || docker(&["version"]).is_none() {
            left_out(
                "a test of an engine that restarts needs root, dockerd and an engine that answers",
            );
            return None;
        }
        let folder = tempfile::Builder::new().prefix("e-").tempdir().expect("a folder");
        // By the usual engine: without a bridge of its own it would take that one's away.
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let bridge = format!("k{}", name.trim_start_matches("e-"));
        let option = format!("com.docker.network.bridge.name={bridge}");
        docker(&["network", "create", "--opt", &option, &bridge]).expect("a bridge");
        let process = Self::spawn(&folder, &bridge);
        let engine = Self { folder, process, bridge };
        engine.wait();
        let copied = Command::new("sh")
            .args([
                "-c",
                "docker save \"$1\" | docker --host \"$2\" load",
                "sh",
                image,
                &engine.host(),
            ])
            .output()
            .expect("a shell");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        Some(engine)
    }

    fn spawn(folder: &TempDir, bridge: &str) -> Child {
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = File::options().create(true).append(true).open(folder.path().join("log"));
        Command::new("dockerd")
            .args(["--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--host", &format!("unix://{}", at("s"))])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn()
            .expect("dockerd")
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("s").display())
    }

    /// Ends it with a signal; its containers end with it, or do not.
    pub fn end(&mut self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill_process(pid(self.process.id()), signal);
        let _ = self.process.wait();
    }

    /// Starts it once more, with all that it had.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_again(&mut self) {
        // Its containerd ended with it; where nobody reaps that, it would be taken for alive.
        let _ = fs::remove_file(self.folder.path().join("exec/containerd/containerd.pid"));
        self.process = Self::spawn(&self.folder, &self.bridge);
        self.wait();
    }

    fn wait(&self) {
        let (host, begun) = (self.host(), Instant::now());
        while docker(&["--host", &host, "version"]).is_none() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < 3 * DEADLINE, "no engine: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let host = self.host();
        let all = docker(&["--host", &host, "ps", "--all", "--quiet"]).unwrap_or_default();
        for id in all.split_whitespace() {
            docker(&["--host", &host, "rm", "--force", id]);
        }
        // Their bridges would be left on this machine.
        let networks = ["--host", &host, "network", "ls", "--quiet", "--filter", "type=custom"];
        for id in docker(&networks).unwrap_or_default().split_whitespace() {
            docker(&["--host", &host, "network", "rm", id]);
        }
        self.end(Signal::TERM);
        docker(&["network", "rm", &self.bridge]);
        // What an engine that was killed left mounted.
        while unmount(self.data(), UnmountFlags::DETACH).is_ok() {}
    }
}
