//! System calls, by strace(1): the watchdog's own, and those of a child before it becomes the
//! function. What the function does then is its own affair.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Cost, FEW, MANY, Subject, each};
use crate::{Result, in_path};

pub(super) fn measure(subject: &Subject<'_>) -> Result<Cost> {
    let many = count(subject, MANY)?;
    let few = count(subject, FEW)?;
    let parts: BTreeMap<String, f64> = many
        .iter()
        .map(|(name, calls)| {
            let without = few.get(name).copied().unwrap_or(0);
            (name.clone(), each(f64::from(*calls), f64::from(without)))
        })
        .collect();
    Ok(Cost { figure: parts.values().sum(), parts })
}

fn count(subject: &Subject<'_>, requests: u32) -> Result<BTreeMap<String, u32>> {
    let strace = in_path("strace").ok_or("no strace in PATH: install it")?;
    let file = subject.folder.join("strace.log");
    let _ = std::fs::remove_file(&file);
    // -D leaves the watchdog our child, so that it is stopped as usual.
    let mut through = vec![strace.to_string_lossy().into_owned()];
    through.extend(["-D", "-f", "-q", "-e", "signal=none", "-o"].map(Into::into));
    through.push(file.to_string_lossy().into_owned());
    let pid = subject.run(&through, requests)?;
    Ok(calls(&complete_log(&file, pid)?, pid))
}

/// The log, once the tracer has written the watchdog's end.
fn complete_log(file: &Path, pid: i32) -> Result<String> {
    let start = Instant::now();
    let end = format!("{pid} ");
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let last = text.lines().rev().find(|line| line.starts_with(&end));
        if last.is_some_and(|line| line.contains("+++ ")) {
            return Ok(text);
        }
        if start.elapsed() > Duration::from_secs(10) {
            let why = "strace did not see the watchdog's end: may it trace here?";
            return Err(format!("{why} (kernel.yama.ptrace_scope, seccomp)").into());
        }
        sleep(Duration::from_millis(10));
    }
}

/// Calls by name in a log of `strace -f -o`: `PID name(arguments) = result`.
fn calls(log: &str, root: i32) -> BTreeMap<String, u32> {
    let root = root.to_string();
    let mut functions = HashSet::new();
    let mut calls = BTreeMap::new();
    for line in log.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        // Ends of processes, and second halves of calls that others interrupted.
        if call.starts_with("+++") || call.starts_with("<...") || functions.contains(pid) {
            continue;
        }
        let Some((name, _)) = call.split_once('(') else { continue };
        *calls.entry(name.to_owned()).or_insert(0) += 1;
        if pid != root && name.starts_with("execve") {
            functions.insert(pid);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_counts_until_it_is_executed() {
        let log = "\
10 execve(\"/fwatchdog\", [\"/fwatchdog\"], 0x7 /* 9 vars */) = 0
10 epoll_wait(3,  <unfinished ...>
11 read(4, \"x\", 1) = 1
10 <... epoll_wait resumed>[], 1, 0) = 0
12 dup2(5, 0) = 0
12 execve(\"/bin/cat\", [\"cat\"], 0x7 <unfinished ...>
12 <... execve resumed>) = 0
12 brk(NULL) = 0x5
12 +++ exited with 0 +++
10 +++ exited with 0 +++
";
        let calls = calls(log, 10);
        let expected = [("dup2", 1), ("epoll_wait", 1), ("execve", 2), ("read", 1)];
        assert_eq!(calls, expected.map(|(name, count)| (name.to_owned(), count)).into());
    }
}
