//! Where a response body ends (RFC 9112 section 6).

use crate::message::Head;

/// How a body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing promised. A body that only the end of the connection ends counts as complete
    /// unless the connection was reset, since nothing can tell.
    Complete,
    /// Earlier; the text says how.
    Cut(String),
}

/// What comes next in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One chunk as it was framed on the wire, or what one read gave of a body with another framing.
    Data(Vec<u8>),
    /// The body is over.
    End(End),
}

/// The framing of the body that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Bytes that are still to come.
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// The framing after `head`; an error text when the head contradicts itself.
    pub(crate) fn after(head: &Head, to_head_request: bool) -> Result<Self, String> {
        let lengths: Vec<&str> = head.all("content-length").collect();
        let encodings: Vec<&str> = head.all("transfer-encoding").collect();
        if lengths.len() > 1
            || encodings.len() > 1
            || (!lengths.is_empty() && !encodings.is_empty())
        {
            return Err(format!("conflicting framing headers: {head:?}"));
        }
        if to_head_request || head.status < 200 || matches!(head.status, 204 | 304) {
            return Ok(Self::Length(0));
        }
        if let Some(encoding) = encodings.first() {
            return if encoding.eq_ignore_ascii_case("chunked") {
                Ok(Self::Chunked)
            } else {
                Err(format!("unknown transfer encoding: {encoding}"))
            };
        }
        match lengths.first() {
            Some(length) => {
                length.parse().map(Self::Length).map_err(|_| format!("not a length: {length}"))
            }
            None => Ok(Self::UntilClose),
        }
    }
}
