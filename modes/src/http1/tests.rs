//! The fuzz target of the reader: whatever arrives, and however it is cut into pieces, the outcome
//! is the same, nothing panics, nothing goes on for ever. And a table of what must be refused.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use proptest::prelude::*;

use super::*;

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

/// Pieces of answers, right and wrong, that meet each other in ways nobody thinks of.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.1 ",
        "200",
        "Content-Length: 3\r\n",
        "Content-Length: 30\r\n",
        "Content-Length: 3, 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close\r\n",
        "Upgrade: x\r\n",
        "X-A: b\r\n",
        "X-A : b\r\n",
        " folded\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "0\r\n\r\n",
        "0\r\n",
        "3\r\nabc\r\n",
        "a\r\n",
        "3;e=x\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "abc",
        ":",
        ";",
        "\0",
        "\u{e9}",
    ]);
    let any = prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(any, 0..14).prop_map(|parts| parts.concat())
}

/// An answer that means something, and a body behind it in any framing.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6);
    (chunks, 0..3_u8, prop::collection::vec("[A-Za-z-]{1,9}: [ -~]{0,20}", 0..4), any::<bool>())
        .prop_map(|(chunks, framing, fields, ends)| {
            let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
            for field in &fields {
                answer.extend_from_slice(format!("X-{field}\r\n").as_bytes());
            }
            let length: usize = chunks.iter().map(Vec::len).sum();
            let end = match framing {
                0 => format!("Content-Length: {length}\r\n\r\n"),
                1 => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
                _ => "\r\n".to_owned(),
            };
            answer.extend_from_slice(end.as_bytes());
            for chunk in &chunks {
                if framing == 1 {
                    chunk_size(&mut answer, chunk.len());
                }
                answer.extend_from_slice(chunk);
                if framing == 1 {
                    answer.extend_from_slice(b"\r\n");
                }
            }
            if framing == 1 && ends {
                answer.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\n");
            }
            answer
        })
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let mut from = 0;
    at.push(bytes.len());
    at.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

/// Errors are found early or late, depending on what is there; everything else is the same.
fn assert_same(bytes: &[u8], cuts: &[prop::sample::Index], to_head: bool) {
    let at_once = read([bytes], to_head);
    for pieces in [cut(bytes, cuts), bytes.chunks(1).collect()] {
        match (&at_once, &read(pieces.iter().copied(), to_head)) {
            (Outcome::Headless(_), Outcome::Headless(_)) => {}
            (Outcome::Torn(one, a, _), Outcome::Torn(other, b, _)) => {
                assert_eq!((one, a), (other, b), "{}", bytes.escape_ascii());
            }
            // What lies behind the message has not been read yet.
            (Outcome::Whole(one, a, at, left), Outcome::Whole(other, b, bt, rest)) => {
                assert_eq!((one, a, at), (other, b, bt), "{}", bytes.escape_ascii());
                assert!(left.starts_with(rest));
            }
            (one, other) => panic!("{}: {one:?} and {other:?}", bytes.escape_ascii()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_fragments_read_the_same_however_they_are_cut(
        bytes in fragments(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        to_head: bool,
    ) {
        assert_same(&bytes, &cuts, to_head);
    }

    #[test]
    fn answers_read_the_same_however_they_are_cut(
        bytes in answers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        assert_same(&bytes, &cuts, false);
    }

    #[test]
    fn any_bytes_are_read_to_some_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read([bytes.as_slice()], false);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_same(&[head, bytes.as_slice()].concat(), &[], false);
    }

    #[test]
    fn damaged_answers_never_gain_bytes(
        bytes in answers(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut damaged = bytes;
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let length = match read([damaged.as_slice()], false) {
            Outcome::Whole(_, body, _, rest) => body.len() + rest.len(),
            Outcome::Torn(_, body, _) => body.len(),
            Outcome::Headless(_) => 0,
        };
        prop_assert!(length < damaged.len());
    }

    /// No piece of a body is ever more than what was read: nothing is set aside for what a size
    /// line promises.
    #[test]
    fn promises_allocate_nothing(size in 1_u64.., body in prop::collection::vec(any::<u8>(), 0..99)) {
        let mut buffer = BytesMut::from(format!("{size:x}\r\n").as_bytes());
        buffer.put_slice(&body);
        let before = buffer.capacity();
        let mut decoder = Decoder::new(Framing::Chunked);
        let first = decoder.decode(&mut buffer);
        prop_assert!(buffer.capacity() <= before);
        if let Ok(Piece::Data(data)) = first {
            let promised = usize::try_from(size).unwrap_or(usize::MAX);
            prop_assert_eq!(data, Bytes::copy_from_slice(&body[..promised.min(body.len())]));
        }
    }
}
