//! One answer to every request, from memory or from a file: the floor of static files, and the
//! function behind mode=http.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSlice},
    sync::Arc,
};

use rustix::{event::epoll::EventFlags, fs::sendfile};

use super::{Session, Side, Socket, Watch, closed, is_complete_head};
use crate::{Result, pattern};

/// Bytes of a file that may lie unsent in a socket (`TCP_NOTSENT_LOWAT`, tcp(7)): more makes 1 MB
/// answers to 64 connections several times slower.
const UNSENT: u32 = 64 * 1024;

/// What every request is answered with.
#[derive(Clone, Debug)]
pub struct Content {
    head: Arc<Vec<u8>>,
    source: Source,
    length: u64,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Source {
    /// A block that is repeated: a long answer needs no memory of its own.
    Memory(Arc<Vec<u8>>),
    File(Arc<File>),
}

impl Content {
    /// So many bytes of the pattern.
    #[must_use]
    pub fn pattern(length: u64) -> Self {
        let block = pattern::block();
        let block = block.iter().copied().cycle().take(length.min(1 << 20) as usize).collect();
        Self::new(Source::Memory(Arc::new(block)), length)
    }

    /// A file: up to 64 KiB from memory, beyond that by sendfile.
    pub fn file(path: &str) -> Result<Self> {
        let failed = |error| format!("{path}: {error}");
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let source = if length < 64 * 1024 {
            Source::Memory(Arc::new(std::fs::read(path).map_err(failed)?))
        } else {
            Source::File(Arc::new(file))
        };
        Ok(Self::new(source, length))
    }

    fn new(source: Source, length: u64) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        );
        Self { head: Arc::new(head.into_bytes()), source, length, buffer: vec![0; 64 * 1024] }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Answering {
    socket: Socket,
    /// How much of head and body is sent; `None` between requests.
    sent: Option<u64>,
}

impl Session for Answering {
    type Shared = Content;

    fn open(socket: Socket, content: &Content, watch: &Watch<'_>) -> io::Result<Self> {
        socket.set_nonblocking()?;
        if matches!(content.source, Source::File(_)) {
            socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT)?;
        }
        watch.add(Side::Client, &socket, EventFlags::IN)?;
        Ok(Self { socket, sent: None })
    }

    fn advance(&mut self, side: Side, content: &mut Content, watch: &Watch<'_>) -> io::Result<()> {
        let resumed = self.sent.is_some();
        let mut sent = match self.sent {
            Some(sent) => sent,
            None => {
                let read = self.socket.read(&mut content.buffer)?;
                if read == 0 {
                    return Err(closed());
                }
                if !is_complete_head(&content.buffer[..read]) {
                    return Ok(());
                }
                0
            }
        };
        let end = content.head.len() as u64 + content.length;
        while sent < end {
            match self.send(content, sent) {
                Ok(0) => return Err(closed()),
                Ok(piece) => sent += piece as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.sent = Some(sent);
                    if !resumed {
                        watch.change(side, &self.socket, EventFlags::OUT)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = None;
        if resumed {
            watch.change(side, &self.socket, EventFlags::IN)?;
        }
        Ok(())
    }
}

impl Answering {
    fn send(&mut self, content: &Content, sent: u64) -> io::Result<usize> {
        let head = content.head.get(sent as usize..).unwrap_or_default();
        let at = sent.saturating_sub(content.head.len() as u64);
        match &content.source {
            Source::Memory(block) => {
                let start = (at % block.len().max(1) as u64) as usize;
                let piece = (content.length - at).min((block.len() - start) as u64) as usize;
                let body = &block[start..start + piece];
                if head.is_empty() {
                    return self.socket.write(body);
                }
                self.socket.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
            }
            Source::File(_) if !head.is_empty() => {
                let flags = rustix::net::SendFlags::MORE | rustix::net::SendFlags::NOSIGNAL;
                Ok(rustix::net::send(&self.socket, head, flags)?)
            }
            Source::File(file) => {
                let mut offset = at;
                let left = (content.length - at) as usize;
                Ok(sendfile(&self.socket, file, Some(&mut offset), left)?)
            }
        }
    }
}
