//! Request heads, and the framing of request bodies.

use http::{HeaderMap, HeaderName, Method};

/// A request head that is being written. Its parts cannot hold a line end: the types of `http` do
/// not let one in.
#[derive(Debug)]
pub struct RequestHead {
    bytes: Vec<u8>,
}

/// Holds most heads.
const USUAL_HEAD_BYTES: usize = 512;

impl RequestHead {
    /// Begins with the request line (RFC 9112 section 3); the target is `base` and `target`.
    #[must_use]
    pub fn new(method: &Method, base: &str, target: &str) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_HEAD_BYTES);
        for part in [method.as_str(), " ", base, target, " HTTP/1.1\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        Self { bytes }
    }

    /// Adds a field.
    pub fn field(&mut self, name: &HeaderName, value: &[u8]) {
        field(&mut self.bytes, name, value);
    }

    /// The whole head.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes
    }
}

/// Appends the line that precedes a chunk of `size` bytes (RFC 9112 section 7.1).
pub(crate) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[size >> (4 * digit) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and the trailer section.
pub(crate) fn last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Names are written `Like-This`: case does not matter to HTTP (RFC 9110 section 5.1), but it does
/// to functions that compare them as they are.
fn field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name.as_str().as_bytes());
    let mut first = true;
    for byte in &mut out[start..] {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
