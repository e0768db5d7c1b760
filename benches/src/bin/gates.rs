//! `gates`: system calls and instructions a request, and whether they are within their limits.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, ours, second, gateway, subjects @ ..] = &arguments[..] else {
        eprintln!("usage: gates --ours PATH --gateway PATH [SUBJECT…]   (as `benches/run gates`)");
        return ExitCode::from(2);
    };
    if (first.as_str(), second.as_str()) != ("--ours", "--gateway") {
        eprintln!("gates: {first} {second}: it takes --ours PATH --gateway PATH and subjects");
        return ExitCode::from(2);
    }
    let limits = include_str!("../../gates.txt");
    let say = |line: &str| println!("{line}");
    match benches::gates::run(ours.as_ref(), gateway.as_ref(), subjects, limits, &say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gates: {error}");
            ExitCode::FAILURE
        }
    }
}
