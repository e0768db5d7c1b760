//! The command line. Everything about a function is set through the environment, so there are only
//! a few flags.
//!
//! Both predecessors use Go's `flag` package, whose rules Dockerfiles depend on: one dash or two,
//! and nothing is read after the first argument that is no flag.

mod healthcheck;

pub use self::healthcheck::run_healthcheck;

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::{Arg, ArgAction, Command};

use crate::env;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// It did what it was asked to.
    Success = 0,
    /// Something failed while it ran: a busy port, a lock file that cannot be written, a server
    /// process that died, an unhealthy answer to `--run-healthcheck`.
    Failure = 1,
    /// The command line or the configuration cannot be used.
    Configuration = 2,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve the function.
    Serve,
    /// Ask whether the watchdog in this container is healthy: [`run_healthcheck`].
    RunHealthcheck,
    /// Print what was understood of the environment: [`print_config`].
    PrintConfig,
    /// All is said; end with this code.
    Exit(ExitCode),
}

/// An [`Action`] and what to tell the user first.
#[derive(Debug)]
struct Reply {
    action: Action,
    stdout: String,
    stderr: String,
}

const FLAGS: [&str; 4] = ["help", "version", "run-healthcheck", "print-config"];

/// Reads the command line, program name first, and writes help, version or a usage error where they
/// belong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Action {
    let reply = interpret(arguments.into_iter().skip(1));
    // A reader that has gone away is no reason to do something else.
    let _ = io::stdout().write_all(reply.stdout.as_bytes());
    let _ = io::stderr().write_all(reply.stderr.as_bytes());
    reply.action
}

/// Prints what was understood of the environment. The exit code says whether the watchdog would
/// start with it.
#[must_use]
pub fn print_config(outcome: &env::Outcome) -> ExitCode {
    let page = env::render_config(outcome);
    if io::stdout().write_all(page.as_bytes()).is_err() {
        return ExitCode::Failure;
    }
    match outcome.settings {
        Ok(_) => ExitCode::Success,
        Err(_) => ExitCode::Configuration,
    }
}

fn interpret(arguments: impl Iterator<Item = OsString>) -> Reply {
    let (flags, ignored) = split(arguments);
    let mut stderr = String::new();
    if let Some(first) = ignored.first() {
        stderr = format!(
            "fwatchdog: arguments from {:?} on are ignored; fprocess sets the command to run\n",
            first.to_string_lossy()
        );
    }
    let mut reply = Reply { action: Action::Serve, stdout: String::new(), stderr };

    match command().try_get_matches_from(flags) {
        Ok(matches) if matches.get_flag("print-config") => reply.action = Action::PrintConfig,
        Ok(matches) if matches.get_flag("run-healthcheck") => reply.action = Action::RunHealthcheck,
        Ok(_) => {}
        // Help and version are errors to clap, of the kind that is printed to stdout.
        Err(error) if error.use_stderr() => {
            reply.action = Action::Exit(ExitCode::Configuration);
            reply.stderr.push_str(&error.to_string());
        }
        Err(error) => {
            reply.action = Action::Exit(ExitCode::Success);
            reply.stdout = error.to_string();
        }
    }
    reply
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).overrides_with(name)
    };
    Command::new("fwatchdog")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Turns any program into an HTTP function")
        .no_binary_name(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .long("version")
                .help("Print the version")
                .action(ArgAction::Version),
        )
        .arg(flag(
            "run-healthcheck",
            "Exit with 0 if the watchdog of this container is healthy, else with 1",
        ))
        .arg(flag("print-config", "Print each setting, its value and where that came from"))
        .after_help(env::render_help())
}

/// Parts the flags, in the spelling clap knows, from the rest of the line, which nobody reads.
fn split(mut arguments: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let mut flags = Vec::new();
    let mut ignored = Vec::new();
    while let Some(argument) = arguments.next() {
        let is_flag =
            argument.as_encoded_bytes().starts_with(b"-") && argument != "-" && argument != "--";
        if !is_flag {
            ignored.extend((argument != "--").then_some(argument).into_iter().chain(arguments));
            break;
        }
        flags.extend(normalise(argument));
    }
    (flags, ignored)
}

/// Gives a flag of ours its second dash and takes off the value Go allows for it; `-version=false`
/// is no flag at all. What is not ours stays as it is, for clap to complain about.
fn normalise(argument: OsString) -> Option<OsString> {
    let Some(text) = argument.to_str() else {
        return Some(argument);
    };
    let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or(text);
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, value),
        None => (name, "true"),
    };
    if !FLAGS.contains(&name) {
        return Some(argument);
    }
    match env::parse_boolean(value) {
        Some(true) => Some(format!("--{name}").into()),
        Some(false) => None,
        None => Some(argument),
    }
}

// === impl ExitCode ===

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        // The variants are small on purpose: the kernel keeps eight bits (wait(2)).
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(arguments: &[&str]) -> Reply {
        interpret(arguments.iter().map(OsString::from))
    }

    #[test]
    fn one_dash_and_two_mean_the_same() {
        let cases = [
            ("run-healthcheck", Action::RunHealthcheck),
            ("print-config", Action::PrintConfig),
            ("version", Action::Exit(ExitCode::Success)),
            ("help", Action::Exit(ExitCode::Success)),
        ];
        for (name, action) in cases {
            for argument in [
                format!("-{name}"),
                format!("--{name}"),
                format!("-{name}=true"),
                format!("--{name}=1"),
            ] {
                let reply = reply(&[&argument]);
                assert_eq!(reply.action, action, "{argument}");
                assert_eq!(reply.stderr, "", "{argument}");
            }
        }
        assert_eq!(reply(&["-version=false"]).action, Action::Serve);
        assert_eq!(reply(&["-print-config", "--print-config"]).action, Action::PrintConfig);
    }

    #[test]
    fn no_arguments_serve() {
        let reply = reply(&[]);
        assert_eq!(
            (reply.action, reply.stdout.as_str(), reply.stderr.as_str()),
            (Action::Serve, "", "")
        );
    }

    #[test]
    fn version_and_help_go_to_stdout() {
        assert_eq!(
            reply(&["-version"]).stdout,
            format!("fwatchdog {}\n", env!("CARGO_PKG_VERSION"))
        );
        for argument in ["-h", "--help", "-help"] {
            let page = reply(&[argument]).stdout;
            for expected in [
                "--run-healthcheck",
                "--print-config",
                "--version",
                "exec_timeout",
                "function_process, fprocess",
            ] {
                assert!(page.contains(expected), "{expected} is not in\n{page}");
            }
        }
    }

    #[test]
    fn unknown_flags_are_refused_with_usage() {
        for argument in ["--nothing", "-nothing", "-x", "--version=maybe", "---version", "-V"] {
            let reply = reply(&[argument]);
            assert_eq!(reply.action, Action::Exit(ExitCode::Configuration), "{argument}");
            assert!(reply.stderr.contains("Usage: fwatchdog"), "{argument}: {}", reply.stderr);
            assert_eq!(reply.stdout, "");
        }
    }

    #[test]
    fn nothing_is_read_after_the_first_plain_argument() {
        for arguments in [&["serve", "--version"][..], &["-", "--nothing"], &["--", "--version"]] {
            let reply = reply(arguments);
            assert_eq!(reply.action, Action::Serve, "{arguments:?}");
            assert!(reply.stderr.contains("ignored"), "{arguments:?}");
        }
        assert_eq!(reply(&["-version", "x"]).action, Action::Exit(ExitCode::Success));
        assert_eq!(reply(&["--"]).stderr, "");
    }
}
