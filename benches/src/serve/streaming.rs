//! A process for each request whose output is copied as it comes, through one buffer and a pipe
//! of 256 KiB: the floor of the streaming mode. A thread for each connection: they are few.

use std::{io, os::fd::OwnedFd, process::Child, sync::Arc, thread};

use rustix::pipe::fcntl_setpipe_size;

use super::{Listener, Socket, classic::Program, is_complete_head};
use crate::Result;

/// What pipe and buffer hold.
const SIZE: usize = 256 * 1024;

/// Serves for ever.
pub fn run(listener: &Listener, program: Program) -> Result<()> {
    let program = Arc::new(program);
    loop {
        let (socket, program) = (listener.accept()?, Arc::clone(&program));
        // A client that left ends its thread and nothing else.
        thread::spawn(move || answer(socket, &program));
    }
}

fn answer(mut socket: Socket, program: &Program) -> io::Result<()> {
    let mut buffer = vec![0; SIZE];
    let read = socket.read(&mut buffer)?;
    if !is_complete_head(&buffer[..read]) {
        return Ok(());
    }
    let (child, output) = program.start(&[])?;
    let copied = copy(&mut socket, &output, &mut buffer);
    // The pipe first: a program that still writes is to see that nobody reads.
    drop(output);
    end(child)?;
    copied
}

fn copy(socket: &mut Socket, output: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
    fcntl_setpipe_size(output, SIZE)?;
    // Without a length: the end of the connection is the end of the body.
    let mut rest: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    while !rest.is_empty() {
        rest = &rest[socket.write(rest)?..];
    }
    loop {
        let read = rustix::io::read(output, &mut *buffer)?;
        let mut rest = &buffer[..read];
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            rest = &rest[socket.write(rest)?..];
        }
    }
}

fn end(mut child: Child) -> io::Result<()> {
    child.wait()?;
    Ok(())
}
