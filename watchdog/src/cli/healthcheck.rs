//! `--run-healthcheck`: what a container's health probe runs beside the watchdog.
//!
//! The answer is the lock file, as both predecessors give it. With `suppress_lock` there is none,
//! so the watchdog itself is asked. No valid configuration is needed: a probe that fails for
//! another reason would hide the real one.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::ExitCode;
use crate::env::{Environment, health_target};

/// Time for the whole exchange with the watchdog.
const LIMIT: Duration = Duration::from_secs(5);

/// Tells whether the watchdog is healthy: success, or failure with the reason on stderr.
#[must_use]
pub fn run_healthcheck(environment: &Environment) -> ExitCode {
    let target = health_target(environment);
    let result = if target.suppress_lock {
        ask(target.port, target.socket.as_deref(), LIMIT)
    } else if target.lock_file.exists() {
        Ok(())
    } else {
        Err("unable to find lock file.".to_owned())
    };
    match result {
        Ok(()) => ExitCode::Success,
        Err(reason) => {
            // Nobody to tell it to is no reason to call it healthy.
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::Failure
        }
    }
}

fn ask(port: u16, socket: Option<&Path>, limit: Duration) -> Result<(), String> {
    if port == 0 && socket.is_none() {
        return Err("unable to ask for health: port=0 leaves the port to the system.".to_owned());
    }
    let place = socket
        .map_or_else(|| format!("127.0.0.1:{port}"), |path| format!("unix:{}", path.display()));
    match status_line(port, socket, limit) {
        Ok(line) if is_ok(&line) => Ok(()),
        Ok(line) => Err(format!("unhealthy: {:?}", String::from_utf8_lossy(&line))),
        Err(error) => Err(format!("unable to ask {place} for health: {error}.")),
    }
}

/// RFC 9112 section 4: version, space, three digits, then a space even before an empty reason.
fn is_ok(line: &[u8]) -> bool {
    line.starts_with(b"HTTP/1.1 200 ") || line.starts_with(b"HTTP/1.0 200 ")
}

/// Sends the request and returns the start of the answer up to its first line end.
fn status_line(port: u16, socket: Option<&Path>, limit: Duration) -> io::Result<Vec<u8>> {
    /// More than any status line of ours.
    const LONGEST: usize = 128;

    let deadline = Instant::now() + limit;
    // A socket takes a timeout of zero for none at all.
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = match socket {
        None => TcpStream::connect_timeout(&address, left()?)?,
        // The same calls from here on.
        Some(path) => OwnedFd::from(UnixStream::connect(path)?).into(),
    };
    stream.set_write_timeout(Some(left()?))?;
    let request =
        format!("GET /_/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;

    let mut line = Vec::new();
    let mut piece = [0; LONGEST];
    while line.len() < LONGEST && !line.contains(&b'\n') {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut piece)? {
            0 => break,
            length => line.extend_from_slice(&piece[..length]),
        }
    }
    line.truncate(line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(LONGEST));
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one connection with these pieces and reports the request.
    fn answer(pieces: &'static [&'static str]) -> (u16, thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
            }
            String::from_utf8(request).unwrap()
        });
        (port, server)
    }

    #[test]
    fn healthy_answer_is_success() {
        let (port, server) = answer(&["HTTP/1.1 ", "200 OK\r\n", "Content-Length: 2\r\n\r\nOK"]);
        assert_eq!(ask(port, None, LIMIT), Ok(()));
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /_/health HTTP/1.1\r\n"));
        assert!(request.contains(&format!("\r\nHost: 127.0.0.1:{port}\r\n")));
    }

    #[test]
    fn any_other_answer_is_failure() {
        for pieces in [
            &["HTTP/1.1 503 Service Unavailable\r\n\r\n"][..],
            &["HTTP/1.1 2000 \r\n\r\n"],
            &["HTTP/1.1"],
            &["nonsense\r\n"],
            &[],
        ] {
            let (port, server) = answer(pieces);
            assert!(ask(port, None, LIMIT).is_err(), "{pieces:?}");
            server.join().unwrap();
        }
    }

    #[test]
    fn silence_ends_with_the_limit() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(ask(port, None, Duration::from_millis(50)).is_err());
        drop(listener);
        assert!(ask(port, None, LIMIT).is_err());
        assert!(ask(0, None, LIMIT).unwrap_err().contains("port=0"));
    }

    #[test]
    fn lock_file_is_the_answer_where_there_is_one() {
        let directory = std::env::temp_dir().join(format!("healthcheck-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let environment = Environment::from_pairs([("TMPDIR", &directory)]);
        assert_eq!(run_healthcheck(&environment), ExitCode::Failure);
        std::fs::write(directory.join(".lock"), "").unwrap();
        assert_eq!(run_healthcheck(&environment), ExitCode::Success);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
