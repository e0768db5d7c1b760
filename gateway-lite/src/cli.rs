//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::env::{self, Environment};

/// Deploys, routes to, scales and watches functions on one machine.
#[derive(Debug, Parser)]
#[command(name = "gateway-lite", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve functions and the API that faas-cli speaks.
    #[command(after_long_help = env::help())]
    Serve(Serve),
    /// Run the functions of a stack file: build, deploy, show the URLs, follow the logs.
    #[command(after_long_help = env::help())]
    Up(Up),
    /// Be the watchdog of one function; see `fwatchdog --help`.
    #[command(disable_help_flag = true)]
    Watchdog {
        /// Arguments of the watchdog.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Flags that stand for variables, and win over them.
#[derive(Args, Clone, Debug, Default)]
pub struct Serve {
    /// Who starts replicas: docker, or process (programs run as your own user).
    #[arg(long)]
    pub provider: Option<String>,
    /// Where functions, secrets and credentials are kept.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, value_name = "IP")]
    pub listen_address: Option<String>,
    /// The port for calls and the control plane; 0 for any free one.
    #[arg(long)]
    pub port: Option<String>,
    /// The port for metrics; 0 for none.
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<String>,
}

impl Serve {
    /// The environment as these flags change it.
    #[must_use]
    pub fn over(&self, environment: Environment) -> Environment {
        let data = self.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
        environment
            .with("provider", self.provider.clone())
            .with("data_dir", data)
            .with("listen_address", self.listen_address.clone())
            .with("port", self.port.clone())
            .with("metrics_port", self.metrics_port.clone())
    }
}

/// What `up` is asked for.
#[derive(Args, Clone, Debug)]
pub struct Up {
    /// The stack file.
    #[arg(short = 'f', long = "file", default_value = "stack.yaml", value_name = "FILE")]
    pub file: PathBuf,
    /// Only functions whose names are like this (`*` and `?` stand for anything).
    #[arg(long, value_name = "GLOB")]
    pub filter: Option<String>,
    /// The gateway to deploy to; started here if none answers.
    #[arg(long, value_name = "URL")]
    pub gateway: Option<String>,
    /// The user of a gateway that was there.
    #[arg(long, default_value = "admin")]
    pub user: String,
    /// The file with the password of a gateway that was there.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// End once everything is deployed to a gateway that was there.
    #[arg(long)]
    pub detach: bool,
    /// Of a gateway that is started here.
    #[command(flatten)]
    pub serve: Serve,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
