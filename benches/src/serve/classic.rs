//! A process for each request, by `posix_spawn`: the floor of the classic mode.
//!
//! The body is written into the pipe before the process starts, so it has to fit (64 KiB).

use std::{
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::{
    event::epoll::EventFlags,
    pipe::{PipeFlags, pipe_with},
};

use super::{Session, Side, Socket, Watch, closed};

/// What is run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its absolute path: with a bare name the standard library would fork instead.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    buffer: Vec<u8>,
}

impl Program {
    /// This one.
    #[must_use]
    pub fn new(path: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { path, arguments, buffer: vec![0; 64 * 1024] }
    }

    /// Starts it with this input; its output can be read from the pipe.
    pub fn start(&self, input: &[u8]) -> io::Result<(Child, OwnedFd)> {
        let (stdin, feed) = pipe_with(PipeFlags::CLOEXEC)?;
        if !input.is_empty() {
            rustix::io::write(&feed, input)?;
        }
        drop(feed);
        self.start_with(stdin)
    }

    /// Starts it; its input can be written to the first pipe, and its output read from the second.
    pub(super) fn start_waiting(&self) -> io::Result<(Child, OwnedFd, OwnedFd)> {
        let (stdin, feed) = pipe_with(PipeFlags::CLOEXEC)?;
        let (child, output) = self.start_with(stdin)?;
        Ok((child, feed, output))
    }

    fn start_with(&self, stdin: OwnedFd) -> io::Result<(Child, OwnedFd)> {
        let (output, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .spawn()?;
        Ok((child, output))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Calling {
    socket: Socket,
    request: Vec<u8>,
    running: Option<(Child, OwnedFd)>,
    output: Vec<u8>,
}

impl Session for Calling {
    type Shared = Program;

    fn open(socket: Socket, _: &Program, watch: &Watch<'_>) -> io::Result<Self> {
        watch.add(Side::Client, &socket, EventFlags::IN)?;
        Ok(Self { socket, request: Vec::new(), running: None, output: Vec::new() })
    }

    fn advance(&mut self, side: Side, program: &mut Program, watch: &Watch<'_>) -> io::Result<()> {
        match side {
            Side::Client => self.receive(program, watch),
            Side::Other => self.collect(program, watch),
        }
    }
}

impl Calling {
    fn receive(&mut self, program: &mut Program, watch: &Watch<'_>) -> io::Result<()> {
        let read = self.socket.read(&mut program.buffer)?;
        if read == 0 {
            return Err(closed());
        }
        self.request.extend_from_slice(&program.buffer[..read]);
        let Some(body) = body(&self.request) else { return Ok(()) };
        let (child, output) = program.start(body)?;
        watch.add(Side::Other, &output, EventFlags::IN)?;
        self.running = Some((child, output));
        self.request.clear();
        Ok(())
    }

    fn collect(&mut self, program: &mut Program, watch: &Watch<'_>) -> io::Result<()> {
        let Some((child, pipe)) = &mut self.running else { return Ok(()) };
        let read = rustix::io::read(&*pipe, &mut program.buffer)?;
        if read > 0 {
            self.output.extend_from_slice(&program.buffer[..read]);
            return Ok(());
        }
        watch.remove(&*pipe)?;
        let status = if child.wait()?.success() { "200 OK" } else { "500 Internal Server Error" };
        let mut answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", self.output.len())
                .into_bytes();
        answer.append(&mut self.output);
        self.running = None;
        let mut rest = &answer[..];
        while !rest.is_empty() {
            rest = &rest[self.socket.write(rest)?..];
        }
        Ok(())
    }
}

impl Drop for Calling {
    /// A client that leaves: its process finds nobody who reads, and is not left a zombie.
    fn drop(&mut self) {
        if let Some((mut child, pipe)) = self.running.take() {
            drop(pipe);
            let _ = child.wait();
        }
    }
}

/// The body, once all of it is there.
pub(super) fn body(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&request[..end]).ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.map_or(Some(0), |length| length.parse().ok())?;
    request.get(end..end + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_there_when_its_length_is() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(body(request), Some(&b"hello"[..]));
        assert_eq!(body(&request[..request.len() - 1]), None);
        assert_eq!(body(b"GET / HTTP/1.1\r\n\r\n"), Some(&b""[..]));
    }
}
