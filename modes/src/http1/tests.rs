//! Tables of what is read, where it ends, and what must be refused.

use bytes::{BufMut as _, BytesMut};
use http::HeaderMap;

use super::*;

mod fuzz;

/// What one answer comes to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Head, body, trailer fields, and the bytes behind the message.
    Whole(Box<Head>, Vec<u8>, Option<HeaderMap>, Vec<u8>),
    /// A head, the body's bytes so far, and why there are no more.
    Torn(Box<Head>, Vec<u8>, Broken),
    /// No head.
    Headless(Option<Broken>),
}

/// Reads an answer of which these pieces arrive before the connection ends, as a client does.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, to_head: bool) -> Outcome {
    let mut pieces = pieces.into_iter();
    let mut buffer = BytesMut::new();
    let mut more = |buffer: &mut BytesMut| {
        let piece = pieces.next();
        buffer.put_slice(piece.unwrap_or_default());
        piece.is_some()
    };
    let head = loop {
        match Head::parse(&mut buffer, to_head) {
            Ok(Some(head)) => break Box::new(head),
            Ok(None) if more(&mut buffer) => {}
            Ok(None) => return Outcome::Headless(None),
            Err(broken) => return Outcome::Headless(Some(broken)),
        }
    };
    let (mut decoder, mut body) = (Decoder::new(head.framing), Vec::new());
    loop {
        let raw = decoder.raw();
        match decoder.decode(&mut buffer) {
            Ok(Piece::Data(data)) => {
                assert!(!data.is_empty(), "progress");
                body.extend_from_slice(&data);
            }
            Ok(Piece::Trailers(trailers)) => {
                assert!(decoder.is_done());
                return Outcome::Whole(head, body, Some(trailers), buffer.to_vec());
            }
            Ok(Piece::End) => {
                assert!(decoder.is_done());
                return Outcome::Whole(head, body, None, buffer.to_vec());
            }
            Ok(Piece::Starved) => {
                assert!(raw == 0 || buffer.is_empty(), "bytes of the body were left");
                if !more(&mut buffer)
                    && let Err(broken) = decoder.finish()
                {
                    return Outcome::Torn(head, body, broken);
                }
            }
            Err(broken) => return Outcome::Torn(head, body, broken),
        }
    }
}

fn whole(answer: &str) -> Outcome {
    read([answer.as_bytes()], false)
}

#[test]
fn hostile_heads_are_refused() {
    let bare = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n");
    for answer in [
        "\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "\nHTTP/1.1 200 OK\r\n\r\n".into(),
        " HTTP/1.1 200 OK\r\n\r\n".into(),
        "xHTTP/1.1 200 OK\r\n\r\n".into(),
        "HTTP/1.1 200 OKHTTP/1.1 200\r\r\n\r\n".into(),
        "HTTP/0.9 200 OK\r\n\r\n".into(),
        "HTTP/1.2 200 OK\r\n\r\n".into(),
        "HTTP/2 200 OK\r\n\r\n".into(),
        "http/1.1 200 OK\r\n\r\n".into(),
        "HTTP/1.1 099 Low\r\n\r\n".into(),
        "HTTP/1.1 20 Short\r\n\r\n".into(),
        "HTTP/1.1 2000 Long\r\n\r\n".into(),
        "HTTP/1.1  200 OK\r\n\r\n".into(),
        "HTTP/1.1 200 O\0K\r\n\r\n".into(),
        bare("no colon\r\n"),
        bare(": no name\r\n"),
        bare("Space : before\r\n"),
        bare("A: b\r\n folded\r\n"),
        bare(" A: first\r\n"),
        bare("A: nu\0l\r\n"),
        bare("A: return\rinside\r\n"),
        bare("A\u{e9}: b\r\n"),
        bare("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        bare("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        bare("Content-Length: 5\r\nContent-Length: 6\r\n"),
        bare("Content-Length: 5, 6\r\n"),
        bare("Content-Length: 5,\r\n"),
        bare("Content-Length:\r\n"),
        bare("Content-Length: +5\r\n"),
        bare("Content-Length: -5\r\n"),
        bare("Content-Length: 0x5\r\n"),
        bare("Content-Length: 5 5\r\n"),
        bare("Content-Length: 18446744073709551616\r\n"),
        bare("Transfer-Encoding: gzip\r\n"),
        bare("Transfer-Encoding: gzip, chunked\r\n"),
        bare("Transfer-Encoding: chunked, gzip\r\n"),
        bare("Transfer-Encoding: chunked, chunked\r\n"),
        bare("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        bare("Transfer-Encoding: xchunked\r\n"),
        bare("Transfer-Encoding: identity\r\n"),
        bare("Transfer-Encoding:\r\n"),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
    ] {
        assert!(matches!(whole(&answer), Outcome::Headless(Some(_))), "{answer:?}");
    }
}

#[test]
fn heads_have_a_bound() {
    let fields = |count: usize| "A: b\r\n".repeat(count);
    let answer = |head: String| format!("HTTP/1.1 204 No Content\r\n{head}\r\n");
    assert!(matches!(whole(&answer(fields(MOST_HEAD_FIELDS))), Outcome::Whole(..)));
    let many = answer(fields(MOST_HEAD_FIELDS + 1));
    assert_eq!(whole(&many), Outcome::Headless(Some(Broken::TooLarge)));
    let large = |size: usize| answer(format!("A: {}\r\n", "x".repeat(size)));
    assert!(matches!(whole(&large(MOST_HEAD_BYTES - 100)), Outcome::Whole(..)));
    assert_eq!(whole(&large(MOST_HEAD_BYTES)), Outcome::Headless(Some(Broken::TooLarge)));
    // One that never ends is noticed on the way.
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MOST_HEAD_BYTES));
    assert_eq!(whole(&endless), Outcome::Headless(Some(Broken::TooLarge)));
}

