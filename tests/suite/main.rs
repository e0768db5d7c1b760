//! Black-box suites, one module a contract. They start the real program (or the one that
//! `WATCHDOG_BIN` names) and talk to it over sockets; test names read `subject_condition_result`.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod accounts;
mod cgi_env;
mod classic;
mod cli;
mod config;
mod cut_bytes;
mod fuzz;
mod health;
mod held;
mod http_server;
mod init;
mod jwt;
mod limiter;
mod logging;
mod memory;
mod metrics;
mod processes;
mod saturated;
mod scheduling;
mod serializing;
mod settings;
mod shutdown;
mod spares;
mod spawning;
mod static_files;
mod streaming;
mod upgrade;
mod upstream;
mod zero_copy;

/// The watchdog of this workspace, or `WATCHDOG_BIN`, about to be started.
fn watchdog() -> e2e::Launch {
    e2e::Launch::new(env!("CARGO_BIN_EXE_fwatchdog-e2e"))
}

/// The function that speaks HTTP.
const UPSTREAM: &str = env!("CARGO_BIN_EXE_upstream");

/// Runs a program whose kernel lacks some system calls.
const REFUSE: &str = env!("CARGO_BIN_EXE_refuse");
