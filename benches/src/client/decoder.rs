//! The response, piece by piece: as much of RFC 9112 as is needed to know where it ends.

/// Why a response cannot be what a server meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to come.
    Unfinished,
    /// A complete response with this status.
    Complete(u16),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
}

/// One connection's responses, one after the other.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    status: u16,
    /// A line or head that is not complete yet.
    held: Vec<u8>,
    closes: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Head, status: 0, held: Vec::new(), closes: false }
    }
}

impl Decoder {
    /// Takes what arrived, hands pieces of the body on. Bytes behind the end of a response are an
    /// error: nothing is pipelined.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut body: impl FnMut(&[u8]),
    ) -> Result<Progress, Broken> {
        while !bytes.is_empty() {
            match self.state {
                State::Head => {
                    let Some(rest) = self.line(bytes, b"\r\n\r\n") else { break };
                    bytes = rest;
                    self.head()?;
                    if matches!(self.state, State::Length(0)) {
                        return self.complete(bytes);
                    }
                }
                State::Length(left) => {
                    let piece = left.min(bytes.len() as u64) as usize;
                    body(&bytes[..piece]);
                    bytes = &bytes[piece..];
                    self.state = State::Length(left - piece as u64);
                    if left == piece as u64 {
                        return self.complete(bytes);
                    }
                }
                State::ChunkSize => {
                    let Some(rest) = self.line(bytes, b"\r\n") else { break };
                    bytes = rest;
                    self.state = match self.chunk_size()? {
                        0 => State::Trailer,
                        size => State::ChunkData(size),
                    };
                }
                State::ChunkData(left) => {
                    let piece = left.min(bytes.len() as u64) as usize;
                    body(&bytes[..piece]);
                    bytes = &bytes[piece..];
                    let left = left - piece as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                }
                State::ChunkEnd => {
                    let Some(rest) = self.line(bytes, b"\r\n") else { break };
                    bytes = rest;
                    if self.held != b"\r\n" {
                        return Err(Broken("a chunk does not end where it should".into()));
                    }
                    self.held.clear();
                    self.state = State::ChunkSize;
                }
                State::Trailer => {
                    let Some(rest) = self.line(bytes, b"\r\n") else { break };
                    bytes = rest;
                    let last = self.held == b"\r\n";
                    self.held.clear();
                    if last {
                        return self.complete(bytes);
                    }
                }
                State::UntilClose => {
                    body(bytes);
                    break;
                }
            }
        }
        Ok(Progress::Unfinished)
    }

    /// The server closed the connection: the end of a response that had no other, else an error.
    pub fn end(&mut self) -> Result<Progress, Broken> {
        match self.state {
            State::UntilClose => self.complete(&[]),
            _ => Err(Broken("the server closed the connection in mid-response".into())),
        }
    }

    /// Whether the server said that it closes after this response.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.closes
    }

    fn complete(&mut self, rest: &[u8]) -> Result<Progress, Broken> {
        self.state = State::Head;
        if rest.is_empty() {
            return Ok(Progress::Complete(self.status));
        }
        Err(Broken(format!("{} bytes behind the end of the response", rest.len())))
    }

    /// Moves bytes into `held` until it ends with `end`; returns what is behind it.
    fn line<'a>(&mut self, bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
        for (index, byte) in bytes.iter().enumerate() {
            // An end always ends in a newline: only there it is worth looking back.
            if *byte != b'\n' {
                continue;
            }
            let last = &bytes[..=index];
            let ends = if last.len() >= end.len() {
                last.ends_with(end)
            } else {
                let (before, after) = end.split_at(end.len() - last.len());
                last == after && self.held.ends_with(before)
            };
            if ends {
                self.held.extend_from_slice(last);
                return Some(&bytes[index + 1..]);
            }
        }
        self.held.extend_from_slice(bytes);
        None
    }

    fn head(&mut self) -> Result<(), Broken> {
        let head = std::mem::take(&mut self.held);
        let text = std::str::from_utf8(&head).map_err(|_| Broken("the head is no text".into()))?;
        let broken = || Broken(format!("not an HTTP/1 response: {text:?}"));
        let mut lines = text.split("\r\n");
        let mut status_line = lines.next().unwrap_or_default().split(' ');
        let version = status_line.next().filter(|version| version.starts_with("HTTP/1."));
        self.status =
            version.and(status_line.next()).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        self.closes = version == Some("HTTP/1.0");
        let mut state = State::UntilClose;
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(broken)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                state = State::Length(value.parse().map_err(|_| broken())?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                state = State::ChunkSize;
            } else if name.eq_ignore_ascii_case("connection") {
                self.closes = value.eq_ignore_ascii_case("close");
            }
        }
        self.closes |= matches!(state, State::UntilClose);
        self.state = state;
        self.held = head;
        self.held.clear();
        Ok(())
    }

    fn chunk_size(&mut self) -> Result<u64, Broken> {
        let line = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        let digits = line.split([';', '\r']).next().unwrap_or_default().trim();
        u64::from_str_radix(digits, 16).map_err(|_| Broken(format!("chunk size {line:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], piece: usize) -> (Vec<u8>, Result<Progress, Broken>) {
        let (mut decoder, mut body) = (Decoder::default(), Vec::new());
        let mut progress = Ok(Progress::Unfinished);
        for bytes in bytes.chunks(piece) {
            progress = decoder.feed(bytes, |piece| body.extend_from_slice(piece));
            if progress.is_err() {
                break;
            }
        }
        if progress == Ok(Progress::Unfinished) {
            progress = decoder.end();
        }
        (body, progress)
    }

    #[test]
    fn every_framing_is_read_in_pieces_of_any_size() {
        let responses: [(&[u8], &[u8]); 4] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
            (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", b""),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n",
                b"hello",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
        ];
        for (response, expected) in responses {
            for piece in 1..=response.len() {
                let (body, progress) = decode(response, piece);
                assert_eq!(progress, Ok(Progress::Complete(200)), "pieces of {piece}");
                assert_eq!(body, expected);
            }
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_broken() {
        for response in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(decode(response, response.len()).1.is_err());
        }
    }
}