#[test]
fn hostile_chunks_are_refused() {
    for (body, before) in [
        ("\r\n", ""),
        ("g\r\n", ""),
        ("-1\r\n", ""),
        ("+1\r\na\r\n0\r\n\r\n", ""),
        ("0x1\r\na\r\n0\r\n\r\n", ""),
        (" 1\r\na\r\n0\r\n\r\n", ""),
        ("1\na\r\n0\r\n\r\n", ""),
        ("1\r\na\n0\r\n\r\n", "a"),
        ("1\rx\na\r\n0\r\n\r\n", ""),
        ("1;x=\ny\r\na\r\n0\r\n\r\n", ""),
        ("1 2\r\na\r\n0\r\n\r\n", ""),
        ("1\r\nab\r\n0\r\n\r\n", "a"),
        ("1\r\na0\r\n\r\n", "a"),
        ("10000000000000000\r\n", ""),
        ("00000000000000001\r\na\r\n0\r\n\r\n", ""),
        ("1\r\na\r\n0\r\nX : y\r\n\r\n", "a"),
        ("1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n", "a"),
        ("1\r\na\r\n0\r\nno colon\r\n\r\n", "a"),
        // And what is merely missing.
        ("", ""),
        ("1", ""),
        ("1\r\n", ""),
        ("5\r\nabc", "abc"),
        ("1\r\na", "a"),
        ("1\r\na\r\n", "a"),
        ("1\r\na\r\n0\r\n", "a"),
        ("1\r\na\r\n0\r\nX: y\r\n", "a"),
        ("ffffffffffffffff\r\nabc", "abc"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let outcome = whole(&answer);
        assert!(
            matches!(&outcome, Outcome::Torn(_, got, _) if got == before.as_bytes()),
            "{body:?}: {outcome:?}"
        );
    }
    let line = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let trailers = format!("0\r\nA: {}\r\n\r\n", "x".repeat(17_000));
    let fields = format!("0\r\n{}\r\n", "A: b\r\n".repeat(65));
    for body in [&line, &line[..4500], &trailers, &trailers[..16_500], &fields] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        // With or without its end: it is never waited for.
        let Outcome::Torn(_, _, broken) = whole(&answer) else { panic!("{:?}", &body[..20]) };
        assert!(broken != Broken::Cut || body.ends_with("\r\n\r\n"), "{broken}");
    }
}

#[track_caller]
fn assert_reads(answer: &str, to_head: bool, body: &str, rest: &str) -> Head {
    match read([answer.as_bytes()], to_head) {
        Outcome::Whole(head, got, _, left) => {
            assert_eq!((got.as_slice(), left.as_slice()), (body.as_bytes(), rest.as_bytes()));
            *head
        }
        other => panic!("{answer:?}: {other:?}"),
    }
}

