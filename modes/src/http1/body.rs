//! Response bodies without their framing.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{Broken, Framing, chunked::Chunked};

/// Takes one body out of a buffer, piece by piece.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
}

/// What the bytes at hand come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the body, at least one.
    Data(Bytes),
    /// Trailer fields, at least one; the last piece.
    Trailers(HeaderMap),
    /// Nothing until there are more bytes.
    Starved,
    /// The body is complete.
    End,
}

impl Decoder {
    /// For the body behind a head with this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Bodiless | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// The next piece, out of the front of `buffer`.
    ///
    /// # Errors
    /// [`Broken`] chunks or trailer fields; there is no use in going on then.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, Broken> {
        let piece = match &mut self.state {
            State::Done => return Ok(Piece::End),
            State::Chunked(chunked) => chunked.decode(buffer)?,
            State::Length(_) | State::UntilClose if buffer.is_empty() => Piece::Starved,
            State::UntilClose => Piece::Data(buffer.split().freeze()),
            State::Length(left) => {
                let at_hand = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= at_hand as u64;
                let data = Piece::Data(buffer.split_to(at_hand).freeze());
                if *left == 0 {
                    self.state = State::Done;
                }
                return Ok(data);
            }
        };
        if matches!(piece, Piece::End | Piece::Trailers(_)) {
            self.state = State::Done;
        }
        Ok(piece)
    }

    /// The connection has ended, and [`Decoder::decode`] was starved.
    ///
    /// # Errors
    /// [`Broken::Cut`] unless that is how the body was to end.
    pub fn finish(&mut self) -> Result<(), Broken> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(Broken::Cut),
        }
    }

    /// Whether all of the body has been taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many of the bytes that come next are the body's own and nothing else, as far as it is
    /// known: what the kernel could move without anybody looking. `u64::MAX` until the end of the
    /// connection.
    #[must_use]
    pub fn raw(&self) -> u64 {
        match &self.state {
            State::Length(left) => *left,
            State::Chunked(chunked) => chunked.raw(),
            State::UntilClose => u64::MAX,
            State::Done => 0,
        }
    }

    /// `count` bytes, at most [`Decoder::raw`], went another way than through
    /// [`Decoder::decode`].
    ///
    /// # Panics
    /// When they are more than that.
    pub fn skip(&mut self, count: u64) {
        assert!(count <= self.raw(), "nobody knows what these bytes are");
        match &mut self.state {
            State::Length(left) => {
                *left -= count;
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::Chunked(chunked) => chunked.skip(count),
            State::UntilClose | State::Done => {}
        }
    }

    /// The number of bytes left when that is known.
    #[must_use]
    pub fn exact(&self) -> Option<u64> {
        match &self.state {
            State::Length(left) => Some(*left),
            State::Done => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }
}
