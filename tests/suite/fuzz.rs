//! Damaged requests, in every mode: each connection is answered or closed, no call is told of
//! twice, and nothing is left behind.
//!
//! What is sent depends on nothing but `FUZZ_SEED` and the number of the round; `FUZZ_ROUNDS` sets
//! how many rounds each mode gets.

mod numbers;
mod visit;

use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    fs,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use e2e::{DEADLINE, Launch, ReadError, Watchdog, eventually};

use self::{
    numbers::Numbers,
    visit::{Leaving, Visit, target},
};
use crate::{upstream::http, watchdog};

/// What every target begins with that is sent.
const TARGETS: &[u8] = b"/file.txt?";

/// Clients at one time.
const CLIENTS: usize = 12;

#[test]
fn damaged_requests_do_classic_mode_no_harm() {
    survives(watchdog().mode("classic").fprocess("cat"), "classic");
}

#[test]
fn damaged_requests_do_streaming_mode_no_harm() {
    survives(watchdog().mode("streaming").fprocess("cat"), "streaming");
}

#[test]
fn damaged_requests_do_serializing_mode_no_harm() {
    survives(watchdog().mode("serializing").fprocess("cat"), "serializing");
}

#[test]
fn damaged_requests_do_static_mode_no_harm() {
    let launch = watchdog().mode("static");
    let root = launch.temp_dir().join("public");
    fs::create_dir(&root).expect("a folder");
    fs::write(root.join("file.txt"), "content").expect("a file");
    survives(launch.env("static_path", root), "static");
}

#[test]
fn damaged_requests_do_http_mode_no_harm() {
    survives(http(), "http");
}

fn survives(launch: Launch, mode: &str) {
    let seed = number("FUZZ_SEED", 0x6b65_6e6e_656c);
    let rounds = number("FUZZ_ROUNDS", 60);
    let mut dog = launch
        .env("read_timeout", "1s")
        .env("idle_timeout", "1s")
        .env("exec_timeout", "5s")
        .env("grace_period", "1s")
        .start();
    // Each event loop is started for its first connection, and then stays.
    for _ in 0..2 * thread::available_parallelism().map_or(1, usize::from) {
        assert_serves(&dog);
    }
    eventually(DEADLINE, "the first connections to be closed", || dog.connections() <= 2);
    let processes = dog.started_processes().len();
    let descriptors = dog.open_fds().len();

    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= rounds {
                        break;
                    }
                    let visit = Visit::new(&mut Numbers::of_round(seed, round), round);
                    if let Err(why) = pay(&dog, &visit) {
                        let sent = shown(&visit);
                        panic!("{mode}, FUZZ_SEED={seed}, round {round}: {why}\n{sent}");
                    }
                    if round.is_multiple_of(8) {
                        assert_serves(&dog);
                    }
                }
            });
        }
    });

    assert_serves(&dog);
    let what = format!("the end of every call in {mode} mode (FUZZ_SEED={seed})");
    eventually(DEADLINE, &what, || {
        // No call here: each leaves a connection to the function idle, on the loop that made it.
        dog.started_processes().len() <= processes
            && dog.zombies().is_empty()
            && dog.open_fds().len() <= descriptors
    });
    dog.terminate();
    let ended = dog.wait_exit();
    assert_eq!(ended.code(), Some(0), "{mode}, FUZZ_SEED={seed}\n{}", ended.stderr);
    // The function's own panics are behind the name of its stream.
    let panics = |line: &&str| line.contains("panicked at") && !line.contains(" stderr: ");
    assert_eq!(ended.stderr.lines().find(panics), None, "{mode}, FUZZ_SEED={seed}");
    assert_told_once(&dog, seed, rounds, mode);
}

fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = env::var(name) else { return default };
    text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
}

#[track_caller]
fn assert_serves(dog: &Watchdog) {
    assert_eq!(dog.get("/file.txt").status(), 200, "{}", dog.log());
}

/// One visit. The answers are whole and in order, up to one that may be cut, and then the
/// connection is closed.
fn pay(dog: &Watchdog, visit: &Visit) -> Result<(), String> {
    let mut client = dog.connect();
    for segment in &visit.segments {
        // The server may have seen enough.
        if client.try_send(segment).is_err() {
            break;
        }
        if visit.segments.len() > 1 {
            thread::sleep(Duration::from_micros(200));
        }
    }
    match visit.leaving {
        Leaving::Reset => {
            client.reset();
            return Ok(());
        }
        Leaving::Fin => client.half_close(),
        Leaving::Stay => {}
    }
    loop {
        match client.try_read_response(false) {
            Ok(response) if response.is_complete() => {}
            // Only the end of the connection can tell that some of an output is missing; the
            // watchdog's own answers are whole.
            Ok(response) if response.status() < 300 && client.is_closed_by_server() => {
                return Ok(());
            }
            Ok(response) => return Err(format!("broken: {:?} {:?}", response.head, response.end)),
            Err(ReadError::Closed) => return Ok(()),
            Err(ReadError::Cut(text)) if text.is_empty() => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

/// No target has more access lines than it was sent times.
fn assert_told_once(dog: &Watchdog, seed: u64, rounds: u64, mode: &str) {
    let mut sent: HashMap<Vec<u8>, usize> = HashMap::new();
    for round in 0..rounds {
        let bytes = Visit::new(&mut Numbers::of_round(seed, round), round).bytes();
        for window in bytes.windows(target(0, 0).len()).filter(|w| w.starts_with(TARGETS)) {
            *sent.entry(window.to_vec()).or_default() += 1;
        }
    }
    let mut told: HashMap<Vec<u8>, usize> = HashMap::new();
    for line in dog.access_log_lines() {
        if let Some(target) = line.split(' ').find(|word| word.as_bytes().starts_with(TARGETS)) {
            *told.entry(target.as_bytes().to_vec()).or_default() += 1;
        }
    }
    assert!(told.len() > sent.len() / 4, "{mode}: {} of {} told of", told.len(), sent.len());
    // Damage may turn a target into one of another length.
    for (target, lines) in told.iter().filter(|(told, _)| told.len() == target(0, 0).len()) {
        let sent = sent.get(target).copied().unwrap_or(0);
        let target = target.escape_ascii();
        let problem = format!("{mode}, FUZZ_SEED={seed}: {target} was sent {sent} times");
        assert!(*lines <= sent, "{problem}, and told of {lines} times");
    }
}

/// The visit for a reader.
fn shown(visit: &Visit) -> String {
    let mut text = format!("{:?}\n", visit.leaving);
    for segment in &visit.segments {
        let start = &segment[..segment.len().min(2_000)];
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} bytes \"{}\"", segment.len(), start.escape_ascii());
    }
    text
}
