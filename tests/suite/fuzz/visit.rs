//! What one client sends and how it leaves: valid requests, then damaged.

use e2e::Request;

use super::numbers::Numbers;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It says that it is done and reads what is left.
    Fin,
    /// It breaks the connection.
    Reset,
    /// It waits until it is shown out.
    Stay,
}

/// One connection from the client's side.
#[derive(Debug)]
pub(super) struct Visit {
    /// The bytes, one item a write.
    pub(super) segments: Vec<Vec<u8>>,
    pub(super) leaving: Leaving,
}

impl Visit {
    pub(super) fn new(numbers: &mut Numbers, round: u64) -> Self {
        let mut bytes = Vec::new();
        for place in 0..=numbers.pick(&[0, 0, 0, 1, 3]) {
            bytes.extend(request(numbers, &target(round, place)));
        }
        for _ in 0..numbers.pick(&[0, 1, 1, 1, 2, 5]) {
            damage(numbers, &mut bytes);
        }
        if numbers.once_in(3) {
            bytes.truncate(numbers.below(bytes.len() + 1));
        }
        let leaving = match numbers.below(16) {
            0 | 1 => Leaving::Stay,
            2..=4 => Leaving::Reset,
            _ => Leaving::Fin,
        };
        Self { segments: segments(numbers, bytes), leaving }
    }

    /// Everything it sends.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.segments.concat()
    }
}

/// A target that no other request has, of the same length as all the others.
pub(super) fn target(round: u64, place: usize) -> String {
    format!("/file.txt?{round:08}-{place}")
}

/// A valid request.
fn request(numbers: &mut Numbers, target: &str) -> Vec<u8> {
    let method = numbers.pick(&["GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
    let mut request = Request::new(method, target);
    if numbers.once_in(6) {
        request = request.http_1_0();
    }
    if numbers.once_in(2) {
        let (name, value) = numbers.pick(&[
            ("Accept-Encoding", "gzip, br"),
            ("Connection", "close"),
            ("Connection", "keep-alive"),
            ("Connection", "upgrade"),
            ("Content-Type", "application/json"),
            ("Expect", "100-continue"),
            ("If-None-Match", "*"),
            ("Range", "bytes=1-2"),
            ("TE", "trailers"),
            ("Upgrade", "websocket"),
            ("X-Call-Id", "7"),
            ("X-Timeout", "1ns"),
            ("X-Timeout", "5ms"),
        ]);
        request = request.header(name, value);
    }
    let body = |numbers: &mut Numbers| -> Vec<u8> {
        let size = numbers.pick(&[0, 1, 5, 100, 3_000, 100_000]);
        (0..numbers.below(size + 1)).map(|_| numbers.byte()).collect()
    };
    match numbers.below(3) {
        0 => request.to_bytes(),
        1 => request.body(body(numbers)).to_bytes(),
        _ => {
            let chunks: Vec<_> = (0..numbers.below(4)).map(|_| body(numbers)).collect();
            // An empty chunk would be the last.
            request.chunked(chunks.iter().filter(|chunk| !chunk.is_empty())).to_bytes()
        }
    }
}

/// Header lines with which something is wrong, or rare.
const LINES: &[&str] = &[
    " folded",
    "",
    ":",
    ": nameless",
    "Connection: close, content-length, host",
    "Content-Length: +5",
    "Content-Length: -1",
    "Content-Length: 0",
    "Content-Length: 18446744073709551615",
    "Content-Length: 18446744073709551616",
    "Content-Length: 5, 5",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length:",
    "Expect: 200-ok",
    "Expect: 100-continue",
    "Host: other",
    "Host:",
    "Name : value",
    "Proxy: http://evil",
    "Range: bytes=18446744073709551615-,-18446744073709551616",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:\x0bchunked",
    "X-Nul: a\0b",
    "X-Return: a\rb",
    "X-Timeout: -1h",
    "no colon",
    "\u{fc}: \u{fc}",
];

/// What may stand where the size of a chunk does.
const CHUNK_SIZES: &[&str] = &[
    "",
    "-1",
    "+1",
    "0",
    "00000000000000000000000000000001",
    "0x1",
    "1 ",
    "1;a=\"\r\"",
    "1;a=b",
    "1\n",
    "7fffffffffffffff",
    "8000000000000000",
    "ffffffffffffffff",
    "10000000000000000",
    "g",
];

/// Does one thing to the bytes that nobody should.
fn damage(numbers: &mut Numbers, bytes: &mut Vec<u8>) {
    let place = numbers.below(bytes.len() + 1);
    let end = bytes.len().min(place + 1 + numbers.below(40));
    match numbers.below(9) {
        0 => bytes[place..end].iter_mut().take(2).for_each(|byte| *byte = numbers.byte()),
        1 => bytes[place..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << numbers.below(8)),
        2 => drop(bytes.drain(place..end)),
        3 => {
            let again = bytes[place..end].to_vec();
            bytes.splice(place..place, again);
        }
        4 => {
            let noise: Vec<u8> = (0..numbers.below(40)).map(|_| numbers.byte()).collect();
            bytes.splice(place..place, noise);
        }
        5 => {
            let line = numbers.pick(LINES);
            insert_line(numbers, bytes, format!("{line}\r\n").as_bytes());
        }
        6 => {
            let many = numbers.pick(&[2, 90, 110, 1_000]);
            let line = format!("X-Many: {}\r\n", "x".repeat(numbers.pick(&[1, 100])));
            insert_line(numbers, bytes, line.repeat(many).as_bytes());
        }
        7 => {
            let ends = places(bytes, b"\r\n");
            if !ends.is_empty() {
                let at = numbers.pick(&ends);
                let end = numbers.pick(&["\n", "\r", "\r\r\n", "\n\r", "", "\0\r\n", "\r\n\r\n"]);
                bytes.splice(at..at + 2, end.bytes());
            }
        }
        _ => {
            // The size of the first chunk, or whatever line there is.
            let ends = places(bytes, b"\r\n\r\n");
            let start = ends.first().map_or(place, |end| end + 4);
            let length = bytes[start..].iter().position(|byte| *byte == b'\r').unwrap_or(0);
            bytes.splice(start..start + length, numbers.pick(CHUNK_SIZES).bytes());
        }
    }
}

/// Puts lines behind some line.
fn insert_line(numbers: &mut Numbers, bytes: &mut Vec<u8>, lines: &[u8]) {
    // Mostly into the first head.
    let mut ends = places(bytes, b"\r\n");
    ends.truncate(numbers.pick(&[2, 2, 2, usize::MAX]));
    if !ends.is_empty() {
        let at = numbers.pick(&ends) + 2;
        bytes.splice(at..at, lines.iter().copied());
    }
}

fn places(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(needle.len()).enumerate();
    windows.filter(|(_, window)| *window == needle).map(|(place, _)| place).collect()
}

/// Cuts bytes into some pieces, now and then into very small ones.
fn segments(numbers: &mut Numbers, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    let most = numbers.pick(&[1, 2, 5, 30]);
    while segments.len() + 1 < most && bytes.len() > 1 {
        let reach = numbers.pick(&[2, 20, bytes.len()]).min(bytes.len());
        let rest = bytes.split_off(1 + numbers.below(reach - 1));
        segments.push(std::mem::replace(&mut bytes, rest));
    }
    segments.push(bytes);
    segments
}