#[test]
fn bodies_end_where_the_standard_has_it() {
    for (head, to_head, body, rest) in [
        ("200 OK\r\nContent-Length: 2\r\n", false, "ab", "cd"),
        ("200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n", false, "ab", "cd"),
        ("200 OK\r\nContent-Length: 0\r\n", false, "", "abcd"),
        ("200 OK\r\n", false, "abcd", ""),
        ("200 OK\r\nContent-Length: 2\r\n", true, "", "abcd"),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", true, "", "abcd"),
        ("204 No Content\r\nContent-Length: 2\r\n", false, "", "abcd"),
        ("304 Not Modified\r\nContent-Length: 2\r\n", false, "", "abcd"),
        ("304 Not Modified\r\nTransfer-Encoding: chunked\r\n", false, "", "abcd"),
        ("103 Early Hints\r\nContent-Length: 2\r\n", false, "", "abcd"),
        ("101 Switching Protocols\r\nUpgrade: x\r\n", false, "", "abcd"),
    ] {
        assert_reads(&format!("HTTP/1.1 {head}\r\nabcd"), to_head, body, rest);
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for body in [
        "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        "3;a=\"b\"\r\nabc\r\n000\r\n\r\n",
        "3 \t\r\nabc\r\n0 ;x\r\n\r\n",
    ] {
        let head = assert_reads(&format!("{chunked}{body}next"), false, "abc", "next");
        assert!(head.headers.is_empty() && head.persistent);
    }
    // Bare line feeds in a head are untidy, but have one meaning.
    assert_reads("HTTP/1.1 200 OK\nContent-Length: 2\n\nab", false, "ab", "");
}

#[test]
fn lengths_are_said_once() {
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\n";
    let head = assert_reads(&format!("{twice}ab"), false, "ab", "");
    let lengths: Vec<_> = head.headers.get_all("content-length").iter().collect();
    assert_eq!(lengths, ["2"]);
}

#[test]
fn connections_persist_as_both_versions_have_it() {
    for (answer, persistent) in [
        ("HTTP/1.1 204 x\r\n", true),
        ("HTTP/1.1 204 x\r\nConnection: Close\r\n", false),
        ("HTTP/1.1 204 x\r\nConnection: x, close\r\nConnection: keep-alive\r\n", false),
        ("HTTP/1.0 204 x\r\n", false),
        ("HTTP/1.0 204 x\r\nConnection: Keep-Alive\r\n", true),
        ("HTTP/1.1 200 x\r\n", false),
        ("HTTP/1.0 200 x\r\nConnection: keep-alive\r\n", false),
    ] {
        let head = assert_reads(&format!("{answer}\r\n"), false, "", "");
        assert_eq!(head.persistent, persistent, "{answer:?}");
    }
}

#[test]
fn what_belongs_to_the_connection_is_not_among_the_fields() {
    let head = assert_reads(
        "HTTP/1.1 204 Odd\r\nConnection: X-Hop, upgrade, host, content-length\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept: yes\r\n\r\n",
        false,
        "",
        "",
    );
    assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["x-kept"]);
    assert_eq!(head.upgrade.as_ref().map(http::HeaderValue::as_bytes), Some(&b"h2c"[..]));
    assert_eq!(head.reason.as_deref(), Some(&b"Odd"[..]));
}

#[test]
fn trailers_arrive_but_cannot_frame() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\
                  X-Sum: 1\r\nContent-Length: 7\r\nHost: x\r\n\r\nnext";
    let Outcome::Whole(_, body, Some(trailers), rest) = whole(answer) else { panic!() };
    assert_eq!((body.as_slice(), rest.as_slice()), (&b"a"[..], &b"next"[..]));
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
}

#[test]
fn fields_share_the_memory_of_the_buffer() {
    let mut buffer = BytesMut::from(&b"HTTP/1.1 200 OK\r\nA: some value\r\n\r\nrest"[..]);
    let memory = buffer.as_ptr_range();
    let head = Head::parse(&mut buffer, false).unwrap().unwrap();
    assert!(memory.contains(&head.headers["a"].as_bytes().as_ptr()));
    assert_eq!(buffer, "rest");
}

#[test]
fn chunk_sizes_are_hexadecimal() {
    for size in [0, 1, 15, 16, 255, 256, 0xabc_def, usize::MAX] {
        let mut line = Vec::new();
        chunk_size(&mut line, size);
        assert_eq!(String::from_utf8(line).unwrap(), format!("{size:x}\r\n"));
    }
}
