//! `gateway-lite`: which functions exist, where, and how many.
//!
//! From the top down: `cli` ▶ `env` (the only reader of the environment) ▶ `config` ▶ `serve`
//! (puts the parts together) ▶ `server` (listeners, connections) ▶ `invoke` (one call: look up,
//! wait, pick, forward, account) and `api` (the control plane) ▶ `control` (writes what is wanted
//! and makes it true) ▶ [`provider`] (starts and ends replicas) and [`registry`] (what a call
//! reads) ▶ [`function`] (plain data).

pub mod api;
pub mod auth;
pub mod cli;
pub mod control;
pub mod counts;
pub mod env;
pub mod error;
pub mod function;
pub mod invoke;
pub mod logs;
pub mod metrics;
pub mod namespaces;
mod private_file;
pub mod promises;
pub mod provider;
pub mod registry;
pub mod respond;
pub mod secrets;
pub mod serve;
pub mod server;
pub mod settings;
mod up;

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use watchdog::{log::Log, signal::Stop};

use crate::{
    cli::{Cli, Command},
    env::Environment,
    serve::Gateway,
    settings::Settings,
};

/// What a mistake in the configuration ends with, as in the watchdog.
const MISCONFIGURED: u8 = 2;

/// The whole program.
#[must_use]
pub fn main_impl() -> ExitCode {
    // The watchdog reads its own arguments.
    if std::env::args_os().nth(1).is_some_and(|word| word == "watchdog") {
        return watchdog::main_behind(1);
    }
    let cli = Cli::parse();
    let environment = Environment::of_process();
    let result = match cli.command {
        Command::Serve(flags) => serve(&flags.over(environment)),
        Command::Up(up) => up::main(&up, environment),
        // Told apart above.
        Command::Watchdog { .. } => return ExitCode::FAILURE,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.text);
            failure.code
        }
    }
}

/// Why the program ends otherwise than it should.
struct Failure {
    text: String,
    code: ExitCode,
}

impl Failure {
    fn misconfigured(why: &impl ToString) -> Self {
        Self { text: why.to_string(), code: MISCONFIGURED.into() }
    }

    fn failed(why: &impl ToString) -> Self {
        Self { text: why.to_string(), code: ExitCode::FAILURE }
    }
}

/// To who started this.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn serve(environment: &Environment) -> Result<(), Failure> {
    let settings = env::parse(environment).map_err(|mistakes| Failure::misconfigured(&mistakes))?;
    run(&settings, environment, |_| std::future::pending())
}

/// Serves until a signal, or until `work` with the gateway's address is done.
fn run<W: Future<Output = Result<(), Failure>>>(
    settings: &Settings,
    environment: &Environment,
    work: impl FnOnce(std::net::SocketAddr) -> W,
) -> Result<(), Failure> {
    modes::process::keep_exit_statuses();
    let log = Log::start(serve::log_config(settings)).map_err(|error| Failure::failed(&error))?;
    let runtime = watchdog::runtimes::current().map_err(|error| Failure::failed(&error))?;
    let result = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(|error| Failure::failed(&error))?;
        let starting = Gateway::start(settings, environment, Arc::clone(&log));
        let gateway = tokio::select! {
            started = starting => started.map_err(|error| Failure::failed(&error))?,
            // The back end may be silent for long.
            signal = stop.asked() => {
                tracing::info!("{signal}");
                return Ok(());
            }
        };
        let result = tokio::select! {
            signal = stop.asked() => {
                tracing::info!("{signal}");
                Ok(())
            }
            result = work(gateway.address) => result,
        };
        tokio::select! {
            () = gateway.stop() => {}
            // Somebody at a terminal does not want to wait.
            () = stop.insisted() => {}
        }
        result
    });
    runtime.shutdown_background();
    log.flush();
    result
}
