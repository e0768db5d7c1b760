//! How a process ended, in the words that functions' callers know from Go's `os/exec`.

use std::fmt;

use rustix::process::{WaitIdStatus, WaitStatus};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called exit(2) with this status, 0 to 255.
    Status(u8),
    /// A signal ended it.
    Signal {
        /// Its number.
        number: i32,
        /// Whether memory was dumped.
        core: bool,
    },
}

impl Exit {
    /// Status 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

impl From<WaitStatus> for Exit {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (_, Some(number)) => {
                // wait(2): bit 7 of the raw status tells of a core dump.
                Self::Signal { number, core: status.as_raw() & 0x80 != 0 }
            }
            (code, None) => {
                Self::Status(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(0))
            }
        }
    }
}

impl From<WaitIdStatus> for Exit {
    fn from(status: WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (_, Some(number)) => Self::Signal { number, core: status.dumped() },
            (code, None) => {
                Self::Status(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(0))
            }
        }
    }
}

/// `exit status 3`, `signal: killed`: what both programs that this one replaces send as the body
/// of a failed call.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Status(code) => write!(f, "exit status {code}"),
            Self::Signal { number, core } => {
                match signal_name(number) {
                    Some(name) => write!(f, "signal: {name}")?,
                    None => write!(f, "signal: signal {number}")?,
                }
                if core { f.write_str(" (core dumped)") } else { Ok(()) }
            }
        }
    }
}

/// The names that strsignal(3) and Go agree on, in lower case.
fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
        "killed",
        "user defined signal 1",
        "segmentation fault",
        "user defined signal 2",
        "broken pipe",
        "alarm clock",
        "terminated",
        "stack fault",
        "child exited",
        "continued",
        "stopped (signal)",
        "stopped",
        "stopped (tty input)",
        "stopped (tty output)",
        "urgent I/O condition",
        "CPU time limit exceeded",
        "file size limit exceeded",
        "virtual timer expired",
        "profiling timer expired",
        "window changed",
        "I/O possible",
        "power failure",
        "bad system call",
    ];
    usize::try_from(number).ok()?.checked_sub(1).and_then(|index| NAMES.get(index)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_read_as_go_prints_them() {
        for (exit, text) in [
            (Exit::Status(3), "exit status 3"),
            (Exit::Signal { number: 9, core: false }, "signal: killed"),
            (Exit::Signal { number: 15, core: false }, "signal: terminated"),
            (Exit::Signal { number: 11, core: true }, "signal: segmentation fault (core dumped)"),
            (Exit::Signal { number: 64, core: false }, "signal: signal 64"),
            (Exit::Signal { number: 31, core: false }, "signal: bad system call"),
        ] {
            assert_eq!(exit.to_string(), text);
        }
    }
}
