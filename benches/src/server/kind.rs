//! What is known of each sort of server.

use std::{path::Path, process::Command};

use super::Work;

/// A sort of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, of whatever age.
    Fwatchdog,
    /// OpenFaaS's, for all its modes.
    OfWatchdog,
    /// OpenFaaS's older one.
    ClassicWatchdog,
    /// Files and reverse proxy.
    Nginx,
    /// Reverse proxy.
    Haproxy,
    /// Our loops of unavoidable system calls.
    Floor,
}

impl Kind {
    /// The sort that a peer of this name is; any other name is another build of ours.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "of-watchdog" | "ow" => Self::OfWatchdog,
            "classic-watchdog" | "cw" => Self::ClassicWatchdog,
            "nginx" => Self::Nginx,
            "haproxy" => Self::Haproxy,
            _ => Self::Fwatchdog,
        }
    }

    /// Whether it can do such work at all.
    #[must_use]
    pub fn can(self, work: &Work) -> bool {
        match self {
            Self::Fwatchdog | Self::OfWatchdog | Self::Floor => true,
            Self::ClassicWatchdog => matches!(work, Work::Classic(_)),
            Self::Nginx => matches!(work, Work::Static { .. } | Work::Http(_)),
            Self::Haproxy => matches!(work, Work::Http(_)),
        }
    }

    /// Whether it can reach a function at `unix:PATH`.
    #[must_use]
    pub fn can_use_unix_sockets(self) -> bool {
        !matches!(self, Self::OfWatchdog | Self::ClassicWatchdog)
    }

    /// What it calls its own version.
    #[must_use]
    pub fn version(self, path: &Path) -> String {
        let flag = match self {
            Self::Fwatchdog | Self::OfWatchdog | Self::ClassicWatchdog => "--version",
            Self::Nginx | Self::Haproxy => "-v",
            Self::Floor => return concat!("benches ", env!("CARGO_PKG_VERSION")).into(),
        };
        let Ok(output) = Command::new(path).arg(flag).env("fprocess", "cat").output() else {
            return "unknown".into();
        };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
    }
}
