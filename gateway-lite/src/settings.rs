//! What can be set, with its defaults.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use watchdog::settings::LogFormat;

/// Who starts replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Containers of a Docker engine.
    Docker,
    /// Plain processes of the gateway's user.
    Process,
}

/// Every setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// Who starts replicas.
    pub provider: ProviderKind,
    /// Where the Docker engine listens.
    pub docker_host: String,
    /// The network of functions in containers.
    pub docker_network: String,
    /// The folder of Docker's own file with credentials for registries.
    pub docker_config: Option<PathBuf>,
    /// Where what has to be kept is kept.
    pub data: PathBuf,
    /// Whether limits of processes are kept by control groups, where those can be made.
    pub control_groups: bool,
    /// The address to listen on.
    pub address: IpAddr,
    /// The port for calls and the control plane; 0 for any free one.
    pub port: u16,
    /// The port for metrics; `None` for none.
    pub metrics_port: Option<u16>,
    /// Whether the control plane asks for a name and a password.
    pub basic_auth: bool,
    /// Where those are; `None` for the data directory.
    pub credentials: Option<PathBuf>,
    /// Whether everybody may use it from other machines.
    pub allow_open: bool,
    /// For a request head, and for any stretch in which no byte of a request body arrives.
    pub read_timeout: Option<Duration>,
    /// For any stretch in which a client takes no byte.
    pub write_timeout: Option<Duration>,
    /// Between two requests of a connection.
    pub idle_timeout: Option<Duration>,
    /// For a call, unless its function says otherwise.
    pub upstream_timeout: Duration,
    /// For a replica, before a call is given up.
    pub wait_timeout: Duration,
    /// Calls of one function that may wait for one.
    pub most_waiting: usize,
    /// For calls to end, before the gateway does.
    pub drain_timeout: Duration,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// One line a call.
    pub access_log: bool,
    /// One line a request of the control plane, if calls have theirs. No variable of the
    /// environment says so: `up`, which asks all the time, wants none between the functions' lines.
    pub control_log: bool,
}
