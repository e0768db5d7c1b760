//! Programs that have started already and wait for their input: the floor of warm spares.
//!
//! A thread for each connection, and calls that block: the body into the oldest program's standard
//! input, its output to the client, its end awaited, and only then another program started. So
//! between a request and its answer there is nothing that a server could leave out.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::{
    Listener, Socket,
    classic::{Program, body},
    closed,
};
use crate::Result;

/// How an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it, once the program has ended.
    Whole,
    /// In chunks, as it comes.
    Streamed,
}

/// A program that reads its input.
#[derive(Debug)]
struct Waiting {
    child: Child,
    feed: OwnedFd,
    output: OwnedFd,
}

#[derive(Debug)]
struct Spares {
    program: Program,
    waiting: Mutex<VecDeque<Waiting>>,
}

impl Spares {
    fn start(&self) -> io::Result<Waiting> {
        let (child, feed, output) = self.program.start_waiting()?;
        Ok(Waiting { child, feed, output })
    }

    fn take(&self) -> io::Result<Waiting> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        waiting.map_or_else(|| self.start(), Ok)
    }

    fn replace(&self) -> io::Result<()> {
        let waiting = self.start()?;
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(waiting);
        Ok(())
    }
}

/// Serves for ever, with so many programs that wait.
pub fn run(listener: &Listener, program: Program, count: usize, answer: Answer) -> Result<()> {
    let spares = Arc::new(Spares { program, waiting: Mutex::default() });
    for _ in 0..count {
        spares.replace()?;
    }
    loop {
        let (socket, spares) = (listener.accept()?, Arc::clone(&spares));
        // A client that left ends its thread and nothing else.
        thread::spawn(move || converse(socket, &spares, answer));
    }
}

fn converse(mut socket: Socket, spares: &Spares, answer: Answer) -> io::Result<()> {
    let (mut buffer, mut request) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            return Err(closed());
        }
        request.extend_from_slice(&buffer[..read]);
        let Some(body) = body(&request) else { continue };
        let Waiting { mut child, feed, output } = spares.take()?;
        rustix::io::write(&feed, body)?;
        drop(feed);
        let passed = match answer {
            Answer::Whole => whole(&mut socket, &mut child, &output, &mut buffer),
            Answer::Streamed => streamed(&mut socket, &output, &mut buffer),
        };
        // The pipe first: a program that still writes is to see that nobody reads.
        drop(output);
        child.wait()?;
        passed?;
        request.clear();
        spares.replace()?;
    }
}

fn whole(
    socket: &mut Socket,
    child: &mut Child,
    output: &OwnedFd,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut body = Vec::new();
    loop {
        let read = rustix::io::read(output, &mut *buffer)?;
        if read == 0 {
            break;
        }
        body.extend_from_slice(&buffer[..read]);
    }
    let status = if child.wait()?.success() { "200 OK" } else { "500 Internal Server Error" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    write_all(socket, &[head.as_bytes(), &body].concat())
}

fn streamed(socket: &mut Socket, output: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
    let mut head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    loop {
        let read = rustix::io::read(output, &mut *buffer)?;
        let size = format!("{head}{read:x}\r\n");
        head = "";
        write_all(socket, &[size.as_bytes(), &buffer[..read], b"\r\n"].concat())?;
        if read == 0 {
            return Ok(());
        }
    }
}

fn write_all(socket: &mut Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[socket.write(bytes)?..];
    }
    Ok(())
}
