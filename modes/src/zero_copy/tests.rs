use std::{
    fs::File,
    future::poll_fn,
    io::{self, IoSlice, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use proptest::prelude::*;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream, unix::pipe},
};

use super::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn file_of(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, theirs)
}

/// Sends all of `buffers` as hyper does.
async fn send(socket: &TcpStream, mut buffers: Vec<Data>) -> Result<(), Failure> {
    while !buffers.is_empty() {
        let mut slices = vec![IoSlice::new(&[]); buffers.len()];
        for (buffer, slice) in buffers.iter().zip(&mut slices) {
            assert_eq!(buffer.chunks_vectored(std::slice::from_mut(slice)), 1);
        }
        let mut sent = poll_fn(|cx| poll_send(socket, cx, &slices)).await?;
        while sent > 0 {
            let first = &mut buffers[0];
            let part = sent.min(first.remaining());
            first.advance(part);
            sent -= part;
            if !first.has_remaining() {
                buffers.remove(0);
            }
        }
    }
    Ok(())
}

fn range(file: &Arc<File>, start: u64, length: usize) -> Data {
    Range::of_file(Arc::clone(file), start, length).unwrap().into()
}

#[tokio::test]
async fn bytes_and_ranges_arrive_in_order() {
    let content = pattern(3 << 20);
    let file = file_of(&content);
    let (ours, mut theirs) = sockets().await;
    let parts = vec![
        Bytes::from_static(b"head").into(),
        range(&file, 5, LONGEST),
        Bytes::from_static(b"between").into(),
        range(&file, 0, 1),
        range(&file, 9, LONGEST),
        Bytes::from_static(b"end").into(),
    ];
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.unwrap();
        all
    });
    send(&ours, parts).await.unwrap();
    drop(ours);
    let expected = [
        b"head",
        &content[5..5 + LONGEST],
        b"between",
        &content[..1],
        &content[9..9 + LONGEST],
        b"end",
    ];
    assert!(reading.await.unwrap() == expected.concat());
}

#[tokio::test]
async fn file_that_was_cut_short_is_the_sources_failure_after_what_there_is() {
    let file = file_of(&pattern(100_000));
    let (ours, mut theirs) = sockets().await;
    let error = send(&ours, vec![range(&file, 90_000, 20_000)]).await.unwrap_err();
    assert!(matches!(error, Failure::Source { .. }), "{error}");
    assert!(error.to_string().starts_with("sending the file behind a response"), "{error}");
    drop(ours);
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 10_000);
}

#[tokio::test]
async fn client_that_left_is_the_sockets_failure() {
    let file = file_of(&pattern(LONGEST));
    let (ours, theirs) = sockets().await;
    drop(theirs);
    loop {
        match send(&ours, vec![range(&file, 0, LONGEST)]).await {
            // The first bytes may be on their way before it is known.
            Ok(()) => {}
            Err(Failure::Socket(_)) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn pipe_that_somebody_else_empties_is_the_sources_failure_and_no_full_socket() {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&pattern(40_000)).unwrap();
    let pipe = Arc::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap());
    let piece = next_range(&pipe).await;
    assert_eq!(piece.remaining(), 40_000);
    let mut stolen = vec![0; 30_000];
    pipe.try_read(&mut stolen).unwrap();
    let (ours, _theirs) = sockets().await;
    let error = send(&ours, vec![piece]).await.unwrap_err();
    assert!(matches!(error, Failure::Source { .. }), "{error}");
    drop(writer);
}

#[tokio::test]
async fn end_of_what_there_is_does_not_wait_for_more() {
    // The kernel would hold a promised rest back for 200 ms each time (tcp(7), `TCP_CORK`).
    const ROUNDS: u32 = 20;
    let (reader, mut writer) = io::pipe().unwrap();
    let pipe = Arc::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap());
    let (ours, mut theirs) = sockets().await;
    let file = file_of(&pattern(20_000));
    let started = Instant::now();
    for round in 0..ROUNDS {
        writer.write_all(&pattern(20_000)).unwrap();
        let last = if round % 2 == 0 { next_range(&pipe).await } else { range(&file, 0, 20_000) };
        send(&ours, vec![Bytes::from_static(b"head").into(), last]).await.unwrap();
        let mut all = vec![0; 20_004];
        theirs.read_exact(&mut all).await.unwrap();
        assert!(all[4..] == pattern(20_000));
        if round % 2 == 1 {
            drop(next_range(&pipe).await.into_bytes().unwrap());
        }
    }
    assert!(started.elapsed() < ROUNDS * Duration::from_millis(100), "{:?}", started.elapsed());
}

/// What an outflow in the middle of a large output gives.
async fn next_range(pipe: &Arc<pipe::Receiver>) -> Data {
    let mut outflow = Outflow::new(Arc::clone(pipe), ZeroCopy::On);
    outflow.pretend_large();
    poll_fn(|cx| outflow.poll_next(cx)).await.unwrap().unwrap()
}

