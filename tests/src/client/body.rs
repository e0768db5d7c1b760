//! Reading a body by its framing.

use super::{Client, find};
use crate::{
    framing::{End, Framing, Piece},
    message::field,
};

impl Client {
    /// The rest of the body.
    pub fn read_body(&mut self) -> (Vec<u8>, End) {
        let mut body = Vec::new();
        loop {
            match self.read_piece() {
                Piece::Data(bytes) => body.extend_from_slice(&bytes),
                Piece::End(end) => return (body, end),
            }
        }
    }

    /// Reads the rest of the body without keeping it; gives its size.
    pub fn skip_body(&mut self) -> (u64, End) {
        let mut size = 0;
        loop {
            match self.read_piece() {
                Piece::Data(bytes) => size += bytes.len() as u64,
                Piece::End(end) => return (size, end),
            }
        }
    }

    /// What comes next in the body, as soon as it comes.
    pub fn read_piece(&mut self) -> Piece {
        match self.framing {
            Framing::Length(0) => Piece::End(End::Complete),
            Framing::Length(left) => match self.fill_if_empty() {
                Ok(()) => {
                    let count = usize::try_from(left).map_or(usize::MAX, |left| left);
                    let count = count.min(self.received.len());
                    self.framing = Framing::Length(left - count as u64);
                    Piece::Data(self.received.drain(..count).collect())
                }
                Err(how) => Piece::End(End::Cut(format!("{how} with {left} bytes missing"))),
            },
            Framing::UntilClose => match self.fill_if_empty() {
                Ok(()) => Piece::Data(std::mem::take(&mut self.received)),
                Err("closed") => Piece::End(End::Complete),
                Err(how) => Piece::End(End::Cut(how.to_owned())),
            },
            Framing::Chunked => self.read_chunk().unwrap_or_else(|how| Piece::End(End::Cut(how))),
        }
    }

    /// The next bytes of the body.
    ///
    /// # Panics
    /// When the body is over.
    #[track_caller]
    pub fn read_chunk_data(&mut self) -> Vec<u8> {
        match self.read_piece() {
            Piece::Data(bytes) => bytes,
            Piece::End(end) => panic!("the body is over: {end:?}"),
        }
    }

    fn read_chunk(&mut self) -> Result<Piece, String> {
        let line = self.read_line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            usize::from_str_radix(size, 16).map_err(|_| format!("bad chunk size {line:?}"))?;
        if size > 0 {
            while self.received.len() < size + 2 {
                self.fill_more()?;
            }
            let data = self.received.drain(..size).collect();
            let end: Vec<u8> = self.received.drain(..2).collect();
            return if end == b"\r\n" {
                Ok(Piece::Data(data))
            } else {
                Err(format!("bytes {end:?} after a chunk of {size}"))
            };
        }
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                self.framing = Framing::Length(0);
                return Ok(Piece::End(End::Complete));
            }
            let trailer = field(&line).ok_or_else(|| format!("bad trailer {line:?}"))?;
            self.trailers.push(trailer);
        }
    }

    fn read_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = find(&self.received, b"\r\n") {
                let line = self.received.drain(..end + 2).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill_more()?;
        }
    }

    /// Trailer fields of the chunked body that was read last.
    #[must_use]
    pub fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }
}
