//! The chunked coding (RFC 9112 section 7.1).

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Broken, body::Piece, trailers::may_trail};

/// A size line with its extensions, which nobody needs.
const MOST_LINE_BYTES: usize = 4096;
/// The trailer section.
const MOST_TRAILER_BYTES: usize = 16 * 1024;
const MOST_TRAILER_FIELDS: usize = 64;
/// Of a 64-bit number.
const MOST_DIGITS: usize = 16;

/// Where in a chunked body the next byte belongs.
#[derive(Debug, Default)]
pub(super) enum Chunked {
    #[default]
    Size,
    Data(u64),
    /// The line end behind a chunk's data.
    End,
    Trailers,
}

impl Chunked {
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, Broken> {
        loop {
            match self {
                Self::Size => {
                    let Some(size) = size_line(buffer)? else { return Ok(Piece::Starved) };
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Data(_) if buffer.is_empty() => return Ok(Piece::Starved),
                Self::Data(left) => {
                    let at_hand = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    *left -= at_hand as u64;
                    let data = buffer.split_to(at_hand).freeze();
                    if *left == 0 {
                        *self = Self::End;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::End => match buffer.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::Starved),
                    _ => return Err(Broken::Chunk("a chunk is longer than its size")),
                },
                Self::Trailers => return trailers(buffer),
            }
        }
    }

    /// As many bytes of data, at most all that come next, were taken by somebody else.
    pub(super) fn skip(&mut self, count: u64) {
        if let Self::Data(left) = self {
            *left -= count;
            if *left == 0 {
                *self = Self::End;
            }
        }
    }

    /// Bytes of data that come next.
    pub(super) fn raw(&self) -> u64 {
        match self {
            Self::Data(left) => *left,
            Self::Size | Self::End | Self::Trailers => 0,
        }
    }
}

/// The size of the next chunk; `None` until its line is there.
fn size_line(buffer: &mut BytesMut) -> Result<Option<u64>, Broken> {
    let bad = Broken::Chunk("a chunk has no proper size");
    let digits = buffer.iter().take(MOST_DIGITS + 1).take_while(|byte| byte.is_ascii_hexdigit());
    let digits = digits.count();
    let rest = &buffer[digits..];
    if digits > MOST_DIGITS || (digits == 0 && !rest.is_empty()) {
        return Err(bad);
    }
    // RFC 9112 section 7.1.1: extensions may be ignored, and white space may stand before them.
    let extension = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    if extension.is_some_and(|byte| !matches!(byte, b';' | b'\r')) {
        return Err(bad);
    }
    // No byte of a line but its end may be a control.
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    let end = rest.iter().position(is_control);
    if digits + end.unwrap_or(rest.len()) > MOST_LINE_BYTES {
        return Err(Broken::Chunk("a chunk's size line is too long"));
    }
    let Some(end) = end else { return Ok(None) };
    match rest[end..] {
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(bad),
    }
    let size = buffer[..digits].iter().fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16).unwrap_or_default();
        size << 4 | u64::from(digit)
    });
    buffer.advance(digits + end + 2);
    Ok(Some(size))
}

/// The trailer section up to its empty line.
fn trailers(buffer: &mut BytesMut) -> Result<Piece, Broken> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Piece::End);
    }
    let mut space = [httparse::EMPTY_HEADER; MOST_TRAILER_FIELDS];
    let (length, fields) = match httparse::parse_headers(buffer, &mut space) {
        Ok(httparse::Status::Complete(parsed)) if parsed.0 <= MOST_TRAILER_BYTES => parsed,
        Ok(httparse::Status::Partial) if buffer.len() <= MOST_TRAILER_BYTES => {
            return Ok(Piece::Starved);
        }
        Ok(_) | Err(_) => return Err(Broken::Trailers),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else { return Err(Broken::Trailers) };
        if may_trail(&name) {
            trailers.append(name, value);
        }
    }
    buffer.advance(length);
    Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) })
}
