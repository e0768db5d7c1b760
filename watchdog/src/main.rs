//! `fwatchdog`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    watchdog::main_impl()
}
