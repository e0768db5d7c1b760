//! Process number 1 of a container: forwards signals, reaps orphans, passes the exit code on.
//!
//! It is this same program, started once more as its own child, because whoever waits for any
//! child at all would take the exit statuses of the function's processes away from their owner.

use std::{ffi::OsString, process::ExitCode};

use modes::process::init;

use crate::log::complain;

pub(crate) fn is_needed() -> bool {
    std::process::id() == 1
}

/// Runs the real watchdog as a child, until it ends.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(init::run(arguments))) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("cannot run as process 1: {error}"));
            ExitCode::FAILURE
        }
    }
}
