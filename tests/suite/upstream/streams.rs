//! Bodies whose pieces matter while the rest is not there yet.

use std::time::{Duration, Instant};

use e2e::{
    Client, DEADLINE, End, Piece, Request, Watchdog, eventually,
    play::{Play, Step, send, send_chunk, touch, wait},
};

use super::{exists, http};

fn chunked_head(content_type: &str) -> Step {
    send(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
}

const TYPES: [&str; 3] = ["text/event-stream", "application/x-ndjson", "text/plain"];

/// of-watchdog #49 and faas #1109: a chunked response was held back until it was complete.
#[test]
fn each_piece_leaves_as_it_comes() {
    let dog = http().start();
    for (index, kind) in TYPES.into_iter().enumerate() {
        let gate = format!("second-{index}");
        let play = Play::new([
            Step::Body,
            chunked_head(kind),
            send_chunk("first\n\n"),
            wait(&gate),
            send_chunk("second\n\n"),
            send("0\r\n\r\n"),
        ]);
        let mut client = dog.connect();
        // Without the Accept header that the of-watchdog needs for it.
        client.send(play.get().to_bytes());
        assert_eq!(client.read_head().header("content-type"), Some(kind));
        assert_eq!(client.read_chunk_data(), b"first\n\n");
        super::touch(&dog, &gate);
        assert_eq!(client.read_body(), (b"second\n\n".to_vec(), End::Complete));
    }
}

#[test]
fn head_leaves_before_the_first_piece() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        chunked_head("text/event-stream"),
        wait("go"),
        send_chunk("data: 1\n\n"),
        send("0\r\n\r\n"),
    ]);
    let mut client = dog.connect();
    client.send(play.get().to_bytes());
    assert_eq!(client.read_head().status, 200);
    super::touch(&dog, "go");
    assert_eq!(client.read_body().0, b"data: 1\n\n");
}

#[test]
fn body_of_known_length_leaves_as_it_comes() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
        wait("go"),
        send("world"),
    ]);
    let mut client = dog.connect();
    client.send(play.get().to_bytes());
    client.read_head();
    assert_eq!(client.read_piece(), Piece::Data(b"hello".to_vec()));
    super::touch(&dog, "go");
    assert_eq!(client.read_body(), (b"world".to_vec(), End::Complete));
}

#[test]
fn response_begins_before_the_request_is_complete() {
    let dog = http().start();
    let play = Play::new([
        chunked_head("text/plain"),
        send_chunk("early"),
        Step::Body,
        send_chunk("late"),
        send("0\r\n\r\n"),
    ]);
    let mut client = dog.connect();
    client.send(play.with(Request::post("/", "12345")).head_bytes());
    client.send("123");
    client.read_head();
    assert_eq!(client.read_chunk_data(), b"early");
    client.send("45");
    assert_eq!(client.read_body(), (b"late".to_vec(), End::Complete));
}

/// An accepted event stream whose first event has been read.
fn event_stream(dog: &Watchdog, rest: impl IntoIterator<Item = Step>) -> Client {
    let mut steps = vec![Step::Body, chunked_head("text/event-stream"), send_chunk("data: 1\n\n")];
    steps.extend(rest);
    let mut client = dog.connect();
    let request = Play::new(steps).get().header("Accept", "text/event-stream");
    client.send(request.to_bytes());
    assert_eq!(client.read_head().status, 200, "{}", dog.log());
    assert_eq!(client.read_chunk_data(), b"data: 1\n\n");
    client
}

#[test]
fn event_stream_outlives_exec_and_write_timeout() {
    let dog = http().env("exec_timeout", "1s").env("write_timeout", "1s").start_ready();
    let start = Instant::now();
    let mut client =
        event_stream(&dog, [Step::Pause(2500), send_chunk("data: 2\n\n"), send("0\r\n\r\n")]);
    assert_eq!(client.read_body(), (b"data: 2\n\n".to_vec(), End::Complete));
    assert!(start.elapsed() > Duration::from_secs(2));
}

#[test]
fn ndjson_outlives_exec_timeout() {
    let dog = http().env("exec_timeout", "1s").start_ready();
    let play = Play::new([
        Step::Body,
        chunked_head("application/x-ndjson"),
        send_chunk("{}\n"),
        Step::Pause(2500),
        send_chunk("[]\n"),
        send("0\r\n\r\n"),
    ]);
    let response = dog.call(&play.get().header("Accept", "application/x-ndjson"));
    assert_eq!((response.text().as_str(), response.is_complete()), ("{}\n[]\n", true));
}

/// Defect 5: such a response was closed off as if it were complete.
#[test]
fn other_stream_is_cut_by_exec_timeout() {
    let dog = http().env("exec_timeout", "1s").start_ready();
    let play = Play::new([
        Step::Body,
        chunked_head("text/plain"),
        send_chunk("first"),
        Step::Eof,
        touch("left"),
    ]);
    let response = dog.call(&play.get());
    assert_eq!((response.status(), response.text().as_str()), (200, "first"));
    assert!(!response.is_complete(), "the client was told that the response is complete");
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
}

/// Defect 3: every stream that its client left held its place for ever.
#[test]
fn aborted_event_streams_give_their_place_back() {
    let dog = http().env("max_inflight", "1").start();
    for round in 0..5 {
        let left = format!("left-{round}");
        let client = event_stream(&dog, [Step::Eof, touch(&left)]);
        assert_eq!(dog.get("/").status(), 429);
        if round % 2 == 0 {
            drop(client);
        } else {
            client.reset();
        }
        eventually(DEADLINE, "the function to be told", || exists(&dog, &left));
        eventually(DEADLINE, "the place to be free", || dog.get("/").status() == 200);
    }
}

#[test]
fn aborted_event_stream_is_counted_and_logged_once() {
    let dog = http().metrics().start();
    drop(event_stream(&dog, [Step::Eof, touch("left")]));
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
    eventually(DEADLINE, "the call to be counted", || dog.metrics().all_requests() >= 1.0);
    assert_eq!(dog.get("/").status(), 200);
    let lines = dog.wait_for_access_lines(2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    eventually(DEADLINE, "two calls in the metrics", || dog.metrics().all_requests() >= 2.0);
    assert!((dog.metrics().all_requests() - 2.0).abs() < f64::EPSILON);
    let in_flight = dog.metrics().get("http_requests_in_flight", &[]);
    assert_eq!(in_flight, Some(0.0));
}

/// A slow reader holds the function back instead of filling our memory.
#[test]
fn slow_client_does_not_grow_memory() {
    const SIZE: usize = 64 * 1024 * 1024;
    let dog = http().start();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let play = Play::new([Step::Body, send(&head), Step::Fill(SIZE), touch("sent")]);
    let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
    client.send(play.get().to_bytes());
    client.read_head();
    // Long enough for the whole body to come, were it taken without regard to the client.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!exists(&dog, "sent"), "64 MB are held somewhere");
    assert_eq!(client.skip_body(), (SIZE as u64, End::Complete));
    let peak = dog.peak_rss_kb();
    assert!(peak < 32 * 1024, "{peak} kB of memory");
}
