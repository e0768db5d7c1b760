//! HTTP/1.1 as a client speaks it, without any I/O: heads of requests become bytes, bytes become
//! heads and bodies of responses (RFC 9112).
//!
//! Whoever answers is trusted but possibly broken. Two readers who disagree about where a message
//! ends are how one call gets another's answer, so what can be read in two ways is refused; what
//! is merely untidy (a bare line feed in a head, white space behind a chunk's size) is not.

mod body;
mod chunked;
mod framing;
mod request;
mod response;
mod trailers;

pub(crate) use self::request::{chunk_size, last_chunk};
pub use self::{
    body::{Decoder, Piece},
    framing::Framing,
    request::RequestHead,
    response::Head,
};

/// The largest response head, in bytes.
pub const MOST_HEAD_BYTES: usize = 1024 * 1024;
/// The largest response head, in fields.
pub const MOST_HEAD_FIELDS: usize = 512;

/// Why an answer cannot be used. Texts fit behind "an answer that is not HTTP: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something of the head is not as RFC 9112 section 4 and 5 have it.
    #[error("{0}")]
    Head(httparse::Error),
    /// Bytes that nobody asked for stand where the head should begin.
    #[error("something stands before the status line")]
    Garbage,
    /// A status that is no number from 100 to 999.
    #[error("the status is out of range")]
    Status,
    /// More than [`MOST_HEAD_BYTES`] or [`MOST_HEAD_FIELDS`].
    #[error("the head is too large")]
    TooLarge,
    /// Not one length, in digits, that fits 64 bits (RFC 9112 section 6.3, rule 5).
    #[error("its Content-Length is not one number")]
    Length,
    /// `Transfer-Encoding` beside `Content-Length` or in HTTP/1.0 (section 6.1), or another coding
    /// than `chunked`, which nobody asked for.
    #[error("its Transfer-Encoding is not just chunked, or not alone")]
    Coding,
    /// Chunk framing (section 7.1).
    #[error("{0}")]
    Chunk(&'static str),
    /// Trailer fields (section 7.1.2).
    #[error("its trailer fields are malformed or too large")]
    Trailers,
    /// The connection ended before the message did (section 8).
    #[error("it ends in the middle")]
    Cut,
}

#[cfg(test)]
mod tests;
