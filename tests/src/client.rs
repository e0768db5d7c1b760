//! An HTTP/1.1 client that shows everything: when bytes came, how they were framed, how it ended.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use crate::{
    DEADLINE,
    framing::Framing,
    message::{Head, Request, Response},
};

mod body;

/// Why no response head came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The server closed the connection before the first byte.
    Closed,
    /// The server closed or reset the connection after these bytes.
    Cut(String),
    /// Nothing came for the client's patience.
    TimedOut,
    /// Something came that is no HTTP/1.1 head.
    Malformed(String),
}

/// One connection. Reads and writes give up after the client's patience ([`DEADLINE`] unless
/// changed), so that a hung server fails the test instead of hanging it.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    framing: Framing,
    trailers: Vec<(String, String)>,
}

enum Fill {
    Some,
    Closed,
    Reset,
    TimedOut,
}

impl Client {
    /// # Panics
    /// When the connection is refused.
    #[must_use]
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        match Self::try_connect(addr) {
            Ok(client) => client,
            Err(error) => panic!("connecting to {addr}: {error}"),
        }
    }

    /// # Errors
    /// The kernel's, such as `ConnectionRefused`.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&addr, DEADLINE)?)
    }

    /// Connects with a receive buffer of about this many bytes, so that a server notices soon when
    /// the client stops reading.
    ///
    /// # Panics
    /// When the connection is refused.
    #[must_use]
    pub fn connect_with_receive_buffer(addr: SocketAddr, bytes: usize) -> Self {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("SO_RCVBUF");
        socket.connect(&addr.into()).expect("a connection");
        Self::over(socket.into()).expect("socket options")
    }

    /// From another address than the kernel would choose.
    ///
    /// # Panics
    /// When that is none of this machine's, or the connection is refused.
    #[must_use]
    pub fn connect_from(own: IpAddr, addr: SocketAddr) -> Self {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(own, 0).into()).expect("an address of this machine");
        socket.connect(&addr.into()).expect("a connection");
        Self::over(socket.into()).expect("socket options")
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, received: Vec::new(), framing: Framing::Length(0), trailers: Vec::new() })
    }

    /// How long one read may take.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a patience above zero");
    }

    /// Another handle of the same connection, to send while this one reads.
    ///
    /// # Panics
    /// When there are no descriptors left.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self::over(self.stream.try_clone().expect("a descriptor")).expect("socket options")
    }

    // === sending ===

    /// # Panics
    /// When the server does not take the bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.try_send(bytes) {
            panic!("sending: {error}");
        }
    }

    /// # Errors
    /// When the server has closed the connection or takes no bytes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends in pieces with a pause after each; stops at the first error and returns it.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn send_slowly(
        &mut self,
        bytes: impl AsRef<[u8]>,
        piece: usize,
        pause: Duration,
    ) -> io::Result<()> {
        for piece in bytes.as_ref().chunks(piece) {
            self.stream.write_all(piece)?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// No more bytes will be sent (a FIN); responses can still be read.
    pub fn half_close(&self) {
        // Fails only when the server has already closed both directions.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Breaks the connection with a RST instead of a FIN, as a crashed client's kernel does.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    // === receiving ===

    /// Sends a request and reads its whole response.
    ///
    /// # Panics
    /// When no response head comes.
    #[track_caller]
    pub fn call(&mut self, request: &Request) -> Response {
        self.send(request.to_bytes());
        self.read_response_to(request.is_head())
    }

    /// Reads a whole response to a request other than HEAD.
    ///
    /// # Panics
    /// When no response head comes.
    #[track_caller]
    pub fn read_response(&mut self) -> Response {
        self.read_response_to(false)
    }

    #[track_caller]
    fn read_response_to(&mut self, to_head_request: bool) -> Response {
        match self.try_read_response(to_head_request) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error:?}"),
        }
    }

    /// Reads a whole response; interim ones (1xx except 101) are kept aside.
    ///
    /// # Errors
    /// When no response head comes.
    pub fn try_read_response(&mut self, to_head_request: bool) -> Result<Response, ReadError> {
        let mut interim = Vec::new();
        loop {
            let head = self.try_read_head_to(to_head_request)?;
            if head.status < 200 && head.status != 101 {
                interim.push(head);
                continue;
            }
            let (body, end) = self.read_body();
            return Ok(Response {
                head,
                interim,
                body,
                trailers: std::mem::take(&mut self.trailers),
                end,
            });
        }
    }

    /// Reads the next head, a 1xx too. The body that belongs to it is read with
    /// [`read_piece`](Self::read_piece) or [`read_body`](Self::read_body).
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn read_head(&mut self) -> Head {
        match self.try_read_head() {
            Ok(head) => head,
            Err(error) => panic!("no response head: {error:?}"),
        }
    }

    /// As [`read_head`](Self::read_head).
    ///
    /// # Errors
    /// When no head comes.
    pub fn try_read_head(&mut self) -> Result<Head, ReadError> {
        self.try_read_head_to(false)
    }

    fn try_read_head_to(&mut self, to_head_request: bool) -> Result<Head, ReadError> {
        let end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end;
            }
            let so_far = |client: &Self| String::from_utf8_lossy(&client.received).into_owned();
            match self.fill() {
                Fill::Some => {}
                Fill::TimedOut => return Err(ReadError::TimedOut),
                Fill::Closed if self.received.is_empty() => return Err(ReadError::Closed),
                Fill::Closed | Fill::Reset => return Err(ReadError::Cut(so_far(self))),
            }
        };
        let bytes: Vec<u8> = self.received.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let head = Head::parse(&text).ok_or_else(|| ReadError::Malformed(text.clone()))?;
        self.framing = Framing::after(&head, to_head_request).map_err(ReadError::Malformed)?;
        self.trailers.clear();
        Ok(head)
    }

    /// Bytes that are no HTTP, as they come after a 101: reads until there are `count`.
    ///
    /// # Panics
    /// When the connection ends before.
    #[track_caller]
    pub fn read_raw(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            if let Err(how) = self.fill_more() {
                panic!("{how} after {:?}", String::from_utf8_lossy(&self.received));
            }
        }
        self.received.drain(..count).collect()
    }

    /// Bytes as they come, to the end of the connection.
    pub fn read_raw_to_end(&mut self) -> Vec<u8> {
        while self.fill_more().is_ok() {}
        std::mem::take(&mut self.received)
    }

    /// Whether the server ends the connection (FIN or RST) within the client's patience. Bytes that
    /// come before that are thrown away.
    #[must_use]
    pub fn is_closed_by_server(&mut self) -> bool {
        loop {
            self.received.clear();
            match self.fill() {
                Fill::Some => {}
                Fill::Closed | Fill::Reset => return true,
                Fill::TimedOut => return false,
            }
        }
    }

    fn fill_if_empty(&mut self) -> Result<(), &'static str> {
        if self.received.is_empty() {
            return match self.fill() {
                Fill::Some => Ok(()),
                Fill::Closed => Err("closed"),
                Fill::Reset => Err("reset"),
                Fill::TimedOut => Err("timed out"),
            };
        }
        Ok(())
    }

    fn fill_more(&mut self) -> Result<(), String> {
        match self.fill() {
            Fill::Some => Ok(()),
            Fill::Closed => Err("closed inside the chunked body".to_owned()),
            Fill::Reset => Err("reset inside the chunked body".to_owned()),
            Fill::TimedOut => Err("timed out inside the chunked body".to_owned()),
        }
    }

    fn fill(&mut self) -> Fill {
        let mut buffer = [0; 16 * 1024];
        loop {
            return match self.stream.read(&mut buffer) {
                Ok(0) => Fill::Closed,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    Fill::Some
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fill::TimedOut,
                    _ => Fill::Reset,
                },
            };
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests;
