//! The command line. Everything about a function is set through the environment, so there are only
//! a few flags.
//!
//! Both predecessors use Go's `flag` package, whose rules Dockerfiles depend on: one dash or two,
//! and nothing is read after the first argument that is no flag. clap has neither rule and would be
//! a sixteenth of the binary.

mod healthcheck;

pub use self::healthcheck::run_healthcheck;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Help,
    Version,
    RunHealthcheck,
    PrintConfig,
}

const USAGE: &str = "Usage: fwatchdog [OPTIONS]";

const FLAGS: [(&str, Flag, &str); 4] = [
    (
        "run-healthcheck",
        Flag::RunHealthcheck,
        "Exit with 0 if the watchdog of this container is healthy, else with 1",
    ),
    ("print-config", Flag::PrintConfig, "Print each setting, its value and where that came from"),
    ("version", Flag::Version, "Print the version"),
    ("help", Flag::Help, "Print this help (-h too)"),
];

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

fn interpret(mut arguments: impl Iterator<Item = OsString>) -> Reply {
    let mut reply = Reply { action: Action::Serve, stdout: String::new(), stderr: String::new() };
    while let Some(argument) = arguments.next() {
        let is_flag =
            argument.as_encoded_bytes().starts_with(b"-") && argument != "-" && argument != "--";
        if !is_flag {
            reply.stderr = ignored((argument != "--").then_some(argument).or(arguments.next()));
            break;
        }
        match Flag::read(&argument) {
            Some((Flag::Help, true)) => {
                reply.stdout = help();
                reply.action = Action::Exit(ExitCode::Success);
                break;
            }
            Some((Flag::Version, true)) => {
                reply.stdout = format!("fwatchdog {}\n", env!("CARGO_PKG_VERSION"));
                reply.action = Action::Exit(ExitCode::Success);
                break;
            }
            // To look is safer than to do.
            Some((Flag::PrintConfig, true)) => reply.action = Action::PrintConfig,
            Some((Flag::RunHealthcheck, true)) if reply.action == Action::Serve => {
                reply.action = Action::RunHealthcheck;
            }
            Some(_) => {}
            None => {
                reply.stderr = format!(
                    "fwatchdog: unknown flag {:?}\n\n{USAGE}\n\nFor more information, try '--help'.\n",
                    argument.to_string_lossy()
                );
                reply.action = Action::Exit(ExitCode::Configuration);
                break;
            }
        }
    }
    reply
}

fn ignored(first: Option<OsString>) -> String {
    let Some(first) = first else {
        return String::new();
    };
    format!(
        "fwatchdog: arguments from {:?} on are ignored; fprocess sets the command to run\n",
        first.to_string_lossy()
    )
}

fn help() -> String {
    let mut page = format!("Turns any program into an HTTP function\n\n{USAGE}\n\nOptions:\n");
    for (name, _, help) in FLAGS {
        page.push_str(&format!("  --{name:<16}{help}\n"));
    }
    page.push('\n');
    page.push_str(&env::render_help());
    page
}

// === impl Flag ===

impl Flag {
    /// Reads a flag, one dash or two, and the value Go allows for it: `-version=false` is the same
    /// as no flag at all. `None` for what is not ours.
    fn read(argument: &OsStr) -> Option<(Self, bool)> {
        let text = argument.to_str()?;
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        let (name, value) = name.split_once('=').unwrap_or((name, "true"));
        let name = if name == "h" { "help" } else { name };
        let (_, flag, _) = FLAGS.into_iter().find(|(known, ..)| *known == name)?;
        Some((flag, env::parse_boolean(value)?))
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
