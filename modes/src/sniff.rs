//! What kind of content some bytes are, for an answer that nobody has named a type for.

/// How many bytes decide (MIME Sniffing Standard, section 5.2, "resource header"; Go looks at
/// 512 as well).
const DECIDING_BYTES: usize = 512;

/// What a row of the table compares.
enum Looks {
    /// An HTML tag with this name in either case, behind white space, then a space or `>`.
    Tag(&'static str),
    /// These bytes behind white space.
    Text(&'static [u8]),
    /// These bytes first.
    Starts(&'static [u8]),
    /// A byte order mark first, in four bytes or more.
    Marked(&'static [u8]),
    /// Each of these at its offset.
    Parts(&'static [(usize, &'static [u8])]),
    /// An ISO base media file with an `mp4` brand.
    Mp4,
}

use Looks::{Marked, Mp4, Parts, Starts, Tag, Text};

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";
const ICON: &str = "image/x-icon";
const RAR: &str = "application/x-rar-compressed";

/// The first row that fits names the type. The sections are those of the MIME Sniffing Standard.
const TABLE: &[(Looks, &str)] = &[
    // 7.1: unknown types.
    (Tag("!DOCTYPE HTML"), HTML),
    (Tag("HTML"), HTML),
    (Tag("HEAD"), HTML),
    (Tag("SCRIPT"), HTML),
    (Tag("IFRAME"), HTML),
    (Tag("H1"), HTML),
    (Tag("DIV"), HTML),
    (Tag("FONT"), HTML),
    (Tag("TABLE"), HTML),
    (Tag("A"), HTML),
    (Tag("STYLE"), HTML),
    (Tag("TITLE"), HTML),
    (Tag("B"), HTML),
    (Tag("BODY"), HTML),
    (Tag("BR"), HTML),
    (Tag("P"), HTML),
    (Tag("!--"), HTML),
    (Text(b"<?xml"), "text/xml; charset=utf-8"),
    (Starts(b"%PDF-"), "application/pdf"),
    (Starts(b"%!PS-Adobe-"), "application/postscript"),
    (Marked(b"\xFE\xFF"), "text/plain; charset=utf-16be"),
    (Marked(b"\xFF\xFE"), "text/plain; charset=utf-16le"),
    (Marked(b"\xEF\xBB\xBF"), PLAIN),
    // 6.1: images.
    (Starts(b"\0\0\x01\0"), ICON),
    (Starts(b"\0\0\x02\0"), ICON),
    (Starts(b"BM"), "image/bmp"),
    (Starts(b"GIF87a"), "image/gif"),
    (Starts(b"GIF89a"), "image/gif"),
    (Parts(&[(0, b"RIFF"), (8, b"WEBPVP")]), "image/webp"),
    (Starts(b"\x89PNG\r\n\x1A\n"), "image/png"),
    (Starts(b"\xFF\xD8\xFF"), "image/jpeg"),
    // 6.2: audio and video.
    (Parts(&[(0, b"FORM"), (8, b"AIFF")]), "audio/aiff"),
    (Starts(b"ID3"), "audio/mpeg"),
    (Starts(b"OggS\0"), "application/ogg"),
    (Starts(b"MThd\0\0\0\x06"), "audio/midi"),
    (Parts(&[(0, b"RIFF"), (8, b"AVI ")]), "video/avi"),
    (Parts(&[(0, b"RIFF"), (8, b"WAVE")]), "audio/wave"),
    (Mp4, "video/mp4"),
    // Any EBML file: Go does not look for the document type, as the standard would.
    (Starts(b"\x1A\x45\xDF\xA3"), "video/webm"),
    // 6.3: fonts.
    (Parts(&[(34, b"LP")]), "application/vnd.ms-fontobject"),
    (Starts(b"\0\x01\0\0"), "font/ttf"),
    (Starts(b"OTTO"), "font/otf"),
    (Starts(b"ttcf"), "font/collection"),
    (Starts(b"wOFF"), "font/woff"),
    (Starts(b"wOF2"), "font/woff2"),
    // 6.4: archives, and WebAssembly, which Go adds.
    (Starts(b"\x1F\x8B\x08"), "application/x-gzip"),
    (Starts(b"PK\x03\x04"), "application/zip"),
    (Starts(b"Rar!\x1A\x07\0"), RAR),
    (Starts(b"Rar!\x1A\x07\x01\0"), RAR),
    (Starts(b"\0asm"), "application/wasm"),
];

/// The Content-Type of a body that begins with these bytes; those behind the first 512 do not
/// count, and no bytes are `text/plain; charset=utf-8`.
///
/// Compatible with Go's `http.DetectContentType`, which functions behind an OpenFaaS-compatible
/// watchdog rely on, and so with the MIME Sniffing Standard (<https://mimesniff.spec.whatwg.org/>,
/// sections 6 and 7.1) where Go follows it. It never fails: what fits no row is text if it holds
/// no control byte that text does not use, else `application/octet-stream`.
#[must_use]
pub(crate) fn content_type(first_bytes: &[u8]) -> &'static str {
    let bytes = &first_bytes[..first_bytes.len().min(DECIDING_BYTES)];
    let behind_space = behind_space(bytes);
    match TABLE.iter().find(|(looks, _)| looks.fit(bytes, behind_space)) {
        Some((_, content_type)) => content_type,
        None if holds_binary(bytes) => BINARY,
        None => PLAIN,
    }
}

impl Looks {
    fn fit(&self, bytes: &[u8], behind_space: &[u8]) -> bool {
        match *self {
            Tag(name) => is_tag(behind_space, name.as_bytes()),
            Text(start) => behind_space.starts_with(start),
            // Most rows are out with their first byte.
            Starts(start) => bytes.first() == start.first() && bytes.starts_with(start),
            // The standard's patterns are four bytes long, of which the mask drops the last.
            Marked(mark) => bytes.starts_with(mark) && bytes.len() >= 4,
            Parts(parts) => parts
                .iter()
                .all(|&(at, part)| bytes.get(at..).is_some_and(|rest| rest.starts_with(part))),
            Mp4 => is_mp4(bytes),
        }
    }
}

fn behind_space(bytes: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ');
    let start = bytes.iter().position(|byte| !space(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn is_tag(bytes: &[u8], name: &[u8]) -> bool {
    bytes.strip_prefix(b"<").and_then(|rest| rest.split_at_checked(name.len())).is_some_and(
        |(found, rest)| {
            found.eq_ignore_ascii_case(name) && matches!(rest.first(), Some(b' ' | b'>'))
        },
    )
}

/// MIME Sniffing Standard, section 6.2.1: the first box is a whole `ftyp` box, and its major brand
/// or one of its compatible brands begins with `mp4`.
fn is_mp4(bytes: &[u8]) -> bool {
    let Some(&[a, b, c, d, b'f', b't', b'y', b'p']) = bytes.first_chunk() else {
        return false;
    };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    let Some(content) = bytes.get(8..size) else {
        return false;
    };
    // The second word of the box is a version, not a brand.
    size.is_multiple_of(4)
        && bytes.len() >= 12
        && content.chunks(4).enumerate().any(|(i, brand)| i != 1 && brand.starts_with(b"mp4"))
}

/// Whether there is a binary data byte. Looks at eight bytes at once for one below 0x20, of which
/// text has few.
fn holds_binary(bytes: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([0x01; 8]);
    let (words, rest) = bytes.as_chunks();
    let holds = |word: &[u8; 8]| {
        let value = u64::from_ne_bytes(*word);
        // The highest bit of the lowest byte below 0x20 is set, and maybe those of bytes above it.
        let is_suspect = value.wrapping_sub(EACH * 0x20) & !value & (EACH * 0x80) != 0;
        is_suspect && word.iter().copied().any(is_binary)
    };
    words.iter().any(holds) || rest.iter().copied().any(is_binary)
}

/// A "binary data byte", MIME Sniffing Standard, section 3.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

#[cfg(test)]
mod tests;
