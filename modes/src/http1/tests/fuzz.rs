//! The fuzz target of the reader: whatever arrives, and however it is cut into pieces, the outcome
//! is the same, nothing panics, nothing goes on for ever, nothing is set aside for what may come.

use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;

use super::{Outcome, read};
use crate::http1::*;

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

/// `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(4096), ..asked }
}

proptest! {
    #![proptest_config(config())]

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
