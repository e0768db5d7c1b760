//! `load`: ours and its peers side by side. `load --help` says how.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

use benches::{
    Result,
    load::{self, options::Action},
    namespace,
};

fn main() -> ExitCode {
    match run() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match load::options::parse(&arguments)? {
        Action::Print(text) => return Ok(text),
        Action::Run(options) => options,
    };
    let network = namespace::enter();
    load::run(&options, &network, &|progress| eprintln!("{progress}"))
}
