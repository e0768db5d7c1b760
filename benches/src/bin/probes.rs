//! `probes`: how late health, ready and metrics answer while everything else is saturated.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

use benches::{Result, namespace, probes};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = probes::Options::parse(&arguments)?;
    println!("in {}", namespace::enter());
    probes::run(&options, &|line| println!("{line}"))
}
