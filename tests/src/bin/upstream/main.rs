//! The function behind mode=http: an HTTP/1.1 server that does with each request what the request
//! asks for (see `e2e::play`), so that a suite can stage every behaviour of a real server.
//!
//! ```text
//! upstream ADDRESS [--after FILE] [--daemon]
//! ```
//! `ADDRESS` is `host:port` or the path of a socket. `--after` binds only once the file exists.
//! `--daemon` goes to the background in a session of its own, and the program that was started
//! ends with status 0.
//!
//! Files it leaves in `TMPDIR`: `heads` has every request head as it came; `connections` has one
//! line for each connection on which a request came; `pids` has the process id of each start.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a fixture reports what went wrong by failing"
)]

mod connection;
mod listener;
mod perform;

use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{self, Command, Stdio},
    thread,
    time::Duration,
};

use listener::Address;

fn main() {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().expect("an address");
    let address = Address::parse(&address);
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--after" => wait_for(&arguments.next().expect("a file name")),
            "--daemon" => daemonise(),
            "--detached" => {
                rustix::process::setsid().expect("not yet a session leader");
            }
            other => panic!("unknown option {other}"),
        }
    }
    append("pids", format!("{}\n", process::id()).as_bytes());
    listener::serve(&address);
}

/// A path in the directory that the test can see.
fn shared(name: &str) -> PathBuf {
    PathBuf::from(env::var_os("TMPDIR").expect("TMPDIR")).join(name)
}

/// One write, so that lines of several threads do not mix (open(2), `O_APPEND`).
fn append(name: &str, bytes: &[u8]) {
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(shared(name))
        .and_then(|mut file| file.write_all(bytes))
        .expect("a file in TMPDIR");
}

fn wait_for(file: &str) {
    let path = shared(file);
    while !path.exists() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn daemonise() -> ! {
    let arguments = env::args().skip(1);
    let arguments = arguments.map(|argument| match argument.as_str() {
        "--daemon" => "--detached".to_owned(),
        _ => argument,
    });
    Command::new(env::current_exe().expect("/proc"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a second process");
    process::exit(0)
}
