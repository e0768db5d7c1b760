use std::io::Write as _;

use bytes::Buf as _;
use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::*;

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_range_is_read_in_growing_chunks_with_an_exact_size() {
    let bytes = pattern(700 * 1024);
    let mut body = FileBody::new(file_of(&bytes), 10, 600 * 1024, Transfer::Copy);
    let (mut chunks, mut read) = (Vec::new(), Vec::new());
    while !body.is_end_stream() {
        assert_eq!(body.size_hint().exact(), Some(600 * 1024 - read.len() as u64));
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let data = data.into_bytes().unwrap();
        chunks.push(data.len() / 1024);
        read.extend_from_slice(&data);
    }
    assert_eq!(chunks, [64, 128, 256, 152]);
    assert_eq!(read, bytes[10..10 + 600 * 1024]);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_empty_range_is_complete_at_once() {
    let body = FileBody::new(file_of(b"abc"), 3, 0, Transfer::Copy);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_file_truncated_meanwhile_ends_in_an_error() {
    let file = Arc::new(file_of(&pattern(200 * 1024)));
    let mut body = FileBody::new(Arc::clone(&file), 0, 200 * 1024, Transfer::Copy);
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.remaining(), 64 * 1024);
    file.set_len(100 * 1024).unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. }
            if source.kind() == io::ErrorKind::UnexpectedEof),
        "{error}"
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn bytes_appended_meanwhile_are_not_sent() {
    let mut file = file_of(b"promised");
    let body = FileBody::new(file.try_clone().unwrap(), 0, 8, Transfer::Copy);
    file.write_all(b" and more").unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "promised");
}

#[tokio::test]
async fn an_unreadable_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let body = FileBody::new(File::open(directory.path()).unwrap(), 0, 1, Transfer::Copy);
    assert!(matches!(body.collect().await, Err(Error::Io { .. })));
}

#[tokio::test]
async fn an_unfinished_read_is_taken_up_by_the_next_poll() {
    let mut body = FileBody::new(file_of(b"abc"), 0, 3, Transfer::Copy);
    for _ in 0..3 {
        // Cancels the wait, not the read.
        tokio::select! { biased; frame = body.frame() => {
            let data = frame.unwrap().unwrap().into_data().unwrap();
            assert_eq!(data.into_bytes().unwrap(), "abc");
            return;
        }, () = std::future::ready(()) => {} }
        assert_eq!(body.size_hint().exact(), Some(3));
    }
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
}

#[tokio::test]
async fn a_large_file_is_handed_out_in_ranges_with_an_exact_size() {
    let bytes = pattern(3 * LONGEST);
    let length = 2 * LONGEST + 5;
    let mut body = FileBody::new(file_of(&bytes), 10, length as u64, Transfer::Kernel);
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(matches!(data, Data::Range(_)), "{data:?}");
        read.extend_from_slice(&data.into_bytes().unwrap());
        assert_eq!(body.size_hint().exact(), Some((length - read.len()) as u64));
    }
    assert!(read == bytes[10..10 + length]);
    let mut small = FileBody::new(file_of(&bytes), 10, SMALL as u64 - 1, Transfer::Kernel);
    let data = small.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(matches!(data, Data::Bytes(_)), "{data:?}");
}

#[tokio::test]
async fn ranges_are_bytes_for_who_cannot_send_them() {
    let bytes = pattern(2 * LONGEST);
    let file = Arc::new(file_of(&bytes));
    let body = |length| {
        let file = Arc::clone(&file);
        crate::Body::ranges(FileBody::new(file, 0, length, Transfer::Kernel))
    };
    let length = bytes.len() as u64;
    assert!(body(length).collect().await.unwrap().to_bytes() == bytes);
    let prefixed = crate::Body::prefixed("x", body(length)).collect().await.unwrap();
    assert_eq!(prefixed.to_bytes().len(), bytes.len() + 1);
    assert!(matches!(body(length + 1).collect().await, Err(Error::Io { .. })), "cut short");
}

#[test]
fn every_range_is_looked_at_often_enough_and_to_its_end() {
    for (offset, length) in [(0, 1), (5, 2), (7, READ_AHEAD), (7, READ_AHEAD + 1), (1, LONGEST)] {
        let probes: Vec<u64> = probes(offset, length).collect();
        assert_eq!(probes[0], offset);
        assert_eq!(*probes.last().unwrap(), offset + length as u64 - 1);
        assert!(probes.windows(2).all(|pair| pair[1] - pair[0] <= READ_AHEAD as u64));
    }
}

proptest! {
    #[test]
    fn any_range_inside_a_file_is_that_range(
        length in 0usize..5000, from in 0usize..5000, to in 0usize..5000,
    ) {
        let bytes = pattern(length);
        let (from, to) = (from.min(to).min(length), from.max(to).min(length));
        let read = read_exact_at(&file_of(&bytes), from as u64, to - from).unwrap();
        prop_assert_eq!(&read[..], &bytes[from..to]);
    }
}
