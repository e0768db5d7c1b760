//! `soak`: many calls through each mode, and nothing left behind.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

use benches::{Result, namespace, soak};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = soak::Options::parse(&arguments)?;
    println!("in {}", namespace::enter());
    soak::run(&options, &|line| println!("{line}"))
}
