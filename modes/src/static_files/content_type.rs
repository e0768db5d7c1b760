//! The Content-Type that a file's name stands for.

/// What a name says nothing about.
const UNKNOWN: &str = "application/octet-stream";

/// Longer than any extension below.
const LONGEST: usize = 12;

/// The type that the extension of `name` is registered for (IANA media types), in either case.
///
/// Text, JavaScript and JSON are said to be UTF-8, as Go's file server has it for text. XML that
/// is not `text/xml` names its encoding itself, which a parameter would overrule (RFC 7303
/// section 3.2).
pub(super) fn of(name: &[u8]) -> &'static str {
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let Some(dot) = last.iter().rposition(|&byte| byte == b'.') else {
        return UNKNOWN;
    };
    let extension = &last[dot + 1..];
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..extension.len()) else {
        return UNKNOWN;
    };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    registered(lower).unwrap_or(UNKNOWN)
}

/// What sites are made of. A crate with every registered type costs 200 kB of a 4 MB program,
/// nearly all of it for names that no site serves.
fn registered(extension: &[u8]) -> Option<&'static str> {
    Some(match extension {
        // Pages and what they are built from.
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" | b"cjs" => "text/javascript; charset=utf-8",
        b"json" | b"map" => "application/json; charset=utf-8",
        b"webmanifest" => "application/manifest+json; charset=utf-8",
        b"jsonld" => "application/ld+json; charset=utf-8",
        b"geojson" => "application/geo+json; charset=utf-8",
        b"ndjson" | b"jsonl" => "application/x-ndjson; charset=utf-8",
        b"wasm" => "application/wasm",
        b"xhtml" | b"xht" => "application/xhtml+xml",
        b"xml" | b"xsl" | b"xsd" => "text/xml; charset=utf-8",
        b"xslt" => "application/xslt+xml",
        b"rss" => "application/rss+xml",
        b"atom" => "application/atom+xml",
        b"mathml" => "application/mathml+xml",
        b"appcache" | b"manifest" => "text/cache-manifest; charset=utf-8",
        b"htc" => "text/x-component; charset=utf-8",
        b"vtt" => "text/vtt; charset=utf-8",

        // Text.
        b"txt" | b"text" | b"log" | b"conf" | b"ini" => "text/plain; charset=utf-8",
        b"md" | b"markdown" => "text/markdown; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"tsv" => "text/tab-separated-values; charset=utf-8",
        b"ics" => "text/calendar; charset=utf-8",
        b"vcf" | b"vcard" => "text/vcard; charset=utf-8",
        b"rtf" => "application/rtf",
        b"yaml" | b"yml" => "application/yaml",
        b"toml" => "application/toml",
        b"sql" => "application/sql",
        b"sh" => "application/x-sh",

        // Images.
        b"png" => "image/png",
        b"jpg" | b"jpeg" | b"jpe" | b"jfif" => "image/jpeg",
        b"gif" => "image/gif",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"heic" => "image/heic",
        b"heif" => "image/heif",
        b"jxl" => "image/jxl",
        b"svg" | b"svgz" => "image/svg+xml",
        b"ico" | b"cur" => "image/x-icon",
        b"bmp" => "image/bmp",
        b"apng" => "image/apng",
        b"tif" | b"tiff" => "image/tiff",

        // Sound and film.
        b"mp3" => "audio/mpeg",
        b"m4a" => "audio/mp4",
        b"aac" => "audio/aac",
        b"oga" | b"ogg" | b"opus" => "audio/ogg",
        b"flac" => "audio/flac",
        b"wav" => "audio/wav",
        b"weba" => "audio/webm",
        b"mid" | b"midi" => "audio/midi",
        b"mp4" | b"m4v" | b"mp4v" => "video/mp4",
        b"webm" => "video/webm",
        b"ogv" => "video/ogg",
        b"mov" | b"qt" => "video/quicktime",
        b"mpeg" | b"mpg" => "video/mpeg",
        b"mkv" => "video/matroska",
        b"avi" => "video/x-msvideo",
        b"3gp" => "video/3gpp",
        b"ts" | b"m2ts" => "video/mp2t",
        b"m3u8" => "application/vnd.apple.mpegurl",
        b"mpd" => "application/dash+xml",

        // Fonts.
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"ttf" => "font/ttf",
        b"otf" => "font/otf",
        b"ttc" => "font/collection",
        b"eot" => "application/vnd.ms-fontobject",

        // Documents.
        b"pdf" => "application/pdf",
        b"epub" => "application/epub+zip",
        b"doc" => "application/msword",
        b"xls" => "application/vnd.ms-excel",
        b"ppt" => "application/vnd.ms-powerpoint",
        b"docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        b"pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        b"odt" => "application/vnd.oasis.opendocument.text",
        b"ods" => "application/vnd.oasis.opendocument.spreadsheet",
        b"odp" => "application/vnd.oasis.opendocument.presentation",

        // Archives and programs.
        b"zip" => "application/zip",
        b"gz" | b"tgz" => "application/gzip",
        b"bz2" => "application/x-bzip2",
        b"xz" => "application/x-xz",
        b"zst" => "application/zstd",
        b"br" => "application/x-brotli",
        b"7z" => "application/x-7z-compressed",
        b"rar" => "application/vnd.rar",
        b"tar" => "application/x-tar",
        b"jar" => "application/java-archive",
        b"apk" => "application/vnd.android.package-archive",
        b"deb" => "application/vnd.debian.binary-package",
        b"rpm" => "application/x-rpm",
        b"iso" => "application/x-iso9660-image",
        _ => return None,
    })
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
            ("app.mjs", "text/javascript; charset=utf-8"),
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
            ("page.longer-than-any-extension", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(of(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(of(b"\xFF.html"), "text/html; charset=utf-8");
        assert_eq!(of(b"x.\xFF"), UNKNOWN);
    }
}
