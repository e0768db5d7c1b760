//! A server that runs, and its end.

use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Contender, Kind};
use crate::{
    Result,
    procfs::{self, Cpu, tree},
};

/// How long a server may take to listen, and to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Killed when dropped, with all that it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What ends it.
    signal: Signal,
    /// Where it listens.
    pub address: SocketAddr,
    /// From just before its start until it accepted a connection.
    pub start: Duration,
    /// What it logs.
    pub log: PathBuf,
}

impl Running {
    pub(super) fn when_listening(
        child: Child,
        contender: &Contender,
        address: SocketAddr,
        start: Instant,
        log: PathBuf,
    ) -> Result<Self> {
        let signal = match contender.kind {
            Kind::Fwatchdog | Kind::Nginx | Kind::Hop => Signal::TERM,
            // Killed, it leaves its replica to who comes next. What counts its instructions writes
            // them down when it ends by itself.
            Kind::Gateway if !contender.through.is_empty() => Signal::TERM,
            // The Go watchdogs wait out an interval after TERM; nothing of theirs is worth that.
            Kind::OfWatchdog
            | Kind::ClassicWatchdog
            | Kind::Haproxy
            | Kind::Gateway
            | Kind::Floor => Signal::KILL,
        };
        let mut running = Self { child, signal, address, start: start.elapsed(), log };
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.child.try_wait()? {
                let log = running.log_end();
                return Err(format!("{} ended with {status}: {log}", contender.name).into());
            }
            if start.elapsed() > PATIENCE {
                let log = running.log_end();
                return Err(
                    format!("{} does not listen at {address}: {log}", contender.name).into()
                );
            }
            sleep(Duration::from_micros(50));
        }
        running.start = start.elapsed();
        Ok(running)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it used so far.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        procfs::cpu(self.pid())
    }

    /// A memory figure in bytes, such as `VmRSS` or `VmHWM`, of the server without its functions.
    #[must_use]
    pub fn memory(&self, field: &str) -> u64 {
        procfs::server_memory(self.pid(), field)
    }

    /// The last line that it logged.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().unwrap_or("it logged nothing").to_owned()
    }

    /// Kills it alone, and says what it leaves running.
    pub fn abandon(mut self) -> Result<Vec<procfs::Process>> {
        let left = tree(self.pid()).into_iter().skip(1).collect();
        self.child.kill()?;
        self.child.wait()?;
        Ok(left)
    }

    fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let others: Vec<_> = tree(self.pid()).into_iter().skip(1).collect();
        if let Some(pid) = Pid::from_raw(self.pid()) {
            let _ = kill_process(pid, self.signal);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        others.iter().for_each(kill);
    }
}

/// Kills a process that was seen before, if it is still the one.
pub(crate) fn kill(process: &procfs::Process) {
    let same = procfs::read(process.pid).is_some_and(|now| now.name == process.name);
    if let Some(pid) = Pid::from_raw(process.pid).filter(|_| same) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
