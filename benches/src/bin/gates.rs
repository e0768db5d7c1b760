//! `gates`: system calls and instructions a request, and whether they are within their limits.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [option, ours, subjects @ ..] = &arguments[..] else {
        eprintln!("usage: gates --ours PATH [SUBJECT…]   (start it as `benches/run gates`)");
        return ExitCode::from(2);
    };
    if option != "--ours" {
        eprintln!("gates: no option {option}: it takes --ours PATH and names of subjects");
        return ExitCode::from(2);
    }
    let limits = include_str!("../../gates.txt");
    match benches::gates::run(ours.as_ref(), subjects, limits, &|line| println!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gates: {error}");
            ExitCode::FAILURE
        }
    }
}
