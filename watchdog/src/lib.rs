//! `fwatchdog`: puts one [`modes::Mode`] on a port and keeps it honest.
//!
//! From the top down: [`cli`] ▶ [`mod@env`] ([`settings`], the only reader of the environment) ▶
//! [`config`] (the settings, dealt out to the parts) ▶ [`server`] (bind, accept, stop) ▶
//! `dispatch` (calls to the loops of the CPUs, probes to the first thread) ▶ [`doors`] and
//! [`conversation`] (all connections, and one of them: the gateway's, too) ▶
//! [`connection`] (time-outs of one socket) ▶ [`router`] (the route table) ▶ [`auth`], [`limit`],
//! [`health`] ▶ `modes` ▶ [`respond`] (the only place where an error becomes a status) ▶
//! [`account`] (one log line and one count a call), which shares [`phase`] with the connection.

pub mod account;
pub mod auth;
pub mod cli;
pub mod config;
pub mod connection;
pub mod conversation;
mod dispatch;
pub mod doors;
pub mod duration;
pub mod env;
pub mod epoch;
pub mod fields;
pub mod health;
mod init;
pub mod limit;
pub mod listen;
mod lock;
pub mod log;
pub mod metrics;
mod open;
pub mod phase;
pub mod respond;
pub mod router;
pub mod runtimes;
pub mod server;
pub mod settings;
pub mod signal;

use std::{process::ExitCode, sync::Arc};

use crate::{cli::Action, config::Config, log::Log};

/// The whole program.
#[must_use]
pub fn main_impl() -> ExitCode {
    main_behind(0)
}

/// The whole program as a sub-command of another one, behind `words` further arguments.
#[must_use]
pub fn main_behind(words: usize) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let environment = env::Environment::from_process();
    let code = match cli::parse(arguments.iter().skip(words).cloned()) {
        Action::Exit(code) => code,
        Action::RunHealthcheck => cli::run_healthcheck(&environment),
        Action::PrintConfig => cli::print_config(&env::parse(&environment)),
        Action::Serve if init::is_needed() => return init::run(&arguments),
        Action::Serve => serve(&environment),
    };
    code.into()
}

/// Configuration, log, runtime, server: until it stops.
fn serve(environment: &env::Environment) -> cli::ExitCode {
    modes::process::keep_exit_statuses();
    let outcome = env::parse(environment);
    let settings = match &outcome.settings {
        Ok(settings) => settings,
        Err(unusable) => {
            for mistake in &outcome.mistakes {
                log::complain(&mistake.to_string());
            }
            log::complain(&unusable.to_string());
            return cli::ExitCode::Configuration;
        }
    };
    let log = match Log::start(config::log(settings)) {
        Ok(log) => log,
        Err(error) => {
            log::complain(&format!("cannot start the log: {error}"));
            return cli::ExitCode::Failure;
        }
    };
    for mistake in &outcome.mistakes {
        tracing::warn!("{mistake}");
    }
    for notice in &outcome.notices {
        tracing::info!("{notice}");
    }
    let code = run(Config::new(settings, environment, &log), &log);
    log.flush();
    code
}

fn run(config: Config, log: &Arc<Log>) -> cli::ExitCode {
    tracing::info!("Version: {}", env!("CARGO_PKG_VERSION"));
    let runtime = match runtimes::current() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start the runtime: {error}");
            return cli::ExitCode::Failure;
        }
    };
    let result = runtime.block_on(server::run(config, Arc::clone(log)));
    // What is left is blocked in a file system or tunnels that outlived the drain.
    runtime.shutdown_background();
    match result {
        Ok(()) => cli::ExitCode::Success,
        Err(error) => {
            tracing::error!("{error}");
            cli::ExitCode::Failure
        }
    }
}
