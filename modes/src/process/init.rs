//! The work of process number 1: run one child, reap everything.

use std::{ffi::OsString, io, os::unix::process::CommandExt as _, process::Command};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, wait},
};
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;

/// Starts the running program again with the same arguments, forwards signals to it, reaps every
/// orphan, and returns the child's exit code: 128 and the number when a signal ended it, as shells
/// do.
///
/// # Errors
/// The program cannot be started again, or signals cannot be received.
pub async fn run(arguments: &[OsString]) -> io::Result<u8> {
    let mut children = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    let child = start(arguments)?;
    loop {
        tokio::select! {
            _ = children.recv() => if let Some(code) = reap_all(child)? {
                return Ok(code);
            },
            _ = terminate.recv() => forward(child, Signal::TERM),
            _ = interrupt.recv() => forward(child, Signal::INT),
            // The watchdog has no configuration to read again: both mean that it should end.
            _ = hangup.recv() => forward(child, Signal::TERM),
            _ = quit.recv() => forward(child, Signal::TERM),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is modes::process")]
fn start(arguments: &[OsString]) -> io::Result<Pid> {
    let mut command = Command::new(std::env::current_exe()?);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    // A group of its own, so that a terminal's Ctrl-C arrives once and not twice.
    let child = command.process_group(0).spawn()?;
    Ok(Pid::from_child(&child))
}

fn reap_all(child: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => {
                code = Some(match Exit::from(status) {
                    Exit::Status(code) => code,
                    Exit::Signal { number, .. } => 128 | u8::try_from(number).unwrap_or(0),
                });
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(error) => return Err(error.into()),
        }
    }
}

fn forward(child: Pid, signal: Signal) {
    // A child that is gone is noticed by its exit.
    let _ = rustix::process::kill_process(child, signal);
}
