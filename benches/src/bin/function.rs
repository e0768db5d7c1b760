//! `function`: what the servers are put in front of.

use std::{process::ExitCode, thread::sleep, time::Duration};

use benches::{
    Result, pattern,
    serve::{self, Listener, content},
};
use rustix::{
    io::write,
    stdio::stdout,
    time::{ClockId, clock_gettime},
};

const USAGE: &str =
    "usage: function reply ADDRESS|unix:PATH BYTES    an HTTP server, one answer to every request
       function write BYTES                     to standard output, in writes of 64 KiB
       function stamps COUNT MILLISECONDS       the clock, in lines with pauses
       function burn MILLISECONDS               of processor time, then `done`";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn complain(error: &str) {
    eprintln!("function: {error}");
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["reply", address, bytes] => {
            let content = content::Content::pattern(bytes.parse()?);
            serve::run::<content::Answering>(&Listener::bind(address)?, 1, &content)
        }
        ["write", bytes] => write_pattern(bytes.parse()?),
        ["stamps", count, pause] => stamps(count.parse()?, Duration::from_millis(pause.parse()?)),
        ["burn", time] => burn(Duration::from_millis(time.parse()?)),
        _ => Err(USAGE.into()),
    }
}

fn write_pattern(bytes: u64) -> Result<()> {
    let block = pattern::block();
    let mut left = bytes;
    while left > 0 {
        // A short write would shift what follows: send the rest of the block next.
        let piece = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        let mut rest = &block[..piece];
        left -= piece as u64;
        while !rest.is_empty() {
            rest = &rest[write(stdout(), rest)?..];
        }
    }
    Ok(())
}

/// Each line is the monotonic clock in nanoseconds, right before it is written.
fn stamps(count: u64, pause: Duration) -> Result<()> {
    for _ in 0..count {
        sleep(pause);
        let now = clock_gettime(ClockId::Monotonic);
        let line = format!("{}{:09}\n", now.tv_sec, now.tv_nsec);
        write(stdout(), line.as_bytes())?;
    }
    Ok(())
}

/// Keeps its CPU busy.
fn burn(time: Duration) -> Result<()> {
    let used = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    while used()? < time {}
    write(stdout(), b"done\n")?;
    Ok(())
}
