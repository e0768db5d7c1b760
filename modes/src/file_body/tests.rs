use std::io::Write as _;

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
    let mut body = FileBody::new(file_of(&bytes), 10, 600 * 1024);
    let (mut chunks, mut read) = (Vec::new(), Vec::new());
    while !body.is_end_stream() {
        assert_eq!(body.size_hint().exact(), Some(600 * 1024 - read.len() as u64));
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        chunks.push(data.len() / 1024);
        read.extend_from_slice(&data);
    }
    assert_eq!(chunks, [64, 128, 256, 152]);
    assert_eq!(read, bytes[10..10 + 600 * 1024]);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_empty_range_is_complete_at_once() {
    let body = FileBody::new(file_of(b"abc"), 3, 0);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_file_truncated_meanwhile_ends_in_an_error() {
    let file = Arc::new(file_of(&pattern(200 * 1024)));
    let mut body = FileBody::new(Arc::clone(&file), 0, 200 * 1024);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 64 * 1024);
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
    let body = FileBody::new(file.try_clone().unwrap(), 0, 8);
    file.write_all(b" and more").unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "promised");
}

#[tokio::test]
async fn an_unreadable_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let body = FileBody::new(File::open(directory.path()).unwrap(), 0, 1);
    assert!(matches!(body.collect().await, Err(Error::Io { .. })));
}

#[tokio::test]
async fn an_unfinished_read_is_taken_up_by_the_next_poll() {
    let mut body = FileBody::new(file_of(b"abc"), 0, 3);
    for _ in 0..3 {
        // Cancels the wait, not the read.
        tokio::select! { biased; frame = body.frame() => {
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "abc");
            return;
        }, () = std::future::ready(()) => {} }
        assert_eq!(body.size_hint().exact(), Some(3));
    }
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
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
