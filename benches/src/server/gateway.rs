//! gateway-lite over a data directory that knows its functions already, with the process provider.

use std::{path::Path, process::Command};

use super::Work;

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
