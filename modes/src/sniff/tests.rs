use proptest::prelude::*;

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn first_bytes_name_the_type() {
    let font_object = [&[7; 34][..], b"LP", &[0; 20]].concat();
    let late_control = [&[b'x'; 512][..], b"\0"].concat();
    let control_at_the_end = [&[b'x'; 511][..], b"\0"].concat();
    let late_tag = [&[b' '; 512][..], b"<html>"].concat();
    let tag_cut_at_512 = [&[b' '; 507][..], b"<html>"].concat();
    let tag_ends_at_512 = [&[b' '; 506][..], b"<html>"].concat();
    let table: &[(&[u8], &str)] = &[
        // Text or not.
        (b"", PLAIN),
        (b" ", PLAIN),
        (b"OLLEH", PLAIN),
        (b"OLLEH\n\r\t\x0C\x1B[0m", PLAIN),
        ("grüße".as_bytes(), PLAIN),
        (b"{\"a\": 1}", PLAIN),
        (b"\xE9\x80\xFF", PLAIN),
        (b"\x01\x02\x03", BINARY),
        (b"text\0", BINARY),
        (b"text\x0B", BINARY),
        (b"text\x0E", BINARY),
        (b"text\x1A", BINARY),
        (b"text\x1C", BINARY),
        (b"text\x1F", BINARY),
        (b"text\x7F", PLAIN),
        (&late_control, PLAIN),
        (&control_at_the_end, BINARY),
        // HTML.
        (b"<html>", HTML),
        (b"<HtMl>", HTML),
        (b"\t\n\x0C\r <html lang=en>", HTML),
        (b"<!doctype html>", HTML),
        (b"<!DOCTYPE HTML PUBLIC>", HTML),
        (b"<!DOCTYPE svg>", PLAIN),
        (b"<html", PLAIN),
        (b"<html\n>", PLAIN),
        (b"<htmlx>", PLAIN),
        (b"x<html>", PLAIN),
        (b"<head>", HTML),
        (b"<script src=x>", HTML),
        (b"<iframe >", HTML),
        (b"<h1>", HTML),
        (b"<h2>", PLAIN),
        (b"<div>", HTML),
        (b"<font >", HTML),
        (b"<table>", HTML),
        (b"<a href=x>", HTML),
        (b"<abbr>", PLAIN),
        (b"<style>", HTML),
        (b"<title>", HTML),
        (b"<b>", HTML),
        (b"<body>", HTML),
        (b"<br>", HTML),
        (b"<br/>", PLAIN),
        (b"<p>", HTML),
        (b"<!-- note -->", HTML),
        (b"<!--note-->", PLAIN),
        (b"<", PLAIN),
        (&late_tag, PLAIN),
        (&tag_cut_at_512, PLAIN),
        (&tag_ends_at_512, HTML),
        // Other text.
        (b"<?xml version=\"1.0\"?>", "text/xml; charset=utf-8"),
        (b" \n<?xml", "text/xml; charset=utf-8"),
        (b"<?XML", PLAIN),
        (b"%PDF-1.7\0", "application/pdf"),
        (b" %PDF-1.7", PLAIN),
        (b"%!PS-Adobe-3.0", "application/postscript"),
        (b"\xFE\xFF\0a", "text/plain; charset=utf-16be"),
        (b"\xFF\xFEa\0", "text/plain; charset=utf-16le"),
        (b"\xFF\xFEa", PLAIN),
        (b"\xFF\xFE\0", BINARY),
        (b"\xEF\xBB\xBF\0", PLAIN),
        (b"\xEF\xBB\xBF", PLAIN),
        (b"\xEF\xBB\xBF<html>", PLAIN),
        // Images.
        (b"\0\0\x01\0", "image/x-icon"),
        (b"\0\0\x02\0", "image/x-icon"),
        (b"\0\0\x03\0", BINARY),
        (b"BM", "image/bmp"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a\x01", "image/gif"),
        (b"GIF88a", PLAIN),
        (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "image/webp"),
        (b"RIFF\x01\x02\x03\x04WEBP", BINARY),
        (b"\x89PNG\r\n\x1A\n\0", "image/png"),
        (b"\x89PNG\r\n\x1A", BINARY),
        (b"\xFF\xD8\xFF\xE0", "image/jpeg"),
        // Audio and video.
        (b"FORM\x01\x02\x03\x04AIFFCOMM", "audio/aiff"),
        (b"FORM\x01\x02\x03\x04ILBM", BINARY),
        (b"ID3\x03\0", "audio/mpeg"),
        (b"OggS\0\x02", "application/ogg"),
        (b"OggS", PLAIN),
        (b"MThd\0\0\0\x06\0\x01", "audio/midi"),
        (b"RIFF\x01\x02\x03\x04AVI LIST", "video/avi"),
        (b"RIFF\x01\x02\x03\x04WAVEfmt ", "audio/wave"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "video/mp4"),
        (b"\0\0\0\x14ftypisommp42isom", BINARY),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42", BINARY),
        (b"\0\0\0\x0Cftypmp42", "video/mp4"),
        (b"\0\0\0\x0Dftypmp42\0", BINARY),
        (b"\0\0\0\x08ftypmp42", BINARY),
        (b"\0\0\0\x00ftypmp42", BINARY),
        (b"\xFF\xFF\xFF\xFCftypmp42", PLAIN),
        (b"\x1A\x45\xDF\xA3\x01", "video/webm"),
        // Fonts.
        (&font_object, "application/vnd.ms-fontobject"),
        (&font_object[..35], BINARY),
        (b"\0\x01\0\0\0\x0E", "font/ttf"),
        (b"OTTO\0", "font/otf"),
        (b"ttcf\0", "font/collection"),
        (b"wOFF\0", "font/woff"),
        (b"wOF2\0", "font/woff2"),
        // Archives.
        (b"\x1F\x8B\x08\0", "application/x-gzip"),
        (b"\x1F\x8B\x07\0", BINARY),
        (b"PK\x03\x04", "application/zip"),
        (b"PK\x05\x06", BINARY),
        (b"Rar!\x1A\x07\0", RAR),
        (b"Rar!\x1A\x07\x01\0", RAR),
        (b"Rar!\x1A\x07\x02\0", BINARY),
        (b"\0asm\x01\0\0\0", "application/wasm"),
        (b"\x7FELF\x02\x01", BINARY),
    ];
    for (bytes, expected) in table {
        assert_eq!(content_type(bytes), *expected, "{:?}", bytes.escape_ascii().to_string());
    }
}

proptest! {
    #[test]
    fn bytes_behind_the_first_512_do_not_count(
        bytes in proptest::collection::vec(any::<u8>(), 512..700),
    ) {
        prop_assert_eq!(content_type(&bytes), content_type(&bytes[..512]));
    }

    #[test]
    fn binary_bytes_are_found_wherever_they_are(
        text in "[ -\u{ff}\t\r\n\u{c}\u{1b}]{0,40}", byte in any::<u8>(), place in 0usize..40,
    ) {
        let mut bytes = text.into_bytes();
        bytes.insert(place.min(bytes.len()), byte);
        prop_assert_eq!(holds_binary(&bytes), bytes.iter().copied().any(is_binary));
    }

    #[test]
    fn letters_are_plain_text(text in "[a-z ]*") {
        prop_assert_eq!(content_type(text.as_bytes()), PLAIN);
    }
}
