//! One connection: request heads and bodies as they come, nothing interpreted but their framing.

use std::io::{BufRead, BufReader, Read, Write};

use e2e::play::{Play, Step};
use socket2::Socket;

use crate::{append, listener::Address, perform::perform};

/// One connection and what it has carried so far.
pub(crate) struct Connection {
    pub(crate) reader: BufReader<Socket>,
    pub(crate) writer: Socket,
    pub(crate) address: Address,
    /// Requests so far, the present one included.
    pub(crate) count: usize,
}

/// One request.
pub(crate) struct Request {
    /// As it came, with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body as it came, chunk framing and trailers included, as far as it was read.
    pub(crate) raw_body: Vec<u8>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

/// What of the body is still unread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// The connection is to be closed.
pub(crate) struct Closed;

impl From<std::io::Error> for Closed {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Connection {
    pub(crate) fn new(socket: Socket, address: Address) -> Self {
        // Unix sockets have no such option.
        let _ = socket.set_tcp_nodelay(true);
        let writer = socket.try_clone().expect("a descriptor");
        Self { reader: BufReader::new(socket), writer, address, count: 0 }
    }

    /// Serves requests until one of them ends the connection.
    pub(crate) fn serve(mut self) {
        while let Ok(mut request) = self.read_head() {
            self.count += 1;
            if self.count == 1 {
                append("connections", b"connection\n");
            }
            append("heads", &request.head);
            let play = request.header(Play::HEADER).map_or_else(
                || Play::new([Step::Body, Step::Echo]),
                |text| text.parse().expect("a play"),
            );
            for step in play.steps() {
                if perform(step, &mut self, &mut request).is_err() {
                    return;
                }
            }
            if request.framing != Framing::Length(0) {
                return;
            }
        }
    }

    fn read_head(&mut self) -> Result<Request, Closed> {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            self.reader.read_until(b'\n', &mut head)?;
            match &head[before..] {
                [] => return Err(Closed),
                b"\r\n" => break,
                _ => {}
            }
        }
        let mut request =
            Request { head, raw_body: Vec::new(), body: Vec::new(), framing: Framing::Length(0) };
        if request.header("Transfer-Encoding").is_some() {
            request.framing = Framing::Chunked;
        } else if let Some(length) = request.header("Content-Length") {
            request.framing = Framing::Length(length.parse().expect("a length"));
        }
        Ok(request)
    }

    pub(crate) fn read_body(&mut self, request: &mut Request) -> Result<(), Closed> {
        match request.framing {
            Framing::Length(length) => {
                request.body = vec![0; length];
                self.reader.read_exact(&mut request.body)?;
                request.raw_body.clone_from(&request.body);
            }
            Framing::Chunked => {
                while self.read_chunk(request)? {}
                while self.read_line(request)? != "\r\n" {}
            }
        }
        request.framing = Framing::Length(0);
        Ok(())
    }

    fn read_chunk(&mut self, request: &mut Request) -> Result<bool, Closed> {
        let line = self.read_line(request)?;
        let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
        if size == 0 {
            return Ok(false);
        }
        let start = request.raw_body.len();
        request.raw_body.resize(start + size + 2, 0);
        self.reader.read_exact(&mut request.raw_body[start..])?;
        let (data, end) = request.raw_body[start..].split_at(size);
        assert_eq!(end, b"\r\n", "the end of a chunk");
        request.body.extend_from_slice(data);
        Ok(true)
    }

    fn read_line(&mut self, request: &mut Request) -> Result<String, Closed> {
        let before = request.raw_body.len();
        if self.reader.read_until(b'\n', &mut request.raw_body)? == 0 {
            return Err(Closed);
        }
        Ok(String::from_utf8_lossy(&request.raw_body[before..]).into_owned())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        Ok(self.writer.write_all(bytes)?)
    }
}

impl Request {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    pub(crate) fn is_head(&self) -> bool {
        self.head.starts_with(b"HEAD ")
    }
}
