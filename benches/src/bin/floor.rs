//! `floor`: for each mode a server that does only what no server can avoid.

use std::process::ExitCode;

use benches::{
    Result, affinity, in_path,
    serve::{self, Listener, classic, content, relay, spares, streaming},
};

const USAGE: &str = "usage: floor ADDRESS classic PROGRAM [ARGUMENT…]
       floor ADDRESS streaming PROGRAM [ARGUMENT…]
       floor ADDRESS classic-spares COUNT PROGRAM [ARGUMENT…]
       floor ADDRESS streaming-spares COUNT PROGRAM [ARGUMENT…]
       floor ADDRESS static FILE
       floor ADDRESS relay ADDRESS|unix:PATH";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Err(error) = run(&arguments);
    eprintln_failure(&error.to_string());
    ExitCode::FAILURE
}

#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn eprintln_failure(error: &str) {
    eprintln!("floor: {error}");
}

fn run(arguments: &[&str]) -> Result<std::convert::Infallible> {
    let threads = affinity::cpus();
    let [address, mode, rest @ ..] = arguments else { return Err(USAGE.into()) };
    let listener = Listener::bind(address)?;
    match (*mode, rest) {
        ("classic", command @ [_, ..]) => {
            serve::run::<classic::Calling>(&listener, threads, &program(command)?)?;
        }
        ("streaming", command @ [_, ..]) => streaming::run(&listener, program(command)?)?,
        ("classic-spares", [count, command @ ..]) if !command.is_empty() => {
            spares::run(&listener, program(command)?, count.parse()?, spares::Answer::Whole)?;
        }
        ("streaming-spares", [count, command @ ..]) if !command.is_empty() => {
            spares::run(&listener, program(command)?, count.parse()?, spares::Answer::Streamed)?;
        }
        ("static", [file]) => {
            let content = content::Content::file(file)?;
            serve::run::<content::Answering>(&listener, threads, &content)?;
        }
        ("relay", [function]) => {
            serve::run::<relay::Relay>(&listener, threads, &relay::Function::at(function))?;
        }
        _ => return Err(USAGE.into()),
    }
    Err("stopped accepting".into())
}

fn program(command: &[&str]) -> Result<classic::Program> {
    let path = in_path(command[0]).ok_or_else(|| format!("{}: no such program", command[0]))?;
    let arguments = command[1..].iter().map(Into::into).collect();
    Ok(classic::Program::new(path, arguments))
}
