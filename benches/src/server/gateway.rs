//! gateway-lite over a data directory that knows its functions already, with the process provider.

use std::{path::Path, process::Command};

use super::Work;
use crate::Result;

/// The arguments and the environment of a gateway for calls through `work`'s replica.
pub(super) fn serve(command: &mut Command, work: &Work, port: u16, folder: &Path) {
    let data = match work {
        Work::Hop { data, .. } => data,
        _ => folder,
    };
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TMPDIR", folder)
        .args(["serve", "--provider", "process", "--metrics-port", "0"])
        .arg("--data-dir")
        .arg(data)
        .args(["--port", &port.to_string()])
        .env("access_log", "true")
        // Limits are none of a call's business, and neither are passwords.
        .env("control_groups", "false")
        .env("basic_auth", "false");
}

/// The arguments of the way through a gateway alone, to `work`'s replica.
pub(super) fn hop(command: &mut Command, work: &Work, port: u16) -> Result<()> {
    let Work::Hop { replica, .. } = work else { return Err("a hop leads to a replica".into()) };
    let socket = replica.strip_prefix("unix:").ok_or("a replica listens at a socket")?;
    command.arg(port.to_string()).arg(socket);
    Ok(())
}
