//! The signals that end the watchdog.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for them; made before anything is announced, so that none is missed.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Stop {
    /// Hears them from now on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            // A closed terminal and Ctrl-\\ would leave the function behind.
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The first request to stop: its name.
    pub async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }

    /// A further SIGINT: somebody at a terminal does not want to wait. A further SIGTERM says
    /// nothing new; orchestrators repeat it.
    pub async fn insisted(&mut self) {
        self.interrupt.recv().await;
    }
}