#[tokio::test]
async fn outflow_gives_every_byte_whichever_way_they_go() {
    for policy in [ZeroCopy::On, ZeroCopy::Off, ZeroCopy::Auto] {
        let content = pattern(40 << 20);
        let (reader, mut writer) = io::pipe().unwrap();
        let copy = content.clone();
        let writing = std::thread::spawn(move || {
            for (number, piece) in copy.chunks(300_000).enumerate() {
                writer.write_all(piece).unwrap();
                if number % 20 == 0 {
                    // Now and then the pipe runs dry.
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        let pipe = Arc::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap());
        let mut outflow = Outflow::new(pipe, policy);
        let (ours, mut theirs) = sockets().await;
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut ranges = 0;
        while let Some(data) = poll_fn(|cx| outflow.poll_next(cx)).await.unwrap() {
            ranges += u32::from(matches!(data, Data::Range(_)));
            send(&ours, vec![data]).await.unwrap();
        }
        drop(ours);
        assert!(reading.await.unwrap() == content, "{policy:?}");
        writing.join().unwrap();
        match policy {
            ZeroCopy::Off => assert_eq!(ranges, 0),
            ZeroCopy::On | ZeroCopy::Auto => assert!(ranges > 0, "{policy:?}"),
        }
    }
}

#[tokio::test]
async fn outflow_waits_for_its_piece_and_is_woken_when_that_is_gone() {
    for policy in [ZeroCopy::On, ZeroCopy::Off] {
        let (reader, mut writer) = io::pipe().unwrap();
        let pipe = Arc::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap());
        let mut outflow = Outflow::new(pipe, policy);
        outflow.pretend_large();
        writer.write_all(&pattern(20_000)).unwrap();
        let mut piece = poll_fn(|cx| outflow.poll_next(cx)).await.unwrap();
        let waiting = tokio::spawn(async move {
            let next = poll_fn(|cx| outflow.poll_next(cx)).await.unwrap();
            next.is_none()
        });
        drop(writer);
        // It has to have had the chance to see the end too early.
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        if let Some(Data::Range(_)) = &piece {
            let (ours, mut theirs) = sockets().await;
            send(&ours, vec![piece.take().unwrap()]).await.unwrap();
            let mut all = vec![0; 20_000];
            theirs.read_exact(&mut all).await.unwrap();
            assert!(all == pattern(20_000));
        }
        drop(piece);
        assert!(waiting.await.unwrap(), "the end of output");
    }
}

#[test]
fn reserved_slices_are_told_from_all_others() {
    let file = file_of(b"abc");
    let data = range(&file, 0, 3);
    assert!(is_reserved(data.chunk()));
    assert!(!is_reserved(b"abc"));
    assert!(!is_reserved(&[]));
    // The kernel does not read them either.
    let (_reader, mut writer) = io::pipe().unwrap();
    let error = writer.write(data.chunk()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::FAULT.raw_os_error()));
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    let file = file_of(b"abc");
    assert!(Range::of_file(Arc::clone(&file), 0, 0).is_none());
    assert!(Range::of_file(Arc::clone(&file), 0, LONGEST + 1).is_none());
    assert!(Range::of_file(file, 0, LONGEST).is_some());
}

/// What hyper does with a buffer: look at its slices, then advance.
fn drain(data: &mut Data, step: usize) -> usize {
    let mut steps = 0;
    while data.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 3];
        assert_eq!(data.chunks_vectored(&mut slices), 1);
        assert_eq!(slices[0].len(), data.remaining(), "a gap would change the order of bytes");
        assert_eq!(data.chunk().as_ptr(), slices[0].as_ptr());
        data.advance(step.min(data.remaining()));
        steps += 1;
    }
    assert_eq!(data.chunks_vectored(&mut [IoSlice::new(&[])]), 0);
    steps
}

proptest! {
    #[test]
    fn data_is_a_buffer_whichever_kind(length in 1usize..5000, step in 1usize..600) {
        let content = pattern(length);
        let file = file_of(&content);
        let mut bytes = Data::from(Bytes::from(content.clone()));
        let mut ranged = range(&file, 0, length);
        prop_assert_eq!(ranged.remaining(), bytes.remaining());
        prop_assert_eq!(drain(&mut bytes, step), drain(&mut ranged, step));
    }

    #[test]
    fn rest_of_a_range_is_the_rest_of_its_bytes(
        length in 1usize..5000, start in 0usize..100, sent in 0usize..5000,
    ) {
        let content = pattern(length + start);
        let sent = sent % length;
        let mut data = range(&file_of(&content), start as u64, length);
        data.advance(sent);
        prop_assert_eq!(&data.into_bytes().unwrap()[..], &content[start + sent..]);
    }
}
