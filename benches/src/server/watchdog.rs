//! The environments of the three watchdogs: the same work, the same limits, the log in a file.

use std::{path::Path, process::Command};

use super::Work;
use crate::Result;

/// In mode=http the function listens already, so that every server has the same one in front of
/// it; a watchdog still wants to start something.
const NOTHING: [&str; 2] = ["sleep", "1000000"];

fn common(command: &mut Command, port: u16, folder: &Path) {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TMPDIR", folder)
        .env("port", port.to_string())
        .env("read_timeout", "60s")
        .env("write_timeout", "60s")
        .env("exec_timeout", "60s")
        .env("healthcheck_interval", "1s");
}

/// Ours.
pub(super) fn fwatchdog(
    command: &mut Command,
    work: &Work,
    port: u16,
    metrics_port: u16,
    folder: &Path,
) -> Result<()> {
    common(command, port, folder);
    command.env("metrics_port", metrics_port.to_string());
    let (mode, program) = match work {
        Work::Classic(program) => ("classic", program.clone()),
        Work::Streaming(program) => ("streaming", program.clone()),
        Work::Static { root, .. } => {
            command.env("static_path", root);
            ("static", Vec::new())
        }
        Work::Http(function) | Work::Hop { replica: function, .. } => {
            command.env("http_upstream_url", url(function));
            ("http", NOTHING.map(Into::into).to_vec())
        }
    };
    command.env("mode", mode);
    if !program.is_empty() {
        command.env("fprocess", serde_json::to_string(&program)?);
    }
    Ok(())
}

/// of-watchdog. It splits commands at spaces and knows no quotes.
pub(super) fn of(command: &mut Command, work: &Work, port: u16, folder: &Path) {
    common(command, port, folder);
    let (mode, program) = match work {
        Work::Classic(program) => ("serializing", program.join(" ")),
        Work::Streaming(program) => ("streaming", program.join(" ")),
        Work::Static { root, .. } => {
            command.env("static_path", root);
            ("static", String::new())
        }
        Work::Http(function) | Work::Hop { replica: function, .. } => {
            command.env("http_upstream_url", url(function));
            ("http", NOTHING.join(" "))
        }
    };
    command.env("mode", mode).env("fprocess", program);
}

/// classic-watchdog, which has one mode.
pub(super) fn classic(command: &mut Command, work: &Work, port: u16, folder: &Path) {
    common(command, port, folder);
    if let Work::Classic(program) = work {
        command.env("fprocess", program.join(" "));
    }
}

fn url(function: &str) -> String {
    if function.starts_with("unix:") { function.into() } else { format!("http://{function}") }
}
