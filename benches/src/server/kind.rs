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
    /// Our gateway, of whatever age.
    Gateway,
    /// What calls pass through in it, without a provider: `gateway-lite`'s example `hop`.
    Hop,
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
            gateway if gateway.starts_with("gateway") => Self::Gateway,
            _ => Self::Fwatchdog,
        }
    }

    /// Whether it can do such work at all.
    #[must_use]
    pub fn can(self, work: &Work) -> bool {
        match self {
            Self::Floor => true,
            Self::Fwatchdog | Self::OfWatchdog => !matches!(work, Work::Hop { .. }),
            Self::ClassicWatchdog => matches!(work, Work::Classic(_)),
            Self::Nginx => matches!(work, Work::Static { .. } | Work::Http(_) | Work::Hop { .. }),
            Self::Haproxy => matches!(work, Work::Http(_) | Work::Hop { .. }),
            Self::Gateway | Self::Hop => matches!(work, Work::Hop { .. }),
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
            Self::Fwatchdog | Self::OfWatchdog | Self::ClassicWatchdog | Self::Gateway => {
                "--version"
            }
            Self::Nginx | Self::Haproxy => "-v",
            Self::Floor | Self::Hop => {
                return concat!("benches ", env!("CARGO_PKG_VERSION")).into();
            }
        };
        let Ok(output) = Command::new(path).arg(flag).env("fprocess", "cat").output() else {
            return "unknown".into();
        };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
    }
}
