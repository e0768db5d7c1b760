//! The Content-Type that a file's name stands for.

use std::borrow::Cow;

/// What a name says nothing about.
const UNKNOWN: &str = "application/octet-stream";

/// The type that the extension of `name` is registered for, in either case.
///
/// Text, JavaScript and JSON are said to be UTF-8, as Go's file server has it for text. XML that
/// is not `text/xml` names its encoding itself, which a parameter would overrule (RFC 7303
/// section 3.2).
pub(super) fn of(name: &[u8]) -> Cow<'static, str> {
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = last.iter().rposition(|&byte| byte == b'.').map(|dot| &last[dot + 1..]);
    let known = extension
        .and_then(|extension| std::str::from_utf8(extension).ok())
        .and_then(|extension| mime_guess::from_ext(extension).first_raw());
    match known {
        None => UNKNOWN.into(),
        Some(known) if is_text(known) => format!("{known}; charset=utf-8").into(),
        Some(known) => known.into(),
    }
}

fn is_text(known: &str) -> bool {
    known.starts_with("text/")
        || matches!(known, "application/javascript" | "application/json")
        || known.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_types() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/INDEX.HTM", "text/html; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("README.txt", "text/plain; charset=utf-8"),
            ("app.min.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "application/javascript; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("app.webmanifest", "application/manifest+json; charset=utf-8"),
            ("feed.xml", "text/xml; charset=utf-8"),
            ("logo.svg", "image/svg+xml"),
            ("logo.png", "image/png"),
            ("app.wasm", "application/wasm"),
            ("font.woff2", "font/woff2"),
            ("archive.tar.gz", "application/gzip"),
            ("unknown.kennel", UNKNOWN),
            ("LICENSE", UNKNOWN),
            ("html", UNKNOWN),
            ("a.html/LICENSE", UNKNOWN),
            ("dot.", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(of(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(of(b"\xFF.html"), "text/html; charset=utf-8");
        assert_eq!(of(b"x.\xFF"), UNKNOWN);
    }
}
